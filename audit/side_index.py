"""The side file `<log>.index`: which events may be an answer, found quickly. Made from the log, and made anew when in doubt.

It is never the truth: it names events, and each is read from the log and judged there before anybody sees it. What it does
not know yet, or where there is none, is looked through instead. Nothing of it is in the log's file, so appending costs
what it did.

One full-text table without content has everything: an event is a set of words, those of its data and a few that begin with
a letter that no word has, for who, what and where, alone and together. So every question is the same kind of question, and
the newest answers come first without looking at the others.
"""

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.errors import DATABASE_ERRORS
from audit.index_words import MARK
from audit.index_words import expression_of
from audit.index_words import request_word
from audit.query import Query
from audit.query import is_letters
from audit.query import words_of
from audit.view import View

logger = logging.getLogger("countersign.index")

APPLICATION_ID = 0x4353494E  # "CSIN"
FORMAT = 1
SLICE = 1000
"""So many events are taken in at once: some 20 ms of work, in one transaction of the side file."""
WORTH = 5000
"""A log of fewer events is looked through as quickly as it is indexed."""
BEHIND = 200
"""So many new events may be there before they are taken in; that many are looked through in two milliseconds."""
LOCK_SECONDS = 0.2

_SCHEMA = (
    "CREATE TABLE state (log TEXT NOT NULL, began INTEGER NOT NULL, covered INTEGER NOT NULL, hash TEXT NOT NULL,"
    " tidied INTEGER NOT NULL) STRICT",
    "CREATE TABLE known (field TEXT NOT NULL, value TEXT NOT NULL, code INTEGER NOT NULL,"
    " PRIMARY KEY (field, value, code)) STRICT, WITHOUT ROWID",
    "CREATE TABLE beginning (word TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID",
    "CREATE VIRTUAL TABLE found USING fts5(words, content='', detail=none, columnsize=0, tokenize='ascii')",
    "INSERT INTO found (found, rank) VALUES ('hashsize', 8388608)",
)


class Stale(Exception):
    """The side file is of another log, of another format, or damaged."""


class SideIndex:
    """The side file of the log at a path. Raises nothing: where the file does not serve, nothing is found in it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._path = index_path(log)

    @contextmanager
    def opened(self, view: View) -> "Iterator[Opened | None]":
        """The file to look into, None where it is not there, not this log's, or not to be trusted."""
        try:
            self._check_file()
            connection = _connect(self._path, "ro")
        except (Stale, OSError, *DATABASE_ERRORS):
            yield None
            return
        with closing(connection):
            try:
                covered = _checked(connection, view)
            except (Stale, *DATABASE_ERRORS):
                covered = 0
            yield Opened(connection, covered) if covered else None

    def catch_up(
        self,
        view: View,
        *,
        seconds: float,
        worth: int = WORTH,
        behind: int = BEHIND,
        told: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> int:
        """Take in what is new, for about so long; how many events are still to come. `told` hears how far it is.

        Does nothing while that is not worth it, and where this user may not write here or somebody else does it.
        """
        until = time.monotonic() + seconds
        try:
            head = view.size()
            with self.opened(view) as opened:
                covered = opened.covered if opened else 0
            if head < worth or head - covered < behind:
                return 0
            with self._writing(view) as connection:
                covered = _checked(connection, view)
                known = _Codes(connection)
                while covered < head and time.monotonic() < until:
                    covered = _take_in(connection, view, known, covered)
                    told(covered, head)
                if covered >= head:
                    _tidy(connection, covered)
                return head - covered
        except Stale:
            self.discard()
            return 1
        except OSError as error:
            logger.info("index_not_written error=%s", error.strerror)
        except DATABASE_ERRORS as error:
            logger.info("index_not_written error=%s", error)
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                self.discard()
        return 0

    def discard(self) -> None:
        """Remove the file: it is made anew. For whoever erases what an event said."""
        for end in ("", "-journal"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)

    @contextmanager
    def _writing(self, view: View) -> Iterator[sqlite3.Connection]:
        if not os.path.lexists(self._path):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        self._check_file()
        with closing(_connect(self._path, "rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
                _lay_out(connection, view)
            connection.execute("COMMIT")
            yield connection

    def _check_file(self) -> None:
        """Raises Stale for a file that others than we and the log's owner may have written."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            raise Stale from None
        owners = {os.geteuid(), os.stat(self._log).st_uid}
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o022:
            raise Stale


class Opened:
    """The side file while somebody looks into it; `covered` is the last event that it knows."""

    def __init__(self, connection: sqlite3.Connection, covered: int) -> None:
        self._connection = connection
        self.covered = covered

    def candidates(self, query: Query, low: int, high: int) -> Iterator[list[int]]:
        """The numbers between two (both exclusive) of events that may be an answer, in the query's order, in pieces.

        Raises Stale where the file does not serve after all.
        """
        size = min(query.limit or SLICE, SLICE)
        order = "DESC" if query.newest_first else "ASC"
        sql = (
            "SELECT rowid FROM found WHERE found MATCH :words AND rowid > :low AND rowid < :high"  # noqa: S608 (constants)
            f" ORDER BY rowid {order} LIMIT :size"
        )
        try:
            words = expression_of(query, _Known(self._connection))
            while words is not None:
                told = {"words": words, "low": low, "high": high, "size": size}
                found = [row[0] for row in self._connection.execute(sql, told).fetchall()]
                yield found
                if len(found) < size:
                    return
                low, high = (low, found[-1]) if query.newest_first else (found[-1], high)
        except DATABASE_ERRORS as error:
            raise Stale from error


def index_path(log: Path) -> Path:
    """Where the side file of a log is."""
    return log.with_name(f"{log.name}.index")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=LOCK_SECONDS,
        check_same_thread=False,
    )
    connection.execute("PRAGMA cache_spill = 0")  # readers would have to wait before the end of a transaction
    return connection


def _lay_out(connection: sqlite3.Connection, view: View) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES (?, ?, 0, '', 0)", (view.log_id(), view.size()))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _checked(connection: sqlite3.Connection, view: View) -> int:
    """How far it knows this log. Raises Stale when it is another's, or the log is not what it was."""
    for pragma, expected in (("application_id", APPLICATION_ID), ("user_version", FORMAT)):
        if connection.execute(f"PRAGMA {pragma}").fetchone()[0] != expected:
            raise Stale
    row = connection.execute("SELECT log, covered, hash FROM state").fetchone()
    if row is None or row[0] != view.log_id():
        raise Stale
    covered = int(row[1])
    if covered > view.size() or any(last["hash"] != row[2] for last in view.rows_at([covered])):
        raise Stale
    return covered


def _take_in(connection: sqlite3.Connection, view: View, codes: "_Codes", covered: int) -> int:
    """One slice, in one transaction; up to which event it goes. Raises Stale when what was erased is in the file already."""
    rows = view.texts(covered, SLICE)
    began = connection.execute("SELECT began FROM state").fetchone()[0]
    if any(row["kind"] == "erased" and row["seq"] > began for row in rows):
        raise Stale
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT covered FROM state").fetchone()[0] != covered:
            raise sqlite3.OperationalError("another process takes the same events in")
        codes.begin()
        connection.executemany("INSERT INTO found (rowid, words) VALUES (?, ?)", [_entry(row, codes) for row in rows])
        codes.write()
        connection.execute("UPDATE state SET covered = ?, hash = ?", (rows[-1]["seq"], rows[-1]["hash"]))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return int(rows[-1]["seq"])


def _tidy(connection: sqlite3.Connection, covered: int) -> None:
    """Makes one piece of the many that taking in leaves, so that questions are several times as quick; a third of a second
    for a million events, whenever there are half as many again."""
    if 2 * covered > 3 * connection.execute("SELECT tidied FROM state").fetchone()[0]:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO found (found) VALUES ('optimize')")
        connection.execute("UPDATE state SET tidied = covered")
        connection.execute("COMMIT")


def _entry(row: Mapping[str, Any], codes: "_Codes") -> tuple[int, str]:
    try:
        words = words_of(row["data"], row["request"])
    except (ValueError, TypeError, AttributeError):
        words = frozenset()  # `audit verify` says what is wrong with it
    codes.begins(words)
    who, what, where = (f"{field}{code}" for field, code in codes.of(row))
    found = [who, what, where, who + what, who + where, what + where, who + what + where, "e", *codes.stream(row)]
    if row["request"]:
        found.append(request_word(row["request"]))
    return row["seq"], " ".join([*(f"{MARK}{word}" for word in found), *words])


class _Known:
    """The numbers that stand for values, and the words there are, as they are asked for."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def codes(self, field: str, value: str) -> list[int]:
        sql = "SELECT code FROM known WHERE field = ? AND value = ?"
        return [row[0] for row in self._connection.execute(sql, (field, value)).fetchall()]

    def others(self, field: str, most: int) -> dict[int, str] | None:
        sql = "SELECT code, value FROM known WHERE field = ? LIMIT ?"
        found = dict(self._connection.execute(sql, (field, most + 1)).fetchall())
        return found if len(found) <= most else None

    def beginning_with(self, word: str, most: int) -> list[str] | None:
        sql = "SELECT word FROM beginning WHERE word >= ? AND word < ? LIMIT ?"
        end = word[:-1] + chr(ord(word[-1]) + 1)
        found = [row[0] for row in self._connection.execute(sql, (word, end, most + 1)).fetchall()]
        return found if len(found) <= most else None


class _Codes:
    """The numbers that stand for who, what and where, given as they come; and the words that others may begin."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._codes: dict[tuple[str, str], int] = {}
        self._words: set[str] = set()
        self._new: list[tuple[str, str, int]] = []
        self._new_words: set[str] = set()

    def begin(self) -> None:
        """What was given in a transaction that did not come about is forgotten; another process may have given more."""
        if not self._codes or self._new or self._new_words:
            rows = self._connection.execute("SELECT field, value, code FROM known WHERE field <> 'user'").fetchall()
            self._codes = {(field, value): code for field, value, code in rows}
            self._words = {row[0] for row in self._connection.execute("SELECT word FROM beginning").fetchall()}
            self._new, self._new_words = [], set()

    def write(self) -> None:
        self._connection.executemany("INSERT INTO known VALUES (?, ?, ?)", self._new)
        self._connection.executemany("INSERT INTO beginning VALUES (?)", [(word,) for word in self._new_words])
        self._new, self._new_words = [], set()

    def of(self, row: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Who, what and where as numbers."""
        where = f"{row['project'] or ''}/{row['environment'] or ''}".strip("/")
        named = (("a", row["actor"]), ("k", row["kind"]), ("t", where))
        return [(field, self._code(field, value)) for field, value in named]

    def stream(self, row: Mapping[str, Any]) -> list[str]:
        """A request's own stream needs no word beside the request's."""
        stream = row["stream"]
        return [] if stream == f"request:{row['request']}" else [f"s{self._code('s', stream)}"]

    def begins(self, words: frozenset[str]) -> None:
        for word in words - self._words:
            if is_letters(word):
                self._words.add(word)
                self._new_words.add(word)

    def _code(self, field: str, value: str) -> int:
        found = self._codes.get((field, value))
        if found is None:
            found = self._codes[field, value] = len(self._codes) + 1
            self._new.append((field, value, found))
            if field == "a":
                self._new.append(("user", value.rpartition("/")[2], found))
        return found

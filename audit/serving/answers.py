"""What the log says of requests, approvals, refusals and runs, as tables that can be asked quickly.

Made from the log, event by event, in a folder of its own, and never the truth: each row names the event that it comes from.
An event of the log is read once, in short slices, so that whoever looks at these tables does not hold the log's WAL.
"""

import json
import sqlite3
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.query import Query
from audit.schema import connect_reader
from audit.serving.answers_sql import FOLDS
from audit.serving.answers_sql import SCHEMA
from audit.view import Reader

ENDED = ("succeeded", "failed", "partially_applied", "interrupted", "rejected", "cancelled", "expired", "superseded")
KINDS = (*FOLDS, *ENDED, "changed_outside", "configured")
"""The kinds of events that say something here."""
COMMIT_EVENTS = 100_000

IsOpen = Callable[[Sequence[str], datetime], bool]
"""Whether one of these windows is open at a moment."""


class Answers:
    """The tables in the file `path`, which is made; they follow the log with each `catch_up`."""

    def __init__(self, path: Path, log: Path, is_open: IsOpen) -> None:
        self.path = path
        self._log = log
        self._is_open = is_open
        self._lock = threading.Lock()
        self._seen = 0
        self._erased: set[int] = set()
        self._file: tuple[int, int] | None = None

    def catch_up(self, told: Callable[[int, int], None] = lambda _done, _all: None) -> int:
        """Read what the log got since the last time; the number of the last event. An erasure, or another file in the log's
        place, has all of it read anew, since what was told before may be gone. Raises AuditError."""
        with self._lock:
            reader = Reader(self._log)
            status = self._log.stat()
            if self._file != (status.st_dev, status.st_ino) or self._was_erased(reader):
                self._seen, self._file = 0, (status.st_dev, status.st_ino)
                self.path.unlink(missing_ok=True)
                for end in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + end).unlink(missing_ok=True)
                erasures = reader.find(Query(kinds=("erased",)))
                self._erased = {seq for one in erasures for seq in (one.data or {}).get("seqs", ())}
            with reader.together() as view:
                head = view.size()
                if head > self._seen:
                    self._read(view.rows(Query(kinds=KINDS, after_seq=self._seen, before_seq=head + 1)), head, told)
            self._seen = head
            return head

    def _was_erased(self, reader: Reader) -> bool:
        return bool(reader.find(Query(kinds=("erased",), after_seq=self._seen, limit=1))) if self._seen else False

    def _read(self, rows: Iterator[dict[str, Any]], head: int, told: Callable[[int, int], None]) -> None:
        with self._writing() as connection:
            connection.execute("BEGIN")
            for number, row in enumerate(rows, start=1):
                for sql, values in self._told_by(connection, row):
                    connection.execute(sql, values)
                if number % COMMIT_EVENTS == 0:
                    connection.execute("COMMIT")
                    told(row["seq"], head)
                    connection.execute("BEGIN")
            connection.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = wal")
            connection.execute("PRAGMA synchronous = 0")  # it can be made again
            connection.executescript(SCHEMA)
            yield connection

    def _told_by(
        self, connection: sqlite3.Connection, row: Mapping[str, Any]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The statements that one event leads to."""
        is_there = row["data"] is not None and row["seq"] not in self._erased  # which may be deleted a moment later
        data = json.loads(row["data"]) if is_there else {}
        target = f"{row['project']}/{row['environment']}" if row["environment"] else None
        event = {key: row[key] for key in ("seq", "at", "kind", "actor", "request")} | {"target": target}
        kind = row["kind"]
        if kind == "changed_outside":
            for place, what in enumerate(data.get("what", ()), start=1):
                yield FOLDS_OF_LISTS[kind], event | {"place": place, "what": what}
        elif kind == "configured":
            changes = [(name, one) for name, found in data.get("changed", {}).items() for one in found]
            for place, (name, one) in enumerate(changes, start=1):
                values = {"place": place, "target": name, "rule": one.get("rule")}
                yield (
                    FOLDS_OF_LISTS[kind],
                    event | values | {"old": _short(one.get("old")), "new": _short(one.get("new"))},
                )
        elif kind in ENDED:
            ended = {key: data.get(key) for key in ("reason", "message", "step", "because")}
            yield FOLDS_OF_LISTS["ended"], event | ended
        else:
            sql, take = FOLDS[kind]
            values = take(data, row["actor"])
            if kind == "started":
                values["outside_window"] = self._is_outside(connection, row)
            for one in sql:
                yield one, event | values

    def _is_outside(self, connection: sqlite3.Connection, row: Mapping[str, Any]) -> int | None:
        """Whether a run began while none of its windows was open; None where nobody can say any more."""
        asked = connection.execute("SELECT windows FROM request WHERE request = ?", (row["request"],)).fetchone()
        if asked is None or asked[0] is None:
            return None
        try:
            return int(not self._is_open(json.loads(asked[0]), datetime.fromisoformat(row["at"])))
        except ValueError:
            return None


FOLDS_OF_LISTS = {
    "changed_outside": "INSERT INTO change_outside VALUES (:seq, :place, :at, :target, :what)",
    "configured": "INSERT INTO policy_change VALUES (:seq, :place, :at, :target, :rule, :old, :new)",
    "ended": "UPDATE request SET ended = :kind, ended_at = :at, ended_by = :actor, ended_seq = :seq, reason = :reason,"
    " message = coalesce(:message, :because), step = :step,"
    " run_seconds = round((julianday(:at) - julianday(started_at)) * 86400, 3) WHERE request = :request",
}


def _short(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_rows(
    path: Path, sql: str, values: Mapping[str, Any], *, most: int, seconds: float
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and at most `most` rows of a question to a file that is only read, which is interrupted after so long.
    Raises sqlite3.Error."""
    with closing(connect_reader(path)) as connection:
        timer = threading.Timer(seconds, connection.interrupt)
        timer.start()
        try:
            cursor = connection.execute(sql, dict(values))
            return [column[0] for column in cursor.description or ()], cursor.fetchmany(most)
        finally:
            timer.cancel()

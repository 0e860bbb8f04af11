"""The log's tables, and the connections to them. The one place that knows how the file is made and opened.

Never open the database file itself with anything but SQLite here: closing any descriptor of it drops the POSIX
locks that SQLite holds for the whole process.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audit import base
from audit.errors import DATABASE_ERRORS
from audit.errors import LogDamaged
from audit.errors import primary_code

APPLICATION_ID = 0x43534C47  # "CSLG", so that `file` and people see what it is
SCHEMA_VERSION = 1
MIGRATIONS_TABLE = "_sqlite_migrations"  # sqlite-utils' own
OTHERS_TABLES = frozenset(
    {MIGRATIONS_TABLE, "_litestream_seq", "_litestream_lock"}
)  # what a replicator keeps there, too
PAGE_SIZE = 1024  # every act writes a page of each table and index, and waits for all of it; 4096 is a tenth slower

# page_size and journal_mode are properties of the file, the others of each connection. recursive_triggers makes
# INSERT OR REPLACE fire the DELETE triggers; trusted_schema and cell_size_check distrust the file.
WRITER_PRAGMAS: dict[str, int | str] = {
    "page_size": PAGE_SIZE,
    "journal_mode": "wal",
    "wal_autocheckpoint": 16000,  # pages, so 16 MB: each time two more syncs, for which an append waits
    "synchronous": 2,  # FULL: with NORMAL a power cut loses events that were already answered
    "recursive_triggers": 1,
    "secure_delete": 1,
    "trusted_schema": 0,
    "foreign_keys": 1,
    "cell_size_check": 1,
    "temp_store": 2,  # MEMORY: savepoints spill into files under /tmp otherwise, which is slow, and anybody's disk
}

_HEX64 = "CHECK (length({0}) = 64 AND {0} NOT GLOB '*[^0-9a-f]*')"
_TEXT = "CHECK (length({0}) > 0 AND instr({0}, char(0)) = 0)"
_AT = "CHECK (at GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')"  # noqa: E501

TABLES = (
    """CREATE TABLE log (
        id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*')
    ) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE event (
        seq INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
        id TEXT NOT NULL UNIQUE {_TEXT.format("id")},
        at TEXT NOT NULL {_AT},
        kind TEXT NOT NULL {_TEXT.format("kind")},
        actor TEXT NOT NULL {_TEXT.format("actor")},
        project TEXT {_TEXT.format("project")},
        environment TEXT {_TEXT.format("environment")},
        request TEXT {_TEXT.format("request")},
        stream TEXT NOT NULL {_TEXT.format("stream")},
        place INTEGER NOT NULL CHECK (place >= 1),
        commitment TEXT NOT NULL {_HEX64.format("commitment")},
        previous TEXT NOT NULL {_HEX64.format("previous")},
        hash TEXT NOT NULL {_HEX64.format("hash")},
        UNIQUE (stream, place)
    ) STRICT""",
    """CREATE TABLE payload (
        seq INTEGER NOT NULL PRIMARY KEY REFERENCES event (seq),
        salt TEXT NOT NULL CHECK (length(salt) = 32 AND salt NOT GLOB '*[^0-9a-f]*'),
        data TEXT NOT NULL CHECK (data GLOB '{*}' AND instr(data, char(0)) = 0)
    ) STRICT""",
    """CREATE VIEW events AS
        SELECT event.seq, id, at, kind, actor, project, environment, request, stream, place,
               payload.data AS data, commitment, previous, hash
        FROM event LEFT JOIN payload ON payload.seq = event.seq""",
)

# Every index ends in seq by itself (it is the rowid), so each serves its filter in the order of the log. There is
# none for `at`: it never decreases, so a time is looked up as a seq.
INDEXES = (
    "CREATE INDEX event_kind ON event (kind)",
    "CREATE INDEX event_actor ON event (actor)",
    "CREATE INDEX event_target ON event (project, environment) WHERE project IS NOT NULL",
    "CREATE INDEX event_request ON event (request) WHERE request IS NOT NULL",
    "CREATE INDEX event_requested ON event (request) WHERE kind = 'requested'",
)

# Guard rails for honest code: who can write SQL to the file can also drop them, which `verify` notices. The checks
# for what is already there come before SQLite's own, because INSERT OR REPLACE and OR IGNORE would get past those.
TRIGGERS = (
    """CREATE TRIGGER log_one BEFORE INSERT ON log WHEN EXISTS (SELECT 1 FROM log)
    BEGIN SELECT RAISE(ABORT, 'log: the id is given once'); END""",
    "CREATE TRIGGER log_no_update BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'log: append only'); END",
    "CREATE TRIGGER log_no_delete BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'log: append only'); END",
    """CREATE TRIGGER event_links BEFORE INSERT ON event
    BEGIN
        SELECT RAISE(ABORT, 'event: seq does not follow')
        WHERE NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event);
        SELECT RAISE(ABORT, 'event: previous is not the last hash')
        WHERE NEW.previous IS NOT coalesce(
            (SELECT hash FROM event ORDER BY seq DESC LIMIT 1),
            '0000000000000000000000000000000000000000000000000000000000000000'
        );
        SELECT RAISE(ABORT, 'event: at decreases')
        WHERE NEW.at < (SELECT at FROM event ORDER BY seq DESC LIMIT 1);
        SELECT RAISE(ABORT, 'event: id is taken')
        WHERE EXISTS (SELECT 1 FROM event WHERE id = NEW.id);
        SELECT RAISE(ABORT, 'event: place does not follow')
        WHERE NEW.place IS NOT (SELECT coalesce(max(place), 0) + 1 FROM event WHERE stream = NEW.stream);
    END""",
    "CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event: append only'); END",
    "CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event: append only'); END",
    """CREATE TRIGGER payload_links BEFORE INSERT ON payload
    BEGIN
        SELECT RAISE(ABORT, 'payload: only for the last event')
        WHERE NEW.seq IS NOT (SELECT max(seq) FROM event);
        SELECT RAISE(ABORT, 'payload: is there already')
        WHERE EXISTS (SELECT 1 FROM payload WHERE seq = NEW.seq);
    END""",
    """CREATE TRIGGER payload_no_update BEFORE UPDATE ON payload
    BEGIN SELECT RAISE(ABORT, 'payload: append only'); END""",
    """CREATE TRIGGER payload_erase BEFORE DELETE ON payload
    BEGIN
        SELECT RAISE(ABORT, 'payload: an erasure cannot be erased')
        WHERE (SELECT kind FROM event WHERE seq = OLD.seq) = 'erased';
        SELECT RAISE(ABORT, 'payload: no erased event names it')
        WHERE NOT EXISTS (
            SELECT 1
            FROM event JOIN payload AS erasure ON erasure.seq = event.seq, json_each(erasure.data, '$.seqs') AS named
            WHERE event.kind = 'erased' AND named.value = OLD.seq
        );
    END""",
)


def first_schema(execute: Callable[[str], object]) -> None:
    """Format 1. A later change of the schema is a function below this one, never an edit here."""
    for statement in TABLES + INDEXES + TRIGGERS:
        execute(statement)


def fewer_pages(execute: Callable[[str], object]) -> None:
    """An index costs every append about two pages. What only questions need is in the side file; whose requests there
    are is asked by the bot itself. Logs that were made before keep what they have, which serves as well."""
    execute("DROP INDEX event_actor")
    execute("CREATE INDEX event_requester ON event (actor) WHERE kind = 'requested'")


def behind_a_base(execute: Callable[[str], object]) -> None:
    """Format 2, of a sealed segment and of a log whose old segments were dropped; whole logs stay as they are."""
    execute("DROP TRIGGER event_links")
    for statement in (*base.TABLES, base.EVENT_LINKS, *base.TRIGGERS):
        execute(statement)


STEPS: dict[int, tuple[Callable[[Callable[[str], object]], None], ...]] = {
    SCHEMA_VERSION: (first_schema, fewer_pages),
    base.SCHEMA_VERSION: (first_schema, fewer_pages, behind_a_base),
}
"""How the schema of each version came to be what it is, in order; sqlite-utils keeps count of them in the file."""


def build(connection: sqlite3.Connection, version: int = SCHEMA_VERSION) -> None:
    """Makes the tables in an empty database; without the log's id."""
    # Loaded where a log is made only: it takes longer to load than most words take to answer.
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("audit")
    for step in STEPS[version]:
        migrations(name=step.__name__)(lambda db, step=step: step(db.execute))
    migrations.apply(Database(connection, execute_plugins=False))
    _mark(connection, version)


def _mark(connection: sqlite3.Connection, version: int) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")


def make_file(path: Path) -> None:
    """Makes an empty log at a path where nothing is: whole or not at all. The caller holds the lock. Raises OSError,
    sqlite3.Error."""
    unfinished = path.with_name(path.name + ".new")
    for leftover in (unfinished, *(unfinished.with_name(unfinished.name + end) for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # WAL and its index take this mode too
    connection = connect_writer(unfinished)
    try:
        build(connection)
        connection.execute("INSERT INTO log (id) VALUES (?)", (secrets.token_hex(16),))
    finally:
        connection.close()
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def schema_problems(connection: sqlite3.Connection) -> list[str]:
    """What differs between this database's schema and the one that this version makes; empty when nothing does."""
    found = _objects(connection)
    version = base.SCHEMA_VERSION if base.has_base(connection) else SCHEMA_VERSION
    before = "index event_actor" in found
    expected = _expected_objects(version, before_fewer_pages=before)
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} does not belong here" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} was changed" for name in sorted(found.keys() & expected.keys()) if found[name] != expected[name]
    ]
    for pragma, number in (("application_id", APPLICATION_ID), ("user_version", version)):
        if (value := connection.execute(f"PRAGMA {pragma}").fetchone()[0]) != number:
            problems.append(f"{pragma} is {value}, not {number}")
    return problems


@cache
def _expected_objects(version: int, *, before_fewer_pages: bool) -> dict[str, str | None]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for step in STEPS[version]:
            if not (before_fewer_pages and step is fewer_pages):
                step(connection.execute)
        _mark(connection, version)
        return _objects(connection)
    finally:
        connection.close()


def _objects(connection: sqlite3.Connection) -> dict[str, str | None]:
    """Every table, index, view and trigger with its SQL; but for tables that are others' to shape."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    own = {"table", "index"}
    return {f"{type_} {name}": sql for type_, name, table, sql in rows if not (table in OTHERS_TABLES and type_ in own)}


def connect_writer(path: Path) -> sqlite3.Connection:
    """The read-write connection, in autocommit, its pragmas read back (LogDamaged when one does not hold). Only
    under the lock: SQLite before 3.51.3 can corrupt a WAL that two connections write and reset."""
    connection = _connect(path, "rw")
    try:
        for name, value in WRITER_PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
            # a file keeps the size of its pages; it is as good with another one
            if (found := connection.execute(f"PRAGMA {name}").fetchone()[0]) != value and name != "page_size":
                raise LogDamaged(f"The log {path} has {name} = {found}, not {value}; it will not be written to.")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, leaves_no_trace: bool = False) -> sqlite3.Connection:
    """A read-only connection in autocommit; raises DATABASE_ERRORS. Fetch every result to its end: a half-read one
    is an open transaction, which keeps the WAL from being reset.

    `leaves_no_trace`: while nobody has the log open, no WAL and no index of it are made beside the file. A writer that
    comes in that moment is not noticed, so it is for what may be wrong once."""
    is_idle = leaves_no_trace and not path.with_name(path.name + "-wal").exists()
    connection = _connect(path, "ro&immutable=1" if is_idle else "ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except DATABASE_ERRORS as error:
        connection.close()
        # A log that was closed in good order, on a medium or in a folder where the reader may not write: SQLite
        # cannot make the WAL's index there. Without a WAL nobody is writing either, so the file alone is all.
        cannot_write = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
        if primary_code(error) not in cannot_write or path.with_name(path.name + "-wal").exists():
            raise
        connection = _connect(path, "ro&immutable=1")
    for name in ("query_only = 1", "trusted_schema = 0", "cell_size_check = 1"):
        connection.execute(f"PRAGMA {name}")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # The standard library's module by name: sqlite-utils would take pysqlite3 wherever that is installed. Threads:
    # the writer is opened in one and used in another, never in two at once.
    connection: sqlite3.Connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=1.5,
    )
    return connection


def rows(connection: sqlite3.Connection, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a query, as dicts, read to the end."""
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

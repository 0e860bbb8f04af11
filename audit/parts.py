"""Making a file that holds a part of a log: a sealed segment, one without what was erased, a log without its old segments.

The file is made beside its place, whole, verified and on the disk before it takes its name; whatever stops that leaves what
was there as it was.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from audit import base as behind
from audit import schema
from audit.base import Base
from audit.errors import DATABASE_ERRORS
from audit.errors import LogDamaged
from audit.errors import translated
from audit.errors import unusable
from audit.event import COLUMNS
from audit.tree import Frontier
from audit.verify import verify

SLICE_EVENTS = 5000
SEALED = 0o440
LIVE = 0o600

_COLUMNS = tuple(name for name in COLUMNS if name != "data")
_EVENTS = f"SELECT {', '.join(_COLUMNS)} FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {SLICE_EVENTS}"  # noqa: S608 (constants only)
_PUT_EVENT = f"INSERT INTO event ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608 (constants only)
_PAYLOADS = "SELECT seq, salt, data FROM payload WHERE seq > ? AND seq <= ? ORDER BY seq"
_PUT_PAYLOAD = "INSERT INTO payload (seq, salt, data) VALUES (?, ?, ?)"
_REACHED = "SELECT stream, max(place) FROM event WHERE seq <= :seq {0} GROUP BY stream"
_OF_PART = "AND stream IN (SELECT stream FROM event WHERE seq > :seq AND seq <= :last)"
_HASH_AT = _COLUMNS.index("hash")
_TIME_AT = _COLUMNS.index("at")


@dataclass(frozen=True)
class Part:
    """The events behind `base` up to `last`; of those before it only `carried`, by number, with their proofs. `gone`: the
    numbers of events whose text stays away, with the number of the event that erased it."""

    base: Base
    last: int
    carried: Mapping[int, str] = field(default_factory=dict)
    gone: Mapping[int, int] = field(default_factory=dict)


def unwatched(step: str) -> None:
    """Nobody wants to know how far it is; tests do, to end it there."""


def unfinished_of(target: Path) -> Path:
    """Where a file is made before it takes its place. One that is there was not finished."""
    return target.with_name(f"{target.name}.new")


def write_part(
    source: Path,
    target: Path,
    part: Part,
    *,
    mode: int,
    ready: Callable[[Base, Path], None] = lambda *_: None,
    crashpoint: Callable[[str], None] = unwatched,
) -> Base:
    """Put the part of a log into a file, in the place of what is there, and return where it ends. With `mode` SEALED it is a
    segment; with LIVE a log to go on with: the caller holds its lock then, and nobody else has it open.

    `ready` is told where it ends and where the file lies when it is whole and on the disk, and takes its place next.
    Raises LogDamaged when the file does not verify, LogUnavailable, and what reading raises. `crashpoint` is told each step.
    """
    unfinished = unfinished_of(target)
    try:
        clear(unfinished)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(unfinished)
        # a log that is replaced is nobody else's now, and a reader would leave a WAL beside it
        with closing(schema.connect_reader(source, leaves_no_trace=mode == LIVE)) as reader:
            end = _fill(reader, unfinished, part, is_segment=mode == SEALED)
        crashpoint("filled")
        _check(unfinished, end, is_part=mode == SEALED)
        unfinished.chmod(mode)
        sync(unfinished)
        crashpoint("on the disk")
        ready(end, unfinished)
        crashpoint("said")
        if mode == LIVE:
            _check_alone(target)
        unfinished.rename(target)
        crashpoint("renamed")
        sync(target.parent)
    except OSError as error:
        raise unusable(target, error) from error
    except DATABASE_ERRORS as error:
        raise translated(error, target) from error
    return end


def erased_in(path: Path) -> dict[int, int]:
    """The numbers of the events in a segment whose text stays away, with what erased it. Raises LogDamaged and
    LogUnavailable."""
    with _reading(path) as connection:
        return dict(connection.execute("SELECT seq, erased_by FROM gone").fetchall())


def with_payload(path: Path, seqs: Iterable[int]) -> list[int]:
    """Which of these events have their text in this file. Raises LogDamaged, LogUnavailable."""
    with _reading(path) as connection:
        one = "SELECT 1 FROM payload WHERE seq = ?"
        return [seq for seq in seqs if connection.execute(one, (seq,)).fetchone() is not None]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(schema.connect_reader(path)) as connection:
            yield connection
    except DATABASE_ERRORS as error:
        raise translated(error, path) from error


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Not of a log that is open in this process: that would drop SQLite's locks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(reader: sqlite3.Connection, path: Path, part: Part, *, is_segment: bool) -> Base:
    connection = sqlite3.connect(path, isolation_level=None)
    with closing(connection):
        connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE if not is_segment else 4096}")
        connection.execute("PRAGMA synchronous = OFF")  # it has no name yet; it is put on the disk as a whole
        schema.build(connection, behind.SCHEMA_VERSION)
        connection.execute("PRAGMA journal_mode = MEMORY").fetchall()
        with _without(connection, "trigger"), _without(connection, "index"), _together(connection):
            connection.execute("INSERT INTO log (id) VALUES (?)", reader.execute("SELECT id FROM log").fetchone())
            base = part.base
            connection.execute("INSERT INTO base VALUES (?, ?, ?, ?)", (base.seq, base.hash, base.at, _text(base.tree)))
            for seq in sorted(part.carried):
                _copy(reader, connection, seq - 1, seq, {})
            connection.executemany("INSERT INTO proof VALUES (?, ?)", sorted(part.carried.items()))
            end = base
            while end.seq < part.last:
                end = _next(reader, connection, end, part)
            _put_reached(reader, connection, part, is_segment=is_segment)
            connection.executemany("INSERT INTO gone VALUES (?, ?)", sorted(part.gone.items()))
    return end


def _next(reader: sqlite3.Connection, connection: sqlite3.Connection, end: Base, part: Part) -> Base:
    """Copies the next events, and returns where they end."""
    rows = _copy(reader, connection, end.seq, part.last, part.gone)
    if not rows or rows[0][0] != end.seq + 1 or rows[-1][0] - rows[0][0] != len(rows) - 1:
        raise LogDamaged(f"The events behind {end.seq} are not all there.", "Look with `countersign audit verify`.")
    tree = end.tree.extended(bytes.fromhex(row[_HASH_AT]) for row in rows)
    return Base(rows[-1][0], rows[-1][_HASH_AT], rows[-1][_TIME_AT], tree)


def _copy(
    reader: sqlite3.Connection, connection: sqlite3.Connection, after: int, until: int, gone: Mapping[int, int]
) -> list[tuple[Any, ...]]:
    rows = reader.execute(_EVENTS, (after, until)).fetchall()
    if rows:
        connection.executemany(_PUT_EVENT, rows)
        payloads = reader.execute(_PAYLOADS, (after, rows[-1][0])).fetchall()
        connection.executemany(_PUT_PAYLOAD, [one for one in payloads if one[0] not in gone])
    return rows


def _put_reached(reader: sqlite3.Connection, connection: sqlite3.Connection, part: Part, *, is_segment: bool) -> None:
    """Where the streams were at the base; of a segment only those that go on in it."""
    which = {"seq": part.base.seq} | ({"last": part.last} if is_segment else {})
    places = dict(reader.execute(_REACHED.format(_OF_PART if is_segment else ""), which).fetchall())
    if behind.has_base(reader):
        for stream, place in reader.execute("SELECT stream, place FROM reached").fetchall():
            if not is_segment or stream in places or _has(connection, stream):
                places[stream] = max(place, places.get(stream, 0))
    connection.executemany("INSERT INTO reached VALUES (?, ?)", sorted(places.items()))


def _has(connection: sqlite3.Connection, stream: str) -> bool:
    return connection.execute("SELECT 1 FROM event WHERE stream = ? LIMIT 1", (stream,)).fetchone() is not None


@contextmanager
def _without(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Has no triggers, or indexes, for a while: they are made again as they were."""
    made = "SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL AND tbl_name <> ?"
    found = connection.execute(made, (kind, schema.MIGRATIONS_TABLE)).fetchall()
    for name, _ in found:
        connection.execute(f"DROP {kind} {name}")
    yield
    for _, sql in found:
        connection.execute(sql)


@contextmanager
def _together(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def _text(tree: Frontier) -> str:
    return json.dumps(tree.to_json())


def _check(path: Path, end: Base, *, is_part: bool) -> None:
    found = verify(path, is_part=is_part)
    if not found.ok or found.end is None or (found.end.head, found.end.tree) != (end.hash, end.tree):
        why = found.problems[0].message if found.problems else "it ends elsewhere"
        raise LogDamaged(f"What was copied of the log does not verify: {why}", "Nothing was changed. Look at the disk.")


def _check_alone(path: Path) -> None:
    """A WAL of the old file would be put into the new one."""
    for ending in ("-wal", "-shm"):
        if path.with_name(path.name + ending).exists():
            raise LogDamaged(
                f"Somebody has the log {path} open, or left it open ({path.name}{ending} is there). Nothing was changed.",
                "End whatever reads it, then say it again.",
            )


def make_private(path: Path) -> None:
    """An empty file, where there is none, that nobody else may read; SQLite fills it. Raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, LIVE))


def clear(unfinished: Path) -> None:
    """Removes what an earlier try left. Raises OSError."""
    for ending in ("", "-wal", "-shm", "-journal"):
        unfinished.with_name(unfinished.name + ending).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Has the disk hold it; a file here is open nowhere, so closing it drops no locks of SQLite's."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

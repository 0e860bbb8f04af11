"""A log that begins behind a base: what is known of the events before it, and proofs for those that were carried over.

A sealed segment is such a log, and so is one whose old segments were dropped. The base says where the chain and the tree
stood, so that everything behind it verifies as it did, against the same checkpoints. Nothing but an anchor proves a base.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from audit.errors import LogDamaged
from audit.event import FIRST_PREVIOUS
from audit.tree import Frontier
from audit.tree import holds_inclusion

SCHEMA_VERSION = 2
HAS_BASE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'base'"
ROWS = "SELECT seq, hash, at, tree FROM base LIMIT 2"
CARRIED = "SELECT seq, hash FROM event WHERE seq <= (SELECT seq FROM base) ORDER BY seq"

TABLES = (
    """CREATE TABLE base (
        seq INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 0),
        hash TEXT NOT NULL CHECK (length(hash) = 64),
        at TEXT NOT NULL,
        tree TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE reached (
        stream TEXT NOT NULL PRIMARY KEY,
        place INTEGER NOT NULL CHECK (place >= 1)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE proof (
        seq INTEGER NOT NULL PRIMARY KEY REFERENCES event (seq),
        path TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE gone (
        seq INTEGER NOT NULL PRIMARY KEY REFERENCES event (seq),
        erased_by INTEGER NOT NULL
    ) STRICT""",
)

TRIGGERS = tuple(
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table}: fixed'); END"
    for table in ("base", "reached", "proof", "gone")
    for verb in ("INSERT", "UPDATE", "DELETE")
)

# the place of a stream goes on behind the events of it that are here, and behind where the base says that it was
EVENT_LINKS = """CREATE TRIGGER event_links BEFORE INSERT ON event
    BEGIN
        SELECT RAISE(ABORT, 'event: seq does not follow')
        WHERE NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event);
        SELECT RAISE(ABORT, 'event: previous is not the last hash')
        WHERE NEW.previous IS NOT (SELECT hash FROM event ORDER BY seq DESC LIMIT 1);
        SELECT RAISE(ABORT, 'event: at decreases')
        WHERE NEW.at < (SELECT at FROM event ORDER BY seq DESC LIMIT 1);
        SELECT RAISE(ABORT, 'event: id is taken')
        WHERE EXISTS (SELECT 1 FROM event WHERE id = NEW.id);
        SELECT RAISE(ABORT, 'event: place does not follow')
        WHERE NEW.place IS NOT 1 + max(
            (SELECT coalesce(max(place), 0) FROM event WHERE stream = NEW.stream),
            (SELECT coalesce(max(place), 0) FROM reached WHERE stream = NEW.stream)
        );
    END"""


@dataclass(frozen=True)
class Base:
    """The last event that is not here, or only carried over: its number, hash and time, and the tree up to it."""

    seq: int = 0
    hash: str = FIRST_PREVIOUS
    at: str = ""
    tree: Frontier = field(default_factory=Frontier)

    def holds(self, seq: int, hash: str, path: str) -> bool:
        """Whether an event with this number and hash is among those before the base, by its proof (a JSON text)."""
        try:
            nodes = [bytes.fromhex(one) for one in json.loads(path)]
            return holds_inclusion(bytes.fromhex(hash), seq - 1, self.seq, nodes, self.tree.root())
        except (ValueError, TypeError):
            return False


def carried_digest(select: Callable[[str], list[tuple[Any, ...]]]) -> str:
    """The SHA-256 (hex) of which events were carried over and where the streams were at the base: proofs show that the ones
    which are here are genuine, this shows that none of them was taken out since. Raises what reading raises."""
    said = hashlib.sha256()
    for sql in (CARRIED, "SELECT stream, place FROM reached ORDER BY stream"):
        for row in select(sql):
            said.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    return said.hexdigest()


def has_base(connection: sqlite3.Connection) -> bool:
    """Whether this log begins behind a base."""
    return bool(connection.execute(HAS_BASE).fetchone()[0])


def base_of(connection: sqlite3.Connection) -> Base:
    """Where a log begins; all zeros for a whole one. Raises LogDamaged for a base that is none, and what reading raises."""
    return base_in(connection.execute(ROWS).fetchall()) if has_base(connection) else Base()


def base_in(rows: Sequence[tuple[Any, ...]]) -> Base:
    """The base that a table's rows say. Raises LogDamaged."""
    try:
        [(seq, hash, at, text)] = rows
        tree = Frontier.from_json(json.loads(text))
    except (ValueError, TypeError):
        tree = None
    if tree is None or tree.size != seq:
        raise LogDamaged("The base that this log begins behind cannot be read.", "Put a copy of the log in its place.")
    return Base(seq, hash, at, tree)

"""What each statement does to the copy, seen from inside its transaction: locks, rewrites, rows, dropped objects.

Locks are held to a transaction's end, so that a look behind each statement misses none. What runs outside a transaction
is looked at every few milliseconds from beside, which may miss a lock that was held for less than that.
"""

import json
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import psycopg
from pglast import ast

from ops.database import Connection
from ops.masking import printable
from ops.migration import Statement
from ops.rehearsal import trace_sql
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows

LOCK_MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""From the weakest to the strongest."""

_NAME_LETTERS = 200
_LOOK_EVERY_SECONDS = 0.002
_STRENGTH = {mode: strength for strength, mode in enumerate(LOCK_MODES)}
_READING = _STRENGTH["AccessShareLock"]
_STRONGEST = _STRENGTH["AccessExclusiveLock"]
# These write a table's file anew without the server's event for it; whatever else does so has emptied the table.
_REWRITES_UNTOLD = (ast.AlterTableStmt, ast.AlterTableMoveAllStmt, ast.ClusterStmt, ast.VacuumStmt)
_TABLE_LIKE = ("table", "foreign table", "view", "materialized view")
# Belongs to a table or a column; worth a word only where the table stays.
_PARTS_OF_TABLES = ("table constraint", "trigger", "policy", "rule")
_NAMED_BY_PARTS = (*_TABLE_LIKE, "table column", "index", "sequence")
_NOT_TOLD = ("default value", "toast table")


@dataclass(frozen=True)
class Relation:
    """A relation that was there before the files. `table` is an index's table, by its number, else 0; `columns` counts
    dropped ones too."""

    kind: str
    schema: str
    name: str
    columns: int
    table: int


@dataclass(frozen=True)
class _Event:
    """Something that the server told of a statement: an object dropped, or a table written anew."""

    place: int
    what: str
    number: int
    part: int
    kind: str
    name: str
    original: bool
    dependent: bool
    names: Sequence[str]


@dataclass(frozen=True)
class _Seen:
    """What was to be seen behind a statement. `written` counts inserted, updated and deleted rows by relation."""

    locks: Mapping[int, int]
    filenodes: Mapping[int, int | None]
    names: Mapping[int, str]
    written: Mapping[int, tuple[int, int, int]]
    events: tuple[_Event, ...]


class Tracer:
    """Looks at one copy. `ask` is a session of the cluster's superuser for this alone, in autocommit.

    To be made once the copy is as the target is, and before any file; `remove` takes away what it put there. What a
    file's role may do, it cannot do to that. Raises psycopg.Error.
    """

    def __init__(self, ask: Connection) -> None:
        self._ask = ask
        with ask.transaction():
            for text in trace_sql.INSTALL:
                ask.execute(text)
        rows = ask.execute(trace_sql.RELATIONS, (trace_sql.TABLE,)).fetchall()
        self.relations = {row[0]: Relation(*row[1:6]) for row in rows}
        self._filenodes: dict[int, int | None] = {row[0]: row[6] for row in rows}
        self._unspoken = {number for (number,) in ask.execute(trace_sql.UNSPOKEN).fetchall()}
        self._dropped_at: dict[Dropped, int] = {}
        self._held: dict[int, int] = {}
        self._written: dict[int, tuple[int, int, int]] = {}
        self._last_event = 0

    def remove(self) -> None:
        with self._ask.transaction():
            for text in trace_sql.REMOVE:
                self._ask.execute(text)

    def begin(self, connection: Connection) -> None:
        """In a transaction of files, before its first statement: what is held already is nobody's doing."""
        seen = self._see(connection)
        self._held, self._written = dict(seen.locks), dict(seen.written)

    def look(self, connection: Connection, statement: Statement, index: int, seconds: float) -> StatementFacts:
        """Behind a statement, in its transaction: what it did, beyond what those before it did there."""
        return self._facts(self._see(connection), statement, index, seconds)

    def lasting(self, found: Iterable[StatementFacts]) -> list[StatementFacts]:
        """The same once their transaction has committed: without what it dropped and got back by a savepoint."""
        lasting = {row[0] for row in self._ask.execute(trace_sql.EVENTS, (0,)).fetchall()}
        return [
            replace(facts, drops=tuple(one for one in facts.drops if self._dropped_at[one] in lasting))
            for facts in found
        ]

    def alone(
        self, connection: Connection, send: Callable[[], object]
    ) -> Callable[[Statement, int, float], StatementFacts]:
        """Send a statement that is in no transaction, watched from beside; returns what looks at it afterwards."""
        self._held, self._written = {}, self._written_by_all(connection)
        with _Watch(self._ask, connection.info.backend_pid) as watch:
            send()

        def look(statement: Statement, index: int, seconds: float) -> StatementFacts:
            names: dict[int, str] = {}
            written = self._written_by_all(connection, names)
            filenodes: dict[int, int | None] = dict(
                self._ask.execute(trace_sql.FILENODES, (trace_sql.TABLE,)).fetchall()
            )
            events = self._events(self._ask.execute(trace_sql.EVENTS, (self._last_event,)).fetchall())
            return self._facts(_Seen(watch.strongest, filenodes, names, written, events), statement, index, seconds)

        return look

    def _written_by_all(
        self, connection: Connection, names: dict[int, str] | None = None
    ) -> dict[int, tuple[int, int, int]]:
        connection.execute(trace_sql.TELL)
        rows = self._ask.execute(trace_sql.WRITTEN).fetchall()
        if names is not None:
            names.update((row[0], row[1]) for row in rows)
        return {row[0]: (row[2], row[3], row[4]) for row in rows}

    def _see(self, connection: Connection) -> _Seen:
        row = connection.execute(trace_sql.SEEN, (self._last_event,)).fetchone()
        found = json.loads(bytes.fromhex(row[0])) if row else {"locks": (), "relations": (), "events": ()}
        relations = found["relations"]
        return _Seen(
            locks=_strongest(found["locks"]),
            filenodes={one[0]: one[3] for one in relations},
            names={one[0]: one[2] for one in relations},
            written={one[0]: (one[4], one[5], one[6]) for one in relations if one[1] == "r"},
            events=self._events(found["events"]),
        )

    def _events(self, rows: Iterable[Any]) -> tuple[_Event, ...]:
        events = tuple(_Event(*row) for row in rows)
        if events:
            self._last_event = events[-1].place
        return events

    def _facts(self, seen: _Seen, statement: Statement, index: int, seconds: float) -> StatementFacts:
        return StatementFacts(
            index=index,
            line=statement.word_line,
            seconds=round(seconds, 4),
            locks=self._locks(seen),
            rewrites=self._rewrites(seen, statement),
            rows=self._rows(seen),
            drops=self._drops(seen.events),
        )

    def _locks(self, seen: _Seen) -> tuple[HeldLock, ...]:
        new = {}
        for number, strength in seen.locks.items():
            if number in self.relations and strength > self._held.get(number, _READING):
                new[number] = strength
            self._held[number] = max(strength, self._held.get(number, strength))
        told = (number for number in new if self._is_to_be_told(number, new[number]))
        return tuple(
            sorted(
                (HeldLock(self.name(number), LOCK_MODES[new[number]]) for number in told),
                key=lambda lock: (-_STRENGTH[lock.mode], lock.relation),
            )
        )

    def _is_to_be_told(self, number: int, strength: int) -> bool:
        """An index is locked along with its table; alone it matters where that shuts out readers of the table."""
        table = self.relations[number].table
        return not table or (strength == _STRONGEST and self._held.get(table, 0) < _STRONGEST)

    def _rewrites(self, seen: _Seen, statement: Statement) -> tuple[Rewrite, ...]:
        changed = [
            number
            for number, filenode in seen.filenodes.items()
            if number in self._filenodes and filenode != self._filenodes[number]
        ]
        self._filenodes.update((number, seen.filenodes[number]) for number in changed)
        told = {event.number for event in seen.events if event.what == "rewrite"}
        node = statement.tree.node if statement.tree else None
        found = []
        for number in changed:
            relation = self.relations[number]
            if relation.kind == "r":
                is_rewrite = number in told or isinstance(node, _REWRITES_UNTOLD)
                found.append(Rewrite(self.name(number), "table" if is_rewrite else "truncated", None, None))
            elif relation.kind == "m":
                found.append(Rewrite(self.name(number), "materialized view", None, None))
            elif relation.kind == "i" and relation.table not in changed:
                found.append(Rewrite(self.name(number), "index", None, None))
        return tuple(sorted(found, key=lambda one: (one.kind, one.relation)))

    def _rows(self, seen: _Seen) -> tuple[TouchedRows, ...]:
        found = []
        for number, counts in seen.written.items():
            before = self._written.get(number, (0, 0, 0))
            # Emptying a table sets what was counted before back.
            new = tuple(max(now - then, 0) for now, then in zip(counts, before, strict=True))
            self._written[number] = counts
            if any(new):
                name = self.name(number) if number in self.relations else printable(seen.names[number], _NAME_LETTERS)
                found.append(TouchedRows(name, *new))
        return tuple(sorted(found, key=lambda one: one.relation))

    def _drops(self, events: Iterable[_Event]) -> tuple[Dropped, ...]:
        drops = [event for event in events if event.what == "drop" and event.kind not in _NOT_TOLD]
        gone = {event.number for event in drops if event.part == 0}
        tables = {tuple(event.names[:2]) for event in drops if event.kind in _TABLE_LIKE}
        constraints = {(event.names[0], event.names[-1]) for event in drops if event.kind == "table constraint"}
        found = []
        for event in drops:
            relation = self.relations.get(event.number)
            if relation and event.part > relation.columns:
                continue  # a column that a file has added itself
            if event.kind in _PARTS_OF_TABLES:
                is_told = event.number not in self._unspoken and tuple(event.names[:2]) not in tables
            elif event.kind == "index" and not event.original:
                is_part = tuple(event.names[:2]) in constraints
                is_told = relation is not None and relation.table not in gone and not is_part
            else:
                is_told = event.original or event.dependent
            if not is_told:
                continue
            name = ".".join(event.names) if event.kind in _NAMED_BY_PARTS else event.name
            found.append(Dropped(event.kind, printable(name, _NAME_LETTERS), cascaded=not event.original))
            self._dropped_at[found[-1]] = event.place
        return tuple(sorted(found, key=lambda one: (one.cascaded, one.kind, one.name)))

    def name(self, number: int) -> str:
        """`public.orders`, fit to be shown."""
        relation = self.relations[number]
        return printable(f"{relation.schema}.{relation.name}", _NAME_LETTERS)


def _strongest(locks: Iterable[tuple[int, str]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for number, mode in locks:
        strength = _STRENGTH.get(mode, _READING)
        found[number] = max(strength, found.get(number, strength))
    return found


class _Watch:
    """Looks from a thread at the locks of a session whose statement runs; `strongest` is complete after the `with`."""

    def __init__(self, ask: Connection, pid: int) -> None:
        self.strongest: dict[int, int] = {}
        self._ask = ask
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"locks of {pid}", daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        with suppress(psycopg.Error):  # the cluster is gone, which the statement's own session tells
            self._look_on()

    def _look_on(self) -> None:
        while not self._over.wait(_LOOK_EVERY_SECONDS):
            rows = self._ask.execute(trace_sql.HELD, (self._pid,)).fetchall()
            for number, strength in _strongest(rows).items():
                self.strongest[number] = max(strength, self.strongest.get(number, strength))

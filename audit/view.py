"""Reading the log: by stream, by act, by question. The same reads serve a decision inside its transaction and
everybody else through `Reader`."""

import json
import sqlite3
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import rfc8785

from audit import schema
from audit.base import HAS_BASE
from audit.base import ROWS as BASE_ROWS
from audit.base import Base
from audit.base import base_in
from audit.base import carried_digest
from audit.errors import DATABASE_ERRORS
from audit.errors import broken_event
from audit.errors import no_log
from audit.errors import translated
from audit.event import Event
from audit.event import event_of
from audit.event import written_at
from audit.query import Query

# A request is open until one of these is in its stream. Not `interrupted`: there, a person still has to decide,
# which `recorded` says they did.
FINAL_KINDS = ("succeeded", "failed", "partially_applied", "rejected", "cancelled", "expired", "superseded", "recorded")

# Short enough that reading holds the WAL only for a moment, whatever the answer's size.
SLICE_EVENTS = 500

# `at` never decreases with seq, so the first event at or after a moment is found by halving.
_FIRST_SEQ_AT = """
WITH RECURSIVE halving (low, high) AS (
    SELECT 1, coalesce(max(seq), 0) + 1 FROM event
    UNION ALL
    SELECT CASE WHEN event.at < :at THEN (low + high) / 2 + 1 ELSE low END,
           CASE WHEN event.at < :at THEN high ELSE (low + high) / 2 END
    -- the next one that is there: of those before a base only some are
    FROM halving LEFT JOIN event
        ON event.seq = (SELECT seq FROM event WHERE seq >= (low + high) / 2 ORDER BY seq LIMIT 1)
    WHERE low < high
)
SELECT low FROM halving WHERE low = high
"""


class View:
    """What the log holds, seen from inside the transaction that is open on this connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def together(self) -> Iterator["View"]:
        """A view for several reads one after the other; here that is this one."""
        yield self

    def events(self, *, stream: str, since_place: int = 1) -> list[Event]:
        """All events of a stream from a place on, in order of place."""
        return self._events(
            "SELECT * FROM events WHERE stream = :stream AND place >= :place ORDER BY place",
            stream=stream,
            place=since_place,
        )

    def act(self, id: str) -> list[Event]:
        """The events of one act, `<id>`, `<id>/2`…, in order; empty when there is none."""
        # '0' follows '/' in ASCII, so this range holds whatever begins with the id and a slash
        found = self._events(
            "SELECT * FROM events WHERE id = :id OR (id > :id || '/' AND id < :id || '0') ORDER BY seq", id=id
        )
        return [event for event in found if event.id == id or event.id[len(id) + 1 :].isdecimal()]

    def last_place(self, stream: str) -> int:
        """The place of the newest event of a stream; 0 when it has none."""
        found = int(self._value("SELECT coalesce(max(place), 0) FROM event WHERE stream = :stream", stream=stream))
        if not self._has_base():
            return found
        before = self._value("SELECT coalesce(max(place), 0) FROM reached WHERE stream = :stream", stream=stream)
        return max(found, int(before))

    def base(self) -> Base:
        """Behind which event this log begins: all zeros for a whole one. Those before it are here only in part."""
        if not self._has_base():
            return Base()
        return base_in([tuple(row.values()) for row in self._rows(BASE_ROWS)])

    def carried(self) -> str:
        """The digest of what was carried over from before the base; see `base.carried_digest`."""
        return carried_digest(self.select)

    def proofs(self) -> dict[int, str]:
        """The proofs of the events that are here from before the base: what leads to its root, as JSON, by number."""
        found = self._rows("SELECT seq, path FROM proof") if self._has_base() else []
        return {row["seq"]: row["path"] for row in found}

    @cached_property
    def _begins_behind(self) -> bool:
        return bool(self._value(HAS_BASE))

    def _has_base(self) -> bool:
        return self._begins_behind

    def log_id(self) -> str:
        """The log's own id; no two logs have the same."""
        return str(self._value("SELECT id FROM log"))

    def size(self) -> int:
        """The number of the last event; 0 in an empty log."""
        return int(self._value("SELECT coalesce(max(seq), 0) FROM event"))

    def hashes(self, after: int, limit: int) -> list[str]:
        """The hashes of at most `limit` events behind number `after`, in order: the tree's leaves. From the base on all are
        there."""
        found = self._rows(
            "SELECT hash FROM event WHERE seq > :after ORDER BY seq LIMIT :limit", after=after, limit=limit
        )
        return [row["hash"] for row in found]

    def salted(self, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """These events as rows, in order: the columns of the view `events`, `data` as the stored text, and `salt`, so that
        somebody else can check commitments. Both are None where they were erased."""
        return self._rows(
            "SELECT events.*, payload.salt FROM events LEFT JOIN payload ON payload.seq = events.seq"
            " WHERE events.seq IN (SELECT value FROM json_each(:seqs)) ORDER BY events.seq",
            seqs=rfc8785.dumps(list(seqs)).decode(),
        )

    def next_number(self, prefix: str) -> str:
        """The first request number that nobody has: `next_number("R-")` is "R-8" after "R-7". It is taken only by
        appending a `requested` event in the same transaction."""
        highest = self._value(
            "SELECT coalesce(max(CAST(substr(request, length(:prefix) + 1) AS INTEGER)), 0) FROM event"
            " WHERE kind = 'requested' AND substr(request, 1, length(:prefix)) = :prefix",
            prefix=prefix,
        )
        return f"{prefix}{int(highest) + 1}"

    def open_requests(self) -> list[str]:
        """The requests without a final event in their stream, oldest first; `interrupted` ones are among them."""
        found = self._rows(
            "SELECT asked.request FROM event AS asked WHERE asked.kind = 'requested' AND NOT EXISTS ("
            " SELECT 1 FROM event AS ending WHERE ending.stream = asked.stream"
            " AND ending.kind IN (SELECT value FROM json_each(:final))) ORDER BY asked.seq",
            final=rfc8785.dumps(list(FINAL_KINDS)).decode(),
        )
        return [row["request"] for row in found]

    def last(
        self, *, kind: str, project: str | None = None, environment: str | None = None, stream: str | None = None
    ) -> Event | None:
        """The newest event of a kind, of one target or stream where that is given; None when there is none."""
        query = Query(
            kinds=(kind,), project=project, environment=environment, stream=stream, limit=1, newest_first=True
        )
        return next(iter(self.find(query)), None)

    def since(self, seq: int, limit: int) -> list[Event]:
        """At most `limit` events after number `seq`, in order."""
        return self.find(Query(after_seq=seq, limit=limit))

    def find(self, query: Query) -> list[Event]:
        """The events that a query asks for."""
        return [self._event(row) for row in self.rows(query)]

    def rows(self, query: Query) -> Iterator[dict[str, Any]]:
        """The same as rows of the view `events`, `data` as the stored text, slice by slice: nothing stays open
        between two slices, and what is appended after the first is left out."""
        left = query.limit
        for found, _ in self.slices(query):
            yield from found[:left]
            left = None if left is None else left - len(found)
            if left is not None and left <= 0:
                return

    def slices(self, query: Query) -> Iterator[tuple[list[dict[str, Any]], int | None]]:
        """What matches, in pieces, each with the number of the last event that was looked at for it; None at the end."""
        clauses, parameters = _lifted(query)
        low, high = self.span(query)
        order = "DESC" if query.newest_first else "ASC"
        where = " AND ".join(["seq > :low", "seq < :high", *clauses])
        sql = f"SELECT * FROM events WHERE {where} ORDER BY seq {order} LIMIT :slice"  # noqa: S608 (constants only)
        size = SLICE_EVENTS if query.limit is None or query.conditions else min(query.limit, SLICE_EVENTS)

        while True:
            rows = self._rows(sql, **parameters, low=low, high=high, slice=size)
            last = rows[-1]["seq"] if rows and len(rows) == size else None
            yield [row for row in rows if self.fits(query, row)], last
            if last is None:
                return
            low, high = (low, last) if query.newest_first else (last, high)

    def span(self, query: Query) -> tuple[int, int]:
        """Between which numbers (both exclusive) a query looks: its own, its time's, and what there is now."""
        head = self.size()
        low = max(query.after_seq or 0, 0)
        high = head + 1 if query.before_seq is None else min(query.before_seq, head + 1)
        if query.since is not None:
            low = max(low, self._first_seq_at(query.since) - 1)
        if query.until is not None:
            high = min(high, self._first_seq_at(query.until))
        return low, high

    def fits(self, query: Query, row: dict[str, Any]) -> bool:
        """Whether a row is one that is asked for. Raises LogDamaged where its data cannot be read."""
        try:
            return query.fits(row)
        except (ValueError, TypeError, AttributeError) as error:
            raise broken_event(row.get("seq")) from error

    def rows_at(self, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these numbers, in this order; those that are not there are left out."""
        found = self._rows(
            "SELECT * FROM events WHERE seq IN (SELECT value FROM json_each(:seqs))", seqs=json.dumps(list(seqs))
        )
        by_number = {row["seq"]: row for row in found}
        return [by_number[seq] for seq in seqs if seq in by_number]

    def texts(self, after: int, limit: int) -> list[dict[str, Any]]:
        """What a search index needs of at most `limit` events behind number `after`, in order."""
        return self._rows(
            "SELECT event.seq, kind, actor, project, environment, request, stream, hash, payload.data AS data"
            " FROM event LEFT JOIN payload ON payload.seq = event.seq"
            " WHERE event.seq > :after ORDER BY event.seq LIMIT :limit",
            after=after,
            limit=limit,
        )

    def _first_seq_at(self, at: datetime) -> int:
        """The number of the first event at or after a moment; one more than the last event's when all are before."""
        return int(self._value(_FIRST_SEQ_AT, at=written_at(at)))

    def _events(self, sql: str, **parameters: Any) -> list[Event]:
        return [self._event(row) for row in self._rows(sql, **parameters)]

    def _event(self, row: dict[str, Any]) -> Event:
        try:
            return event_of(row)
        except (ValueError, TypeError) as error:
            raise broken_event(row.get("seq")) from error

    def select(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a question that this package asks in SQL of its own."""
        return self._connection.execute(sql, parameters).fetchall()

    def _value(self, sql: str, **parameters: Any) -> Any:
        return next(iter(self._rows(sql, **parameters)[0].values()))

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return schema.rows(self._connection, sql, parameters)


def _lifted(query: Query) -> tuple[list[str], dict[str, Any]]:
    """What of a query SQL can see to, in the log's own indexes where there is one value: it keeps rows from being looked
    at. Whoever gets the rows judges them all the same."""
    own = query.own_fields()
    clauses, parameters = [f"{name} = :{name}" for name in own], dict(own)
    if query.kinds:
        _lift(clauses, parameters, "kind", query.kinds)
    for one in query.conditions:
        is_whole = one.field != "actor" or all(":" in value for value in one.values)
        if one.field in _COLUMNS and is_whole and not one.is_not:
            _lift(clauses, parameters, one.field, one.values)
    if query.text is not None:
        clauses.append("instr(lower(data), lower(:text)) > 0")
        parameters["text"] = rfc8785.dumps(query.text).decode()[1:-1]
    return clauses, parameters


def _lift(clauses: list[str], parameters: dict[str, Any], column: str, values: Sequence[str]) -> None:
    name = f"value{len(clauses)}"
    if column == "kind" and list(values) == ["requested"]:
        clauses.append("kind = 'requested'")  # in words, else SQLite does not see that an index has just these
    elif len(values) == 1:
        # what is not a request's stream is long, and its index is not in the log's order
        is_long = column == "stream" and not values[0].startswith("request:")
        clauses.append(f"{'+' if is_long else ''}{column} = :{name}")
        parameters[name] = values[0]
    else:
        # the + keeps SQLite from collecting all events of these values, only to sort them for every slice
        clauses.append(f"+{column} IN (SELECT value FROM json_each(:{name}))")  # noqa: S608 (columns are ours)
        parameters[name] = rfc8785.dumps(list(values)).decode()


_COLUMNS = frozenset({"actor", "project", "kind", "request", "stream"})
"""The fields of conditions that are columns."""


class Reader(View):
    """What the log holds, for anybody who may read the file, while somebody else writes or nobody does.

    Each read opens a connection of its own and closes it, so a reader may be shared by threads, holds nothing in
    between, and sees a log that was put in place of the old one. Two reads may see two states: the log grows.
    `leaves_no_trace`: see `connect_reader`; for a look that may be wrong once, such as completion at a shell.
    Raises NoLog, LogBusy, LogDamaged, LogUnavailable.
    """

    def __init__(self, path: Path, *, leaves_no_trace: bool = False) -> None:
        self._path = path
        self._leaves_no_trace = leaves_no_trace
        if not path.exists():
            raise no_log(path)

    @property
    def path(self) -> Path:
        return self._path

    @contextmanager
    def together(self) -> Iterator[View]:
        """A view for several reads of this thread, through one connection: to open one takes longer than most reads do.

        It holds nothing in between either, and two reads may see two states.
        """
        with self._connected() as connection:
            yield View(connection)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise no_log(self._path)
        try:
            connection = schema.connect_reader(self._path, leaves_no_trace=self._leaves_no_trace)
            try:
                yield connection
            finally:
                connection.close()
        except DATABASE_ERRORS as error:
            raise translated(error, self._path) from error

    def _has_base(self) -> bool:
        return bool(self._value(HAS_BASE))  # each time: another log may have been put here

    def select(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a question that this package asks in SQL of its own."""
        with self._connected() as connection:
            return connection.execute(sql, parameters).fetchall()

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._connected() as connection:
            return schema.rows(connection, sql, parameters)

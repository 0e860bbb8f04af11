"""Reading the log: by stream, by act, by question. The same reads serve a decision inside its transaction and
everybody else through `Reader`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import rfc8785

from audit import schema
from audit.errors import DATABASE_ERRORS
from audit.errors import broken_event
from audit.errors import no_log
from audit.errors import translated
from audit.event import Event
from audit.event import event_of
from audit.event import written_at

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
    FROM halving LEFT JOIN event ON event.seq = (low + high) / 2
    WHERE low < high
)
SELECT low FROM halving WHERE low = high
"""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which events somebody asks for; everything given must hold.

    `since` (inclusive) and `until` (exclusive) are aware datetimes. `text` is looked for in the data as it is
    stored, masked, whatever its letters' case (A to Z). `after_seq` and `before_seq` (both exclusive) page on
    from the last event seen. `limit` None means every event that matches.
    """

    actor: str | None = None
    project: str | None = None
    environment: str | None = None
    request: str | None = None
    stream: str | None = None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    after_seq: int | None = None
    before_seq: int | None = None
    limit: int | None = None
    newest_first: bool = False


class View:
    """What the log holds, seen from inside the transaction that is open on this connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def together(self) -> Iterator["View"]:
        """A view for several reads one after the other; here that is this one."""
        yield self

    def events(self, *, stream: str) -> list[Event]:
        """All events of a stream, in order of place."""
        return self._events("SELECT * FROM events WHERE stream = :stream ORDER BY place", stream=stream)

    def act(self, id: str) -> list[Event]:
        """The events of one act, `<id>`, `<id>/2`…, in order; empty when there is none."""
        # '0' follows '/' in ASCII, so this range holds whatever begins with the id and a slash
        found = self._events(
            "SELECT * FROM events WHERE id = :id OR (id > :id || '/' AND id < :id || '0') ORDER BY seq", id=id
        )
        return [event for event in found if event.id == id or event.id[len(id) + 1 :].isdecimal()]

    def last_place(self, stream: str) -> int:
        """The place of the newest event of a stream; 0 when it has none."""
        return int(self._value("SELECT coalesce(max(place), 0) FROM event WHERE stream = :stream", stream=stream))

    def log_id(self) -> str:
        """The log's own id; no two logs have the same."""
        return str(self._value("SELECT id FROM log"))

    def size(self) -> int:
        """The number of the last event; 0 in an empty log."""
        return int(self._value("SELECT coalesce(max(seq), 0) FROM event"))

    def hashes(self, after: int, limit: int) -> list[str]:
        """The hashes of at most `limit` events behind number `after`, in order: the tree's leaves."""
        found = self._rows(
            "SELECT hash FROM event WHERE seq > :after ORDER BY seq LIMIT :limit", after=after, limit=limit
        )
        return [row["hash"] for row in found]

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
        clauses, parameters = self._conditions(query)
        head = int(self._value("SELECT coalesce(max(seq), 0) FROM event"))
        low = max(query.after_seq or 0, 0)
        high = head + 1 if query.before_seq is None else min(query.before_seq, head + 1)
        if query.since is not None:
            low = max(low, self._first_seq_at(query.since) - 1)
        if query.until is not None:
            high = min(high, self._first_seq_at(query.until))
        order = "DESC" if query.newest_first else "ASC"
        where = " AND ".join(["seq > :low", "seq < :high", *clauses])
        sql = f"SELECT * FROM events WHERE {where} ORDER BY seq {order} LIMIT :slice"  # noqa: S608 (constants only)

        left = query.limit
        while left is None or left > 0:
            size = SLICE_EVENTS if left is None else min(left, SLICE_EVENTS)
            found = self._rows(sql, **parameters, low=low, high=high, slice=size)
            yield from found
            if len(found) < size:
                return
            left = None if left is None else left - size
            low, high = (low, found[-1]["seq"]) if query.newest_first else (found[-1]["seq"], high)

    def _conditions(self, query: Query) -> tuple[list[str], dict[str, Any]]:
        parameters: dict[str, Any] = {
            name: value
            for name in ("actor", "project", "environment", "request", "stream")
            if (value := getattr(query, name)) is not None
        }
        clauses = [f"{name} = :{name}" for name in parameters]
        if len(query.kinds) == 1:
            clauses.append("kind = :kind")
            parameters["kind"] = query.kinds[0]
        elif query.kinds:
            # the + keeps SQLite from collecting all events of these kinds, only to sort them for every slice
            clauses.append("+kind IN (SELECT value FROM json_each(:kinds))")
            parameters["kinds"] = rfc8785.dumps(list(query.kinds)).decode()
        if query.text is not None:
            clauses.append("instr(lower(data), lower(:text)) > 0")
            parameters["text"] = rfc8785.dumps(query.text).decode()[1:-1]
        return clauses, parameters

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

    def _value(self, sql: str, **parameters: Any) -> Any:
        return next(iter(self._rows(sql, **parameters)[0].values()))

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return schema.rows(self._connection, sql, parameters)


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

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._connected() as connection:
            return schema.rows(connection, sql, parameters)

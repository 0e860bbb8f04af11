"""The one read-write connection and what happens on it: a transaction of several acts. Knows no threads, no lock."""

import os
import sqlite3
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any
from typing import NamedTuple

from pydantic import BaseModel

from audit import schema
from audit.chain import tail_problems
from audit.errors import FAULT_OF_THE_ACT
from audit.errors import BadEvent
from audit.errors import Conflict
from audit.errors import IdConflict
from audit.errors import LogDamaged
from audit.errors import LogUnavailable
from audit.errors import primary_code
from audit.errors import translated
from audit.event import COLUMNS
from audit.event import FIRST_PREVIOUS
from audit.event import Draft
from audit.event import Event
from audit.event import canonical_data
from audit.event import commitment_of
from audit.event import event_recorded
from audit.event import hash_of
from audit.event import numbered_id
from audit.event import written_at
from audit.lock import lock_path
from audit.view import View

_EVENT_COLUMNS = tuple(name for name in COLUMNS if name != "data")
_INSERT_EVENT = f"INSERT INTO event ({', '.join(_EVENT_COLUMNS)}) VALUES ({', '.join('?' for _ in _EVENT_COLUMNS)})"  # noqa: S608 (constants only)
_EVENT_VALUES = itemgetter(*_EVENT_COLUMNS)
_INSERT_PAYLOAD = "INSERT INTO payload (seq, salt, data) VALUES (?, ?, ?)"
_LAST = "SELECT seq, at, hash FROM event ORDER BY seq DESC LIMIT 1"
_MAX_PLACES = 1000

SETTLED_NANOSECONDS = 2 * 10**9
JUST_NOW_NANOSECONDS = 10**6
"""So long a look at the log's files holds, where one act follows the other; behind each commit there is another look."""

Decide = Callable[[View], Sequence[Draft]]


class Act(NamedTuple):
    """Something to record in one piece: drafts, or a function that reads and then says them. Exactly one is given.

    `actor`, with `decide`, is who an act first recorded under this id must be by. `expect` maps streams to the
    place that the caller saw last. `is_new`: the id was made for this act just now, so nothing is recorded under it.
    """

    id: str
    is_new: bool = False
    drafts: Sequence[Draft] | None = None
    decide: Decide | None = None
    actor: str | None = None
    expect: Mapping[str, int] = MappingProxyType({})


class Done(NamedTuple):
    """What became of an act: its events, and whether they are new or were found as first recorded."""

    events: list[Event]
    new: bool


class Head(NamedTuple):
    """The end of the chain: number, time and hash of the last event."""

    seq: int = 0
    at: str = ""
    hash: str = FIRST_PREVIOUS


class CommitError(Exception):
    """COMMIT raised (the cause): only the file knows whether the acts are recorded."""


class Writer:
    """The connection that appends. Raises LogDamaged when the file is not the log it should be."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime], kinds: Mapping[str, type[BaseModel]]) -> None:
        self._path = path
        self._folder = str(path.parent)
        self._folder_seen: tuple[int, int, int] | None = None
        self._looked = 0  # when its files were last seen to be in their place, in the monotonic clock's nanoseconds
        self._file_names = (str(path), f"{path}-wal", str(lock_path(path)))
        self._clock = clock
        self._kinds = kinds
        # The last place of streams that were written to. True for as long as nobody else writes, which each
        # transaction makes sure of; forgotten whenever something is taken back. The triggers look for themselves.
        self._places: dict[str, int] = {}
        self._check_schema()  # before the first pragma, which would turn an empty file into a database
        self._connection = schema.connect_writer(path)
        try:
            # SQLite opens a write-protected file all the same, and says so at the first write; this changes nothing
            self._connection.execute("UPDATE log SET id = id WHERE FALSE")
            self.log_id = str(self._connection.execute("SELECT id FROM log").fetchone()[0])
            self._check_tail()
            self._head = self._read_head()
            self._files = self._identities()
        except BaseException:
            self._connection.close()
            raise
        self._cursor = self._connection.cursor()  # for what every append says; one for each would cost as much again
        self._view = View(self._connection)

    def close(self) -> None:
        """Closes the file; SQLite puts the WAL into it, if it is still there and nobody else reads."""
        self._connection.close()

    def run(self, acts: Sequence[Act]) -> list[Done | BaseException]:
        """Records acts in one transaction and returns what became of each, after the commit; an act that fails
        leaves the others alone. Raises when the transaction as a whole did not come through: CommitError where it
        is unknown whether it did, anything else where it did not."""
        if time.monotonic_ns() - self._looked > JUST_NOW_NANOSECONDS:
            self._check_files()
        self._cursor.execute("BEGIN IMMEDIATE")  # a plain BEGIN would ask for the write lock too late
        if (self._cursor.execute(_LAST).fetchone() or Head()) != self._head:
            raise LogDamaged(
                f"Somebody else wrote to the log {self._path}; nothing was recorded.",
                "Only one process may write. Find the other one, then `countersign audit verify`.",
            )
        head = self._head
        outcomes: list[Done | BaseException] = []
        for act in acts:
            outcome, head = self._guarded(act, head, alone=len(acts) == 1)
            outcomes.append(outcome)
        if not self._connection.in_transaction:  # an act that was alone failed and took it along
            return outcomes
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise CommitError from error
        self._head = head
        self._check_files()
        return outcomes

    def roll_back(self) -> None:
        """Ends a transaction that did not come through."""
        self._places.clear()
        with suppress(sqlite3.Error):  # there is none, or the connection is beyond help; the next use says so
            self._connection.execute("ROLLBACK")

    def look_up(self, act: Act) -> Done | None:
        """What the log holds under an act's id, or None. The answer to "did that commit happen?"."""
        self._check_files()
        events = self._view.act(act.id)
        return Done(events=events, new=False) if events else None

    def _guarded(self, act: Act, head: Head, *, alone: bool) -> tuple[Done | BaseException, Head]:
        if not alone:
            self._connection.execute("SAVEPOINT act")
        try:
            done, head = self._perform(act, head)
        except BaseException as error:
            self._places.clear()
            of_sqlite = isinstance(error, sqlite3.Error)
            if not self._connection.in_transaction or (of_sqlite and primary_code(error) not in FAULT_OF_THE_ACT):
                raise  # the whole transaction is gone or in doubt, not just this act
            self._connection.execute("ROLLBACK" if alone else "ROLLBACK TO act")
            if not alone:
                self._connection.execute("RELEASE act")
            return translated(error, self._path) if isinstance(error, sqlite3.Error) else error, head
        if not alone:
            self._connection.execute("RELEASE act")
        return done, head

    def _perform(self, act: Act, head: Head) -> tuple[Done, Head]:
        if not act.is_new and self._connection.execute("SELECT 1 FROM event WHERE id = ?", (act.id,)).fetchone():
            return self._first_recorded(act), head
        for stream, place in act.expect.items():
            if (last := self._view.last_place(stream)) != place:
                raise Conflict(
                    f"Somebody was first: {stream} is at place {last}, not {place}. Nothing was recorded.",
                    "Read it again and decide again.",
                )
        drafts = act.drafts if act.decide is None else act.decide(self._view)
        events: list[Event] = []
        for number, draft in enumerate(drafts or (), start=1):
            event, head = self._insert(draft, numbered_id(act.id, number), head)
            events.append(event)
        return Done(events=events, new=True), head

    def _first_recorded(self, act: Act) -> Done:
        events = self._view.act(act.id)
        recorded = [(event.kind, event.stream, event.actor) for event in events]
        asked = None if act.drafts is None else [(draft.kind, draft.stream, draft.actor) for draft in act.drafts]
        if (asked is not None and asked != recorded) or act.actor not in {None, events[0].actor}:
            raise IdConflict(
                f"The id {act.id} already belongs to another act, event {events[0].seq}. Nothing was recorded.",
                "Every act needs an id of its own; leave it out to be given one.",
            )
        return Done(events=events, new=False)

    def _insert(self, draft: Draft, id: str, head: Head) -> tuple[Event, Head]:
        data, read = canonical_data(draft, self._kinds)
        salt = os.urandom(16).hex()
        row: dict[str, Any] = {
            "seq": head.seq + 1,
            "id": id,
            "at": max(written_at(self._clock()), head.at),  # a clock that steps back does not turn the log around
            "kind": draft.kind,
            "actor": draft.actor,
            "project": draft.project,
            "environment": draft.environment,
            "request": draft.request,
            "stream": draft.stream,
            "place": self._next_place(draft.stream),
            "data": data,
            "commitment": commitment_of(salt, data),
            "previous": head.hash,
        }
        row["hash"] = hash_of(self.log_id, row)
        try:
            self._cursor.execute(_INSERT_EVENT, _EVENT_VALUES(row))
            self._cursor.execute(_INSERT_PAYLOAD, (row["seq"], salt, data))
        except sqlite3.IntegrityError as error:  # names the constraint, not the values
            raise BadEvent(f"The log's own checks refuse this {draft.kind} event: {error}.") from error
        if len(self._places) >= _MAX_PLACES:
            self._places.clear()
        self._places[draft.stream] = row["place"]
        return event_recorded(row, read), Head(row["seq"], row["at"], row["hash"])

    def _next_place(self, stream: str) -> int:
        last = self._places.get(stream)
        return (self._view.last_place(stream) if last is None else last) + 1

    def _read_head(self) -> Head:
        return Head(*(self._connection.execute(_LAST).fetchone() or ()))

    def _check_schema(self) -> None:
        connection = schema.connect_reader(self._path)
        try:
            problems = schema.schema_problems(connection)
        finally:
            connection.close()
        if problems:
            raise LogDamaged(
                f"{self._path} does not have the log's schema: {'; '.join(problems)}.",
                "Is it a log at all? `countersign audit verify` tells more.",
            )

    def _check_tail(self) -> None:
        if problems := tail_problems(self._connection, self.log_id):
            raise LogDamaged(
                f"The end of the log {self._path} does not verify: {problems[0].message}",
                "Look at it with `countersign audit verify`; nothing more is written to it.",
            )

    def _identities(self) -> list[tuple[int, int] | None]:
        # Without this a log that is moved away or deleted under a running process goes on as a file without a name:
        # every append succeeds, and all of them are gone with the process. The same for its WAL and its lock.
        found: list[tuple[int, int] | None] = []
        for name in self._file_names:
            try:
                status = os.stat(name)
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((status.st_dev, status.st_ino))
        return found

    def _check_files(self) -> None:
        # What moves, deletes or replaces a file changes its folder, so mostly a look at that will do. To look at the
        # files themselves costs a third of an append: from Linux 6.13 on, whose time of change somebody asked for has
        # its inode written at the next change, and the sync waits for that.
        try:
            folder = os.stat(self._folder)
        except FileNotFoundError:
            folder = None
        stamp = (folder.st_dev, folder.st_ino, folder.st_mtime_ns) if folder else None
        if folder and stamp == self._folder_seen:
            self._looked = time.monotonic_ns()
            return
        if folder is None or self._identities() != self._files:
            raise LogUnavailable(
                f"The log {self._path}, its WAL or its lock was moved or replaced while in use.",
                "Put the files back or leave them gone, then start again; see what the log then holds.",
            )
        # a folder may change twice within one tick of its clock, so one that changed just now is looked at again
        if time.time_ns() - folder.st_mtime_ns > SETTLED_NANOSECONDS:
            self._folder_seen = stamp
        self._looked = time.monotonic_ns()

"""A real log of which a process can die, and that is cheap to read ten thousand times."""

import sqlite3
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from audit import Draft
from audit import Event
from audit import Log
from audit import LogUnavailable
from audit import Query
from audit.view import View


class Killed(BaseException):
    """The process is gone in this moment: nothing catches that."""


class LogThatDies:
    """The log, but the process can be killed at a write to come: `before` it is recorded, or `after`."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.path = log.path
        self.left = -1
        self.how = ""
        self.writes = 0

    def dies(self, how: str, writes: int = 0) -> None:
        self.how, self.left = how, writes

    def append(self, drafts: Sequence[Draft], **more: Any) -> list[Event]:
        return self._at_risk(lambda: self.log.append(drafts, **more))

    def transact(self, decide: Callable[[View], Sequence[Draft]], **more: Any) -> list[Event]:
        return self._at_risk(lambda: self.log.transact(decide, **more))

    def subscribe(self, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        return self.log.subscribe(callback)

    def _at_risk(self, write: Callable[[], list[Event]]) -> list[Event]:
        self.left -= 1
        try:
            return self._write(write)
        finally:
            self.writes += 1

    def _write(self, write: Callable[[], list[Event]]) -> list[Event]:
        if self.left != -1:
            return write()
        if self.how == "unanswered":  # recorded, and nobody was told
            write()
            raise LogUnavailable("The log does not answer.")
        if self.how == "after":
            write()
        raise Killed


class Remembering(View):
    """The log for reading, over its writer's connection; what was read is known until something is written. It costs half of
    what it costs to open a connection for each question."""

    def __init__(self, connection: sqlite3.Connection, log: LogThatDies) -> None:
        super().__init__(connection)
        self._log = log
        self._known: dict[object, list[Event]] = {}
        self._as_of = -1

    def events(self, *, stream: str, since_place: int = 1) -> list[Event]:
        about = (stream, since_place)
        return self._once(about, lambda: super(Remembering, self).events(stream=stream, since_place=since_place))

    def find(self, query: Query) -> list[Event]:
        return self._once(query, lambda: super(Remembering, self).find(query))

    def _once(self, key: object, read: Callable[[], list[Event]]) -> list[Event]:
        if self._as_of != self._log.writes:
            self._known, self._as_of = {}, self._log.writes
        if key not in self._known:
            self._known[key] = read()
        return self._known[key]

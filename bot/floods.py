"""Clicks that are refused over and over: after some in a minute, a person's clicks are counted only, and one event tells of
all of them. A click that is only counted does nothing, so nothing of it is in the log before."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from enum import Enum

from audit import AuditError
from audit import Draft
from audit import Log
from ops.errors import Reason
from ops.people import Actor

logger = logging.getLogger("countersign.floods")

MOST = 20
"""So many refused or unanswered clicks of one person count in full within a minute. Nobody presses that many by hand."""

WITHIN_SECONDS = 60.0
SHUT_SECONDS = 60.0


class Entry(Enum):
    """What becomes of a click: it is looked at; it is not, and its person is told so; it is only counted."""

    TAKEN = "taken"
    TOLD = "told"
    COUNTED = "counted"


@dataclass
class _Flood:
    since: datetime
    count: int = 0


@dataclass
class _Clicks:
    """Of one person: when each click came that was refused or is not answered yet, and the flood that goes on, if any."""

    came: dict[str, float] = field(default_factory=dict)
    flood: _Flood | None = None


class Floods:
    """One count for each person. Any thread may ask; no question takes longer the more clicks there are."""

    def __init__(self, log: Log, now: Callable[[], datetime], shut_seconds: float = SHUT_SECONDS) -> None:
        self._log = log
        self._now = now
        self._shut_seconds = shut_seconds
        self._people: dict[str, _Clicks] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()

    def take(self, act: str, actor: Actor) -> Entry:
        """A click came in: what becomes of it."""
        with self._lock:
            clicks = self._people.setdefault(actor.id, _Clicks())
            if clicks.flood is not None:
                clicks.flood.count += 1
                return Entry.COUNTED
            now = time.monotonic()
            clicks.came = {one: at for one, at in clicks.came.items() if at > now - WITHIN_SECONDS}
            if len(clicks.came) < MOST:
                clicks.came[act] = now
                return Entry.TAKEN
            clicks.flood = _Flood(self._now(), 1)
            timer = threading.Timer(self._shut_seconds, self._end, [actor.id])
            timer.daemon = True
            self._timers[actor.id] = timer
            timer.start()
            return Entry.TOLD

    def answered(self, act: str, actor: Actor, *, refused: bool) -> None:
        """An act was answered; what was not refused no longer counts."""
        with self._lock:
            clicks = self._people.get(actor.id)
            if clicks is None or refused:
                return
            clicks.came.pop(act, None)
            if not clicks.came and clicks.flood is None:
                del self._people[actor.id]

    def close(self) -> None:
        """Write down every flood that goes on."""
        for person, timer in list(self._timers.items()):
            timer.cancel()
            self._end(person)

    def _end(self, person: str) -> None:
        """From now on this person's clicks are looked at again. Those that were counted are told in one event."""
        with self._lock:
            self._timers.pop(person, None)
            clicks = self._people.pop(person, None)
        if clicks is None or clicks.flood is None:
            return
        try:
            self._log.append([_counted(person, clicks.flood, self._now())])
        except AuditError as error:
            logger.error("flood_not_recorded person=%s count=%d error=%s", person, clicks.flood.count, error.message)


def _counted(person: str, flood: _Flood, until: datetime) -> Draft:
    clicks = f"{flood.count} click{'' if flood.count == 1 else 's'}"
    return Draft(
        kind="refused",
        actor=person,
        stream="people",
        data={
            "to": None,
            "word": "",
            "reason": Reason.FLOODED.value,
            "message": f"{clicks} of {person} were not looked at: {MOST} before them were refused within a minute.",
            "facts": {"count": flood.count, "since": flood.since.isoformat(), "until": until.isoformat()},
        },
    )

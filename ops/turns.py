"""Heavy work in turn: so many at once in this process, and of the same work only one."""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TypeVar

from ops.errors import OpsError
from ops.errors import Reason

MOST_SECONDS = 15 * 60.0
"""So long somebody waits for a turn, and is told then that it is busy."""

_LOOK_SECONDS = 1.0

T = TypeVar("T")


@dataclass
class _Shared:
    """One piece of work and what came of it, for all who asked before it began."""

    ended: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


class Turns:
    """`with turns.turn(key, waiting): …` waits until there is a place and nobody else is at the same work.

    `close()` gives no more turns; whoever has one sees it in `is_over()`.
    """

    def __init__(self, places: int, most_seconds: float = MOST_SECONDS) -> None:
        self._places = places
        self._most_seconds = most_seconds
        self._at_work: set[str] = set()
        self._to_come: dict[str, _Shared] = {}
        self._changed = threading.Condition()
        self._over = threading.Event()

    @contextmanager
    def turn(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """`waiting` is called once where it takes a while.

        Raises OpsError STOPPED when the turns are over, TARGET_BUSY when none came in time.
        """
        if not self._take(key, wait=False):
            waiting()
            self._take(key, wait=True)
        try:
            yield
        finally:
            with self._changed:
                self._at_work.discard(key)
                self._changed.notify_all()

    def shared(self, key: str, waiting: Callable[[], None], work: Callable[[], T]) -> T:
        """What `work` returns or raises, in its turn. It is done once for all who asked for `key` before it began; who
        asks later waits for the next, since it may have looked already at what they changed. Raises as `turn`."""
        with self._changed:
            standing = self._to_come.get(key)
            mine = self._to_come.setdefault(key, _Shared())
        if standing is not None:
            waiting()
            told: T = self._told(standing)
            return told
        try:
            with self.turn(key, waiting):
                self._close_to_others(key, mine)
                found = mine.result = work()
        except BaseException as error:
            self._close_to_others(key, mine)
            mine.error = error
            raise
        finally:
            mine.ended.set()
        return found

    def _close_to_others(self, key: str, mine: _Shared) -> None:
        with self._changed:
            if self._to_come.get(key) is mine:
                del self._to_come[key]

    def _told(self, standing: _Shared) -> Any:
        """What came of another one's work."""
        if not standing.ended.wait(self._most_seconds):
            raise _busy()
        if standing.error is not None:
            raise standing.error
        return standing.result

    def is_over(self) -> bool:
        return self._over.is_set()

    def close(self) -> None:
        self._over.set()
        with self._changed:
            self._changed.notify_all()

    def _take(self, key: str, *, wait: bool) -> bool:
        until = time.monotonic() + self._most_seconds
        with self._changed:
            while not self._over.is_set() and (key in self._at_work or len(self._at_work) >= self._places):
                if not wait:
                    return False
                if time.monotonic() >= until:
                    raise _busy()
                self._changed.wait(min(_LOOK_SECONDS, max(0.0, until - time.monotonic())))
            if self._over.is_set():
                raise OpsError(Reason.STOPPED, "This process ends, so nothing new is begun.", "Ask again.", exit_code=1)
            self._at_work.add(key)
            return True


def _busy() -> OpsError:
    return OpsError(
        Reason.TARGET_BUSY,
        "Other rehearsals and comparisons have taken every place for too long, so this was not begun.",
        "Ask again in a few minutes; to approve, reject and stop takes no such place.",
        exit_code=5,
    )

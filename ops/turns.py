"""Heavy work in turn: so many at once in this process, and of the same work only one."""

import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

from ops.errors import OpsError
from ops.errors import Reason

_LOOK_SECONDS = 1.0


class Turns:
    """`with turns.turn(key, waiting): …` waits until there is a place and nobody else is at the same work.

    `close()` gives no more turns; whoever has one sees it in `is_over()`.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._at_work: set[str] = set()
        self._changed = threading.Condition()
        self._over = threading.Event()

    @contextmanager
    def turn(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """`waiting` is called once where it takes a while. Raises OpsError(STOPPED) when the turns are over."""
        if not self._take(key, wait=False):
            waiting()
            self._take(key, wait=True)
        try:
            yield
        finally:
            with self._changed:
                self._at_work.discard(key)
                self._changed.notify_all()

    def is_over(self) -> bool:
        return self._over.is_set()

    def close(self) -> None:
        self._over.set()
        with self._changed:
            self._changed.notify_all()

    def _take(self, key: str, *, wait: bool) -> bool:
        with self._changed:
            while not self._over.is_set() and (key in self._at_work or len(self._at_work) >= self._places):
                if not wait:
                    return False
                self._changed.wait(_LOOK_SECONDS)
            if self._over.is_set():
                raise OpsError(Reason.STOPPED, "This process ends, so nothing new is begun.", "Ask again.", exit_code=1)
            self._at_work.add(key)
            return True

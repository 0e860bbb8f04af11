"""A thread beside a statement: it cancels on the server when somebody says stop, and notes who is in the way."""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress

import psycopg

from ops.blockers import Blocker
from ops.blockers import read_blockers
from ops.database import Connection
from ops.errors import OpsError
from ops.guard import Guard

# Below the shortest lock_timeout, so that even a wait of 100 ms is looked at once.
_TICK_SECONDS = 0.03
_STOP_ASKED_EVERY_SECONDS = 0.1
_BLOCKERS_READ_EVERY_SECONDS = 0.5
# A cancel that comes between two statements of the server hits nothing, so it is sent again.
_CANCELLED_EVERY_SECONDS = 1.0


class Watch:
    """Watches the statements of one session: `with watch.over(): connection.execute(…)`, and `close()` at the end.

    `stop` is called from the watching thread. `cancelled` says that a statement was cancelled because of it;
    `blockers` are those seen last, kept until `forget()`.
    """

    def __init__(self, connection: Connection, pid: int, guard: Guard, stop: Callable[[], bool]) -> None:
        self.cancelled = False
        self.blockers: tuple[Blocker, ...] = ()
        self._connection = connection
        self._pid = pid
        self._guard = guard
        self._stop = stop
        self._running = threading.Event()
        self._idle = threading.Event()
        self._closed = False
        self._at_work = threading.Lock()
        self._asked_at = self._read_at = self._cancelled_at = float("-inf")
        self._thread = threading.Thread(target=self._watch, name=f"watch {pid}", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self) -> Iterator[None]:
        """The body runs one statement. On leaving, no cancel of ours is on its way any more."""
        self._read_at = float("-inf")
        self._idle.clear()
        self._running.set()
        try:
            yield
        finally:
            self._running.clear()
            self._idle.set()
            with self._at_work:
                pass

    def forget(self) -> None:
        self.blockers = ()

    def close(self) -> None:
        self._closed = True
        self._idle.set()
        self._running.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._running.wait()
            if self._closed:
                return
            if not self._idle.wait(_TICK_SECONDS):
                with self._at_work:
                    if self._running.is_set():
                        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._asked_at >= _STOP_ASKED_EVERY_SECONDS:
            self._asked_at = now
            self.cancelled = self.cancelled or self._is_stopped()
        if self.cancelled and now - self._cancelled_at >= _CANCELLED_EVERY_SECONDS:
            self._cancelled_at = now
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=5)
        if now - self._read_at >= _BLOCKERS_READ_EVERY_SECONDS:
            self._read_at = now
            # A lost guard is noticed by the one who runs the statements, before the next one.
            with suppress(OpsError):
                self.blockers = self._guard.ask(lambda session: read_blockers(session, self._pid)) or self.blockers

    def _is_stopped(self) -> bool:
        try:
            return self._stop()
        except Exception:  # whoever cannot say whether to go on has not said yes
            return True

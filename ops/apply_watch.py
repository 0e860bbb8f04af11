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
from ops.guard import cancel_statement

# Below the shortest lock_timeout, so that even a wait of 100 ms is looked at once.
_TICK_SECONDS = 0.03
_STOP_ASKED_EVERY_SECONDS = 0.1
_BLOCKERS_READ_EVERY_SECONDS = 0.5
# A cancel that comes between two statements of the server hits nothing, so it is sent again.
_CANCELLED_EVERY_SECONDS = 1.0


def _never() -> bool:
    return False


class Watch:
    """Watches the statements of one session: `with watch.over(): connection.execute(…)`, and `close()` at the end.

    `stop` is called from the watching thread. `cancelled` says that a statement was cancelled because of it;
    `blockers` are those seen last, kept until `forget()`.
    """

    def __init__(
        self, connection: Connection, pid: int, backend_start: str, guard: Guard, stop: Callable[[], bool]
    ) -> None:
        self.cancelled = False
        self.blockers: tuple[Blocker, ...] = ()
        self._connection = connection
        self._pid = pid
        self._backend_start = backend_start
        self._guard = guard
        self._stop = stop
        self._since: float | None = None
        self._over = threading.Event()
        self._at_work = threading.Lock()
        self._asked_at = self._read_at = self._cancelled_at = float("-inf")
        self._thread = threading.Thread(target=self._watch, name=f"watch {pid}", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self) -> Iterator[None]:
        """The body runs one statement. On leaving, no cancel of ours is on its way any more."""
        self._read_at = float("-inf")
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
            with self._at_work:
                pass

    def forget(self) -> None:
        self.blockers = ()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        # Looks by the clock, since waking this thread for each of a thousand short statements costs more than they do.
        while not self._over.wait(_TICK_SECONDS):
            since = self._since
            if since is not None and time.monotonic() - since >= _TICK_SECONDS:
                with self._at_work:
                    if self._since is not None:
                        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._asked_at >= _STOP_ASKED_EVERY_SECONDS:
            self._asked_at = now
            self.cancelled = self.cancelled or self._is_stopped()
        if self.cancelled and now - self._cancelled_at >= _CANCELLED_EVERY_SECONDS:
            self._cancelled_at = now
            self._cancel()
        if now - self._read_at >= _BLOCKERS_READ_EVERY_SECONDS:
            self._read_at = now
            # A lost guard is noticed by the one who runs the statements, before the next one.
            with suppress(OpsError):
                self.blockers = self._guard.ask(lambda session: read_blockers(session, self._pid)) or self.blockers

    def _cancel(self) -> None:
        """On the server, by the guard's session; where that may not, or is lost, by the session's own cancel key."""
        with suppress(OpsError):
            if self._guard.ask(lambda session: cancel_statement(session, self._pid, self._backend_start)):
                return
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5)

    def let_finish(self) -> None:
        """From now on nothing is cancelled, whoever says stop: what comes is better done than left."""
        self._stop = _never
        self.cancelled = False

    def _is_stopped(self) -> bool:
        try:
            return self._stop()
        except Exception:  # whoever cannot say whether to go on has not said yes
            return True

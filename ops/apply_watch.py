"""A thread beside a statement: it cancels on the server when somebody says stop, gives way to those who wait behind it,
and notes who is in the way and how far an index is."""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress

import psycopg

from ops.apply_progress import read_building
from ops.blockers import Blocker
from ops.blockers import read_blockers
from ops.database import Connection
from ops.errors import OpsError
from ops.guard import Guard
from ops.guard import cancel_statement
from ops.queueing import look_behind

# Below the shortest lock_timeout, so that even a wait of 100 ms is looked at several times.
_TICK_SECONDS = 0.02
_STOP_ASKED_EVERY_SECONDS = 0.1
_BLOCKERS_READ_EVERY_SECONDS = 0.5
_QUEUE_READ_EVERY_SECONDS = 0.05
"""While the statement works and does not wait; while it waits, at every tick."""
# A cancel that comes between two statements of the server hits nothing, so it is sent again.
_CANCELLED_EVERY_SECONDS = 1.0


def _never() -> bool:
    return False


def _tell_nobody(words: str, share: float | None) -> None:
    pass


class Watch:
    """Watches the statements of one session: `begin(…)` for each try, `with watch.over(): connection.execute(…)`, and
    `close()` at the end.

    `stop` is called from the watching thread. `cancelled` says that a statement was cancelled because of it, `gave_way`
    that the last one was cancelled for those who waited behind it. Of this try: `blockers` are those seen last, `behind`
    how many were seen to wait behind it at once, `built` the oids of the indexes that it was seen to build.
    """

    def __init__(
        self, connection: Connection, pid: int, backend_start: str, guard: Guard, stop: Callable[[], bool]
    ) -> None:
        self.cancelled = False
        self.gave_way = False
        self.behind = 0
        self.blockers: tuple[Blocker, ...] = ()
        self.built: frozenset[int] = frozenset()
        self._connection = connection
        self._pid = pid
        self._backend_start = backend_start
        self._guard = guard
        self._stop = stop
        self._give_way_seconds: float | None = None
        self._tell: Callable[[str, float | None], None] = _tell_nobody
        self._builds = False
        self._since: float | None = None
        self._over = threading.Event()
        self._at_work = threading.Lock()
        self._asked_at = self._read_at = self._cancelled_at = self._queue_read_at = float("-inf")
        self._waits = False
        self._behind_since: float | None = None
        self._thread = threading.Thread(target=self._watch, name=f"watch {pid}", daemon=True)
        self._thread.start()

    def begin(
        self, *, give_way_seconds: float | None = None, tell: Callable[[str, float | None], None] = _tell_nobody
    ) -> None:
        """A new try: nobody was seen yet. While its statements wait for a lock, and somebody waits behind them for
        `give_way_seconds` (None: however long), they are cancelled. `tell` gets the progress of what builds an index."""
        self.blockers, self.built, self.behind = (), frozenset(), 0
        self._give_way_seconds = give_way_seconds
        self._tell = tell

    @contextmanager
    def over(self, *, builds: bool = False) -> Iterator[None]:
        """The body runs one statement, which perhaps `builds` an index. On leaving, no cancel of ours is on its way."""
        self.gave_way = False
        self._builds = builds
        self._read_at = self._queue_read_at = float("-inf")
        self._waits, self._behind_since = False, None
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
            with self._at_work:
                pass

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
        # A lost guard is noticed by the one who runs the statements, before the next one.
        with suppress(OpsError):
            if self._give_way_seconds is not None and (
                self._waits or now - self._queue_read_at >= _QUEUE_READ_EVERY_SECONDS
            ):
                self._queue_read_at = now
                self._look_behind(now, self._give_way_seconds)
            if now - self._read_at >= _BLOCKERS_READ_EVERY_SECONDS:
                self._read_at = now
                self.blockers = self._guard.ask(lambda session: read_blockers(session, self._pid)) or self.blockers
                self._look_at_the_index()

    def _look_behind(self, now: float, give_way_seconds: float) -> None:
        waited = now - self._behind_since if self._behind_since is not None else 0.0
        gives_way = waited >= give_way_seconds
        queue = self._guard.ask(
            lambda session: look_behind(session, self._pid, self._backend_start, give_way=gives_way)
        )
        self._waits = queue.waits
        if not queue.behind:
            self._behind_since = None
            return
        self.behind = max(self.behind, queue.behind)
        self._behind_since = self._behind_since if self._behind_since is not None else now
        if gives_way:
            self.gave_way = True
            if not queue.cancelled:
                self._cancel_by_key()

    def _look_at_the_index(self) -> None:
        if not self._builds:
            return
        building = self._guard.ask(lambda session: read_building(session, self._pid))
        if building is None:
            return
        self.built |= {building.oid} - {0}
        words = str(building)
        if building.waits and self.blockers:
            words += f" for {'; '.join(map(str, self.blockers))}"
        # Whoever cannot be told does not keep a stop from being heard.
        with suppress(Exception):
            self._tell(words, building.share)

    def _cancel(self) -> None:
        """On the server, by the guard's session; where that may not, or is lost, by the session's own cancel key."""
        with suppress(OpsError):
            if self._guard.ask(lambda session: cancel_statement(session, self._pid, self._backend_start)):
                return
        self._cancel_by_key()

    def _cancel_by_key(self) -> None:
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

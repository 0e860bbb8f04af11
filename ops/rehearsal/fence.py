"""What a rehearsal's files may take in time, and the end of what takes more."""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress

import psycopg

from ops.database import Connection
from ops.errors import OpsError
from ops.scratch import Limits

_GRACE_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.2


class Fence:
    """Ends what takes too long: first as a stop does, and what will not be stopped by ending its session."""

    def __init__(self, ask: Callable[[], Connection], limits: Limits, stop: Callable[[], bool]) -> None:
        self.limits = limits
        self.is_stopped = False
        self.ended_because = ""
        self._ask = ask
        self._stop = stop
        self._deadline = time.monotonic() + limits.seconds
        self._running: tuple[int, float] | None = None
        self._late_since: float | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rehearsal limits", daemon=True)

    def __enter__(self) -> "Fence":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    @contextmanager
    def around(self, pid: int) -> Iterator[None]:
        """The body runs one statement in the session of this process id."""
        self._running = (pid, time.monotonic())
        try:
            yield
        except psycopg.Error:
            self._notice_limits()  # the server has the same limit for a statement, and may have been first
            raise
        finally:
            self._running = None
            self._late_since = None

    def is_over(self) -> bool:
        """Whether to end what runs now; remembers why."""
        if self._stop():
            self.is_stopped = True
        self._notice_limits()
        return self.is_stopped or bool(self.ended_because)

    def _notice_limits(self) -> None:
        running, now = self._running, time.monotonic()
        if self.ended_because:
            return
        if now > self._deadline:
            self.ended_because = f"The rehearsal took longer than {self.limits.seconds:g} s, and may take no more"
        elif running and now > running[1] + self.limits.statement_seconds:
            self.ended_because = (
                f"This statement took longer than {self.limits.statement_seconds:g} s, "
                "which is all that one may take in a rehearsal"
            )

    def _watch(self) -> None:
        while not self._leaving.wait(_LOOK_EVERY_SECONDS):
            running = self._running
            if running is None or not self.is_over():
                continue
            now = time.monotonic()
            if self._late_since is None:
                self._late_since = now
            elif now > self._late_since + _GRACE_SECONDS:
                # A statement may catch its own cancellation and go on.
                with suppress(psycopg.Error, OpsError), closing(self._ask()) as ask:
                    ask.execute("SELECT pg_catalog.pg_terminate_backend(%s)", (running[0],))

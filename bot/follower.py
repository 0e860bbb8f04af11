"""Following the log in a thread: woken by what concerns it, and going on after a restart where it had come to."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence

from audit import AuditError
from audit import Event
from audit import Query
from bot.store import Store
from ops.layer import Ops

logger = logging.getLogger("countersign.follower")


class Follower:
    """One thread that makes its `looks` whenever events of its kinds were recorded, and when `pause` is over.

    The store knows under `name` how far it has told, in events of the log.
    """

    def __init__(self, ops: Ops, store: Store, name: str, kinds: Collection[str]) -> None:
        self.ops = ops
        self.store = store
        self.name = name
        self._kinds = kinds
        self._woken = threading.Event()
        self._over = threading.Event()
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def looks(self) -> Iterable[Callable[[], None]]:
        """What is done each time; what one of them raises keeps the others from nothing."""
        raise NotImplementedError

    def pause(self) -> float:
        """Seconds until the next look, if nothing is recorded before."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def reached(self) -> int:
        """The last event that need not be told any more."""
        return self.store.followed(self.name) or 0

    def start(self) -> None:
        """Tell what was not told while no bot was up; a bot with a new store begins with what happens now."""
        head = self.head()
        if (done := self.store.followed(self.name)) is None or done > head:
            self.store.follow(self.name, head)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after what is being told; the next start goes on from there."""
        self._unsubscribe()
        self._over.set()
        self._woken.set()
        self._thread.join(seconds)

    def head(self) -> int:
        """The newest event."""
        return next((event.seq for event in self.ops.view.find(Query(limit=1, newest_first=True))), 0)

    def _on_events(self, events: Sequence[Event]) -> None:
        if any(event.kind in self._kinds for event in events):
            self._woken.set()

    def _work(self) -> None:
        while not self._over.is_set():
            self._woken.clear()
            for look in self.looks():
                try:
                    look()
                except AuditError as error:
                    logger.error("follower_cannot_use_the_log name=%s error=%s", self.name, error.message)
                except Exception:
                    logger.exception(
                        "follower_failed_unexpectedly name=%s", self.name
                    )  # and goes on with what comes next
            self._woken.wait(self.pause())


def pause_until(moments: Iterable[float], most_seconds: float) -> float:
    """Seconds until the first of these moments of the monotonic clock: not none, and not more than `most_seconds`."""
    return max(0.1, min([most_seconds, *(moment - time.monotonic() for moment in moments)]))

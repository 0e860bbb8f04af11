"""The watches behind runs, each in a thread of its own: one target that answers slowly keeps no other waiting."""

import logging
import threading
import time
from collections.abc import Sequence

from audit import AuditError
from audit import Event
from ops.errors import OpsError
from ops.layer import Ops
from ops.requests import find_request
from ops.watch import follow
from ops.watch import unfinished_watches

logger = logging.getLogger("countersign.watching")

AGAIN_SECONDS = 10.0
"""So long a watch that broke off is left alone before it goes on."""


class Watches:
    """Goes on with every watch that the log says began and is not over. `look` from one thread, the rest from any."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._over = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._not_before: dict[str, float] = {}
        self._is_due = True

    def note(self, events: Sequence[Event]) -> bool:
        """Whether one of these events may begin a watch: then it is looked for them again."""
        may_begin = any(event.kind == "watch_began" or event.stream.startswith("target:") for event in events)
        if may_begin:
            self._is_due = True
        return may_begin

    def look(self) -> None:
        """Begin or go on with what is not at work. Raises AuditError."""
        if not self._is_due:
            return
        self._is_due = False
        for request in unfinished_watches(self._ops.view, self._ops.now()):
            thread = self._threads.get(request)
            if (thread is not None and thread.is_alive()) or not find_request(self._ops.view, request).is_over:
                continue  # its end is in the target's stream, and brings us here again
            if time.monotonic() < self._not_before.get(request, 0.0):
                self._is_due = True
                continue
            self._threads[request] = threading.Thread(
                target=self._follow, args=(request,), name=f"watch-{request}", daemon=True
            )
            self._threads[request].start()

    def stop(self, seconds: float) -> None:
        """End all after their look; the next start goes on with them."""
        self._over.set()
        end = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def _follow(self, request: str) -> None:
        try:
            follow(self._ops, request, self._over)
            return
        except (OpsError, AuditError) as error:
            logger.warning("watch_broke_off request=%s error=%s", request, error.message)
        except Exception:
            logger.exception("watch_failed_unexpectedly request=%s", request)
        self._not_before[request] = time.monotonic() + AGAIN_SECONDS
        self._is_due = True

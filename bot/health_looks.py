"""Looks at the health of targets whose settings say how often, each in a thread of its own: one that answers slowly keeps
no other waiting. What changed goes into the log, from where the watcher tells it."""

import logging
import random
import threading
from collections.abc import Mapping
from datetime import timedelta

from audit import AuditError
from ops.errors import OpsError
from ops.health_changes import Pending
from ops.health_watch import look_at_health
from ops.layer import Ops
from ops.targets import Target
from ops.targets import all_targets

logger = logging.getLogger("countersign.health")

FIRST_LOOK_SECONDS = 2.0

AGAIN_SECONDS = 20.0
"""So soon what is seen otherwise than before is looked at again, to know whether it is so or was a hiccup."""


class HealthLooks:
    """One thread for each target with `health_every`; none where nobody asks for it."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(target, every), name=f"health-{target.name}", daemon=True)
            for target in all_targets(ops.settings)
            if (every := target.settings.health_every)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No further look begins. One that is under way ends by its own timeouts, and keeps nobody waiting."""
        self._over.set()

    def _work(self, target: Target, every: timedelta) -> None:
        pending: Mapping[str, Pending] = {}
        pause = FIRST_LOOK_SECONDS
        while not self._over.wait(pause):
            try:
                pending, event = look_at_health(self._ops, target, pending)
                if event is not None:
                    logger.info("health_changed target=%s event=%s", target.name, event.id)
            except (OpsError, AuditError) as error:
                logger.warning("health_not_looked_at target=%s error=%s", target.name, error.message)
            except Exception:
                logger.exception("health_look_failed_unexpectedly target=%s", target.name)
            seconds = every.total_seconds()
            # Uneven, so that the checks of many targets do not run at the same moment for ever.
            pause = min(AGAIN_SECONDS, seconds) if pending else seconds * random.uniform(0.95, 1.05)  # noqa: S311

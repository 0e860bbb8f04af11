"""Looks at the targets now and then: for changes that were made without us, of which the channel is told once, and for how
much they have to do; and has those watched behind which a run has just ended."""

import logging
import random
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from audit import AuditError
from audit import Event
from audit import Query
from bot.channels import channel_of
from bot.channels import post
from bot.health_looks import HealthLooks
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from bot.watching import Watches
from commands.health_page import health_changed_page
from commands.outside_page import outside_page
from ops.backups import tidy_up
from ops.errors import OpsError
from ops.layer import Ops
from ops.load_memory import TICK
from ops.outside import look
from ops.prior.kept import remove_old
from ops.targets import Target
from ops.targets import all_targets
from ops.watch import remember_load

logger = logging.getLogger("countersign.watcher")

TELL_FOR = timedelta(days=30)
TELL_AGAIN_FOR = timedelta(days=1)
"""What is older is not told where the store was lost that knows what was told already."""

FIRST_LOOK_SECONDS = 3.0
TICK_SECONDS = 15.0
AFTER_RUN_SECONDS = 2.0
"""So soon after a run its schema is remembered, to name what changes next."""

TOLD = {"changed_outside": outside_page, "health_changed": health_changed_page}
"""The kinds of events that the channel is told of, each with its page."""

ENDED = frozenset({"succeeded", "partially_applied", "failed", "adopted", "recorded"})

TIDY_SECONDS = 3600.0
"""How often backups are removed that were kept long enough."""

AGAIN_SECONDS = 60.0
"""So long a change that could not be told waits for the next try."""


class Watcher:
    """One thread for the looks and for the telling. A target that cannot be read is looked at again when its time comes."""

    def __init__(self, ops: Ops, api: SlackApi, store: Store) -> None:
        self._ops = ops
        self._api = api
        self._store = store
        self._due = {
            target.name: time.monotonic() + FIRST_LOOK_SECONDS
            for target in all_targets(ops.settings)
            if target.settings.drift_every is not None
        }
        self._load_due = {
            target.name: time.monotonic() + FIRST_LOOK_SECONDS
            for target in all_targets(ops.settings)
            if target.settings.watch_for is not None
        }
        self._watches = Watches(ops)
        self._health = HealthLooks(ops)
        self._tidy_due = time.monotonic() + FIRST_LOOK_SECONDS
        self._again: dict[str, float] = {}
        self._woken = threading.Event()
        self._over = threading.Event()
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._health.start()

    def stop(self, seconds: float) -> None:
        """End after what is being done now."""
        self._unsubscribe()
        self._over.set()
        self._health.stop()
        self._woken.set()
        self._thread.join(seconds)
        self._watches.stop(seconds)

    def _on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            name = f"{event.project}/{event.environment}"
            if event.kind in ENDED and event.stream.startswith("target:") and name in self._due:
                self._due[name] = time.monotonic() + AFTER_RUN_SECONDS
        if self._watches.note(events) or any(event.kind in {*TOLD, *ENDED} for event in events):
            self._woken.set()

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                self._watches.look()
                if time.monotonic() >= self._tidy_due:
                    self._tidy_due = time.monotonic() + TIDY_SECONDS
                    tidy_up(self._ops)
                for target in all_targets(self._ops.settings):
                    if time.monotonic() >= self._load_due.get(target.name, float("inf")) and not self._over.is_set():
                        self._remember_load(target)
                    if time.monotonic() >= self._due.get(target.name, float("inf")) and not self._over.is_set():
                        self._look(target)
                self._tell()
            except AuditError as error:
                logger.error("watcher_cannot_use_the_log error=%s", error.message)
            except Exception:
                logger.exception("watcher_failed_unexpectedly")  # and goes on: nobody else would notice changes
            self._woken.wait(self._pause())
            self._woken.clear()

    def _pause(self) -> float:
        soonest = min([*self._due.values(), *self._load_due.values()], default=float("inf"))
        return max(0.1, min(TICK_SECONDS, soonest - time.monotonic()))

    def _look(self, target: Target) -> None:
        every = target.settings.drift_every
        if every is None:
            return
        # Uneven, so that targets of one server are not all asked at the same moment for ever.
        self._due[target.name] = time.monotonic() + every.total_seconds() * random.uniform(0.95, 1.05)  # noqa: S311
        try:
            event = look(self._ops, target)
            remove_old(self._ops, target)
        except OpsError as error:
            logger.warning("target_not_looked_at target=%s reason=%s", target.name, error.reason.value)
            return
        if event is not None:
            logger.info("target_looked_at target=%s noted=%s", target.name, event.kind)

    def _remember_load(self, target: Target) -> None:
        self._load_due[target.name] = time.monotonic() + TICK.total_seconds() * random.uniform(0.95, 1.05)  # noqa: S311
        try:
            remember_load(self._ops, target)
        except (OpsError, OSError) as error:
            logger.warning("load_not_remembered target=%s error=%s", target.name, type(error).__name__)

    def _tell(self) -> None:
        """Post every change that was not told yet. One that cannot be told keeps no other back, and is tried again."""
        since = self._ops.now() - (TELL_AGAIN_FOR if self._store.is_new else TELL_FOR)
        for event in self._ops.view.find(Query(kinds=tuple(TOLD), since=since)):
            if self._store.was_told(event.id) or time.monotonic() < self._again.get(event.id, 0.0):
                continue
            try:
                self._post(event)
            except SlackUnavailableError as error:
                self._again[event.id] = time.monotonic() + AGAIN_SECONDS
                logger.warning("change_not_told event=%s error=%s", event.id, error)

    def _post(self, event: Event) -> None:
        channel = channel_of(self._api, self._ops.settings, event.project)
        post(self._api, channel, TOLD[event.kind](event))
        self._store.tell(event.id)

"""Commit statuses: the log is followed, and GitHub is told how the requests for a commit stand. A run never waits for it."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from audit import AuditError
from audit import Event
from audit import Query
from bot.store import Store
from ops.ci_settings import Github
from ops.commit_status import StatusRefusedError
from ops.commit_status import post_status
from ops.commit_status import status_of
from ops.errors import OpsError
from ops.layer import Ops
from ops.requests import find_request

logger = logging.getLogger("countersign.statuses")

KINDS = (
    "requested", "started", "resumed", "succeeded", "failed", "partially_applied", "interrupted", "rejected", "cancelled",
    "expired", "superseded",
)  # fmt: skip
"""What changes how a request stands."""

READER = "commit statuses"
"""Under which the store knows how far the log was read."""

TELL_FOR = timedelta(days=1)
AGAIN_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0)
LOOK_SECONDS = 30.0


class Statuses:
    """One thread. What GitHub does not take is tried again, or given up where trying is no use."""

    def __init__(self, ops: Ops, github: Github, store: Store) -> None:
        self._ops = ops
        self._github = github
        self._store = store
        self._due: dict[str, tuple[int, float]] = {}
        self._newest: dict[tuple[str, str], int] = {}
        self._read = 0
        self._woken = threading.Event()
        self._over = threading.Event()
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="statuses", daemon=True)

    def start(self) -> None:
        """Tell what was not told while no bot was up; a bot with a new store begins with what happens now."""
        head = next((event.seq for event in self._ops.view.find(Query(limit=1, newest_first=True))), 0)
        if (done := self._store.followed(READER)) is None or done > head:
            self._store.follow(READER, head)
        self._read = self._store.followed(READER) or 0
        self._thread.start()

    def stop(self, seconds: float) -> None:
        self._unsubscribe()
        self._over.set()
        self._woken.set()
        self._thread.join(seconds)

    def _on_events(self, events: Sequence[Event]) -> None:
        if any(event.kind in KINDS for event in events):
            self._woken.set()

    def _work(self) -> None:
        while not self._over.is_set():
            self._woken.clear()
            try:
                self._look()
            except AuditError as error:
                logger.error("statuses_cannot_read error=%s", error.message)
            except Exception:
                logger.exception("statuses_failed_unexpectedly")  # and goes on with what comes next
            soonest = min((due for _, due in self._due.values()), default=float("inf"))
            self._woken.wait(max(0.1, min(LOOK_SECONDS, soonest - time.monotonic())))

    def _look(self) -> None:
        """Read on, then say what is due. How far was read is kept once nothing is owed."""
        query = Query(kinds=KINDS, after_seq=self._read, since=self._ops.now() - TELL_FOR)
        for event in self._ops.view.find(query):
            self._read = max(self._read, event.seq)
            if event.request and event.project in self._github.repositories:
                self._due[event.request] = (0, 0.0)
        for number, (tries, due) in list(self._due.items()):
            if due <= time.monotonic() and not self._over.is_set():
                self._say(number, tries)
        if not self._due:
            self._store.follow(READER, self._read)

    def _say(self, number: str, tries: int) -> None:
        request = find_request(self._ops.view, number)
        said = status_of(request, self._ops.now())
        # Of one commit on one target the newest request counts: what it superseded would say otherwise behind it.
        order = int(number.removeprefix("R-"))
        if said is None or order < self._newest.setdefault((request.commit, request.target), order):
            del self._due[number]
            return
        self._newest[request.commit, request.target] = order
        try:
            post_status(self._ops.settings, self._github, request, said)
        except StatusRefusedError as error:
            logger.warning("status_not_taken request=%s because=%s", number, error)
            if error.is_final or tries >= len(AGAIN_SECONDS):
                del self._due[number]
            else:
                self._due[number] = (tries + 1, time.monotonic() + AGAIN_SECONDS[tries])
            return
        except OpsError as error:
            logger.warning("status_not_sent request=%s because=%s", number, error.message)
        self._due.pop(number, None)

"""Commit statuses: the log is followed, and GitHub is told how the requests for a commit stand. A run never waits for it."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from audit import Query
from bot.follower import Follower
from bot.follower import pause_until
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


class Statuses(Follower):
    """One thread. What GitHub does not take is tried again, or given up where trying is no use."""

    def __init__(self, ops: Ops, github: Github, store: Store) -> None:
        super().__init__(ops, store, READER, KINDS)
        self._github = github
        self._due: dict[str, tuple[int, float]] = {}
        self._newest: dict[tuple[str, str], int] = {}
        self._read: int | None = None

    def looks(self) -> tuple[Callable[[], None], ...]:
        return (self._look,)

    def pause(self) -> float:
        return pause_until((due for _, due in self._due.values()), LOOK_SECONDS)

    def _look(self) -> None:
        """Read on, then say what is due. How far was read is kept once nothing is owed."""
        read = self.reached if self._read is None else self._read
        for event in self.ops.view.find(Query(kinds=KINDS, after_seq=read, since=self.ops.now() - TELL_FOR)):
            read = max(read, event.seq)
            if event.request and event.project in self._github.repositories:
                self._due[event.request] = (0, 0.0)
        self._read = read
        for number, (tries, due) in list(self._due.items()):
            if due <= time.monotonic() and not self.is_over:
                self._say(number, tries)
        if not self._due:
            self.store.follow(self.name, read)

    def _say(self, number: str, tries: int) -> None:
        request = find_request(self.ops.view, number)
        said = status_of(request, self.ops.now())
        # Of one commit on one target the newest request counts: what it superseded would say otherwise behind it.
        order = int(number.removeprefix("R-"))
        if said is None or order < self._newest.setdefault((request.commit, request.target), order):
            del self._due[number]
            return
        self._newest[request.commit, request.target] = order
        try:
            post_status(self.ops.settings, self._github, request, said)
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

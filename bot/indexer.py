"""Keeps the log's side file up with the log, a little at a time while the bot runs: questions are quick so."""

import logging
import threading

from audit import AuditError
from audit.side_index import SideIndex
from ops.layer import Ops

logger = logging.getLogger("countersign.indexer")

LOOK_SECONDS = 30.0
WORK_SECONDS = 0.05
REST_SECONDS = 0.2
"""A thread at work takes the interpreter from who waits for an acknowledgement, so it works a fifth of the time at most."""


class Indexer:
    """`start` and `stop` once each. Where the side file cannot be made, questions look through the log: that takes longer."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._index = SideIndex(ops.log.path)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="indexer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        self._over.set()
        self._thread.join(seconds)

    def _work(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                while self._take_in() and not self._over.wait(REST_SECONDS):
                    pass
            except AuditError as error:
                logger.warning("log_cannot_be_read error=%s", error.message)
            except Exception:
                logger.exception("indexer_failed_unexpectedly")

    def _take_in(self) -> int:
        with self._ops.view.together() as view:
            return self._index.catch_up(view, seconds=WORK_SECONDS)

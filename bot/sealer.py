"""Seals the months that are over while the bot runs, and does what an erasure left to do. One thread, off the event loop."""

import logging
import threading

from audit import AuditError
from ops.errors import OpsError
from ops.layer import Ops
from ops.segments import seal_due

logger = logging.getLogger("countersign.sealer")

LOOK_SECONDS = 600.0


class SealerThread:
    """`start` and `stop` once each."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sealer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End; a segment that is being made is made again the next time."""
        self._over.set()
        self._thread.join(seconds)

    def _work(self) -> None:
        while not self._over.is_set():
            self._seal()
            self._over.wait(LOOK_SECONDS)

    def _seal(self) -> None:
        try:
            for segment in seal_due(self._ops):
                logger.info(
                    "segment_sealed month=%s events=%s", segment.month, segment.last_seq - segment.first_seq + 1
                )
        except (AuditError, OpsError) as error:
            logger.error("segment_not_sealed error=%s", error.message)
        except Exception:
            logger.exception("sealing_failed_unexpectedly")

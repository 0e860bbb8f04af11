"""Signs the log while the bot runs: at intervals, when a run has ended, and at the end. One thread, off the event loop."""

import logging
import threading
from collections.abc import Sequence

from audit import AuditError
from audit import Event
from bot.channels import post
from bot.channels import refuse_shared
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from commands.page import Page
from commands.page import Source
from ops.checkpoints import Notary
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.status import ENDINGS

logger = logging.getLogger("countersign.notary")

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 60.0
"""After a checkpoint that could not be made, so long until the next try."""


class SlackAnchor:
    """A channel, which every member's client and every export keep: one message for each checkpoint."""

    def __init__(self, api: SlackApi, channel: str) -> None:
        self._api = api
        self._channel = channel

    @property
    def where(self) -> str:
        return f"slack:{self._channel}"

    def publish(self, note: str, size: int, at: str) -> str:
        page = Page(f"Checkpoint of the audit log: {size} events", body=[Source("", note)])
        try:
            refuse_shared(self._api, self._channel)
            return post(self._api, self._channel, page)
        except SlackUnavailableError as error:
            message = f"The checkpoint at {size} events cannot be posted to {self._channel}: {error}."
            raise OpsError(
                Reason.ANCHOR_FAILED, message, "It covers what the next one covers too.", exit_code=1
            ) from error


def notary_of(ops: Ops, api: SlackApi) -> "NotaryThread | None":
    """What signs this log; None where no key is configured. Raises OpsError for a key that cannot be used."""
    places = [SlackAnchor(api, one.slack) for one in ops.settings.audit.anchors if one.slack is not None]
    notary = Notary(ops, places)
    return NotaryThread(ops, notary) if notary.is_set_up else None


class NotaryThread:
    """`start` and `stop` once each. A run that ends is signed for at once, everything else when its time comes."""

    def __init__(self, ops: Ops, notary: Notary) -> None:
        self._notary = notary
        self._woken = threading.Event()
        self._over = threading.Event()
        self._ended = threading.Event()
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="notary", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Sign once more, and end."""
        self._unsubscribe()
        self._over.set()
        self._woken.set()
        self._thread.join(seconds)

    def _on_events(self, events: Sequence[Event]) -> None:
        if any(event.kind in ENDINGS and event.stream.startswith("request:") for event in events):
            self._ended.set()
            self._woken.set()

    def _work(self) -> None:
        while not self._over.is_set():
            self._woken.clear()
            why = "run" if self._ended.is_set() else self._due()
            self._ended.clear()
            made = self._make(why) if why else True
            self._over.wait(AGAIN_SECONDS) if not made else self._woken.wait(LOOK_SECONDS)
        self._make("stop")

    def _due(self) -> str:
        try:
            return self._notary.due()
        except AuditError as error:
            logger.warning("log_cannot_be_read error=%s", error.message)
            return ""

    def _make(self, why: str) -> bool:
        try:
            self._notary.make(why)
        except (OpsError, AuditError) as error:
            logger.error("checkpoint_not_made error=%s", error.message)
            return False
        except Exception:
            logger.exception("checkpoint_failed_unexpectedly")
            return False
        return True

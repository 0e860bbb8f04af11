"""Telling whoever waits that work goes on, and how far it is."""

import logging
import threading
import time
from collections.abc import Callable

from audit import AuditError
from bot.slack_api import SlackUnavailableError

logger = logging.getLogger("countersign.progress")

PROGRESS_AT_SECONDS = (1.2, 6.0, 20.0)
"""When a person who waits is told how far it is: each time a new private line, for Slack changes none that a command's
response_url brought (slackapi/bolt-python#1268, bolt-js#2287). It takes five answers in all; two are for the reply."""


class Progress:
    """Tells the person that work goes on, and how far it is, if it takes longer than a moment."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._words = ""
        self._over = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, words: str) -> None:
        """Begin to tell, unless that has begun."""
        with self._mutex:
            if self._thread is None:
                self._words = words
                self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)
                self._thread.start()

    def __enter__(self) -> "Progress":
        self.follow("")
        self._words = "starting"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()  # what is being told is told before the answer, not after it

    def note(self, words: str) -> None:
        self._words = words

    def _follow(self) -> None:
        began, told = time.monotonic(), ""
        for at in PROGRESS_AT_SECONDS:
            if self._over.wait(max(0.0, began + at - time.monotonic())):
                return
            words = self._words
            if words == told:
                continue
            told = words
            try:
                self._tell(words)
            except (SlackUnavailableError, AuditError) as error:
                logger.info("progress_not_told error=%s", error)

"""How many calls the Management API still takes, per project and endpoint, as its last answers said."""

import threading
import time
from collections.abc import Callable
from collections.abc import Mapping

Endpoint = tuple[str, ...]


class Budget:
    """What is left of the rate limits. One for the whole process: clients come and go, the account's limits stay."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._empty_until: dict[Endpoint, float] = {}

    def wait_seconds(self, endpoint: Endpoint) -> float:
        """How long until this endpoint takes a call again; 0 when it does, or nothing is known."""
        with self._lock:
            return max(0.0, self._empty_until.get(endpoint, 0.0) - self._clock())

    def note(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        """Remember what an answer's X-RateLimit-Remaining and -Reset (seconds) say."""
        try:
            remaining, reset = int(headers["x-ratelimit-remaining"]), float(headers["x-ratelimit-reset"])
        except (KeyError, ValueError):
            return
        with self._lock:
            if remaining <= 0 and 0 < reset < 86_400:
                self._empty_until[endpoint] = self._clock() + reset
            else:
                self._empty_until.pop(endpoint, None)

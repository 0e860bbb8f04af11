"""What can go wrong on purpose: rate limits as Slack counts them, and faults that a test asks for."""

import math
from collections import defaultdict
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
# Slack tolerates short bursts without saying how long: ten sockets may open at once, a few messages too.
BURST = {1: 10, 2: 20, 3: 50, 4: 100}
POST_TIER = 0
POSTS_PER_MINUTE = 300
CHANNEL_POST_BURST = 5


@dataclass
class Bucket:
    """Tokens that come back at a steady rate; `at` is when `tokens` was counted."""

    tokens: float
    at: float


class RateLimits:
    """The buckets of one app in one workspace. `clock` gives seconds; with `on` false everything passes."""

    def __init__(self, clock: Callable[[], float], on: bool) -> None:
        self.on = on
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def wait_seconds(self, method: str, tier: int, channel: str) -> int:
        """0 when the call may pass now (and is counted), else what Slack says in `Retry-After`."""
        if not self.on:
            return 0
        if tier != POST_TIER:
            return self._take(method, BURST[tier], PER_MINUTE[tier] / 60)
        return self._take(f"{method} {channel}", CHANNEL_POST_BURST, 1.0) or self._take(
            method, POSTS_PER_MINUTE, POSTS_PER_MINUTE / 60
        )

    def _take(self, name: str, most: float, per_second: float) -> int:
        now = self._clock()
        bucket = self._buckets.setdefault(name, Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.tokens < 1:
            return max(1, math.ceil((1 - bucket.tokens) / per_second))
        bucket.tokens -= 1
        return 0


class Drop(StrEnum):
    """A connection that breaks: before Slack did anything, or after it did all and before it could say so."""

    BEFORE = "before"
    AFTER = "after"


Fault = str | int | Drop
"""An error code of Slack, an HTTP status (429, 503…), or a broken connection."""


class Faults:
    """Faults that wait for their method to be called, in the order in which they were asked for.

    `always` is what every other call meets, and `all_latency_seconds` how much longer each takes, until it is unset.
    """

    def __init__(self) -> None:
        self.always: Fault | None = None
        self.all_latency_seconds = 0.0
        self.latency_seconds: defaultdict[str, float] = defaultdict(float)
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def add(self, method: str, *faults: Fault) -> None:
        """The next calls of this method fare so, one fault each."""
        self._waiting[method].extend(faults)

    def clear(self, method: str) -> None:
        """What was still to come of this method's faults does not come."""
        self._waiting[method].clear()

    def next(self, method: str) -> Fault | None:
        """The fault for this call; None when it may go its way."""
        waiting = self._waiting[method]
        return waiting.popleft() if waiting else self.always

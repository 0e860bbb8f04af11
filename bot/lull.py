"""Acknowledgements first: the work of what was acknowledged begins when nothing more comes in for a moment."""

import asyncio
from collections.abc import Callable

from bot.intake import Act

QUIET_SECONDS = 0.02
LONGEST_SECONDS = 0.5


class Lull:
    """Holds acts back while more come in, then hands all of them on. Used on the event loop alone.

    A thread at work takes the interpreter from the loop for milliseconds at a time. Who waits for an acknowledgement
    reads after three seconds that the command failed; who waits for an answer does not notice a fiftieth of a second.
    """

    def __init__(self, hand: Callable[[Act], None]) -> None:
        self._hand = hand
        self._held: list[Act] = []
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, act: Act) -> None:
        """Hold an act; for half a second at the longest, however many follow."""
        loop = asyncio.get_running_loop()
        if not self._held:
            self._since = loop.time()
        self._held.append(act)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(min(loop.time() + QUIET_SECONDS, self._since + LONGEST_SECONDS), self.release)

    def release(self) -> None:
        """Hand on what is held, in the order in which it came."""
        if self._timer is not None:
            self._timer.cancel()
        held, self._held, self._timer = self._held, [], None
        for act in held:
            self._hand(act)

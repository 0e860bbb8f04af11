"""A line for heavy work: only so many wait, and one piece of one person's is done at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor

Work = Callable[[], None]

PLACES = 40
PLACES_OF_ONE = 16
"""So many wait at the most, and of one person."""


class HeavyLine:
    """Work in the order in which it came, but nobody's while another piece of theirs is being done.

    `pool` gives the threads. Work raises nothing: whoever hands it in sees to that.
    """

    def __init__(self, pool: Executor, places: int = PLACES, places_of_one: int = PLACES_OF_ONE) -> None:
        self._pool = pool
        self._places = places
        self._places_of_one = places_of_one
        self._mutex = threading.Lock()
        self._waiting: list[tuple[str, Work]] = []
        self._at_work: set[str] = set()

    def put(self, whose: str, work: Work) -> bool:
        """Take it in; never blocks. False where the line is too long, all in all or of this person."""
        with self._mutex:
            of_one = sum(1 for other, _ in self._waiting if other == whose)
            if len(self._waiting) >= self._places or of_one >= self._places_of_one:
                return False
            self._waiting.append((whose, work))
        self._pool.submit(self._go_on)
        return True

    def _go_on(self) -> None:
        """Do what may be done until there is nothing: what waits for its person is done by the thread that has them."""
        while (found := self._next()) is not None:
            whose, work = found
            try:
                work()
            finally:
                with self._mutex:
                    self._at_work.discard(whose)

    def _next(self) -> tuple[str, Work] | None:
        with self._mutex:
            for number, (whose, _) in enumerate(self._waiting):
                if whose not in self._at_work:
                    self._at_work.add(whose)
                    return self._waiting.pop(number)
        return None

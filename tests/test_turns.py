"""Heavy work takes turns, waits only so long, and is done once for all who asked for the same."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ops.errors import OpsError
from ops.errors import Reason
from ops.turns import Turns


class Work:
    """Work that goes on until it is let go; it tells how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = threading.Event()

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        assert self.let_go.wait(20)
        return number


def until(condition: Callable[[], bool]) -> None:
    for _ in range(800):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not happen in time")


class Asks:
    """Threads that ask, and what each got: a result or an error."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.got: list[Any] = []
        self.waits = 0
        self._threads: list[threading.Thread] = []

    def ask(self, key: str, work: Callable[[], Any]) -> None:
        thread = threading.Thread(target=self._ask, args=(key, work))
        self._threads.append(thread)
        thread.start()

    def _ask(self, key: str, work: Callable[[], Any]) -> None:
        try:
            self.got.append(self.turns.shared(key, self._note, work))
        except OpsError as error:
            self.got.append(error.reason)
        except ZeroDivisionError:
            self.got.append("error")

    def _note(self) -> None:
        self.waits += 1

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.got


def test_who_waits_too_long_is_told_that_it_is_busy() -> None:
    turns = Turns(1, most_seconds=0.1)
    told: list[str] = []
    with turns.turn("a", lambda: None):
        for key in ("a", "b"):
            with pytest.raises(OpsError) as caught, turns.turn(key, lambda: told.append("waits")):
                pytest.fail("it began")
            assert (caught.value.reason, caught.value.exit_code) == (Reason.TARGET_BUSY, 5)
    assert told == ["waits", "waits"]
    with turns.turn("b", lambda: pytest.fail("nobody is there any more")):
        pass


def test_all_who_ask_before_it_begins_share_one_piece_of_work() -> None:
    turns, work = Turns(1), Work()
    asks = Asks(turns)
    with turns.turn("another", lambda: None):
        for _ in range(12):
            asks.ask("drift", work)
        until(lambda: asks.waits == 12)
        assert work.begun == 0
    work.let_go.set()
    assert asks.join() == [1] * 12


def test_who_asks_while_it_is_done_gets_the_next_one() -> None:
    """What they changed a moment ago may have been looked at already."""
    turns, work = Turns(2), Work()
    asks = Asks(turns)
    asks.ask("drift", work)
    until(lambda: work.begun == 1)
    for _ in range(5):
        asks.ask("drift", work)
    until(lambda: asks.waits == 5)
    work.let_go.set()
    assert sorted(asks.join()) == [1, 2, 2, 2, 2, 2]
    assert turns.shared("drift", lambda: None, work) == 3


def test_what_fails_fails_for_all_who_shared_it_and_is_tried_anew_for_the_next() -> None:
    turns, asks = Turns(1), None
    asks = Asks(turns)
    with turns.turn("another", lambda: None):
        for _ in range(3):
            asks.ask("drift", lambda: 1 // 0)
        until(lambda: asks.waits == 3)
    assert asks.join() == ["error"] * 3
    assert turns.shared("drift", lambda: None, lambda: "fine") == "fine"


def test_who_shares_is_told_when_the_turns_are_over_or_too_long_in_coming() -> None:
    for turns, reason in ((Turns(1), Reason.STOPPED), (Turns(1, most_seconds=0.2), Reason.TARGET_BUSY)):
        asks = Asks(turns)
        with turns.turn("another", lambda: None):
            for _ in range(3):
                asks.ask("drift", lambda: "never")
            until(lambda asks=asks: asks.waits == 3)
            if reason is Reason.STOPPED:
                turns.close()
            assert asks.join() == [reason] * 3

"""Appending: ids, places, decisions in the transaction, many writers, the lock."""

import asyncio
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from audit_support import ANA
from audit_support import BEN
from audit_support import NOON
from audit_support import Clock
from audit_support import commanded
from audit_support import requested

from audit import BadEvent
from audit import Conflict
from audit import Draft
from audit import Event
from audit import IdConflict
from audit import Log
from audit import LogBusy
from audit import LogUnavailable
from audit import Reader
from audit import View
from audit import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    return path


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    with Log.open(path) as log:
        yield log


def test_an_append_returns_the_events_as_every_reader_sees_them(log: Log) -> None:
    events = log.append([requested("R-1"), commanded("x", stream="request:R-1")], id="act")
    assert events == Reader(log.path).act("act") == Reader(log.path).events(stream="request:R-1")
    assert [(event.seq, event.place, event.id) for event in events] == [(1, 1, "act"), (2, 2, "act/2")]


def test_a_redelivered_act_gets_its_first_answer(log: Log) -> None:
    first = log.append([commanded("once"), commanded("more")], id="Ev1")
    again = log.append([commanded("once, said otherwise"), commanded("more")], id="Ev1")
    assert again == first
    assert len(Reader(log.path).since(0, 10)) == 2


def test_a_redelivery_while_the_first_still_waits_is_recorded_once(log: Log) -> None:
    futures = [log.submit([commanded()], id="Ev1") for _ in range(50)]
    assert len({future.result(5)[0].hash for future in futures}) == 1
    assert Reader(log.path).last_place("bot") == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([commanded(actor=BEN)], id="by somebody else"),
        pytest.param([commanded(stream="all")], id="in another stream"),
        pytest.param([requested("R-1")], id="of another kind"),
        pytest.param([commanded(), commanded()], id="with one event more"),
    ],
)
def test_an_id_of_another_act_is_refused(log: Log, other: list[Draft]) -> None:
    log.append([commanded()], id="Ev1")
    with pytest.raises(IdConflict):
        log.append(other, id="Ev1")
    assert len(Reader(log.path).since(0, 10)) == 1


def test_a_decided_act_is_not_decided_again_and_only_for_the_same_actor(log: Log) -> None:
    first = log.transact(lambda view: [commanded()], id="Ev1", actor=ANA)

    def never(view: View) -> list[Draft]:
        raise AssertionError("decided twice")

    assert log.transact(never, id="Ev1", actor=ANA) == first
    with pytest.raises(IdConflict):
        log.transact(never, id="Ev1", actor=BEN)


@pytest.mark.parametrize("id", ["", "Ev1/2", "a\0b", "\ud800", "x" * 256])
def test_an_id_that_could_be_misread_is_refused(log: Log, id: str) -> None:
    with pytest.raises(BadEvent):
        log.append([commanded()], id=id)


def test_an_act_is_not_mixed_up_with_ids_that_begin_alike(log: Log) -> None:
    for id in ("Ev1", "Ev1/x", "Ev10", "Ev1-2"):
        log.append([commanded(), commanded()], id=id)
    assert [event.id for event in Reader(log.path).act("Ev1")] == ["Ev1", "Ev1/2"]
    assert Reader(log.path).act("Ev") == []


def test_who_comes_second_to_a_place_is_told(log: Log) -> None:
    log.append([commanded(stream="target:shop/prod")], expect={"target:shop/prod": 0})
    with pytest.raises(Conflict, match="at place 1, not 0"):
        log.append([commanded(stream="target:shop/prod")], expect={"target:shop/prod": 0})
    log.append([commanded(stream="target:shop/prod")], expect={"target:shop/prod": 1})
    assert Reader(log.path).last_place("target:shop/prod") == 2


def test_of_64_claims_of_one_target_one_wins(log: Log) -> None:
    def claim(number: int) -> bool:
        try:
            log.append([commanded(stream="target:shop/prod")], expect={"target:shop/prod": 0})
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(claim, range(64))) == 1


def test_64_writers_lose_nothing(log: Log) -> None:
    told: list[Event] = []
    log.subscribe(told.extend)

    def write(writer: int) -> list[Event]:
        return [log.append([commanded(f"{n}", stream=f"s{writer % 7}")], id=f"w{writer}-{n}")[0] for n in range(20)]

    with ThreadPoolExecutor(64) as pool:
        answered = [event for events in pool.map(write, range(64)) for event in events]
    stored = Reader(log.path).since(0, 5000)
    assert sorted(answered, key=lambda event: event.seq) == stored
    assert [event.seq for event in stored] == list(range(1, 64 * 20 + 1))
    log.close()
    assert told == stored
    assert verify(log.path).problems == []


def test_request_numbers_are_taken_once(log: Log) -> None:
    def ask(number: int) -> str:
        [event] = log.transact(lambda view: [requested(view.next_number("R-"))])
        return str(event.request)

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(ask, range(40)))
    assert sorted(taken, key=lambda request: int(request[2:])) == [f"R-{n}" for n in range(1, 41)]


def test_a_decision_sees_the_state_that_it_is_recorded_on(log: Log) -> None:
    def at_most_five(view: View) -> list[Draft]:
        return [commanded()] if view.last_place("bot") < 5 else []

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: log.transact(at_most_five), range(30)))
    assert sum(map(len, answers)) == 5


def test_a_decision_that_raises_harms_nobody_else(log: Log) -> None:
    gate = threading.Event()
    blocked = log.submit(lambda view: gate.wait(5) and [commanded("first")])

    def bad(view: View) -> Sequence[Draft]:
        raise KeyError("mine")

    neighbours = [log.submit([commanded("before")]), log.submit(bad), log.submit([commanded("after")])]
    half = log.submit([commanded("good"), Draft(kind="commanded", actor=ANA, stream="bot", data={})])
    gate.set()
    assert blocked.result(5)[0].place == 1
    assert [neighbours[0].result(5)[0].place, neighbours[2].result(5)[0].place] == [2, 3]
    with pytest.raises(KeyError, match="mine"):
        neighbours[1].result(5)
    with pytest.raises(BadEvent):
        half.result(5)
    assert [event.seq for event in Reader(log.path).since(0, 10)] == [1, 2, 3]


def test_a_decision_that_leaves_the_process_does_not_take_the_log_along(log: Log) -> None:
    def leave(view: View) -> Sequence[Draft]:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        log.transact(leave)
    assert log.append([commanded()])[0].seq == 1


def test_a_decision_cannot_wait_for_the_log(log: Log) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        log.transact(lambda view: log.append([commanded()]) and [])
    assert Reader(log.path).since(0, 10) == []


def test_an_act_whose_turn_does_not_come_is_not_done_later(path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()
    with Log.open(path, wait_seconds=0.05) as log:
        slow = log.submit(lambda view: begun.set() or (gate.wait(5) and []))
        assert begun.wait(5)
        with pytest.raises(LogBusy, match="nothing was done"):
            log.append([commanded()])
        gate.set()
        assert slow.result(5) == []
    assert Reader(path).since(0, 10) == []


def test_too_many_waiting_acts_are_turned_away(log: Log) -> None:
    begun, gate = threading.Event(), threading.Event()
    log.submit(lambda view: begun.set() or (gate.wait(5) and []))
    assert begun.wait(5)
    futures = [log.submit([commanded()]) for _ in range(1100)]
    refused = [future for future in futures if future.done()]
    gate.set()
    assert len(refused) == 1100 - 1024
    assert all(isinstance(future.exception(), LogBusy) for future in refused)
    assert sum(len(future.result(5)) for future in futures if future not in refused) == len(futures) - len(refused)


def test_an_event_loop_appends_without_blocking(log: Log) -> None:
    async def many() -> list[list[Event]]:
        return await asyncio.gather(*(asyncio.wrap_future(log.submit([commanded()])) for _ in range(100)))

    answers = asyncio.run(many())
    assert sorted(events[0].seq for events in answers) == list(range(1, 101))


def test_subscribers_hear_of_new_events_only_and_one_that_fails_is_harmless(log: Log) -> None:
    heard: list[str] = []

    def fail(events: Sequence[Event]) -> None:
        raise ValueError("subscriber")

    log.subscribe(fail)
    stop = log.subscribe(lambda events: heard.extend(event.id for event in events))
    log.append([commanded()], id="one")
    log.append([commanded()], id="one")
    log.transact(lambda view: [])
    log.append([commanded()], id="two")
    log.append([commanded()], id="last heard")
    log.transact(lambda view: [])  # its answer comes after the callbacks of the commit before
    stop()
    log.append([commanded()], id="three")
    log.close()
    assert heard == ["one", "two", "last heard"]


def test_a_clock_that_steps_back_does_not_turn_the_log_around(path: Path) -> None:
    clock = Clock()
    with Log.open(path, clock=clock) as log:
        log.append([commanded()])
        clock.forward(hours=-5)
        assert log.append([commanded()])[0].at == NOON
    with Log.open(path, clock=clock) as log:
        assert log.append([commanded()])[0].at == NOON
        clock.forward(hours=5, microseconds=1)
        assert log.append([commanded()])[0].at == NOON + timedelta(microseconds=1)
    assert verify(path).ok


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(Draft(kind="guessed", actor=ANA, stream="bot", data={}), id="unknown kind"),
        pytest.param(Draft(kind="cancelled", actor=ANA, stream="bot", data={}), id="missing field"),
        pytest.param(
            Draft(kind="cancelled", actor=ANA, stream="bot", data={"because": "x", "token": "y"}), id="field too many"
        ),
        pytest.param(commanded("approved\0 by mallory"), id="NUL in data"),
        pytest.param(commanded("\ud83d"), id="half a surrogate pair in data"),
        pytest.param(commanded(actor="os:host/root\0x"), id="NUL in the actor"),
        pytest.param(commanded(stream="\udc80"), id="half a surrogate pair in the stream"),
        pytest.param(commanded(actor=""), id="no actor"),
        pytest.param(commanded(project=""), id="an empty project instead of none"),
        pytest.param(commanded("x" * 16 * 1024 * 1024), id="over 16 MiB"),
        pytest.param(requested("R-1", plan={"n": 2**53}), id="number that JSON cannot hold"),
        pytest.param(requested("R-1", plan={"n": float("nan")}), id="not a number"),
        pytest.param(requested("R-1", plan={"\0": 1}), id="NUL in a key"),
        pytest.param(requested("R-1", plan={"n": object()}), id="not JSON"),
    ],
)
def test_a_draft_that_does_not_fit_is_refused(log: Log, draft: Draft) -> None:
    with pytest.raises(BadEvent):
        log.append([draft])
    assert log.append([commanded()])[0].seq == 1


def test_nesting_without_end_is_refused(log: Log) -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"n": deep}
    with pytest.raises(BadEvent):
        log.append([requested("R-1", plan=deep)])


def test_a_refusal_never_repeats_the_values(log: Log) -> None:
    data = {"because": ["hunter2"], "hunter2": "hunter2"}
    with pytest.raises(BadEvent) as caught:
        log.append([Draft(kind="cancelled", actor=ANA, stream="bot", data=data | {"because": {"x": "s3cret"}})])
    assert "s3cret" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "C:\\u0000",
        "\\\\u0000",
        "'; DROP TABLE event; --",
        "\u202egnp.exe",
        "=cmd|' /C calc'!A0",
        "\x1b[2J",
        "🦊" * 1000,
    ],
)
def test_hostile_but_plain_text_comes_back_as_it_went_in(log: Log, text: str) -> None:
    [event] = log.append([commanded(text, actor="os:host/" + (text.replace("\\", "") or "x"))])
    [read] = Reader(log.path).since(0, 1)
    assert read == event
    assert read.data is not None
    assert read.data["text"] == text


def test_nearly_1_mib_is_recorded(log: Log) -> None:
    [event] = log.append([commanded("x" * (16 * 1024 * 1024 - 300))])
    assert Reader(log.path).since(0, 1) == [event]


def test_a_second_opener_waits_and_is_told(path: Path) -> None:
    with Log.open(path) as log:
        with pytest.raises(LogBusy, match="another process has it"):
            Log.open(path, wait_seconds=0.1)
        threading.Timer(0.2, log.close).start()
        with Log.open(path, wait_seconds=5) as second:
            assert second.append([commanded()])[0].seq == 1


def test_a_log_under_another_name_is_the_same_log(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    with Log.open(path), pytest.raises(LogBusy):
        Log.open(tmp_path / "link.db", wait_seconds=0)
    (tmp_path / "hard.db").hardlink_to(path)
    with pytest.raises(LogUnavailable, match="second name"):
        Log.open(tmp_path / "hard.db", wait_seconds=0)


def test_a_lock_file_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    lock = tmp_path / "audit.db.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    with pytest.raises(LogUnavailable):
        Log.open(path)
    assert not (tmp_path / "victim").exists()

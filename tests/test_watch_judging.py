"""What counts as worse than before: each threshold from both sides, as a table of sentences."""

from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest

from ops.load_memory import Tick
from ops.watch_judging import Sample
from ops.watch_judging import SlowStatement
from ops.watch_judging import Usual
from ops.watch_judging import judge
from ops.watch_judging import sample_from_json
from ops.watch_judging import usual_from_json
from ops.watch_judging import usual_of
from ops.watch_judging import usual_of_first
from ops.watch_judging import watched_seconds

BEGAN = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
EVERY = timedelta(seconds=20)
CALM = Sample(at=BEGAN, looks=20, committed=1000, rolled_back=10, connections=12.0, taken=20, limit=100)
BEFORE = Usual(looks=288, failed_share=0.01, connections=15, taken=25, held=("orders",))


def samples(*changes: dict[str, Any]) -> tuple[Sample, ...]:
    """One sample every 20 s, with 1,000 transactions each of which 1 % fail; what differs in each."""
    found = []
    for number, change in enumerate(changes):
        ended = {"committed": 1000 + 990 * number, "rolled_back": 10 + 10 * number}
        found.append(replace(CALM, at=BEGAN + EVERY * number, **{**ended, **change}))
    return tuple(found)


def found(usual: Usual, *changes: dict[str, Any]) -> list[str]:
    return [f"{one.what}: {one.now}; before: {one.before}" for one in judge(usual, BEGAN, samples(*changes))]


CASES: dict[str, tuple[Usual, dict[str, Any], str]] = {
    "two more percent fail": (
        BEFORE, {"errors": 30}, "errors: 3.0 % of transactions rolled back, 30 in 20 s; before: 1.0 %",
    ),
    "one in a thousand more fails": (BEFORE, {"errors": 11}, ""),
    "few fail of few": (replace(BEFORE, failed_share=0.0), {"errors": 9, "ended": 9}, ""),
    "half always failed": (replace(BEFORE, failed_share=0.5), {"errors": 700}, ""),
    "half failed, and now most do": (
        replace(BEFORE, failed_share=0.5), {"errors": 800},
        "errors: 80 % of transactions rolled back, 800 in 20 s; before: 50 %",
    ),
    "a slow query in every second look": (
        BEFORE, {"slow": 0.5, "slow_most": 1, "slow_seconds": 8.0},
        "slow queries: 1 query at a time for up to 8 s; before: none over 2 s",
    ),
    "a slow query now and then": (BEFORE, {"slow": 0.4, "slow_most": 1, "slow_seconds": 8.0}, ""),
    "as many slow ones as before": (replace(BEFORE, slow=2), {"slow": 2.0, "slow_most": 2, "slow_seconds": 9.0}, ""),
    "one waits all the time": (
        BEFORE, {"waiting": 1.0, "waiting_most": 2, "waiting_seconds": 9.0},
        "locks: 2 sessions wait at a time, for up to 9 s; before: none",
    ),
    "one waits in some looks": (BEFORE, {"waiting": 0.9, "waiting_most": 2, "waiting_seconds": 1.2}, ""),
    "one waited before, too": (replace(BEFORE, waiting=1), {"waiting": 1.5, "waiting_most": 2}, ""),
    "twice the connections": (BEFORE, {"connections": 30.0}, "connections: 30; before: at most 15"),
    "nearly twice": (BEFORE, {"connections": 29.0}, ""),
    "twice of very few": (replace(BEFORE, connections=2), {"connections": 11.0}, ""),
    "nearly all are taken": (BEFORE, {"taken": 90}, "connections: 90 of the server's 100 are taken; before: 25"),
    "nearly all were taken before": (replace(BEFORE, taken=85), {"taken": 92}, ""),
    "lag of half a minute": (
        replace(BEFORE, lag_seconds=0.2), {"lag_seconds": 30.0}, "replication lag: 30 s; before: at most 0.2 s",
    ),
    "lag as it often is": (replace(BEFORE, lag_seconds=12.0), {"lag_seconds": 30.0}, ""),
    "lag that nobody would feel": (BEFORE, {"lag_seconds": 9.0, "lag_bytes": 2**20}, ""),
    "lag in bytes": (BEFORE, {"lag_bytes": 2**30}, "replication lag: 1.0 GB; before: at most 0 bytes"),
    "a check that held": (
        BEFORE, {"health": {"orders": "expected true"}}, "health check: orders: expected true; before: it held",
    ),
    "a check that never held": (BEFORE, {"health": {"other": "expected true"}}, ""),
    "nobody can look": (
        BEFORE, {"failed": "no route"}, "connection: the target could not be looked at: no route; before: it could",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_worse_when_it_lasts(name: str) -> None:
    usual, change, sentence = CASES[name]
    errors, ended = change.get("errors"), change.get("ended", 1000)
    rest = {key: value for key, value in change.items() if key not in {"errors", "ended"}}

    def so(number: int) -> dict[str, Any]:
        if errors is None:
            return rest
        return {"committed": 5000 + (ended - errors) * number, "rolled_back": 10 + errors * number}

    assert found(usual, *(so(number) for number in range(4))) == ([sentence] if sentence else [])


@pytest.mark.parametrize("name", [name for name in CASES if "errors" not in CASES[name][1]])
def test_what_is_there_once_is_no_alarm(name: str) -> None:
    usual, change, _ = CASES[name]
    assert found(usual, {}, change, {}, change, {}) == []


def slower(mean: float, before: float | None, calls: int = 10) -> dict[str, Any]:
    return {"statements": (SlowStatement("7", calls, mean, before, "select 1"),)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (slower(640.0, 2.1), "slower query: 640 ms on average, 10 times; before: 2.1 ms"),
        (slower(640.0, 140.0), ""),
        (slower(199.0, 1.0), ""),
        (slower(1200.0, None), "slower query: 1.2 s on average, 10 times; before: not known"),
        (slower(900.0, None), ""),
        (slower(5000.0, 1.0, calls=2), ""),
    ],
    ids=["five times as long", "less than five times", "not felt", "new and long", "new", "seldom"],
)
def test_a_query_is_compared_with_its_own_past(change: dict[str, Any], words: str) -> None:
    assert found(BEFORE, change, change) == ([words] if words else [])


def test_our_own_checks_are_no_errors() -> None:
    """Each is a transaction that is rolled back."""
    quiet = [{"committed": 100, "rolled_back": 50 * number, "own_rollbacks": 50} for number in range(6)]
    assert found(replace(BEFORE, failed_share=0.0), *quiet) == []


def test_counters_that_begin_anew_are_no_errors() -> None:
    assert found(BEFORE, {"committed": 90_000, "rolled_back": 900}, {"committed": 20, "rolled_back": 15}, {}) == []


def test_deadlocks_count_over_the_whole_time() -> None:
    some = [{"deadlocks": 7}, {"deadlocks": 8}, {}, {"deadlocks": 9}]
    assert found(BEFORE, *some[:2]) == []
    assert found(BEFORE, *some) == ["deadlocks: 2; before: hardly ever one"]
    assert found(replace(BEFORE, deadlocks_per_hour=100.0), *some) == []


def test_the_worst_is_told_and_that_it_is_over() -> None:
    wait = {"waiting": 1.5, "waiting_most": 2, "waiting_seconds": 5.0}
    [one] = judge(BEFORE, BEGAN, samples(wait, {**wait, "waiting": 3.0, "waiting_most": 4}, wait, {}, {}))
    assert (one.now, one.is_over) == ("4 sessions wait at a time, for up to 5 s", True)
    [one] = judge(BEFORE, BEGAN, samples({}, wait, wait))
    assert not one.is_over


def test_two_checks_are_two_things() -> None:
    usual = replace(BEFORE, held=("a", "b"))
    both = {"health": {"a": "no", "b": "no"}}
    assert [one.now for one in judge(usual, BEGAN, samples(both, both))] == ["a: no", "b: no"]
    assert judge(usual, BEGAN, samples({"health": {"a": "no"}}, {"health": {"b": "no"}})) == ()


def test_what_was_usual_is_the_most_of_a_day_without_the_worst_hundredth() -> None:
    def tick(number: int, **more: Any) -> Tick:
        base = {"connections": 5, "waiting": 0, "slow": 0, "slow_seconds": 0.0, "lag_seconds": None, "lag_bytes": None}
        counted = {"committed": 1000 * number, "rolled_back": 20 * number, "deadlocks": 0}
        return Tick(at=BEGAN + timedelta(minutes=5) * number, **{**base, **counted, **more})

    ticks = [tick(number) for number in range(1, 200)]
    ticks[50] = tick(51, connections=500, waiting=80)
    ticks[60] = tick(61, connections=9)
    usual = usual_of(ticks, counted_since=None, taken=11, milliseconds={"1": 2.0})
    assert (usual.connections, usual.waiting, usual.taken, usual.looks) == (9, 0, 11, 199)
    assert usual.failed_share == pytest.approx(20 / 1020)
    busier = [*ticks, replace(ticks[-1], at=ticks[-1].at + EVERY, rolled_back=ticks[-1].rolled_back + 400)]
    assert usual_of(busier, counted_since=None, taken=1, milliseconds={}).failed_share > 0.2  # just now


def test_where_nobody_looked_before_only_what_grows_is_worse() -> None:
    much = {"connections": 60.0, "waiting": 3.0, "waiting_most": 3, "slow": 2.0, "slow_most": 2}
    rows = samples(much, much, much)
    assert judge(usual_of_first(rows), BEGAN, rows) == ()
    grown = samples(much, {**much, "connections": 130.0}, {**much, "connections": 130.0})
    assert [one.what for one in judge(usual_of_first(grown), BEGAN, grown)] == ["connections"]


def test_the_time_in_which_nobody_looked_does_not_count() -> None:
    rows = samples(*[{}] * 4)
    assert watched_seconds(BEGAN, rows, 20.0) == 60.0
    late = (
        *rows,
        replace(CALM, at=BEGAN + timedelta(minutes=8)),
        replace(CALM, at=BEGAN + timedelta(minutes=8, seconds=20)),
    )
    assert watched_seconds(BEGAN, late, 20.0) == 80.0
    assert watched_seconds(BEGAN, (), 20.0) == 0.0


def test_samples_and_what_was_usual_come_back_from_the_log_as_they_went() -> None:
    one = replace(CALM, health={"a": "no"}, statements=(SlowStatement("1", 3, 200.0, None, "select ?"),))
    assert sample_from_json(one.to_json()) == one
    assert usual_from_json(BEFORE.to_json(), ["orders"]) == BEFORE

"""When a changed health is told: once, for certain, and not for ever again. Pure functions of what was told and seen."""

from datetime import UTC
from datetime import datetime
from datetime import timedelta

import pytest

from ops.health import worse_than
from ops.health_changes import Pending
from ops.health_changes import Told
from ops.health_changes import judge
from ops.health_checked import Checked
from ops.supabase.health import API

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def rest(state: str, name: str = "REST") -> Checked:
    return Checked(name, state == "holds", 0.1, f"is {state}", state == "unknown")


def told_over(states: list[str], every: timedelta = MINUTE) -> list[str]:
    """What is told of one check that is seen in these states, a look each; an hour's tellings count as they would."""
    standing: dict[str, str] = {}
    pending: dict[str, Pending] = {}
    told: list[str] = []
    tellings: list[datetime] = []
    for number, state in enumerate(states):
        at = START + number * every
        times = {"REST": sum(1 for one in tellings if one > at - timedelta(hours=1))}
        found = [] if state == "gone" else [rest(state)]
        judged = judge(Told(standing, times), pending, found, at)
        standing, pending = dict(judged.standing), dict(judged.pending)
        told += [f"{number}: {one['now']}{' flaps' * bool(one.get('flaps'))}" for one in judged.changes]
        tellings += [at for _ in judged.changes]
    return told


@pytest.mark.parametrize(
    ("states", "told"),
    [
        pytest.param(["holds"] * 5, [], id="what always holds is never told"),
        pytest.param(["holds", "fails", "holds", "fails", "holds"], [], id="a hiccup in single looks is not told"),
        pytest.param(["fails"] * 6, ["1: fails"], id="what fails is told once, in the second look"),
        pytest.param(["fails"] * 3 + ["holds"] * 3, ["1: fails", "4: holds"], id="and that it holds again"),
        pytest.param(["unknown"] * 9 + ["holds"], [], id="what cannot be asked for nine minutes is not told"),
        pytest.param(["unknown"] * 12, ["10: unknown"], id="but after ten"),
        pytest.param(
            ["fails"] * 2 + ["unknown"] * 4 + ["fails"] * 3, ["1: fails"], id="unknown in between says nothing"
        ),
        pytest.param(
            ["fails"] * 2 + ["gone"] * 2, ["1: fails", "3: gone"], id="a check that is gone is told, if it failed"
        ),
        pytest.param(["holds"] * 2 + ["gone"] * 2, [], id="and not, if it held"),
        pytest.param(
            ["fails", "fails", "holds", "holds"] * 6,
            ["1: fails", "3: holds", "5: fails flaps"],
            id="what changes all the time is told three times, and that it flaps",
        ),
        pytest.param(
            ["fails", "fails", "holds", "holds"] * 2 + ["holds"] * 60,
            ["1: fails", "3: holds", "5: fails flaps", "36: holds flaps"],
            id="and again when it has been the same for half an hour",
        ),
    ],
)
def test_change_is_told_once_when_it_is_certain(states: list[str], told: list[str]) -> None:
    assert told_over(states) == told


def test_silent_api_leaves_what_it_was_asked_about_as_it_was_told() -> None:
    """The services vanish from the look when the API does not answer: that is no change of theirs."""
    silent = Checked(API, ok=False, seconds=0.1, detail="busy", unknown=True)
    told = Told({"service db": "fails"})
    pending = judge(told, {}, [silent], START).pending

    judged = judge(told, pending, [silent], START + MINUTE)

    assert (judged.changes, judged.standing) == ((), {"service db": "fails"})


def test_changes_of_one_look_are_one_event() -> None:
    found = [rest("fails", f"function {number}") for number in range(5)]
    pending = judge(Told(), {}, found, START).pending

    assert len(judge(Told(), pending, found, START + MINUTE).changes) == 5


def test_what_cannot_be_asked_is_not_worse_than_before() -> None:
    before = [rest("holds", name) for name in ("REST", "Auth", "table public.orders")]
    after = [rest("unknown", "REST"), rest("fails", "Auth"), rest("holds", "table public.orders")]

    assert [one.name for one in worse_than(before, after)] == ["Auth"]

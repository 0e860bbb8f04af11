"""When a run may begin, as a table: the moment, what is configured or frozen, what the request is → the reason, or None.

And who may freeze; and which warnings are due. All of it pure functions of values.
"""

from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from test_policy import ANA
from test_policy import BEN
from test_policy import CHI
from test_policy import DIGEST
from test_policy import POLICY
from test_policy import a_request

from ops.debts import Debt
from ops.environment import Environment
from ops.errors import Reason
from ops.forewarning import warnings_due
from ops.freezing import Freeze
from ops.gates import BESIDE_PEOPLE
from ops.gates import GATES
from ops.gates import Facts
from ops.gates import Verdict
from ops.gates import judge
from ops.gates.freeze import freeze_gate
from ops.gates.hotfix import hotfix_gate
from ops.gates.lock import lock_gate
from ops.gates.window import window_gate
from ops.hotfixing import may_hotfix
from ops.locking import Lock
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.policy import Directory
from ops.requests import Request
from ops.said import Approval
from ops.said import Override

INSIDE = datetime(2026, 11, 23, 12, tzinfo=UTC)
OUTSIDE = datetime(2026, 11, 23, 20, tzinfo=UTC)
IN_FREEZE = datetime(2026, 12, 21, 12, tzinfo=UTC)
"""A Monday within the window's hours and the configured freeze."""

OF_PROD = Freeze("shop/prod", BEN, INSIDE - timedelta(hours=1), None, "reconciling")
OF_ALL = Freeze("all", BEN, INSIDE - timedelta(hours=1), INSIDE + timedelta(hours=1), "incident 42")


def settings(**more: Any) -> Environment:
    told: dict[str, Any] = {
        "database_url": "$A",
        "branch": "main",
        "approvals": 1,
        "approvers": ["@database-owners"],
        "windows": ["Mon-Thu 09:00-16:00 UTC"],
        "freezes": [{"from": "2026-12-20 UTC", "to": "2027-01-02 UTC", "because": "the end of the year"}],
        "hotfix": ["@leads"],
    }
    return Environment.model_validate(told | more)


def directory(*leads: str) -> Directory:
    people = {user: Person(user, user) for user in ("U0ANA", "U0BEN", "U0CHI")}
    return Directory(people, {"@leads": Group("S0LEADS", "@leads", frozenset(leads))})


def facts(request: Request, now: datetime, *freezes: Freeze, leads: tuple[str, ...] = ("U0ANA",), **more: Any) -> Facts:
    return Facts(request, settings(**more), directory(*leads), "U0ANA", now, freezes=freezes)


PINS = {"@leads": "S0LEADS"}
NORMAL = a_request(plan={"policy": POLICY, "files": []})
HOTFIX = a_request(
    plan={"policy": POLICY, "files": [], "hotfix": {"by": ANA.id, "because": "orders fail", "groups": PINS}}
)
OVERRIDDEN = a_request(
    plan={"policy": {**POLICY, "overriders": ["@leads"]}, "files": [], "emergency": {"because": "INC-42"}},
    override=Override(ANA, INSIDE, DIGEST, "INC-42", PINS),
)
BESIDE = a_request(kind="terminate", plan={"policy": POLICY, "files": []})


@pytest.mark.parametrize(
    ("request_", "now", "freezes", "passes", "expected"),
    [
        (NORMAL, INSIDE, (), "configured", None),
        (NORMAL, OUTSIDE, (), "configured", Reason.OUTSIDE_WINDOW),
        (NORMAL, IN_FREEZE, (), "configured", Reason.TARGET_FROZEN),
        (NORMAL, INSIDE, (OF_PROD,), "configured", Reason.TARGET_FROZEN),
        (NORMAL, INSIDE, (OF_ALL,), "configured", Reason.TARGET_FROZEN),
        (HOTFIX, OUTSIDE, (), "configured", None),
        (HOTFIX, IN_FREEZE, (), "configured", None),
        (HOTFIX, OUTSIDE, (OF_PROD,), "configured", Reason.TARGET_FROZEN),
        (HOTFIX, OUTSIDE, (OF_ALL,), "configured", Reason.TARGET_FROZEN),
        (HOTFIX, OUTSIDE, (OF_ALL, OF_PROD), "all", None),
        (NORMAL, OUTSIDE, (OF_ALL,), "all", Reason.TARGET_FROZEN),
        (BESIDE, OUTSIDE, (), "configured", None),  # it helps on a run that began
        (BESIDE, INSIDE, (OF_ALL,), "configured", Reason.TARGET_FROZEN),
        (OVERRIDDEN, OUTSIDE, (), "configured", None),
        (OVERRIDDEN, IN_FREEZE, (), "configured", None),
        (OVERRIDDEN, INSIDE, (OF_PROD,), "configured", Reason.TARGET_FROZEN),
        (OVERRIDDEN, INSIDE, (OF_ALL,), "all", Reason.TARGET_FROZEN),
        (replace(OVERRIDDEN, digest="e" * 64), OUTSIDE, (), "configured", Reason.OUTSIDE_WINDOW),  # of another plan
    ],
)
def test_whether_a_run_may_begin_now(
    request_: Request, now: datetime, freezes: tuple[Freeze, ...], passes: str, expected: Reason | None
) -> None:
    found = facts(request_, now, *freezes, hotfix_passes=passes)
    closed = [gate for gate in (freeze_gate(found), window_gate(found)) if not gate.is_open]
    assert (closed[0].reason if closed else None) == expected


@pytest.mark.parametrize("now", [OUTSIDE, IN_FREEZE])
def test_an_emergency_passes_the_clock_only_while_its_overrider_may_and_owes_nothing(now: datetime) -> None:
    """Also where others approved it as any request: then it is one, and waits like one."""
    owed = Debt("R-1", "mall", "prod", ANA, INSIDE, INSIDE, 1)
    passing = facts(OVERRIDDEN, now)
    other_group = Directory(passing.directory.people, {"@leads": Group("S0OTHER", "@leads", frozenset({"U0ANA"}))})

    def is_open(found: Facts) -> bool:
        return freeze_gate(found).is_open and window_gate(found).is_open

    assert is_open(passing)
    assert not is_open(facts(OVERRIDDEN, now, leads=()))  # she left the group
    assert not is_open(replace(passing, directory=other_group))
    assert not is_open(replace(passing, debt=owed))
    assert is_open(replace(passing, directory=Directory({}, {}), are_asked=False))  # perhaps: nobody was asked yet


def test_a_lock_holds_a_hotfix_and_an_emergency() -> None:
    lock = Lock(CHI, INSIDE, INSIDE + timedelta(hours=9), "the import runs")
    for request in (HOTFIX, OVERRIDDEN):
        assert lock_gate(replace(facts(request, OUTSIDE), lock=lock)).reason is Reason.TARGET_LOCKED


def test_every_gate_of_time_is_judged_before_a_run() -> None:
    assert {window_gate, freeze_gate, hotfix_gate} <= set(GATES)
    assert {window_gate, freeze_gate} <= set(BESIDE_PEOPLE)


def test_verdict_says_when_time_alone_opens_it() -> None:
    at_night = Verdict((freeze_gate(facts(NORMAL, OUTSIDE)), window_gate(facts(NORMAL, OUTSIDE))))
    assert at_night.opens_at == datetime(2026, 11, 24, 9, tzinfo=UTC)
    frozen = facts(NORMAL, IN_FREEZE)
    assert freeze_gate(frozen).opens_at == datetime(2027, 1, 4, 9, tzinfo=UTC)  # a Monday, and the freeze is over
    assert freeze_gate(facts(NORMAL, INSIDE, OF_ALL)).opens_at == OF_ALL.until
    assert freeze_gate(facts(NORMAL, INSIDE, OF_ALL, OF_PROD)).opens_at is None  # somebody has to end that one


def by_clock(request: Request, now: datetime, lock: Lock | None = None, *freezes: Freeze, **more: Any) -> Verdict:
    """What the gates of time say of a request, as `waits_of` has it."""
    found = replace(facts(request, now, *freezes, **more), lock=lock)
    verdict = judge(found)
    return replace(verdict, gates=tuple(one for one in verdict.gates if one.name in {"lock", "freeze", "window"}))


def frozen_until(day: int, hour: int, since: datetime = INSIDE) -> Freeze:
    return Freeze("shop/prod", BEN, since, datetime(2026, 11, day, hour, tzinfo=UTC), "reconciling")


@pytest.mark.parametrize(
    ("verdict", "opens_at"),
    [
        pytest.param(by_clock(NORMAL, INSIDE), None, id="nothing is in the way"),
        pytest.param(by_clock(NORMAL, INSIDE, None, frozen_until(23, 14)), "2026-11-23 14:00", id="within the window"),
        pytest.param(by_clock(NORMAL, INSIDE, None, frozen_until(23, 20)), "2026-11-24 09:00", id="past its end"),
        pytest.param(by_clock(NORMAL, OUTSIDE, None, frozen_until(24, 18)), "2026-11-25 09:00", id="past the next"),
        pytest.param(
            by_clock(NORMAL, INSIDE, Lock(BEN, INSIDE, INSIDE + timedelta(hours=5), "")),
            "2026-11-24 09:00",
            id="a lock past its end",
        ),
        pytest.param(by_clock(NORMAL, INSIDE, None, frozen_until(23, 20), OF_PROD), None, id="somebody has to act"),
        pytest.param(by_clock(HOTFIX, INSIDE, None, frozen_until(23, 20)), "2026-11-23 20:00", id="passes the window"),
        pytest.param(
            by_clock(NORMAL, IN_FREEZE, None, Freeze("all", BEN, IN_FREEZE, IN_FREEZE + timedelta(hours=6), "x")),
            "2027-01-04 09:00",
            id="within a configured freeze",
        ),
    ],
)
def test_a_verdict_opens_when_windows_and_freezes_let_it(verdict: Verdict, opens_at: str | None) -> None:
    assert (f"{verdict.opens_at:%Y-%m-%d %H:%M}" if verdict.opens_at else None) == opens_at


def test_hotfix_is_over_when_who_asked_is_no_longer_named() -> None:
    assert hotfix_gate(facts(HOTFIX, INSIDE)).is_open
    left = hotfix_gate(facts(HOTFIX, INSIDE, leads=("U0BEN",)))
    assert (left.is_open, left.reason) == (False, Reason.NOT_ALLOWED)
    assert not hotfix_gate(Facts(HOTFIX, settings(), Directory({}, {}), None, INSIDE)).is_open
    assert hotfix_gate(facts(NORMAL, INSIDE, leads=())).is_open


def test_hotfix_counts_by_a_group_only_while_its_handle_means_the_same_group() -> None:
    now = facts(HOTFIX, INSIDE)
    other = Directory(now.directory.people, {"@leads": Group("S0OTHER", "@leads", frozenset({"U0ANA"}))})
    changed = hotfix_gate(replace(now, directory=other))
    assert (changed.is_open, changed.reason) == (False, Reason.GROUP_CHANGED)
    assert "@leads is not the group that it was" in changed.sentence
    by_name = replace(now, directory=other, settings=settings(hotfix=["@leads", "U0ANA"]))
    assert hotfix_gate(by_name).is_open  # she is named herself
    unpinned = replace(HOTFIX, plan={**HOTFIX.plan, "hotfix": {"by": ANA.id, "because": "orders fail"}})
    assert not hotfix_gate(replace(now, request=unpinned)).is_open


@pytest.mark.parametrize(
    ("who", "more", "allowed"),
    [
        (ANA, {}, True),
        (CHI, {}, False),
        (ANA, {"hotfix": []}, False),
        (Actor("slack:T0ACME/U0GONE"), {"hotfix": ["U0GONE"]}, False),  # nobody knows them
        (Actor("os:host/ops"), {"hotfix": ["os:host/ops"]}, True),
    ],
)
def test_who_may_ask_for_a_hotfix(who: Actor, more: dict[str, Any], allowed: bool) -> None:
    assert may_hotfix(settings(**more), who, directory("U0ANA"), "shop/prod").allowed is allowed


def test_windows_freezes_and_hotfix_are_part_of_the_policy_only_where_they_are_set() -> None:
    plain = settings(windows=[], freezes=[], hotfix=[]).policy()
    assert not {"windows", "freezes", "hotfix", "hotfix_passes"} & plain.keys()
    assert settings().policy()["windows"] == ["Mon-Thu 09:00-16:00 UTC"]
    assert settings().policy() != settings(freezes=[]).policy() != settings(hotfix=["U0BEN"], freezes=[]).policy()


def slack_id(actor: Actor) -> str | None:
    return actor.user


def test_warnings_are_due_before_the_end_and_when_an_approved_request_waits() -> None:
    lock = Lock(CHI, INSIDE, INSIDE + timedelta(hours=2), "the import runs")
    nearly = lock.until - timedelta(minutes=10)
    yes = Approval(BEN, INSIDE, NORMAL.digest, "U0BEN")
    approved = a_request(plan={"policy": POLICY, "files": []}, approvals=(yes,))

    def due(now: datetime, *waiting: Request, held: Lock | None = lock, freezes: tuple[Freeze, ...] = ()) -> list[Any]:
        waits = {one.id: by_clock(one, now, held, *freezes) for one in waiting if one.approvals}
        return list(warnings_due("shop/prod", held, freezes, waiting, waits, now, slack_id))

    assert due(INSIDE, NORMAL) == []
    [ends] = due(nearly, NORMAL)
    assert (ends.about, ends.to) == ("lock_ends", ("U0CHI", "U0ANA"))
    [delays] = due(INSIDE, approved)
    assert (delays.about, delays.to) == ("lock_delays", ("U0CHI", "U0ANA"))
    both = {one.about: one for one in due(nearly, approved)}
    assert both["lock_delays"].id == delays.id  # the same warning, so it is written once
    assert both["lock_ends"].message.endswith("Then R-7 can start.")
    late = Lock(CHI, INSIDE, INSIDE + timedelta(hours=6), "")
    [_, ends] = sorted(due(late.until - timedelta(minutes=10), approved, held=late), key=lambda one: one.about)
    assert ends.message.endswith("That is about to end.")  # the window is closed by then
    assert [one.about for one in due(INSIDE, approved, held=None, freezes=(OF_PROD,))] == ["freeze_delays"]
    short = Lock(CHI, INSIDE, INSIDE + timedelta(minutes=4), "")
    assert due(INSIDE, held=short) == []
    assert [one.about for one in due(INSIDE + timedelta(minutes=3), held=short)] == ["lock_ends"]

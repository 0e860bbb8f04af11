"""Freezes, claims and waiting for a window in a real log: who may, what is told of whom, and what time alone changes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import Draft
from audit import Log
from ops.claiming import claim
from ops.claiming import claims_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.forewarning import warn
from ops.freezing import check_begins_at_once
from ops.freezing import freeze
from ops.freezing import freezes_of
from ops.freezing import unfreeze
from ops.gates import in_the_way
from ops.layer import Ops
from ops.locking import lock
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.reminding import Reminders
from ops.requests import Request
from ops.requests import find_request
from ops.running import _check_may_go_on
from ops.settings import read_settings
from ops.targets import find_target

ANA, BEN, CHI, DEE = (Actor(f"slack:T0/U0{name}") for name in ("ANA", "BEN", "CHI", "DEE"))
ROOT = Actor("os:host/root")
MONDAY = datetime(2026, 11, 23, 15, 59, 50, tzinfo=UTC)
CONFIG = """
[projects.shop]
repository = "repository"
[projects.shop.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 1
approvers = ["@owners"]
windows = ["Mon-Thu 09:00-16:00 UTC"]
[projects.shop.environments.dev]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 0
windows = ["Mon-Thu 09:00-16:00 UTC"]
"""


class Everybody:
    """Ben and Chi own the database; Gus is a guest."""

    are_known = True

    def __init__(self) -> None:
        self.owners = frozenset({"U0BEN", "U0CHI", "U0GUS"})

    def person(self, user: str) -> Person:
        return Person(user, user, "you are a guest" if user == "U0GUS" else None)

    def group(self, handle: str) -> Group:
        return Group("S0OWNERS", handle, self.owners)


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    """An ops layer whose clock stands ten seconds before the window's end."""
    settings = read_settings(CONFIG.encode(), tmp_path / "countersign.toml")
    (tmp_path / "var").mkdir()
    Log.create(settings.log_path)
    with Log.open(settings.log_path, clock=lambda: MONDAY) as log:
        yield Ops(settings, log, people=Everybody(), now=lambda: MONDAY)


def at(ops: Ops, moment: datetime) -> Ops:
    """The same log at another moment."""
    return replace(ops, now=lambda: moment)


def asked(ops: Ops) -> Request:
    policy = find_target(ops.settings, "prod").settings.policy()
    data = {
        "kind": "push",
        "digest": "d" * 64,
        "commit": "c" * 40,
        "plan": {"policy": policy, "files": []},
        "hazards": [],
        "authors": [],
        "unknown_authors": [],
        "expires_at": (MONDAY + timedelta(days=9)).isoformat(),
    }
    draft = Draft(
        kind="requested",
        actor=ANA.id,
        stream="request:R-1",
        data=data,
        project="shop",
        environment="prod",
        request="R-1",
    )
    shown = {"digest": "d" * 64, "how": "hash", "sha256": "e" * 64}
    ops.log.append([draft, replace(draft, kind="shown", actor="system:announcer", data=shown)])
    return find_request(ops.view, "R-1")


def reason(ops: Ops, request: Request) -> list[Reason | None]:
    return [gate.reason for gate in in_the_way(ops, request)]


def test_time_alone_closes_and_opens_the_way(ops: Ops) -> None:
    request = asked(ops)
    assert reason(ops, request) == []
    assert reason(at(ops, MONDAY + timedelta(seconds=10)), request) == [Reason.OUTSIDE_WINDOW]
    assert reason(at(ops, datetime(2026, 11, 24, 9, tzinfo=UTC)), request) == []
    freeze(ops, find_target(ops.settings, "prod"), BEN, "act-1", MONDAY + timedelta(hours=1), "reconciling")
    assert reason(ops, request) == [Reason.TARGET_FROZEN]
    assert reason(at(ops, datetime(2026, 11, 24, 9, tzinfo=UTC)), request) == []  # it ended by itself


def test_what_needs_nobody_is_refused_before_it_is_planned(ops: Ops) -> None:
    dev, prod = find_target(ops.settings, "dev"), find_target(ops.settings, "prod")
    night = MONDAY + timedelta(hours=5)
    check_begins_at_once(ops.view, dev, MONDAY, passes=False)
    check_begins_at_once(ops.view, prod, night, passes=False)  # it waits for people and for the window
    with pytest.raises(OpsError) as closed:
        check_begins_at_once(ops.view, dev, night, passes=False)
    assert (closed.value.reason, closed.value.exit_code) == (Reason.OUTSIDE_WINDOW, 5)
    freeze(ops, None, BEN, "act-1", None, "incident 42")
    with pytest.raises(OpsError) as frozen:
        check_begins_at_once(ops.view, dev, MONDAY, passes=False)
    assert (frozen.value.reason, frozen.value.exit_code) == (Reason.TARGET_FROZEN, 5)


@pytest.mark.parametrize(
    ("who", "where", "expected"),
    [
        (BEN, "prod", None),
        (BEN, "all", None),
        (ANA, "prod", Reason.NOT_AN_APPROVER),
        (ANA, "all", Reason.NOT_AN_APPROVER),
        (ANA, "dev", None),  # nobody approves there, so its requesters may
        (ROOT, "prod", Reason.NOT_AN_APPROVER),
        (ROOT, "dev", None),
        (Actor("slack:T0/U0GUS"), "prod", Reason.NOT_A_MEMBER),
    ],
)
def test_who_may_freeze(ops: Ops, who: Actor, where: str, expected: Reason | None) -> None:
    target = None if where == "all" else find_target(ops.settings, where)
    try:
        freeze(ops, target, who, "act-1", None, "because")
        found = None
    except OpsError as error:
        found = error.reason
    assert found == expected
    assert len(freezes_of(ops.view, "shop/dev" if where == "dev" else "shop/prod", MONDAY)) == (expected is None)


def test_freezes_of_several_hold_beside_each_other_and_their_owners_are_named_to_be_told(ops: Ops) -> None:
    with pytest.raises(OpsError, match="needs its reason"):
        freeze(ops, None, BEN, "act-0", None, " ")
    freeze(ops, None, BEN, "act-1", None, "incident 42")
    _, beside = freeze(ops, None, CHI, "act-2", MONDAY + timedelta(hours=2), "still")
    assert [one.by for one in beside] == [BEN]
    later = MONDAY + timedelta(hours=3)
    assert [one.by for one in freezes_of(ops.view, "shop/prod", later)] == [BEN]  # the shorter one made his no shorter
    freeze(ops, None, BEN, "act-3", MONDAY + timedelta(hours=1), "nearly over")  # one's own is replaced
    assert freezes_of(ops.view, "shop/prod", later) == ()
    ended = unfreeze(ops, None, BEN, "act-4", "over")
    assert ended is not None
    assert ({one.by for one in ended.ended}, ended.left, ended.anothers) == ({BEN, CHI}, (), (CHI,))
    assert unfreeze(ops, None, BEN, "act-5", "again") is None
    [unfrozen] = [event.data or {} for event in ops.view.events(stream="all") if event.kind == "unfrozen"]
    assert sorted(unfrozen["to"]) == ["U0BEN", "U0CHI"]


MALL = """
[projects.mall]
repository = "repository"
[projects.mall.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 1
approvers = ["U0ZOE"]
overriders = ["U0CHI"]
"""


def test_a_stop_of_everything_is_not_ended_by_who_approves_in_a_part_of_it(ops: Ops) -> None:
    settings = read_settings((CONFIG + MALL).encode(), ops.settings.folder / "countersign.toml")
    people = Everybody()
    ops = replace(ops, settings=settings, people=people)
    freeze(ops, None, BEN, "act-1", None, "incident 42")
    zoe = Actor("slack:T0/U0ZOE")
    freeze(ops, None, zoe, "act-2", MONDAY + timedelta(seconds=1), "mine")
    freeze(ops, None, zoe, "act-3", None, "longer, and so mine to end")
    ended = unfreeze(ops, None, zoe, "act-4", "")
    assert ended is not None
    assert ([one.by for one in ended.ended], [one.by for one in ended.left]) == ([zoe], [BEN])
    with pytest.raises(OpsError) as refused:
        unfreeze(ops, None, zoe, "act-5", "")
    assert refused.value.reason is Reason.NOT_ALLOWED
    assert "shop/prod, mall/prod" in refused.value.hint
    assert [one.by for one in freezes_of(ops.view, "shop/prod", MONDAY)] == [BEN]

    # who approves in the one and overrides in the other may; so may anybody who freezes, of whom nobody is any more
    ended = unfreeze(ops, None, CHI, "act-6", "over")
    assert ended is not None
    assert ended.anothers == (BEN,)
    freeze(ops, None, BEN, "act-7", None, "incident 43")
    people.owners -= {"U0BEN"}
    ended = unfreeze(ops, None, zoe, "act-8", "he left")
    assert ended is not None
    assert ended.left == ()


@pytest.mark.parametrize(
    ("requesters", "who", "expected"),
    [
        ("", DEE, None),  # nobody is named, so every full member may request
        ('requesters = ["U0ANA"]', ANA, None),
        ('requesters = ["U0ANA"]', BEN, None),  # who may decide on it
        ('requesters = ["U0ANA"]', DEE, Reason.NOT_A_REQUESTER),
        ('requesters = ["U0ANA"]', Actor("slack:T0/U0GUS"), Reason.NOT_A_MEMBER),
        ('requesters = ["U0ANA"]', ROOT, None),  # a terminal user of the host counts as a requester
    ],
)
def test_who_may_claim(ops: Ops, requesters: str, who: Actor, expected: Reason | None) -> None:
    config = CONFIG.replace('approvers = ["@owners"]', f'approvers = ["@owners"]\n{requesters}')
    ops = replace(ops, settings=read_settings(config.encode(), ops.settings.folder / "countersign.toml"))
    asked(ops)
    try:
        claim(ops, "R-1", who, "act-1", timedelta(minutes=5))
        found = None
    except OpsError as error:
        found = error.reason
    assert found == expected
    assert len(claims_of(ops.view, find_request(ops.view, "R-1"), MONDAY)) == (expected is None)


@pytest.mark.parametrize(
    ("hotfix", "passes", "expected"),
    [
        ({"by": ANA.id, "because": "orders fail", "groups": {}}, "all", None),
        ({"by": ANA.id, "because": "orders fail", "groups": {}}, "configured", Reason.TARGET_FROZEN),
        (None, "all", Reason.TARGET_FROZEN),
    ],
    ids=["a hotfix that passes all", "one that does not", "no hotfix"],
)
def test_a_freeze_holds_a_run_that_is_taken_up_again_unless_it_passes_all(
    ops: Ops, hotfix: dict[str, Any] | None, passes: str, expected: Reason | None
) -> None:
    config = CONFIG.replace(
        'approvers = ["@owners"]', f'approvers = ["@owners"]\nhotfix = ["U0ANA"]\nhotfix_passes = "{passes}"'
    )
    ops = replace(ops, settings=read_settings(config.encode(), ops.settings.folder / "countersign.toml"))
    request, target = asked(ops), find_target(ops.settings, "prod")
    request = replace(request, plan={**request.plan, "hotfix": hotfix})
    freeze(ops, None, BEN, "act-1", None, "incident 42")
    try:
        _check_may_go_on(ops, request, target)
        found = None
    except OpsError as error:
        found = error.reason
    assert found == expected


def test_warning_is_written_once(ops: Ops) -> None:
    asked(ops)
    lock(ops, find_target(ops.settings, "prod"), CHI, "act-1", timedelta(hours=2), "the import runs")
    soon = at(ops, MONDAY + timedelta(minutes=110))
    for _ in range(2):
        warn(ops)
        warn(soon)
    [warned] = [one for one in ops.view.events(stream="people") if one.kind == "warned"]
    assert warned.data is not None
    assert (warned.data["about"], warned.data["to"]) == ("lock_ends", ["U0CHI", "U0ANA"])


def test_freeze_of_everything_is_told_once_to_all_whom_it_holds(ops: Ops) -> None:
    asked(ops)
    freeze(ops, None, BEN, "act-1", MONDAY + timedelta(hours=1), "incident 42")
    for _ in range(2):
        warn(at(ops, MONDAY + timedelta(minutes=50)))
    [warned] = [one for one in ops.view.events(stream="people") if one.kind == "warned"]
    assert (warned.data or {})["to"] == ["U0BEN", "U0ANA"]
    assert (warned.project, warned.environment) == (None, None)


def test_windows_do_not_hold_a_run_that_is_taken_up_again(ops: Ops) -> None:
    night = at(ops, MONDAY + timedelta(hours=5))
    request, target = asked(ops), find_target(ops.settings, "prod")
    assert Reason.OUTSIDE_WINDOW in reason(night, request)
    _check_may_go_on(night, request, target)  # raises where something does
    freeze(night, None, BEN, "act-1", None, "incident 42")
    with pytest.raises(OpsError, match="Everything is frozen"):
        _check_may_go_on(night, request, target)


@pytest.mark.parametrize(("zone", "to"), [("Europe/London", []), ("Asia/Tokyo", ["U0BEN"])])
def test_who_names_no_zone_is_reminded_by_that_of_the_configuration(ops: Ops, zone: str, to: list[str]) -> None:
    """At 02:00 on Monday in London it is 11:00 in Tokyo."""
    config = f'[slack]\nchannel = "C0DEPLOYS"\ntime_zone = "{zone}"\n{CONFIG}'
    ops = replace(ops, settings=read_settings(config.encode(), ops.settings.folder / "countersign.toml"))
    request = asked(ops)
    ops.log.append([ops.draft("pinned", Actor("system:pickup"), request, {"groups": {}, "eligible": ["U0BEN"]})])

    Reminders(at(ops, datetime(2026, 11, 30, 2, tzinfo=UTC))).look()

    reminded = [event.data or {} for event in ops.view.events(stream=request.stream) if event.kind == "reminded"]
    assert [one for data in reminded for one in data["to"]] == to

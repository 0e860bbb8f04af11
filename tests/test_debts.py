"""What a run without approvals owes, in a real log: who may clear it, who is reminded of it, who may override again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import Draft
from audit import Log
from commands.page import plain_page
from commands.request_page import request_page
from commands.show import run as show
from commands.why import run as why
from commands.words import Front
from commands.words import Said
from ops.clearance import clearance
from ops.debts import Debt
from ops.debts import debt_drafts
from ops.debts import debt_in_the_way
from ops.debts import open_debts
from ops.debts import remind_of_debts
from ops.debts import review
from ops.debts import review_owed
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates.debt import debt_gate
from ops.gates.gate import Facts
from ops.layer import Ops
from ops.layer import utc_now
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.policy import Directory
from ops.requests import Request
from ops.requests import find_request
from ops.said import Approval
from ops.settings import read_settings

ANA, BEN, CHI, DEE, ZOE = (Actor(f"slack:T0ACME/U0{name}") for name in ("ANA", "BEN", "CHI", "DEE", "ZOE"))
DIGEST = "d" * 64
BEGUN = {"digest": DIGEST, "attempt": 1, "runner": "host/1", "facts": {}}
SHOP = """
[projects.shop]
repository = "repository"
[projects.shop.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 2
approvers = ["@owners"]
overriders = ["@leads"]
"""
MALL = """
[projects.mall]
repository = "repository"
[projects.mall.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 1
approvers = ["@owners"]
overriders = ["@leads"]
"""
CONFIG = SHOP + MALL
ASKS_NOBODY = SHOP[: SHOP.index("approvals")] + "approvals = 0"


class Everybody:
    """A directory that a test changes."""

    are_known = True

    def __init__(self) -> None:
        self.owners = {"U0BEN", "U0CHI", "U0DEE", "U0ANA"}
        self.leads = Group("S0LEADS", "@leads", frozenset({"U0ANA"}))

    def person(self, user: str) -> Person:
        return Person(user, user)

    def group(self, handle: str) -> Group:
        return self.leads if handle == "@leads" else Group("S0OWNERS", handle, frozenset(self.owners))


@pytest.fixture
def people() -> Everybody:
    return Everybody()


@pytest.fixture
def ops(tmp_path: Path, people: Everybody) -> Iterator[Ops]:
    settings = read_settings(CONFIG.encode(), tmp_path / "countersign.toml")
    (tmp_path / "var").mkdir()
    Log.create(settings.log_path)
    with Log.open(settings.log_path) as log:
        yield Ops(settings, log, people=people)


def emergency(ops: Ops, number: str = "R-1", project: str = "shop", by: Actor = ANA) -> Request:
    """An emergency of Ana's that she overrode; Dee wrote one of its commits."""
    policy = next(iter(ops.settings.projects[project].environments.values())).policy()
    expires_at = (ops.now() + timedelta(days=1)).isoformat()
    plan = {"policy": policy, "files": [], "emergency": {"because": "INC-42"}, "number": number}
    asked: dict[str, Any] = {
        "kind": "push",
        "digest": DIGEST,
        "commit": "c" * 40,
        "plan": plan,
        "hazards": [],
        "authors": ["U0DEE"],
        "unknown_authors": [],
        "expires_at": expires_at,
    }
    pins = {"groups": {"@owners": "S0OWNERS"}, "eligible": ["U0BEN", "U0CHI"], "classes": {}}
    override = {"digest": DIGEST, "because": "INC-42", "to": [], "facts": {"groups": {"@leads": "S0LEADS"}}}
    for kind, data in (("requested", asked), ("pinned", pins), ("overridden", override)):
        stream = f"request:{number}"
        draft = Draft(
            kind=kind, actor=by.id, stream=stream, data=data, project=project, environment="prod", request=number
        )
        ops.log.append([draft])
    return find_request(ops.view, number)


def directory_of(ops: Ops, request: Request) -> Directory:
    users = ("U0ANA", "U0BEN", "U0CHI", "U0DEE")
    return ops.directory((*request.deciders, *request.overriders), users=users, members=False)


def started(ops: Ops, number: str = "R-1", project: str = "shop", by: Actor = ANA) -> Request:
    """The same, once its run has begun: it owes what it owes."""
    request = emergency(ops, number, project, by)
    ops.log.append(debt_drafts(ops, request, clearance(request, directory_of(ops, request), "U0ANA")))
    return request


def refused(ops: Ops, number: str, actor: Actor, act: str) -> Reason:
    with pytest.raises(OpsError) as caught:
        review(ops, number, actor, act, "")
    return caught.value.reason


def test_it_is_cleared_by_as_many_others_as_the_policy_asks_for(ops: Ops) -> None:
    started(ops)
    [debt] = open_debts(ops.view)
    assert (debt.needed, debt.missing, debt.by) == (2, 2, ANA)
    assert timedelta(days=3) - timedelta(seconds=5) < debt.due_at - debt.at <= timedelta(days=3, seconds=5)
    assert refused(ops, "R-1", ANA, "a") is Reason.SELF_APPROVAL
    assert refused(ops, "R-1", DEE, "d") is Reason.AUTHOR_APPROVAL
    assert refused(ops, "R-1", ZOE, "z") is Reason.NOT_AN_APPROVER
    assert refused(ops, "R-1", Actor("os:host/root"), "t") is Reason.TERMINAL_MAY_NOT_APPROVE

    _, left = review(ops, "R-1", BEN, "b", "well, sbp_0123456789abcdef0123456789abcdef01234567")
    assert left is not None
    assert left.missing == 1
    assert refused(ops, "R-1", BEN, "b again") is Reason.ALREADY_APPROVED
    assert review(ops, "R-1", BEN, "b", "")[1] == left  # the same act, delivered again
    assert review(ops, "R-1", CHI, "c", "")[1] is None

    assert open_debts(ops.view) == ()
    assert refused(ops, "R-1", CHI, "c again") is Reason.NOT_WAITING
    reviewed = [event.data or {} for event in ops.view.events(stream="request:R-1") if event.kind == "reviewed"]
    assert [(one["number"], one["needed"], one["cleared"]) for one in reviewed] == [(1, 2, False), (2, 2, True)]
    assert "sbp_0123" not in reviewed[0]["note"]


def test_what_is_owed_is_read_by_everybody_who_looks_at_it(ops: Ops) -> None:
    """On the card, in `show` and in `why`, until enough have reviewed it."""
    request = started(ops)
    begun = Draft(kind="started", actor="system:runner", stream=request.stream, request="R-1", data=BEGUN)
    ops.log.append([begun])
    ops.log.append([replace(begun, kind="succeeded", data={"applied": [], "seconds": 1.0})])
    review(ops, "R-1", BEN, "b", "")
    said = Said("show", ("R-1",), {}, CHI, Front.SLACK, "act")

    request = find_request(ops.view, "R-1")
    card = plain_page(request_page(request, ops.now(), owed=review_owed(ops.view, request)))
    pages = {"card": card, "show": plain_page(show(ops, said).page), "why": plain_page(why(ops, said).page)}
    for name, page in pages.items():
        read = " ".join(page.split())
        assert "Review owed: 1 of 2, due 2" in read, name
        assert "others who may approve look at what it did: " in read, name
        assert "nothing to do" not in read, name
    for event in ("let run without approvals", "review owed", "reviewed"):
        assert event in pages["show"]

    review(ops, "R-1", CHI, "c", "")
    assert "Review owed" not in plain_page(show(ops, said).page)
    assert "Next: nothing to do." in plain_page(show(ops, said).page)


def test_who_left_the_group_since_has_reviewed_nothing(ops: Ops, people: Everybody) -> None:
    started(ops)
    review(ops, "R-1", BEN, "b", "")
    people.owners = {"U0CHI"}
    assert review(ops, "R-1", CHI, "c", "")[1] is not None


def test_it_can_be_cleared_after_a_group_became_another_and_by_the_rules_of_now(ops: Ops, people: Everybody) -> None:
    request = started(ops)
    pins = {"groups": {"@owners": "S0GONE"}, "eligible": ["U0BEN", "U0CHI"], "classes": {}}
    ops.log.append([ops.draft("pinned", Actor("system:policy"), request, pins)])  # as it was when the group was another
    config = CONFIG.replace("approvals = 2", "approvals = 3", 1)
    stricter = replace(ops, settings=read_settings(config.encode(), ops.settings.folder / "countersign.toml"))
    assert refused(stricter, "R-1", ANA, "a") is Reason.SELF_APPROVAL
    assert refused(stricter, "R-1", DEE, "d") is Reason.AUTHOR_APPROVAL

    review(stricter, "R-1", BEN, "b", "")
    [debt] = open_debts(ops.view)
    assert (debt.needed, debt.missing) == (3, 2)  # as many as it takes now
    people.owners |= {"U0ZOE"}
    day = timedelta(days=1, hours=1)
    remind_of_debts(replace(stricter, now=lambda: utc_now() + day))
    [told] = [event.data or {} for event in ops.view.events(stream=request.stream) if event.kind == "debt_reminded"]
    assert told["to"] == ["U0CHI", "U0ZOE"]  # who can clear it now
    review(stricter, "R-1", CHI, "c", "")
    assert review(stricter, "R-1", ZOE, "z", "")[1] is None


@pytest.mark.parametrize("config", [ASKS_NOBODY, MALL])
def test_it_can_be_cleared_by_the_rules_of_then_where_nobody_is_asked_now(ops: Ops, config: str) -> None:
    """The environment asks nobody any more, or the configuration has it no more."""
    started(ops)
    later = replace(ops, settings=read_settings(config.encode(), ops.settings.folder / "countersign.toml"))
    assert refused(later, "R-1", ZOE, "z") is Reason.NOT_AN_APPROVER
    assert review(later, "R-1", BEN, "b", "")[1] is not None
    assert review(later, "R-1", CHI, "c", "")[1] is None


def test_a_run_that_people_agreed_to_as_well_owes_nothing(ops: Ops) -> None:
    request = emergency(ops)
    given = tuple(Approval(who, ops.now(), DIGEST, who.user or "") for who in (BEN, CHI))
    agreed = replace(request, approvals=given)
    assert debt_drafts(ops, agreed, clearance(agreed, directory_of(ops, agreed), "U0ANA")) == []
    half = replace(request, approvals=given[:1])
    assert [one.kind for one in debt_drafts(ops, half, clearance(half, directory_of(ops, half), "U0ANA"))] == [
        "debt_owed"
    ]


def test_an_override_counts_only_while_its_person_may(ops: Ops, people: Everybody) -> None:
    request = emergency(ops)

    def cleared(of: Request = request) -> bool:
        return clearance(of, directory_of(ops, of), "U0ANA").cleared

    assert cleared()
    assert not cleared(replace(request, digest="e" * 64))  # for exactly what was overridden
    assert not cleared(replace(request, plan={**request.plan, "emergency": None}))
    assert not cleared(replace(request, plan={**request.plan, "policy": {}}))
    people.leads = Group("S0LEADS", "@leads", frozenset({"U0BEN"}))
    assert not cleared()
    people.leads = Group("S0OTHER", "@leads", frozenset({"U0ANA"}))  # the handle means another group now
    assert not cleared()


@pytest.mark.parametrize(
    ("project", "actor", "is_in_the_way"),
    [("shop", ANA, True), ("mall", ANA, True), ("shop", BEN, True), ("mall", BEN, False)],
    ids=["same person, same project", "same person elsewhere", "somebody else there", "somebody else elsewhere"],
)
def test_whom_a_debt_keeps_from_an_emergency(ops: Ops, project: str, actor: Actor, is_in_the_way: bool) -> None:
    started(ops)
    assert (debt_in_the_way(ops, ops.view, project, actor) is not None) is is_in_the_way
    assert debt_in_the_way(ops, ops.view, project, actor, but="R-1") is None


def test_of_two_emergencies_that_were_overridden_one_runs(ops: Ops) -> None:
    """The second was let through before the first began; the gate, judged as it begins, still sees what the first owes."""
    started(ops, "R-1")
    second = emergency(ops, "R-2", "mall")
    debt = debt_in_the_way(ops, ops.view, second.project, ANA, but=second.id)

    def gate(of: Request, owed: Debt | None) -> Reason | None:
        facts = Facts(of, ops.target_of(of).settings, directory_of(ops, of), "U0ANA", ops.now(), debt=owed)
        found = debt_gate(facts)
        assert found.is_open is (found.reason is None)
        return found.reason

    assert gate(second, debt) is Reason.REVIEW_OWED
    assert gate(second, None) is None
    assert gate(replace(second, override=None), debt) is None
    agreed = replace(second, approvals=(Approval(BEN, ops.now(), DIGEST, "U0BEN"),))
    assert gate(agreed, debt) is None  # people agreed to it as its policy asks: it needs nobody to override anything


def test_who_can_clear_it_is_told_once_a_day(ops: Ops) -> None:
    started(ops)
    begin = utc_now()

    def at(hours: float) -> list[dict[str, Any]]:
        def now() -> datetime:
            return begin + timedelta(hours=hours)

        remind_of_debts(replace(ops, now=now))
        events = ops.view.events(stream="request:R-1")
        return [event.data or {} for event in events if event.kind == "debt_reminded"]

    assert at(23) == []
    [told] = at(25)
    assert (told["to"], told["overdue"]) == (["U0BEN", "U0CHI"], False)
    review(ops, "R-1", BEN, "b", "")
    later = at(25 + 24 * 3)  # by the log's own clock the last was told just now, and a day after that is over too
    assert (later[-1]["to"], later[-1]["overdue"]) == (["U0CHI"], True)
    review(ops, "R-1", CHI, "c", "")
    assert len(at(25 + 24 * 9)) == len(later)

"""The rules as a table: who, when, in which situation → the reason code, or None where it is allowed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest

from ops.clearance import clearance
from ops.clearance import may_approve
from ops.clearance import missing_approvals
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import may_cancel
from ops.policy import may_decide_now
from ops.policy import may_reject
from ops.policy import may_request
from ops.requests import Request
from ops.said import Approval
from ops.satisfying import can_be_satisfied
from ops.satisfying import eligible_people
from ops.satisfying import is_author_known
from ops.status import Status

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = "a" * 64

ANA, BEN, CHI, DEE = (Actor(f"slack:T0ACME/{user}") for user in ("U0ANA", "U0BEN", "U0CHI", "U0DEE"))
ROOT = Actor("os:host/root")
ANA_AT_HOME = Actor("os:host/ana")
LISTED = Actor("os:host/ops")
NOBODY = Actor("system:nobody")

POLICY: Mapping[str, Any] = {
    "approvals": 1,
    "approvers": ["@database-owners", "os:host/ops"],
    "requesters": [],
    "unknown_authors": "show",
}


def a_request(*, policy: Mapping[str, Any] | None = None, **facts: Any) -> Request:
    """R-7 by Ana on shop/prod, an hour before it expires, its SQL shown and its group pinned."""
    known: dict[str, Any] = {
        "id": "R-7",
        "kind": "push",
        "project": "shop",
        "environment": "prod",
        "by": ANA,
        "digest": DIGEST,
        "commit": "c" * 40,
        "plan": {"policy": {**POLICY, **(policy or {})}, "files": []},
        "hazards": (),
        "authors": (),
        "unknown_authors": (),
        "requested_at": NOW - timedelta(hours=1),
        "expires_at": NOW + timedelta(hours=1),
        "place": 3,
        "pinned": {"@database-owners": "S0OWNERS"},
        "shown": {"digest": DIGEST},
    }
    return Request(**{**known, **facts})


def a_directory(problems: Mapping[str, str] | None = None, **groups: tuple[str, set[str]]) -> Directory:
    """Everybody is a full member but for `problems`; Ben and Chi are @database-owners unless `owners` says otherwise."""
    wrong = problems or {}
    people = {user: Person(user, user, wrong.get(user)) for user in ("U0ANA", "U0BEN", "U0CHI", "U0DEE")}
    found = groups or {"owners": ("S0OWNERS", {"U0BEN", "U0CHI"})}
    [(id, members)] = found.values()
    return Directory(people, {"@database-owners": Group(id, "@database-owners", frozenset(members))})


def yes(by: Actor, person: str = "", digest: str = DIGEST) -> Approval:
    return Approval(by, NOW - timedelta(minutes=5), digest, person or by.user or by.id)


def code(decision: Decision) -> Reason | None:
    """The reason code; a refusal always has a sentence."""
    assert decision.allowed is (decision.reason is None)
    assert decision.allowed or decision.message.endswith(".")
    return decision.reason


RUNNING = {"status": Status.RUNNING, "started_at": NOW}
APPROVERS = [
    ("Ben, of the group", BEN, {}, {}, None),
    ("Dee, of no group", DEE, {}, {}, Reason.NOT_AN_APPROVER),
    ("Ana, who asked", ANA, {}, {}, Reason.SELF_APPROVAL),
    ("Ana, who asked, though she is of the group", ANA, {}, {"who": {"U0ANA"}}, Reason.SELF_APPROVAL),
    ("Ana, who asked at her terminal", ANA, {"by": ANA_AT_HOME}, {"who": {"U0ANA"}}, Reason.SELF_APPROVAL),
    ("Ben, who wrote a commit", BEN, {"authors": ("U0BEN",)}, {}, Reason.AUTHOR_APPROVAL),
    ("Chi, while Ben wrote a commit", CHI, {"authors": ("U0BEN",)}, {}, None),
    ("Ben as a guest", BEN, {}, {"problem": "you are a guest"}, Reason.NOT_A_MEMBER),
    ("somebody nobody asked about", Actor("slack:T0ACME/U0NEW"), {}, {}, Reason.NOT_A_MEMBER),
    ("nobody", NOBODY, {}, {}, Reason.IDENTITY_UNPROVEN),
    ("root at the terminal", ROOT, {}, {}, Reason.TERMINAL_MAY_NOT_APPROVE),
    ("a listed terminal user", LISTED, {}, {}, None),
    ("a listed terminal user who asked", LISTED, {"by": LISTED}, {}, Reason.SELF_APPROVAL),
    ("Ben when the handle means another group", BEN, {}, {"group": "S0OTHER"}, Reason.GROUP_CHANGED),
    ("Ben when the handle names nothing", BEN, {}, {"group": None}, Reason.GROUP_CHANGED),
    ("Ben before the SQL was shown", BEN, {"shown": None}, {}, Reason.NOT_SHOWN_YET),
    ("Ben when another plan's SQL was shown", BEN, {"shown": {"digest": "b" * 64}}, {}, Reason.NOT_SHOWN_YET),
    ("Ben a second time", BEN, {"approvals": (yes(BEN),)}, {}, Reason.ALREADY_APPROVED),
    ("Ben a second time, from another workspace", BEN, {"approvals": (yes(Actor("slack:E1/U0BEN")),)}, {}, "again"),
    ("Chi when Ben's is enough", CHI, {"approvals": (yes(BEN),)}, {}, Reason.ALREADY_DECIDED),
    ("Chi when Dee's counts no more", CHI, {"approvals": (yes(DEE),)}, {}, None),
    ("Ben at the very end", BEN, {"expires_at": NOW + timedelta(microseconds=1)}, {}, None),
    ("Ben at the moment of expiry", BEN, {"expires_at": NOW}, {}, Reason.EXPIRED),
    ("Ben when it runs", BEN, RUNNING, {}, Reason.ALREADY_DECIDED),
    ("Ben when it was rejected", BEN, {"status": Status.REJECTED, "ended_at": NOW}, {}, Reason.ALREADY_DECIDED),
    ("Dee when it runs: that she may not comes first", DEE, RUNNING, {}, Reason.NOT_AN_APPROVER),
]


@pytest.mark.parametrize(
    ("who", "facts", "slack", "expected"), [row[1:] for row in APPROVERS], ids=[r[0] for r in APPROVERS]
)
def test_a_yes(who: Actor, facts: dict[str, Any], slack: dict[str, Any], expected: Reason | str | None) -> None:
    group, members = slack.get("group", "S0OWNERS"), slack.get("who", {"U0BEN", "U0CHI"})
    problems = {"U0BEN": slack["problem"]} if "problem" in slack else {}
    directory = a_directory(problems, owners=(group, members)) if group else Directory(a_directory().people, {})
    request = a_request(**facts)

    decision = may_approve(request, who, directory, "U0ANA", NOW)

    assert code(decision) == (Reason.ALREADY_APPROVED if expected == "again" else expected)


REJECTERS = [
    ("Ben, before anything was shown", BEN, {"shown": None}, None),
    ("Ben, who said yes before", BEN, {"approvals": (yes(BEN),)}, None),
    ("Ana, who asked", ANA, {}, Reason.SELF_APPROVAL),
    ("Dee", DEE, {}, Reason.NOT_AN_APPROVER),
    ("Ben when it runs", BEN, RUNNING, Reason.ALREADY_DECIDED),
    ("Ben after its time", BEN, {"expires_at": NOW}, Reason.EXPIRED),
]


@pytest.mark.parametrize(
    ("who", "facts", "expected"), [row[1:] for row in REJECTERS], ids=[row[0] for row in REJECTERS]
)
def test_a_no(who: Actor, facts: dict[str, Any], expected: Reason | None) -> None:
    assert code(may_reject(a_request(**facts), who, a_directory(), "U0ANA", NOW)) == expected


CANCELLERS = [
    ("Ana, who asked", ANA, {}, None),
    ("Ana in Slack, who asked at her terminal", ANA, {"by": ANA_AT_HOME}, None),
    ("root, who has the host", ROOT, {}, None),
    ("Ben, an approver", BEN, {}, Reason.NOT_ALLOWED),
    ("Ana when it runs", ANA, RUNNING, Reason.ALREADY_DECIDED),
    ("Ana after its time", ANA, {"expires_at": NOW}, Reason.EXPIRED),
]


@pytest.mark.parametrize(("who", "facts", "expected"), [row[1:] for row in CANCELLERS], ids=[r[0] for r in CANCELLERS])
def test_taking_back(who: Actor, facts: dict[str, Any], expected: Reason | None) -> None:
    assert code(may_cancel(a_request(**facts), who, "U0ANA", NOW)) == expected


@pytest.mark.parametrize(
    ("requesters", "who", "problems", "expected"),
    [
        ([], DEE, {}, None),
        ([], DEE, {"U0DEE": "you are a guest"}, Reason.NOT_A_MEMBER),
        ([], NOBODY, {}, Reason.IDENTITY_UNPROVEN),
        (["U0ANA"], ANA, {}, None),
        (["U0ANA"], DEE, {}, Reason.NOT_A_REQUESTER),
        (["@database-owners"], BEN, {}, None),
        (["@database-owners"], BEN, {"U0BEN": "your account is deactivated"}, Reason.NOT_A_MEMBER),
        (["U0ANA"], ROOT, {}, None),
    ],
    ids=["any member", "a guest", "nobody", "listed", "not listed", "of a listed group", "left", "the host"],
)
def test_asking(requesters: list[str], who: Actor, problems: dict[str, str], expected: Reason | None) -> None:
    assert code(may_request(requesters, who, a_directory(problems), "shop/prod")) == expected


@pytest.mark.parametrize(
    ("facts", "status", "expected"),
    [
        ({}, Status.WAITING, None),
        ({"expires_at": NOW}, Status.WAITING, Reason.EXPIRED),
        *[({}, status, Reason.ALREADY_DECIDED) for status in Status if status not in {Status.WAITING, Status.EXPIRED}],
    ],
)
def test_a_request_waits_or_does_not(facts: dict[str, Any], status: Status, expected: Reason | None) -> None:
    request = a_request(status=status, ended_at=NOW, ended_by=BEN, **facts)
    assert code(may_decide_now(request, NOW)) == expected


@pytest.mark.parametrize(
    ("mode", "unknown", "needed", "expected"),
    [
        ("show", (), 1, None),
        ("show", ("Mia",), 1, None),
        ("extra", (), 1, None),
        ("extra", ("Mia",), 2, None),
        ("refuse", (), 1, None),
        ("refuse", ("Mia",), 1, Reason.UNKNOWN_AUTHOR),
    ],
)
def test_authors_nobody_knows(mode: str, unknown: tuple[str, ...], needed: int, expected: Reason | None) -> None:
    request = a_request(policy={"unknown_authors": mode}, unknown_authors=unknown)
    assert request.needed == needed
    assert code(is_author_known(request)) == expected


@pytest.mark.parametrize(
    ("approvals", "cleared", "void"),
    [
        ((), False, set()),
        ((yes(BEN),), False, set()),
        ((yes(BEN), yes(CHI)), True, set()),
        ((yes(BEN), yes(BEN)), False, set()),
        ((yes(BEN), yes(Actor("slack:E0ACME/U0BEN"))), False, set()),
        ((yes(BEN), yes(LISTED)), True, set()),
        ((yes(BEN), yes(LISTED, person="U0BEN")), False, set()),
        ((yes(BEN), yes(LISTED, person="U0ANA")), False, {LISTED.id}),
        ((yes(BEN), yes(DEE)), False, {DEE.id}),
        ((yes(BEN), yes(CHI, digest="b" * 64)), False, {CHI.id}),
    ],
    ids=[
        "nobody",
        "one of two",
        "two",
        "one person twice",
        "one person from two workspaces",
        "a person and a listed terminal",
        "one person in Slack and at the terminal",
        "the requester at a listed terminal",
        "one who is no approver",
        "one for another plan",
    ],
)
def test_distinct_people_clear_a_request(approvals: tuple[Approval, ...], cleared: bool, void: set[str]) -> None:
    found = clearance(a_request(policy={"approvals": 2}, approvals=approvals), a_directory(), "U0ANA")
    assert (found.cleared, set(found.void)) == (cleared, void)


@pytest.mark.parametrize(
    ("approvals", "owners", "missing"),
    [
        ((), {"U0BEN", "U0CHI"}, 2),
        ((yes(BEN),), {"U0BEN", "U0CHI"}, 1),
        ((yes(BEN), yes(CHI)), {"U0BEN", "U0CHI"}, 0),
        ((yes(BEN), yes(CHI)), {"U0CHI"}, 1),
        ((yes(CHI), yes(Actor("slack:T0ACME/U0RACER"))), {"U0CHI"}, 0),
    ],
    ids=["none", "one", "both", "one left the group", "one came in between and was not asked about"],
)
def test_how_many_are_missing(approvals: tuple[Approval, ...], owners: set[str], missing: int) -> None:
    request = a_request(policy={"approvals": 2}, approvals=approvals)
    assert missing_approvals(request, a_directory(owners=("S0OWNERS", owners)), "U0ANA") == missing


@pytest.mark.parametrize(
    ("approvals", "facts", "problems", "eligible", "expected"),
    [
        (2, {}, {}, ("U0BEN", "U0CHI", "os:host/ops"), None),
        (4, {}, {}, ("U0BEN", "U0CHI", "os:host/ops"), Reason.POLICY_UNSATISFIABLE),
        (3, {"authors": ("U0CHI",)}, {}, ("U0BEN", "os:host/ops"), Reason.POLICY_UNSATISFIABLE),
        (3, {"by": BEN}, {}, ("U0CHI", "os:host/ops"), Reason.POLICY_UNSATISFIABLE),
        (3, {}, {"U0BEN": "your account is deactivated"}, ("U0CHI", "os:host/ops"), Reason.POLICY_UNSATISFIABLE),
    ],
    ids=["enough", "too few", "an author", "the requester", "one who left"],
)
def test_whether_enough_people_could_approve(
    approvals: int,
    facts: dict[str, Any],
    problems: dict[str, str],
    eligible: tuple[str, ...],
    expected: Reason | None,
) -> None:
    request = a_request(policy={"approvals": approvals}, **facts)
    found = eligible_people(request, a_directory(problems), request.by.user)
    assert found == eligible
    assert code(can_be_satisfied(request, found)) == expected


def test_a_terminal_whose_login_is_known_is_that_person() -> None:
    request, directory = a_request(authors=("U0BEN",)), a_directory()
    assert code(entitled(request, LISTED, directory, "U0ANA", "U0ANA")) == Reason.SELF_APPROVAL
    assert code(entitled(request, LISTED, directory, "U0ANA", "U0BEN")) == Reason.AUTHOR_APPROVAL
    assert code(entitled(request, LISTED, directory, "U0ANA", "U0CHI")) is None
    said = replace(request, authors=(), approvals=(yes(CHI),), plan={"policy": {**POLICY, "approvals": 2}})
    assert code(may_approve(said, LISTED, directory, "U0ANA", NOW, "U0CHI")) == Reason.ALREADY_APPROVED


def test_a_refusal_is_raised_with_its_code_and_ends_a_terminal_with_3() -> None:
    with pytest.raises(OpsError) as refusal:
        may_request(["U0ANA"], DEE, a_directory(), "shop/prod").or_raise()
    assert refusal.value.reason is Reason.NOT_A_REQUESTER
    assert refusal.value.exit_code == 3
    assert refusal.value.hint == "These may: slack:T0/U0ANA."

"""What a class of hazards takes: more people, certain people, or nothing of the kind. Tables: who said yes → what lacks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest

from ops.clearance import clearance
from ops.clearance import given_approvals
from ops.clearance import may_approve
from ops.errors import Reason
from ops.hazards import Hazard
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.plan_refusals import forbidden
from ops.plan_refusals import not_rehearsed
from ops.policy import Directory
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.requests import Request
from ops.rules import accepted_classes
from ops.said import Approval
from ops.satisfying import can_be_satisfied
from ops.satisfying import eligible_people
from ops.satisfying import people_by_class

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = "a" * 64
ANA, BEN, CHI, SAM, SUE, GUS = (
    Actor(f"slack:T0ACME/{user}") for user in ("U0ANA", "U0BEN", "U0CHI", "U0SAM", "U0SUE", "U0GUS")
)
LISTED = Actor("os:host/ops")

MORE = {"data_loss": {"approvals": 3, "approvers": []}}
OTHERS = {"access": {"approvals": 0, "approvers": ["@security", "os:host/ops"]}}
BOTH = {"access": {"approvals": 2, "approvers": ["@security"]}}
TWO_GROUPS = {**OTHERS, "data_loss": {"approvals": 0, "approvers": ["U0GUS"]}}


def hazard(name: str, level: str = "danger") -> dict[str, Any]:
    return {"rule": "r", "class": name, "level": level, "version": "1", "line": 1, "message": "m"}


def a_request(rules: Mapping[str, Any], *found: str, approvals: int = 1, **facts: Any) -> Request:
    """R-7 by Ana; @owners approve. Its hazards are of these classes, `access:info` at another level than danger."""
    policy = {
        "approvals": approvals,
        "approvers": ["@owners"],
        "requesters": [],
        "unknown_authors": "show",
        "hazards": rules,
    }
    known: dict[str, Any] = {
        "id": "R-7",
        "kind": "push",
        "project": "shop",
        "environment": "prod",
        "by": ANA,
        "digest": DIGEST,
        "commit": "c" * 40,
        "plan": {"policy": policy, "files": []},
        "hazards": tuple(hazard(*one.split(":")) for one in found),
        "authors": (),
        "unknown_authors": (),
        "requested_at": NOW - timedelta(hours=1),
        "expires_at": NOW + timedelta(hours=1),
        "place": 3,
        "pinned": {"@owners": "S0OWNERS"},
        "shown": {"digest": DIGEST},
    }
    return Request(**{**known, **facts})


def a_directory(problems: Mapping[str, str] | None = None, security: frozenset[str] | None = None) -> Directory:
    """Ben and Chi are @owners; Sam and Sue are @security, unless it is said otherwise."""
    who = ("U0ANA", "U0BEN", "U0CHI", "U0SAM", "U0SUE", "U0GUS")
    people = {user: Person(user, user, (problems or {}).get(user)) for user in who}
    members = security if security is not None else frozenset({"U0SAM", "U0SUE"})
    owners = Group("S0OWNERS", "@owners", frozenset({"U0BEN", "U0CHI"}))
    return Directory(people, {"@owners": owners, "@security": Group("S0SECURITY", "@security", members)})


def yes(by: Actor, covers: tuple[str, ...] = ()) -> Approval:
    return Approval(by, NOW - timedelta(minutes=5), DIGEST, by.user or by.id, covers=covers)


NEEDED = [
    ("nothing dangerous", MORE, (), 1),
    ("the class is there", MORE, ("data_loss",), 3),
    ("at the level caution", MORE, ("data_loss:caution",), 3),
    ("only as an information", MORE, ("data_loss:info",), 1),
    ("another class", MORE, ("access",), 1),
    ("certain people, who are one at least", OTHERS, ("access",), 1),
    ("two classes: the one that asks for most", {**MORE, **BOTH}, ("access", "data_loss"), 3),
    ("a class that is refused asks nobody", {"access": "refused"}, ("access",), 1),
]


@pytest.mark.parametrize(("rules", "found", "needed"), [row[1:] for row in NEEDED], ids=[row[0] for row in NEEDED])
def test_how_many_must_agree(rules: Mapping[str, Any], found: tuple[str, ...], needed: int) -> None:
    assert a_request(rules, *found).needed == needed


def test_unknown_authors_come_on_top_of_the_class() -> None:
    request = a_request(MORE, "data_loss", unknown_authors=("Zoe",))
    policy = {**request.plan["policy"], "unknown_authors": "extra"}

    assert replace(request, plan={**request.plan, "policy": policy}).needed == 4


def test_a_class_asks_for_somebody_where_the_environment_asks_for_nobody() -> None:
    assert a_request(OTHERS, "access", approvals=0).needed == 1
    assert a_request(OTHERS, approvals=0).needed == 0


def test_a_request_from_before_there_were_such_rules_needs_what_it_did() -> None:
    request = a_request({}, "access")
    policy = {key: value for key, value in request.plan["policy"].items() if key != "hazards"}

    old = replace(request, plan={**request.plan, "policy": policy})

    assert (old.needed, old.deciders, old.expected) == (1, ("@owners",), {})


CLEARED = [
    ("nobody yet", OTHERS, (), False, 1, ["access"]),
    ("Ben, an owner: the number, but not the person", OTHERS, (BEN,), False, 1, ["access"]),
    ("Sam, of security: both", OTHERS, (SAM,), True, 0, []),
    ("Ben, then Sam", OTHERS, (BEN, SAM), True, 0, []),
    ("the listed terminal user", OTHERS, (LISTED,), True, 0, []),
    ("two are asked for, Sam is one", BOTH, (SAM,), False, 1, []),
    ("two are asked for, Ben and Chi are not security", BOTH, (BEN, CHI), False, 1, ["access"]),
    ("two are asked for, Sam and Ben", BOTH, (SAM, BEN), True, 0, []),
    ("two groups, one of them", TWO_GROUPS, (SAM,), False, 1, ["data_loss"]),
    ("two groups, both", TWO_GROUPS, (SAM, GUS), True, 0, []),
    ("three, two of them security", MORE, (BEN, CHI), False, 1, []),
]


@pytest.mark.parametrize(
    ("rules", "who", "cleared", "missing", "lacks"), [row[1:] for row in CLEARED], ids=[row[0] for row in CLEARED]
)
def test_what_clears_a_request(
    rules: Mapping[str, Any], who: tuple[Actor, ...], cleared: bool, missing: int, lacks: list[str]
) -> None:
    request = a_request(rules, "access", "data_loss")
    directory = a_directory()
    covering = {"access": (SAM, SUE, LISTED), "data_loss": (GUS,)}
    given = [yes(one, tuple(name for name, people in covering.items() if one in people)) for one in who]
    request = replace(request, approvals=tuple(given))

    now = clearance(request, directory, "U0ANA")

    assert (now.cleared, list(now.uncovered), now.facts()["uncovered"]) == (cleared, lacks, lacks)
    assert given_approvals(request, directory, "U0ANA").missing == missing
    assert (request.missing, request.may_be_cleared) == (missing, cleared), "the log alone says the same"


def test_somebody_who_left_the_group_no_longer_covers_its_class() -> None:
    request = a_request(BOTH, "access", approvals=2)
    request = replace(request, approvals=(yes(BEN), yes(SAM, ("access",))))

    assert clearance(request, a_directory(), "U0ANA").cleared
    left = clearance(request, a_directory(security=frozenset({"U0SUE"})), "U0ANA")

    assert (left.cleared, list(left.uncovered), list(left.void)) == (False, ["access"], [SAM.id])
    assert left.lacks() == "Nobody of @security agreed to access."


APPROVERS = [
    ("Sam, of security, where access is in the plan", OTHERS, ("access",), (), SAM, None),
    ("Sam, where nothing of access is in the plan", OTHERS, (), (), SAM, Reason.NOT_AN_APPROVER),
    ("Sam, where it is only an information", OTHERS, ("access:info",), (), SAM, Reason.NOT_AN_APPROVER),
    ("the listed terminal user", OTHERS, ("access",), (), LISTED, None),
    ("the listed terminal user of a class that is not there", OTHERS, (), (), LISTED, Reason.TERMINAL_MAY_NOT_APPROVE),
    ("Ben, an owner, first", OTHERS, ("access",), (), BEN, None),
    ("Sam, where only security lacks", OTHERS, ("access",), (BEN,), SAM, None),
    ("Chi, where only security lacks", OTHERS, ("access",), (BEN,), CHI, Reason.NOT_AN_APPROVER),
    ("Sue, when Sam has agreed", OTHERS, ("access",), (SAM,), SUE, Reason.ALREADY_DECIDED),
    ("Chi, where one more is needed and security has agreed", BOTH, ("access",), (SAM,), CHI, None),
]


@pytest.mark.parametrize(
    ("rules", "found", "given", "who", "expected"), [row[1:] for row in APPROVERS], ids=[row[0] for row in APPROVERS]
)
def test_whose_yes_counts(
    rules: Mapping[str, Any], found: tuple[str, ...], given: tuple[Actor, ...], who: Actor, expected: Reason | None
) -> None:
    covering = {SAM: ("access",), SUE: ("access",)}
    approvals = tuple(yes(one, covering.get(one, ())) for one in given)
    request = a_request(rules, *found, approvals=1)

    decision = may_approve(replace(request, approvals=approvals), who, a_directory(), "U0ANA", NOW)

    assert decision.reason == expected


def test_who_may_not_help_is_told_who_can() -> None:
    request = replace(a_request(OTHERS, "access"), approvals=(yes(BEN),))

    decision = may_approve(request, CHI, a_directory(), "U0ANA", NOW)

    assert "has the 1 approval that it needs, but not yet of everybody whom its hazards ask for" in decision.message
    assert "for access, one of @security, os:host/ops" in decision.message


def test_a_yes_accepts_every_class_by_name_and_covers_its_own() -> None:
    request = a_request(OTHERS, "access:caution", "locks", "data_loss:info")

    decision = may_approve(request, SAM, a_directory(), "U0ANA", NOW)

    assert (decision.facts["accepts"], decision.facts["covers"]) == (["access", "locks"], ["access"])
    assert decision.facts["approvers"] == ["@owners", "@security", "os:host/ops"]


def test_accepted_are_the_classes_from_caution_on() -> None:
    found = [hazard("locks", "caution"), hazard("access", "info"), hazard("data_loss", "forbidden"), hazard("locks")]

    assert accepted_classes(found) == ("data_loss", "locks")


SATISFIABLE = [
    ("security is there", BOTH, a_directory(), None),
    ("nobody is in security", OTHERS, a_directory(security=frozenset()), "none of them could"),
    ("all of security are guests", BOTH, a_directory({"U0SAM": "a guest", "U0SUE": "a guest"}), "none of them could"),
    ("security is the requester alone", BOTH, a_directory(security=frozenset({"U0ANA"})), "none of them could"),
    ("three, of two", MORE, a_directory(), "needs 3 approvals, but only 2"),
]


@pytest.mark.parametrize(
    ("rules", "directory", "told"), [row[1:] for row in SATISFIABLE], ids=[row[0] for row in SATISFIABLE]
)
def test_what_nobody_could_clear_is_refused_at_once(
    rules: Mapping[str, Any], directory: Directory, told: str | None
) -> None:
    rules = {
        name: {**rule, "approvers": [one for one in rule["approvers"] if "os:" not in one]}
        for name, rule in rules.items()
    }
    request = a_request(rules, "access", "data_loss")
    eligible = eligible_people(request, directory, "U0ANA")

    decision = can_be_satisfied(request, eligible, people_by_class(request, eligible, directory))

    assert (decision.reason is Reason.POLICY_UNSATISFIABLE) == (told is not None)
    assert told is None or told in decision.message


def a_hazard(name: HazardClass, level: Level) -> Hazard:
    return Hazard("drops-table", name, level, "20260101000000", 4, "DROP TABLE orders loses its rows.", "Keep it.")


REFUSED = [
    ("a class that is refused", {"data_loss": "refused"}, Level.CAUTION, True),
    ("the same as an information", {"data_loss": "refused"}, Level.INFO, False),
    ("another class is refused", {"access": "refused"}, Level.DANGER, False),
    ("a class that asks for more", MORE, Level.DANGER, False),
    ("forbidden everywhere", {}, Level.FORBIDDEN, True),
]


@pytest.mark.parametrize(("rules", "level", "refused"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_may_not_be_asked_for(rules: Mapping[str, Any], level: Level, refused: bool) -> None:
    found = forbidden([a_hazard(HazardClass.DATA_LOSS, level)], {"hazards": rules}, "shop/prod", lambda _: "1_x.sql")

    assert (found is not None) == refused
    assert found is None or (found.reason, found.exit_code) == (Reason.HAZARD_FORBIDDEN, 3)


def test_a_refused_class_is_told_with_rule_place_and_class() -> None:
    rules = {"hazards": {"data_loss": "refused"}}

    found = forbidden([a_hazard(HazardClass.DATA_LOSS, Level.DANGER)], rules, "shop/prod", lambda _: "1_x.sql")

    assert found is not None
    assert found.message == (
        "1_x.sql, line 4: DROP TABLE orders loses its rows (rule drops-table, class data_loss), and shop/prod refuses "
        "whatever is data_loss."
    )
    assert found.hint == "Keep it."


ERROR = {"sqlstate": "42703", "message": 'column "note" does not exist', "line": 3, "column": 8, "hint": "Did you?"}
FAILED = Rehearsal(
    Outcome.FAILED,
    files=(FileFacts("1", "1_a.sql", "passed", 0.1, "b"), FileFacts("2", "2_b.sql", "failed", 0.1, None, error=ERROR)),
)
GATES = [
    ("it passed", "required", Rehearsal(Outcome.PASSED), None),
    ("it failed", "required", FAILED, Reason.REHEARSAL_FAILED),
    ("it could not be done", "required", Rehearsal(Outcome.IMPOSSIBLE, "no tools"), Reason.REHEARSAL_IMPOSSIBLE),
    ("nobody tried", "required", None, Reason.REHEARSAL_IMPOSSIBLE),
    ("it failed, and is only shown", "shown", FAILED, None),
    ("nobody tried, and nobody asks for it", "off", None, None),
]


@pytest.mark.parametrize(("level", "rehearsal", "reason"), [row[1:] for row in GATES], ids=[row[0] for row in GATES])
def test_a_rehearsal_that_is_required_must_pass(level: str, rehearsal: Rehearsal | None, reason: Reason | None) -> None:
    found = not_rehearsed(rehearsal, {"rehearsal": level}, "shop/prod")

    assert (found.reason if found else None) == reason


def test_a_failed_rehearsal_is_told_as_a_compiler_does() -> None:
    found = not_rehearsed(FAILED, {"rehearsal": "required"}, "shop/prod")

    assert found is not None
    assert found.message.startswith(
        '2_b.sql:3:8: column "note" does not exist (SQLSTATE 42703). It failed on a copy of'
    )
    assert found.hint == "Did you? Mend the file and ask again."
    assert found.details["sql"] == ERROR


def test_an_impossible_rehearsal_says_what_is_missing_and_what_to_do() -> None:
    found = not_rehearsed(Rehearsal(Outcome.IMPOSSIBLE, "no pg_dump here."), {"rehearsal": "required"}, "shop/prod")

    assert found is not None
    assert found.message.endswith("and there was none: no pg_dump here.")
    assert "doctor" in found.hint

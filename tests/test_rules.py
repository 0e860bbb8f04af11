"""Rules with their own people and counts: which ones a plan must meet, and who fills which place. Tables and properties."""

import random
import re
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from test_hazard_policy import ANA
from test_hazard_policy import BEN
from test_hazard_policy import CHI
from test_hazard_policy import GUS
from test_hazard_policy import NOW
from test_hazard_policy import SAM
from test_hazard_policy import SUE
from test_hazard_policy import a_directory
from test_hazard_policy import a_request
from test_hazard_policy import hazard
from test_hazard_policy import yes

from ops.clearance import clearance
from ops.clearance import filled_rules
from ops.clearance import given_approvals
from ops.clearance import may_approve
from ops.environment import Environment
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates.approvals import approvals_gate
from ops.gates.gate import Facts
from ops.people import Actor
from ops.policy_changes import policy_changes
from ops.requests import Request
from ops.rules import Rule
from ops.rules import fill
from ops.rules import rules_of
from ops.rules import says_nothing
from ops.satisfying import can_be_satisfied
from ops.satisfying import eligible_people
from ops.satisfying import has_a_policy
from ops.satisfying import people_by_rule

SECURITY = {"name": "security", "approvals": 1, "approvers": ["@security"], "for": ["access"]}
ALWAYS = {"name": "second", "approvals": 1, "approvers": ["@security", "U0BEN"], "for": []}


def policy(approvals: int = 1, *rules: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    found = {"approvals": approvals, "approvers": ["@owners"] if approvals else [], "unknown_authors": "show", **more}
    return {**found, **({"rules": list(rules)} if rules else {})}


RULES = [
    ("no rules", policy(2), (), [("approvers", 2)]),
    ("nobody is asked", policy(0), (), []),
    ("a rule for every plan", policy(1, ALWAYS), (), [("approvers", 1), ("second", 1)]),
    ("a rule for a class that is there", policy(1, SECURITY), ("access",), [("approvers", 1), ("security", 1)]),
    ("a rule for a class that is not", policy(1, SECURITY), ("locks",), [("approvers", 1)]),
    ("a rule for a class that is an information", policy(1, SECURITY), ("access:info",), [("approvers", 1)]),
    ("only a rule", policy(0, ALWAYS), (), [("second", 1)]),
    ("all skipped", policy(0, SECURITY), (), []),
    (
        "a class raises the own rule alone",
        policy(1, ALWAYS, hazards={"access": {"approvals": 3, "approvers": []}}),
        ("access",),
        [("approvers", 3), ("second", 1)],
    ),
]


@pytest.mark.parametrize(("asked", "found", "rules"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_which_rules_a_plan_must_meet(asked: Mapping[str, Any], found: tuple[str, ...], rules: list[Any]) -> None:
    hazards = [hazard(*one.split(":")) for one in found]
    assert [(one.name, one.approvals) for one in rules_of(asked, hazards, ())] == rules


def test_unknown_authors_take_one_more_of_somebody_who_is_asked_at_all() -> None:
    extra = {"unknown_authors": "extra"}
    assert [one.approvals for one in rules_of(policy(1, ALWAYS, **extra), (), ("Zoe",))] == [2, 1]
    assert [one.approvals for one in rules_of(policy(0, ALWAYS, **extra), (), ("Zoe",))] == [2]


EMPTY = [
    ("nothing at all", {}, True),
    ("all rules skipped", policy(0, SECURITY), True),
    ("nobody is asked, as it says", policy(0), False),
    ("people are asked", policy(1, SECURITY), False),
]


@pytest.mark.parametrize(("asked", "is_empty"), [row[1:] for row in EMPTY], ids=[row[0] for row in EMPTY])
def test_what_says_nothing_allows_nothing(asked: dict[str, Any], is_empty: bool) -> None:
    request = replace(a_request({}), plan={"policy": asked, "files": []}, approvals=(yes(BEN), yes(CHI)))
    gate = approvals_gate(Facts(request, settings=ENVIRONMENT, directory=a_directory(), requester_is="U0ANA", now=NOW))

    assert says_nothing(asked, request.rules) is is_empty
    assert has_a_policy(request).allowed is not is_empty
    assert gate.is_open is not is_empty
    assert (gate.reason is Reason.POLICY_EMPTY) is is_empty


def most_filled(rules: Sequence[Rule], may_fill: Mapping[str, Sequence[str]]) -> int:
    """By trying everything: each person in each rule that they may fill, or in none."""
    best = 0
    for seats in product(*([None, *names] for names in may_fill.values())):
        if all(seats.count(rule.name) <= rule.approvals for rule in rules):
            best = max(best, sum(seat is not None for seat in seats))
    return best


def test_as_many_places_are_filled_as_can_be_by_distinct_people_and_who_came_first_stays() -> None:
    dice = random.Random(6)  # noqa: S311
    for _ in range(1500):
        rules = [Rule(f"r{n}", dice.randint(1, 3), ()) for n in range(dice.randint(1, 4))]
        people = [f"U{n}" for n in range(dice.randint(0, 6))]
        may = {who: [one.name for one in rules if dice.random() < 0.5] for who in people}
        filled = fill(rules, may)

        assert len(filled.who) == most_filled(rules, may)
        assert all(name in may[who] for who, name in filled.who.items())
        assert all(len(filled.people(one)) <= one.approvals for one in rules)
        assert filled.unfilled == sum(one.approvals for one in rules) - len(filled.who)
        assert filled == fill(rules, may)
        for count in range(len(people)):
            fewer = fill(rules, dict(list(may.items())[:count]))
            assert fewer.who.keys() <= filled.who.keys(), "whoever had a place keeps one when more people say yes"


def test_people_move_only_where_somebody_could_fill_no_other_place() -> None:
    rules = (Rule("approvers", 1, ()), Rule("second", 1, ()))
    both, first = ("approvers", "second"), ("approvers",)
    assert fill(rules, {"ben": both}).who == {"ben": "approvers"}
    assert fill(rules, {"ben": both, "chi": both}).who == {"ben": "approvers", "chi": "second"}
    assert fill(rules, {"ben": both, "chi": first}).who == {"ben": "second", "chi": "approvers"}
    assert fill(rules, {"ben": first, "chi": first}).who == {"ben": "approvers"}


def of(
    *rules: Mapping[str, Any], said: Sequence[Actor] = (), approvals: int = 1, hazards: Sequence[str] = ()
) -> Request:
    """R-7 by Ana under these rules; those who said yes may fill what a_directory lets them."""
    request = a_request({}, *hazards)
    request = replace(request, plan={"policy": policy(approvals, *rules), "files": []})
    given = [replace(yes(one), fills=filled_rules(request, one, a_directory())) for one in said]
    return replace(request, approvals=tuple(given), pinned={"@owners": "S0OWNERS", "@security": "S0SECURITY"})


CLEARED = [
    ("Ben alone is two of nobody", of(ALWAYS, said=[BEN]), 1, {"approvers": ["U0BEN"], "second": []}),
    ("Ben moves for Chi", of(ALWAYS, said=[BEN, CHI]), 0, {"approvers": ["U0CHI"], "second": ["U0BEN"]}),
    ("Sam is no owner", of(ALWAYS, said=[SAM, SUE]), 1, {"approvers": [], "second": ["U0SAM"]}),
    ("Ben and Sam", of(ALWAYS, said=[BEN, SAM]), 0, {"approvers": ["U0BEN"], "second": ["U0SAM"]}),
    (
        "nobody of security",
        of(SECURITY, said=[BEN, CHI], hazards=["access"]),
        1,
        {"approvers": ["U0BEN"], "security": []},
    ),
    ("security is not asked", of(SECURITY, said=[BEN]), 0, {"approvers": ["U0BEN"]}),
]


@pytest.mark.parametrize(
    ("request_", "missing", "filled"), [row[1:] for row in CLEARED], ids=[row[0] for row in CLEARED]
)
def test_who_fills_which_rule(request_: Request, missing: int, filled: dict[str, list[str]]) -> None:
    found = clearance(request_, a_directory(), "U0ANA")

    assert found.filled.to_json() == filled
    assert found.cleared is (missing == 0)
    assert found.facts()["filled"] == filled
    assert given_approvals(request_, a_directory(), "U0ANA").missing == missing
    assert (request_.missing, request_.filled.to_json()) == (missing, filled), "the log alone says the same"


YES = [
    ("Ben first", of(ALWAYS), BEN, None),
    ("Chi beside Ben, who moves", of(ALWAYS, said=[BEN]), CHI, None),
    ("Sue, where Sam has the only place for her", of(ALWAYS, said=[SAM]), SUE, Reason.NOT_AN_APPROVER),
    ("Gus, who is in no rule", of(ALWAYS), GUS, Reason.NOT_AN_APPROVER),
    ("Sam, where his rule is skipped", of(SECURITY), SAM, Reason.NOT_AN_APPROVER),
    ("Chi, where only security lacks", of(SECURITY, said=[BEN], hazards=["access"]), CHI, Reason.NOT_AN_APPROVER),
    ("Sam, where only security lacks", of(SECURITY, said=[BEN], hazards=["access"]), SAM, None),
    ("Ana, who asked", of(ALWAYS), ANA, Reason.SELF_APPROVAL),
    ("Ben, behind the CI job that asked", replace(of(ALWAYS), behind=("U0BEN",)), BEN, Reason.SELF_APPROVAL),
    ("Chi, while Ben is behind that job", replace(of(ALWAYS), behind=("U0BEN",)), CHI, None),
]


@pytest.mark.parametrize(("request_", "who", "reason"), [row[1:] for row in YES], ids=[row[0] for row in YES])
def test_whose_yes_counts(request_: Request, who: Actor, reason: Reason | None) -> None:
    decision = may_approve(request_, who, a_directory(), "U0ANA", NOW)

    assert decision.reason is reason, decision.message
    if reason is None:
        assert set(decision.facts["fills"]) <= {rule.name for rule in request_.rules}


def test_rules_that_could_never_be_met_are_refused_at_once() -> None:
    two_of_one = {"name": "both", "approvals": 2, "approvers": ["@security", "U0BEN"], "for": []}
    request = replace(of(two_of_one), authors=("U0SAM", "U0CHI"))
    eligible = eligible_people(request, a_directory(), "U0ANA")
    by_rule = people_by_rule(request, eligible, a_directory())

    decision = can_be_satisfied(request, (*eligible, "U0XYZ"), {}, by_rule)

    assert decision.reason is Reason.POLICY_UNSATISFIABLE
    assert "both lacks 1 of @security, slack:T0/U0BEN" in decision.message


def test_the_gate_has_a_part_for_every_rule_with_who_and_who_could() -> None:
    request = of(SECURITY, said=[BEN], hazards=["access"])
    request = replace(request, may_fill={"approvers": ["U0BEN", "U0CHI"], "security": ["U0SAM", "U0SUE"]})

    gate = approvals_gate(Facts(request, settings=ENVIRONMENT, directory=a_directory(), requester_is="U0ANA", now=NOW))

    assert not gate.is_open
    own, security = gate.parts
    assert (own.name, own.is_open, own.facts["people"]) == ("approvers", True, ["U0BEN"])
    assert (security.name, security.is_open, security.facts["missing"]) == ("security", False, 1)
    assert security.facts["could"] == ["U0SAM", "U0SUE"]
    assert "security: 0 of 1." in gate.sentence


BASE = {"database_url": "$URL", "branch": "main"}
ENVIRONMENT = Environment.model_validate({**BASE, "approvals": 0})


def test_a_policy_without_rules_keeps_its_digest_and_one_with_rules_has_another() -> None:
    rules = [{"name": "security", "approvers": ["@b", "@a"], "for": ["access"]}]
    with_rules = Environment.model_validate({**BASE, "approvals": 0, "rules": rules})

    assert "rules" not in ENVIRONMENT.policy()
    assert with_rules.policy()["rules"] == [
        {"name": "security", "approvals": 1, "approvers": ["@a", "@b"], "for": ["access"]}
    ]
    assert (with_rules.backup_level, with_rules.rehearsal_level) == ("restored", "required")


MISTAKES = [
    ("the own rule's name", [{"name": "approvers", "approvers": ["@a"]}], "the environment's own"),
    ("one name twice", [{"name": "x", "approvers": ["@a"]}] * 2, 'two rules are named "x"'),
    ("nobody in it", [{"name": "x", "approvers": []}], "at least 1"),
    ("more than there are", [{"name": "x", "approvers": ["U0BEN"], "approvals": 2}], "only 1 may give them"),
    ("no such class", [{"name": "x", "approvers": ["@a"], "for": ["acess"]}], "did you mean access?"),
]


@pytest.mark.parametrize(("rules", "told"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_rule_that_means_nothing_does_not_load(rules: list[Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Environment.model_validate({**BASE, "approvals": 0, "rules": rules})


CHANGES = [
    ("a number", policy(1), policy(2), ["approvals 1 → 2"]),
    ("nothing", policy(1, ALWAYS), policy(1, ALWAYS), []),
    ("people", policy(1), policy(1, approvers=["@b", "U0BEN"]), ["approvers @owners → @b, U0BEN"]),
    ("a rule more", policy(1), policy(1, SECURITY), None),
    (
        "a rule's people",
        policy(1, ALWAYS),
        policy(1, {**ALWAYS, "approvers": ["@c"]}),
        ["of the rule second, approvers @security, U0BEN → @c"],
    ),
    (
        "a freeze, and more time",
        {**policy(1), "expires_seconds": 7200},
        {
            **policy(1),
            "expires_seconds": 9000,
            "freezes": [{"from": "2026-12-20", "to": "2027-01-05", "because": "rest"}],
        },
        ["time for deciding 2 h → 2 h 30 min", "freezes none → 2026-12-20 to 2027-01-05 (rest)"],
    ),
    (
        "what a class of hazards takes",
        {**policy(1), "hazards": {"access": {"approvals": 1}}},
        {**policy(1), "hazards": {"access": {"approvals": 2}}, "second_factor": True},
        ["for access, approvals 1 → 2", "one-time code no → yes"],
    ),
]


@pytest.mark.parametrize(("old", "new", "words"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_changed_of_a_policy_is_said_rule_by_rule(
    old: dict[str, Any], new: dict[str, Any], words: list[str] | None
) -> None:
    found = [str(one) for one in policy_changes(old, new)]
    if words is None:
        named = {one.partition(" none")[0] for one in found}
        assert named >= {"of the rule security, approvals", "of the rule security, only for"}
    else:
        assert found == words


def test_where_a_project_is_asked_is_part_of_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"project_url": "https://shop.acme.example"}
    usual = Environment.model_validate({**BASE, "approvals": 0, "project_ref": "a" * 20})
    moved = Environment.model_validate({**BASE, "approvals": 0, "project_ref": "a" * 20, **url})
    alone = Environment.model_validate({**BASE, "approvals": 0, **url})
    monkeypatch.setenv("SUPABASE_API_URL", "https://api.supabase.com/")
    before = usual.policy()
    assert not {"project_url", "management_api"} & {*before, *alone.policy()}
    monkeypatch.setenv("SUPABASE_API_URL", "https://api.acme.example/")

    assert not {"project_url", "management_api"} & alone.policy().keys()
    assert [str(one) for one in policy_changes(before, moved.policy())] == [
        "the address of the project none → https://shop.acme.example",
        "the address of the Management API none → https://api.acme.example",
    ]


def test_a_refusal_for_want_of_a_rule_says_which_were_skipped() -> None:
    request = replace(a_request({}), plan={"policy": policy(0, SECURITY), "files": []})
    with pytest.raises(OpsError, match=r"Every rule of shop/prod was skipped for this plan \(security\)"):
        has_a_policy(request).or_raise()

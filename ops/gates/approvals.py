"""Enough people, and the right ones, must have said yes to exactly this digest; who counts is asked live.

Its parts are the rules, each with those who fill it and those who could, then what classes of hazards ask for.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from ops.clearance import Clearance
from ops.clearance import clearance
from ops.errors import Reason
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.requests import Request
from ops.rules import NOTHING_SAID_HINT
from ops.rules import Rule
from ops.rules import has_more_rules
from ops.rules import more_yeses
from ops.rules import nothing_said_message


def approvals_gate(facts: Facts) -> Gate:
    request = facts.request
    found = clearance(request, facts.directory, facts.requester_is)
    if found.is_empty:
        message = nothing_said_message(request.target, request.plan.get("policy") or {})
        return Gate("approvals", False, message, NOTHING_SAID_HINT, Reason.POLICY_EMPTY, facts=found.facts())
    parts = tuple(_rule_part(request, found, rule) for rule in found.filled.rules) + _class_parts(request, found)
    if found.overrider is not None and not found.is_met and request.override is not None:
        sentence = f"{found.overrider} overrides the approvals, because of an emergency: {request.override.because}."
        return Gate("approvals", True, sentence, parts=parts, facts=found.facts())
    if found.cleared:
        sentence = f"It has {_counted(found)}." if found.needed else "It needs nobody's yes."
        return Gate("approvals", True, sentence, parts=parts, facts=found.facts())
    void = "; ".join(f"{who}: {why}" for who, why in found.void.items())
    sentence = f"{request.id} has {_counted(found)} that count{'s' * (found.needed == 1)} now."
    closed = [f"{part.name}: {part.sentence}" for part in parts if not part.is_open]
    lacks = " ".join(closed) if has_more_rules(found.filled.rules) else found.lacks()
    return Gate(
        "approvals",
        False,
        f"{sentence} {lacks} {void}".strip(),
        "Others have to approve.",
        Reason.NOT_ALLOWED,
        parts=parts,
        facts=found.facts(),
    )


def _counted(found: Clearance) -> str:
    return f"{len(found.counting)} of {found.needed} {'approval' if found.needed == 1 else 'approvals'}"


def _rule_part(request: Request, found: Clearance, rule: Rule) -> Gate:
    people, missing = found.filled.people(rule), found.filled.missing(rule)
    could = _could(request.may_fill.get(rule.name, ()), found)
    sentence = f"{len(people)} of {rule.approvals}{': ' if people else ''}{', '.join(people)}."
    return Gate(
        rule.name,
        not missing,
        sentence,
        f"{more_yeses(missing)}, of {', '.join(could or rule.approvers)}." if missing else "",
        Reason.NOT_ALLOWED if missing else None,
        facts={"rule": rule.name, "people": list(people), "missing": missing, "could": could},
    )


def _class_parts(request: Request, found: Clearance) -> tuple[Gate, ...]:
    """What classes of hazards ask certain people for, who may be among those that fill the rules."""
    asked: Mapping[str, Sequence[str]] = {name: rule["approvers"] for name, rule in request.class_rules.items()}
    return tuple(
        Gate(
            f"hazards.{name}",
            name not in found.uncovered,
            f"Nobody of {', '.join(who)} agreed to {name}." if name in found.uncovered else f"{name} was agreed to.",
            f"One of {', '.join(who)}." if name in found.uncovered else "",
            Reason.NOT_ALLOWED if name in found.uncovered else None,
        )
        for name, who in asked.items()
        if who
    )


def _could(may_fill: Sequence[str], found: Clearance) -> list[str]:
    """Who of these could still say yes: whoever has not, or whose yes no longer counts."""
    counting = {name for one in found.counting for name in (one.person, one.by.id)}
    return [who for who in may_fill if who not in counting]

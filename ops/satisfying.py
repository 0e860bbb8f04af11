"""Whether a request may be written down at all: could enough people agree to it, and the right ones. Pure functions."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from operator import attrgetter
from types import MappingProxyType

from ops.clearance import can_prove
from ops.errors import Reason
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import is_named
from ops.policy import person_of
from ops.policy import refused
from ops.requests import Request
from ops.rules import NOTHING_SAID_HINT
from ops.rules import fill
from ops.rules import has_more_rules
from ops.rules import nothing_said_message


def eligible_people(
    request: Request,
    directory: Directory,
    requester_is: str | None,
    slack_id_of: Callable[[Actor], str | None] = attrgetter("user"),
) -> tuple[str, ...]:
    """Everybody whose yes would count now: Slack ids and listed terminal users, sorted.

    `slack_id_of` says who sits at a terminal, where that is known: whoever may not decide in Slack may not there either.
    """
    named: set[str] = set()
    for entry in request.deciders:
        group = directory.groups.get(entry)
        named |= set(group.members) if group is not None else set()
        if not entry.startswith("@"):
            named.add(entry)

    def counts(actor: Actor) -> bool:
        decision = entitled(request, actor, directory, requester_is, slack_id_of(actor))
        return decision.allowed and can_prove(request, actor)

    return tuple(sorted(who for who in named if counts(_as_actor(who))))


def persons_of(eligible: Sequence[str], slack_id_of: Callable[[Actor], str | None]) -> dict[str, str]:
    """Who each of these is, by one name: whoever sits at a terminal is who they are in Slack, where that is known."""
    return {who: person_of(_as_actor(who), slack_id_of(_as_actor(who))) for who in eligible}


def _as_actor(who: str) -> Actor:
    return Actor(who) if who.startswith("os:") else Actor(f"slack:T0/{who}")


def people_by_class(request: Request, eligible: Sequence[str], directory: Directory) -> dict[str, list[str]]:
    """Of those whose yes would count, who could give the one that a class of hazards asks for, class by class."""
    return {
        name: [who for who in eligible if is_named(rule["approvers"], _as_actor(who), directory.groups)]
        for name, rule in request.class_rules.items()
        if rule["approvers"]
    }


def people_by_rule(request: Request, eligible: Sequence[str], directory: Directory) -> dict[str, list[str]]:
    """Of those whose yes would count, who may fill a place of each rule; empty where the own rule is the only one."""
    if not has_more_rules(request.rules):
        return {}
    return {
        rule.name: [who for who in eligible if is_named(rule.approvers, _as_actor(who), directory.groups)]
        for rule in request.rules
    }


def can_be_satisfied(
    request: Request,
    eligible: Sequence[str],
    by_class: Mapping[str, Sequence[str]] = MappingProxyType({}),
    by_rule: Mapping[str, Sequence[str]] = MappingProxyType({}),
    persons: Mapping[str, str] = MappingProxyType({}),
) -> Decision:
    """Whether enough people could approve at all, and the right ones; what nobody can clear is refused at once.

    `persons`: who each of the eligible is, so that somebody who is two of them counts once (see `persons_of`).
    """
    nobody = "requester, authors, guests, bots and people who left do not count."
    hint = "Add approvers in the configuration, or let somebody else request it."
    count = len({persons.get(who, who) for who in eligible})
    if count < request.needed:
        return refused(
            Reason.POLICY_UNSATISFIABLE,
            f"{request.target} needs {request.needed} approval{'s' if request.needed != 1 else ''}, but only "
            f"{count} of {names_of(request.deciders)} could give one: {nobody}",
            hint,
            eligible=list(eligible),
        )
    if lacking := _lacking(request, eligible, by_rule, persons):
        return refused(
            Reason.POLICY_UNSATISFIABLE,
            f"Not every rule of {request.target} could be met, each by people of its own: {lacking}. Of these, {nobody}",
            hint,
            eligible=list(eligible),
        )
    for name, rule in request.class_rules.items():
        if rule["approvers"] and not by_class.get(name):
            return refused(
                Reason.POLICY_UNSATISFIABLE,
                f"This plan has hazards of the class {name}, to which one of {names_of(rule['approvers'])} must agree "
                f"on {request.target}, but none of them could: {nobody}",
                hint,
                eligible=list(eligible),
            )
    return Decision(True)


def _lacking(
    request: Request, eligible: Sequence[str], by_rule: Mapping[str, Sequence[str]], persons: Mapping[str, str]
) -> str:
    """The rules that lack people even if everybody said yes, with how many; empty where each could be met."""
    if not by_rule:
        return ""
    may: dict[str, set[str]] = {}
    for who in eligible:
        may.setdefault(persons.get(who, who), set()).update(name for name, people in by_rule.items() if who in people)
    could = fill(request.rules, may)
    return "; ".join(
        f"{rule.name} lacks {could.missing(rule)} of {names_of(rule.approvers)}"
        for rule in could.rules
        if could.missing(rule)
    )


def has_a_policy(request: Request) -> Decision:
    """Whether any rule says that this may run: no policy, an empty one, and one whose rules were all skipped say no."""
    if not request.has_no_policy:
        return Decision(True)
    message = nothing_said_message(request.target, request.plan.get("policy") or {})
    return refused(Reason.POLICY_EMPTY, message, NOTHING_SAID_HINT)


def is_author_known(request: Request) -> Decision:
    """Whether commits by people we do not know are acceptable on this target."""
    if request.plan["policy"]["unknown_authors"] != "refuse" or not request.unknown_authors:
        return Decision(True)
    return refused(
        Reason.UNKNOWN_AUTHOR,
        f"Commits in this plan, or the job that asks, are by people nobody knows here: {', '.join(request.unknown_authors)}.",
        "Add them under [people] in the configuration.",
    )

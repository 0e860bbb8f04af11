"""Whether a request may be written down at all: could enough people agree to it, and the right ones. Pure functions."""

from collections.abc import Mapping
from collections.abc import Sequence
from types import MappingProxyType

from ops.errors import Reason
from ops.people import Actor
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import is_named
from ops.policy import refused
from ops.requests import Request


def eligible_people(request: Request, directory: Directory, requester_is: str | None) -> tuple[str, ...]:
    """Everybody whose yes would count now: Slack ids and listed terminal users, sorted."""
    named: set[str] = set()
    for entry in request.deciders:
        group = directory.groups.get(entry)
        named |= set(group.members) if group is not None else set()
        if not entry.startswith("@"):
            named.add(entry)
    return tuple(sorted(who for who in named if entitled(request, _as_actor(who), directory, requester_is).allowed))


def _as_actor(who: str) -> Actor:
    return Actor(who) if who.startswith("os:") else Actor(f"slack:T0/{who}")


def people_by_class(request: Request, eligible: Sequence[str], directory: Directory) -> dict[str, list[str]]:
    """Of those whose yes would count, who could give the one that a class of hazards asks for, class by class."""
    return {
        name: [who for who in eligible if is_named(rule["approvers"], _as_actor(who), directory.groups)]
        for name, rule in request.rules.items()
        if rule["approvers"]
    }


def can_be_satisfied(
    request: Request, eligible: Sequence[str], by_class: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Decision:
    """Whether enough people could approve at all, and the right ones; what nobody can clear is refused at once."""
    nobody = "requester, authors, guests, bots and people who left do not count."
    hint = "Add approvers in the configuration, or let somebody else request it."
    if len(eligible) < request.needed:
        return refused(
            Reason.POLICY_UNSATISFIABLE,
            f"{request.target} needs {request.needed} approval{'s' if request.needed != 1 else ''}, but only "
            f"{len(eligible)} of {', '.join(request.deciders)} could give one: {nobody}",
            hint,
            eligible=list(eligible),
        )
    for name, rule in request.rules.items():
        if rule["approvers"] and not by_class.get(name):
            return refused(
                Reason.POLICY_UNSATISFIABLE,
                f"This plan has hazards of the class {name}, to which one of {', '.join(rule['approvers'])} must agree "
                f"on {request.target}, but none of them could: {nobody}",
                hint,
                eligible=list(eligible),
            )
    return Decision(True)


def is_author_known(request: Request) -> Decision:
    """Whether commits by people we do not know are acceptable on this target."""
    if request.plan["policy"]["unknown_authors"] != "refuse" or not request.unknown_authors:
        return Decision(True)
    return refused(
        Reason.UNKNOWN_AUTHOR,
        f"Commits in this plan are by people nobody knows here: {', '.join(request.unknown_authors)}.",
        "Add them under [people] in the configuration.",
    )

"""Whether a request has the approvals that its rules ask for, by whom, and whether one more yes counts. Pure functions."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from typing import Any

from ops.errors import Reason
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import is_named
from ops.policy import may_reject
from ops.policy import person_of
from ops.policy import refused
from ops.policy import who_said_yes
from ops.requests import Request
from ops.rules import Filled
from ops.rules import fill
from ops.rules import uncovered_classes
from ops.said import Approval

NO_OVERRIDERS = "It names none: ask for approvals, or whoever keeps the configuration can add `overriders`."


@dataclass(frozen=True)
class Clearance:
    """Whether the policy is satisfied, by whom, and who no longer counts and why. Computed, never stored.

    `filled` says who fills a place of which rule; whoever of `counting` fills none said yes to a class of hazards, or is
    one more than it takes. `is_empty` where no rule says that the plan may run at all.
    """

    counting: tuple[Approval, ...]
    void: Mapping[str, str]
    filled: Filled
    uncovered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Classes of hazards that none of the people agreed to whom the policy asks for, with those people."""
    is_empty: bool = False
    overrider: str | None = None
    """Who lets it run without what is missing, because of an emergency; None: nobody, or somebody who no longer may."""

    @property
    def needed(self) -> int:
        return sum(rule.approvals for rule in self.filled.rules)

    @property
    def cleared(self) -> bool:
        return not self.is_empty and (self.is_met or self.overrider is not None)

    @property
    def is_met(self) -> bool:
        """Whether people agreed to it as the rules ask, without anybody who overrides them."""
        return not self.is_empty and not self.filled.unfilled and not self.uncovered

    def lacks(self) -> str:
        """What is missing beside the number, as a sentence; empty where nothing is."""
        return " ".join(f"Nobody of {', '.join(who)} agreed to {name}." for name, who in self.uncovered.items())

    def facts(self) -> dict[str, Any]:
        counting = [one.by.id for one in self.counting]
        facts = {"needed": self.needed, "counting": counting, "void": dict(self.void), "uncovered": [*self.uncovered]}
        overridden = {"overrider": self.overrider} if self.overrider else {}
        return {**facts, "filled": self.filled.to_json(), **overridden}


@dataclass(frozen=True)
class Given:
    """What was agreed to so far: by how many people, how many more must, and which classes still lack certain people.

    `fills`: who said yes, and the rules of which they may fill a place; `filled`: those that they do.
    """

    people: int
    missing: int
    uncovered: Mapping[str, Sequence[str]]
    filled: Filled
    fills: Mapping[str, Sequence[str]]

    def gains(self, person: str, fills: Sequence[str]) -> bool:
        """Whether one more place would be filled if this person, who may fill those rules' places, said yes too."""
        return fill(self.filled.rules, {**self.fills, person: fills}).unfilled < self.filled.unfilled


def given_approvals(request: Request, directory: Directory, requester_is: str | None) -> Given:
    """Which approvals there are. Those of people the directory was not asked about are taken to count, as recorded."""
    void = clearance(request, directory, requester_is).void
    asked = {one.by.id for one in request.approvals if one.by.user is None or one.by.user in directory.people}
    counting = [one for one in request.approvals if one.by.id not in asked or one.by.id not in void]
    covered = {
        name
        for one in counting
        for name in (covered_classes(request, one.by, directory) if one.by.id in asked else one.covers)
    }
    fills = {
        one.person: filled_rules(request, one.by, directory) if one.by.id in asked else one.fills for one in counting
    }
    uncovered, filled = uncovered_classes(request.class_rules, covered), fill(request.rules, fills)
    return Given(len(fills), max(filled.unfilled, int(bool(uncovered))), uncovered, filled, fills)


def missing_approvals(request: Request, directory: Directory, requester_is: str | None) -> int:
    """How many more people must say yes. Approvals of people the directory was not asked about are taken to count."""
    return given_approvals(request, directory, requester_is).missing


def covered_classes(request: Request, actor: Actor, directory: Directory) -> tuple[str, ...]:
    """The classes of the request's hazards for which the policy asks for this actor, or a group that they are in."""
    return tuple(
        name for name, rule in request.class_rules.items() if is_named(rule["approvers"], actor, directory.groups)
    )


def filled_rules(request: Request, actor: Actor, directory: Directory) -> tuple[str, ...]:
    """The names of the request's rules of which this actor may fill a place, by the people and groups that they name."""
    return tuple(rule.name for rule in request.rules if is_named(rule.approvers, actor, directory.groups))


def clearance(request: Request, directory: Directory, requester_is: str | None) -> Clearance:
    """Which approvals count at this moment: distinct people, entitled now, for exactly this digest."""
    counting: dict[str, Approval] = {}
    void: dict[str, str] = {}
    for approval in request.approvals:
        decision = entitled(request, approval.by, directory, requester_is, approval.person)
        if decision.allowed and request.needs_code and not approval.proved:
            void[approval.by.id] = "it was given without a one-time code"
        elif approval.digest == request.digest and decision.allowed:
            counting.setdefault(approval.person, approval)
        else:
            void[approval.by.id] = decision.message or "it was given for another plan"
    covered = {name for one in counting.values() for name in covered_classes(request, one.by, directory)}
    filled = fill(request.rules, {who: filled_rules(request, one.by, directory) for who, one in counting.items()})
    uncovered = uncovered_classes(request.class_rules, covered)
    overrider = request.override.by.id if may_still_override(request, directory).allowed and request.override else None
    return Clearance(tuple(counting.values()), void, filled, uncovered, request.has_no_policy, overrider)


def may_still_override(request: Request, directory: Directory) -> Decision:
    """Whether an overrider, who proved to be the one, lets this request run without approvals, by what Slack says now."""
    override = request.override
    if override is None or override.digest != request.digest:
        return refused(Reason.NOT_ALLOWED, f"Nobody overrode the approvals of {request.id}.")
    for handle, was in override.groups.items():
        if (group := directory.groups.get(handle)) is None or group.id != was:
            return refused(
                Reason.GROUP_CHANGED, f"{handle} is not the group that it was when {request.id} was overridden."
            )
    return is_overrider(request.overriders, override.by, directory, request.id)


def is_overrider(entries: Sequence[str], actor: Actor, directory: Directory, what: str) -> Decision:
    """Whether this actor is one of these overriders, by what Slack says now; somebody at a terminal never is."""
    problem = directory.problem_of(actor.user) if actor.user else "nobody proved who you are"
    if problem is None and is_named(entries, actor, directory.groups):
        groups = {handle: one.id for handle, one in directory.groups.items() if handle in entries}
        return Decision(True, facts={"groups": groups})
    return refused(
        Reason.NOT_ALLOWED,
        f"You may not override the approvals of {what}{f': {problem}' if problem else ''}.",
        f"Its overriders may: {names_of(entries)}." if entries else NO_OVERRIDERS,
    )


def can_prove(request: Request, actor: Actor) -> bool:
    """Whether this actor could give the one-time code that a yes takes, if it takes one: a terminal has no form for it."""
    return actor.user is not None or not request.needs_code


def may_approve(
    request: Request,
    actor: Actor,
    directory: Directory,
    requester_is: str | None,
    now: datetime,
    actor_is: str | None = None,
) -> Decision:
    """Whether this yes counts: the request waits, its SQL was shown, and the person is entitled and said it once."""
    allowed = may_reject(request, actor, directory, requester_is, now, actor_is)
    if not allowed.allowed:
        return allowed
    if request.shown is None or request.shown["digest"] != request.digest:
        return refused(
            Reason.NOT_SHOWN_YET,
            f"The SQL of {request.id} has not reached the thread yet, so nobody can have read it.",
            "Wait until the card has its Approve button.",
        )
    given = given_approvals(request, directory, requester_is)
    if (earlier := request.approved_by(person_of(actor, actor_is))) is not None:
        return refused(
            Reason.ALREADY_APPROVED,
            f"You approved {request.id} at {earlier.at:%Y-%m-%d %H:%M} UTC; it counts once.",
            f"{given.missing} more needed." if given.missing else "It has all it needs.",
        )
    has = f"{request.id} has the {request.needed} approval{'s' if request.needed != 1 else ''} that it needs"
    if not given.missing:
        hint = f"It starts as soon as it can; see `show {request.id}`."
        return refused(Reason.ALREADY_DECIDED, f"{has}, so yours is not needed. {who_said_yes(request)}".rstrip(), hint)
    covers, fills = covered_classes(request, actor, directory), filled_rules(request, actor, directory)
    if not given.gains(person_of(actor, actor_is), fills) and not set(covers) & given.uncovered.keys():
        return _not_needed(given, has)
    if not can_prove(request, actor):
        return refused(
            Reason.CODE_NEEDED,
            f"{actor.id} cannot give the one-time code here that a yes to {request.id} takes.",
            "Decide in Slack: the button on the card opens a form for the code.",
        )
    said = {"accepts": list(request.classes), "covers": list(covers), "fills": list(fills)}
    return replace(allowed, facts={**allowed.facts, **said})


def _not_needed(given: Given, has: str) -> Decision:
    """For somebody who may approve, but none of whom is lacking; of whom is, in words. `has`: that the number is reached."""
    lacks = [f"for {name}, one of {names_of(who)}" for name, who in given.uncovered.items()]
    if not given.filled.unfilled:
        return refused(
            Reason.NOT_AN_APPROVER,
            f"{has}, but not yet of everybody whom its hazards ask for: {'; '.join(lacks)}.",
            "One of them has to say yes.",
        )
    free = [rule for rule in given.filled.rules if given.filled.missing(rule)]
    lacks = [f"for {rule.name}, {given.filled.missing(rule)} of {names_of(rule.approvers)}" for rule in free] + lacks
    return refused(
        Reason.NOT_AN_APPROVER,
        f"Every place that you could fill is taken. Still lacking: {'; '.join(lacks)}.",
        "One of them has to say yes.",
    )

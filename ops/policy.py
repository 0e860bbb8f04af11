"""Who may do what: pure functions of values. Each answers with a reason code, a sentence and the facts it rests on."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.requests import Approval
from ops.requests import Request
from ops.requests import uncovered_classes
from ops.status import Status


@dataclass(frozen=True)
class Decision:
    """Allowed or not; when not, why, in a sentence for the person, and what they can do instead."""

    allowed: bool
    reason: Reason | None = None
    message: str = ""
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def or_raise(self, exit_code: int = 3) -> "Decision":
        """This decision when it allows; otherwise the OpsError that says why not."""
        if self.allowed or self.reason is None:
            return self
        raise OpsError(self.reason, self.message, self.hint, exit_code=exit_code)


@dataclass(frozen=True)
class Directory:
    """What Slack just said about everybody who matters for one request. Gathered first, so that deciding is pure."""

    people: Mapping[str, Person]
    groups: Mapping[str, Group]

    def problem_of(self, user: str) -> str | None:
        """Why this person may decide nothing, as they are told it; somebody we did not ask about is unknown."""
        person = self.people.get(user)
        return "nobody knows you" if person is None else person.problem


def refused(reason: Reason, message: str, hint: str = "", **facts: Any) -> Decision:
    return Decision(False, reason, message, hint, facts)


def is_named(entries: Iterable[str], actor: Actor, groups: Mapping[str, Group]) -> bool:
    """Whether the configured people and groups name this actor."""
    for entry in entries:
        if entry == actor.id or (actor.user is not None and entry == actor.user):
            return True
        group = groups.get(entry)
        if group is not None and actor.user in group.members:
            return True
    return False


def person_of(actor: Actor, actor_is: str | None) -> str:
    """One name per person, so that nobody counts twice: the Slack id, also of a terminal user whose login is known."""
    return actor.user or actor_is or actor.id


def barred(request: Request, actor: Actor, requester_is: str | None, actor_is: str | None = None) -> Decision | None:
    """Why this actor may never decide on this request (self, known author), or None.

    `requester_is` and `actor_is` are the Slack ids of the requester and of the actor, also at a terminal whose login
    is known.
    """
    person = person_of(actor, actor_is)
    if actor == request.by or person == requester_is:
        return refused(
            Reason.SELF_APPROVAL,
            f"You requested {request.id}, so you cannot decide on it.",
            "Somebody else of those who may approve has to.",
        )
    if person in request.authors:
        return refused(
            Reason.AUTHOR_APPROVAL,
            f"You wrote a commit that {request.id} runs, so you cannot decide on it.",
            "Somebody else of those who may approve has to.",
        )
    return None


def entitled(
    request: Request, actor: Actor, directory: Directory, requester_is: str | None, actor_is: str | None = None
) -> Decision:
    """Whether this actor's yes or no counts for this request, by the rules and by what Slack says just now."""
    facts = {"approvers": list(request.deciders), "groups": {h: g.id for h, g in directory.groups.items()}}
    who = ", ".join(request.deciders)
    if actor.is_terminal:
        if actor.id not in request.deciders:
            return refused(
                Reason.TERMINAL_MAY_NOT_APPROVE,
                f"{actor.id} may not decide on {request.id}: a terminal approves nothing unless it is listed.",
                f"Decide in Slack, as one of {who}.",
                **facts,
            )
    elif actor.user is None:
        return refused(Reason.IDENTITY_UNPROVEN, f"Nobody proved who {actor.id} is.", "Approve in Slack.", **facts)
    elif (problem := directory.problem_of(actor.user)) is not None:
        return refused(
            Reason.NOT_A_MEMBER,
            f"You cannot decide on {request.id}: {problem}.",
            f"It takes a full member of this workspace, one of {who}.",
            **facts,
        )
    # A listed terminal user is named literally; Slack may not have been asked about the groups at all.
    changed = None if actor.is_terminal else _changed_group(request, directory)
    if changed is not None:
        return changed
    no = barred(request, actor, requester_is, actor_is)
    if no is not None:
        return no
    if not is_named(request.deciders, actor, directory.groups):
        return refused(
            Reason.NOT_AN_APPROVER,
            f"You are not one of those who may approve {request.id}.",
            f"These may: {who}, except the requester and the authors.",
            **facts,
        )
    return Decision(True, facts=facts)


def _changed_group(request: Request, directory: Directory) -> Decision | None:
    """A handle that meant another group when the request was picked up: nothing counts until it is asked for anew."""
    for handle, pinned in (request.pinned or {}).items():
        group = directory.groups.get(handle)
        if group is None or group.id != pinned:
            return refused(
                Reason.GROUP_CHANGED,
                f"{handle} is not the group that it was when {request.id} was made.",
                "Cancel the request and make a new one.",
                pinned=pinned,
                now=group.id if group else None,
            )
    return None


_DECIDED_WORDS = {
    Status.RUNNING: "has been running since",
    Status.SUCCEEDED: "was done at",
    Status.FAILED: "failed at",
    Status.PARTIALLY_APPLIED: "failed half-way at",
    Status.INTERRUPTED: "was interrupted at",
    Status.REJECTED: "was rejected at",
    Status.CANCELLED: "was cancelled at",
    Status.SUPERSEDED: "stopped being valid at",
}


def may_decide_now(request: Request, now: datetime) -> Decision:
    """Whether the request still waits for a decision; otherwise who ended it and when."""
    status = request.status_at(now)
    if status is Status.WAITING:
        return Decision(True)
    if status is Status.EXPIRED:
        return refused(
            Reason.EXPIRED,
            f"{request.id} expired at {request.expires_at:%Y-%m-%d %H:%M} UTC with {len(request.approvals)} of "
            f"{request.needed} approvals. Nothing was run.",
            f"Ask again with `push {request.environment}`.",
        )
    when = request.ended_at or request.started_at or now
    who = f" by {request.ended_by.id}" if request.ended_by and status in {Status.REJECTED, Status.CANCELLED} else ""
    decided = "was stopped at" if request.ending.get("stopped_by") else _DECIDED_WORDS[status]
    return refused(
        Reason.ALREADY_DECIDED,
        f"{request.id} {decided} {when:%Y-%m-%d %H:%M} UTC{who}.",
        f"See `show {request.id}`.",
        status=status.value,
    )


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
        return refused(Reason.ALREADY_DECIDED, f"{has}, so yours is not needed.", hint)
    covers = covered_classes(request, actor, directory)
    if given.people >= request.needed and not set(covers) & given.uncovered.keys():
        lacks = "; ".join(f"for {name}, one of {', '.join(who)}" for name, who in given.uncovered.items())
        return refused(
            Reason.NOT_AN_APPROVER,
            f"{has}, but not yet of everybody whom its hazards ask for: {lacks}.",
            "One of them has to say yes.",
        )
    return replace(allowed, facts={**allowed.facts, "accepts": list(request.classes), "covers": list(covers)})


def may_reject(
    request: Request,
    actor: Actor,
    directory: Directory,
    requester_is: str | None,
    now: datetime,
    actor_is: str | None = None,
) -> Decision:
    """Whether this no counts: as for a yes, except that the SQL need not have been shown."""
    decision = entitled(request, actor, directory, requester_is, actor_is)
    still = may_decide_now(request, now)
    return decision if not decision.allowed or still.allowed else still


def may_cancel(request: Request, actor: Actor, requester_is: str | None, now: datetime) -> Decision:
    """Whether this person may take the request back: the requester, while it waits; a terminal user of the host too."""
    decision = may_decide_now(request, now)
    if not decision.allowed:
        return decision
    if actor == request.by or actor.is_terminal or (actor.user is not None and actor.user == requester_is):
        return Decision(True)
    return refused(
        Reason.NOT_ALLOWED,
        f"{request.id} was requested by somebody else, and only they may take it back.",
        "An approver can reject it.",
    )


@dataclass(frozen=True)
class Clearance:
    """Whether the policy is satisfied, by whom, and who no longer counts and why. Computed, never stored."""

    needed: int
    counting: tuple[Approval, ...]
    void: Mapping[str, str]
    uncovered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Classes of hazards that none of the people agreed to whom the policy asks for, with those people."""

    @property
    def cleared(self) -> bool:
        return len(self.counting) >= self.needed and not self.uncovered

    def lacks(self) -> str:
        """What is missing beside the number, as a sentence; empty where nothing is."""
        return " ".join(f"Nobody of {', '.join(who)} agreed to {name}." for name, who in self.uncovered.items())

    def facts(self) -> dict[str, Any]:
        counting = [one.by.id for one in self.counting]
        return {"needed": self.needed, "counting": counting, "void": dict(self.void), "uncovered": [*self.uncovered]}


@dataclass(frozen=True)
class Given:
    """What was agreed to so far: by how many people, how many more must, and which classes still lack certain people."""

    people: int
    missing: int
    uncovered: Mapping[str, Sequence[str]]


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
    uncovered = uncovered_classes(request.rules, covered)
    people = len({one.person for one in counting})
    return Given(people, max(request.needed - people, int(bool(uncovered))), uncovered)


def missing_approvals(request: Request, directory: Directory, requester_is: str | None) -> int:
    """How many more people must say yes. Approvals of people the directory was not asked about are taken to count."""
    return given_approvals(request, directory, requester_is).missing


def covered_classes(request: Request, actor: Actor, directory: Directory) -> tuple[str, ...]:
    """The classes of the request's hazards for which the policy asks for this actor, or a group that they are in."""
    return tuple(name for name, rule in request.rules.items() if is_named(rule["approvers"], actor, directory.groups))


def clearance(request: Request, directory: Directory, requester_is: str | None) -> Clearance:
    """Which approvals count at this moment: distinct people, entitled now, for exactly this digest."""
    counting: dict[str, Approval] = {}
    void: dict[str, str] = {}
    for approval in request.approvals:
        decision = entitled(request, approval.by, directory, requester_is, approval.person)
        if approval.digest == request.digest and decision.allowed:
            counting.setdefault(approval.person, approval)
        else:
            void[approval.by.id] = decision.message or "it was given for another plan"
    covered = {name for one in counting.values() for name in covered_classes(request, one.by, directory)}
    return Clearance(request.needed, tuple(counting.values()), void, uncovered_classes(request.rules, covered))


def may_request(entries: Sequence[str], actor: Actor, directory: Directory, target: str) -> Decision:
    """Whether this actor may ask for a run on a target: listed requesters, by default every full member."""
    if actor.is_terminal:
        return Decision(True)
    if actor.user is None:
        return refused(Reason.IDENTITY_UNPROVEN, f"Nobody proved who {actor.id} is.")
    if (problem := directory.problem_of(actor.user)) is not None:
        return refused(
            Reason.NOT_A_MEMBER,
            f"You cannot use Countersign here: {problem}.",
            "Ask a full member of this workspace.",
        )
    if entries and not is_named(entries, actor, directory.groups):
        return refused(
            Reason.NOT_A_REQUESTER,
            f"You may not request anything on {target}.",
            f"These may: {', '.join(entries)}.",
        )
    return Decision(True)

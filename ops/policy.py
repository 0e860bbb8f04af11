"""Who may do what: pure functions of values. Each answers with a reason code, a sentence and the facts it rests on."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.people import names_of
from ops.requests import Request
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
    """Why this actor may never decide on this request (self, behind the job that asked, known author), or None.

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
    if person in request.behind:
        return refused(
            Reason.SELF_APPROVAL,
            f"The CI job that requested {request.id} was started by you, so you cannot decide on it.",
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
    who = names_of(request.deciders)
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
    if status is Status.SUPERSEDED and (newer := request.ending.get("by")):
        return refused(
            Reason.ALREADY_DECIDED,
            f"{request.id} {decided} {when:%Y-%m-%d %H:%M} UTC: {newer} took its place.",
            f"Decide on {newer} instead: read what differs with `show {newer}`, then press a button of its card.",
            status=status.value,
            by=newer,
        )
    return refused(
        Reason.ALREADY_DECIDED,
        f"{request.id} {decided} {when:%Y-%m-%d %H:%M} UTC{who}. {who_said_yes(request)}".rstrip(),
        f"See `show {request.id}`.",
        status=status.value,
    )


def who_said_yes(request: Request) -> str:
    """Whose approvals stand, and since when, for whoever comes late; empty where nobody said yes."""
    yes = [f"{one.by.id} at {one.at:%Y-%m-%d %H:%M} UTC" for one in request.approvals if one.stands]
    return f"Approved by {', '.join(yes)}." if yes else ""


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
            f"These may: {names_of(entries)}.",
        )
    return Decision(True)

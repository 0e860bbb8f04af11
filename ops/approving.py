"""Deciding on a request: yes, no, or taken back. Everything is checked live, decided inside the log's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit import Draft
from audit import View
from ops.asking_again import hint_after_change
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.locking import Lock
from ops.locking import lock_of
from ops.masking import mask_intake
from ops.people import Actor
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import given_approvals
from ops.policy import may_approve
from ops.policy import may_cancel
from ops.policy import may_decide_now
from ops.policy import may_reject
from ops.policy import missing_approvals
from ops.policy import person_of
from ops.policy import refused
from ops.recheck import what_changed
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status

PREFIX_LENGTH = 16
"""How many hex digits of the digest a button and a typed approval carry."""


@dataclass(frozen=True)
class Decided:
    """A decision that was recorded. `missing` is how many more people must say yes (0: it is cleared).

    `lock` is what keeps a cleared request from starting, if somebody locked its target.
    """

    request: Request
    missing: int
    lock: Lock | None = None


def approve(
    ops: Ops, number: str, actor: Actor, act: str, prefix: str | None, progress: Progress = lambda _: None
) -> Decided:
    """One person's yes to exactly the plan whose digest starts with `prefix`.

    The plan is computed again first: when it is no longer what was asked for, the request is superseded and nothing
    counts. Raises OpsError with the reason in every other case in which the yes does not count.
    """
    request = find_request(ops.view, number)
    if ops.view.act(f"{act}:approved"):
        return Decided(request, request.missing, _lock_on(ops, request))
    directory = _directory(ops, request, actor)
    requester_is, actor_is = ops.requester_is(request.by), ops.requester_is(actor)
    decision = may_approve(request, actor, directory, requester_is, ops.now(), actor_is)
    is_busy = decision.reason is Reason.ALREADY_DECIDED and request.status is Status.RUNNING
    decision.or_raise(exit_code=5 if is_busy else 3)
    check_plan(request, prefix)
    check_unchanged(ops, request, progress)

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        decision = may_approve(fresh, actor, directory, requester_is, ops.now(), actor_is).or_raise()
        given = given_approvals(fresh, directory, requester_is)
        data = {
            "digest": fresh.digest,
            "number": given.people + 1,
            "needed": given.people + given.missing,
            "facts": {**decision.facts, "person": person_of(actor, actor_is)},
        }
        return [ops.draft("approved", actor, fresh, data)]

    ops.log.transact(decide, id=f"{act}:approved")
    approved = find_request(ops.view, number)
    return Decided(approved, missing_approvals(approved, directory, requester_is), _lock_on(ops, approved))


def reject(ops: Ops, number: str, actor: Actor, act: str, prefix: str | None, because: str) -> Decided:
    """One approver's no, with the reason; it ends the request."""
    request = find_request(ops.view, number)
    if ops.view.act(f"{act}:rejected"):
        return Decided(request, request.missing)
    directory = _directory(ops, request, actor)
    requester_is, actor_is = ops.requester_is(request.by), ops.requester_is(actor)
    may_reject(request, actor, directory, requester_is, ops.now(), actor_is).or_raise()
    check_plan(request, prefix)

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        decision = may_reject(fresh, actor, directory, requester_is, ops.now(), actor_is).or_raise()
        data = {"digest": fresh.digest, "because": mask_intake(because), "facts": dict(decision.facts)}
        return [ops.draft("rejected", actor, fresh, data)]

    ops.log.transact(decide, id=f"{act}:rejected")
    rejected = find_request(ops.view, number)
    return Decided(rejected, rejected.missing)


def cancel(ops: Ops, number: str, actor: Actor, act: str, because: str) -> Decided:
    """The requester takes a waiting request back."""
    request = find_request(ops.view, number)
    if ops.view.act(f"{act}:cancelled"):
        return Decided(request, request.missing)
    requester_is = ops.requester_is(request.by)

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        may_cancel(fresh, actor, requester_is, ops.now()).or_raise()
        return [ops.draft("cancelled", actor, fresh, {"because": mask_intake(because)})]

    ops.log.transact(decide, id=f"{act}:cancelled")
    cancelled = find_request(ops.view, number)
    return Decided(cancelled, cancelled.missing)


def may_see_button(ops: Ops, request: Request, actor: Actor) -> None:
    """Raise OpsError when this person's yes could not count anyway: before a form or a plan is shown to decide on."""
    directory = _directory(ops, request, actor)
    entitled(request, actor, directory, ops.requester_is(request.by), ops.requester_is(actor)).or_raise()
    may_decide_now(request, ops.now()).or_raise()


def note_expiry(ops: Ops, request: Request) -> None:
    """Write down that a request's time ran out. It was over at that moment, noticed or not."""

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, request.id)
        if fresh.status is not Status.WAITING or fresh.status_at(ops.now()) is not Status.EXPIRED:
            return []
        data = {"expires_at": fresh.expires_at.isoformat()}
        return [ops.draft("expired", Actor("system:clock"), fresh, data)]

    ops.log.transact(decide)


def check_unchanged(ops: Ops, request: Request, progress: Progress) -> None:
    """Compute the digest again; when it differs, supersede the request and say what changed."""
    changed = what_changed(ops, request, progress)
    if changed:
        supersede(ops, request, changed)


def supersede(ops: Ops, request: Request, changed: list[str]) -> None:
    """End a waiting request because what would run is no longer what was asked for; always raises, to tell the person."""
    message = f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was run."

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, request.id)
        if fresh.status is not Status.WAITING:
            return []
        data = {"changed": changed, "message": message, "by": None}
        return [ops.draft("superseded", Actor("system:plan"), fresh, data)]

    ops.log.transact(decide)
    reason = Reason.POLICY_CHANGED if changed == ["the policy"] else Reason.PLAN_CHANGED
    raise OpsError(reason, message, hint_after_change(request, changed), exit_code=3)


def _lock_on(ops: Ops, request: Request) -> Lock | None:
    return lock_of(ops.view, request.project, request.environment, ops.now())


def _directory(ops: Ops, request: Request, actor: Actor) -> Directory:
    """What Slack says now about the clicker, the earlier approvers and the groups."""
    users = (actor.user, *(approval.by.user for approval in request.approvals))
    return ops.directory(request.deciders, users=users, members=False)


def check_plan(request: Request, prefix: str | None) -> None:
    """Raise OpsError unless `prefix` is how the request's digest begins: whoever decides says which plan they saw."""
    wanted = request.digest[:PREFIX_LENGTH]
    if prefix is None:
        refused(
            Reason.DIGEST_NEEDED,
            f"Say which plan you approve: the digest of {request.id} begins with {wanted}.",
            f"Read it with `show {request.id}`, then `approve {request.id} {wanted}`.",
        ).or_raise()
    if len(prefix or "") < PREFIX_LENGTH or not request.digest.startswith(prefix or ""):
        refused(
            Reason.STALE_CARD,
            f"That is not the plan of {request.id}: its digest begins with {wanted}.",
            f"Read it again with `show {request.id}`.",
        ).or_raise()

"""Deciding on a request: yes, no, or taken back. Everything is checked live, decided inside the log's transaction."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit import Draft
from audit import Event
from audit import View
from ops.asking_again import hint_after_change
from ops.clearance import given_approvals
from ops.clearance import may_approve
from ops.clearance import missing_approvals
from ops.confirming import Proofs
from ops.confirming import confirmed
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import NOTHING_WAITS
from ops.gates import Verdict
from ops.gates import waits_of
from ops.gates.landed import LANDED_NEXT
from ops.gates.landed import landed_sentence
from ops.landing import landed_since
from ops.layer import Ops
from ops.layer import Progress
from ops.locking import Lock
from ops.locking import lock_of
from ops.masking import mask_intake
from ops.occupying import in_use
from ops.occupying import occupant_of
from ops.people import Actor
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import may_cancel
from ops.policy import may_decide_now
from ops.policy import may_reject
from ops.policy import person_of
from ops.policy import refused
from ops.recheck import what_changed
from ops.request_queue import in_its_place
from ops.requests import PUSH
from ops.requests import Request
from ops.requests import find_request
from ops.second_factor import CODE
from ops.second_factor import code_needed
from ops.second_factor import prove
from ops.second_factor import spent
from ops.status import Status

NOTHING_BESIDE = Proofs()

PLACES_FOLLOWED = 5
"""So often a no is looked at again because another request took the place of the one that it would have met."""

PREFIX_LENGTH = 16
"""How many hex digits of the digest a button and a typed approval carry."""


@dataclass(frozen=True)
class Decided:
    """A decision that was recorded. `missing` is how many more people must say yes (0: it is cleared).

    `lock` is what keeps a cleared request from starting, if somebody locked its target; `waits`: what the gates of time say.
    `said_of`: the request that a no was said of, where another has taken its place, which the no ended; else empty.
    """

    request: Request
    missing: int
    lock: Lock | None = None
    waits: Verdict = NOTHING_WAITS
    said_of: str = ""


def approve(
    ops: Ops,
    number: str,
    actor: Actor,
    act: str,
    prefix: str | None,
    progress: Progress = lambda _: None,
    proofs: Proofs = NOTHING_BESIDE,
) -> Decided:
    """One person's yes to exactly the plan whose digest starts with `prefix`; `proofs` is what they gave beside it.

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
    check_not_landed(ops.view, request)
    proven = confirmed(request, proofs).or_raise()
    if request.needs_code and proofs.code is None:
        raise code_needed(request)
    # First, for it holds for a minute or so, and to compute a plan may take longer.
    proof = prove(ops, actor, act, proofs.code, f"approve {request.id}", request) if request.needs_code else None
    proved = {"proved": CODE, "code_step": proof.step} if proof else {}

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        decision = may_approve(fresh, actor, directory, requester_is, ops.now(), actor_is).or_raise()
        check_not_landed(view, fresh)
        facts = {**decision.facts, **proven.facts, **proved, "person": person_of(actor, actor_is)}
        return [ops.draft("approved", actor, fresh, approved_data(fresh, directory, requester_is, facts))]

    with spent(proof):
        check_unchanged(ops, request, progress)
        ops.log.transact(decide, id=f"{act}:approved")
    approved = find_request(ops.view, number)
    missing = missing_approvals(approved, directory, requester_is)
    return Decided(approved, missing, _lock_on(ops, approved), waits_of(ops, approved))


def approved_data(
    request: Request, directory: Directory, requester_is: str | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What the event of one more yes says; the same for one that is only supposed (`ops.simulating`)."""
    given = given_approvals(request, directory, requester_is)
    needed = given.people + given.missing
    return {"digest": request.digest, "number": given.people + 1, "needed": needed, "facts": dict(facts)}


def reject(ops: Ops, number: str, actor: Actor, act: str, prefix: str | None, because: str) -> Decided:
    """One approver's no, with the reason; it ends the request, or that which has taken its place meanwhile.

    A yes is to one plan alone, but a no may be read as one to what came of it: nothing runs by that.
    """
    said_of = find_request(ops.view, number)
    if earlier := ops.view.act(f"{act}:rejected"):
        return _rejected(ops, earlier, said_of)
    for _ in range(PLACES_FOLLOWED):
        request = in_its_place(ops.view, find_request(ops.view, number))
        directory = _directory(ops, request, actor)
        people = (directory, ops.requester_is(request.by))
        _check_may_reject(ops, request, said_of, actor, *people)
        check_plan(said_of, prefix)

        def decide(
            view: View, request: Request = request, people: tuple[Directory, str | None] = people
        ) -> list[Draft]:
            fresh = in_its_place(view, find_request(view, number))
            if fresh.id != request.id:
                return []  # another one took its place just now, of which nobody was asked
            facts = dict(_check_may_reject(ops, fresh, said_of, actor, *people).facts)
            facts |= {"said_of": said_of.id, "said_of_digest": said_of.digest} if fresh.id != said_of.id else {}
            data = {"digest": fresh.digest, "because": mask_intake(because), "facts": facts}
            return [ops.draft("rejected", actor, fresh, data)]

        if events := ops.log.transact(decide, id=f"{act}:rejected"):
            return _rejected(ops, events, said_of)
    raise OpsError(
        Reason.TARGET_BUSY, f"{said_of.target} is planned anew just now.", "Say it again in a moment.", exit_code=5
    )


def _check_may_reject(
    ops: Ops, request: Request, said_of: Request, actor: Actor, directory: Directory, requester_is: str | None
) -> Decision:
    """That this no counts. Raises OpsError where it does not; where it would have met another request, that names both."""
    decision = may_reject(request, actor, directory, requester_is, ops.now(), ops.requester_is(actor))
    if request.id == said_of.id:
        return decision.or_raise()
    return replace(decision, message=f"{request.id} took the place of {said_of.id}. {decision.message}").or_raise()


def _rejected(ops: Ops, events: Sequence[Event], said_of: Request) -> Decided:
    request = find_request(ops.view, events[0].request or "")
    return Decided(request, request.missing, said_of=said_of.id if said_of.id != request.id else "")


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


def check_not_landed(view: View, request: Request) -> None:
    """Raise OpsError(PLAN_CHANGED) where a run ended on the target since the request was planned: it is planned again by
    itself, and what people said before counts on where it can, which a check of the plan would end."""
    landed = landed_since(view, request)
    if landed:
        message = landed_sentence(request.id, request.target, landed)
        raise OpsError(Reason.PLAN_CHANGED, message, LANDED_NEXT, exit_code=3)


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
        _check_is_not_ours(view, fresh)
        data = {"changed": changed, "message": message, "by": None}
        return [ops.draft("superseded", Actor("system:plan"), fresh, data)]

    ops.log.transact(decide)
    reason = Reason.POLICY_CHANGED if changed == ["the policy"] else Reason.PLAN_CHANGED
    raise OpsError(reason, message, hint_after_change(request, changed), exit_code=3)


def _check_is_not_ours(view: View, request: Request) -> None:
    """Raise OpsError where it is another run of ours that changes the target, or has just done so: the request is planned
    again behind it, and is not to be ended for that."""
    if request.kind != PUSH or not request.needed:
        return
    check_not_landed(view, request)
    occupant = occupant_of(view, f"target:{request.target}")
    if occupant is not None:
        reason, message, hint = in_use(occupant, request.target)
        raise OpsError(reason, message, hint, exit_code=5)


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

"""Planning a waiting request again by itself when another run has changed its target: a new request in its place.

At the same commit; where that no longer can be, at the branch's head, if nothing comes in that was not asked for. The
asker stays the same, and so do the place in the queue and the end of the time for deciding. What is to be planned again
is told by the log alone, so that a killed bot takes it up at its next start.
"""

from collections.abc import Sequence

from audit import Draft
from audit import View
from audit.event import uuid7
from ops.carrying import PLANNER
from ops.coming_after import check_after
from ops.errors import OpsError
from ops.errors import Reason
from ops.hotfixing import hotfix_of
from ops.landing import has_landed
from ops.landing import landed_since
from ops.layer import Ops
from ops.occupying import in_use
from ops.occupying import occupant_of
from ops.placing import Again
from ops.placing import place
from ops.plan import Plan
from ops.requesting import plan_target
from ops.requesting import requested
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status
from ops.supabase.function_log import planned_functions

FOR_A_WHILE = frozenset(
    {
        Reason.IDENTITY_UNPROVEN,
        Reason.TARGET_UNAVAILABLE,
        Reason.TARGET_BUSY,
        Reason.TARGET_BLOCKED,
        Reason.TARGET_LOCKED,
        Reason.REPOSITORY_UNAVAILABLE,
        Reason.LOG_BUSY,
        Reason.LOG_UNAVAILABLE,
        Reason.REHEARSAL_IMPOSSIBLE,
        Reason.TOOLS_MISSING,
        Reason.STOPPED,
        Reason.UNEXPECTED,
    }
)
"""What may be otherwise in a moment: the request waits for it. Any other refusal of the new plan ends the request."""


def plan_again(ops: Ops, number: str) -> Request | None:
    """The request that takes this one's place; itself where nothing changed for it. None where it ended, or where a run
    ended meanwhile: the next look sees what that means.

    Raises OpsError for what may be otherwise later (see `FOR_A_WHILE`).
    """
    request = find_request(ops.view, number)
    after = landed_since(ops.view, request)
    if request.status_at(ops.now()) is not Status.WAITING or not after:
        return None
    occupant = occupant_of(ops.view, f"target:{request.target}")
    if occupant is not None:  # what is read of the target now holds for nobody
        reason, message, hint = in_use(occupant, request.target)
        raise OpsError(reason, message, hint, exit_code=5)
    again = Again(request, after)
    try:
        plan = _planned(ops, request)
        if plan.digest == request.digest:
            return _noted_the_same(ops, again, plan)
        if plan.is_empty:
            _end(ops, again, f"nothing of {number} is left to run")
            return None
        return _placed(ops, again, plan)
    except OpsError as error:
        if error.reason in FOR_A_WHILE:
            raise
        _end(ops, again, f"the new plan is refused: {error.message}")
        return None


def _planned(ops: Ops, request: Request) -> Plan:
    """The plan for what was asked for. Raises OpsError where there is none that may be asked for."""
    plan = _plan_at(ops, request, request.commit)
    if any(one.blocks and one.code == "remote_only" for one in plan.problems):
        # The commit lacks a file that is applied by now: it came in on another way to the branch.
        newest = _plan_at(ops, request, None)
        plan = newest if _is_no_more(newest, request) else plan
    blocked = plan.blocks() if not plan.is_empty else plan.cannot_run()
    if blocked is not None:
        raise blocked
    check_after(ops, plan.target, plan.pending)
    return plan


def _plan_at(ops: Ops, request: Request, commit: str | None) -> Plan:
    return plan_target(
        ops,
        ops.target_of(request),
        request.by,
        f"again-{uuid7(ops.now())}",
        commit=commit,
        with_data=bool((request.rehearsal or {}).get("with_data")),
        emergency=request.emergency,
        hotfix=(hotfix_of(request) or {}).get("because", ""),
    )


def _is_no_more(plan: Plan, request: Request) -> bool:
    """Whether a plan of another commit holds nothing but files and functions that were asked for."""
    asked_for = {(str(one["filename"]), str(one["sha256"])) for one in request.files}
    functions = {(str(one["slug"]), str(one["sha256"])) for one in planned_functions(request.plan)}
    return all((one.filename, one.sha256) in asked_for for one in plan.pending) and all(
        (one.slug, one.sha256) in functions for one in plan.deployed
    )


def _placed(ops: Ops, again: Again, plan: Plan) -> Request | None:
    older = again.older
    placed = place(
        ops,
        plan.target,
        requested(ops, plan, older.by),
        older.by,
        f"again-{uuid7(ops.now())}",
        plan=plan,
        is_stale=lambda view: _is_stale(view, plan),
        again=again,
    )
    return placed.request if placed is not None else None


def _is_stale(view: View, plan: Plan) -> bool:
    """Whether a run began or ended on the target since the plan looked at it."""
    return occupant_of(view, plan.target.stream) is not None or has_landed(view, plan.target, plan.landed_seq)


def _noted_the_same(ops: Ops, again: Again, plan: Plan) -> Request | None:
    """What is known now of a request for which nothing changed, so that it is not looked at again."""

    def decide(view: View) -> Sequence[Draft]:
        if _is_stale(view, plan) or not _still_waits(ops, view, again):
            return []
        data = {"digest": again.older.digest, "after": list(again.after)}
        return [ops.draft("replanned", PLANNER, again.older, data)]

    return find_request(ops.view, again.older.id) if ops.log.transact(decide) else None


def _end(ops: Ops, again: Again, because: str) -> None:
    """End a request that cannot be planned again, with the reason."""
    message = f"{again.because}, and {because.rstrip('.')}. Nothing of {again.older.id} was run."

    def decide(view: View) -> Sequence[Draft]:
        if not _still_waits(ops, view, again):
            return []
        data = {"changed": [f"the target: {again.because}"], "message": message, "by": None}
        return [ops.draft("superseded", PLANNER, again.older, data)]

    ops.log.transact(decide)


def _still_waits(ops: Ops, view: View, again: Again) -> bool:
    return find_request(view, again.older.id).status_at(ops.now()) is Status.WAITING

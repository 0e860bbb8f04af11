"""Stopping a run: the wish is recorded first, the runner sees it at once, and the run ends as it then truly stands."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from audit import Draft
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.masking import mask_intake
from ops.people import Actor
from ops.policy import Decision
from ops.policy import may_cancel
from ops.policy import may_decide_now
from ops.policy import refused
from ops.requests import Request
from ops.requests import find_request
from ops.running import take_up
from ops.status import ENDINGS
from ops.status import Status
from ops.steps import hearing

WAIT_SECONDS = 3.0
"""So long whoever said stop waits to hear how the run ended; a cancelled statement takes far less."""


def stop(ops: Ops, number: str, actor: Actor, act: str, because: str, progress: Progress = lambda _: None) -> Request:
    """Ask a run to stop, wait a moment for its end, and return the request as it then stands: over, or still running.

    One that has not begun is cancelled, where this person may do that. Who is second finds the first stop recorded.
    Raises OpsError: NOT_RUNNING when it is over already (too late), and refusals.
    """
    request = find_request(ops.view, number)
    as_requester = may_request_now(ops, ops.target_of(request), actor)
    requester_is = ops.requester_is(request.by)

    def decide(view: View) -> Sequence[Draft]:
        fresh, now = find_request(view, number), ops.now()
        why = mask_intake(because.strip())
        if fresh.status_at(now) is Status.WAITING:
            may_cancel(fresh, actor, requester_is, now).or_raise()
            return [ops.draft("cancelled", actor, fresh, {"because": why or "stopped before it began"})]
        may_stop(fresh, actor, as_requester, requester_is, now).or_raise()
        return [] if fresh.stop_asked is not None else [ops.draft("stop_asked", actor, fresh, {"because": why})]

    with hearing(ops, request, ENDINGS) as ended:
        ops.log.transact(decide, id=f"{act}:stopped")
        if find_request(ops.view, number).status is Status.RUNNING:
            _end_what_nobody_runs(ops, number, progress)
            ended.wait(WAIT_SECONDS)
    return find_request(ops.view, number)


def may_stop(
    request: Request, actor: Actor, as_requester: Decision, requester_is: str | None, now: datetime
) -> Decision:
    """Whether this person may stop the run: its requester, or who could request on its target; and it runs."""
    is_own = actor == request.by or (actor.user is not None and actor.user == requester_is)
    if not as_requester.allowed and not (is_own and as_requester.reason is Reason.NOT_A_REQUESTER):
        return as_requester
    if request.status is Status.RUNNING:
        return Decision(True)
    over = may_decide_now(request, now)
    looked_at = request.status is not Status.INTERRUPTED or request.settlement is not None
    return refused(
        Reason.NOT_RUNNING,
        f"There is nothing to stop any more: {over.message}",
        f"See `show {request.id}`."
        if looked_at
        else f"Look at the target, then `cancel {request.id} <what you found>`.",
        status=request.status.value,
    )


def _end_what_nobody_runs(ops: Ops, number: str, progress: Progress) -> None:
    """Where no foreman does it, look what a dead runner left; with the stop recorded, nothing more of it is run."""
    if ops.people.are_known:
        return
    with suppress(OpsError):  # the target cannot be looked at now: the stop stays recorded, and holds when it can
        take_up(ops, number, progress)

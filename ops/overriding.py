"""Break glass: an overrider lets a push run without approvals, proves who they are by a code, and owes others a review."""

from collections.abc import Sequence

from audit import Draft
from audit import View
from ops.approving import check_plan
from ops.approving import check_unchanged
from ops.clearance import is_overrider
from ops.debts import check_no_debt
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.masking import mask_intake
from ops.people import Actor
from ops.policy import Directory
from ops.policy import may_decide_now
from ops.policy import refused
from ops.requesting import Asked
from ops.requesting import request_push
from ops.requests import Request
from ops.requests import find_request
from ops.second_factor import check_enrolled
from ops.second_factor import prove
from ops.second_factor import spent
from ops.targets import Target

LEAST_LETTERS = 5


def request_emergency(
    ops: Ops,
    target: Target,
    actor: Actor,
    act: str,
    because: str,
    *,
    commit: str | None = None,
    progress: Progress = lambda _: None,
) -> Asked:
    """Ask for a push as an emergency. Nothing runs by that: the asker lets it run by `override`, or others approve it.

    Raises OpsError for whoever is no overrider, has no second factor or owes a review; with no reason given; and as a push.
    """
    if len(because.strip()) < LEAST_LETTERS:
        raise OpsError(
            Reason.BAD_USAGE,
            "An emergency needs a reason: everybody reads it, and it stays in the log.",
            f'For example: push {target.environment} --emergency "INC-42 orders cannot be paid"',
        )
    if not target.settings.asks_people:
        raise OpsError(
            Reason.BAD_USAGE, f"Nobody is asked on {target.name} anyway.", f"Type `push {target.environment}`."
        )
    directory = ops.directory(target.settings.overriders, users=(actor.user,), members=False)
    is_overrider(target.settings.overriders, actor, directory, target.name).or_raise()
    check_enrolled(ops, actor)
    check_no_debt(ops, ops.view, target.project, actor)
    why = mask_intake(because.strip())
    return request_push(ops, target, actor, act, commit=commit, progress=progress, emergency=why)


def may_override_now(ops: Ops, request: Request, actor: Actor, view: View | None = None) -> Directory:
    """What Slack says of this actor, who may let the request run now, as far as can be said without a code.

    Raises OpsError when they may not: it is no emergency of theirs, they are no overrider, have no second factor, or owe.
    """
    if not request.emergency or request.by != actor:
        refused(
            Reason.NOT_ALLOWED,
            f"{request.id} is not an emergency that you asked for.",
            f"An overrider asks for their own: push {request.environment} --emergency <why>.",
        ).or_raise()
    directory = ops.directory(request.overriders, users=(actor.user,), members=False)
    is_overrider(request.overriders, actor, directory, request.id).or_raise()
    may_decide_now(request, ops.now()).or_raise()
    check_enrolled(ops, actor)
    check_no_debt(ops, view or ops.view, request.project, actor)
    return directory


def override(
    ops: Ops,
    number: str,
    actor: Actor,
    act: str,
    prefix: str,
    code: str | None,
    progress: Progress = lambda _: None,
) -> Request:
    """Let an emergency run without approvals, for exactly this plan; the bot starts it as any other that is cleared.

    What else is asked of a run (lock, target, rehearsal, backup) is asked as ever. Raises OpsError as `may_override_now`
    and `prove` do, and when the plan is no longer what was asked for.
    """
    request = find_request(ops.view, number)
    if ops.view.act(f"{act}:overridden"):
        return request
    directory = may_override_now(ops, request, actor)
    check_plan(request, prefix)
    if request.shown is None or request.shown["digest"] != request.digest:
        refused(
            Reason.NOT_SHOWN_YET,
            f"The SQL of {request.id} has not reached the thread yet, so nobody can have read it.",
            "Wait until its card has its buttons.",
        ).or_raise()
    # First, for it holds for a minute or so, and to compute a plan may take longer.
    proof = prove(ops, actor, act, code, f"override {request.id}", request)

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        may_decide_now(fresh, ops.now()).or_raise()
        if fresh.override is not None:
            refused(
                Reason.ALREADY_APPROVED, f"{fresh.id} is overridden already; it starts as soon as it can."
            ).or_raise()
        facts = is_overrider(fresh.overriders, actor, directory, fresh.id).or_raise().facts
        check_no_debt(ops, view, fresh.project, actor)
        data = {
            "digest": fresh.digest,
            "because": fresh.emergency,
            "to": [who for who in fresh.eligible if not who.startswith("os:")],
            "facts": {**facts, "code_step": proof.step},
            "review_within": ops.target_of(fresh).settings.review_within.total_seconds(),
        }
        return [ops.draft("overridden", actor, fresh, data)]

    with spent(proof):
        check_unchanged(ops, request, progress)
        ops.log.transact(decide, id=f"{act}:overridden")
    return find_request(ops.view, number)

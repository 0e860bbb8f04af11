"""Entering the value of a secret that people agreed to: by whom, when, and the run that uses it at once."""

from collections.abc import Callable
from datetime import datetime

from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import facts_of
from ops.gates import judge
from ops.gates.asked import live_directory
from ops.gates.asked import needs_people
from ops.gates.value import VALUE
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.people import Actor
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import may_decide_now
from ops.policy import refused
from ops.requests import SECRETS
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.running import carry_out
from ops.status import Status
from ops.targets import Target
from ops.values import Value


def waiting_for_value(ops: Ops, target: Target, name: str) -> list[Request]:
    """The requests to set this secret that wait, oldest first."""
    return [
        one
        for one in open_requests(ops.view)
        if one.kind == SECRETS
        and one.target == target.name
        and (one.plan["facts"]["how"], one.plan["facts"]["secret"]) == ("set", name)
        and one.status_at(ops.now()) is Status.WAITING
    ]


def check_takes_value(ops: Ops, number: str, actor: Actor) -> Request:
    """The request, where this person may enter its value now. Raises OpsError: nothing else may be in its way."""
    request = find_request(ops.view, number)
    target = ops.target_of(request)
    may_give(request, actor, may_request_now(ops, target, actor), ops.requester_is, ops.now()).or_raise()
    directory = live_directory(ops, request) if needs_people(request) else Directory({}, {})
    with ops.view.together() as view:
        verdict = judge(facts_of(ops, request, view, directory))
    first = next((gate for gate in verdict.closed if gate.name != VALUE), None)
    if first is not None:
        reason = first.reason or Reason.NOT_ALLOWED
        when = f"The value of {_name(request)} is entered when nothing else is in the way of {request.id}."
        raise OpsError(reason, f"{when} {first.sentence}", first.next, exit_code=3)
    return request


def give_value(
    ops: Ops, number: str, value: Value, actor: Actor, act: str, way: str, progress: Progress = lambda _: None
) -> Request:
    """Set the secret of a request to this value, now: the request as it stands afterwards. The same act is done once.

    `way`: terminal or page. Raises OpsError where the person may not, or something else is in its way; nothing was done then.
    """
    request = check_takes_value(ops, number, actor)
    with ops.values.hold(number, value):
        ops.log.append(
            [ops.draft("value_given", actor, request, {"secret": _name(request), "way": way})], id=f"{act}:value"
        )
        return carry_out(ops, number, progress)


def may_give(
    request: Request,
    actor: Actor,
    as_requester: Decision,
    requester_is: Callable[[Actor], str | None],
    now: datetime,
) -> Decision:
    """Whether this person may enter the value: who asked for it, or a requester at the terminal. Nobody who said yes may."""
    if request.kind != SECRETS or request.plan["facts"]["how"] != "set":
        return refused(Reason.NOT_ALLOWED, f"{request.id} takes no value.", f"See `show {request.id}`.")
    waits = may_decide_now(request, now)
    if not waits.allowed:
        return waits
    if not as_requester.allowed:
        return as_requester
    person = requester_is(actor) or actor.id
    if any(person in {one.person, one.by.id} or one.by == actor for one in request.approvals):
        return refused(
            Reason.SELF_APPROVAL,
            f"You said yes to {request.id}, so somebody else enters its value: yours would have been approved by yourself.",
            "Whoever asked for it does.",
        )
    is_own = actor == request.by or person == requester_is(request.by)
    if is_own or actor.is_terminal:
        return Decision(True)
    return refused(
        Reason.NOT_ALLOWED,
        f"{request.id} was asked for by somebody else, and who asked enters the value.",
        f"A requester with a terminal can do it too: `countersign secrets {request.environment} set {_name(request)}`.",
    )


def _name(request: Request) -> str:
    return str(request.plan["facts"]["secret"])

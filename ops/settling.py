"""Settling an interrupted run: a person looked at the target and says what became of it, which frees the target."""

from collections.abc import Sequence
from contextlib import closing

import psycopg

from audit import Draft
from audit import View
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import identity_of
from ops.history import read_history
from ops.layer import Ops
from ops.masking import mask_intake
from ops.people import Actor
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import entitled
from ops.policy import refused
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status
from ops.steps import both_streams
from ops.targets import Target


def settle(ops: Ops, number: str, actor: Actor, act: str, because: str) -> Request:
    """Record what somebody found on the target of an interrupted request. It stays interrupted; its target is free.

    A terminal user of this host may, and who may approve the request, so neither its requester nor an author from
    Slack. Raises OpsError: BAD_USAGE without a finding, NOT_WAITING where nothing is to be settled, and refusals.
    """
    request = find_request(ops.view, number)
    if ops.view.act(f"{act}:recorded"):
        return request
    target = ops.target_of(request)
    users = () if actor.is_terminal else (actor.user,)
    directory = ops.directory(request.deciders if users else (), users=users, members=False)
    may_settle(request, actor, directory, ops.requester_is(request.by)).or_raise()
    if not because.strip():
        raise OpsError(
            Reason.BAD_USAGE,
            f"{request.id} was interrupted: say what you found on {request.target}.",
            f"Look at the target, then for example: cancel {request.id} nothing of it is there.",
        )
    data = {"because": mask_intake(because.strip()), "by": actor.id, "versions": list(_applied(request, target))}

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        _is_unsettled(fresh).or_raise()
        return both_streams(ops.draft("recorded", actor, fresh, data), target.stream)

    ops.log.transact(decide, id=f"{act}:recorded")
    return find_request(ops.view, number)


def may_settle(request: Request, actor: Actor, directory: Directory, requester_is: str | None) -> Decision:
    """Whether this person may say what became of the run: a terminal user of the host, or one whose yes would count."""
    unsettled = _is_unsettled(request)
    if not unsettled.allowed or actor.is_terminal:
        return unsettled
    if not request.deciders:
        return refused(
            Reason.NOT_ALLOWED,
            f"Nobody approves on {request.target}, so {request.id} is settled on the host alone.",
            f"There: countersign cancel {request.id} <what you found>.",
        )
    return entitled(request, actor, directory, requester_is)


def _is_unsettled(request: Request) -> Decision:
    if request.status is not Status.INTERRUPTED:
        return refused(
            Reason.NOT_WAITING,
            f"{request.id} is {request.status.value.replace('_', ' ')}, so there is nothing to settle.",
            f"See `show {request.id}`.",
        )
    if (done := request.settlement) is not None:
        return refused(
            Reason.ALREADY_DECIDED,
            f"{request.id} was settled at {done.at:%Y-%m-%d %H:%M} UTC by {done.by.id}: {done.because}",
            f"See `show {request.id}`.",
        )
    return Decision(True)


def _applied(request: Request, target: Target) -> tuple[str, ...]:
    """The plan's versions that the target's history holds; what the log knows where the target cannot be asked."""
    planned = [str(one["version"]) for one in request.files]
    try:
        with closing(connect(target.database_url(), purpose=f"settle {request.id}")) as connection:
            identity = identity_of(connection, project_ref=target.settings.project_ref)
            if any(request.plan["fingerprint"][name] != value for name, value in identity.items()):
                return request.applied  # the configuration names another database by now
            there = {row.version for row in read_history(connection)}
    except (OpsError, psycopg.Error):
        return request.applied
    return tuple(version for version in planned if version in there)

"""`I look at it`: somebody says so of a waiting request, so that not everybody reads the same SQL. It changes no rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import may_decide_now
from ops.policy import may_request
from ops.policy import refused
from ops.requests import Request
from ops.requests import find_request

USUAL = timedelta(minutes=30)
LONGEST = timedelta(hours=8)


@dataclass(frozen=True)
class Claim:
    """Who is looking at a request, and until when they said so."""

    by: Actor
    until: datetime


def claims_of(view: View, request: Request, now: datetime) -> tuple[Claim, ...]:
    """Who is looking at a request at this moment, the first first; each person once."""
    said = view.find(Query(kinds=("claimed",), stream=request.stream))
    found = {claim.by: claim for event in said if (claim := _claim_of(event))}
    return tuple(one for one in found.values() if now < one.until)


def _claim_of(event: Event) -> Claim | None:
    if not event.data:
        return None
    return Claim(Actor(event.actor), datetime.fromisoformat(event.data["until"]))


def may_claim(request: Request, requesters: Sequence[str], actor: Actor, directory: Directory) -> Decision:
    """Whether this actor may say so: one of the target's requesters, or of those who may decide on the request."""
    decision = may_request(requesters, actor, directory, request.target)
    if decision.reason is not Reason.NOT_A_REQUESTER or is_named(request.deciders, actor, directory.groups):
        return decision if decision.reason is not Reason.NOT_A_REQUESTER else Decision(True)
    return refused(
        Reason.NOT_A_REQUESTER,
        f"You can neither request nor decide anything on {request.target}, so you need not look at {request.id}.",
        f"These may claim it: {names_of(dict.fromkeys([*requesters, *request.deciders]))}.",
    )


def claim(ops: Ops, number: str, actor: Actor, act: str, length: timedelta) -> tuple[Request, tuple[Claim, ...]]:
    """Say that one is looking at a waiting request for so long; the request, and everybody who is, oneself included.

    Raises OpsError: BAD_USAGE for a length that no claim has, ALREADY_DECIDED, EXPIRED, refusals.
    """
    if not timedelta() < length <= LONGEST:
        hint = f"For example: claim {number} for 30m"
        raise OpsError(Reason.BAD_USAGE, f"A claim holds for {LONGEST.seconds // 3600} hours at most.", hint)
    request = find_request(ops.view, number)
    requesters = ops.target_of(request).settings.requesters
    asked = (*requesters, *request.deciders) if actor.user else ()
    may_claim(request, requesters, actor, ops.directory(asked, users=(actor.user,), members=False)).or_raise()

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, request.id)
        may_decide_now(fresh, ops.now()).or_raise()
        return [ops.draft("claimed", actor, fresh, {"until": (ops.now() + length).isoformat()})]

    ops.log.transact(decide, id=f"{act}:claimed")
    return request, claims_of(ops.view, request, ops.now())

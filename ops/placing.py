"""Writing a request down: judged whole, with the pins of its groups, and in the place of what it supersedes.

What people said yes to there is carried or voided in the same transaction (see `ops.carrying`).
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from typing import Any

from audit import Draft
from audit import Event
from audit import View
from ops.behind import with_people_behind
from ops.behind import with_those_behind
from ops.carrying import PLANNER
from ops.carrying import Gathered
from ops.carrying import MoreToAskError
from ops.carrying import carry
from ops.carrying import gather
from ops.carrying import void_all
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.locking import check_unlocked
from ops.people import Actor
from ops.plan import Plan
from ops.request_queue import THE_TARGET
from ops.requests import PUSH
from ops.requests import UNDOING
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.requests import stream_of
from ops.satisfying import can_be_satisfied
from ops.satisfying import eligible_people
from ops.satisfying import has_a_policy
from ops.satisfying import is_author_known
from ops.satisfying import people_by_class
from ops.satisfying import people_by_rule
from ops.satisfying import persons_of
from ops.status import Status
from ops.targets import Target

STANDING = frozenset({Status.WAITING, Status.RUNNING})
"""Who asks for the plan of a request that waits or runs is given that request, not a second one."""

GATHERINGS = 5
"""So often the facts are gathered again because somebody said yes in the meantime."""

_AGREED_ANEW = "a request of this kind is agreed to anew"


@dataclass(frozen=True)
class Placed:
    """The request, new or standing."""

    request: Request
    is_new: bool


@dataclass(frozen=True)
class Again:
    """What is planned again by itself: the request `older`, because those in `after` ran on its target."""

    older: Request
    after: tuple[str, ...]

    @property
    def because(self) -> str:
        return f"{', '.join(self.after)} ran on {self.older.target} meanwhile"


def place_request(ops: Ops, target: Target, draft: Draft, actor: Actor, act: str) -> Request:
    """Write down a request of any kind, with the pins of its groups; where the same stands already, that one.

    `draft` is its `requested` event without a number. Raises OpsError when the target is locked, an author is refused,
    or nobody could ever approve.
    """
    placed = place(ops, target, draft, actor, act)
    if placed is None:
        raise _gone()
    return placed.request


def place(
    ops: Ops,
    target: Target,
    draft: Draft,
    actor: Actor,
    act: str,
    *,
    plan: Plan | None = None,
    is_stale: Callable[[View], bool] = lambda _: False,
    again: Again | None = None,
) -> Placed | None:
    """The request, new or standing. None where `is_stale`, where what was to be planned `again` no longer waits, and where
    the one that stood has just ended.

    `plan` is that of a push: without it no approval is carried.
    """
    draft = with_people_behind(ops.settings, ops.view, draft, act)

    for _ in range(GATHERINGS):
        older = [one for one in open_requests(ops.view) if _takes_its_place(draft, one, ops.now())]
        barring = with_those_behind(ops.settings, draft, older, plan.authors if plan is not None else ())
        wish = _as_request(barring, actor, ops)
        has_a_policy(wish).or_raise()
        is_author_known(wish).or_raise()
        pins = (pinned(ops, wish),) if ops.people.are_known and wish.needed else ()
        seen = frozenset(one.id for one in older)
        wanted = _Wanted(barring, wish, pins, gather(ops, plan, older) if plan is not None else None, again, seen)

        def decide(view: View, wanted: _Wanted = wanted) -> list[Draft]:
            if again is None:  # a lock keeps nobody from asking for what is asked for already
                check_unlocked(view, target, ops.now())
            return [] if is_stale(view) else _write(view, ops, wanted)

        try:
            return _placed(ops, wish, ops.log.transact(decide, id=f"{act}:requested"))
        except MoreToAskError:
            continue
    raise OpsError(
        Reason.TARGET_BUSY, f"People decide on {target.name} just now.", "Ask again in a moment.", exit_code=5
    )


@dataclass(frozen=True)
class _Wanted:
    draft: Draft
    wish: Request
    pins: tuple[Draft, ...]
    gathered: Gathered | None
    again: Again | None
    seen: frozenset[str]
    """Those whose place it was to take when all this was gathered."""


def _placed(ops: Ops, wish: Request, events: Sequence[Event]) -> Placed | None:
    requested = next((one for one in events if one.kind == "requested"), None)
    if requested is not None:
        return Placed(find_request(ops.view, requested.request or ""), is_new=True)
    standing = _standing(open_requests(ops.view), wish, ops.now())
    return Placed(standing, is_new=False) if standing is not None else None


def _gone() -> OpsError:
    return OpsError(Reason.UNEXPECTED, "The request that stood a moment ago is gone.", "Try again.", exit_code=1)


def _as_request(draft: Draft, actor: Actor, ops: Ops) -> Request:
    """The request as it would stand, to judge it before it is written."""
    data: dict[str, Any] = dict(draft.data)
    return Request(
        id="this request",
        kind=data["kind"],
        project=draft.project or "",
        environment=draft.environment or "",
        by=actor,
        digest=data["digest"],
        commit=data["commit"],
        plan=data["plan"],
        hazards=tuple(data["hazards"]),
        authors=tuple(data["authors"]),
        unknown_authors=tuple(data["unknown_authors"]),
        behind=tuple(data.get("behind", ())),
        requested_at=ops.now(),
        expires_at=ops.now(),
        place=0,
        rehearsal=data.get("rehearsal"),
    )


def pinned(ops: Ops, request: Request) -> Draft:
    """The pin of a request's groups. Raises OpsError(POLICY_UNSATISFIABLE) when too few people could approve."""
    directory = ops.directory(request.deciders, members=True)
    eligible = eligible_people(request, directory, ops.requester_is(request.by), ops.requester_is)
    classes, rules = (by(request, eligible, directory) for by in (people_by_class, people_by_rule))
    persons = persons_of(eligible, ops.requester_is)
    can_be_satisfied(request, eligible, classes, rules, persons).or_raise()
    data: dict[str, object] = {
        "groups": {handle: group.id for handle, group in directory.groups.items()},
        "eligible": list(eligible),
        "classes": classes,
        "rules": rules,
    }
    return ops.draft("pinned", Actor("system:policy"), request, data)


def _write(view: View, ops: Ops, wanted: _Wanted) -> list[Draft]:
    """The events of a new request, inside the transaction: nothing when the same plan is already asked for."""
    wish, now = wanted.draft, ops.now()
    standing = [one for one in open_requests(view) if one.target == wanted.wish.target]
    replaced = [one for one in standing if _takes_its_place(wish, one, now)]
    if wanted.again is not None and wanted.again.older.id not in {one.id for one in replaced}:
        return []  # it was decided meanwhile
    if not wanted.seen.issuperset(one.id for one in replaced):
        raise MoreToAskError  # one came meanwhile; who was behind that is behind this one
    same = _standing(standing, wanted.wish, now)
    if same is not None:
        return _given_up(ops, wanted.again, same) if wanted.again is not None else []
    number = view.next_number("R-")
    newer = replace(wanted.wish, id=number)
    carried = {one.id: _carried(view, ops, one, newer, wanted.gathered) for one in replaced}
    drafts = [_numbered(_dated(wish, replaced, carried, wanted.again), number)]
    drafts += [_numbered(pin, number) for pin in wanted.pins]
    drafts += [draft for found in carried.values() for draft in found]
    return [*drafts, *_superseded(ops, wish, number, standing, replaced, wanted.again)]


def _takes_its_place(wish: Draft, older: Request, now: datetime) -> bool:
    """Whether this wish is a newer plan of what the same person waits for on the same target.

    An emergency or a hotfix does not take the place of what is asked for in the ordinary way, nor the other way round: it
    may come to nothing, and what people agreed to would be lost for it. Whichever runs first, the other is planned again.
    """
    same_target = older.target == f"{wish.project}/{wish.environment}" and older.by.id == wish.actor
    same_kind = older.kind == wish.data["kind"] and older.of == wish.data["plan"].get("of")
    same_one = _one_of(older.plan) == _one_of(wish.data["plan"])
    same_way = all((name in older.plan) == (name in wish.data["plan"]) for name in ("emergency", "hotfix"))
    return same_target and same_kind and same_one and same_way and older.status_at(now) is Status.WAITING


def _carried(view: View, ops: Ops, older: Request, newer: Request, gathered: Gathered | None) -> list[Draft]:
    if gathered is None or (older.kind, newer.kind) != (PUSH, PUSH):
        return void_all(ops, older, newer, _AGREED_ANEW)
    return carry(view, ops, older, newer, gathered)


def _dated(
    wish: Draft, replaced: Sequence[Request], carried: Mapping[str, Sequence[Draft]], again: Again | None
) -> Draft:
    """The wish with what it replaces. It expires no later than what was agreed to there; and what is planned again by
    itself when it would have expired, in its place of the queue."""
    data: dict[str, Any] = dict(wish.data)
    if replaced:
        data["replaces"] = replaced[-1].id
    holding = [one for one in replaced if any(draft.kind == "approval_carried" for draft in carried[one.id])]
    ends = [one.expires_at for one in holding] + ([again.older.expires_at] if again is not None else [])
    if ends:
        data["expires_at"] = min(datetime.fromisoformat(data["expires_at"]), *ends).isoformat()
    if again is not None:
        data["queued_since"] = (again.older.queued_at or again.older.requested_at).isoformat()
    return replace(wish, data=data)


def _superseded(
    ops: Ops,
    wish: Draft,
    number: str,
    standing: Sequence[Request],
    replaced: Sequence[Request],
    again: Again | None,
) -> list[Draft]:
    """The ends of what this wish leaves without an object."""
    drafts = []
    kind, of = wish.data["kind"], wish.data["plan"].get("of")
    for older in standing:
        if older in replaced and again is not None:
            drafts.append(_planned_again(ops, again, older, number))
        elif older in replaced:
            message = f"{wish.actor} asked for a newer plan of the same target: {number}."
            newer = {"changed": ["the plan"], "message": message, "by": number}
            drafts.append(ops.draft("superseded", older.by, older, newer))
        elif of and older.of == of and older.status_at(ops.now()) is Status.WAITING and {older.kind, kind} <= UNDOING:
            # whoever asked: only one of them can land
            changed = f"the plan; {number} was asked for instead, which undoes {of} too"
            data = {"changed": [changed], "message": f"Since it was asked for, this changed: {changed}.", "by": None}
            drafts.append(ops.draft("superseded", PLANNER, older, data))
    return drafts


def _planned_again(ops: Ops, again: Again, older: Request, number: str) -> Draft:
    message = f"{again.because}, so {older.id} was planned again: {number}."
    data = {"changed": [THE_TARGET], "message": message, "by": number}
    return ops.draft("superseded", PLANNER, older, data)


def _given_up(ops: Ops, again: Again, same: Request) -> list[Draft]:
    """What somebody else asks for already ends, and its approvals with it: they were given to another one's request."""
    because = f"{same.id} asks for the same plan, and is somebody else's request"
    message = f"{again.because}, and {same.id} asks for the plan that {again.older.id} would have now."
    data = {"changed": [f"the target; {same.id} asks for the same"], "message": message, "by": same.id}
    ending = ops.draft("superseded", PLANNER, again.older, data)
    return [*void_all(ops, again.older, same, because), ending]


def _one_of(plan: Mapping[str, Any]) -> int | str | None:
    """The session or the secret that a plan is about: of several, each is asked for by itself."""
    facts = plan.get("facts") or {}
    found: int | str | None = facts.get("pid", facts.get("secret"))
    return found


def _numbered(draft: Draft, number: str) -> Draft:
    return Draft(
        kind=draft.kind,
        actor=draft.actor,
        stream=stream_of(number),
        data=draft.data,
        project=draft.project,
        environment=draft.environment,
        request=number,
    )


def _standing(found: Sequence[Request], wish: Request, now: datetime) -> Request | None:
    same = (one for one in found if one.target == wish.target and one.digest == wish.digest)
    return next((one for one in same if one.status_at(now) in STANDING), None)

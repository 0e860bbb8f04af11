"""Asking for a run: the plan is computed, the asker checked, the request written down. Nothing runs here."""

import re
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit import Draft
from audit import View
from ops.coming_after import check_after
from ops.errors import OpsError
from ops.errors import Reason
from ops.half_done import half_done
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.locking import check_unlocked
from ops.people import Actor
from ops.plan import Plan
from ops.plan import make_plan
from ops.policy import may_request
from ops.quiet import with_quiet
from ops.rehearsing import rehearse_plan
from ops.rehearsing import summary
from ops.requests import UNDOING
from ops.requests import Request
from ops.requests import find_request
from ops.requests import is_one_of
from ops.requests import open_requests
from ops.requests import stream_of
from ops.satisfying import can_be_satisfied
from ops.satisfying import eligible_people
from ops.satisfying import is_author_known
from ops.satisfying import people_by_class
from ops.status import Status
from ops.targets import Target

_COMMIT = re.compile(r"[0-9a-f]{7,40}")

STANDING = frozenset({Status.WAITING, Status.RUNNING})
"""Who asks for the plan of a request that waits or runs is given that request, not a second one."""


@dataclass(frozen=True)
class Asked:
    """What came of asking: the plan, and the request, or None where nothing is pending. `is_new` unless it stood already."""

    plan: Plan
    request: Request | None
    is_new: bool = True


def plan_target(
    ops: Ops,
    target: Target,
    actor: Actor,
    act: str,
    *,
    commit: str | None = None,
    rehearse: bool = False,
    with_data: bool = False,
    progress: Progress = lambda _: None,
) -> Plan:
    """The plan for a target, rehearsed where that is to be (see `rehearse_plan`), and recorded as `planned`.

    Refused to those who may not request anything there.
    """
    may_request_now(ops, target, actor).or_raise()
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise OpsError(
            Reason.BAD_USAGE, f"{commit!r} is not a commit.", "Give 7 to 40 hex digits, or leave it out for the head."
        )
    place = ops.view.last_place(target.stream)
    plan = _with_adopted(ops, make_plan(target, ops.repository(target), commit=commit, progress=progress))
    plan = replace(plan, problems=(*half_done(ops.view, target, plan.pending), *plan.problems))
    if target.settings.drift_every is not None:
        # Here because it reads whole schemas, which takes 50 ms to import: an environment that is not watched goes without.
        from ops.outside import look_if_strange

        with suppress(OpsError):  # a look beside the plan, which was read already
            look_if_strange(ops, target, plan.fingerprint, place)
    plan = rehearse_plan(ops, plan, actor, rehearse=rehearse, with_data=with_data, progress=progress)
    if target.settings.watch_for is not None:
        plan = with_quiet(ops, plan)
    ops.log.append([_planned(plan, actor)], id=f"{act}:planned")
    return plan


_OF_THE_PAST = frozenset({"remote_only", "edited", "unknown"})
"""Problems with what was applied once; people may adopt them as they are."""


def _with_adopted(ops: Ops, plan: Plan) -> Plan:
    """The plan without being blocked by what of the history was adopted as it is."""
    if not plan.problems:
        return plan
    adopted = ops.view.last(kind="adopted", project=plan.target.project, environment=plan.target.environment)
    rows = set((adopted.data or {}).get("rows", [])) if adopted else set()
    problems = [
        replace(one, blocks=False, message=f"{one.message} It was adopted as it is.", repair="")
        if one.code in _OF_THE_PAST and one.version in rows
        else one
        for one in plan.problems
    ]
    return replace(plan, problems=tuple(sorted(problems, key=lambda problem: not problem.blocks)))


def request_push(
    ops: Ops,
    target: Target,
    actor: Actor,
    act: str,
    *,
    commit: str | None = None,
    with_data: bool = False,
    progress: Progress = lambda _: None,
    landed: str | None = None,
) -> Asked:
    """Ask to run what is pending on a target. The same act asked again, or the same plan, finds the request that stands.

    Raises OpsError with the reason when the target is locked, the plan is blocked, an author is refused, or nobody
    could ever approve.
    `landed` is for its own second look: the digest of a plan that ended while the first look was taken.
    """
    earlier = ops.view.act(f"{act}:requested")
    if not earlier:
        check_unlocked(ops.view, target, ops.now())
    plan = plan_target(ops, target, actor, act, commit=commit, with_data=with_data, progress=progress)
    if earlier:
        return Asked(plan, find_request(ops.view, earlier[0].request or ""), is_new=False)
    blocked = plan.blocks()
    if blocked is not None:
        raise blocked
    if not plan.pending:
        return Asked(plan, None)
    check_after(ops, plan.target, plan.pending)

    draft = _requested(ops, plan, actor)
    placed = _place(ops, target, draft, actor, act, lambda view: landed != plan.digest and _has_landed(view, plan))
    if placed is not None:
        return Asked(plan, placed.request, is_new=placed.is_new)
    if landed is not None:
        raise _gone()
    return request_push(  # this very plan ran while we looked at the target: look again
        ops,
        target,
        actor,
        act,
        commit=commit,
        with_data=with_data,
        progress=progress,
        landed=plan.digest,
    )


def place_request(ops: Ops, target: Target, draft: Draft, actor: Actor, act: str) -> Request:
    """Write down a request of any kind, with the pins of its groups; where the same stands already, that one.

    `draft` is its `requested` event without a number. Raises OpsError when the target is locked, an author is refused,
    or nobody could ever approve.
    """
    placed = _place(ops, target, draft, actor, act, lambda _: False)
    if placed is None:
        raise _gone()
    return placed.request


@dataclass(frozen=True)
class _Placed:
    request: Request
    is_new: bool


def _place(
    ops: Ops, target: Target, draft: Draft, actor: Actor, act: str, has_landed: Callable[[View], bool]
) -> _Placed | None:
    """The request, new or standing; None where `has_landed`, or where the one that stood has just ended."""
    wish = _as_request(draft, actor, ops)
    is_author_known(wish).or_raise()
    pins: list[Draft] = []
    if ops.people.are_known and wish.needed:
        pins = [_pinned(ops, wish)]

    def decide(view: View) -> list[Draft]:
        check_unlocked(view, target, ops.now())
        return [] if has_landed(view) else _write_request(view, ops, draft, pins)

    events = ops.log.transact(decide, id=f"{act}:requested")
    if events:
        return _Placed(find_request(ops.view, events[0].request or ""), is_new=True)
    standing = _standing(open_requests(ops.view), wish, ops)
    return _Placed(standing, is_new=False) if standing is not None else None


def _gone() -> OpsError:
    return OpsError(Reason.UNEXPECTED, "The request that stood a moment ago is gone.", "Try again.", exit_code=1)


def check_member(ops: Ops, actor: Actor) -> None:
    """Raise OpsError unless Slack says now that this is a full member of the workspace. Terminal users pass."""
    try:
        directory = ops.directory((), users=(actor.user,), members=False)
    except OpsError as error:
        message = error.message.replace(f"who {actor.user} is", "who you are")
        raise OpsError(error.reason, message, error.hint, exit_code=error.exit_code) from error
    may_request((), actor, directory, "").or_raise()


def pick_up(ops: Ops, request: Request) -> None:
    """Pin the groups of a request that came from a terminal, and end it when nobody could ever clear it."""
    if request.pinned is not None or not request.needed or not ops.people.are_known:
        return
    try:
        draft = _pinned(ops, request)
    except OpsError as error:
        if error.reason is not Reason.POLICY_UNSATISFIABLE:
            raise
        because = f"{error.reason.value}: {error.message}"
        draft = ops.draft("cancelled", Actor("system:policy"), request, {"because": because})
    ops.log.transact(lambda view: [draft] if find_request(view, request.id).place == request.place else [])


def note_who_counts(ops: Ops, request: Request) -> None:
    """Pin anew who may approve when approvals stopped counting or count again, so that the card says so."""
    directory = ops.directory(request.deciders, members=True)
    eligible = eligible_people(request, directory, ops.requester_is(request.by))
    classes = people_by_class(request, eligible, directory)
    if all(
        one.stands == is_one_of(one.by, eligible)
        and set(one.covers) == {name for name, people in classes.items() if is_one_of(one.by, people)}
        for one in request.approvals
    ):
        return
    data = {"groups": dict(request.pinned or {}), "eligible": list(eligible), "classes": classes}
    draft = ops.draft("pinned", Actor("system:policy"), request, data)
    ops.log.transact(lambda view: [draft] if find_request(view, request.id).place == request.place else [])


def _planned(plan: Plan, actor: Actor) -> Draft:
    return Draft(
        kind="planned",
        actor=actor.id,
        stream="people",
        project=plan.target.project,
        environment=plan.target.environment,
        data={
            "commit": plan.commit.sha,
            "digest": plan.digest,
            "pending": [{"version": one.version, "name": one.name, "sha256": one.sha256} for one in plan.pending],
            "hazards": [hazard.to_json() for hazard in plan.hazards],
            "fingerprint": plan.fingerprint.to_json(),
            "problems": [problem.message for problem in plan.problems],
        },
    )


def _requested(ops: Ops, plan: Plan, actor: Actor) -> Draft:
    known = {author.email: ops.settings.known_author(author.email) for author in plan.authors}
    return Draft(
        kind="requested",
        actor=actor.id,
        stream="",
        project=plan.target.project,
        environment=plan.target.environment,
        data={
            "kind": "push",
            "digest": plan.digest,
            "commit": plan.commit.sha,
            "plan": plan.canonical,
            "hazards": [hazard.to_json() for hazard in plan.hazards],
            "authors": sorted({who for who in known.values() if who}),
            "unknown_authors": sorted({one.name or one.email for one in plan.authors if not known[one.email]}),
            "expires_at": (ops.now() + plan.target.settings.expires).isoformat(),
            "rehearsal": summary(plan.rehearsal, plan.rehearsed),
        },
    )


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
        requested_at=ops.now(),
        expires_at=ops.now(),
        place=0,
        rehearsal=data.get("rehearsal"),
    )


def _pinned(ops: Ops, request: Request) -> Draft:
    """The pin of a request's groups. Raises OpsError(POLICY_UNSATISFIABLE) when too few people could approve."""
    directory = ops.directory(request.deciders, members=True)
    eligible = eligible_people(request, directory, ops.requester_is(request.by))
    classes = people_by_class(request, eligible, directory)
    can_be_satisfied(request, eligible, classes).or_raise()
    data: dict[str, object] = {
        "groups": {handle: group.id for handle, group in directory.groups.items()},
        "eligible": list(eligible),
        "classes": classes,
    }
    return ops.draft("pinned", Actor("system:policy"), request, data)


def _write_request(view: View, ops: Ops, wish: Draft, pins: Sequence[Draft]) -> list[Draft]:
    """The events of a new request, inside the transaction: nothing when the same plan is already asked for."""
    now = ops.now()
    standing = [one for one in open_requests(view) if one.target == f"{wish.project}/{wish.environment}"]
    if any(one.digest == wish.data["digest"] and one.status_at(now) in STANDING for one in standing):
        return []
    number = view.next_number("R-")
    drafts = [_numbered(wish, number)] + [_numbered(pin, number) for pin in pins]
    kind, of = wish.data["kind"], wish.data["plan"].get("of")
    for older in standing:
        if older.of != of or older.status_at(now) is not Status.WAITING:
            continue
        if older.kind == kind and older.by.id == wish.actor and _session(older.plan) == _session(wish.data["plan"]):
            message = f"{wish.actor} asked for a newer plan of the same target: {number}."
            newer = {"changed": ["the plan"], "message": message, "by": number}
            drafts.append(ops.draft("superseded", older.by, older, newer))
        elif of and {older.kind, kind} <= UNDOING:  # whoever asked: only one of them can land
            changed = f"the plan; {number} was asked for instead, which undoes {of} too"
            data = {"changed": [changed], "message": f"Since it was asked for, this changed: {changed}.", "by": None}
            drafts.append(ops.draft("superseded", Actor("system:plan"), older, data))
    return drafts


def _session(plan: Mapping[str, Any]) -> int | None:
    """The session that a plan is about: of several that are in the way, each is asked for by itself."""
    found: int | None = (plan.get("facts") or {}).get("pid")
    return found


def _has_landed(view: View, plan: Plan) -> bool:
    """Whether the last run that succeeded on the target was of this very plan: then it was computed before that ended."""
    last = view.last(kind="succeeded", project=plan.target.project, environment=plan.target.environment)
    return last is not None and find_request(view, last.request or "").digest == plan.digest


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


def _standing(found: Sequence[Request], wish: Request, ops: Ops) -> Request | None:
    return next(
        (
            one
            for one in found
            if one.target == wish.target and one.digest == wish.digest and one.status_at(ops.now()) in STANDING
        ),
        None,
    )

"""Asking for a run: the plan is computed, the asker checked, the request written down. Nothing runs here."""

import re
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace

from audit import Draft
from ops.coming_after import check_after
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import check_begins_at_once
from ops.half_done import half_done
from ops.hotfixing import hotfix_for
from ops.landing import has_landed
from ops.landing import last_landing
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.locking import check_unlocked
from ops.people import Actor
from ops.placing import pinned
from ops.placing import place
from ops.plan import Plan
from ops.plan import make_plan
from ops.policy import may_request
from ops.quiet import with_quiet
from ops.rehearsing import rehearse_plan
from ops.rehearsing import summary
from ops.requests import Request
from ops.requests import find_request
from ops.requests import is_one_of
from ops.satisfying import eligible_people
from ops.satisfying import people_by_class
from ops.satisfying import people_by_rule
from ops.supabase.function_after import check_functions_after
from ops.targets import Target

_COMMIT = re.compile(r"[0-9a-f]{7,40}")

LOOKS = 3
"""So often a target is looked at anew because a run ended there while it was looked at."""


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
    emergency: str = "",
    hotfix: str = "",
    progress: Progress = lambda _: None,
) -> Plan:
    """The plan for a target, rehearsed where that is to be (see `rehearse_plan`), and recorded as `planned`.

    Refused to those who may not request anything there, and a `hotfix` (why it is one) to those whom nobody names for it.
    """
    may_request_now(ops, target, actor).or_raise()
    as_hotfix = hotfix_for(ops, target, actor, hotfix)
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise OpsError(
            Reason.BAD_USAGE, f"{commit!r} is not a commit.", "Give 7 to 40 hex digits, or leave it out for the head."
        )
    place, landed_seq = ops.view.last_place(target.stream), last_landing(ops.view, target)
    plan = _with_adopted(ops, make_plan(target, ops.repository(target), commit=commit, anew=True, progress=progress))
    problems = (*half_done(ops.view, target, plan.pending), *plan.problems)
    plan = replace(plan, problems=problems, emergency=emergency, hotfix=as_hotfix, landed_seq=landed_seq)
    if plan.deployed:
        # Here because it speaks to Supabase: most plans have no functions.
        from ops.supabase.function_standing import with_rolled_back

        plan = with_rolled_back(ops.view, plan)
    if plan.pending and target.settings.project_ref is not None:
        from ops.supabase.managed_backups import with_cover

        plan = with_cover(plan)
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
    emergency: str = "",
    hotfix: str = "",
    looks: int = LOOKS,
) -> Asked:
    """Ask to run what is pending on a target. The same act asked again, or the same plan, finds the request that stands.

    Raises OpsError with the reason when the target is locked, the plan is blocked, an author is refused, or nobody
    could ever approve.
    `hotfix` is why it passes windows (see `ops.hotfixing`), where it is to.
    `emergency` is why it is one (see `ops.overriding`), a part of what is asked for.
    `looks` is for its own next look, where a run ended on the target while this one was taken.
    """
    earlier = ops.view.act(f"{act}:requested")
    if not earlier:
        check_unlocked(ops.view, target, ops.now())
        check_begins_at_once(ops.view, target, ops.now(), passes=bool(hotfix))
    plan = plan_target(
        ops,
        target,
        actor,
        act,
        commit=commit,
        with_data=with_data,
        emergency=emergency,
        hotfix=hotfix,
        progress=progress,
    )
    if earlier:
        return Asked(plan, find_request(ops.view, earlier[0].request or ""), is_new=False)
    blocked = plan.blocks()
    if blocked is not None:
        raise blocked
    if plan.is_empty:
        return Asked(plan, None)
    check_after(ops, plan.target, plan.pending)
    check_functions_after(ops.view, target, plan.deployed)

    draft = requested(ops, plan, actor)
    placed = place(
        ops, target, draft, actor, act, plan=plan, is_stale=lambda view: has_landed(view, target, plan.landed_seq)
    )
    if placed is not None:
        return Asked(plan, placed.request, is_new=placed.is_new)
    if looks <= 1:
        message = f"Runs end on {target.name} faster than it can be looked at."
        raise OpsError(Reason.TARGET_BUSY, message, "Ask again in a moment.", exit_code=5)
    return request_push(
        ops,
        target,
        actor,
        act,
        commit=commit,
        with_data=with_data,
        progress=progress,
        emergency=emergency,
        hotfix=hotfix,
        looks=looks - 1,
    )


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
        draft = pinned(ops, request)
    except OpsError as error:
        if error.reason is not Reason.POLICY_UNSATISFIABLE:
            raise
        because = f"{error.reason.value}: {error.message}"
        draft = ops.draft("cancelled", Actor("system:policy"), request, {"because": because})
    ops.log.transact(lambda view: [draft] if find_request(view, request.id).place == request.place else [])


def note_who_counts(ops: Ops, request: Request) -> None:
    """Pin anew who may approve when approvals stopped counting or count again, so that the card says so."""
    directory = ops.directory(request.deciders, members=True)
    eligible = eligible_people(request, directory, ops.requester_is(request.by), ops.requester_is)
    classes, rules = (by(request, eligible, directory) for by in (people_by_class, people_by_rule))
    if all(
        one.stands == is_one_of(one.by, eligible)
        and set(one.covers) == {name for name, people in classes.items() if is_one_of(one.by, people)}
        and (not rules or set(one.fills) == {name for name, people in rules.items() if is_one_of(one.by, people)})
        for one in request.approvals
    ):
        return
    groups = dict(request.pinned or {})
    data = {"groups": groups, "eligible": list(eligible), "classes": classes, "rules": rules}
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


def requested(ops: Ops, plan: Plan, actor: Actor) -> Draft:
    """The `requested` event of a push, without a number."""
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
            **({"at_supabase": plan.at_supabase} if plan.at_supabase else {}),
        },
    )

"""Deploying one function, or putting back what it ran before, as a request of its own. No migration runs."""

from dataclasses import replace

from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.people import Actor
from ops.proposing import Proposal
from ops.proposing import fingerprint_now
from ops.proposing import people_of
from ops.proposing import propose
from ops.proposing import what_changed_since
from ops.push_steps import behind
from ops.push_steps import preflight
from ops.recovery import Standing
from ops.requests import Request
from ops.steps import FUNCTION_STEPS
from ops.steps import Recorder
from ops.supabase.client import need_api
from ops.supabase.function_after import check_functions_after
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import changes_of
from ops.supabase.function_changes import live
from ops.supabase.function_plan import hazards_of_functions
from ops.supabase.function_plan import is_same
from ops.supabase.function_plan import paths_of
from ops.supabase.function_plan import since_of
from ops.supabase.function_resume import deploys
from ops.supabase.function_resume import functions_moved
from ops.supabase.function_source import functions_at
from ops.supabase.function_wanted import source_of
from ops.supabase.function_wanted import unknown_of
from ops.supabase.function_wanted import unusable
from ops.supabase.kept_functions import Kept
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.models import Function
from ops.targets import Target

STEPS = ("preflight", *FUNCTION_STEPS, "health")


def request_deploy(
    ops: Ops, target: Target, slug: str, actor: Actor, act: str, *, commit: str | None = None
) -> Request:
    """Ask to deploy one function as it is at a commit of the branch, its newest if none is named.

    Raises NothingToDoError where it runs just so; OpsError: BAD_USAGE for one that the commit does not have, what reading
    and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    repository = ops.repository(target)
    repository.update()
    sha = repository.resolve(target.settings.branch, commit)
    sources = {one.slug: one for one in functions_at(repository, sha, target.settings.project_ref or "")}
    source = sources.get(slug)
    if source is None:
        there = f"It has {', '.join(sorted(sources))}." if sources else "It has no functions."
        raise OpsError(Reason.BAD_USAGE, f"The commit {sha[:12]} has no function {slug[:60]!r}.", there)
    if source.problem:
        message = f"{source.problem[:1].upper()}{source.problem[1:]}."
        raise OpsError(Reason.PLAN_BLOCKED, message, "Mend it in a commit, then ask again.", exit_code=3)
    kept = KeptFunctions.of(target)
    with need_api(target) as api:
        running = {name: one for name, one in live(api.functions()).items() if name == slug}
        same = {slug: is_same(api, kept, source, running[slug])} if running else {}
    change = changes_of([source], running, same, prune=False)[0]
    if not change.acts:
        raise NothingToDoError(f"{target.name} runs {slug} as it is in {sha[:12]}.")
    check_functions_after(ops.view, target, [change])
    wrote = repository.authors(sha, since_of(target, repository, sha, [change]) or None, paths_of(repository, [change]))
    known, unknown = people_of(ops, wrote)
    proposal = _proposal(target, change, title=f"deploy {slug} to", commit=sha, does=(deploys(change),), how="deploy")
    return propose(ops, replace(proposal, authors=known, unknown_authors=unknown), actor, act)


def request_rollback(
    ops: Ops, target: Target, slug: str, actor: Actor, act: str, *, version: int | None = None
) -> Request:
    """Ask to put back what a function ran before, or a version that is named, as it was kept on this machine.

    Raises OpsError(NOT_ALLOWED) where nothing is kept, or not enough of it, and as `request_deploy` does.
    """
    may_request_now(ops, target, actor).or_raise()
    store = KeptFunctions.of(target)
    with need_api(target) as api:
        running = live(api.functions()).get(slug)
    kept = _chosen(store.all_of(slug), running, version)
    if kept is None:
        wanted = f"version {version} of the function {slug}" if version is not None else f"what {slug} ran before"
        there = ", ".join(str(one.version) for one in store.all_of(slug))
        raise OpsError(
            Reason.NOT_ALLOWED,
            f"{wanted[:1].upper()}{wanted[1:]} is not kept here." + (f" Kept are versions {there}." if there else ""),
            f"Deploy it from a commit: `functions {target.environment} deploy {slug} --commit SHA`.",
            exit_code=3,
        )
    source = source_of(slug, kept)
    why = unusable(source, kept)
    if why:
        commit = kept.deployed.commit if kept.deployed is not None else ""
        from_commit = f"functions {target.environment} deploy {slug} --commit {commit[:12] or 'SHA'}"
        raise OpsError(
            Reason.NOT_ALLOWED,
            f"Version {kept.version} of the function {slug} is kept here, but cannot be put back as it ran: {why}.",
            f"Deploy it from {'its' if commit else 'a'} commit: `{from_commit}`.",
            exit_code=3,
        )
    change = changes_of([source], {slug: running} if running else {}, {}, prune=False)[0]
    change = replace(change, kept=kept.sha256)
    does = (
        f"Deploys what the function {slug} ran as version {kept.version}, as it was kept; it gets a new version.",
        deploys(change),
        *unknown_of(kept),
    )
    proposal = _proposal(target, change, title=f"roll back {slug} on", commit="", does=does, how="rollback")
    facts = {**proposal.facts, "version": kept.version}
    return propose(ops, replace(proposal, facts=facts), actor, act)


def _chosen(kept: list[Kept], running: Function | None, version: int | None) -> Kept | None:
    """The version that is named, else the newest before the one that runs."""
    if version is not None:
        return next((one for one in kept if one.version == version), None)
    return next((one for one in kept if running is None or one.version < running.version), None)


def _proposal(
    target: Target, change: FunctionChange, *, title: str, commit: str, does: tuple[str, ...], how: str
) -> Proposal:
    keeps = (
        (f"What {change.slug} runs now, version {change.running.version}, is kept first.",) if change.running else ()
    )
    return Proposal(
        kind="functions",
        target=target,
        title=title,
        commit=commit,
        fingerprint=fingerprint_now(target),
        does=(*does, *keeps),
        loses=("Nothing of the database: no statement runs, so no backup of it is taken.",),
        facts={"how": how, "function": change.slug},
        steps=STEPS,
        functions=(change,),
        more_hazards=hazards_of_functions(target, [change]),
    )


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for other requests; and what the function runs by now."""
    changed = what_changed_since(ops, request, progress)
    return changed or functions_moved(request, ops.target_of(request))


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    if guard is None:
        raise ValueError(recorder.request.kind)
    ready = preflight(recorder, target, standing)
    behind(recorder, target, ready.before)


KIND = Kind(what_changed=what_changed, carry_out=carry_out)

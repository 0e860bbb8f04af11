"""What is left of the functions of a run that ended in the middle, and whether it may still be gone on with."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.policy import refused
from ops.repository import Author
from ops.requests import Request
from ops.supabase.client import need_api
from ops.supabase.function_changes import Change
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import changes_of
from ops.supabase.function_changes import live
from ops.supabase.function_changes import running_json
from ops.supabase.function_log import DONE
from ops.supabase.function_log import outcomes_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_plan import is_same
from ops.supabase.function_plan import paths_of
from ops.supabase.function_source import functions_at
from ops.supabase.kept_functions import KeptFunctions
from ops.targets import Target


@dataclass(frozen=True)
class FunctionsLeft:
    """The functions that are to be deployed yet, and what was found of the others, in sentences."""

    changes: tuple[FunctionChange, ...] = ()
    found: tuple[str, ...] = ()

    @property
    def does(self) -> tuple[str, ...]:
        return (*self.found, *(deploys(one) for one in self.changes))


def deploys(change: FunctionChange) -> str:
    """What is done about a function, in one sentence."""
    if change.change is Change.REMOVED:
        return f"Deletes the function {change.slug}."
    over = f", in place of version {change.running.version}" if change.running is not None else ", which is new there"
    count = len(change.files)
    return f"Deploys the function {change.slug}{over}: {count} file{'' if count == 1 else 's'}."


def slugs_left(view: View, of: Request) -> list[str]:
    """The functions of a request that are not known to be as it wanted them."""
    if not planned_functions(of.plan):
        return []
    outcomes = outcomes_of(view.events(stream=of.stream), of.plan)
    return [slug for slug, outcome in outcomes.items() if outcome != DONE]


def check_not_overtaken(view: View, of: Request, slugs: Sequence[str], after_seq: int) -> None:
    """Raise OpsError(NOT_ALLOWED) where somebody deployed one of these since: to go on would put an older one back."""
    kinds = ("function_deployed",)
    for event in view.find(Query(project=of.project, environment=of.environment, kinds=kinds, after_seq=after_seq)):
        slug = str((event.data or {}).get("slug"))
        if slug in slugs and event.request != of.id:
            refused(
                Reason.NOT_ALLOWED,
                f"{event.request} deployed the function {slug} since, so what {of.id} left of it is not gone on with.",
                f"See what differs now with `plan {of.environment}`.",
            ).or_raise()


def functions_left(ops: Ops, of: Request, target: Target, commit: str) -> FunctionsLeft:
    """What of a request's functions is not as it is at this commit, as the project says now. Raises OpsError."""
    slugs = slugs_left(ops.view, of)
    if not slugs:
        return FunctionsLeft()
    sources = {one.slug: one for one in functions_at(ops.repository(target), commit, target.settings.project_ref or "")}
    named = [sources[slug] for slug in slugs if slug in sources]
    gone = {str(one["slug"]) for one in planned_functions(of.plan) if one["change"] == Change.REMOVED}
    lacks = next((slug for slug in slugs if slug not in sources and slug not in gone), None)
    if lacks is not None:
        refused(
            Reason.NOT_ALLOWED, f"{commit[:12]} has no function {lacks}, which {of.id} left to be deployed."
        ).or_raise()
    broken = next((one for one in named if one.problem), None)
    if broken is not None:
        raise OpsError(Reason.PLAN_BLOCKED, f"{broken.problem}.", "Mend it in a commit.", exit_code=3)
    with need_api(target) as api:
        running = {slug: one for slug, one in live(api.functions()).items() if slug in slugs}
        kept = KeptFunctions.of(target)
        same = {one.slug: is_same(api, kept, one, running[one.slug]) for one in named if one.slug in running}
    changes = changes_of(named, running, same, prune=True)
    there = {one.slug for one in changes if one.acts}
    found = tuple(
        f"The function {slug} is as {of.id} wanted it, as the project says." for slug in slugs if slug not in there
    )
    return FunctionsLeft(tuple(one for one in changes if one.acts), found)


def functions_moved(request: Request, target: Target) -> list[str]:
    """The functions of a request that do not run as they did when it was asked for, in words."""
    planned = planned_functions(request.plan)
    if not planned:
        return []
    with need_api(target) as api:
        running = live(api.functions())
    moved = [str(one["slug"]) for one in planned if running_json(running.get(str(one["slug"]))) != one["running"]]
    return [f"the functions on the target ({', '.join(moved)})"] if moved else []


def wrote_since(
    ops: Ops, target: Target, since: str, commit: str, changes: Sequence[FunctionChange]
) -> tuple[Author, ...]:
    """Who changed the files of these functions between two commits."""
    repository = ops.repository(target)
    return repository.authors(commit, since, paths_of(repository, changes)) if changes and since != commit else ()

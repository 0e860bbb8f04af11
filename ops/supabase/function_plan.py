"""What a plan says about functions: what would change, what of it is dangerous, and what stands in the way."""

import posixpath
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

from ops.hazards.model import Hazard
from ops.history import HistoryProblem
from ops.repository import Repository
from ops.supabase.client import ManagementApi
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import changes_of
from ops.supabase.function_changes import is_body_of
from ops.supabase.function_changes import live
from ops.supabase.function_changes import metadata_contradicts
from ops.supabase.function_source import Functions
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import read_functions
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.models import Function
from ops.targets import Target

if TYPE_CHECKING:
    from ops.plan import Plan


@dataclass(frozen=True)
class FunctionPlan:
    """The functions of a plan. `paths` are of the files that would be deployed, from the supabase folder, and `since` the
    commit from which what runs came; empty where that is not known."""

    changes: tuple[FunctionChange, ...]
    hazards: tuple[Hazard, ...] = ()
    problems: tuple[HistoryProblem, ...] = ()
    notes: tuple[HistoryProblem, ...] = ()
    paths: tuple[str, ...] = ()
    since: str = ""


def with_functions(plan: "Plan", repository: Repository, progress: Callable[[str], None]) -> "Plan":
    """The plan with the functions of its commit, where they are managed, and with who wrote what of them would change."""
    if unmanaged_because(plan.target):
        return plan
    progress(f"reading the functions of {plan.target.name}")
    found = plan_functions(plan.target, repository, plan.commit.sha)
    if found is None:
        return plan
    wrote = repository.authors(plan.commit.sha, found.since or None, found.paths)
    return replace(
        plan,
        functions=found.changes,
        hazards=(*plan.hazards, *found.hazards),
        problems=(*found.problems, *plan.problems, *found.notes),
        authors=tuple(sorted({*plan.authors, *wrote})),
    )


def plan_functions(target: Target, repository: Repository, commit: str) -> FunctionPlan | None:
    """What deploying the functions of a commit would do; None where they are not looked after, which asks nobody anything.

    What runs is downloaded once per version, and kept on this machine. Raises OpsError when it cannot be read.
    """
    if target.settings.functions == "off":
        return None
    api = api_for(target)
    if api is None:
        return None
    with api:
        found = read_functions(repository, commit, target.settings.project_ref or "")
        sources, changes = found.sources, _changes(target, found, api)
        acting = [one for one in changes if one.acts]
        secrets = _secret_hazards(target, acting, api)
    return FunctionPlan(
        changes,
        (*hazards_of_functions(target, acting), *secrets),
        tuple(_problem(source) for source in sources if source.problem),
        tuple(_note(source, warning) for source in sources for warning in source.warnings),
        paths_of(repository, acting),
        since_of(target, repository, commit, acting),
    )


def hazards_of_functions(target: Target, acting: Sequence[FunctionChange]) -> tuple[Hazard, ...]:
    """What is dangerous in these changes."""
    if not acting:
        return ()
    from ops.hazards.functions import function_hazards  # with the grammar, which takes its time to load

    return function_hazards(acting, target.settings.project_ref or "")


def function_changes(
    target: Target, repository: Repository, commit: str, api: ManagementApi
) -> tuple[FunctionChange, ...]:
    """Every function of a commit and of the project, with what deploying that would do about it. Raises OpsError."""
    return _changes(target, read_functions(repository, commit, target.settings.project_ref or ""), api)


def _changes(target: Target, found: Functions, api: ManagementApi) -> tuple[FunctionChange, ...]:
    sources = found.sources
    running = {slug: one for slug, one in live(api.functions()).items() if slug not in found.disabled}
    kept = KeptFunctions.of(target)
    same = {
        source.slug: is_same(api, kept, source, running[source.slug]) for source in sources if source.slug in running
    }
    return changes_of(sources, running, same, prune=target.settings.prune)


def is_same(api: ManagementApi, kept: KeptFunctions, source: FunctionSource, running: Function) -> bool:
    """Whether what runs has the files of this source: because we deployed it, else by its body, which is then kept."""
    deployed = kept.deployed(running)
    if deployed is not None:
        return deployed.sha256 == source.sha256
    found = kept.find(running)
    if found is None:
        body = api.function_body(running.slug)
        if body is None:
            return False
        found = kept.keep(running, body)
    return is_body_of(found.body, source) and not metadata_contradicts(running, source)


def _secret_hazards(target: Target, acting: Sequence[FunctionChange], api: ManagementApi) -> tuple[Hazard, ...]:
    """What the functions read that the project does not have; of the functions that would be deployed."""
    sources = [one.source for one in acting if one.source is not None]
    if not sources:
        return ()
    from ops.supabase.secrets import reads_in_sources
    from ops.supabase.secrets import secret_hazards
    from ops.supabase.secrets import shared_secrets

    there = api.secrets()
    return secret_hazards(reads_in_sources(sources), there, shared_secrets(target, there), target.environment)


def _problem(source: FunctionSource) -> HistoryProblem:
    sentence = f"{source.problem[:1].upper()}{source.problem[1:].rstrip('.')}."
    return HistoryProblem("function", source.slug, sentence, "Mend it in a commit, then make a new plan.", blocks=True)


def _note(source: FunctionSource, warning: str) -> HistoryProblem:
    sentence = f"In the function {source.slug}, {warning}."
    return HistoryProblem("function", source.slug, sentence, "", blocks=False)


def paths_of(repository: Repository, acting: Sequence[FunctionChange]) -> tuple[str, ...]:
    """Their files, as `Repository.authors` takes them: config.toml too, which says how functions are deployed."""
    if not acting:
        return ()
    folder = posixpath.basename(repository.supabase) or "supabase"
    named = {file.path for one in acting if one.source is not None for file in one.source.files}
    named |= {f"{folder}/functions/{one.slug}" for one in acting}
    return ("config.toml", *sorted(posixpath.relpath(path, folder) for path in named))


def since_of(target: Target, repository: Repository, commit: str, acting: Sequence[FunctionChange]) -> str:
    """The one commit from which everything that would be replaced came, if it is one, and lies behind this one."""
    kept = KeptFunctions.of(target)
    found = {deployed.commit if (deployed := kept.deployed(one.running)) else "" for one in acting if one.running}
    if len(found) != 1 or any(one.running is None for one in acting):
        return ""
    since = found.pop()
    return since if since and since != commit and repository.is_before(since, commit) else ""

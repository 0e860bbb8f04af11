"""The very functions that a request deploys, read again: from its commit, or from what is kept on this machine."""

import posixpath
from collections.abc import Collection
from collections.abc import Mapping

from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.supabase.function_changes import entrypoint_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_places import as_seen_from
from ops.supabase.function_places import file_named
from ops.supabase.function_places import moved
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import functions_at
from ops.supabase.function_source import plain_path
from ops.supabase.kept_functions import Kept
from ops.supabase.kept_functions import KeptFunctions
from ops.supabase.kept_functions import Recipe
from ops.supabase.models import FunctionFile
from ops.targets import Target


def wanted_sources(ops: Ops, request: Request, target: Target) -> dict[str, FunctionSource]:
    """By name; what is to be deleted is not among them. Raises OpsError(PLAN_CHANGED) where one is not, byte for byte, what
    was asked for."""
    planned = planned_functions(request.plan)
    found: dict[str, FunctionSource] = {}
    if any(one["sha256"] and not one.get("kept") for one in planned):
        repository = ops.repository(target)
        if not repository.has_commit(request.commit):
            repository.update()
        sources = functions_at(repository, request.commit, target.settings.project_ref or "")
        found = {source.slug: source for source in sources}
    wanted = {}
    for one in planned:
        slug = str(one["slug"])
        if one["sha256"]:
            source = _kept(target, slug, str(one["kept"])) if one.get("kept") else found.get(slug)
            wanted[slug] = _same(request, one, source)
    return wanted


def _same(request: Request, planned: Mapping[str, object], source: FunctionSource | None) -> FunctionSource:
    if source is None or source.sha256 != planned["sha256"]:
        where = "what is kept of it" if planned.get("kept") else request.commit[:12]
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"The function {planned['slug']} in {where} is not the one that was asked for.",
            "Ask for it again.",
            exit_code=3,
            details={"changed": [f"the files of the function {planned['slug']}"]},
        )
    return source


def _kept(target: Target, slug: str, sha256: str) -> FunctionSource | None:
    kept = KeptFunctions.of(target).by_sha256(slug, sha256)
    return source_of(slug, kept) if kept is not None else None


def source_of(slug: str, kept: Kept) -> FunctionSource:
    """What is kept of a function, as something to be deployed: as we uploaded it, else as the platform tells it."""
    files = tuple(FunctionFile(plain_path(one.path), one.content) for one in kept.body.files)
    paths = {one.path for one in files}
    named = entrypoint_of(kept.body) or kept.entrypoint_path
    entry = file_named(named, paths)
    recipe = kept.deployed.recipe if kept.deployed is not None else None
    if recipe is not None and entry:
        files, entry = moved(files, entry, recipe.entrypoint), recipe.entrypoint
    elif recipe is None:
        static = kept.body.metadata.get("static_patterns")
        patterns = tuple(plain_path(str(one)) for one in static) if isinstance(static, list) else ()
        recipe = Recipe(entry, _import_map(kept, entry, paths), patterns)
    return FunctionSource(
        slug=slug,
        entrypoint=entry or plain_path(named),
        import_map=recipe.import_map,
        static_patterns=recipe.static_patterns,
        verify_jwt=kept.verify_jwt is not False,
        files=files,
    )


def _import_map(kept: Kept, entry: str, paths: Collection[str]) -> str:
    """Where the import map is among the files of what somebody else deployed; empty for none."""
    named = kept.import_map_path or str(kept.body.metadata.get("import_map_path") or "")
    if not named or kept.import_map is False:
        return ""
    root = kept.entrypoint_path or entrypoint_of(kept.body)
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(entry), as_seen_from(root, named)))
    return beside if beside in paths else file_named(named, paths) or plain_path(named)


def unusable(source: FunctionSource, kept: Kept) -> str:
    """Why what is kept cannot be deployed as it ran, in words; empty: it can."""
    paths = {one.path for one in source.files}
    if source.entrypoint not in paths:
        return f"which of the {len(paths)} files that are kept is its entry cannot be told"
    if source.import_map and source.import_map not in paths:
        return f"its import map {source.import_map} is not among the files that came back"
    if kept.import_map and not source.import_map:
        return "it ran with an import map, and which one is not known"
    if kept.deployed is not None and kept.deployed.recipe is not None and kept.deployed.sha256 != source.sha256:
        return "not all of the files that were uploaded came back"
    return ""


def unknown_of(kept: Kept) -> tuple[str, ...]:
    """What nobody here knows of how it was deployed, in sentences for whoever decides."""
    if kept.deployed is not None and kept.deployed.recipe is not None:
        return ()
    found = []
    if kept.import_map is None and not kept.import_map_path:
        found.append("Whether it ran with an import map is not known: it is deployed without one.")
    if not isinstance(kept.body.metadata.get("static_patterns"), list):
        found.append(
            "Which static files it ran with is not known, as Countersign did not deploy it and Supabase does not say: it is "
            "deployed without."
        )
    return tuple(found)

"""The very functions that a request deploys, read again: from its commit, or from what is kept on this machine."""

from collections.abc import Mapping

from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.supabase.function_changes import entrypoint_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import functions_at
from ops.supabase.function_source import plain_path
from ops.supabase.kept_functions import Kept
from ops.supabase.kept_functions import KeptFunctions
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
    """What is kept of a function, as something to be deployed."""
    about = kept.body.metadata
    static = about.get("static_patterns")
    import_map = str(about.get("import_map_path") or "")
    return FunctionSource(
        slug=slug,
        entrypoint=plain_path(entrypoint_of(kept.body)),
        import_map=plain_path(import_map) if import_map else "",
        static_patterns=tuple(plain_path(str(one)) for one in static) if isinstance(static, list) else (),
        verify_jwt=kept.verify_jwt is not False,
        files=tuple(FunctionFile(plain_path(one.path), one.content) for one in kept.body.files),
    )

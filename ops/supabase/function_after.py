"""Functions come to a target only from where it comes after, as its migrations do."""

from collections.abc import Sequence

from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.supabase.function_changes import FunctionChange
from ops.targets import Target
from ops.targets import target_of


def check_functions_after(view: View, target: Target, deployed: Sequence[FunctionChange]) -> None:
    """Raise OpsError(NOT_ALLOWED) unless the log says that each of these was deployed, byte for byte, to every environment
    that the target comes after, where functions are deployed there."""
    wanted = {one.sha256: one.slug for one in deployed if one.sha256}
    if not wanted:
        return
    for earlier in target.settings.after:
        there = target_of(target.all_settings, target.project, earlier)
        if there.settings.project_ref is None or there.settings.functions == "off":
            continue
        query = Query(project=target.project, environment=earlier, kinds=("function_deployed",))
        seen = {(event.data or {}).get("sha256") for event in view.find(query)}
        missing = next((slug for sha256, slug in wanted.items() if sha256 not in seen), None)
        if missing is not None:
            raise OpsError(
                Reason.NOT_ALLOWED,
                f"The function {missing} has not been deployed to {earlier} with these bytes, and {target.name} comes "
                f"after {earlier}.",
                f"Push it there first: `push {earlier}`.",
                exit_code=3,
            )

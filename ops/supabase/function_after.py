"""Functions come to a target only from where it comes after, as its migrations do."""

from collections.abc import Sequence

from audit import Event
from audit import Query
from audit import View
from ops.afterwards import afterwards_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.requests import find_request
from ops.status import Status
from ops.supabase.function_changes import FunctionChange
from ops.targets import Target
from ops.targets import target_of


def check_functions_after(view: View, target: Target, deployed: Sequence[FunctionChange]) -> None:
    """Raise OpsError(NOT_ALLOWED) unless the log says that each of these is what was deployed last, byte for byte and by a
    run that succeeded, to every environment that the target comes after, where functions are deployed there."""
    wanted = {one.sha256: one.slug for one in deployed if one.sha256}
    if not wanted:
        return
    for earlier in target.settings.after:
        there = target_of(target.all_settings, target.project, earlier)
        if there.settings.project_ref is None or there.settings.functions == "off":
            continue
        query = Query(project=target.project, environment=earlier, kinds=("function_deployed",))
        newest = {(event.data or {}).get("slug"): event for event in view.find(query)}
        for sha256, slug in wanted.items():
            event = newest.get(slug)
            if event is None or (event.data or {}).get("sha256") != sha256:
                why = f"The function {slug} does not run on {earlier} with these bytes, as far as the log knows"
                then = f"Push it there first: `push {earlier}`."
            elif not _went_well(view, event):
                why = f"{event.request}, which deployed the function {slug} to {earlier}, did not succeed"
                then = f"See `show {event.request}`; mend it in a commit, and push that there first: `push {earlier}`."
            else:
                continue
            message = f"{why}, and {target.name} comes after {earlier}."
            raise OpsError(Reason.NOT_ALLOWED, message, then, exit_code=3)


def _went_well(view: View, event: Event) -> bool:
    """Whether the run that deployed it succeeded, or the one that went on with what it left."""
    request = find_request(view, event.request or "")
    last = afterwards_of(view, request).went_on or request
    return last.status is Status.SUCCEEDED

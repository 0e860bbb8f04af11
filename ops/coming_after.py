"""`after = ["dev"]`: what must have run in other environments first, byte for byte, and which events say that it did."""

from collections.abc import Sequence

from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.migration import Migration
from ops.requests import find_request
from ops.targets import Target

_SENDS_FILES = frozenset({"push", "resume"})
"""The kinds of requests that send a file's statements, and then write its history row."""


def check_after(ops: Ops, target: Target, migrations: Sequence[Migration]) -> None:
    """Raise OpsError(NOT_ALLOWED) unless each of these files counts as applied, byte for byte, to every environment that
    the target comes after (see `counts`)."""
    for earlier in target.settings.after:
        stands, adopted = _stands(ops.view, target.project, earlier), _adopted(ops.view, target.project, earlier)
        for migration in migrations:
            applied = stands.get((migration.version, migration.sha256))
            if (migration.version, migration.sha256) in adopted or (applied and counts(ops.view, applied)):
                continue
            word = " That it has is somebody's word, which nobody approved." if applied else ""
            raise OpsError(
                Reason.NOT_ALLOWED,
                f"{migration.filename} has not been applied to {earlier} with these bytes, and {target.name} "
                f"comes after {earlier}.{word}",
                f"Push it there first: `push {earlier}`.",
                exit_code=3,
            )


def counts(view: View, applied: Event) -> bool:
    """Whether a `migration_applied` says that the file ran: our log saw its statements sent, or it is somebody's word that
    people approved. A word alone, such as `record` or `resume … --done` where nobody approves, opens no other door."""
    request = find_request(view, applied.request or "")
    is_word = request.kind not in _SENDS_FILES or bool((request.plan.get("facts") or {}).get("claimed"))
    return not is_word or request.needed > 0


def _stands(view: View, project: str, environment: str) -> dict[tuple[str, str], Event]:
    """The `migration_applied` of each file (version, SHA-256) that stands there, so was not undone since."""
    kinds = ("migration_applied", "migration_undone")
    stands: dict[str, Event] = {}
    for event in view.find(Query(project=project, environment=environment, kinds=kinds)):
        if event.data and event.kind == "migration_applied":
            stands[event.data["version"]] = event
        elif event.data:
            stands.pop(event.data["version"], None)
    return {(version, str(event.data["sha256"])): event for version, event in stands.items() if event.data}


def _adopted(view: View, project: str, environment: str) -> set[tuple[str, str]]:
    """Version and SHA-256 of what was adopted there last, which only its overriders may."""
    adopted = view.last(kind="adopted", project=project, environment=environment)
    return {(one["version"], one["sha256"]) for one in adopted.data["versions"]} if adopted and adopted.data else set()

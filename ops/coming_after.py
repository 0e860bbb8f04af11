"""`after = ["dev"]`: what must have run in other environments first, byte for byte: as our log says, or their history."""

from collections.abc import Mapping
from collections.abc import Sequence

from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import file_sha256
from ops.layer import Ops
from ops.migration import Migration
from ops.requests import find_request
from ops.target_reading import stored_statements
from ops.targets import Target
from ops.targets import target_of

_SENDS_FILES = frozenset({"push", "resume"})
"""The kinds of requests that send a file's statements, and then write its history row."""


def check_after(ops: Ops, target: Target, migrations: Sequence[Migration]) -> None:
    """Raise OpsError(NOT_ALLOWED) unless each of these files counts as applied, byte for byte, to every environment that
    the target comes after: as our log has it (see `counts`), or as that environment's own history holds exactly the
    statements of the file, written by somebody else than us. One that cannot be asked says no."""
    for earlier in target.settings.after:
        stands, adopted = _stands(ops.view, target.project, earlier), _adopted(ops.view, target.project, earlier)
        left = [one for one in migrations if (one.version, one.sha256) not in adopted]
        left = [one for one in left if not _counts_there(ops.view, stands.get((one.version, one.sha256)))]
        if not left:
            continue
        there = target_of(ops.settings, target.project, earlier)
        stored, unasked = _stored(there)
        words = _words(ops.view, target.project, earlier)
        for migration in left:
            if migration.version not in words and stored.get(migration.version) == file_sha256(migration):
                continue
            word = " That it has is somebody's word, which nobody approved." if migration.version in words else ""
            raise OpsError(
                Reason.NOT_ALLOWED,
                f"{migration.filename} has not been applied to {earlier} with these bytes, and {target.name} "
                f"comes after {earlier}.{word}{unasked}",
                f"Push it there first: `push {earlier}`.",
                exit_code=3,
            )


def _stored(there: Target) -> tuple[Mapping[str, str], str]:
    """The hash of the statements that its history holds of each version; nothing, and why, where it cannot be asked."""
    try:
        return stored_statements(there), ""
    except OpsError as error:
        return {}, f" Its own history could not be asked: {error.message}"


def counts(view: View, applied: Event) -> bool:
    """Whether a `migration_applied` says that the file ran: our log saw its statements sent, or it is somebody's word that
    people approved. A word alone, such as `record` or `resume … --done` where nobody approves, opens no other door."""
    request = find_request(view, applied.request or "")
    is_word = request.kind not in _SENDS_FILES or bool((request.plan.get("facts") or {}).get("claimed"))
    return not is_word or request.needed > 0


def _counts_there(view: View, applied: Event | None) -> bool:
    return applied is not None and counts(view, applied)


def _words(view: View, project: str, environment: str) -> set[str]:
    """The versions whose rows there are our own work on somebody's word, last of all: they say nothing of the statements."""
    kinds = ("migration_applied", "migration_undone", "history_repaired")
    last: dict[str, Event] = {}
    for event in view.find(Query(project=project, environment=environment, kinds=kinds)):
        if event.data:
            last[event.data["version"]] = event
    return {
        version
        for version, event in last.items()
        if event.kind == "history_repaired" or (event.kind == "migration_applied" and not counts(view, event))
    }


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

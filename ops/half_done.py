"""Files that a run left half-way on a target, and who worked on a version since: so that nothing runs a second time.

Rows that a statement wrote show neither in the schema nor in the history, so the log is asked, and again under the guard.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from audit import AuditError
from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.batch_log import begun
from ops.history import HistoryProblem
from ops.layer import Ops
from ops.migration import Migration
from ops.partial import COMMENT
from ops.partial import DONE
from ops.partial import shape_of
from ops.people import Actor
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.requests import requests_about
from ops.requests import undone_by
from ops.scripts import NO_VERSION
from ops.status import Status
from ops.targets import Target

HALF = ("partially_applied", "interrupted")
"""The endings of a run that may leave part of a file."""
WHOLE = ("migration_applied", "migration_undone", "history_repaired", "script_run")
"""What says of a version that all of something was done about it: no half of it is left."""


def half_done(view: View, target: Target, pending: Sequence[Migration]) -> tuple[HistoryProblem, ...]:
    """The pending files that runs of ours left half-way, where pushing one would run again what ran of it."""
    about = Query(project=target.project, environment=target.environment)
    endings = sorted(
        (one for kind in HALF for one in view.find(replace(about, kinds=(kind,)))), key=lambda one: one.seq
    )
    versions = {version for one in endings for version in versions_within(one)}
    found = []
    for migration in pending:
        if migration.version in versions:
            since = _last_whole(view, about, migration.version)
            problem = _problem(view, target, migration, [one for one in endings if one.seq > since])
            found += [problem] if problem is not None else []
    return tuple(found)


def versions_within(ending: Event) -> tuple[str, ...]:
    """The versions of which only a part may be on the target, by an ending of a run."""
    data = ending.data or {}
    within = data.get("within")
    return (str(within),) if within else tuple(map(str, data.get("unknown", ())))


def worked_on(
    view: View, request: Request, versions: Collection[str], *, after_seq: int, but: Collection[str] = ()
) -> Event | None:
    """The first event behind a place of the log that says that another request than those in `but` worked on one of
    these versions on the request's target; None where none did."""
    query = Query(project=request.project, environment=request.environment, kinds=(*WHOLE, *HALF), after_seq=after_seq)
    for event in view.find(query):
        of = versions_within(event) if event.kind in HALF else (str((event.data or {}).get("version")),)
        if event.request not in {request.id, *but} and not set(versions).isdisjoint(of):
            return event
    return None


def worked_on_since(view: View, request: Request) -> list[str]:
    """The files of a request on which another one worked since it was asked for, in words; none: as it was."""
    asked = view.events(stream=request.stream)[0]
    # From where the act began: between that and the request lies the look that the plan rests on.
    begin = next(iter(view.act(asked.id.removesuffix(":requested"))), asked)
    found = worked_on(view, request, _versions(request), after_seq=begin.seq, but={request.of or ""})
    return [f"what is on the target of its files, on which {found.request} worked since"] if found else []


def supersede_waiting(ops: Ops, ended: Request, ending: Event) -> None:
    """End the requests that wait to run a file of which a run left a part when it ended so. What each asks again under
    the guard would end it too, but nobody should have to agree to it first."""
    versions = versions_within(ending) if ending.kind in HALF else ()
    if not versions:
        return

    def decide(view: View) -> list[Draft]:
        drafts = []
        for one in open_requests(view, but={ended.id}):
            if one.target == ended.target and one.status is Status.WAITING and not _versions(one).isdisjoint(versions):
                changed = [f"what is on the target of its files, of which {ended.id} left a part"]
                message = f"Since {one.id} was made, this changed: {changed[0]}. Nothing was run."
                data = {"changed": changed, "message": message, "by": None}
                drafts.append(ops.draft("superseded", Actor("system:plan"), one, data))
        return drafts

    with suppress(AuditError):  # how the run ended is in the log, which is what counts
        ops.log.transact(decide)


def _versions(request: Request) -> set[str]:
    return {str(one["version"]) for one in request.files} - {NO_VERSION}


def _last_whole(view: View, about: Query, version: str) -> int:
    """The place in the log of the last event that says so; 0 for none."""
    found = (one for kind in WHOLE for one in view.find(replace(about, kinds=(kind,), text=version)))
    return max((one.seq for one in found if one.data and one.data["version"] == version), default=0)


def _problem(view: View, target: Target, migration: Migration, endings: Sequence[Event]) -> HistoryProblem | None:
    """Why this file may not be pushed as it stands now: the newest of these endings whose statements are still in it."""
    if migration.batches is not None:
        return None  # it goes on behind its last batch by itself
    has_batches = begun(view, project=target.project, environment=target.environment, version=migration.version)
    for ending in reversed(endings):
        if migration.version in versions_within(ending) and not _is_undone(
            view, find_request(view, ending.request or "")
        ):
            said = "batches of it are committed" if has_batches is not None else _still_there(ending, migration)
            if said:
                return _blocked(view, migration, ending, said)
    return None


def _is_undone(view: View, request: Request) -> bool:
    """Whether another request took all of it back, or of what went on with it, which is taken back with it."""
    later = (one for one in requests_about(view, request) if one.kind == "resume")
    return undone_by(view, request) is not None or any(_is_undone(view, one) for one in later)


def _still_there(ending: Event, migration: Migration) -> str:
    """What of a file ran and would run again, in words; empty where nothing that ran is in it any more."""
    kept: Sequence[Mapping[str, Any]] = (ending.data or {}).get("statements") or ()
    if not kept:
        return "" if ending.kind == "interrupted" else "what of it ran was not kept"
    if kept[0]["index"]:
        return f"its first {kept[0]['index']} statements and more are there"
    ran = [one for one in kept if one["outcome"] == DONE and one["words"] != COMMENT]
    shapes = [shape_of(one) for one in migration.statements]
    if not {one["words"] for one in ran} & set(shapes):
        return ""
    if any(one["words"] != shape for one, shape in zip(kept, shapes, strict=False) if one in ran):
        return "statements that ran of it still stand in the file as it is now"
    count = ran[-1]["index"] + 1
    return "its first statement is there" if count == 1 else f"its first {count} statements are there"


def _blocked(view: View, migration: Migration, ending: Event, said: str) -> HistoryProblem:
    number = ending.request or ""
    message = f"{migration.filename} was left half-way by {number}: {said}, and a push would run all of it again."
    hint = f"`resume {number}` runs only what is left. Or give what is left a file with a version of its own."
    request = find_request(view, number)
    if request.status is Status.INTERRUPTED and request.settlement is None:
        hint += f" Nobody has said yet what became of it: `cancel {number} <what you found>` comes before."
    return HistoryProblem("half_done", migration.version, message, hint, blocks=True)

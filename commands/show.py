"""`show R-7`: everything about a request: status, approvals, steps, what ran, every event of it."""

from datetime import datetime
from typing import Any

from audit import Event
from commands.page import Listing
from commands.page import Page
from commands.page import When
from commands.page import Who
from commands.pages import LastBackup
from commands.pages import files_part
from commands.pages import request_page
from commands.reply import Reply
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.backups import last_backup
from ops.layer import Ops
from ops.requests import Request
from ops.requests import Settlement
from ops.requests import find_request
from ops.requests import stream_of
from ops.status import Status

USAGE = "show R-NUMBER"
SUMMARY = "show a request: status, approvals, steps, every event"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

EVENTS_SHOWN = 25


def run(ops: Ops, said: Said) -> Reply:
    view = ops.view
    request = find_request(view, said.one("request, such as R-7"))
    events = view.events(stream=stream_of(request.id))
    backup = last_backup(view, request.project, request.environment)
    page = request_page(request, ops.now(), LastBackup(*backup) if backup else None)
    page = Page(
        page.headline,
        (*page.facts, ("Digest", (request.digest,))),
        (
            *([] if request.status in {Status.WAITING, Status.RUNNING} else files_part(request.files)),
            *page.body,
            _events_part(events),
        ),
        page.next,
        (),
    )
    return Reply(page, {**request_json(request, ops.now()), "events": [event_json(event) for event in events]})


def request_json(request: Request, now: datetime) -> dict[str, Any]:
    """A request as the contract prints it."""
    return {
        "request": request.id,
        "kind": request.kind,
        "status": request.status_at(now).value,
        "target": request.target,
        "commit": request.commit,
        "digest": request.digest,
        "by": request.by.id,
        "expires_at": request.expires_at.isoformat(),
        "approvals": [{"by": one.by.id, "at": one.at.isoformat(), "digest": one.digest} for one in request.approvals],
        "needed": request.needed,
        "applied": list(request.applied),
        "steps": [
            {"step": one.name, "outcome": one.outcome, "seconds": one.seconds, "detail": dict(one.detail)}
            for one in request.steps
        ],
        "backup": dict(request.proof) if request.proof else None,
        "ending": dict(request.ending),
        "settled": _settled_json(request.settlement),
    }


def _settled_json(found: Settlement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    at = found.at.isoformat()
    return {"by": found.by.id, "at": at, "because": found.because, "versions": list(found.versions)}


def event_json(event: Event) -> dict[str, Any]:
    """An event as the contract's view shows it."""
    return {
        "seq": event.seq,
        "id": event.id,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "actor": event.actor,
        "place": event.place,
        "data": event.data,
        "hash": event.hash,
    }


def _events_part(events: list[Event]) -> Listing:
    shown = events[-EVENTS_SHOWN:]
    title = "Events" if len(shown) == len(events) else f"The last {len(shown)} of {len(events)} events"
    return Listing(
        title, [(When(one.at), f"  {one.kind.replace('_', ' ')}  ", Who(one.actor), f"  #{one.seq}") for one in shown]
    )

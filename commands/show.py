"""`show R-7`: everything about a request: status, approvals, steps, what ran, every event of it.

Everybody who may speak to the bot may look, at any time: a request is never removed. It reads the log only.

Of a rehearsal, it shows what the plan did on the copy and what changes in the schema; `--json` has the whole diff.

Of a run, it shows the timeline: steps, files, statements and waits for locks.

Examples:
    show R-7                        what became of R-7
    show R-7 --picture run.png      the timeline as a picture, in a file (terminal only)
    show R-7 --json                 for programs, with every event

See also: history, status
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from audit import Event
from commands.carried_parts import voided_json
from commands.page import Line
from commands.page import Page
from commands.page import Source
from commands.page import Span
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.reply import Reply
from commands.request_page import request_page
from commands.request_parts import LastBackup
from commands.timeline import timeline_json
from commands.timeline import timeline_text
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.afterwards import NOTHING_SINCE
from ops.afterwards import Afterwards
from ops.afterwards import afterwards_of
from ops.backups import last_backup
from ops.claiming import claims_of
from ops.debts import review_owed
from ops.enrolled import waits_in_vain_for
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import waits_of
from ops.layer import Ops
from ops.locking import lock_of
from ops.rehearsing import diff_text_of
from ops.request_queue import ahead_of
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.requests import stream_of
from ops.said import Approval
from ops.said import Settlement
from ops.scripts import applied_by
from ops.scripts import removed_by
from ops.status import TRANSITIONS
from ops.status import Status
from ops.timeline import Timeline
from ops.timeline import timeline_of

USAGE = "show R-NUMBER [--picture FILE]"
SUMMARY = "show a request: status, approvals, steps, every event"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "picture": Option(
        ".+", needed=True, takes="a file to write", help="write the run's timeline there, as PNG (terminal only)"
    )
}

EVENTS_SHOWN = 12
_KINDS = {
    "pinned": "approvers named",
    "shown": "plan shown",
    "succeeded": "done",
    "partially_applied": "failed half-way",
    "superseded": "no longer holds",
    "recorded": "settled",
    "replanned": "planned again, the same",
    "overridden": "let run without approvals",
    "debt_owed": "review owed",
}
"""Kinds of event as the cards name them."""
TOLD = {kind for _, kind in TRANSITIONS} | {
    *(
        "migration_applied",
        "migration_undone",
        "history_repaired",
        "script_run",
        "backup_proven",
        "step_failed",
        "recorded",
        "approval_carried",
        "approval_voided",
        "replanned",
        "overridden",
        "debt_owed",
        "reviewed",
    ),
}
"""The kinds of event that people look for: the decisions, and what a run left on the target."""


def run(ops: Ops, said: Said) -> Reply:
    view = ops.view
    if "picture" in said.options and said.front is not Front.TERMINAL:
        message = "--picture writes a file, so it is for the terminal."
        hint = "Here a run's picture is in its thread, and below this answer once it is there."
        raise OpsError(Reason.NOT_AT_THIS_FRONT, message, hint)
    request = find_request(view, said.one("request, such as R-7"))
    events = view.events(stream=stream_of(request.id))
    timeline = timeline_of(events)
    since = afterwards_of(view, request)
    page = _page(ops, request, since)  # who decides does it on the card, which shows that the SQL is in its thread
    page = replace(page, body=(*page.body, *_timeline_part(timeline), _events_part(events)))
    told = timeline_json(request, timeline) if timeline else None
    diff = diff_text_of(view, request)
    found = {"diff": diff, "events": [event_json(event) for event in events], "timeline": told}
    return Reply(page, {**request_json(request, ops.now(), since), **found}, pictured=request.id if timeline else None)


def _page(ops: Ops, request: Request, since: Afterwards) -> Page:
    """What its card says, and all the rest that is known of it."""
    view, now = ops.view, ops.now()
    backup = last_backup(view, request.project, request.environment)
    return request_page(
        request,
        now,
        LastBackup(*backup) if backup else None,
        lock_of(view, request.project, request.environment, now),
        since,
        waits_of(ops, request),
        claims_of(view, request, now),
        ahead_of(request, open_requests(view)) if request.status is Status.WAITING else (),
        whole=True,
        owed=review_owed(view, request),
        without_factor=waits_in_vain_for(view, request),
    )


def request_json(request: Request, now: datetime, since: Afterwards = NOTHING_SINCE) -> dict[str, Any]:
    """A request as the contract prints it. `since`: what later requests made of it."""
    return {
        "request": request.id,
        "kind": request.kind,
        "status": request.status_at(now).value,
        "target": request.target,
        "commit": request.commit,
        "digest": request.digest,
        "by": request.by.id,
        "expires_at": request.expires_at.isoformat(),
        "approvals": [_approval_json(one) for one in request.approvals],
        "voided": voided_json(request),
        "replaces": request.replaces,
        "needed": request.needed,
        "rules": rules_json(request),
        "applied": applied_by(request, request.applied),
        "removed": removed_by(request, request.applied),
        "steps": [
            {"step": one.name, "outcome": one.outcome, "seconds": one.seconds, "detail": dict(one.detail)}
            for one in request.steps
        ],
        "backup": dict(request.proof) if request.proof else None,
        "accepts": list(request.classes),
        "rehearsal": dict(request.rehearsal) if request.rehearsal else None,
        "ending": _ending_json(request),
        "settled": _settled_json(request.settlement),
        "resumed_by": since.went_on.id if since.went_on else None,
        "undone_by": since.took_back.id if since.took_back and since.is_undone else None,
    }


def _ending_json(request: Request) -> dict[str, Any]:
    """How it ended; `applied` are files that the history has since, `removed` those that it no longer has."""
    ending = dict(request.ending)
    if "applied" in ending:
        done = ending["applied"]
        ending |= {"applied": applied_by(request, done), "removed": removed_by(request, done)}
    return ending


def rules_json(request: Request) -> list[dict[str, Any]]:
    """Every rule that people must meet, who fills its places, and how many are free."""
    filled = request.filled
    return [
        {
            "name": rule.name,
            "approvals": rule.approvals,
            "approvers": list(rule.approvers),
            "people": list(filled.people(rule)),
            "missing": filled.missing(rule),
        }
        for rule in filled.rules
    ]


def _approval_json(one: Approval) -> dict[str, Any]:
    told = {"by": one.by.id, "at": one.at.isoformat(), "digest": one.digest, "accepts": list(one.accepts)}
    return {**told, "carried_from": one.carried_from or None}


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


def _timeline_part(timeline: Timeline | None) -> list[Source]:
    return [Source("When it did what", timeline_text(timeline))] if timeline else []


def _events_part(events: list[Event]) -> Table:
    """What happened, without the single steps and statements of a run: those are in `--json`."""
    told = [one for one in events if one.kind in TOLD]
    shown = told[-EVENTS_SHOWN:]
    of_all = f" ({len(shown)} of {len(events)})" if len(shown) < len(events) else ""
    rows: list[list[Line]] = [[(f"#{one.seq}",), (When(one.at),), (_what(one),), (_by(one.actor),)] for one in shown]
    return Table(f"Main events{of_all}", ["Event", "When", "What", "By"], rows)


def _what(event: Event) -> str:
    """What happened, in the words of the cards: what ended because a person said stop did not fail."""
    data = event.data or {}
    if data.get("stopped_by"):
        return "stopped"
    if event.kind == "step_failed" and data.get("reason") == Reason.STOPPED:
        return "step stopped"
    return _KINDS.get(event.kind) or event.kind.replace("_", " ")


def _by(actor: str) -> Span:
    """Who did it; our own parts all go by our name."""
    return "Countersign" if actor.startswith("system:") else Who(actor)

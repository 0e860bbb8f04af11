"""`history [prod]`: what happened to a target, newest first: what was asked, by whom, allowed by whom, what became of it.

Changes that were noticed and not made by us stand among the requests, at the moment at which they were noticed.

With conditions it lists events instead, all that hold: actor, env, project, kind, outcome (succeeded, failed, refused,
rejected), request, digest, stream, event, since, until, during (2026-11-22, 2026-11, 2026-Q4, 2026; or since:7d) and text.
Several values go with commas, `-` in front turns a condition round, a word alone is looked for in what events say: whole
words, or how they begin, in any case of letters. In Slack there are buttons for newer and older events and for a file of all.

Everybody who may speak to the bot may look; the file is for auditors and approvers. It reads the log only and never asks a
target. Who asked for events, and how many were shown, is in the log.

Examples:
    history                                 the newest requests of every environment
    history prod --limit 50                 the last 50 of one
    history kind:approved env:prod          the newest approvals for prod
    history actor:@ana since:7d "orders"    what Ana did this week that has to do with orders
    history outcome:failed during:2026-Q4   the failed runs of a quarter

See also: show, status, evidence
"""

from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime

from audit import Event
from audit import Query
from audit import View
from commands.event_history import event_history
from commands.kind_parts import subject_of
from commands.kind_parts import subject_on_target
from commands.outside_page import outside_json
from commands.outside_page import outside_line
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import joined
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.reply import Reply
from commands.request_page import state_words
from commands.show import request_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.afterwards import Afterwards
from ops.afterwards import afterwards_among
from ops.errors import OpsError
from ops.layer import Ops
from ops.log_questions import is_question
from ops.requests import Request
from ops.requests import find_request
from ops.targets import Target
from ops.targets import find_target

USAGE = "history [ENVIRONMENT] [CONDITION…] [--limit NUMBER] [--before EVENT] [--after EVENT] [--csv]"
SUMMARY = "list requests: who asked, who approved, what became of them; or any events"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "limit": Option(
        "[1-9][0-9]{0,2}", needed=True, takes="a number from 1 to 999", help="so many of the newest; 10 if not said"
    ),
    "before": Option("[1-9][0-9]{0,17}", needed=True, takes="an event's number", help="only events before this one"),
    "after": Option("[1-9][0-9]{0,17}", needed=True, takes="an event's number", help="the next events after this one"),
    "csv": Option(help="send all events as a file (Slack only; the terminal has `audit export`)"),
}

LIMIT = 10
MOST = 999


def run(ops: Ops, said: Said) -> Reply:
    if is_question(said.arguments) or {"before", "after", "csv"} & said.options.keys():
        return event_history(ops, said)
    target = _target(ops, said.arguments[0]) if said.arguments else None
    limit = int(said.options.get("limit", LIMIT))
    view = ops.view
    events = [event for kind in ("requested", "changed_outside") for event in _newest(view, target, kind, limit)]
    events.sort(key=lambda event: event.seq, reverse=True)
    found = [find_request(view, event.request) if event.request else event for event in events[:limit]]
    asked = [one for one in found if isinstance(one, Request)]
    since = {one.id: afterwards_among(one, asked) for one in asked}
    page = _page(found, since, ops.now(), target, more=len(events) > limit)
    requests = [request_json(one, ops.now(), since[one.id]) for one in asked]
    outside = [outside_json(one) for one in found if isinstance(one, Event)]
    return Reply(page, {"requests": requests, "changed_outside": outside})


def _target(ops: Ops, name: str) -> Target:
    """Raises OpsError(UNKNOWN_ENVIRONMENT); who typed a word to look for is told how."""
    try:
        return find_target(ops.settings, name)
    except OpsError as error:
        hint = f"{error.hint} To look for a word: `history text:{name}`."
        raise OpsError(error.reason, error.message, hint, exit_code=error.exit_code) from error


def _newest(view: View, target: Target | None, kind: str, limit: int) -> list[Event]:
    """The newest events of a kind; one more than is shown, to know whether there are any."""
    query = Query(
        project=target.project if target else None,
        environment=target.environment if target else None,
        kinds=(kind,),
        newest_first=True,
        limit=limit + 1,
    )
    return view.find(query)


def _page(
    found: Sequence[Request | Event],
    since: Mapping[str, Afterwards],
    now: datetime,
    target: Target | None,
    *,
    more: bool,
) -> Page:
    where = f" of {target.name}" if target else ""
    if not found:
        command = Command(f"push {target.environment if target else 'ENVIRONMENT'}")
        return Page(f"No requests{where} yet", next=("ask for one with ", command, "."))
    columns = ["Request", "How it stands", "By", "When"]
    rows = [
        _row(one, since[one.id], now, with_target=target is None)
        if isinstance(one, Request)
        else _outside_row(one, with_target=target is None)
        for one in found
    ]
    following: Line = ()
    first = next((one for one in found if isinstance(one, Request)), None)
    if first is not None:
        following = (Command(f"show {first.id}"), " tells everything about one")
    if more and len(found) < MOST:
        words = ["history", *([target.environment] if target else []), f"--limit {min(MOST, 3 * len(found))}"]
        following = (*following, *(("; ",) if following else ()), "older ones: ", Command(" ".join(words)))
    closing: Line = (*following, ".") if following else ()
    return Page(_headline(found, where), body=[Table("", columns, rows)], next=closing)


def _headline(found: Sequence[Request | Event], where: str) -> str:
    outside = sum(isinstance(one, Event) for one in found)
    asked = len(found) - outside
    told = [_requests(asked)] if asked else []
    told += [f"{plural(outside, 'change')} from outside"] if outside else []
    return f"The last {' and '.join(told)}{where}"


def _outside_row(event: Event, *, with_target: bool) -> Sequence[Line]:
    where = f" on {event.project}/{event.environment}" if with_target else ""
    return [(f"none{where}",), ("changed outside: ", *outside_line(event)), ("not known",), (When(event.at),)]


def _requests(count: int) -> str:
    return "request" if count == 1 else plural(count, "request")


def _row(request: Request, since: Afterwards, now: datetime, *, with_target: bool) -> Sequence[Line]:
    """Few columns, each with what belongs together, so that they can be read on a telephone."""
    approved = joined(Who(approval.by.id) for approval in request.approvals)
    return [
        (Code(request.id), f" {subject_on_target(request) if with_target else subject_of(request)}"),
        (state_words(request, request.status_at(now), since),),
        (Who(request.by.id), *((", approved by ", *approved) if approved else ())),
        (When(request.requested_at), *_took(request)),
    ]


def _took(request: Request) -> Line:
    """How long it ran; nothing where it never did, or still does."""
    if request.started_at is None or request.ended_at is None:
        return ()
    return (f", took {seconds_text((request.ended_at - request.started_at).total_seconds())}",)

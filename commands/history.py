"""`history [prod]`: the requests of a target, newest first: what was asked, by whom, allowed by whom, what became of it.

Everybody who may speak to the bot may look. It reads the log only and never asks a target.

Examples:
    history                      the newest requests of every environment
    history prod --limit 50      the last 50 of one

See also: show, status
"""

from collections.abc import Sequence
from datetime import datetime

from audit import Query
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import joined
from commands.page_words import migrations
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.reply import Reply
from commands.request_page import state_words
from commands.show import request_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.requests import find_request
from ops.targets import Target
from ops.targets import find_target

USAGE = "history [ENVIRONMENT] [--limit NUMBER]"
SUMMARY = "list requests: who asked, who approved, what became of them"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "limit": Option(
        "[1-9][0-9]{0,2}", needed=True, takes="a number from 1 to 999", help="so many of the newest; 10 if not said"
    ),
}

LIMIT = 10
MOST = 999


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`history` takes one environment or none.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0]) if said.arguments else None
    limit = int(said.options.get("limit", LIMIT))
    query = Query(
        project=target.project if target else None,
        environment=target.environment if target else None,
        kinds=("requested",),
        newest_first=True,
        limit=limit + 1,  # one more, to know whether there are any
    )
    view = ops.view
    events = view.find(query)
    found = [find_request(view, event.request or "") for event in events[:limit]]
    page = _page(found, ops.now(), target, more=len(events) > limit)
    return Reply(page, {"requests": [request_json(request, ops.now()) for request in found]})


def _page(found: Sequence[Request], now: datetime, target: Target | None, *, more: bool) -> Page:
    where = f" of {target.name}" if target else ""
    if not found:
        command = Command(f"push {target.environment if target else 'ENVIRONMENT'}")
        return Page(f"No requests{where} yet", next=("ask for one with ", command, "."))
    columns = ["Request", "How it stands", "By", "When"]
    rows = [_row(request, now, with_target=target is None) for request in found]
    following: Line = (Command(f"show {found[0].id}"), " tells everything about one")
    if more and len(found) < MOST:
        words = ["history", *([target.environment] if target else []), f"--limit {min(MOST, 3 * len(found))}"]
        following = (*following, "; older ones: ", Command(" ".join(words)))
    return Page(f"The last {_requests(len(found))}{where}", body=[Table("", columns, rows)], next=(*following, "."))


def _requests(count: int) -> str:
    return "request" if count == 1 else plural(count, "request")


def _row(request: Request, now: datetime, *, with_target: bool) -> Sequence[Line]:
    """Few columns, each with what belongs together, so that they can be read on a telephone."""
    approved = joined(Who(approval.by.id) for approval in request.approvals)
    where = f" on {request.target}" if with_target else ""
    return [
        (Code(request.id), f" {migrations(len(request.files))}{where}"),
        (state_words(request, request.status_at(now)),),
        (Who(request.by.id), *((", approved by ", *approved) if approved else ())),
        (When(request.requested_at), *_took(request)),
    ]


def _took(request: Request) -> Line:
    """How long it ran; nothing where it never did, or still does."""
    if request.started_at is None or request.ended_at is None:
        return ()
    return (f", took {seconds_text((request.ended_at - request.started_at).total_seconds())}",)

"""`history [prod]`: the requests of a target, newest first: what was asked, by whom, allowed by whom, what became of it."""

from audit import Query
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Span
from commands.page import When
from commands.page import Who
from commands.pages import migrations
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.requests import find_request
from ops.targets import find_target

USAGE = "history [ENVIRONMENT] [--limit NUMBER]"
SUMMARY = "list requests: who asked, who approved, what became of them"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"limit": Option("[1-9][0-9]{0,2}", needed=True)}

LIMIT = 10


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`history` takes one environment or none.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0]) if said.arguments else None
    query = Query(
        project=target.project if target else None,
        environment=target.environment if target else None,
        kinds=("requested",),
        newest_first=True,
        limit=int(said.options.get("limit", LIMIT)),
    )
    view = ops.view
    found = [find_request(view, event.request or "") for event in view.find(query)]
    where = f" of {target.name}" if target else ""
    page = Page(
        f"The last {_requests(len(found))}{where}" if found else f"No requests{where} yet",
        body=[Listing("", [_line(ops, request) for request in found])] if found else [],
        next=("ask for one with ", f"push {target.environment if target else 'ENVIRONMENT'}") if not found else (),
    )
    return Reply(page, {"requests": [request_json(request, ops.now()) for request in found]})


def _requests(count: int) -> str:
    return "request" if count == 1 else f"{count} requests"


def _line(ops: Ops, request: Request) -> Line:
    line: list[Span] = [
        f"{request.id}  {request.status_at(ops.now()).value.replace('_', ' ')}  {request.target}  "
        f"{migrations(len(request.files))}  by ",
        Who(request.by.id),
        " ",
        When(request.requested_at),
    ]
    for approval in request.approvals:
        line += ["  approved by ", Who(approval.by.id)]
    return tuple(line)

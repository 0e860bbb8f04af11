"""`reject R-7 because …`: one approver's no, with its reason; it ends the request.

Whoever may approve the request may reject it, while it waits. The reason is kept in the log and shown on the card.
Where another request has taken its place meanwhile, the no ends that one, and the answer says so.
Nothing of the request is run, and no later approval brings it back: mend what was named, then push again.

Examples:
    reject R-7 the index should be built concurrently      end R-7, with a reason

See also: approve, show
"""

from dataclasses import replace
from datetime import datetime

from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Who
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.approving import PREFIX_LENGTH
from ops.approving import Decided
from ops.approving import reject
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import find_request

USAGE = "reject R-NUMBER REASON…"
SUMMARY = "say no to a request, with a reason"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    because = " ".join(said.arguments[1:]).strip()
    if not said.arguments or not because:
        raise OpsError(
            Reason.BAD_USAGE,
            "`reject` needs a request and a reason.",
            "For example: reject R-7 the index should be built concurrently",
        )
    request = find_request(ops.view, said.arguments[0])
    decided = reject(ops, request.id, said.actor, said.act, request.digest[:PREFIX_LENGTH], because)
    return rejected_reply(decided, ops.now())


def rejected_reply(decided: Decided, now: datetime) -> Reply:
    """What somebody is told whose no counts, typed or in the form."""
    request = decided.request
    following = ("its card says so, with your reason; ", Who(request.by.id), " can mend it and ask again.")
    page = Page(f"{request.id} is rejected. Nothing was run.", next=following)
    if decided.said_of:
        words: Line = ("You said it of ", Code(decided.said_of), ", and ", Code(request.id), " has taken its place.")
        page = replace(page, body=[Paragraph(words)])
    return Reply(page, request_json(request, now), request=request.id)

"""`approve R-7`: one person's yes to exactly this plan. Without the digest it shows the plan, to be approved by a button."""

from datetime import datetime

from commands.page import Button
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.pages import request_page
from commands.push import push_reply
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.approving import PREFIX_LENGTH
from ops.approving import Decided
from ops.approving import approve
from ops.approving import may_see_button
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import find_request

USAGE = "approve R-NUMBER [DIGEST]"
SUMMARY = "say yes to a request (or press its button)"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not 1 <= len(said.arguments) <= 2:
        raise OpsError(Reason.BAD_USAGE, "`approve` needs a request, such as R-7.", f"Type `{USAGE}`.")
    number = said.arguments[0]
    if len(said.arguments) == 1:
        return _ask(ops, said, number)
    decided = approve(ops, number, said.actor, said.act, said.arguments[1].lower(), said.progress)
    return approved_reply(decided, ops.now())


def approved_reply(decided: Decided, now: datetime) -> Reply:
    """What an approver is told, typed or clicked: it is recorded, and what it still takes."""
    request = decided.request
    left = f"{decided.missing} more needed." if decided.missing else "It has all it needs and starts."
    page = Page(f"Your approval of {request.id} is recorded. {left}")
    return Reply(page, push_reply(request, now).data, request=request.id)


def _how_to_say_yes(front: Front, value: str) -> Line:
    if front is Front.SLACK:
        return ("if this is what should run, press the button or type ", Code(f"/migrate {value}"), ".")
    return ("if this is what should run, type ", Code(f"countersign {value}"), ".")


def _ask(ops: Ops, said: Said, number: str) -> Reply:
    """The plan with a way to say yes to exactly it: a typed approval never approves what was not shown."""
    request = find_request(ops.view, number)
    may_see_button(ops, request, said.actor)
    value = f"approve {request.id} {request.digest[:PREFIX_LENGTH]}"
    page = request_page(request, ops.now())
    page = Page(
        page.headline,
        page.facts,
        page.body,
        _how_to_say_yes(said.front, value),
        [Button("approve", f"Approve for {request.environment}"[:60], value, "primary")],
    )
    return Reply(page, request_json(request, ops.now()), request=request.id)

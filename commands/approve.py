"""`approve R-7`: one person's yes to exactly one plan.

Approvers of the environment may, as its configuration names them: never the requester, never a known author of the
commits. At the terminal only listed `os:` users may.

Without the digest the plan is shown, with a button or a line to say yes to it: nobody approves what was not shown. With
the first 16 letters of the digest the approval is recorded, and counts for that plan only. When it has all it needs, the
bot asks people, policy and target again and starts the run.

Examples:
    approve R-7                       show the plan and how to say yes to it
    approve R-7 3f9a1c0be2d47a55      say yes to exactly this plan

See also: reject, show, plan
"""

from dataclasses import replace
from datetime import datetime

from commands.next_parts import may_approve_line
from commands.page import Button
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.push import push_reply
from commands.reply import Reply
from commands.request_page import request_page
from commands.show import request_json
from commands.words import Front
from commands.words import Group
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
GROUP = Group.DECIDE
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
    starts = "starts" if decided.lock is None else f"starts when the lock of {request.target} ends"
    left = f"{decided.missing} more needed." if decided.missing else f"It has all it needs and {starts}."
    waits: Line = ("it waits for ", *may_approve_line(request), "; its card follows.")
    page = Page(
        f"Your approval of {request.id} is recorded. {left}",
        next=waits if decided.missing else ("nothing to do; its card follows the run.",),
        tone="good",
    )
    return Reply(page, push_reply(request, now).data, request=request.id)


def _how_to_say_yes(front: Front, value: str) -> Line:
    how = "press the button or type " if front is Front.SLACK else "type "
    no = Command(f"reject {value.split()[1]} <reason>")
    return (f"if this is what should run, {how}", Command(value), "; if not, ", no, ".")


def _ask(ops: Ops, said: Said, number: str) -> Reply:
    """The plan with a way to say yes to exactly it: a typed approval never approves what was not shown."""
    request = find_request(ops.view, number)
    may_see_button(ops, request, said.actor)
    value = f"approve {request.id} {request.digest[:PREFIX_LENGTH]}"
    page = request_page(request, ops.now())
    button = Button("approve", f"Approve for {request.environment}"[:60], value, "primary")
    page = replace(page, next=_how_to_say_yes(said.front, value), buttons=[button])
    return Reply(page, request_json(request, ops.now()), request=request.id)

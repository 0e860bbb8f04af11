"""`approve R-7`: one person's yes to exactly one plan.

Approvers of the environment may, as its configuration names them: never the requester, never a known author of the
commits. At the terminal only listed `os:` users may.

Without the digest the plan is shown, with a button or a line to say yes to it: nobody approves what was not shown. With
the first 16 letters of the digest the approval is recorded, and counts for that plan only. When it has all it needs, the
bot asks people, policy and target again and starts the run.

Examples:
    approve R-7                          show the plan and how to say yes to it
    approve R-7 3f9a1c0be2d47a55         say yes to exactly this plan
    approve R-7 3f9a1c0be2d47a55 prod    the same where `confirm = "type"` wants the environment's name

See also: reject, show, plan
"""

import re
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
from commands.when_parts import ends_with_lock
from commands.when_parts import too_late
from commands.when_parts import waits_next
from commands.when_parts import waits_words
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.approving import PREFIX_LENGTH
from ops.approving import Decided
from ops.approving import approve
from ops.approving import may_see_button
from ops.confirming import Proofs
from ops.confirming import asks_environment
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import waits_of
from ops.layer import Ops
from ops.locking import lock_of
from ops.requests import find_request

USAGE = "approve R-NUMBER [DIGEST [ENVIRONMENT]]"
SUMMARY = "say yes to a request (or press its button)"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}
_DIGEST = re.compile(r"[0-9a-fA-F]{1,64}")


def run(ops: Ops, said: Said) -> Reply:
    if not 1 <= len(said.arguments) <= 3:
        raise OpsError(Reason.BAD_USAGE, "`approve` needs a request, such as R-7.", f"Type `{USAGE}`.")
    number = said.arguments[0]
    if len(said.arguments) == 1:
        return _ask(ops, said, number)
    if not _DIGEST.fullmatch(said.arguments[1]):
        message = "What follows the request is not how a plan's digest begins."
        raise OpsError(Reason.BAD_USAGE, message, f"Type `{USAGE}`; `approve {number}` shows the digest.")
    proofs = Proofs(environment=said.arguments[2] if len(said.arguments) > 2 else None)
    decided = approve(ops, number, said.actor, said.act, said.arguments[1].lower(), said.progress, proofs)
    return approved_reply(decided, ops.now())


def approved_reply(decided: Decided, now: datetime) -> Reply:
    """What an approver is told, typed or clicked: it is recorded, and what it still takes."""
    request, waits = decided.request, decided.waits
    late = too_late(request, waits)
    following: Line = ("nothing to do; its card follows the run.",)
    if decided.missing:
        left = f"{decided.missing} more needed."
        following = ("it waits for ", *may_approve_line(request), "; its card follows.")
        following = (*late, " ", *following) if late else following
    elif not waits.closed or ends_with_lock(request, waits):
        starts = f"starts when the lock of {request.target} ends" if decided.lock else "starts"
        left = f"It has all it needs and {starts}."
    else:
        left = f"It has all it needs{', but' if late else ' and'} {waits_words(request, waits, now)}."
        following = waits_next(request, waits)
    page = Page(f"Your approval of {request.id} is recorded. {left}", next=following, tone="good")
    return Reply(page, push_reply(request, now).data, request=request.id)


def _how_to_say_yes(front: Front, value: str, name: str, *, code: bool) -> Line:
    """What says yes. `name`: the environment where its name has to be typed, else empty. `code`: it takes a one-time code."""
    no = Command(f"reject {value.split()[1]} <reason>")
    if code:
        asks = f"the environment's name, {name}, and a one-time code" if name else "a one-time code"
        where = "press the button" if front is Front.SLACK else "press the button on its card in Slack"
        return (f"if this is what should run, {where}: a form asks for {asks}; if not, ", no, ".")
    how = "press the button or type " if front is Front.SLACK else "type "
    return (f"if this is what should run, {how}", Command(f"{value} {name}".rstrip()), "; if not, ", no, ".")


def _ask(ops: Ops, said: Said, number: str) -> Reply:
    """The plan with a way to say yes to exactly it: a typed approval never approves what was not shown."""
    request = find_request(ops.view, number)
    may_see_button(ops, request, said.actor)
    value = f"approve {request.id} {request.digest[:PREFIX_LENGTH]}"
    name = request.environment if asks_environment(request) else ""
    lock = lock_of(ops.view, request.project, request.environment, ops.now())
    page = request_page(request, ops.now(), lock=lock, waits=waits_of(ops, request))
    button = Button("approve", f"Approve for {request.environment}"[:60], value, "primary")
    page = replace(page, next=_how_to_say_yes(said.front, value, name, code=request.needs_code), buttons=[button])
    return Reply(page, request_json(request, ops.now()), request=request.id)

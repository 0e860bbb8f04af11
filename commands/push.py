"""`push prod`: ask to run what is pending on a target; with `approvals = 0` it runs at once, in this process."""

from dataclasses import replace
from datetime import datetime

from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.pages import request_page
from commands.plan import plan_json
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requesting import request_push
from ops.requests import Request
from ops.running import carry_out
from ops.status import Status
from ops.targets import find_target
from ops.waiting import EXIT_CODES

USAGE = "push ENVIRONMENT [--commit SHA] [--wait [DURATION]]"
SUMMARY = "ask to run what is pending; with approvals = 0 it runs at once"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"commit": Option("[0-9a-f]{7,40}", needed=True), "wait": Option("[0-9]{1,5}(s|m|h|d)")}


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, _environment(said))
    asked = request_push(ops, target, said.actor, said.act, commit=said.options.get("commit"), progress=said.progress)
    if asked.request is None:
        page = Page(f"{target.name}: nothing to do, all {asked.plan.applied} migrations are applied")
        return Reply(page, {**plan_json(asked.plan), "request": None, "status": "nothing_to_do", "steps": []})
    request = asked.request
    if not request.needed and request.status is Status.WAITING:
        request = carry_out(ops, request.id, said.progress)
    reply = push_reply(request, ops.now())
    if said.front is Front.SLACK and request.status_at(ops.now()) is Status.WAITING:
        return replace(reply, page=_see_the_card(request, is_new=asked.is_new))  # the card tells it to everybody
    return reply


def _see_the_card(request: Request, *, is_new: bool) -> Page:
    """In Slack the request has a card; the asker needs to know only that, and what comes next."""
    count = len(request.files)
    words = "is asked for" if is_new else "stands already, for exactly this plan"
    following: Line = ("its card is in the channel; ", Code(f"cancel {request.id}"), " takes it back.")
    return Page(
        f"{request.id} {words}: {count} migration{'s' if count != 1 else ''} on {request.target}", next=following
    )


def push_reply(request: Request, now: datetime) -> Reply:
    """What a push answers, whatever became of the request by now."""
    status = request.status_at(now)
    page = request_page(request, now)
    data = {**request_json(request, now), "request": request.id, "status": status.value}
    code = EXIT_CODES[status]
    if code in {1, 3, 4}:
        failed = next((step.detail for step in request.steps if step.outcome == "failed"), {})
        data |= {
            "reason": str(request.ending.get("reason") or status.value),
            "message": str(request.ending.get("message") or request.ending.get("because") or page.headline),
            "hint": str(failed.get("hint", "")),
        }
    return Reply(page, data, ok=code == 0, exit_code=code, request=request.id)


def _environment(said: Said) -> str:
    """The environment to write to: it must be said, for a write never guesses."""
    if len(said.arguments) == 1:
        return said.arguments[0]
    message = "Say which environment to push to." if not said.arguments else "Push to one environment at a time."
    raise OpsError(Reason.ENVIRONMENT_NEEDED if not said.arguments else Reason.BAD_USAGE, message, f"Type `{USAGE}`.")

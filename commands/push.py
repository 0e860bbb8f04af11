"""`push prod`: ask to run what is pending on a target; with `approvals = 0` it runs at once, in this process."""

from datetime import datetime

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
    return push_reply(request, ops.now())


def push_reply(request: Request, now: datetime) -> Reply:
    """What a push answers, whatever became of the request by now."""
    status = request.status_at(now)
    data = {**request_json(request, now), "request": request.id, "status": status.value}
    code = EXIT_CODES[status]
    if code in {1, 3}:
        failed = next((step.detail for step in request.steps if step.outcome == "failed"), {})
        data |= {
            "reason": str(request.ending.get("reason") or status.value),
            "message": str(request.ending.get("message") or request.ending.get("because") or ""),
            "hint": str(failed.get("hint", "")),
        }
    return Reply(request_page(request, now), data, ok=code == 0, exit_code=code, request=request.id)


def _environment(said: Said) -> str:
    """The environment to write to: it must be said, for a write never guesses."""
    if len(said.arguments) == 1:
        return said.arguments[0]
    message = "Say which environment to push to." if not said.arguments else "Push to one environment at a time."
    raise OpsError(Reason.ENVIRONMENT_NEEDED if not said.arguments else Reason.BAD_USAGE, message, f"Type `{USAGE}`.")

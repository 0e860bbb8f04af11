"""`push prod`: ask to run what is pending on a target; with `approvals = 0` it runs at once, in this process.

Whoever is a requester of the environment may ask. The plan of this moment becomes a request with a number; its digest is
what people approve. With `rehearsal = "required"` the plan runs on a throw-away copy first, and a migration that fails
there cannot be asked for. When enough of them have, the bot checks everything again under the target's lock, takes and proves
the backup that the policy names, applies each file, and looks at the health checks.

A plan that has changed since is never run: that takes a new request, which supersedes the old one. A statement whose
outcome is unknown is never tried again.

From the terminal a request that needs people waits for the bot: its card appears as soon as the bot runs.

Examples:
    push dev                        run what is pending where no approval is needed
    push prod                       ask for it where people decide
    push prod --wait 30m            ask, and wait half an hour for the end
    push prod --commit 4e1b2c9      ask for a commit of the branch that is not its newest

See also: plan, diff, approve, show, cancel
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from importlib import import_module

from commands.next_parts import may_approve_line
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page_words import migrations
from commands.plan import plan_json
from commands.reply import Reply
from commands.request_page import request_page
from commands.show import request_json
from commands.words import COMMIT
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requesting import request_push
from ops.requests import Request
from ops.status import Status
from ops.targets import find_target
from ops.waiting import EXIT_CODES

USAGE = "push ENVIRONMENT [--commit SHA] [--with-data] [--wait [DURATION]]"
SUMMARY = "ask to run what is pending; with approvals = 0 it runs at once"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "commit": COMMIT,
    "with-data": Option(help="rehearse on a copy with the target's rows, dumped for it; takes as long as a backup"),
    "wait": Option(
        "[0-9]{1,5}(s|m|h|d)",
        takes="a duration such as 90s, 30m, 4h or 1d",
        help="end when the request has ended, or after this long; until it expires if not said",
    ),
}


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, _environment(said))
    with ThreadPoolExecutor(1, "loading") as beside:
        if target.settings.approvals == 0:  # what carries it out takes as long to load as a plan takes to make
            beside.submit(import_module, "ops.running")
        asked = request_push(
            ops,
            target,
            said.actor,
            said.act,
            commit=said.options.get("commit"),
            with_data="with-data" in said.options,
            progress=said.progress,
        )
    if asked.request is None:
        applied = asked.plan.applied
        there = {0: "it has no migrations", 1: "its one migration is applied"}
        words = there.get(applied, f"all {applied} migrations are applied")
        page = Page(f"{target.name}: nothing to do, {words}", tone="good")
        return Reply(page, {**plan_json(asked.plan), "request": None, "status": "nothing_to_do", "steps": []})
    request = asked.request
    if not request.needed and request.status is Status.WAITING:
        from ops.running import carry_out

        request = carry_out(ops, request.id, said.progress)
    reply = push_reply(request, ops.now())
    if said.front is Front.SLACK and request.status_at(ops.now()) is Status.WAITING:
        return replace(reply, page=_see_the_card(request, is_new=asked.is_new))  # the card tells it to everybody
    return reply


def _see_the_card(request: Request, *, is_new: bool) -> Page:
    """In Slack the request has a card; the asker needs to know only that, and what comes next."""
    words = "is asked for" if is_new else "stands already, for exactly this plan"
    people: Line = (" It waits for ", *may_approve_line(request), ".") if request.missing else ()
    following: Line = ("its card is in the channel.", *people, " To take it back: ", Command(f"cancel {request.id}"))
    return Page(f"{request.id} {words}: {migrations(len(request.files))} on {request.target}", next=following)


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

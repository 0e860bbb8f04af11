"""`push prod`: ask to run what is pending on a target; with `approvals = 0` it runs at once, in this process.

Whoever is a requester of the environment may ask. The plan of this moment becomes a request with a number; its digest is
what people approve. With `rehearsal = "required"` the plan runs on a throw-away copy first, and a migration that fails
there cannot be asked for. When enough of them have, the bot checks everything again under the target's lock, takes and proves
the backup that the policy names, applies each file, and looks at the health checks.

A plan that has changed since is never run: that takes a new request, which supersedes the old one. A statement whose
outcome is unknown is never tried again.

Where the environment has windows or freezes, asking and approving is possible at any time; the run waits until it may begin,
and everything is checked again then. A hotfix passes that, for people whom the environment names under `hotfix`: that it is
one is a part of what is approved, so who says yes says yes to running outside the window. It passes no lock.

An emergency is for people whom the environment names as `overriders`, in Slack, with a second factor: all is done as ever,
but a form asks for a one-time code instead of other people's yes. Everybody who could have approved is told, and the run
leaves a debt: as many other people as the policy asks for must `review` it within `review_within`. Until they have, there
is no further emergency by the same person, nor on the same project.

What you wait for there already is superseded by what you ask for, and what people agreed to counts on where the new plan lets
it. An emergency or a hotfix supersedes only another one: what waits in the ordinary way stays until one of them has run.

From the terminal a request that needs people waits for the bot: its card appears as soon as the bot runs.

Examples:
    push dev                        run what is pending where no approval is needed
    push prod                       ask for it where people decide
    push prod --wait 30m            ask, and wait half an hour for the end
    push prod --commit 4e1b2c9      ask for a commit of the branch that is not its newest
    push prod --wait --remote https://countersign.acme.example      from a CI job: ask the bot there
    push prod --hotfix orders fail      do not wait for the window; the approvals are as ever
    push prod --emergency "INC-42 orders cannot be paid"    in Slack: break glass

See also: plan, diff, approve, show, cancel
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from importlib import import_module

from commands.kind_parts import subject_of
from commands.next_parts import card_line
from commands.page import Button
from commands.page import Command
from commands.page import Page
from commands.page import Paragraph
from commands.plan import plan_json
from commands.reply import Reply
from commands.request_page import request_page
from commands.show import request_json
from commands.words import COMMIT
from commands.words import REMOTE
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.afterwards import found_failing
from ops.approving import PREFIX_LENGTH
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import NOTHING_WAITS
from ops.gates import Verdict
from ops.gates import waits_of
from ops.layer import Ops
from ops.overriding import request_emergency
from ops.plan import Plan
from ops.requesting import request_push
from ops.requests import Request
from ops.status import Status
from ops.targets import find_target
from ops.waiting import EXIT_CODES

USAGE = "push ENVIRONMENT [--commit SHA] [--with-data] [--wait [DURATION]] [--remote URL] [--hotfix WHY…] [--emergency WHY…]"
SUMMARY = "ask to run what is pending; with approvals = 0 it runs at once"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL, Front.CI})
OPTIONS = {
    "commit": COMMIT,
    "remote": REMOTE,
    "with-data": Option(help="rehearse on a copy with the target's rows, dumped for it; takes as long as a backup"),
    "emergency": Option(
        "[^-].{0,499}",
        needed=True,
        takes="why, in words",
        help="an overrider lets it run without approvals, by a one-time code",
    ),
    "hotfix": Option(
        "[^-].{0,499}",
        needed=True,
        takes="why, in words",
        help="it does not wait for windows and configured freezes; for people whom the environment names",
    ),
    "wait": Option(
        "[0-9]{1,5}(s|m|h|d)",
        takes="a duration such as 90s, 30m, 4h or 1d",
        help="end when the request has ended, or after this long; until it expires if not said",
    ),
}


def run(ops: Ops, said: Said) -> Reply:
    if "emergency" in said.options:
        return _emergency(ops, said)
    hotfix = _because(said, "hotfix")
    target = find_target(ops.settings, _environment(said, is_rest_said=bool(hotfix)))
    with ThreadPoolExecutor(1, "loading") as beside:
        if not target.settings.asks_people:  # what carries it out takes as long to load as a plan takes to make
            beside.submit(import_module, "ops.running")
        asked = request_push(
            ops,
            target,
            said.actor,
            said.act,
            commit=said.options.get("commit"),
            with_data="with-data" in said.options,
            hotfix=hotfix,
            progress=said.progress,
        )
    if asked.request is None:
        return _nothing_to_do(ops, asked.plan)
    request = asked.request
    if not request.needed and request.status is Status.WAITING:
        from ops.running import carry_out

        request = carry_out(ops, request.id, said.progress)
    waits = waits_of(ops, request)
    reply = push_reply(request, ops.now(), waits)
    if said.front is Front.SLACK and request.status_at(ops.now()) is Status.WAITING:
        return replace(reply, page=_see_the_card(request, waits, is_new=asked.is_new))  # the card tells it to everybody
    return reply


def _because(said: Said, option: str) -> str:
    """Why, in the words behind an option: all that follow the environment, for people type them without quotes."""
    return " ".join((said.options[option], *said.arguments[1:])) if option in said.options else ""


def _nothing_to_do(ops: Ops, plan: Plan) -> Reply:
    there = {0: "it has no migrations", 1: "its one migration is applied"}
    words = there.get(plan.applied, f"all {plan.applied} migrations are applied")
    words += ", and all functions are as they should be" if plan.functions else ""
    headline = f"{plan.target.name}: nothing to do, {words}"
    data = {**plan_json(plan), "request": None, "status": "nothing_to_do", "steps": []}
    failing = found_failing(ops.view, plan.target)
    if failing is None:
        return Reply(Page(headline, tone="good"), data)
    message = str(failing.ending["message"])
    page = Page(
        f"{headline}; but {failing.id} ended with something failing",
        body=[Paragraph((message,))],
        next=("see what holds now: ", Command(f"health {plan.target.environment}")),
        tone="warning",
    )
    return Reply(page, {**data, "failing": {"request": failing.id, "message": message}})


def _emergency(ops: Ops, said: Said) -> Reply:
    """Break glass: the request, and in private the button that asks for a code."""
    if said.front is not Front.SLACK:
        raise OpsError(
            Reason.NOT_AT_THIS_FRONT,
            "An emergency does not work here: who overrides approvals proves who they are in Slack.",
            "Type it there, as one of the environment's overriders.",
        )
    because = _because(said, "emergency")
    target = find_target(ops.settings, _environment(said, is_rest_said=True))
    commit = said.options.get("commit")
    asked = request_emergency(ops, target, said.actor, said.act, because, commit=commit, progress=said.progress)
    if asked.request is None:
        return _nothing_to_do(ops, asked.plan)
    request = asked.request
    reply = push_reply(request, ops.now())
    if request.status_at(ops.now()) is not Status.WAITING or request.override is not None:
        return reply
    value = f"override {request.id} {request.digest[:PREFIX_LENGTH]}"
    page = Page(
        f"{request.id} is asked for as an emergency: {subject_of(request)} on {request.target}",
        facts=[("Reason", (request.emergency,))],
        next=(
            "read its card, then press the button: it asks for a one-time code, and the run starts without anybody "
            "else's yes. To take it back: ",
            Command(f"cancel {request.id}"),
        ),
        buttons=[Button("override", "Override the approvals", value, "danger")],
        tone="warning",
    )
    return replace(reply, page=page)


def overridden_reply(request: Request) -> Reply:
    """What an overrider is told once their code was right."""
    page = Page(
        f"You overrode the approvals of {request.id}: it starts as soon as nothing else is in its way",
        next=("others must review what it did: ", Command(f"review {request.id}"), ". Its card follows the run."),
        tone="warning",
    )
    return Reply(page, {"request": request.id, "status": request.status.value}, request=request.id)


def _see_the_card(request: Request, waits: Verdict, *, is_new: bool) -> Page:
    """In Slack the request has a card; the asker needs to know only that, and what comes next."""
    words = "is asked for" if is_new else "stands already, for exactly this plan"
    headline = f"{request.id} {words}: {subject_of(request)} on {request.target}"
    return Page(headline, next=card_line(request, waits))


def push_reply(request: Request, now: datetime, waits: Verdict = NOTHING_WAITS) -> Reply:
    """What a push answers, whatever became of the request by now."""
    status = request.status_at(now)
    page = request_page(request, now, waits=waits)
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


def _environment(said: Said, *, is_rest_said: bool) -> str:
    """The environment to write to: it must be said, for a write never guesses. `is_rest_said`: what follows is a reason."""
    if len(said.arguments) == 1 or (said.arguments and is_rest_said):
        return said.arguments[0]
    message = "Say which environment to push to." if not said.arguments else "Push to one environment at a time."
    raise OpsError(Reason.ENVIRONMENT_NEEDED if not said.arguments else Reason.BAD_USAGE, message, f"Type `{USAGE}`.")

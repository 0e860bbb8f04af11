"""`why R-7`: why a request runs or does not: every rule, met or missing, by whom, and what comes next.

Everybody who may speak to the bot may ask, at any time. It asks what the run itself asks before it starts, by the same
rules: that the request waits, who said yes and still counts in Slack now, what runs on the target, locks and the rest.
Nothing is decided or changed. At a terminal without the bot nobody can ask Slack who still counts; that is told then.

What is over is told with who ended it and when. In the thread of a card, `@Countersign why` needs no number.

Examples:
    why R-7             what R-7 waits for
    why R-7 --json      for programs: each gate with its parts

See also: simulate, show, status
"""

from commands.emergency_parts import owed_facts
from commands.emergency_parts import owed_next
from commands.next_parts import next_line
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.reply import Reply
from commands.request_page import state_words
from commands.verdict_parts import explained_json
from commands.verdict_parts import next_lines
from commands.verdict_parts import tree_parts
from commands.verdict_parts import with_people
from commands.when_parts import starts_line
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.afterwards import is_left_half
from ops.debts import Debt
from ops.debts import review_owed
from ops.layer import Ops
from ops.requests import Request
from ops.simulating import Explained
from ops.simulating import explain
from ops.status import Status

USAGE = "why R-NUMBER"
SUMMARY = "why a request runs or does not: each rule, met or missing"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    explained = explain(ops, said.one("request, such as R-7"))
    request, status = explained.request, explained.request.status_at(explained.at)
    if status is Status.WAITING:
        page = _waits(explained)
    else:
        ways = next_line(request, status, None) if is_left_half(ops.view, request) else ()
        page = _decided(explained, status, review_owed(ops.view, request), ways)
    approvals = [{"by": one.by.id, "at": one.at.isoformat()} for one in request.approvals]
    return Reply(page, {**explained_json(explained), "approvals": approvals}, request=request.id)


def _waits(explained: Explained) -> Page:
    request, verdict = explained.request, explained.verdict
    if verdict.may_start:
        headline = f"{request.id} on {request.target}: nothing is in its way"
        then: Line = ("the bot starts it; before that, plan and people are asked once more.",)
        return Page(headline, body=tree_parts(explained), next=then, tone="good")
    ahead = next_lines(explained)
    body: list[Part] = [*tree_parts(explained)]
    if len(ahead) > 1:
        body.append(Listing("What opens it", ahead))
    rules = plural(len(verdict.closed), "rule")
    headline = f"{request.id} on {request.target} does not run yet: {rules} not met"
    following = starts_line(request, verdict) or (ahead[0] if ahead else ())
    return Page(headline, [("Expires", (When(request.expires_at),))], body, following, tone="plain")


def _decided(explained: Explained, status: Status, owed: Debt | None, ways: Line) -> Page:
    """What runs or is over: who ended it, and who had said yes; what is owed of it. `ways`: what can be asked for where it
    left its target half-way."""
    request = explained.request
    first = explained.verdict.closed[0]
    facts: list[tuple[str, Line]] = [("Why", with_people(first.sentence, ()))]
    if because := request.ending.get("because") or request.ending.get("message"):
        facts.append(("Reason", (str(because),)))
    facts += owed_facts(owed, explained.at)
    yes = _said_yes(request)
    everything: Line = (Command(f"show {request.id}"), " tells everything about it.")
    everything = (*ways, " ", *everything) if ways else everything
    return Page(
        f"{request.id} on {request.target}: {state_words(request, status)}",
        facts,
        [Listing("Who said yes", yes)] if yes else [],
        everything if owed is None else (*owed_next(owed), "; ", *everything),
    )


def _said_yes(request: Request) -> list[Line]:
    return [(Who(one.by.id), " at ", When(one.at)) for one in request.approvals]

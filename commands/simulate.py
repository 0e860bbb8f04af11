"""`simulate R-7`: what would be so if certain people said yes, at a certain moment. Nothing is decided, nothing is written.

Everybody who may speak to the bot may ask. Each of the people is decided upon as if they pressed Approve with all that is
asked beside it, one after the other, by the same function that decides on a click; then every rule of a run is judged as of
that moment. Slack is asked about everybody as they are now. The plan is taken as it is: when somebody really says yes it is
computed again, and may have changed.

People are Slack ids, mentions, or names of those who may approve. The moment is now if you do not say `--at`; without a
time zone it is UTC.

Examples:
    simulate R-7 --approve @ben @chi                       would these two be enough
    simulate R-7 --approve @ben --at "Fri 17:00"           and would it run on Friday at five
    simulate R-7 --at "Fri 17:00 Europe/London"            without anybody else
    simulate R-7 --approve U0BEN --json                    for programs

See also: why, who, show
"""

import re
from typing import Any

from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.page_words import hint_line
from commands.reply import Reply
from commands.verdict_parts import explained_json
from commands.verdict_parts import next_lines
from commands.verdict_parts import tree_parts
from commands.when_parts import starts_line
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.moments import moment_of
from ops.simulating import Explained
from ops.simulating import Supposed
from ops.simulating import simulate

USAGE = "simulate R-NUMBER [--approve PERSON…] [--at MOMENT]"
SUMMARY = "what would be so if certain people said yes, at a certain moment"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "approve": Option(
        "[^-].*", needed=True, takes="people: @mentions, names or Slack ids", help="who is supposed to say yes"
    ),
    "at": Option(".+", needed=True, takes='a moment, such as "Fri 17:00"', help="as of when; now if not said"),
}
PEOPLE_MOST = 20
_OF_TIME = re.compile(r"\d{1,2}:\d\d|\d+[smhd]|UTC|[A-Z][A-Za-z_]+(/[A-Za-z_+-]+)+")


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`simulate` needs a request, such as R-7.", f"Type `{USAGE}`.")
    number, *rest = said.arguments
    # Without quotes `--at Fri 17:00` comes as two words, and nobody is called 17:00.
    of_time = [one for one in rest if "at" in said.options and _OF_TIME.fullmatch(one)]
    more = [one for one in rest if one not in of_time]
    people = list(dict.fromkeys([*said.options.get("approve", "").replace(",", " ").split(), *more]))
    if len(people) > PEOPLE_MOST:
        raise OpsError(Reason.BAD_USAGE, f"{len(people)} people are more than {PEOPLE_MOST}.", "Name fewer of them.")
    at = moment_of(" ".join([said.options["at"], *of_time]), ops.now()) if "at" in said.options else None
    explained = simulate(ops, number, people, at)
    return Reply(_page(explained), {**explained_json(explained), "supposed": [*map(_json, explained.supposed)]})


def _page(explained: Explained) -> Page:
    request, verdict = explained.request, explained.verdict
    would = "would start" if verdict.may_start else "would not start"
    body: list[Part] = []
    if explained.supposed:
        said = [(Who(one.actor.id), ": ", *_answer(one)) for one in explained.supposed]
        marks = ["counts" if one.decision.allowed else "does not" for one in explained.supposed]
        body.append(Listing("Who is supposed to say yes", said, marks))
    body += tree_parts(explained)
    ahead = next_lines(explained)
    if len(ahead) > 1:
        body.append(Listing("What would open it", ahead))
    return Page(
        f"Supposed only: {request.id} on {request.target} {would}",
        [("As of", (When(explained.at),))],
        body,
        starts_line(explained.request, explained.verdict) or (ahead[0] if ahead else ()),
        small=("Nothing was decided or written. The plan is computed again when somebody says yes.",),
    )


def _answer(one: Supposed) -> Line:
    """What that person would be told."""
    if one.decision.allowed:
        return ("the yes would count.",)
    return ("would be told: ", *hint_line(one.decision.message))


def _json(one: Supposed) -> dict[str, Any]:
    decision = one.decision
    return {
        "person": one.actor.user or one.actor.id,
        "counts": decision.allowed,
        "reason": decision.reason.value if decision.reason else None,
        "message": decision.message,
    }

"""`claim R-7`: say that you are looking at a request, so that the others need not all read the same SQL.

The card shows it, for 30 minutes or as long as you say, 8 hours at most; then it is over by itself. Whoever may request on
its target or decide on it may claim it. It changes no rule: you promise nothing, and everybody else may decide meanwhile. Who
claims what somebody else is looking at is told so.

Examples:
    claim R-7            I look at it, for half an hour
    claim R-7 for 2h     for two hours

See also: show, approve, reject, who
"""

from commands.lock import how_long
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.page_words import joined
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.claiming import USUAL
from ops.claiming import claim
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "claim R-NUMBER [for DURATION]"
SUMMARY = "say that you are looking at a request"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`claim` needs a request, such as R-7.", f"Type `{USAGE}`.")
    length, more = how_long(said.arguments[1:], "claim")
    if more:
        raise OpsError(Reason.BAD_USAGE, "`claim` takes a request and a time.", f"Type `{USAGE}`.")
    request, claims = claim(ops, said.arguments[0], said.actor, said.act, length or USUAL)
    mine = next(one for one in claims if one.by == said.actor)
    others = joined(Who(one.by.id) for one in claims if one is not mine)
    warned: list[Part] = [Paragraph((*others, " is looking at it, too."))] if others else []
    following: Line = ("its card shows that, until ", When(mine.until), ". Everybody may decide all the same.")
    data = {
        "request": request.id,
        "claims": [{"by": one.by.id, "until": one.until.isoformat()} for one in claims],
    }
    return Reply(Page(f"You are looking at {request.id}", body=warned, next=following), data, request=request.id)

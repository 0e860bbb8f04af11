"""`review R-9`: say that you have looked at what ran without approvals, because of an emergency.

It takes as many people as the run would have needed approvals, by the same rules: never whoever overrode them, never a
known author of the commits. When enough have, the debt is cleared, and there may be another emergency.

Until then everybody who can review is told once a day, and `status` shows what is owed, by whom and until when.

Examples:
    review R-9                                      it is as it should be
    review R-9 --note the index is still missing    the same, with a note that stays in the log

See also: push, show, status
"""

from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import When
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.debts import review
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "review R-NUMBER [--note NOTE…]"
SUMMARY = "say that you looked at what ran without approvals"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "note": Option(
        "[^-].{0,999}", needed=True, takes="what you found, in words", help="what you found; it stays in the log"
    )
}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`review` needs a request.", f"Type `{USAGE}`.")
    note = " ".join((said.options.get("note", ""), *said.arguments[1:])).strip()
    request, debt = review(ops, said.arguments[0], said.actor, said.act, note)
    data = {"request": request.id, "missing": debt.missing if debt else 0}
    shows: Line = (Command(f"show {request.id}"), " tells what it did.")
    if debt is None:
        page = Page(f"{request.id} is reviewed: nothing is owed for it any more", next=shows, tone="good")
        return Reply(page, data, request=request.id)
    more = "1 more person has to review it" if debt.missing == 1 else f"{debt.missing} more people have to review it"
    facts: list[tuple[str, Line]] = [("Due", (When(debt.due_at),))]
    return Reply(Page(f"Your review of {request.id} is recorded: {more}", facts, next=shows), data, request=request.id)

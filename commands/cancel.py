"""`cancel R-7`: the requester takes a waiting request back; or somebody says what became of an interrupted one.

Only whoever asked may take a waiting request back. Nothing of it was run, and nothing will be.

A request that was interrupted blocks its target, since nobody knows how far it came. Look at the target first; then
whoever may push there says with this word what they found, and the target is free again. It changes nothing on the
target.

Examples:
    cancel R-7                                         take your own waiting request back
    cancel R-7 the table is there, the history too      say what became of an interrupted run

See also: push, show, status
"""

from commands.page import Command
from commands.page import Page
from commands.reply import Reply
from commands.request_parts import TAKEN_BACK
from commands.show import request_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.approving import cancel
from ops.asking_again import again_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.requests import find_request
from ops.settling import settle
from ops.status import Status

USAGE = "cancel R-NUMBER [REASON…]"
SUMMARY = "take your own waiting request back, or say what became of an interrupted one"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`cancel` needs a request, such as R-7.", f"Type `{USAGE}`.")
    because = " ".join(said.arguments[1:]).strip()
    request = find_request(ops.view, said.arguments[0])
    if request.status is Status.INTERRUPTED:
        return _settled(ops, said, request, because)
    decided = cancel(ops, request.id, said.actor, said.act, because or TAKEN_BACK)
    again = Command(again_of(request))
    page = Page(f"{decided.request.id} is cancelled. Nothing was run.", next=("to run it after all: ", again))
    return Reply(page, request_json(decided.request, ops.now()), request=decided.request.id)


def _settled(ops: Ops, said: Said, request: Request, because: str) -> Reply:
    """Somebody looked at the target and says what became of the run; the target is free again."""
    settled = settle(ops, request.id, said.actor, said.act, because)
    again = Command(again_of(settled))
    page = Page(
        f"{settled.id} is settled. {settled.target} is free again.",
        next=("what is left of it can be asked for with ", again),
        tone="good",
    )
    return Reply(page, request_json(settled, ops.now()), request=settled.id)

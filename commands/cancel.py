"""`cancel R-7`: the requester takes a waiting request back; or says what became of an interrupted one."""

from commands.page import Page
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.approving import cancel
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops

USAGE = "cancel R-NUMBER [REASON…]"
SUMMARY = "take your own waiting request back"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`cancel` needs a request, such as R-7.", f"Type `{USAGE}`.")
    because = " ".join(said.arguments[1:]).strip() or "taken back"
    decided = cancel(ops, said.arguments[0], said.actor, said.act, because)
    page = Page(f"{decided.request.id} is cancelled. Nothing was run.")
    return Reply(page, request_json(decided.request, ops.now()), request=decided.request.id)

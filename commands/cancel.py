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
from ops.requests import Request
from ops.requests import find_request
from ops.settling import settle
from ops.status import Status

USAGE = "cancel R-NUMBER [REASON…]"
SUMMARY = "take your own waiting request back, or say what became of an interrupted one"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`cancel` needs a request, such as R-7.", f"Type `{USAGE}`.")
    because = " ".join(said.arguments[1:]).strip()
    request = find_request(ops.view, said.arguments[0])
    if request.status is Status.INTERRUPTED:
        return _settled(ops, said, request, because)
    decided = cancel(ops, request.id, said.actor, said.act, because or "taken back")
    page = Page(f"{decided.request.id} is cancelled. Nothing was run.")
    return Reply(page, request_json(decided.request, ops.now()), request=decided.request.id)


def _settled(ops: Ops, said: Said, request: Request, because: str) -> Reply:
    """Somebody looked at the target and says what became of the run; the target is free again."""
    settled = settle(ops, request.id, said.actor, said.act, because)
    page = Page(f"{settled.id} is settled. {settled.target} is free again.")
    return Reply(page, request_json(settled, ops.now()), request=settled.id)

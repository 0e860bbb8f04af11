"""`terminate prod 4711`: ask to end a session that is in the way, by its process id.

A run that waits for a lock names on its card who is in the way. Ending such a session takes away what it has not committed,
so that is a request of its own: it says whose session it is and since when its transaction runs, and waits for
the approvals that a push there takes. It may run while the run that waits holds the target.

What is ended is exactly that session in exactly that transaction. If it has ended by itself meanwhile, or has gone on to
another transaction, the request no longer holds and nothing is done. Countersign's own sessions, those of superusers
and the server's own are not ended. A number of six digits or more is typed with `pid` before it, since six digits
alone could be somebody's one-time code.

Examples:
    terminate prod 4711        ask to end the session with this process id
    terminate prod pid123456   the same for a long number

See also: status, stop, approve
"""

from commands.asked import asked_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.kinds.terminate import request_termination
from ops.layer import Ops
from ops.targets import find_target

USAGE = "terminate ENVIRONMENT PID"
SUMMARY = "ask to end a session that is in the way of a run"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

MOST_DIGITS = 9


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) != 2:
        raise OpsError(Reason.BAD_USAGE, "`terminate` needs an environment and a process id.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    pid = _pid(said.arguments[1])
    return asked_reply(ops, said, request_termination(ops, target, pid, said.actor, said.act))


def _pid(text: str) -> int:
    """The number that was typed. Raises OpsError(BAD_USAGE)."""
    digits = text.lower().removeprefix("pid")
    if digits.isascii() and digits.isdigit() and 0 < len(digits) <= MOST_DIGITS:
        return int(digits)
    if text.startswith("«masked"):
        message = "Six digits or more by themselves look like a one-time code, and are not kept."
        raise OpsError(Reason.BAD_USAGE, message, "Type `pid` before the number: `terminate prod pid123456`.")
    raise OpsError(Reason.BAD_USAGE, f"{text!r} is not a process id.", "It is a number; the card of the run names it.")

"""`clean up R-7`: ask to drop the INVALID indexes that a run left behind.

A CREATE INDEX CONCURRENTLY that fails or is killed leaves an index that is INVALID: every write pays for it, no query uses
it, and `CREATE INDEX CONCURRENTLY IF NOT EXISTS` takes it for a good one. Countersign drops at once what its own
statement made, where that is certain; what it could not be sure of, or could not drop, is asked for with this word. With
an environment in place of a request it is about every INVALID index there, whoever made it.

Each index is named on the card. It is dropped CONCURRENTLY, which keeps nobody from reading or writing. An index that
somebody builds at this moment is left alone.

Examples:
    clean up R-7     drop what R-7 left INVALID
    clean up prod    drop every INVALID index of prod

See also: resume, rollback, show
"""

from commands.asked import asked_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.kinds.cleanup import request_cleanup
from ops.layer import Ops
from ops.requests import find_request
from ops.targets import find_target

USAGE = "clean up R-NUMBER|ENVIRONMENT"
SUMMARY = "ask to drop the INVALID indexes that a run left behind"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    named = [one for one in said.arguments if one.lower() != "up"]
    if len(named) != 1:
        problem = "needs a request, such as R-7, or an environment" if not named else "takes one request or environment"
        raise OpsError(Reason.BAD_USAGE, f"`clean up` {problem}.", f"Type `{USAGE}`.")
    if named[0].upper().startswith("R-"):
        request = find_request(ops.view, named[0])
        target = ops.target_of(request)
        return asked_reply(ops, said, request_cleanup(ops, target, said.actor, said.act, request))
    target = find_target(ops.settings, named[0])
    return asked_reply(ops, said, request_cleanup(ops, target, said.actor, said.act))

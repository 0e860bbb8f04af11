"""`record prod 20260101000000 --by "Ana" --because "the bot was down"`: ask to enter what was done by hand.

For the night on which the bot was down and somebody ran a migration with psql: docs/by-hand.md says how to do that so
that this works afterwards. Say which files were run, by whom and why.

Countersign replays the history on an empty copy, without those files and with them, and compares both with the target:
only what is really there is entered. Then it is a request like any other; with its approvals the history gets the rows
that it lacks, and the log holds who did it and why. The SQL of no file is run.

What a file did to rows, no replay can show; the card says so.

Examples:
    record prod 20260101000000 --by "Ana Ruiz" --because "the bot was down"     enter what Ana ran
    record prod 20260101000000 20260102000000 --by Ana --because "incident 42"  two files, in one request

See also: repair, drift, history
"""

from commands.asked import asked_reply
from commands.asked import checked_version
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.kinds.record import ByHand
from ops.kinds.record import request_record
from ops.layer import Ops
from ops.masking import mask_intake
from ops.targets import find_target

USAGE = "record ENVIRONMENT VERSION… --by WHO --because WHY"
SUMMARY = "ask to enter what was done by hand, checked against the target"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "by": Option(".{1,200}", needed=True, takes="who ran it, in quotes", help="who ran it by hand"),
    "because": Option(".{1,1000}", needed=True, takes="a reason, in quotes", help="why it was done by hand"),
}


def run(ops: Ops, said: Said) -> Reply:
    missing = [f"--{name}" for name in OPTIONS if not said.options.get(name, "").strip()]
    if len(said.arguments) < 2 or missing:
        needs = "an environment and versions" if len(said.arguments) < 2 else " and ".join(missing)
        raise OpsError(Reason.BAD_USAGE, f"`record` needs {needs}.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    versions = tuple(checked_version(one) for one in said.arguments[1:])
    by, because = (mask_intake(said.options[name].strip()) for name in ("by", "because"))
    asked = request_record(ops, target, ByHand(versions, by, because), said.actor, said.act, said.progress)
    return asked_reply(ops, said, asked)

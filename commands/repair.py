"""`repair prod applied 20260101000000`: ask to make the history say what is so. No file is run.

With `applied`, the history's row of each version is written as its file stands on the branch, byte for byte as the
Supabase CLI would; with `reverted`, the row is taken out, and a file of that version is pending again. The card shows
exactly which rows are written, replaced or removed. Nothing of the schema is looked at: who asks and who approves answer
for it. What somebody ran by hand is better entered with `record`, which looks whether it is there.

A repaired row does not count as having been applied where another environment comes `after` this one.

Examples:
    repair prod applied 20260101000000                   the database has it, the history does not say so
    repair prod reverted 20260101000000 20260102000000   the history says so, and it is not so

See also: record, plan, history
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
from ops.kinds.repair import As
from ops.kinds.repair import request_repair
from ops.layer import Ops
from ops.targets import find_target

USAGE = "repair ENVIRONMENT applied|reverted VERSION…"
SUMMARY = "ask to make the history say what is so; no file is run"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) < 3 or said.arguments[1].lower() not in set(As):
        message = "`repair` needs an environment, then `applied` or `reverted`, then versions."
        raise OpsError(Reason.BAD_USAGE, message, f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    versions = sorted({checked_version(one) for one in said.arguments[2:]})
    how = As(said.arguments[1].lower())
    return asked_reply(ops, said, request_repair(ops, target, how, versions, said.actor, said.act, said.progress))

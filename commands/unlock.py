"""`unlock prod`: take your own lock away before its time; what waits and is approved starts then.

Only whoever locked a target may unlock it; a lock of somebody else ends at its time. Everything about a waiting request
is asked again before it starts: the people, the policy, the plan.

Examples:
    unlock prod                       take your lock away
    unlock prod the import is done    take it away, and say why

See also: lock, status
"""

from commands.page import Page
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.locking import unlock
from ops.requests import open_requests
from ops.status import Status
from ops.targets import find_target

USAGE = "unlock ENVIRONMENT [REASON…]"
SUMMARY = "take your own lock of a target away"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, "Say which environment to unlock.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    waited = [
        one.id
        for one in open_requests(ops.view)
        if one.target == target.name and one.status_at(ops.now()) is Status.WAITING and one.needed and not one.missing
    ]
    was_locked = unlock(ops, target, said.actor, said.act, " ".join(said.arguments[1:]))
    if not was_locked:
        return Reply(Page(f"{target.name} is not locked"), {"target": target.name, "lock": None, "starts": []})
    starts = f"; {', '.join(waited)} can start now" if waited else ""
    return Reply(Page(f"{target.name} is unlocked{starts}"), {"target": target.name, "lock": None, "starts": waited})

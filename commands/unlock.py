"""`unlock prod`: take your own lock away before its time; what waits and is approved starts then.

Only whoever locked a target may unlock it; a lock of somebody else ends at its time. In Slack, one of those whom the
environment names as `overriders` may take it away before with --steal and a reason; whoever had locked it is told. Everything
about a waiting request is asked again before it starts: the people, the policy, the plan.

Examples:
    unlock prod                       take your lock away
    unlock prod the import is done    take it away, and say why
    unlock prod --steal the import hangs    take somebody else's lock away, as an overrider

See also: lock, status
"""

from commands.page import Line
from commands.page import Page
from commands.page import Who
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import waits_of
from ops.layer import Ops
from ops.locking import Lock
from ops.locking import steal
from ops.locking import unlock
from ops.requests import open_requests
from ops.status import Status
from ops.targets import find_target

USAGE = "unlock ENVIRONMENT [--steal] [REASON…]"
SUMMARY = "take your own lock of a target away"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"steal": Option(help="take somebody else's lock away, as an overrider, with a reason; in Slack")}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, "Say which environment to unlock.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    waiting = [one for one in open_requests(ops.view) if one.status_at(ops.now()) is Status.WAITING]
    agreed = [one for one in waiting if one.target == target.name and one.needed and not one.waits_for_people]
    because = " ".join(said.arguments[1:])
    if "steal" in said.options:
        if said.front is not Front.SLACK:
            message = "A lock is not taken away from somebody here: who may proves who they are in Slack."
            raise OpsError(Reason.NOT_AT_THIS_FRONT, message, f"Type `unlock {target.environment} --steal` there.")
        taken = steal(ops, target, said.actor, said.act, because)
        was_locked, told = taken is not None, _told(taken)
    else:
        was_locked, told = unlock(ops, target, said.actor, said.act, because), ()
    if not was_locked:
        return Reply(Page(f"{target.name} is not locked"), {"target": target.name, "lock": None, "starts": []})
    waited = [one.id for one in agreed if not waits_of(ops, one).closed]
    starts = f"; {', '.join(waited)} can start now" if waited else ""
    page = Page(f"{target.name} is unlocked{starts}", next=told)
    return Reply(page, {"target": target.name, "lock": None, "starts": waited})


def _told(taken: Lock | None) -> Line:
    return (Who(taken.by.id), " had locked it, and is told.") if taken else ()

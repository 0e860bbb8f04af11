"""`reset dev`: empty an environment that is there to be thrown away, and run all of its migrations anew.

Only an environment with `disposable = true`, for which nobody has to approve, can be reset. First it shows everything
that goes, and does nothing. Then you type the environment's name, or say it with `--name`, and exactly what was shown is
dropped: the project's own schemas and extensions, what is in `public`, policies on storage and realtime, and the migration
history. Then the branch is pushed as `push` does it.

The platform's own schemas are left alone: no user, no stored object, no job and no secret is lost. Roles stay, and what
other roles own. It is written down as a request, as any run is.

Examples:
    reset dev                show what goes; at a terminal it then asks for the name
    reset dev --name dev     do it, for scripts

See also: push, new, list
"""

from commands.asked import asked_reply
from commands.kind_parts import HEADINGS
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page_words import refusal_line
from commands.push import push_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.approving import PREFIX_LENGTH
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import waits_of
from ops.kinds.reset import request_reset
from ops.kinds.reset import reset_proposal
from ops.layer import Ops
from ops.proposing import Proposal
from ops.requesting import request_push
from ops.status import Status
from ops.targets import Target
from ops.targets import find_target

USAGE = "reset ENVIRONMENT [--name ENVIRONMENT] [--plan DIGEST]"
SUMMARY = "empty a disposable environment and run all of its migrations anew"
GROUP = Group.SETUP
FRONTS = frozenset({Front.TERMINAL})
OPTIONS = {
    "name": Option("[a-z0-9][a-z0-9_/-]{0,80}", needed=True, takes="the environment's name", help="do what was shown"),
    "plan": Option("[0-9a-f]{16}", needed=True, takes="the plan that was shown", help="only if it is still that plan"),
}


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    typed = said.options.get("name")
    if typed is not None and typed not in {target.environment, target.name}:
        message = f"The name that you typed is {typed!r}, and this is {target.environment}. Nothing was done."
        raise OpsError(Reason.NOT_CONFIRMED, message, f"Type exactly {target.environment}.", exit_code=3)
    proposal = reset_proposal(ops, target, said.actor, said.progress)
    if typed is None:
        return _shown(target, proposal)
    if said.options.get("plan", proposal.digest[:PREFIX_LENGTH]) != proposal.digest[:PREFIX_LENGTH]:
        message = f"{target.name} is not what you were shown any more. Nothing was done."
        raise OpsError(Reason.PLAN_CHANGED, message, f"Look again: `reset {target.environment}`.", exit_code=3)
    emptied = asked_reply(ops, said, request_reset(ops, proposal, said.actor, said.act))
    if not emptied.ok or emptied.data.get("status") != Status.SUCCEEDED:
        return emptied
    return _filled(ops, said, target, emptied)


def _filled(ops: Ops, said: Said, target: Target, emptied: Reply) -> Reply:
    """The branch pushed to what is empty now; what it answers is the answer."""
    from ops.running import carry_out  # here because whoever only looks runs nothing

    asked = request_push(ops, target, said.actor, f"{said.act}/push", progress=said.progress)
    if asked.request is None:
        return emptied
    request = asked.request
    if not request.needed and request.status is Status.WAITING:
        request = carry_out(ops, request.id, said.progress)
    reply = push_reply(request, ops.now(), waits_of(ops, request))
    return Reply(
        reply.page, {**reply.data, "reset": emptied.data}, ok=reply.ok, exit_code=reply.exit_code, request=reply.request
    )


def _shown(target: Target, proposal: Proposal) -> Reply:
    plan = proposal.canonical
    body: list[Part] = []
    for heading, key in HEADINGS:
        lines: list[Line] = [refusal_line(str(one)) for one in plan[key]]
        body += [Listing(heading, lines)] if lines else []
    following: Line = (
        "nothing was done. To do exactly this: ",
        Command(f"reset {target.environment} --name {target.environment}"),
    )
    data = {
        "request": None,
        "status": "shown",
        "target": target.name,
        "digest": proposal.digest,
        "does": plan["does"],
        "loses": plan["loses"],
        "sql": [one["sql"] for one in plan["scripts"] if one["sql"]],
    }
    return Reply(Page(f"What `reset {target.environment}` would do", (), body, following, tone="warning"), data)

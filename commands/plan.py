"""`plan prod`: what would run on a target, its hazards, and what stands in the way. Changes nothing.

Whoever may push there may plan. The branch is read at its newest commit, or at the one that is named; the target is asked
which migrations it has. The rest is what a push would run: the files in order with their hashes, what is dangerous in
them, and where files and target differ.

Where the environment's rules say so, the files run on a throw-away copy of the target first: the plan then says what they
did there, what changes in the schema, and what a copy cannot show. A file that fails is shown like a compiler's error.

Nothing is written to the target, and no request is made.

Examples:
    plan prod                      what a push would run now
    plan prod --commit 4e1b2c9      the same for a commit of the branch
    plan shop/prod --json           for programs, where several projects are configured
    plan prod --markdown            for a comment on a pull request

See also: diff, push, show
"""

from commands.markdown import plan_markdown
from commands.plan_page import plan_page
from commands.reply import Reply
from commands.words import COMMIT
from commands.words import REMOTE
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.plan import Plan
from ops.requesting import plan_target
from ops.targets import find_target

USAGE = "plan ENVIRONMENT [--commit SHA] [--with-data] [--markdown] [--remote URL]"
SUMMARY = "show what a push would run, with its hazards"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL, Front.CI})
OPTIONS = {
    "commit": COMMIT,
    "remote": REMOTE,
    "with-data": Option(help="rehearse on a copy with the target's rows, dumped for it; takes as long as a backup"),
    "markdown": Option(help="print it for a comment on a pull request (terminal only)"),
}


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    if "markdown" in said.options and said.front is Front.SLACK:
        message = "--markdown prints text for a pull request, so it is for the terminal."
        raise OpsError(Reason.NOT_AT_THIS_FRONT, message, "Here the plan is shown as it is; leave --markdown out.")
    plan = plan_target(
        ops,
        target,
        said.actor,
        said.act,
        commit=said.options.get("commit"),
        with_data="with-data" in said.options,
        progress=said.progress,
    )
    told = plan_json(plan)
    if "markdown" in said.options:
        told["markdown"] = plan_markdown(told, plan.hazards)
    return Reply(plan_page(plan), told)


def plan_json(plan: Plan) -> dict[str, object]:
    """A plan as the contract prints it."""
    blocked = plan.blocks()
    return {
        "target": plan.target.name,
        "commit": plan.commit.sha,
        "digest": plan.digest,
        "pending": plan.pending_json(),
        "hazards": [hazard.to_json() for hazard in plan.hazards],
        "diff": plan.rehearsal.diff_text if plan.rehearsal else "",
        "rehearsal": plan.rehearsal.to_json() if plan.rehearsal else None,
        "history": [{"code": one.code, "message": one.message, "repair": one.repair} for one in plan.problems],
        "blocked": blocked.message if blocked else None,
        "skipped": dict(plan.skipped),
        "functions": [one.to_json() for one in plan.functions],
    }

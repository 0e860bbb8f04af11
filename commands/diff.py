"""`diff prod`: what a push would change in the schema, object by object, as a throw-away copy of the target shows it.

Whoever may push there may ask. The target's schema is restored on the copy, the pending files run there as they would on
the target, and the schema before is held against the schema after. That happens here also where the environment's rules
ask for no rehearsal. Nothing is written to the target, and no request is made.

The answer names what is created, changed and dropped, the worst first, and has the unified diff: at the terminal all of
it, in Slack as a file that is sent to whoever asked (with `sql = "hash"` only its hash).

Examples:
    diff prod                      what a push would change in the schema now
    diff prod --commit 4e1b2c9      the same for a commit of the branch
    diff prod --json                for programs

See also: plan, push, show
"""

import hashlib
from collections.abc import Sequence

from commands.changes_parts import change_json
from commands.changes_parts import changes_parts
from commands.changes_parts import changes_text
from commands.changes_parts import difference_part
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page_words import migrations
from commands.rehearsal_parts import rehearsal_parts
from commands.rehearsal_parts import rehearsal_point
from commands.reply import PrivateFile
from commands.reply import Reply
from commands.words import COMMIT
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.approving import PREFIX_LENGTH
from ops.errors import Reason
from ops.layer import Ops
from ops.plan import Plan
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.requesting import plan_target
from ops.targets import find_target

USAGE = "diff ENVIRONMENT [--commit SHA] [--with-data]"
SUMMARY = "show what a push would change in the schema"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "commit": COMMIT,
    "with-data": Option(
        help="try the files on a copy with the target's rows, dumped for it; takes as long as a backup"
    ),
}

CHANGES_IN_SLACK = 25
LINES_IN_SLACK = 30


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    plan = plan_target(
        ops,
        target,
        said.actor,
        said.act,
        commit=said.options.get("commit"),
        rehearse=True,
        with_data="with-data" in said.options,
        progress=said.progress,
    )
    found = plan.rehearsal
    if found is None:
        return _without_rehearsal(plan)
    if found.outcome is not Outcome.PASSED:
        return _failed(plan, found)
    if said.front is Front.TERMINAL or ops.settings.slack is None:
        return Reply(_page(plan, found, None, difference_part(found.diff_text)), _json(plan, found))
    if ops.settings.slack.sql == "hash":
        return Reply(_page(plan, found, CHANGES_IN_SLACK, []), _json(plan, found))
    body = difference_part(found.diff_text, LINES_IN_SLACK)
    file = PrivateFile(f"{target.project}-{target.environment}.diff", found.diff_text) if found.diff_text else None
    return Reply(_page(plan, found, CHANGES_IN_SLACK, body), _json(plan, found), file=file)


def _without_rehearsal(plan: Plan) -> Reply:
    """Nothing is pending, or what is pending cannot run at all. Raises OpsError in the second case."""
    blocked = plan.blocks()
    if blocked is not None:
        raise blocked
    page = Page(f"{plan.target.name}: a push would change nothing, for nothing is pending", tone="good")
    return Reply(page, {"target": plan.target.name, "digest": plan.digest, "diff": "", "changes": []})


def _failed(plan: Plan, found: Rehearsal) -> Reply:
    """There is no difference to show: a file fails on the copy, or there could be no copy."""
    is_failed = found.outcome is Outcome.FAILED
    point = rehearsal_point(found)
    look: Line = ("mend that, then look again with ", Command(f"diff {plan.target.environment}"), ".")
    page = Page(
        f"{plan.target.name}: no difference can be shown",
        _facts(plan),
        rehearsal_parts(found),
        look if is_failed else (Command("plan " + plan.target.environment), " shows what would run."),
        tone="bad",
    )
    reason = Reason.REHEARSAL_FAILED if is_failed else Reason.REHEARSAL_IMPOSSIBLE
    told = {"status": "failed", "reason": reason.value, "message": point, "hint": ""}
    return Reply(page, {**_json(plan, found), **told}, ok=False, exit_code=1)


def _page(plan: Plan, found: Rehearsal, most: int | None, difference: Sequence[Part]) -> Page:
    everything: Line = (Code(f"countersign diff {plan.target.environment}"), " at the terminal shows all")
    changes = changes_parts(found.changes, most, everything, found.changes_left_out)
    counted = changes_text(found.changes, found.changes_left_out)
    headline = f"{plan.target.name}: a push would change the schema: {counted}"
    if not found.changes:
        headline = f"{plan.target.name}: a push would change nothing in the schema"
    facts = _facts(plan)
    if found.diff_text and not difference:
        sha256 = hashlib.sha256(found.diff_text.encode()).hexdigest()
        facts.append(("Difference", ("sha256 ", Code(sha256[:PREFIX_LENGTH]), "; the terminal shows it")))
    following: Line = ("ask for it with ", Command(f"push {plan.target.environment}"), ".")
    return Page(headline, facts, [*(changes if found.changes else []), *difference], following)


def _facts(plan: Plan) -> list[tuple[str, Line]]:
    return [
        ("Pending", (migrations(len(plan.pending)),)),
        ("Plan", (Code(plan.digest[:PREFIX_LENGTH]),)),
        ("Commit", (Code(plan.commit.sha[:12]), f" on {plan.target.settings.branch}: {plan.commit.title}")),
    ]


def _json(plan: Plan, found: Rehearsal) -> dict[str, object]:
    changes = [change_json(one) for one in found.changes]
    return {"target": plan.target.name, "digest": plan.digest, "diff": found.diff_text, "changes": changes}

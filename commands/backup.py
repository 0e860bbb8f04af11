"""`backup prod`: take a backup of a target now, and prove it.

The whole database is dumped under one snapshot, whose rows are counted under the same one, so that writing goes on
meanwhile. Then it is proven as far as the environment's `backup` says, or as `--level` does: "intact" reads every block
again, "restored" restores it on a throw-away server and compares the counts of every table, "identical" compares the
hashes of their rows too. What is not proven is no backup and is removed.

With `encrypt` in [backup] it is sealed for those keys when it is proven. No run begins on the target until it is done.
Older backups are removed as `keep` says, but never a target's newest, nor its newest restored one.

Whoever may push to the environment may ask for a backup of it.

Examples:
    backup prod                      as far as the environment's policy proves one; restored where that is none
    backup prod --level identical    compare every row

See also: backups, restore, push
"""

from commands.backup_parts import backup_json
from commands.backup_parts import note_parts
from commands.backup_parts import seal_facts
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import When
from commands.reply import Reply
from commands.request_parts import proof_line
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.backup import Level
from ops.backup_taking import backup_now
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.targets import find_target

USAGE = "backup ENVIRONMENT [--level LEVEL]"
SUMMARY = "take a backup of a target now, and prove it"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "level": Option(
        needed=True,
        takes="intact, restored or identical",
        help="how far it is proven; as the environment's policy says if not said",
        choices=("intact", "restored", "identical"),
    ),
}


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) != 1:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, "Say which environment to take a backup of.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0])
    usual = target.settings.backup_level
    level = Level(said.options.get("level") or (usual if usual != "none" else "restored"))
    backup = backup_now(ops, target, said.actor, said.act, level=level, progress=said.progress)
    facts: list[tuple[str, Line]] = [
        ("Backup", proof_line(backup.proof)),
        ("As it was", (When(backup.taken_at),)),
        *seal_facts(backup),
        ("In", (Code(str(backup.path)),)),
    ]
    following: Line = (Command(f"restore {backup.id} --to scratch"), " tries it again at any time.")
    headline = f"{target.name}: backup {backup.id} is taken and proven"
    page = Page(headline, facts, note_parts(backup.proof), following, tone="good")
    return Reply(page, {"target": target.name, "backup": backup_json(backup)})

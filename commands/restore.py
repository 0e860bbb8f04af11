"""`restore R-7 --to scratch`: try a backup on a throw-away server; `--to prod`: ask to put a target back to it.

A backup goes by the request whose run took it, or by the letters that `backups` lists. It is read again and compared with the
log first; one that has changed is not restored.

To `scratch`, everything is restored on a throw-away server of the bot's host, its tables are counted and compared with what
was counted when it was taken, and all of it is removed again. No target is touched. A sealed backup takes the secret key:
`identity` in [backup] names it.

With an environment in place of a backup, Supabase puts its whole database back: `--to` a moment within the time that it
keeps, `--managed` one of the backups, or `--point` a restore point that `backups prod` lists. That is a request, too; the
card says first which runs it takes back. It needs the project's `project_ref` and a token.

To an environment it is a request, with the approvals that a push there takes, and it must be the one that the backup is of.
The backup must have been proven restored or identical. The project's own tables go back to it, with their definitions.
The card says first how many rows were written since, which are lost. Look at `rollback R-7` before, which offers what costs
less.

Whoever may push to the environment may ask for either.

Examples:
    restore R-7 --to scratch             try the backup that R-7 took
    restore 3f2a9c1e44d0 --to scratch    try one that `backups` lists
    restore R-7 --to prod                ask to put prod back to it
    restore prod --to 2026-11-23T10:00Z  ask to have Supabase put all of prod back to that moment
    restore prod --managed 12            the same, to a backup that Supabase keeps

See also: backups, backup, rollback
"""

import re

from commands.asked import asked_reply
from commands.backup_parts import backup_json
from commands.backup_parts import seal_facts
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.backup_trial import Trial
from ops.backup_trial import TriedTable
from ops.backup_trial import try_backup
from ops.backups import Backup
from ops.backups import find_backup
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.proposing import propose
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "restore REQUEST|BACKUP|ENVIRONMENT [--to scratch|ENVIRONMENT|MOMENT] [--managed NUMBER] [--point NAME]"
SUMMARY = "try a backup on a throw-away server, or ask to put a target back to it"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "to": Option(
        "[a-z0-9][A-Za-z0-9_/:.+-]{0,80}",
        needed=True,
        takes="scratch, an environment, or a moment such as 2026-11-23T10:00Z",
        help="scratch: try it; an environment: ask to put it back to this backup; a moment: have Supabase go back to it",
    ),
    "managed": Option(
        "[0-9]{1,15}", needed=True, takes="a number", help="a backup that Supabase keeps of the environment"
    ),
    "point": Option(
        "[A-Za-z0-9][A-Za-z0-9_.-]{0,19}", needed=True, takes="a name", help="a restore point that Supabase keeps"
    ),
}

SCRATCH = "scratch"
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.*")
TABLES_SHOWN = 40


def run(ops: Ops, said: Said) -> Reply:
    if _is_managed(ops, said):
        return _managed(ops, said)
    backup = find_backup(ops.view, said.one("request or backup"))
    where = said.options.get("to")
    if not where:
        raise OpsError(
            Reason.ENVIRONMENT_NEEDED,
            "Say where to restore it to.",
            f"`restore {said.arguments[0]} --to scratch` tries it.",
        )
    if where == SCRATCH:
        return _tried(try_backup(ops, backup, said.actor, said.progress))
    target = find_target(ops.settings, where)
    if target.name != backup.target:
        raise OpsError(
            Reason.BAD_USAGE,
            f"The backup {backup.id} is of {backup.target}, and is restored nowhere else.",
            f"`restore {backup.id} --to scratch` shows what is in it.",
        )
    from ops.undo_data import restore_proposal  # here because a trial takes none of it

    proposal = restore_proposal(ops, target, backup, said.actor, said.progress)
    return asked_reply(ops, said, propose(ops, proposal, said.actor, said.act))


def _is_managed(ops: Ops, said: Said) -> bool:
    """Whether it is about what Supabase keeps: said of an environment, or with a moment in place of where to."""
    if {"managed", "point"} & set(said.options) or _MOMENT.fullmatch(said.options.get("to", "")):
        return True
    places = {name for target in all_targets(ops.settings) for name in (target.environment, target.name)}
    if not said.arguments or said.arguments[0].lower() not in places:
        return False
    if said.options.get("to", "").lower() in {SCRATCH, *places}:
        where = said.arguments[0].lower()
        raise OpsError(
            Reason.BAD_USAGE,
            f"{where} is an environment and no backup.",
            f"`backups {where}` lists its backups. To have Supabase put it back, name a moment: "
            f"`restore {where} --to 2026-11-23T10:00Z`.",
        )
    return True


def _managed(ops: Ops, said: Said) -> Reply:
    from ops.kinds.restore_managed import back_to  # here because a trial of ours asks Supabase nothing
    from ops.kinds.restore_managed import request_managed_restore

    target = find_target(ops.settings, said.one("environment"))
    back = back_to(*(said.options.get(name, "") for name in ("to", "managed", "point")))
    said.progress("asking Supabase")
    return asked_reply(ops, said, request_managed_restore(ops, target, back, said.actor, said.act))


def _tried(trial: Trial) -> Reply:
    backup = trial.backup
    data = {
        "backup": backup_json(backup),
        "tables": [{"table": one.name, "rows": one.rows, "rows_taken": one.rows_taken} for one in trial.tables],
        "identical": trial.is_identical,
        "expected_errors": list(trial.expected_errors),
        "problems": list(trial.problems),
        "seconds": trial.seconds,
    }
    page = _page(trial)
    if not trial.problems:
        return Reply(page, data)
    told = {"status": "failed", "reason": Reason.BACKUP_DAMAGED.value, "message": page.headline, "hint": ""}
    return Reply(page, {**data, **told}, ok=False, exit_code=1)


def _page(trial: Trial) -> Page:
    backup = trial.backup
    rows = sum(one.rows or 0 for one in trial.tables)
    facts: list[tuple[str, Line]] = [
        ("As it was", (When(backup.taken_at),)),
        ("Restored", (f"{plural(len(trial.tables), 'table')}, {plural(rows, 'row')}, {seconds_text(trial.seconds)}",)),
        ("Compared", (_compared(trial),)),
        *seal_facts(backup),
    ]
    body: list[Part] = []
    if trial.problems:
        body.append(Listing("What is wrong", [(one,) for one in trial.problems]))
    body.append(_tables(trial.tables))
    if trial.expected_errors:
        body.append(Listing("What a throw-away server must refuse", [(one,) for one in trial.expected_errors]))
    if trial.problems:
        return Page(f"Backup {backup.id} of {backup.target} does not restore as it was taken", facts, body, tone="bad")
    following: Line = ("it is removed again; ", *_way_on(backup))
    return Page(f"Backup {backup.id} of {backup.target} restores as it was taken", facts, body, following, tone="good")


def _way_on(backup: Backup) -> Line:
    command = Command(f"restore {backup.id} --to {backup.environment}")
    return (command, " asks to put ", Code(backup.target), " back to it.")


def _compared(trial: Trial) -> str:
    if trial.is_identical:
        return "the hash of every table's rows, as when it was taken"
    return "the count of every table's rows, as when it was taken" if not trial.problems else "not the same"


def _tables(tables: tuple[TriedTable, ...]) -> Part:
    """The largest first, and what differs before them."""
    shown = sorted(tables, key=lambda one: (one.rows == one.rows_taken, -one.rows_taken, one.name))[:TABLES_SHOWN]
    title = f"Tables ({len(shown)} of {len(tables)})" if len(shown) < len(tables) else "Tables"
    rows: list[list[Line]] = [
        [(Code(one.name),), ("missing" if one.rows is None else f"{one.rows:,}",), (f"{one.rows_taken:,}",)]
        for one in shown
    ]
    return Table(title, ["Table", "Rows restored", "Rows when taken"], rows)

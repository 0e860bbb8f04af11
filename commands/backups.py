"""`backups [prod]`: the backups that were taken, newest first: when, how far they are proven, and whether they are there.

With `--check` each is read again, whole, and compared with what the log says of it: a single wrong bit is found, in a sealed
one as in a plain one. That takes as long as reading them does. A backup that is not as it was taken ends it with exit
code 1.

Where the environment is a Supabase project with a token, what Supabase itself keeps is listed beside: its backups, and the
time that it can go back to any moment of.

Everybody who may speak to the bot may look. Those that were removed as `keep` says are left out; `show R-7` and the log still
tell of them.

Examples:
    backups                      of every environment
    backups prod --check         read those of one again

See also: backup, restore, status
"""

from collections.abc import Sequence

from commands.backup_parts import backup_json
from commands.backup_parts import state_of
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.amounts import bytes_text
from ops.backups import Backup
from ops.backups import all_backups
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.progress import Told
from ops.targets import Target
from ops.targets import find_target

USAGE = "backups [ENVIRONMENT] [--check]"
SUMMARY = "list backups: when, how far proven, whether they are there"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"check": Option(help="read each again and compare it with the log; exit code 1 when one has changed")}

SHOWN = 20


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`backups` takes one environment or none.", f"Type `{USAGE}`.")
    target = find_target(ops.settings, said.arguments[0]) if said.arguments else None
    found = all_backups(ops.view, target.project if target else None, target.environment if target else None)
    kept = [one for one in found if not one.is_removed]
    states = _checked(ops, said, kept) if "check" in said.options else [_seen(one) for one in kept]
    data = {
        "backups": [
            backup_json(one) | {"state": word, "problems": list(problems)}
            for one, (word, problems) in zip(kept, states, strict=True)
        ],
        "removed": len(found) - len(kept),
    }
    page = _page(target, kept, states, len(found) - len(kept))
    if target is not None:
        from commands.managed_parts import beside_ours  # here because a list of ours asks nobody else

        page, data["managed"] = beside_ours(page, target)
    bad = sum(word not in {"there", "as it was taken"} for word, _ in states)
    if "check" not in said.options or not bad:
        return Reply(page, data)
    told = {"status": "failed", "reason": Reason.BACKUP_DAMAGED.value, "message": page.headline, "hint": ""}
    return Reply(page, {**data, **told}, ok=False, exit_code=1)


State = tuple[str, Sequence[str]]
"""A word for how a backup stands, and sentences on what is wrong with it."""


def _seen(backup: Backup) -> State:
    """As far as a look at the file's size tells."""
    word = state_of(backup)
    return word, [f"{backup.id}: {backup.path} is gone, or has another size."] if word == "missing" else []


def _checked(ops: Ops, said: Said, backups: Sequence[Backup]) -> list[State]:
    from ops.backup_opening import check_backup_again  # here because to list them takes no database

    states: list[State] = []
    for number, backup in enumerate(backups):
        words = f"reading backup {backup.id}, {number + 1} of {len(backups)}"
        said.progress(Told(words, share=number / len(backups)))
        problems = check_backup_again(backup, ops.settings, stop=ops.rehearsals.is_over)
        states.append(("changed", [f"{backup.id}: {one}" for one in problems]) if problems else ("as it was taken", []))
    return states


def _page(target: Target | None, backups: Sequence[Backup], states: Sequence[State], removed: int) -> Page:
    where = f" of {target.name}" if target else ""
    if not backups:
        command = Command(f"backup {target.environment if target else 'ENVIRONMENT'}")
        return Page(f"No backups{where} yet", next=("take one with ", command, "."))
    rows = [
        _row(backup, word, with_target=target is None)
        for backup, (word, _) in zip(backups[:SHOWN], states[:SHOWN], strict=True)
    ]
    body: list[Part] = [Table("", ["Backup", "As it was", "How far proven", "Taken by", "State"], rows)]
    problems: list[Line] = [(one,) for _, said in states for one in said]
    if problems:
        body.append(Listing("What is wrong", problems[:SHOWN]))
    bad = sum(bool(said) for _, said in states)
    more = f", the newest {SHOWN} shown" if len(backups) > SHOWN else ""
    headline = f"{plural(len(backups), 'backup')}{where}{more}"
    headline += f": {bad} not as {'it was' if bad == 1 else 'they were'} taken" if bad else ""
    following: Line = (Command(f"restore {backups[0].id} --to scratch"), " tries one.")
    small: Line = (f"{plural(removed, 'older one')} removed as [backup] keep says.",) if removed else ()
    return Page(headline, body=body, next=following, small=small, tone="bad" if bad else "plain")


def _row(backup: Backup, state: str, *, with_target: bool) -> Sequence[Line]:
    taker: Line = (Code(backup.request),) if backup.request else (Who(backup.by.id),)
    sealed = ", sealed" if backup.sealed_for else ""
    return [
        (Code(backup.id), f" {backup.target}" if with_target else ""),
        (When(backup.taken_at),),
        (f"{backup.level}, {bytes_text(backup.proof['bytes'])}{sealed}",),
        taker,
        (state,),
    ]

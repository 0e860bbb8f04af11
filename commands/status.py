"""`status [prod]`: how each target stands: what waits or runs there, the commit that was deployed last, what of its branch is
not there, changes from outside, functions that are behind, missing secrets, health, advisors, and the last backup.

What the log knows is told as of then. The rest is asked for at this moment, all at once and for a second and a half at the
most; what did not answer by then is told as not known, so it answers while a database is down, too.

Everybody who may speak to the bot may look. Functions, secrets and the project's parts are looked at where `project_ref` and
an access token are set.

Examples:
    status           every environment
    status prod      one of them

See also: show, history, health, tables
"""

from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from commands.carried_parts import queue_words
from commands.emergency_parts import debt_line
from commands.emergency_parts import debts_json
from commands.kind_parts import subject_of
from commands.lock import lock_json
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Tone
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.reply import Reply
from commands.request_page import half_line
from commands.request_page import state_words
from commands.request_parts import lock_line
from commands.standing_parts import is_unwell
from commands.standing_parts import standing_json
from commands.standing_parts import standing_lines
from commands.when_parts import when_json
from commands.when_parts import when_lines
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.afterwards import half_way
from ops.at_a_glance import glance
from ops.backups import last_backup
from ops.debts import open_debts
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import freezes_of
from ops.layer import Ops
from ops.locking import Lock
from ops.locking import lock_of
from ops.request_queue import ahead_of
from ops.request_queue import in_line
from ops.requests import Request
from ops.requests import open_requests
from ops.status import Status
from ops.supabase.client import unmanaged_because
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "status [ENVIRONMENT]"
SUMMARY = "what waits and runs, commit, pending, drift, health, last backup"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

Marked = tuple[str, Line]
"""A line with the word that stands before it."""


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`status` takes one environment or none.", f"Type `{USAGE}`.")
    targets = [find_target(ops.settings, said.arguments[0])] if said.arguments else all_targets(ops.settings)
    view = ops.view
    seen = glance(ops, targets)
    waiting = [one for one in open_requests(view) if one.status_at(ops.now()).value != "expired"]
    parts: list[Listing] = []
    left: list[Request] = []
    data = []
    locked: list[str] = []
    debts = open_debts(view)
    for target in targets:
        mine = [one for one in waiting if one.target == target.name]
        backup = last_backup(view, target.project, target.environment)
        lock = lock_of(view, target.project, target.environment, ops.now())
        locked += [target.name] if lock else []
        freezes = freezes_of(view, target.name, ops.now())
        when = when_lines(target.settings, freezes, ops.now())
        half = half_way(view, target)
        left += half
        owed = [one for one in debts if f"{one.project}/{one.environment}" == target.name]
        lines = [*([_lock_line(lock)] if lock else []), *when]
        lines += [("review", debt_line(one, ops.now())) for one in owed]
        lines += [("half-way", half_line(one)) for one in half]
        lines += [_request_line(one, ops.now(), ahead_of(one, mine)) for one in in_line(mine)] or (
            [] if lock or when else [("free", ("nothing waits and nothing runs",))]
        )
        lines += standing_lines(ops, target, seen[target.name])
        lines.append(("backup", _backup_line(backup)))
        title = f"{target.name} ({target.settings.branch}, {_approvals(target)})"
        parts.append(Listing(title, [line for _, line in lines], [mark for mark, _ in lines]))
        told = _json(ops, target, mine, backup[0].isoformat() if backup else None, lock)
        told |= when_json(target.settings, freezes, ops.now())
        told |= standing_json(ops, target, seen[target.name])
        data.append({**told, "half_way": [one.id for one in half], "reviews": debts_json(owed)})
    mine = [one for one in waiting if one.target in {target.name for target in targets}]
    headline = f"{plural(len(mine), 'request')} open" if mine else "Nothing waits, nothing runs"
    headline += f"; {', '.join(locked)} {'is' if len(locked) == 1 else 'are'} locked" if locked else ""
    names = list(dict.fromkeys(one.target for one in left))
    headline += f"; {', '.join(names)} {'is' if len(names) == 1 else 'are'} left half-way" if names else ""
    unwell = is_unwell(seen)
    headline += f"; {', '.join(unwell)} {'is' if len(unwell) == 1 else 'are'} not well" if unwell else ""
    tone: Tone = "warning" if left or unwell or any(one.status is Status.INTERRUPTED for one in mine) else "plain"
    page = Page(headline, body=parts, next=_next([*mine, *left], targets), small=_left_out(targets), tone=tone)
    return Reply(page, {"targets": data})


def _left_out(targets: Sequence[Target]) -> Line:
    """Which projects were not looked at although one is named, and what to set."""
    named = [target for target in targets if target.settings.project_ref and unmanaged_because(target)]
    said = (f"the project of {target.name} is not looked at: {unmanaged_because(target)}" for target in named)
    return ("; ".join(said),) if named else ()


def _approvals(target: Target) -> str:
    settings = target.settings
    asked = [plural(settings.approvals, "approval")] if settings.approvals else []
    asked += [
        f"{rule.approvals} for {rule.name}{' where it is touched' * bool(rule.classes)}" for rule in settings.rules
    ]
    return ", ".join(asked) or "no approval needed"


def _lock_line(lock: Lock) -> Marked:
    return "locked", lock_line(lock)


def _request_line(request: Request, now: datetime, ahead: Sequence[str]) -> Marked:
    """How one open request stands, in the words of its card, and behind how many it does."""
    status = request.status_at(now)
    what: Line = (Code(request.id), f" {state_words(request, status)} · {subject_of(request)} · by ")
    line: Line = (*what, Who(request.by.id), queue_words(ahead))
    if status is Status.WAITING and request.needed:
        given = f"{request.given} of {plural(request.given + request.missing, 'approval')}"
        counted = f" · {given}" if request.override is None else ""
        line = (*line, f"{counted} · expires ", When(request.expires_at))
    return {Status.RUNNING: "runs", Status.INTERRUPTED: "blocked"}.get(status, "waits"), line


def _backup_line(backup: tuple[datetime, Mapping[str, Any]] | None) -> Line:
    return ("last proven ", When(backup[0]), f", {backup[1]['level']}") if backup else ("none known",)


def _next(mine: Sequence[Request], targets: Sequence[Target]) -> Line:
    if mine:
        return (Command(f"show {mine[0].id}"), " tells everything about one.")
    return ("see what a push would run with ", Command(f"plan {targets[0].environment}"), ".") if targets else ()


def _open_json(request: Request, now: datetime, ahead: Sequence[str]) -> dict[str, Any]:
    return {"request": request.id, "status": request.status_at(now).value, "behind": list(ahead)}


def _json(ops: Ops, target: Target, mine: list[Request], backup_at: str | None, lock: Lock | None) -> dict[str, Any]:
    return {
        "target": target.name,
        "open": [_open_json(one, ops.now(), ahead_of(one, mine)) for one in in_line(mine)],
        "last_backup_at": backup_at,
        "approvals": target.settings.approvals,
        "lock": lock_json(lock),
    }

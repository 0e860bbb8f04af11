"""`status [prod]`: for each target what waits or runs there, and the last backup. Reads the log only, so it is quick."""

from typing import Any

from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import When
from commands.page import Who
from commands.pages import migrations
from commands.reply import Reply
from commands.words import Front
from commands.words import Option
from commands.words import Said
from ops.backups import last_backup
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.requests import open_requests
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "status [ENVIRONMENT]"
SUMMARY = "what waits, what runs, and the last backup of each target"
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`status` takes one environment or none.", f"Type `{USAGE}`.")
    targets = [find_target(ops.settings, said.arguments[0])] if said.arguments else all_targets(ops.settings)
    view = ops.view
    waiting = [one for one in open_requests(view) if one.status_at(ops.now()).value != "expired"]
    parts, data = [], []
    for target in targets:
        mine = [one for one in waiting if one.target == target.name]
        backup = last_backup(view, target.project, target.environment)
        lines: list[Line] = [_request_line(ops, one) for one in mine] or [("nothing waits and nothing runs",)]
        lines.append(
            ("last backup: ", When(backup[0]), f", {backup[1]['level']}") if backup else ("last backup: none known",)
        )
        parts.append(Listing(f"{target.name} ({target.settings.branch}, {_approvals(target)})", lines))
        data.append(_json(ops, target, mine, backup[0].isoformat() if backup else None))
    count = sum(1 for one in waiting if one.target in {target.name for target in targets})
    headline = f"{count} request{'s' if count != 1 else ''} open" if count else "Nothing waits, nothing runs"
    return Reply(Page(headline, body=parts), {"targets": data})


def _approvals(target: Target) -> str:
    needed = target.settings.approvals
    return f"{needed} approval{'s' if needed != 1 else ''}" if needed else "no approval needed"


def _request_line(ops: Ops, request: Request) -> Line:
    words = f"{request.id} is {request.status_at(ops.now()).value}: {migrations(len(request.files))}, "
    return (words, f"{request.needed - request.missing} of {request.needed} approvals, by ", Who(request.by.id))


def _json(ops: Ops, target: Target, mine: list[Request], backup_at: str | None) -> dict[str, Any]:
    return {
        "target": target.name,
        "open": [{"request": one.id, "status": one.status_at(ops.now()).value} for one in mine],
        "last_backup_at": backup_at,
        "approvals": target.settings.approvals,
    }

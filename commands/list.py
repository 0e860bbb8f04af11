"""`list [dev]`: every migration, and where it is: in your working tree, on the branches, in each environment.

For each environment a file is *applied*, *pending* (its branch has it, and it is not applied), or *edited* (it is applied,
and the file says something else now). An environment that does not answer says so, and the others are told all the same.
In a project's folder the first column is what that has now, committed or not; elsewhere there is none.

Examples:
    list             your files and every environment of the project
    list prod        your files and one of them
    list --json      for programs

See also: new, plan, repair
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from commands.page import Page
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import file_sha256
from ops.layer import Ops
from ops.listing import Rows
from ops.listing import applied_rows
from ops.migrations import read_folder
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target

USAGE = "list [ENVIRONMENT]"
SUMMARY = "every migration: in your working tree, on the branches, in each environment"
GROUP = Group.LOOK
FRONTS = frozenset({Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    """What each environment has; the terminal of whoever asks lays it beside its own files (`commands.list_local`)."""
    targets = _targets(ops, said)
    said.progress(f"asking {', '.join(one.name for one in targets)}")
    with suppress(OpsError):  # what the mirror has is told, and each target says what it lacks
        ops.repository(targets[0]).update()
    with ThreadPoolExecutor(len(targets), "list") as beside:
        rows = list(beside.map(_rows, targets))
    found = [_told(ops, target, one) for target, one in zip(targets, rows, strict=True)]
    return Reply(Page("Migrations"), {"environments": found})


def _targets(ops: Ops, said: Said) -> list[Target]:
    if len(said.arguments) > 1:
        raise OpsError(Reason.BAD_USAGE, "`list` takes one environment or none.", f"Type `{USAGE}`.")
    if said.arguments:
        return [find_target(ops.settings, said.arguments[0])]
    targets = all_targets(ops.settings)
    if len({one.project for one in targets}) > 1:
        names = ", ".join(one.name for one in targets)
        raise OpsError(
            Reason.ENVIRONMENT_NEEDED, "There are several projects: say which environment.", f"One of {names}."
        )
    return targets


def _rows(target: Target) -> Rows | OpsError:
    try:
        return applied_rows(target)
    except OpsError as error:
        return error


def _told(ops: Ops, target: Target, rows: Rows | OpsError) -> dict[str, Any]:
    """One environment: what is applied (by version: name, hash, how many statements), and what its branch has."""
    problem = rows.message if isinstance(rows, OpsError) else ""
    applied = {} if isinstance(rows, OpsError) else rows
    branch: dict[str, dict[str, str]] = {}
    try:
        repository = ops.repository(target)
        files = repository.snapshot(repository.resolve(target.settings.branch)).files
        prefix = "migrations/"
        found = read_folder(
            {path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)}
        )
        branch = {one.version: {"name": one.name, "sha256": file_sha256(one)} for one in found.migrations}
    except OpsError as error:
        problem = problem or error.message
    return {
        "target": target.name,
        "environment": target.environment,
        "branch": target.settings.branch,
        "problem": problem or None,
        "is_known": not isinstance(rows, OpsError),
        "applied": applied,
        "branch_files": branch,
    }

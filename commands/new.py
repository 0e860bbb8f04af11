"""`new NAME`: a migration file whose version nobody has: not this folder, no branch, no environment, nobody else in the
same second."""

import argparse
import fcntl
import os
import re
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from commands.local_files import branch_versions
from commands.local_files import local_versions
from commands.local_files import migrations_folder
from commands.local_files import next_version
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.git import FILE_LIMIT_BYTES
from ops.layer import utc_now
from ops.masking import printable

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

Environments = Callable[[], dict[str, Any]]
"""What `list --json` answers; raises OpsError where nobody can be asked."""


def run_new(
    arguments: argparse.Namespace, environments: Environments, start: Path, now: Callable[[], datetime] = utc_now
) -> Reply:
    """Make the file and say where it is. Raises OpsError(BAD_USAGE) for a name that is none, or outside a project."""
    name = _checked_name("_".join(arguments.name))
    folder = migrations_folder(start)
    if folder is None:
        raise OpsError(
            Reason.BAD_USAGE,
            "Here is no project: neither this folder nor one above it has a folder `supabase`.",
            "Go into the repository, or make the folder first.",
        )
    content = _given() if arguments.from_stdin else b"-- What this migration does, and why:\n"
    taken, unasked = _elsewhere(environments)
    taken |= branch_versions(folder)
    folder.mkdir(exist_ok=True)
    with _alone_in(folder):
        version, behind = next_version(now(), taken | local_versions(folder))
        file = folder / f"{version}_{name}.sql"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as writing:
            writing.write(content)
    return _reply(file, start, version, behind, unasked)


def _checked_name(said: str) -> str:
    name = re.sub(r"\s+", "_", said.strip()).removesuffix(".sql")
    if not NAME.fullmatch(name) or name.endswith(".down"):
        raise OpsError(
            Reason.BAD_USAGE,
            f"{printable(said, 80)!r} cannot be the name of a migration.",
            "Take up to 100 letters, digits, _, - and dots, such as add_status; a file that ends in .down.sql undoes one.",
        )
    return name


def _given() -> bytes:
    content = sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise OpsError(
            Reason.BAD_USAGE, f"That is more than {FILE_LIMIT_BYTES // 2**20} MB.", "A push would refuse it."
        )
    return content


def _elsewhere(environments: Environments) -> tuple[set[str], list[str]]:
    """The versions that environments and their branches have, and why it is not known of others."""
    try:
        found = environments()["environments"]
    except OpsError as error:
        return set(), [f"No environment was asked: {error.message}"]
    taken = {str(one) for each in found for one in (*each["applied"], *each["branch_files"])}
    return taken, [f"{each['target']} was not asked: {each['problem']}" for each in found if each["problem"]]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Of several that make a file here at once, one at a time; the lock is gone with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _reply(file: Path, start: Path, version: str, behind: str | None, unasked: list[str]) -> Reply:
    shown = os.path.relpath(file, start)
    notes: list[Line] = [(one,) for one in unasked]
    if behind is not None:
        notes.append((f"Version {behind} sorts behind it, so it will count as older than what is applied.",))
    facts: list[tuple[str, Line]] = [("Note", note) for note in notes]
    following: Line = ("write the SQL into it, then ", Command(f"lint {shown}"), ".")
    data = {"file": shown, "version": version, "behind": behind, "not_asked": unasked}
    return Reply(Page(f"Made {shown}", [("Version", (Code(version),)), *facts], next=following, tone="good"), data)

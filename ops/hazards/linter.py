"""Locks and broken clients, as the linter squawk sees them. Which of its rules count, and how much, is said here.

squawk runs in an empty folder with a configuration of ours, on copies whose names we chose and in which nothing can
switch it off. It is a second opinion: it missing or failing is itself a hazard, never silence.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.hazards.linter_rules import EXCLUDED
from ops.hazards.linter_rules import LINTED
from ops.hazards.model import Found
from ops.hazards.model import Rule
from ops.hazards.squawk import SquawkTool
from ops.hazards.unchecked import IGNORE_COMMENT
from ops.masking import printable
from ops.migrations import Migration
from ops.scratch_removal import MEMORY

_SMALL_BYTES = 4 * 2**20
_FOLDERS = {True: "within", False: "alone"}


class LinterError(Exception):
    """squawk is not there or did not do its work; the message says which, for people."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that squawk found: its name for it, our rule. `found.line` counts from 1, `column` from 0."""

    migration: Migration
    name: str
    rule: Rule
    found: Found
    column: int


def lint(migrations: Sequence[Migration], tool: SquawkTool) -> Iterator[Finding]:
    """What squawk finds in the files, style apart. Raises LinterError when it cannot be asked."""
    program = tool.program()
    if program is None:
        raise LinterError("squawk is not installed here")
    readable = [migration for migration in migrations if "\0" not in migration.text]
    with tempfile.TemporaryDirectory(prefix="countersign-lint-", dir=_folder(readable)) as folder:
        for within in (True, False):
            chosen = {
                f"{number:06d}.sql": migration
                for number, migration in enumerate(readable)
                if _runs_within(migration) is within
            }
            if chosen:
                where = Path(folder) / _FOLDERS[within]
                yield from _run(program, where, chosen, within, tool.timeout_seconds)


def _folder(migrations: Sequence[Migration]) -> Path | None:
    """Where a thousand small files are made at once without waiting for a disk; None: where temporary files are usually."""
    is_small = sum(len(migration.content) for migration in migrations) <= _SMALL_BYTES
    return MEMORY if is_small and os.access(MEMORY, os.W_OK | os.X_OK) else None


def _runs_within(migration: Migration) -> bool:
    return all(segment.transactional for segment in migration.segments)


def _run(
    program: str, folder: Path, files: dict[str, Migration], within: bool, timeout_seconds: float
) -> Iterator[Finding]:
    folder.mkdir(mode=0o700)
    (folder / "squawk.toml").write_text("")
    for name, migration in files.items():
        # Same length, same lines: the comment stays, the linter no longer takes it for an order.
        text = IGNORE_COMMENT.sub(lambda found: found.group().replace("-", "_"), migration.text)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    command = [program, "--config", "squawk.toml", "--reporter", "json", "*.sql"]
    if within:
        command.append("--assume-in-transaction")
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env={},
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise LinterError(f"squawk did not end within {timeout_seconds:g} seconds") from None
    except OSError as error:
        raise LinterError(f"squawk could not be started ({error.strerror})") from None
    if ended.returncode not in (0, 1):  # 1: it found something
        raise LinterError(f"squawk ended with code {ended.returncode}")
    try:
        said: list[dict[str, Any]] = json.loads(ended.stdout or b"[]")
        for one in said:
            yield from _finding(files[one["file"]], one)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LinterError("squawk answered in a form that is not known") from None


def _finding(migration: Migration, said: dict[str, Any]) -> Iterator[Finding]:
    name = str(said["rule_name"])
    if name.startswith(("prefer-", "require-lock-", "require-statement-")) or name in EXCLUDED:
        return
    linted = LINTED.get(name)
    message = linted.message if linted else f"The linter says {printable(name)}."
    rule = linted.rule if linted else LINTED["syntax-error"].rule
    yield Finding(migration, name, rule, Found(message, int(said["line"]) + 1), int(said["column"]))

"""Repairing a history: rows are written as their files stand, or taken out. The SQL of no file is run.

For when the history says something else than the database is. Nothing is checked against the schema; `record` does that
for what was done by hand.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from enum import StrEnum

from ops.applied_files import read_applied
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import file_sha256
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Effect
from ops.migration import Folder
from ops.migration import Migration
from ops.migrations import read_folder
from ops.people import Actor
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.requests import Request
from ops.scripts import Script
from ops.targets import Target


class As(StrEnum):
    """What the history shall say of a version, in the Supabase CLI's words."""

    APPLIED = "applied"
    REVERTED = "reverted"


def request_repair(
    ops: Ops,
    target: Target,
    how: As,
    versions: Sequence[str],
    actor: Actor,
    act: str,
    progress: Progress = lambda _: None,
) -> Request:
    """Ask to have the history say of these versions that they are applied (as the branch's files stand), or are not.

    Raises OpsError: NOT_ALLOWED for a version that has no file, or no row, or is as it should be already; what reading
    and `propose` raise.
    """
    progress(f"reading the repository and {target.name}")
    applied = read_applied(target, ops.repository(target))
    rows = {row.version: row for row in applied.rows}
    files = files_at(ops, target, applied.commit)
    if how is As.APPLIED:
        scripts = [_applied(version, file_of(files, version, target), rows.get(version)) for version in versions]
    else:
        scripts = [_reverted(version, rows, target) for version in versions]
    proposal = Proposal(
        kind="repair",
        target=target,
        title="repair the history of",
        commit=applied.commit,
        fingerprint=applied.fingerprint,
        scripts=tuple(scripts),
        migrations=read_scripts_of(ops, target, applied.commit, scripts),
        does=(
            *(_words(script, rows) for script in scripts),
            "Nothing else is changed: the SQL of no file is run, and nothing is undone.",
        ),
        loses=tuple(_lost(script) for script in scripts if script.row is not None),
        proven=() if how is As.REVERTED else ("Nothing: nobody compared the target's schema with these files.",),
        facts={"as": how.value},
    )
    return propose(ops, proposal, actor, act)


def files_at(ops: Ops, target: Target, commit: str) -> Folder:
    """The migrations of a commit, read and judged."""
    files = ops.repository(target).snapshot(commit).files
    prefix = "migrations/"
    return read_folder({path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)})


def file_of(files: Folder, version: str, target: Target) -> Migration:
    """The one file of this version. Raises OpsError(NOT_ALLOWED)."""
    found = [one for one in files.migrations if one.version == version]
    if len(found) != 1:
        why = "has no file of that version" if not found else f"has {len(found)} files of that version"
        refused(
            Reason.NOT_ALLOWED,
            f"The branch {target.settings.branch} {why}: {version}.",
            "Commit its file first, with the bytes that were run." if not found else "Rename one of them first.",
        ).or_raise()
    return found[0]


def row_script(migration: Migration, effect: Effect, row: HistoryRow | None = None) -> Script:
    """A file of which everything is on the target already, so that only its history row is written."""
    return Script(
        version=migration.version,
        name=migration.name,
        filename=migration.filename,
        effect=effect,
        path=f"migrations/{migration.filename}",
        sha256=migration.sha256,
        done=len(migration.statements),
        row=row._replace(statements=None) if row is not None else None,
    )


def _applied(version: str, migration: Migration, row: HistoryRow | None) -> Script:
    if row is not None and row.sha256 == file_sha256(migration):
        refused(
            Reason.NOT_ALLOWED, f"The history says already that {migration.filename} is applied, as the file stands."
        ).or_raise()
    return row_script(migration, Effect.WRITES, row)


def _reverted(version: str, rows: Mapping[str, HistoryRow], target: Target) -> Script:
    row = rows.get(version)
    if row is None:
        refused(Reason.NOT_ALLOWED, f"The history of {target.name} has no version {version}.").or_raise()
        raise ValueError(version)
    name = row.name or ""
    return Script(version, name, f"{version}_{name}.sql", Effect.REMOVES, row=row._replace(statements=None))


def _words(script: Script, rows: Mapping[str, HistoryRow]) -> str:
    row = rows.get(script.version)
    if script.effect is Effect.REMOVES:
        return f"Removes the row {_named(row)}. What it did stays; a file of that version is pending again."
    if row is None:
        return f"Adds the row {script.version} with the {_count(script.done)} of {script.filename}, as applied."
    return f"Replaces the row {_named(row)} by the {_count(script.done)} of {script.filename} as the file stands now."


def _lost(script: Script) -> str:
    return f"The history no longer says what ran as {script.version}: the row's statements go with it."


def _named(row: HistoryRow | None) -> str:
    if row is None:
        return ""
    stored = "no statements" if row.stored is None else _count(row.stored)
    sha256 = f", sha256 {row.sha256[:16]}" if row.sha256 else ""
    return f"{row.version} ({row.name or 'without a name'}, {stored}{sha256})"


def _count(statements: int) -> str:
    return f"{statements} statement{'' if statements == 1 else 's'}"


KIND = Kind()

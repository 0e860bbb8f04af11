"""Repairing a history: rows are written as their files stand, or taken out. The SQL of no file is run.

For when the history says something else than the database is. Nothing is checked against the schema; `record` does that
for what was done by hand.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from enum import StrEnum

from ops.applied_files import read_applied
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import file_sha256
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.migration import Effect
from ops.migration import Folder
from ops.migration import Migration
from ops.migrations import read_folder
from ops.people import Actor
from ops.proposing import Proposal
from ops.proposing import people_of
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.repository import Author
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

    What is so already is left out. Raises NothingToDoError where all of it is; OpsError: UNKNOWN_VERSION for a version that
    has no file (nor a row, to be taken out); what reading and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    progress(f"reading the repository and {target.name}")
    applied = read_applied(target, ops.repository(target))
    rows = {row.version: row for row in applied.rows}
    files = files_at(ops, target, applied.commit)
    if how is As.APPLIED:
        found = [_applied(file_of(files, version, target), rows.get(version)) for version in versions]
    else:
        found = [_reverted(version, rows, files, target) for version in versions]
    scripts = [one for one in found if one is not None]
    if not scripts:
        said = "applied, as the file stands" if how is As.APPLIED else "not applied"
        raise NothingToDoError(f"{target.name}: nothing to do, its history says already that {_and(versions)} {said}")
    authors, unknown = people_of(ops, authors_of(ops, target, applied.commit, files, versions))
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
        authors=authors,
        unknown_authors=unknown,
    )
    return propose(ops, proposal, actor, act)


def files_at(ops: Ops, target: Target, commit: str) -> Folder:
    """The migrations of a commit, read and judged."""
    files = ops.repository(target).snapshot(commit).files
    prefix = "migrations/"
    return read_folder({path.removeprefix(prefix): text for path, text in files.items() if path.startswith(prefix)})


def file_of(files: Folder, version: str, target: Target) -> Migration:
    """The one file of this version. Raises OpsError(UNKNOWN_VERSION)."""
    found = [one for one in files.migrations if one.version == version]
    if len(found) != 1:
        why = "has no file of that version" if not found else f"has {len(found)} files of that version"
        raise OpsError(
            Reason.UNKNOWN_VERSION,
            f"The branch {target.settings.branch} {why}: {version}.",
            "Commit its file first, with the bytes that were run." if not found else "Rename one of them first.",
        )
    return found[0]


def authors_of(ops: Ops, target: Target, commit: str, files: Folder, versions: Collection[str]) -> tuple[Author, ...]:
    """Who wrote the files of these versions, as far as the commit has them."""
    paths = [f"migrations/{one.filename}" for one in files.migrations if one.version in versions]
    return ops.repository(target).authors(commit, None, paths)


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


def _applied(migration: Migration, row: HistoryRow | None) -> Script | None:
    """What makes it so; None where it is so already."""
    if row is not None and row.sha256 == file_sha256(migration):
        return None
    return row_script(migration, Effect.WRITES, row)


def _reverted(version: str, rows: Mapping[str, HistoryRow], files: Folder, target: Target) -> Script | None:
    """The same; raises OpsError(UNKNOWN_VERSION) for a version of which nobody has heard."""
    row = rows.get(version)
    if row is None and any(one.version == version for one in files.migrations):
        return None
    if row is None:
        message = (
            f"Neither the history of {target.name} nor the branch {target.settings.branch} has a version {version}."
        )
        raise OpsError(Reason.UNKNOWN_VERSION, message, f"See what it has: `plan {target.environment}`.")
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


def _and(versions: Sequence[str]) -> str:
    return f"{', '.join(versions)} {'is' if len(versions) == 1 else 'are'}"


def _count(statements: int) -> str:
    return f"{statements} statement{'' if statements == 1 else 's'}"


KIND = Kind()

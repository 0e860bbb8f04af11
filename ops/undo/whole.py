"""Going back to a whole backup: every table of the project's own as it was then, in one transaction."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import psycopg
from psycopg import sql

from ops.backup_catalog import Table
from ops.backup_catalog import content_of
from ops.backup_catalog import use_plain_output
from ops.backups import Backup
from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.drift_replay import Unwatched
from ops.drift_replay import schema_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryRow
from ops.history import ensure_history
from ops.history import read_history
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Effect
from ops.migration import Migration
from ops.prior.put_back import columns_now
from ops.prior.put_back import quiet_triggers
from ops.prior.put_back import rows_said
from ops.prior.put_back import statements_of
from ops.prior.tables import Kept
from ops.prior.tables import shape_of
from ops.prior.touching import What
from ops.prior.weaving import woven
from ops.proposing import Proposal
from ops.proposing import read_scripts_of
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.rehearsal.covering import covering
from ops.rehearsal.dump_cache import is_managed
from ops.rehearsal.files import run_files
from ops.schema.deriving import derive
from ops.schema.grants import quoted
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.targets import Target
from ops.undo.base import cache_of
from ops.undo.base import differing
from ops.undo.contents import counted
from ops.undo.contents import lost_between
from ops.undo.contents import read_columns
from ops.undo.from_tables import LOADING_STEPS
from ops.undo.from_tables import VERIFIED
from ops.undo.from_tables import backup_before
from ops.undo.from_tables import facts_of
from ops.undo.from_tables import side_for
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.prior_copy import refuse_underived
from ops.undo.proving import MOST_BYTES
from ops.undo.proving import NotProvenError
from ops.undo.source import Source
from ops.undo.source import own_tables
from ops.undo.source import restored

TITLE = "Everything back to the verified backup"
_NAMED = 12


@dataclass(frozen=True)
class _Now:
    """The target before it goes back."""

    fingerprint: Fingerprint
    rows: tuple[HistoryRow, ...]


def whole_offer(ops: Ops, past: Past, progress: Progress) -> Offer:
    """The last way: the whole backup from before the request, with all that was written since counted.

    Raises OpsError where target, backup or copy cannot be had; what cannot be proven is an offer without a proposal.
    """
    try:
        backup = backup_before(ops, past)
        proposal = _proposal(ops, past.target, backup, past.request.id, past.request.commit, progress)
    except NotProvenError as error:
        return Offer(Way.RESTORE, TITLE, because=str(error))
    except OpsError as error:
        if error.reason not in (Reason.BACKUP_DAMAGED, Reason.BAD_CONFIG):
            raise
        return Offer(Way.RESTORE, TITLE, because=error.message)
    return Offer(Way.RESTORE, TITLE, proposal, proposal.does, proposal.loses, proposal.proven)


def restore_proposal(ops: Ops, target: Target, backup: Backup, progress: Progress) -> Proposal:
    """Going back to this backup of the target, proven on a copy, as a request that may be asked for.

    Raises OpsError NOT_ALLOWED where it is another target's, not verified or cannot be proven, and what reading raises.
    """
    if backup.target != target.name:
        message = f"The backup {backup.id} is of {backup.target}, and not of {target.name}."
        raise OpsError(Reason.NOT_ALLOWED, message, "Restore it into a database of its own: --to scratch.", exit_code=3)
    if backup.level not in VERIFIED:
        message = f"The backup {backup.id} is {backup.level}: nobody has seen it restored."
        raise OpsError(Reason.NOT_ALLOWED, message, "Restore it into a database of its own: --to scratch.", exit_code=3)
    repository = ops.repository(target)
    repository.update()
    commit = repository.resolve(target.settings.branch)
    try:
        return _proposal(ops, target, backup, backup.request, commit, progress)
    except NotProvenError as error:
        raise OpsError(
            Reason.NOT_ALLOWED, f"{target.name} cannot go back to {backup.id}. {error}", exit_code=3
        ) from None


def _proposal(ops: Ops, target: Target, backup: Backup, of: str | None, commit: str, progress: Progress) -> Proposal:
    try:
        with (
            restored(ops, backup, progress, ops.rehearsals.is_over) as source,
            closing(connect(target.database_url(), purpose=f"look at {target.name}")) as here,
        ):
            rows = read_history(here)
            now = _Now(read_fingerprint(here, project_ref=target.settings.project_ref, history=rows), tuple(rows))
            copies = _copies(source, backup)
            progress("counting what was written since the backup")
            since = _written_since(source, here, copies)
            sql_text = _text(target, source, here, copies)
            scripts = _scripts(source, now, backup, sql_text)
            migrations = read_scripts_of(ops, target, commit, scripts)
            proof, loses, expected = _proven(ops, target, source, copies, migrations, progress)
    except psycopg.Error as error:
        raise target_failed(target.name, error) from error
    gone = [one.version for one in scripts if one.effect is Effect.REMOVES]
    does = (
        f"Every table of the project's own ({len(copies)}) goes back to the backup {backup.id} of "
        f"{backup.taken_at:%Y-%m-%d %H:%M} UTC, {backup.level}; so do its definitions and sequences.",
        "The rows are laid beside first, which takes as much room again; then all of it is one transaction, in which nobody "
        "can read or write these tables.",
        "Schemas of the platform (auth, storage and the like) and roles stay as they are.",
        *([f"{', '.join(gone)} {'goes' if len(gone) == 1 else 'go'} out of the history."] if gone else []),
    )
    return Proposal(
        kind="restore",
        target=target,
        title=f"go back to the backup {backup.id} on",
        commit=commit,
        fingerprint=now.fingerprint,
        of=of,
        scripts=scripts,
        migrations=migrations,
        does=does,
        loses=(*since, *loses),
        proven=(f"The backup {backup.id} was restored into a throw-away database for this once more.", *proof),
        facts=facts_of(Way.RESTORE, backup, copies),
        expected=expected,
        steps=LOADING_STEPS,
    )


def _copies(source: Source, backup: Backup) -> tuple[Kept, ...]:
    found = []
    for number, _, _ in source.own_tables():
        shape = shape_of(source.connection, number)
        if shape is not None:
            found.append(replace(side_for(shape, backup, What.TABLE, "0", 0, 0), sequences=()))
    return tuple(found)


def _written_since(source: Source, here: Connection, copies: Sequence[Kept]) -> tuple[str, ...]:
    """Sentences with numbers: in all first, then by table."""
    by_table = []
    total = [0, 0, 0]
    for kept in copies:
        columns = columns_now(here, kept.of)
        if not columns:
            continue
        numbers = source.written_since(here, kept, columns)
        total = [one + other for one, other in zip(total, numbers, strict=True)]
        if any(numbers):
            by_table.append(f"{kept.name}: {_numbers(*numbers)}")
    if not any(total):
        return ("No row was written since the backup in a table that it has.",)
    named = by_table[:_NAMED]
    if len(by_table) > _NAMED:
        named.append(f"{len(by_table) - _NAMED} more tables")
    return (f"Since the backup {_numbers(*total)}; all of that is undone.", *(f"{one}." for one in named))


def _numbers(new: int, changed: int, gone: int) -> str:
    return f"{rows_said(new)} written, {changed:,} changed, {gone:,} deleted"


def _text(target: Target, source: Source, here: Connection, copies: Sequence[Kept]) -> str:
    """The schema without foreign keys, then the rows, then what looks at rows."""
    keys = [
        entry
        for entry in source.schema.entries.values()
        if entry.key.kind == "fk constraint" and not is_managed(entry.key.schema)
    ]
    without = {key: entry for key, entry in source.schema.entries.items() if entry not in keys}
    before = Schema(MappingProxyType(without), source.schema.server, source.schema.database, source.schema.not_read)
    derived = derive(read_schema(target.database_url()), before, schemas_left_out=MANAGED_SCHEMAS)
    refuse_underived(derived)
    triggers = quiet_triggers(here, {one.of for one in copies})
    stay = {
        table: [name for name in names if Key("trigger", table[0], f"{table[1]} {name}") in before.entries]
        for table, names in triggers.items()
    }
    # Before anything is made NOT NULL or unique again; all in one, since they refer to each other.
    emptied = ", ".join(sql.Identifier(schema, name).as_string() for _, schema, name in own_tables(here))
    rows = [
        *statements_of(copies, stay),
        *(
            f"SELECT pg_catalog.setval({sql.Literal(name).as_string().strip()}, {last}, true)"
            for name, last in source.sequences()
            if last is not None
        ),
    ]
    views = [
        f"REFRESH MATERIALIZED VIEW {quoted(entry.key.schema)}.{quoted(entry.key.name)}"
        for entry in before.entries.values()
        if entry.key.kind == "materialized view" and not is_managed(entry.key.schema)
    ]
    behind = [entry.definition for entry in sorted(keys, key=lambda one: one.place)]
    return woven(derived, rows, (), first=[f"TRUNCATE {emptied}"] if emptied else [], last=[*behind, *views])


def _scripts(source: Source, now: _Now, backup: Backup, text: str) -> tuple[Script, ...]:
    """All of it with the newest row that goes; with a name of its own where none goes."""
    there = source.history()
    missing = sorted(there - {row.version for row in now.rows})
    if missing:
        raise NotProvenError(f"The backup's history has {', '.join(missing[:5])}, which the target's has not any more.")
    filename = f"back to {backup.id}.sql"
    gone = [row for row in reversed(now.rows) if row.version not in there]
    if not gone:
        version = f"{backup.taken_at:%Y%m%d%H%M%S}"
        return (Script(version=version, name="restore", filename=filename, effect=Effect.KEEPS, sql=text),)
    return tuple(
        Script(
            version=row.version,
            name=row.name or "",
            filename=filename if number == 0 else f"{row.version} taken back.sql",
            effect=Effect.REMOVES,
            sql=text if number == 0 else "",
            row=row,
        )
        for number, row in enumerate(gone)
    )


def _proven(
    ops: Ops,
    target: Target,
    source: Source,
    copies: Sequence[Kept],
    scripts: Sequence[Migration],
    progress: Progress,
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str] | None]:
    """On a copy of the target as it is now: sentences of proof, what goes with what it holds, and the schema's hashes."""
    with_rows = target.settings.with_data or source.about.catalog.database_bytes <= MOST_BYTES
    folder = target.all_settings.postgres.encrypted_folder
    try:
        with open_copy(
            target.database_url(),
            tools_bin=target.all_settings.postgres.bin,
            with_data=with_rows,
            data_folder=target.all_settings.path(Path(folder)) if folder else None,
            cache=cache_of(ops),
            limits=None if with_rows else COPY_LIMITS,
            demand=target.settings.isolation,
            progress=progress,
            stop=ops.rehearsals.is_over,
        ) as copy:
            return _on(ops, target, source, copies, scripts, copy, with_rows, progress)
    except OpsError as error:
        if error.reason is not Reason.NOT_ALLOWED:
            raise
        raise NotProvenError(f"It could not be tried on a copy. {error.message}") from None


def _on(
    ops: Ops,
    target: Target,
    source: Source,
    copies: Sequence[Kept],
    scripts: Sequence[Migration],
    copy: Copy,
    with_rows: bool,
    progress: Progress,
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str] | None]:
    progress("going back on the copy")
    with closing(copy.ask()) as ask:
        now = read_columns(ask)
    with closing(copy.connect()) as there:
        ensure_history(there)
        for kept in copies:
            source.pour(there, kept, empty=not with_rows)
    ran = run_files(
        copy,
        Unwatched(),
        scripts,
        limits=COPY_LIMITS,
        covering=covering(scripts, source.schema) if with_rows else None,
        progress=progress,
        stop=ops.rehearsals.is_over,
    )
    failed = next((one for one in ran if one.outcome != "passed"), None)
    if failed is not None:
        error = failed.error or {}
        line = f", line {error['line']}" if error.get("line") else ""
        raise NotProvenError(
            f"On the copy it failed{line}: {str(error.get('message') or 'it did not run').rstrip('.')}."
        )
    left = differing(schema_of(copy), source.schema)
    if left:
        names = ", ".join(sorted(".".join(part for part in name[1:] if part) for name in left)[:5])
        raise NotProvenError(f"Behind it the copy's schema is not the backup's: {names}.")
    said = ["Behind it the copy's schema is, object by object, that of the backup."]
    said.append(
        _same_rows(source, copies, copy) if with_rows else "The copy had no rows, since there are too many of them."
    )
    with closing(copy.ask()) as ask:
        lost = lost_between(now, read_columns(ask))
    hashes = {one.version: one.catalog_sha256 or "" for one in ran} if copy.is_exact else None
    return tuple(said), counted(target, lost, now), hashes


def _same_rows(source: Source, copies: Sequence[Kept], copy: Copy) -> str:
    """Raises NotProvenError unless every table holds what the backup holds, by a hash of all its rows."""
    total = 0
    with closing(copy.connect()) as there:
        use_plain_output(there)
        for kept in copies:
            table = Table(0, *kept.of, tuple(one.name for one in kept.columns))
            held = content_of(source.connection, table, with_hash=True)
            if content_of(there, table, with_hash=True) != held:
                raise NotProvenError(f"Behind it {kept.name} does not hold the rows of the backup.")
            total += held.rows
    return f"All {len(copies)} tables held the backup's {rows_said(total)} there, by their hashes."

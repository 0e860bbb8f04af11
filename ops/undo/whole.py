"""Going back to a whole backup: every table of the project's own as it was then, in one transaction."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
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
from ops.layer import may_request_now
from ops.migration import Effect
from ops.people import Actor
from ops.prior.around import quiet_triggers
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
from ops.rehearsal.files import Looking
from ops.rehearsal.files import run_files
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Rehearsal
from ops.requests import Request
from ops.requests import find_request
from ops.schema.deriving import derive
from ops.schema.grants import quoted
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.scripts import scripts_of
from ops.targets import Target
from ops.undo.base import cache_of
from ops.undo.base import differing
from ops.undo.contents import Columns
from ops.undo.contents import Lost
from ops.undo.contents import counted
from ops.undo.contents import lost_between
from ops.undo.contents import named
from ops.undo.contents import read_columns
from ops.undo.from_tables import LOADING_STEPS
from ops.undo.from_tables import VERIFIED
from ops.undo.from_tables import backup_before
from ops.undo.from_tables import facts_of
from ops.undo.from_tables import side_for
from ops.undo.losses import loss_facts
from ops.undo.losses import since_said
from ops.undo.losses import written_since
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.prior_copy import refuse_underived
from ops.undo.proving import MOST_BYTES
from ops.undo.proving import NotProvenError
from ops.undo.source import Source
from ops.undo.source import own_tables
from ops.undo.source import restored
from ops.undo.told_names import names_in
from ops.undo.trying import Trying
from ops.undo.trying import watched
from ops.undo.writes import tables_made

_Proven = tuple[tuple[str, ...], Lost, Columns, dict[str, str] | None]

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
        proposal = _proposal(ops, past.target, backup, past.actor, past.chain, past.request.commit, progress)
    except NotProvenError as error:
        return Offer(Way.RESTORE, TITLE, because=str(error))
    except OpsError as error:
        if error.reason not in (Reason.BACKUP_DAMAGED, Reason.BAD_CONFIG):
            raise
        return Offer(Way.RESTORE, TITLE, because=error.message)
    return Offer(Way.RESTORE, TITLE, proposal, proposal.does, proposal.loses, proposal.proven)


def restore_proposal(ops: Ops, target: Target, backup: Backup, actor: Actor, progress: Progress) -> Proposal:
    """Going back to this backup of the target, proven on a copy, as a request that may be asked for.

    Raises OpsError NOT_ALLOWED for who may not ask there, where it is another target's, not verified or cannot be proven,
    and what reading raises.
    """
    may_request_now(ops, target, actor).or_raise()
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
        requests = (find_request(ops.view, backup.request),) if backup.request else ()
        with ops.rehearsals.turn(f"restore {target.name}", lambda: progress("waits for another one")):
            return _proposal(ops, target, backup, actor, requests, commit, progress)
    except NotProvenError as error:
        raise OpsError(
            Reason.NOT_ALLOWED, f"{target.name} cannot go back to {backup.id}. {error}", exit_code=3
        ) from None


def _proposal(
    ops: Ops,
    target: Target,
    backup: Backup,
    actor: Actor,
    requests: Sequence[Request],
    commit: str,
    progress: Progress,
) -> Proposal:
    """`requests`: what is to be undone, newest first; tables that none of them made are named before all else."""
    try:
        with (
            restored(ops, backup, progress, ops.rehearsals.is_over) as source,
            closing(connect(target.database_url(), purpose=f"look at {target.name}")) as here,
        ):
            rows = read_history(here)
            now = _Now(read_fingerprint(here, project_ref=target.settings.project_ref, history=rows), tuple(rows))
            copies = _copies(source, backup)
            progress("counting what was written since the backup")
            since = written_since(source, here, copies)
            sql_text = _text(target, source, here, copies)
            scripts = _scripts(source, now, backup, sql_text)
            migrations = read_scripts_of(ops, target, commit, scripts)
            with_rows = target.settings.with_data or source.about.catalog.database_bytes <= MOST_BYTES
            trying = Trying(ops, target, actor, commit, migrations, migrations, with_rows)
            (proof, lost, columns, expected), tried = trying.do(partial(_proven, trying, source, copies, progress))
    except psycopg.Error as error:
        raise target_failed(target.name, error) from error
    losses = counted(target, lost, columns)
    gone = [one.version for one in scripts if one.effect is Effect.REMOVES]
    does = (
        f"The project's own tables and their rows go back to the backup {backup.id} of "
        f"{backup.taken_at:%Y-%m-%d %H:%M} UTC, {backup.level}, which has {_tables(len(copies))}; so do definitions and "
        "sequences.",
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
        of=requests[0].id if requests else None,
        scripts=scripts,
        migrations=migrations,
        does=does,
        loses=(*_others(ops, requests, lost), *since_said(copies, since), *(one.said for one in losses)),
        proven=(f"The backup {backup.id} was restored into a throw-away database for this once more.", *proof),
        facts={**facts_of(Way.RESTORE, backup, copies), **loss_facts(losses, since=since)},
        expected=expected,
        tried=tried,
        steps=LOADING_STEPS,
    )


def _others(ops: Ops, requests: Sequence[Request], lost: Lost) -> tuple[str, ...]:
    """The tables that go and that no statement of the requests made: what others made since goes with it."""
    try:
        made = tables_made([file for one in requests for file in scripts_of(ops, one)])
    except OpsError:  # its commit is gone: then nothing is known to be its own
        made = frozenset()
    names = [named(table) for table in lost.tables if table[1] not in made]
    if not names:
        return ()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    by = f"Not made by a statement of {requests[0].id}" if requests else "Made since the backup"
    return (f"{by}, and gone with this all the same: {', '.join(names[:_NAMED])}{more}.",)


def _copies(source: Source, backup: Backup) -> tuple[Kept, ...]:
    found = []
    for number, _, _ in source.own_tables():
        shape = shape_of(source.connection, number)
        if shape is not None:
            found.append(replace(side_for(shape, backup, What.TABLE, "0", 0, 0), sequences=()))
    return tuple(found)


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
    triggers = quiet_triggers(here, {one.of for one in copies}, before)
    # Before anything is made NOT NULL or unique again; all in one, since they refer to each other.
    emptied = ", ".join(sql.Identifier(schema, name).as_string() for _, schema, name in own_tables(here))
    rows = [
        *statements_of(copies, triggers),
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


def _proven(trying: Trying, source: Source, copies: Sequence[Kept], progress: Progress) -> tuple[_Proven, Rehearsal]:
    """On a copy of the target as it is now: sentences of proof, what goes, the columns now, and the schema's hashes."""
    ops, target, with_rows = trying.ops, trying.target, trying.with_rows
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
            return _on(trying, source, copies, copy, progress)
    except OpsError as error:
        if error.reason is not Reason.NOT_ALLOWED:
            raise
        raise NotProvenError(f"It could not be tried on a copy. {error.message}") from None


def _on(
    trying: Trying, source: Source, copies: Sequence[Kept], copy: Copy, progress: Progress
) -> tuple[_Proven, Rehearsal]:
    scripts, with_rows = trying.scripts, trying.with_rows
    progress("going back on the copy")
    with closing(copy.ask()) as ask:
        now = read_columns(ask)
    with closing(copy.connect()) as there:
        ensure_history(there)
        for kept in copies:
            source.pour(there, kept, empty=not with_rows)
    ran, rehearsal = watched(
        copy,
        trying.target,
        with_rows=with_rows,
        run=lambda tracer: _ran(trying, source, copy, tracer, progress),
    )
    left = differing(schema_of(copy), source.schema)
    if left:
        names = names_in(scripts, source.schema)
        raise NotProvenError(f"Behind it the copy's schema is not the backup's: {names.some(left)}.")
    said = ["Behind it the copy's schema is, object by object, that of the backup."]
    said.append(
        _same_rows(source, copies, copy) if with_rows else "The copy had no rows, since there are too many of them."
    )
    with closing(copy.ask()) as ask:
        lost = lost_between(now, read_columns(ask))
    hashes = {one.version: one.catalog_sha256 or "" for one in ran} if copy.is_exact else None
    return (tuple(said), lost, now, hashes), rehearsal


def _ran(trying: Trying, source: Source, copy: Copy, tracer: Looking, progress: Progress) -> tuple[FileFacts, ...]:
    scripts = trying.scripts
    ran = run_files(
        copy,
        tracer,
        scripts,
        limits=COPY_LIMITS,
        covering=covering(scripts, source.schema) if trying.with_rows else None,
        progress=progress,
        stop=trying.ops.rehearsals.is_over,
    )
    failed = next((one for one in ran if one.outcome != "passed"), None)
    if failed is not None:
        error = failed.error or {}
        line = f", line {error['line']}" if error.get("line") else ""
        why = names_in(scripts, source.schema).covered(str(error.get("message") or "it did not run").rstrip("."))
        raise NotProvenError(f"On the copy it failed{line}: {why}.")
    return ran


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
    if not copies:
        return "The backup has no table whose rows could be compared."
    said = "The one table of the backup held its" if len(copies) == 1 else f"All {len(copies)} tables held the backup's"
    return f"{said} {rows_said(total)} there, by their hashes."


def _tables(count: int) -> str:
    return f"{count} table{'' if count == 1 else 's'}" if count else "no table"

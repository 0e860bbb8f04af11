"""Undoing with single tables out of the verified backup: put beside the target's own, then merged row by row."""

import secrets
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace

import psycopg

from ops.backups import Backup
from ops.backups import all_backups
from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Migration
from ops.prior.around import quiet_triggers
from ops.prior.copies import shown_of
from ops.prior.put_back import Found
from ops.prior.put_back import columns_now
from ops.prior.put_back import count_rows
from ops.prior.put_back import rows_said
from ops.prior.put_back import statements_of
from ops.prior.tables import Kept
from ops.prior.tables import Shape
from ops.prior.tables import children_of
from ops.prior.tables import shape_of
from ops.prior.touching import Touch
from ops.prior.touching import What
from ops.prior.touching import touches
from ops.prior.weaving import woven
from ops.proposing import Proposal
from ops.proposing import read_scripts_of
from ops.rehearsal.copy import Copy
from ops.schema.deriving import derive
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.steps import STEPS
from ops.undo.base import Base
from ops.undo.contents import counted
from ops.undo.losses import loss_facts
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.prior_copy import check_back
from ops.undo.prior_copy import filled_columns
from ops.undo.prior_copy import refuse_underived
from ops.undo.prior_copy import scripts_for
from ops.undo.proving import NotProvenError
from ops.undo.proving import prove
from ops.undo.source import Source
from ops.undo.source import restored

TITLE = "Single tables out of the verified backup, merged by a person's leave"
VERIFIED = ("restored", "identical")
"""The levels of proof that a backup must have for its rows to be put back."""

LOADING_STEPS = tuple(step for name in STEPS for step in (("load", name) if name == "migrate" else (name,)))
_MOST_ALONG = 20


@dataclass(frozen=True)
class _Merged:
    """One copy to be made of a table in the backup, what it meets on the target, and what is to be said of it."""

    kept: Kept
    rows: int
    does: str
    loses: tuple[str, ...] = ()
    set_back: int | None = None
    """So many rows that hold something else now are overwritten; None where the copy overwrites none."""


def tables_offer(ops: Ops, past: Past, progress: Progress) -> Offer:
    """The way by the tables that the files took something away from, as the backup before them holds them.

    Raises OpsError where target, backup or copy cannot be had; what cannot be proven is an offer without a proposal.
    """
    try:
        backup = backup_before(ops, past)
        if not past.files or past.half is not None:
            raise NotProvenError("A file of it ran in part, or none of them stands.")
        with restored(ops, backup, progress, ops.rehearsals.is_over) as source:
            return _offer(ops, past, backup, source, progress)
    except NotProvenError as error:
        return Offer(Way.TABLES, TITLE, because=str(error))
    except OpsError as error:
        if error.reason not in (Reason.BACKUP_DAMAGED, Reason.BAD_CONFIG):
            raise
        return Offer(Way.TABLES, TITLE, because=error.message)
    except psycopg.Error as error:
        raise target_failed(past.target.name, error) from error


def backup_before(ops: Ops, past: Past) -> Backup:
    """The newest verified backup that was taken before the first of the files ran. Raises NotProvenError."""
    first = past.chain[-1]
    began = next((event.at for event in ops.view.events(stream=first.stream) if event.kind == "statement_sent"), None)
    for backup in all_backups(ops.view, past.target.project, past.target.environment):
        if backup.level in VERIFIED and backup.is_there and began is not None and backup.taken_at <= began:
            return backup
    raise NotProvenError(
        f"No backup of {past.target.name} from before {first.id} was proven by restoring it and is there."
    )


def _offer(ops: Ops, past: Past, backup: Backup, source: Source, progress: Progress) -> Offer:
    url = past.target.database_url()
    progress("comparing its tables with the target's")
    with closing(connect(url, purpose=f"look at {past.target.name}")) as here:
        wanted = list(_wanted(past, source, backup))
        come_back = {one.of for one in wanted if one.what == What.DELETED}
        merged = [_met(source, here, kept, backup, come_back) for kept in wanted]
        if not merged:
            raise NotProvenError("Its files took nothing away from a table that the backup has.")
        copies = tuple(one.kept for one in merged)
        triggers = quiet_triggers(here, {one.of for one in copies}, source.schema)
    derived = derive(read_schema(url), source.schema, schemas_left_out=MANAGED_SCHEMAS)
    refuse_underived(derived)

    def scripts_with(at_least: Mapping[Kept, int]) -> tuple[tuple[Script, ...], tuple[Migration, ...]]:
        rows = statements_of(copies, triggers, at_least=at_least)
        made = scripts_for(past, woven(derived, rows, filled_columns(copies)))
        return made, read_scripts_of(ops, past.target, past.request.commit, made)

    scripts, migrations = scripts_with({one.kept: one.rows for one in merged})
    _, again = scripts_with({})

    def prepare(copy: Copy, with_rows: bool) -> tuple[str, ...]:
        with closing(copy.connect()) as there:
            for side in sides_of(copies):
                source.pour(there, side, empty=not with_rows)
        return ()

    def check(copy: Copy, with_rows: bool) -> tuple[str, ...]:
        return check_back(copy, with_rows, [Found(one.kept, one.rows, ()) for one in merged])

    base = Base(source.schema, None, f"the backup {backup.id}")
    shown = prove(
        ops, past, migrations, lambda: base, progress, prepare=prepare, check=check, rows_again=False, again=again
    )
    does = (
        f"It takes {', '.join(dict.fromkeys(one.kept.name for one in merged))} out of the backup {backup.id} of "
        f"{backup.taken_at:%Y-%m-%d %H:%M} UTC into tables of its own beside them, then merges.",
        *(one.does for one in merged if one.does),
        f"The schema goes back to what it was: {sum(len(one.statements) for one in derived)} statements.",
        f"{', '.join(row.version for row in past.rows)} {'goes' if len(past.rows) == 1 else 'go'} out of the history.",
    )
    losses = counted(past.target, shown.lost, shown.columns)
    loses = (
        *(said for one in merged for said in one.loses),
        *_inserted(past),
        *(one.said for one in losses),
        f"What was written between the backup ({backup.taken_at:%Y-%m-%d %H:%M} UTC) and {past.request.id} into what it took "
        "away is in no backup.",
    )
    proposal = Proposal(
        kind="restore",
        target=past.target,
        title=f"put tables back from before {past.request.id} on",
        commit=past.request.commit,
        fingerprint=past.now,
        of=past.request.id,
        scripts=scripts,
        migrations=migrations,
        does=does,
        loses=loses,
        proven=(f"The backup {backup.id} was restored into a throw-away database for this once more.", *shown.proof),
        tried=shown.tried,
        facts={
            **facts_of(Way.TABLES, backup, copies),
            **loss_facts(losses, set_back=[(one.kept, one.set_back) for one in merged if one.set_back is not None]),
        },
        expected=dict(zip((one.version for one in scripts), shown.expected, strict=True)) if shown.expected else None,
        steps=LOADING_STEPS,
    )
    return Offer(Way.TABLES, TITLE, proposal, does, loses, proposal.proven)


def _inserted(past: Past) -> list[str]:
    tables = {
        touch.relation.replace('"', "")
        for file in past.files
        for found in touches(file).values()
        for touch in found
        if touch.what is What.INSERTED
    }
    return [f"What it inserted into {', '.join(sorted(tables))} stays."] if tables else []


def facts_of(way: Way, backup: Backup, copies: Sequence[Kept]) -> dict[str, object]:
    """What the run needs to fill the tables beside the target's own."""
    return {
        "way": way.value,
        "backup": {"id": backup.id, "sha256": backup.sha256, "taken_at": backup.taken_at.isoformat()},
        "sides": [one.to_json() for one in sides_of(copies)],
    }


def sides_of(copies: Sequence[Kept]) -> tuple[Kept, ...]:
    """The tables that are to be made; several copies may stand in one."""
    return tuple({one.table: one for one in copies}.values())


def side_for(shape: Shape, backup: Backup, what: What, version: str, statement: int, line: int) -> Kept:
    """A copy of a whole table in the backup, under a name of its own."""
    return Kept(
        what=what.value,
        table=f"backup_{backup.id}_{shape.oid}_{secrets.token_hex(3)}",
        version=version,
        statement=statement,
        line=line,
        of=(shape.schema, shape.name),
        columns=shape.columns,
        key=shape.key,
        sequences=shape.sequences if what is What.TABLE else (),
    )


def _wanted(past: Past, source: Source, backup: Backup) -> Iterator[Kept]:
    """What the files took away, as tables of the backup; each table is taken out of it once."""
    shown = {version: one for request in past.chain for version, one in shown_of(request).items()}
    tables: dict[int, str] = {}
    seen: set[tuple[int, What, tuple[str, ...]]] = set()
    for file in past.files:
        for index, found in touches(file, shown.get(file.version)).items():
            for touch in found:
                oid = source.find(touch.relation, by_name=touch.by_name)
                shape = shape_of(source.connection, oid) if oid is not None else None
                if shape is None:
                    continue  # made by the files themselves
                if shape.has_heirs:
                    raise NotProvenError(
                        f"Other tables inherit from {shape}, and which of them held a row would be lost."
                    )
                for what, sets, table in _with_children(source, shape, touch):
                    if (table.oid, what, sets) in seen:
                        continue
                    seen.add((table.oid, what, sets))
                    line = file.statements[index].word_line
                    side = side_for(table, backup, what, file.version, index, line)
                    name = tables.setdefault(table.oid, side.table)
                    yield replace(side, table=name, sets=sets)


def _with_children(source: Source, shape: Shape, touch: Touch) -> Iterator[tuple[What, tuple[str, ...], Shape]]:
    """The table, and those whose rows went along with its deleted ones."""
    match touch.what:
        case What.COLUMN:
            names = tuple(one.name for one in shape.named(touch.columns))
            if names:
                yield What.COLUMN, names, shape
        case What.UPDATED:
            yield What.REPLACED, tuple(one.name for one in shape.named(touch.columns)), shape
        case What.INSERTED:
            return  # a backup does not know who inserted what it lacks
        case What.DELETED:
            yield What.DELETED, (), shape
            yield from _along(source, shape, {shape.oid})
        case _:
            yield What.TABLE, (), shape


def _along(source: Source, shape: Shape, seen: set[int]) -> Iterator[tuple[What, tuple[str, ...], Shape]]:
    for child in children_of(source.connection, shape.oid):
        other = shape_of(source.connection, child.oid)
        if other is None or child.oid in seen or len(seen) > _MOST_ALONG:
            continue
        yield (What.DELETED, (), other) if child.deletes else (What.REPLACED, child.sets, other)
        if child.deletes:
            yield from _along(source, other, seen | {child.oid})


def _met(
    source: Source, here: Connection, kept: Kept, backup: Backup, come_back: Collection[tuple[str, str]]
) -> _Merged:
    """What a copy meets on the target now. `come_back` are tables whose deleted rows are put back too."""
    since = f"since the backup of {backup.taken_at:%Y-%m-%d %H:%M} UTC"
    columns = columns_now(here, kept.of)
    if kept.what == What.TABLE:
        total = count_rows(source.connection, kept.of)
        there = count_rows(here, kept.of) if columns else 0
        stays = (f"{kept.name}: {rows_said(there)} written since it was emptied stay.",) if there else ()
        return _Merged(kept, total, f"{kept.name}: {rows_said(total)} come back, all of them.", stays)
    if not columns:
        return _Merged(kept, count_rows(source.connection, kept.of), f"{kept.name}: comes back before.")
    if not kept.key:
        raise NotProvenError(f"{kept.name} has no primary key, by which its rows could be merged.")
    names = ", ".join(kept.sets)
    if kept.what == What.COLUMN:
        gone, _, more = source.differing(here, replace(kept, sets=()))
        total = count_rows(source.connection, kept.of)
        stay_away = gone and kept.of not in come_back
        loses = [f"{kept.name}: {rows_said(gone)} of the backup are not there now, and stay away."] if stay_away else []
        loses += (
            [f"{kept.name}: {rows_said(more)} written {since} get nothing in {names} but its default."] if more else []
        )
        return _Merged(kept, total - gone, f"{kept.name}: {rows_said(total - gone)} get {names} back.", tuple(loses))
    if not set(kept.sets) <= set(columns):
        return _Merged(kept, 0, f"{kept.name}: {names} is set back where it differs.")
    missing, other, _ = source.differing(here, kept)
    if kept.what == What.DELETED:
        said = f"{kept.name}: {rows_said(missing)} of the backup are not there now, and come back"
        return _Merged(kept, missing, f"{said}; whoever deleted them {since}.")
    said = f"{kept.name}: {rows_said(other)} hold something else in {names} than the backup"
    set_back = (f"{said}: whoever wrote it {since}, it is set back.",) if other else ()
    return _Merged(kept, other, f"{said}, and are set back.", set_back, other)

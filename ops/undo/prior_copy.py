"""Undoing from prior copies: the earlier schema, and the rows that were kept when the files ran."""

from collections.abc import Collection
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import UNDO_SCHEMA
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Effect
from ops.migration import Migration
from ops.prior.around import quiet_triggers
from ops.prior.around import referring_to
from ops.prior.copies import shown_of
from ops.prior.kept import Told
from ops.prior.kept import altered
from ops.prior.kept import missing
from ops.prior.kept import schema_before
from ops.prior.kept import told_of
from ops.prior.put_back import Found
from ops.prior.put_back import in_order
from ops.prior.put_back import meets
from ops.prior.put_back import place
from ops.prior.put_back import rows_said
from ops.prior.put_back import statements_of
from ops.prior.tables import Kept
from ops.prior.touching import What
from ops.prior.touching import touches
from ops.prior.weaving import woven
from ops.proposing import Proposal
from ops.proposing import read_scripts_of
from ops.rehearsal.copy import Copy
from ops.schema.deriving import Derived
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.scripts import Script
from ops.undo.base import Base
from ops.undo.contents import Table
from ops.undo.contents import counted
from ops.undo.contents import named
from ops.undo.fitting import with_checks
from ops.undo.judging import Judging
from ops.undo.kept_rows import kept_by_copies
from ops.undo.losses import loss_facts
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.proving import NotProvenError
from ops.undo.proving import Shown
from ops.undo.proving import prove

_TITLE = "Put back what was kept when it ran"
_WORDS = {
    What.TABLE: "all rows of {name}",
    What.COLUMN: "{sets} of {name}",
    What.UPDATED: "{sets} of {name}, as before it",
    What.DELETED: "the deleted rows of {name}",
    What.INSERTED: "inserted into {name}, which go again",
}


@dataclass(frozen=True)
class _Ready:
    """All that is known before anything is proven."""

    before: Schema
    derived: tuple[Derived, ...]
    copies: tuple[Kept, ...]
    found: tuple[Found, ...]
    rows: tuple[str, ...]
    rows_again: tuple[str, ...]
    """The same where they need not be as many: on a copy without rows, and a second time."""


def prior_copy_offer(ops: Ops, past: Past, progress: Progress) -> Offer:
    """The way by the copies that were taken when the files ran, if all that they took away was copied and is still there.

    Raises OpsError where target or copy cannot be reached; what cannot be proven is an offer without a proposal.
    """
    try:
        told = _told(ops, past)
        progress("reading what was kept when it ran")
        ready = _ready(past, told)
        script, migrations = _scripts(ops, past, ready, ready.rows)
        _, again = _scripts(ops, past, ready, ready.rows_again)
        base = Base(ready.before, None, "the definitions kept when it ran")
        laying = _Laying(past, ready, Judging(past.files, kept_by_copies(past.files, _shown(past), told.covered)))
        shown = prove(
            ops,
            past,
            migrations,
            lambda: base,
            progress,
            prepare=laying.prepare,
            check=laying.check,
            rows_again=False,
            again=again,
        )
        check_others_stay(ready.copies, shown.changed)
        return _offer(past, told, ready, shown, script, migrations)
    except NotProvenError as error:
        return Offer(Way.PRIOR_COPY, _TITLE, because=str(error))
    except psycopg.Error as error:
        raise target_failed(past.target.name, error) from error


def _scripts(
    ops: Ops, past: Past, ready: _Ready, rows: Sequence[str]
) -> tuple[tuple[Script, ...], tuple[Migration, ...]]:
    scripts = scripts_for(past, woven(ready.derived, rows, filled_columns(ready.copies)))
    return scripts, read_scripts_of(ops, past.target, past.request.commit, scripts)


def _told(ops: Ops, past: Past) -> Told:
    """Raises NotProvenError unless everything that the files took away was copied."""
    if not past.files:
        raise NotProvenError(f"None of {past.request.id}'s files stands on {past.target.name}.")
    if past.half is not None:
        raise NotProvenError("A file of it ran in part; copies are of whole files.")
    told = told_of(ops, past.chain, {file.version for file in past.files})
    shown = _shown(past)
    wanted = [
        (file, index) for file in past.files for index in touches(file, shown.get(file.version)) if not told.left_out
    ]
    uncopied = [one for one in wanted if (one[0].version, one[1]) not in told.covered]
    if told.left_out:
        raise NotProvenError(" ".join(told.left_out[:3]))
    if uncopied:
        file, index = uncopied[0]
        raise NotProvenError(
            f"No copy was taken of what {file.filename}, line {file.statements[index].word_line}, took away: "
            f"`prior_copy` of {past.target.name} said so, or it ran before there was any."
        )
    if not told.copies:
        for file in past.files:
            alone = [index for one in file.segments if not one.transactional for index in one.statements]
            if alone:
                line = file.statements[alone[0]].word_line
                raise NotProvenError(
                    f"{file.filename}, line {line}, {'ran in batches' if file.batches else 'ran outside a transaction'}: "
                    "of what that takes away no copy is taken."
                )
        raise NotProvenError("Its files dropped, changed and deleted nothing that was there, so nothing was kept.")
    return told


def _shown(past: Past) -> dict[str, dict[str, object]]:
    """What the rehearsals showed of its files, as JSON by version."""
    return {version: one for request in past.chain for version, one in shown_of(request).items()}


def _ready(past: Past, told: Told) -> _Ready:
    url = past.target.database_url()
    with closing(connect(url, purpose=f"look at {past.target.name}")) as connection:
        gone = missing(connection, told.copies)
        if gone:
            kept_for = past.target.settings.prior_copy_keep.days
            raise NotProvenError(f"What was kept of {gone[0].name} is gone; such copies stay for {kept_for} days.")
        others = altered(connection, {one.table: one.sha256 for one in told.copies})
        if others:
            whose = next(one.name or "the definitions" for one in told.copies if one.table == others[0])
            raise NotProvenError(f"What was kept of {whose} is not what it was when it was taken: somebody changed it.")
        before = schema_before(connection, told.copies, past.files[0].version)
        if before is None:
            raise NotProvenError("The definitions as they were before it were not kept.")
        copies = tuple(in_order(told.copies))
        referring = referring_to(connection, copies, before)
        found = meets(connection, copies, referring)
        triggers = quiet_triggers(connection, {one.of for one in copies}, before)
    if not any(one.rows for one in found) and any(one.conflicts for one in found):
        raise NotProvenError("Nothing of what was kept could be put back: all of it was written again since.")
    derived = derive(read_schema(url), before, schemas_left_out=MANAGED_SCHEMAS)
    refuse_underived(derived)
    put_back = partial(statements_of, copies, triggers, referring=referring)
    at_least = {one.kept: one.rows for one in found}
    return _Ready(before, with_checks(derived), copies, found, put_back(at_least=at_least), put_back())


def check_others_stay(copies: Sequence[Kept], changed: Sequence[Table]) -> None:
    """Raises NotProvenError where putting these back changes tables that no copy is of: by a foreign key, say."""
    copied = {one.of for one in copies}
    others = [named(table) for table in changed if table not in copied]
    if others:
        raise NotProvenError(f"On the copy it changed rows that no copy is of: {', '.join(others[:3])}.")


def refuse_underived(derived: Sequence[Derived]) -> None:
    """Raises NotProvenError where no statements bring something back to what it was."""
    unsaid = next((one for one in derived if one.reason), None)
    if unsaid is not None:
        name = ".".join(part for part in (unsaid.object.schema, unsaid.object.name) if part)
        raise NotProvenError(f"How {unsaid.object.kind} {name} was cannot be told in statements: {unsaid.reason}")


def filled_columns(copies: Sequence[Kept]) -> frozenset[tuple[str, str, str]]:
    """The columns (schema, table, name) that only these copies fill again."""
    return frozenset((*one.of, name) for one in copies if one.what == What.COLUMN for name in one.sets)


def scripts_for(past: Past, text: str) -> tuple[Script, ...]:
    """All of it with the newest row of the history; the others only take their rows away."""
    return tuple(
        Script(
            version=row.version,
            name=f"undo_{row.name or ''}",
            filename=f"{row.version} undone.sql",
            effect=Effect.REMOVES,
            sql=text if number == 0 else "",
            row=row,
        )
        for number, row in enumerate(past.rows)
    )


def _offer(
    past: Past,
    told: Told,
    ready: _Ready,
    shown: Shown,
    scripts: tuple[Script, ...],
    migrations: tuple[Migration, ...],
) -> Offer:
    does = (
        *(f"{rows_said(one.rows)}: {_words(one.kept)}." for one in ready.found),
        f"The schema goes back to what it was: {sum(len(one.statements) for one in ready.derived)} statements.",
        f"{', '.join(row.version for row in past.rows)} {'goes' if len(past.rows) == 1 else 'go'} out of the history.",
    )
    losses = counted(past.target, shown.lost, shown.columns)
    loses = (
        *(said for one in ready.found for said in one.conflicts),
        *(one.said for one in losses),
    ) or ("Nothing that was written since.",)
    proposal = Proposal(
        kind="rollback",
        target=past.target,
        title=f"undo {past.request.id} on",
        commit=past.request.commit,
        fingerprint=past.now,
        of=past.request.id,
        scripts=scripts,
        migrations=migrations,
        does=does,
        loses=loses,
        proven=shown.proof,
        tried=shown.tried,
        facts={
            "way": Way.PRIOR_COPY.value,
            "copies": {one.table: one.sha256 for one in told.copies},
            **loss_facts(losses),
        },
        expected=dict(zip((one.version for one in scripts), shown.expected, strict=True)) if shown.expected else None,
    )
    return Offer(Way.PRIOR_COPY, _TITLE, proposal, does, loses, shown.proof)


def _words(kept: Kept) -> str:
    return _WORDS[What(kept.what)].format(name=kept.name, sets=", ".join(kept.sets))


class _Laying:
    """The copies on a copy of the target, so that the script finds there what it will find on the target."""

    def __init__(self, past: Past, ready: _Ready, judging: Judging) -> None:
        self._past = past
        self._ready = ready
        self._judging = judging

    def prepare(self, copy: Copy, with_rows: bool) -> tuple[str, ...]:
        """Make the tables, with their rows where the copy has the target's rows."""
        with (
            closing(copy.connect()) as there,
            closing(connect(self._past.target.database_url(), purpose=f"look at {self._past.target.name}")) as here,
        ):
            there.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(UNDO_SCHEMA)))
            for kept in self._ready.copies:
                _lay(here, there, kept, with_rows)
        return self._judging.first(copy, with_rows)

    def check(self, copy: Copy, with_rows: bool) -> tuple[str, ...]:
        """Behind the first reversal; see `check_back`."""
        self._judging.behind(copy, with_rows)
        return check_back(copy, with_rows, self._ready.found)


def check_back(copy: Copy, with_rows: bool, found: Sequence[Found]) -> tuple[str, ...]:
    """That every row that could be put back holds what was kept of it. Raises NotProvenError, psycopg.Error."""
    if not with_rows:
        return ()
    with closing(copy.connect()) as connection:
        for number, one in enumerate(found):
            others = [other.kept for other in found[number + 1 :] if other.kept.of == one.kept.of]
            if one.kept.what == What.INSERTED and any(other.what == What.DELETED for other in others):
                continue  # a row of the same key may be back
            behind = {name for other in others for name in other.sets}
            back = _back(connection, one.kept, behind)
            if back < one.rows:
                raise NotProvenError(
                    f"Behind it {rows_said(one.rows - back)} of {one.kept.name} did not hold what was kept of them."
                )
    total = sum(one.rows for one in found)
    return (f"{rows_said(total)} held behind it, value by value, what was kept of them.",)


def _lay(here: Connection, there: Connection, kept: Kept, with_rows: bool) -> None:
    columns = here.execute(_COLUMNS, (UNDO_SCHEMA, kept.table)).fetchall()
    listed = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns)
    there.execute(sql.SQL("CREATE TABLE {} ({})").format(place(kept), listed))
    if with_rows:
        reading = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(place(kept))
        writing = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(place(kept))
        with here.cursor().copy(reading) as source, there.cursor().copy(writing) as drain:
            for block in source:
                drain.write(block)


def _back(connection: Connection, kept: Kept, behind: Collection[str]) -> int:
    """How many rows of the copy are in the table, as they were kept; of those that were inserted, how many are not. What
    stands in the columns `behind` was put back after this."""
    kept_, row = sql.Identifier("kept"), sql.Identifier("there")
    compared = [one for one in kept.columns if one.name in kept.key or one.name not in behind]
    if not kept.key:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*kept.of))
    else:
        same = sql.SQL(" AND ").join(
            sql.SQL("({})::pg_catalog.text IS NOT DISTINCT FROM {}.{}::pg_catalog.text").format(
                one.kept(row), kept_, sql.Identifier(one.name)
            )
            for one in compared
        )
        keys = sql.SQL(" AND ").join(
            sql.SQL("{} = {}.{}").format(one.kept(row), kept_, sql.Identifier(one.name))
            for one in kept.columns
            if one.name in kept.key
        )
        query = sql.SQL("SELECT count(*) FROM {} AS {} JOIN {} AS {} ON {} WHERE {}").format(
            place(kept), kept_, sql.Identifier(*kept.of), row, keys, same
        )
    found = connection.execute(query).fetchone()
    there = int(found[0]) if found else 0
    return kept.rows - there if kept.what == What.INSERTED else there


_COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

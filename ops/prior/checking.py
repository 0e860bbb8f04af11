"""What is looked at behind a statement: that it wrote just the rows of its copies, and what it made of them."""

from dataclasses import replace

from psycopg import sql

from ops.prior.choosing import COPY
from ops.prior.choosing import ROW
from ops.prior.choosing import free_name
from ops.prior.choosing import hash_of
from ops.prior.private import place_of
from ops.prior.sending import NotCopiedError
from ops.prior.sending import Sending
from ops.prior.tables import Kept
from ops.prior.touching import What
from ops.prior.written import Rows

COUNTED = (What.INSERTED, What.UPDATED, What.DELETED)
"""Of what is written row by row, in the order of `Rows`."""

OURS = sql.SQL("{}.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid").format(ROW)
OTHERS = "other rows were reached than could be foreseen"


def rows_of(kept: Kept) -> Rows:
    """What the statement wrote where it wrote just the rows of this copy."""
    is_of = [kept.rows if kept.what == what else 0 for what in COUNTED]
    return Rows(*is_of)


def checked(sending: Sending, kept: Kept, changed: int | None) -> Kept:
    """The copy with what the statement made of its rows. Raises NotCopiedError unless it reached just these."""
    if kept.what not in (What.UPDATED, What.DELETED):
        return kept
    if changed is not None and changed != kept.rows:
        raise NotCopiedError(OTHERS)
    if kept.what == What.UPDATED:
        with sending.plainly():
            return _marked(sending, kept)
    joined = sql.SQL("SELECT count(*) FROM {} AS {} JOIN {} AS {} ON {}").format(
        place_of(kept.table), COPY, sql.Identifier(*kept.of), ROW, _same(kept)
    )
    if kept.key and sending.number(joined):
        raise NotCopiedError(OTHERS)
    return kept


def _marked(sending: Sending, kept: Kept) -> Kept:
    """The copy with a hash of what the statement made of each row; it sets what its triggers changed in them too."""
    rows, after = sql.Identifier(*kept.of), free_name(kept.columns)
    others = [one for one in kept.columns if one.name not in (*kept.key, *kept.sets)]
    if others and kept.rows:
        differ = sql.SQL(", ").join(
            sql.SQL("pg_catalog.bool_or(({})::pg_catalog.text IS DISTINCT FROM {}.{}::pg_catalog.text)").format(
                one.kept(ROW), COPY, sql.Identifier(one.name)
            )
            for one in others
        )
        query = sql.SQL("SELECT {} FROM {} AS {} JOIN {} AS {} ON {}").format(
            differ, place_of(kept.table), COPY, rows, ROW, _same(kept)
        )
        found = sending.run(query).fetchone() or ()
        sets = (*kept.sets, *(one.name for one, is_set in zip(others, found, strict=True) if is_set))
        kept = replace(kept, sets=sets)
    kept = replace(kept, after=after, columns=tuple(one for one in kept.columns if one.name in (*kept.key, *kept.sets)))
    copy, column = place_of(kept.table), sql.Identifier(after)
    sending.run(sql.SQL("ALTER TABLE {} ADD COLUMN {} pg_catalog.text").format(copy, column))
    marking = sql.SQL("UPDATE {} AS {} SET {} = {} FROM {} AS {} WHERE {} AND {}").format(
        copy, COPY, column, hash_of(ROW, kept.sets), rows, ROW, _same(kept), OURS
    )
    if sending.run(marking).rowcount != kept.rows:
        raise NotCopiedError(OTHERS)
    return kept


def _same(kept: Kept) -> sql.Composed:
    """That a row of the table is the row of the copy."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}.{}").format(one.kept(ROW), COPY, sql.Identifier(one.name))
        for one in kept.columns
        if one.name in kept.key
    )

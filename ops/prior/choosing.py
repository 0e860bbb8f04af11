"""Which rows and columns a copy is made of, as SQL."""

from collections.abc import Sequence

from psycopg import sql

from ops.prior.private import place_of
from ops.prior.tables import Child
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.tables import Shape
from ops.prior.touching import Touch

ROW = sql.Identifier("countersign row")
COPY = sql.Identifier("countersign copy")
"""What a table, and its copy, are called in these statements."""


def hash_of(alias: sql.Composable, columns: tuple[str, ...]) -> sql.Composed:
    """An expression: what these columns of a row hold, as one text. It is to be compared only with one that was made in a
    session that writes values plainly too (`ops.prior.sending`)."""
    listed = sql.SQL(", ").join(sql.SQL("{}.{}").format(alias, sql.Identifier(one)) for one in columns)
    return sql.SQL("pg_catalog.md5(pg_catalog.to_jsonb(ROW({}))::pg_catalog.text)").format(listed)


def free_name(columns: Sequence[Column]) -> str:
    """A name for the column of a copy that tells what the statement made of a row: a hash of the columns that it set."""
    taken = {one.name for one in columns}
    names = ("countersign after", *(f"countersign after {number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def listed(columns: Sequence[Column]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} AS {}").format(one.kept(ROW), sql.Identifier(one.name)) for one in columns)


def rows_meant(touch: Touch) -> sql.Composed:
    """FROM and WHERE of the rows that the statement reaches, fit for a lock on each: a row comes once."""
    where = f" WHERE {touch.where}" if touch.where else ""
    if not touch.joins and not touch.with_clause:
        return sql.Composed([sql.SQL(f"{touch.itself}{where}")])
    alias = touch.alias
    selected = f"{touch.with_clause}SELECT {alias}.tableoid, {alias}.ctid FROM"
    meant = f"{selected} {touch.source}{where}"
    return sql.Composed([sql.SQL(f"{touch.itself} WHERE ({alias}.tableoid, {alias}.ctid) IN ({meant})")])


def refers(shape: Shape, kept: Kept, other: Shape, child: Child) -> sql.Composed:
    """WHERE of the child's rows that refer to a row of this copy."""
    columns = {column.name: column for column in (*other.columns,)}
    parents = {column.name: column for column in shape.columns}
    same = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(
            columns[own].kept(ROW)
            if not parents[parent].is_plain
            else sql.SQL("{}.{}").format(ROW, sql.Identifier(own)),
            sql.SQL("{}.{}").format(COPY, sql.Identifier(parent)),
        )
        for own, parent in zip(child.own, child.parents, strict=True)
    )
    return sql.SQL("WHERE EXISTS (SELECT FROM {} AS {} WHERE {})").format(place_of(kept.table), COPY, same)

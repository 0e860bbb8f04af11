"""Putting rows back from copies: the statements, what would be in their way, and how many rows that is about."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ops.database import Connection
from ops.prior.choosing import AFTER
from ops.prior.choosing import hash_of
from ops.prior.private import place_of
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.touching import What

_THERE = sql.Identifier("there")
_KEPT = sql.Identifier("kept")


@dataclass(frozen=True)
class Found:
    """What a copy meets on the target now. `rows` can be put back; `conflicts` are sentences about the others, none where
    nobody has touched them since."""

    kept: Kept
    rows: int
    conflicts: tuple[str, ...]


def statements_of(copies: Sequence[Kept], triggers: Mapping[tuple[str, str], Sequence[str]]) -> tuple[str, ...]:
    """What puts all rows back, in an order that works: what was taken away last comes first.

    `triggers` are those to be kept quiet meanwhile, by table: what is put back is what was there.
    """
    ordered = in_order(copies)
    tables = dict.fromkeys(one.of for one in ordered)
    quiet = [
        sql.SQL("ALTER TABLE {} {{}} TRIGGER {}").format(sql.Identifier(*table), sql.Identifier(name)).as_string()
        for table in tables
        for name in triggers.get(table, ())
    ]
    return (
        *(one.format("DISABLE") for one in quiet),
        *(statement for one in ordered for statement in _put_back(one)),
        *(one.format("ENABLE") for one in quiet),
    )


def in_order(copies: Sequence[Kept]) -> list[Kept]:
    """The copies of the last statement first, and of one statement in the order in which they were taken."""
    rows = [one for one in copies if one.what != "schema"]
    return sorted(rows, key=lambda one: (-int(one.version), -one.statement))


def _put_back(kept: Kept) -> Iterator[str]:
    where, table = place(kept), sql.Identifier(*kept.of)
    match kept.what:
        case What.TABLE | What.DELETED:
            names = sql.SQL(", ").join(sql.Identifier(one.name) for one in kept.columns)
            values = sql.SQL(", ").join(one.put_back(_KEPT) for one in kept.columns)
            overriding = sql.SQL("OVERRIDING SYSTEM VALUE " if any(one.is_always for one in kept.columns) else "")
            yield (
                sql.SQL("INSERT INTO {} ({}) {}SELECT {} FROM {} AS {} ON CONFLICT DO NOTHING")
                .format(table, names, overriding, values, where, _KEPT)
                .as_string()
            )
        case What.INSERTED:
            yield (
                sql.SQL("DELETE FROM {} AS {} USING {} AS {} WHERE {} AND {} = {}.{}")
                .format(
                    table, _THERE, where, _KEPT, _same(kept), hash_of(_THERE, kept.sets), _KEPT, sql.Identifier(AFTER)
                )
                .as_string()
            )
        case What.COLUMN | What.UPDATED | What.REPLACED:
            sets = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(one.name), one.put_back(_KEPT)) for one in _set(kept)
            )
            untouched: sql.Composable = sql.SQL("")
            if kept.what == What.UPDATED:
                after = sql.SQL("{}.{}").format(_KEPT, sql.Identifier(AFTER))
                untouched = sql.SQL(" AND {} = {}").format(hash_of(_THERE, kept.sets), after)
            elif kept.what == What.REPLACED:
                untouched = sql.SQL(" AND ({})").format(others_than_kept(kept))
            yield (
                sql.SQL("UPDATE {} AS {} SET {} FROM {} AS {} WHERE {}{}")
                .format(table, _THERE, sets, where, _KEPT, _same(kept), untouched)
                .as_string()
            )
    for name, last in kept.sequences:
        if last is not None:
            yield f"SELECT pg_catalog.setval({sql.Literal(name).as_string().strip()}, {last}, true)"


def others_than_kept(kept: Kept) -> sql.Composed:
    """That a row of the table (`there`) holds something else in the set columns than its copy (`kept`)."""
    return sql.SQL(" OR ").join(
        sql.SQL("({})::pg_catalog.text IS DISTINCT FROM {}.{}::pg_catalog.text").format(
            one.kept(_THERE), _KEPT, sql.Identifier(one.name)
        )
        for one in _set(kept)
    )


def meets(connection: Connection, copies: Sequence[Kept]) -> tuple[Found, ...]:
    """What each copy meets on the target now, read in this session. Raises psycopg.Error, so where a copy is gone."""
    ordered = in_order(copies)
    return tuple(_meets(connection, one, ordered[:number]) for number, one in enumerate(ordered))


def _meets(connection: Connection, kept: Kept, later: Sequence[Kept]) -> Found:
    """`later` are copies of statements that came behind: what they changed is put back before this."""
    where, table = place(kept), sql.Identifier(*kept.of)
    total = _number(connection, sql.SQL("SELECT count(*) FROM {}").format(where))
    columns = columns_now(connection, kept.of)
    if kept.what == What.TABLE:
        if not columns:
            return Found(kept, total, ())
        since = _number(connection, sql.SQL("SELECT count(*) FROM {}").format(table))
        said = (
            f"{kept.name}: {rows_said(since)} written since it was emptied; they stay, and win where a key is the same."
        )
        return Found(kept, total, (said,) if since else ())
    if not columns or not set(kept.key) <= set(columns) or not kept.key:
        return Found(kept, total, ())
    joined = sql.SQL("FROM {} AS {} JOIN {} AS {} ON {}").format(where, _KEPT, table, _THERE, _same(kept))
    counted = sql.SQL("SELECT count(*) {} WHERE true").format(joined)
    if kept.what == What.DELETED:
        in_the_way = _number(connection, counted + _not_in(kept, later, What.INSERTED))
        said = f"{kept.name}: {rows_said(in_the_way)} with the key of a deleted one written since; what is there now stays."
        return Found(kept, total - in_the_way, (said,) if in_the_way else ())
    if kept.what == What.INSERTED:
        known = set(kept.sets) <= set(columns)
        changed = _number(connection, _changed_since(kept, later, joined)) if known else 0
        said = f"{kept.name}: {rows_said(changed)} that it inserted changed since; they stay."
        return Found(kept, _number(connection, counted) - changed, (said,) if changed else ())
    conflicts = []
    gone = _number(
        connection,
        sql.SQL("SELECT count(*) FROM {} AS {} WHERE NOT EXISTS (SELECT FROM {} AS {} WHERE {})").format(
            where, _KEPT, table, _THERE, _same(kept)
        )
        + _not_in(kept, later, What.DELETED),
    )
    if gone:
        conflicts.append(f"{kept.name}: {rows_said(gone)} deleted since; they stay away.")
    there = total - gone
    changed = 0
    if kept.what == What.UPDATED and set(kept.sets) <= set(columns):
        changed = _number(connection, _changed_since(kept, later, joined))
        if changed:
            names = ", ".join(kept.sets)
            conflicts.append(f"{kept.name}: {rows_said(changed)} changed since in {names}; what is there now stays.")
    if kept.what == What.COLUMN:
        here, met = count_rows(connection, kept.of), _number(connection, counted)
        if here > met:
            names = ", ".join(kept.sets)
            conflicts.append(
                f"{kept.name}: {rows_said(here - met)} that had nothing in {names}, or were written since; no value is "
                "put into them."
            )
    return Found(kept, there - changed, tuple(conflicts))


def _changed_since(kept: Kept, later: Sequence[Kept], joined: sql.Composed) -> sql.Composed:
    """Rows that are not as the statement left them, and that no later statement of the same request changed."""
    query = sql.SQL("SELECT count(*) {} WHERE {} IS DISTINCT FROM {}.{}").format(
        joined, hash_of(_THERE, kept.sets), _KEPT, sql.Identifier(AFTER)
    )
    return query + _not_in(kept, later, What.UPDATED, What.INSERTED)


def _not_in(kept: Kept, later: Sequence[Kept], *what: What) -> sql.Composable:
    """That a row of this copy is in none of these later ones of the same table, as far as they set the same columns."""
    found: sql.Composable = sql.SQL("")
    for one in later:
        sets_the_same = not one.sets or not kept.sets or set(one.sets) & set(kept.sets)
        if one.of == kept.of and one.what in what and one.key == kept.key and sets_the_same:
            same = sql.SQL(" AND ").join(
                sql.SQL("later.{} = {}.{}").format(sql.Identifier(name), _KEPT, sql.Identifier(name))
                for name in kept.key
            )
            found += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS later WHERE {})").format(place(one), same)
    return found


def rows_said(count: int) -> str:
    """`1 row`, `1,204 rows`."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def quiet_triggers(connection: Connection, tables: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """The project's own triggers that would run for rows put back into these tables, by table."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, name, trigger in connection.execute(_TRIGGERS).fetchall():
        if (schema, name) in tables:
            found.setdefault((schema, name), []).append(trigger)
    return found


def place(kept: Kept) -> sql.Identifier:
    """Where the copy is."""
    return place_of(kept.table)


def _set(kept: Kept) -> list[Column]:
    return [one for one in kept.columns if one.name in kept.sets and one.name not in kept.key]


def _same(kept: Kept) -> sql.Composed:
    """That a row of the table is the row of the copy."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}.{}").format(one.kept(_THERE), _KEPT, sql.Identifier(one.name))
        for one in kept.columns
        if one.name in kept.key
    )


def count_rows(connection: Connection, table: tuple[str, str]) -> int:
    """How many rows a table has, and what inherits from it."""
    return _number(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table)))


def columns_now(connection: Connection, table: tuple[str, str]) -> list[str]:
    """The names of its columns; none where there is no such table."""
    return [name for (name,) in connection.execute(_COLUMNS, table).fetchall()]


def _number(connection: Connection, query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


_COLUMNS = """
SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""

_TRIGGERS = """
SELECT n.nspname::text, c.relname::text, t.tgname::text
FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled = 'O' ORDER BY 1, 2, 3
"""

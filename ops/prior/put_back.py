"""Putting rows back from copies: the statements, what would be in their way, and how many rows that is about."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from psycopg import sql

from ops.database import Connection
from ops.prior.choosing import hash_of
from ops.prior.private import place_of
from ops.prior.sending import PLAIN
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.touching import What

if TYPE_CHECKING:
    from ops.prior.around import Referring
    from ops.prior.around import Trigger

Table = tuple[str, str]
"""Schema and name."""

THERE = sql.Identifier("there")
KEPT = sql.Identifier("kept")


@dataclass(frozen=True)
class Found:
    """What a copy meets on the target now. `rows` can be put back; `conflicts` are sentences about the others, none where
    nobody has touched them since."""

    kept: Kept
    rows: int
    conflicts: tuple[str, ...]


NOBODY: "Mapping[Table, Sequence[Referring]]" = MappingProxyType({})
NOTHING: Mapping[Kept, int] = MappingProxyType({})


def statements_of(
    copies: Sequence[Kept],
    triggers: "Sequence[Trigger]",
    *,
    referring: "Mapping[Table, Sequence[Referring]]" = NOBODY,
    at_least: Mapping[Kept, int] = NOTHING,
) -> tuple[str, ...]:
    """What puts all rows back, in an order that works: what was taken away last comes first.

    `triggers` are those to be kept quiet meanwhile: what is put back is what was there. Inserted rows to which others refer,
    through `referring` by table, stay. Where fewer rows of a copy come back than `at_least` says, it fails.
    """
    ordered = in_order(copies)
    tables = {one.of for one in ordered}
    quiet = [one for one in triggers if one.table in tables]
    return (
        *PLAIN,
        *(one.switched("DISABLE") for one in quiet),
        *(one for kept in ordered for one in _put_back(kept, referring.get(kept.of, ()), at_least.get(kept, 0))),
        *(one.switched("ENABLE ALWAYS" if one.is_always else "ENABLE") for one in quiet),
    )


def in_order(copies: Sequence[Kept]) -> list[Kept]:
    """The copies of the last statement first, and of one statement in the order in which they were taken."""
    rows = [one for one in copies if one.what != "schema"]
    return sorted(rows, key=lambda one: (-int(one.version), -one.statement))


def _put_back(kept: Kept, referring: "Sequence[Referring]", at_least: int) -> Iterator[str]:
    yield from (_or_fails(kept, one, at_least) if at_least else one for one in _rows_back(kept, referring))
    for name, last in kept.sequences:
        if last is not None:
            yield _sequence_back(name, last)


def _or_fails(kept: Kept, statement: str, at_least: int) -> str:
    """The statement, undone with all else where it is about fewer rows than people agreed to."""
    tag = next(tag for number in range(len(statement) + 1) if (tag := f"$rows{number or ''}$") not in statement)
    said = f"{kept.name}: only % of {rows_said(at_least)} could be put back, since somebody has written there meanwhile"
    name, rest = said.split(": only %")
    said = sql.Literal(f"{name.replace('%', '%%')}: only %{rest}").as_string().strip()
    return (
        f"DO {tag}\n#variable_conflict use_column\nDECLARE put_back bigint;\nBEGIN\n  {statement};\n"
        f"  GET DIAGNOSTICS put_back = ROW_COUNT;\n  IF put_back < {at_least} THEN\n"
        f"    RAISE EXCEPTION {said}, put_back;\n  END IF;\nEND {tag}"
    )


def _sequence_back(name: str, last: int) -> str:
    """The sequence gives out nothing again that a row has which stays."""
    current = sql.SQL("pg_catalog.pg_sequence_last_value(seqrelid::pg_catalog.regclass)")
    return (
        sql.SQL(
            "SELECT pg_catalog.setval(seqrelid::pg_catalog.regclass, CASE WHEN seqincrement < 0 THEN least({last}, {current})"
            " ELSE greatest({last}, {current}) END, true) FROM pg_catalog.pg_sequence"
            " WHERE seqrelid = {name}::pg_catalog.regclass"
        )
        .format(last=sql.Literal(last), current=current, name=sql.Literal(name))
        .as_string()
    )


def _rows_back(kept: Kept, referring: "Sequence[Referring]") -> Iterator[str]:
    where, table = place(kept), sql.Identifier(*kept.of)
    match kept.what:
        case What.TABLE | What.DELETED:
            names = sql.SQL(", ").join(sql.Identifier(one.name) for one in kept.columns)
            values = sql.SQL(", ").join(one.put_back(KEPT) for one in kept.columns)
            overriding = sql.SQL("OVERRIDING SYSTEM VALUE " if any(one.is_always for one in kept.columns) else "")
            yield (
                sql.SQL("INSERT INTO {} ({}) {}SELECT {} FROM {} AS {} ON CONFLICT DO NOTHING")
                .format(table, names, overriding, values, where, KEPT)
                .as_string()
            )
        case What.INSERTED:
            yield (
                sql.SQL("DELETE FROM {} AS {} USING {} AS {} WHERE {} AND {} = {}.{}{}")
                .format(
                    *(table, THERE, where, KEPT, same(kept), hash_of(THERE, kept.sets)),
                    *(KEPT, sql.Identifier(kept.after)),
                    sql.SQL("").join(sql.SQL(" AND NOT {}").format(one.exists(kept)) for one in referring),
                )
                .as_string()
            )
        case What.COLUMN | What.UPDATED | What.REPLACED:
            sets = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(one.name), one.put_back(KEPT)) for one in _set(kept)
            )
            untouched: sql.Composable = sql.SQL("")
            if kept.what == What.UPDATED:
                after = sql.SQL("{}.{}").format(KEPT, sql.Identifier(kept.after))
                untouched = sql.SQL(" AND {} = {}").format(hash_of(THERE, kept.sets), after)
            elif kept.what == What.REPLACED:
                untouched = sql.SQL(" AND ({})").format(others_than_kept(kept))
            yield (
                sql.SQL("UPDATE {} AS {} SET {} FROM {} AS {} WHERE {}{}")
                .format(table, THERE, sets, where, KEPT, same(kept), untouched)
                .as_string()
            )


def others_than_kept(kept: Kept) -> sql.Composed:
    """That a row of the table (`there`) holds something else in the set columns than its copy (`kept`)."""
    return sql.SQL(" OR ").join(
        sql.SQL("({})::pg_catalog.text IS DISTINCT FROM {}.{}::pg_catalog.text").format(
            one.kept(THERE), KEPT, sql.Identifier(one.name)
        )
        for one in _set(kept)
    )


def meets(
    connection: Connection, copies: Sequence[Kept], referring: "Mapping[Table, Sequence[Referring]]" = NOBODY
) -> tuple[Found, ...]:
    """What each copy meets on the target now, read in this session. Raises psycopg.Error, so where a copy is gone."""
    ordered = in_order(copies)
    with connection.transaction():
        connection.execute("; ".join(PLAIN).encode())
        return tuple(
            _meets(connection, one, ordered[:number], referring.get(one.of, ())) for number, one in enumerate(ordered)
        )


def _meets(connection: Connection, kept: Kept, later: Sequence[Kept], referring: "Sequence[Referring]") -> Found:
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
        in_the_way = 0
        if since and kept.key and set(kept.key) <= set(columns):
            both = sql.SQL("SELECT count(*) FROM {} AS {} JOIN {} AS {} ON {}")
            in_the_way = _number(connection, both.format(where, KEPT, table, THERE, same(kept)))
        return Found(kept, total - in_the_way, (said,) if since else ())
    if not columns or not set(kept.key) <= set(columns) or not kept.key:
        return Found(kept, total, ())
    joined = sql.SQL("FROM {} AS {} JOIN {} AS {} ON {}").format(where, KEPT, table, THERE, same(kept))
    counted = sql.SQL("SELECT count(*) {} WHERE true").format(joined)
    if kept.what == What.DELETED:
        in_the_way = _number(connection, counted + _not_in(kept, later, What.INSERTED))
        said = f"{kept.name}: {rows_said(in_the_way)} with the key of a deleted one written since; what is there now stays."
        return Found(kept, total - in_the_way, (said,) if in_the_way else ())
    if kept.what == What.INSERTED:
        known = set(kept.sets) <= set(columns)
        query = _changed_since(kept, later, joined)
        changed = _number(connection, query) if known else 0
        conflicts = [f"{kept.name}: {rows_said(changed)} that it inserted changed since; they stay."] if changed else []
        held = _referred(connection, kept, later, joined, referring)
        if held:
            others = ", ".join(sorted({".".join(one.table) for one in referring}))
            conflicts.append(f"{kept.name}: {rows_said(held)} that it inserted have rows in {others} now; they stay.")
        there = _number(connection, counted)
        return Found(kept, max(there - changed - held, 0), tuple(conflicts))
    conflicts = []
    gone = _number(
        connection,
        sql.SQL("SELECT count(*) FROM {} AS {} WHERE NOT EXISTS (SELECT FROM {} AS {} WHERE {})").format(
            where, KEPT, table, THERE, same(kept)
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
            filled = any(one.has_default for one in _set(kept))
            said = (
                "were written since; they get its default"
                if filled
                else (f"had nothing in {names}, or were written since; no value is put into them")
            )
            conflicts.append(f"{kept.name}: {rows_said(here - met)} that {said}.")
    return Found(kept, there - changed, tuple(conflicts))


def _changed_since(kept: Kept, later: Sequence[Kept], joined: sql.Composed) -> sql.Composed:
    """Rows that are not as the statement left them, and that no later statement of the same request changed."""
    query = sql.SQL("SELECT count(*) {} WHERE {} IS DISTINCT FROM {}.{}").format(
        joined, hash_of(THERE, kept.sets), KEPT, sql.Identifier(kept.after)
    )
    return query + _not_in(kept, later, What.UPDATED, What.INSERTED)


def _referred(
    connection: Connection, kept: Kept, later: Sequence[Kept], joined: sql.Composed, referring: "Sequence[Referring]"
) -> int:
    """Inserted rows to which a row of another table refers that no later statement of the same request wrote."""
    if not referring:
        return 0
    exist = sql.SQL(" OR ").join(one.exists(kept, later) for one in referring)
    return _number(connection, sql.SQL("SELECT count(*) {} WHERE {}").format(joined, exist))


def _not_in(kept: Kept, later: Sequence[Kept], *what: What) -> sql.Composable:
    """That a row of this copy is in none of these later ones of the same table, as far as they set the same columns."""
    found: sql.Composable = sql.SQL("")
    for one in later:
        sets_the_same = not one.sets or not kept.sets or set(one.sets) & set(kept.sets)
        if one.of == kept.of and one.what in what and one.key == kept.key and sets_the_same:
            same = sql.SQL(" AND ").join(
                sql.SQL("later.{} = {}.{}").format(sql.Identifier(name), KEPT, sql.Identifier(name))
                for name in kept.key
            )
            found += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS later WHERE {})").format(place(one), same)
    return found


def rows_said(count: int) -> str:
    """`1 row`, `1,204 rows`."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def place(kept: Kept) -> sql.Identifier:
    """Where the copy is."""
    return place_of(kept.table)


def _set(kept: Kept) -> list[Column]:
    return [one for one in kept.columns if one.name in kept.sets and one.name not in kept.key]


def same(kept: Kept, there: sql.Identifier = THERE, copy: sql.Identifier = KEPT) -> sql.Composed:
    """That a row of the table is the row of the copy."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}.{}").format(one.kept(there), copy, sql.Identifier(one.name))
        for one in kept.columns
        if one.name in kept.key
    )


def count_rows(connection: Connection, table: tuple[str, str]) -> int:
    """How many rows a table has, and what inherits from it."""
    return _number(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table)))


def columns_now(connection: Connection, table: tuple[str, str]) -> list[str]:
    """The names of its columns; none where there is no such table."""
    return [name for (name,) in connection.execute(_COLUMNS, table).fetchall()]


def count_others(connection: Connection, kept: Kept) -> int:
    """How many rows of the table hold something else in the columns to be set than their copy beside it."""
    query = sql.SQL("SELECT count(*) FROM {} AS {} JOIN {} AS {} ON {} WHERE {}")
    return _number(
        connection,
        query.format(place(kept), KEPT, sql.Identifier(*kept.of), THERE, same(kept), others_than_kept(kept)),
    )


def _number(connection: Connection, query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


_COLUMNS = """
SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
"""

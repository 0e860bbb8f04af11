"""What tables hold: their columns, a hash of their rows whatever the order, and what would be lost of them, counted."""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from pglast import ast
from psycopg import sql

from ops import grammar
from ops.amounts import rows_text
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.masking import printable
from ops.rehearsal.dump_cache import is_managed
from ops.targets import Target

COUNT_SECONDS = 15
"""So long the rows of one table are counted on a target; beyond that the server's estimate is told."""
_HASH_SECONDS = 120

Table = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True)
class Column:
    """`default` is the expression as the server words it, empty where there is none."""

    type: str
    default: str
    is_generated: bool
    is_key: bool = False


Columns = Mapping[Table, Mapping[str, Column]]
"""The columns of every ordinary and partitioned table of a project, by table and name."""


@dataclass(frozen=True)
class Rows:
    """How many rows there are, and for each column one number for what is in it, whatever their order.

    `keys` are the columns that say which row a value is in, none where there is no primary key that all of this has.
    """

    count: int
    sums: Mapping[str, str]
    keys: tuple[str, ...] = ()

    def is_same(self, other: "Rows", columns: Sequence[str]) -> bool:
        """Whether both hold the same in these columns."""
        return (self.count, self.keys) == (other.count, other.keys) and all(
            self.sums[name] == other.sums[name] for name in columns
        )


@dataclass(frozen=True)
class Lost:
    """What one side has and the other has not: whole tables, and columns of tables that both have."""

    tables: tuple[Table, ...] = ()
    columns: tuple[tuple[Table, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.columns)


@dataclass(frozen=True)
class Loss:
    """A table that goes, or with `column` one of its columns; `default` is that column's.

    `held`: so many rows, or values in them, go with it; None where nobody could count them. `said` is the sentence.
    """

    table: Table
    held: int | None
    said: str
    column: str = ""
    default: str = ""

    def to_json(self) -> dict[str, Any]:
        """What has to be counted again, as JSON."""
        return {"table": list(self.table), "column": self.column, "default": self.default, "held": self.held}


def named(table: Table, column: str = "") -> str:
    """`public.orders`, `public.orders.note`, as people read it."""
    return printable(".".join(part for part in (*table, column) if part))


def read_columns(connection: Connection) -> Columns:
    """The columns of a project's own tables: partitions count with their whole, what an extension made does not."""
    found: dict[Table, dict[str, Column]] = {}
    for schema, name, column, kind, default, generated, is_key in connection.execute(_COLUMNS).fetchall():
        if not is_managed(schema):
            columns = found.setdefault((schema, name), {})
            if column is not None:
                columns[column] = Column(kind, default or "", bool(generated), bool(is_key))
    return found


def lost_between(before: Columns, after: Columns) -> Lost:
    """The tables and columns of `before` that are not there after; what the server computes by itself is no loss."""
    tables = tuple(sorted(table for table in before if table not in after))
    columns = [
        (table, name)
        for table, columns in sorted(before.items())
        if table in after
        for name, column in columns.items()
        if name not in after[table] and not column.is_generated
    ]
    return Lost(tables, tuple(columns))


def common(one: Columns, other: Columns) -> dict[Table, tuple[str, ...]]:
    """The columns that both have, of the tables that both have: of another type they should still read the same."""
    return {
        table: tuple(name for name in columns if name in other[table])
        for table, columns in one.items()
        if table in other
    }


def keys_of(columns: Columns, everywhere: Columns) -> dict[Table, tuple[str, ...]]:
    """The primary key of each table, as far as its columns are in `everywhere` too."""
    found = {}
    for table, of_table in columns.items():
        keys = tuple(sorted(name for name, column in of_table.items() if column.is_key))
        found[table] = keys if set(keys) <= everywhere.get(table, {}).keys() else ()
    return found


def read_rows(connection: Connection, columns: Columns, keys: Mapping[Table, tuple[str, ...]]) -> dict[Table, Rows]:
    """The rows of these tables, without those that this session's role may not all read."""
    connection.execute(f"SET statement_timeout = '{_HASH_SECONDS}s'; SET row_security = off; SET search_path = ''")
    connection.execute("SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET extra_float_digits = 1")
    found = {}
    for table, names in columns.items():
        with suppress(psycopg.errors.InsufficientPrivilege):
            found[table] = _rows(connection, table, sorted(names), keys.get(table, ()))
    return found


def _rows(connection: Connection, table: Table, names: Sequence[str], keys: tuple[str, ...]) -> Rows:
    hashed = [
        sql.SQL("coalesce(pg_catalog.sum(pg_catalog.hashtextextended(ROW({})::text, 0)::numeric), 0)::text").format(
            sql.SQL(", ").join(map(sql.Identifier, (*keys, name)))
        )
        for name in names
    ]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join([sql.SQL("pg_catalog.count(*)"), *hashed]), sql.Identifier(*table)
    )
    found = connection.execute(query).fetchone()
    count, *sums = found if found else (0,)
    return Rows(int(count), dict(zip(names, map(str, sums), strict=True)), keys)


def counted(target: Target, lost: Lost, columns: Columns) -> tuple[Loss, ...]:
    """What a target would lose now with these tables and columns, in numbers. Reads only.

    `columns` is what they are like there.
    """
    if not lost:
        return ()
    with closing(connect(target.database_url(), purpose=f"count {target.name}")) as connection:
        try:
            connection.execute(
                "SET default_transaction_read_only = on; SET search_path = ''; SET row_security = off;"
                f" SET lock_timeout = '2s'; SET statement_timeout = '{COUNT_SECONDS}s'"
            )
            found = [_table_loss(connection, table) for table in lost.tables]
            by_table: dict[Table, list[str]] = {}
            for table, column in lost.columns:
                by_table.setdefault(table, []).append(column)
            for table, names in by_table.items():
                found += _column_losses(connection, table, {name: columns[table][name] for name in names})
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return tuple(found)


def rows_in(connection: Connection, table: Table) -> int:
    """How many rows a table has. Raises psycopg.Error."""
    row = connection.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(sql.Identifier(*table))).fetchone()
    return int(row[0]) if row else 0


def values_in(connection: Connection, table: Table, defaults: Mapping[str, str]) -> tuple[int, tuple[int, ...]]:
    """How many rows a table has, and for each of these columns (with its default) how many of them hold something that
    somebody put there. One question for all, so that its rows are read once. Raises psycopg.Error."""
    held = [_holds(name, default) for name, default in defaults.items()]
    query = sql.SQL("SELECT pg_catalog.count(*), {} FROM {}").format(
        sql.SQL(", ").join(sql.SQL("pg_catalog.count(*) FILTER (WHERE {})").format(one) for one in held),
        sql.Identifier(*table),
    )
    total, *counts = connection.execute(query).fetchone() or (0, *(0 for _ in defaults))
    return int(total), tuple(map(int, counts))


_UNCOUNTED = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege)


def _table_loss(connection: Connection, table: Table) -> Loss:
    words = f"Table {named(table)}"
    try:
        count = rows_in(connection, table)
    except _UNCOUNTED:
        return Loss(table, None, f"{words} goes with {_estimated(connection, table)}.")
    said = f"{words} goes with {count:,} row{'' if count == 1 else 's'}." if count else f"{words} goes; it has no rows."
    return Loss(table, count, said)


def _column_losses(connection: Connection, table: Table, columns: Mapping[str, Column]) -> list[Loss]:
    defaults = {name: column.default for name, column in columns.items()}
    try:
        total, counts = values_in(connection, table, defaults)
    except _UNCOUNTED:
        rows = _estimated(connection, table)
        said = "goes; how many of {} hold a value was not counted."
        return [
            Loss(table, None, f"Column {named(table, name)} {said.format(rows)}", name, default)
            for name, default in defaults.items()
        ]
    return [
        Loss(table, count, _column_loss(named(table, name), total, count, _constant(default)), name, default)
        for (name, default), count in zip(defaults.items(), counts, strict=True)
    ]


def _column_loss(column: str, total: int, count: int, has_default: bool) -> str:
    value = "another value than its default" if has_default else "a value"
    rows = f"{total:,} row{'' if total == 1 else 's'}"
    if not count:
        return (
            f"Column {column} goes; none of {rows} holds {value}."
            if total
            else f"Column {column} goes; its table has no rows."
        )
    return f"Column {column} goes with what it holds: {count:,} of {rows} {'has' if count == 1 else 'have'} {value}."


def _holds(name: str, default: str) -> sql.Composable:
    """That a row has something in this column that somebody put there."""
    there = sql.SQL("{} IS NOT NULL").format(sql.Identifier(name))
    if not _constant(default):
        return there
    other = sql.SQL("{}::text IS DISTINCT FROM ({})::text").format(
        sql.Identifier(name),
        sql.SQL(default),  # the server's own words, and a constant
    )
    return sql.SQL("({} AND {})").format(there, other)


def _constant(expression: str) -> bool:
    """Whether a default is a constant that can be compared: `'x'::text`, `0`; not `now()`."""
    try:
        (tree,) = grammar.read(f"SELECT {expression}") if expression else ()
    except (grammar.NotReadError, ValueError):
        return False
    node = tree.node
    targets = node.targetList or () if isinstance(node, ast.SelectStmt) and not node.fromClause else ()
    value: Any = targets[0].val if len(targets) == 1 else None
    while isinstance(value, ast.TypeCast):
        value = value.arg
    return isinstance(value, ast.A_Const)


def _estimated(connection: Connection, table: Table) -> str:
    row = connection.execute(
        "SELECT reltuples FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relname = %s",
        table,
    ).fetchone()
    estimate = int(row[0]) if row else -1
    return f"{rows_text(estimate)} (an estimate)" if estimate >= 0 else "rows that nobody has counted"


_COLUMNS = """
SELECT n.nspname::text, c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attgenerated OPERATOR(pg_catalog.=) '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
  a.attgenerated OPERATOR(pg_catalog.<>) '', a.attnum OPERATOR(pg_catalog.=) ANY (i.indkey::pg_catalog.int2[])
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
  AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid OPERATOR(pg_catalog.=) c.oid
  AND d.adnum OPERATOR(pg_catalog.=) a.attnum
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
      AND e.objid OPERATOR(pg_catalog.=) c.oid AND e.deptype OPERATOR(pg_catalog.=) 'e')
ORDER BY 1, 2, a.attnum
"""

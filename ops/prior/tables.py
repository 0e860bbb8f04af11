"""A table of the target as a prior copy needs it: columns, key, size, sequences, and what goes along with its rows."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from ops.database import Connection


@dataclass(frozen=True)
class Column:
    """A column that can be written. `type` is its full name, with schema; `is_plain`: type and collation are the
    server's own. All others are kept as text, so that a copy never stands in the way of dropping a type.
    """

    name: str
    type: str
    is_plain: bool
    is_always: bool = False
    """GENERATED ALWAYS AS IDENTITY."""
    has_default: bool = False
    """Put into a row that says nothing of the column; so it stands in every row where the column is made again."""

    def kept(self, alias: sql.Composable) -> sql.Composed:
        """How the column of `alias` stands in a copy."""
        value = sql.SQL("{}.{}").format(alias, sql.Identifier(self.name))
        return value if self.is_plain else sql.SQL('({})::pg_catalog.text COLLATE pg_catalog."C"').format(value)

    def put_back(self, alias: sql.Composable) -> sql.Composed:
        """What the copy `alias` holds of the column, as the column takes it."""
        value = sql.SQL("{}.{}").format(alias, sql.Identifier(self.name))
        if self.is_plain:
            return value
        return sql.SQL("({})::{}").format(value, sql.SQL(self.type))


@dataclass(frozen=True)
class Shape:
    """A table. `key` are the columns by which one row is told from another, empty where there is nothing of the kind.

    `sequences` belong to its columns: the name, quoted, and the last number given out, None for none. `triggers` are
    the project's own that run for its rows. `has_heirs`: other tables inherit from it, and show their rows in it.
    `runs_later`: one of these triggers may run only at the end of the transaction.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    bytes: int
    sequences: tuple[tuple[str, int | None], ...]
    triggers: tuple[str, ...]
    has_heirs: bool
    runs_later: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def named(self, names: Sequence[str]) -> tuple[Column, ...]:
        """These of its columns, in the table's order; those that are computed are not among them."""
        return tuple(column for column in self.columns if column.name in names)


@dataclass(frozen=True)
class Child:
    """A table whose rows go along when rows of another are deleted: `deletes`, else its `sets` are emptied.

    `own` and `parents` are the columns of the foreign key on both sides.
    """

    oid: int
    own: tuple[str, ...]
    parents: tuple[str, ...]
    deletes: bool
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """One prior copy, as its event tells it. `table` is its name in the schema of copies; `of` the table's schema and name.

    `columns` are what it holds of the table, `key` those of them that find a row again; `sets` are the columns that the
    statement changed or dropped. `rows` and `bytes` are the copy's. `what` is a `What`, or `schema` for the archive of the
    whole schema before the file of `version`. `after` is the copy's column that tells what the statement made of a row.
    """

    what: str
    table: str
    version: str
    statement: int
    line: int
    of: tuple[str, str] = ("", "")
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    rows: int = 0
    bytes: int = 0
    sequences: tuple[tuple[str, int | None], ...] = ()
    triggers: tuple[str, ...] = ()
    after: str = "countersign after"
    sha256: str = ""
    """Of what it held when it was taken (`ops.prior.private.contents_sha256`)."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def name(self) -> str:
        """`public.orders`, for people."""
        return ".".join(self.of)


def kept_from_json(found: Mapping[str, Any]) -> Kept:
    """A copy as an event tells it. Raises KeyError or TypeError for anything else."""
    return Kept(
        **{
            **found,
            "of": (found["of"][0], found["of"][1]),
            "columns": tuple(Column(**one) for one in found["columns"]),
            "key": tuple(found["key"]),
            "sets": tuple(found["sets"]),
            "sequences": tuple((name, last) for name, last in found["sequences"]),
            "triggers": tuple(found["triggers"]),
        }
    )


def find_table(connection: Connection, name: str, *, by_name: bool) -> int | None:
    """The table's number; None where there is none. `name` is spelled and quoted as in the session's SQL, or with
    `by_name` is `schema.name` as it is."""
    query = _BY_NAME if by_name else "SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid"
    row = connection.execute(query, (name,)).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def shape_of(connection: Connection, oid: int) -> Shape | None:
    """The table of this number; None for what is no table with rows of its own that last."""
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT pg_catalog.set_config('search_path', '', true)")
        row = connection.execute(_TABLE, {"oid": oid}).fetchone()
        if row is None:
            return None
        schema, name, kind, key, size, triggers, has_heirs, runs_later = row
        columns = tuple(Column(*one) for one in connection.execute(_COLUMNS, {"oid": oid}).fetchall())
        sequences = tuple((one, last) for one, last in connection.execute(_SEQUENCES, {"oid": oid}).fetchall())
    named = (schema, name, kind, columns, tuple(key or ()), int(size), sequences, tuple(triggers))
    return Shape(oid, *named, has_heirs, runs_later)


def children_of(connection: Connection, oid: int) -> tuple[Child, ...]:
    """The tables whose rows go along when rows of this one are deleted."""
    return tuple(
        Child(number, tuple(own), tuple(parents), action == "c", tuple(sets or own))
        for number, own, parents, action, sets in connection.execute(_children(connection), {"oid": oid}).fetchall()
    )


def has_volatile(connection: Connection, names: Collection[str]) -> str:
    """One of these functions that may do something of its own when it is called, in whichever schema; empty for none."""
    row = connection.execute(_VOLATILE, (list(names),)).fetchone() if names else None
    return str(row[0]) if row else ""


def referring_to(connection: Connection, oid: int) -> tuple[int, ...]:
    """The tables that TRUNCATE … CASCADE of this one empties too."""
    return tuple(int(number) for (number,) in connection.execute(_REFERRING, {"oid": oid}).fetchall())


_BY_NAME = """
SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = %s
"""

_TABLE = """
SELECT n.nspname::text, c.relname::text, c.relkind::text,
  (SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(number, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
                WHERE k.place <= i.indnkeyatts ORDER BY k.place)
   FROM pg_catalog.pg_index AS i
   WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
     AND i.indexprs IS NULL AND NOT EXISTS (
       SELECT FROM pg_catalog.unnest(i.indkey) AS k(number)
       JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number WHERE NOT a.attnotnull)
   ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1),
  (SELECT coalesce(sum(pg_catalog.pg_table_size(t.number)), 0) FROM (
     SELECT c.oid AS number WHERE c.relkind = 'r'
     UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) AS p WHERE p.isleaf) AS t),
  ARRAY(SELECT t.tgname::text FROM pg_catalog.pg_trigger AS t
        WHERE (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))
          AND NOT t.tgisinternal AND t.tgenabled NOT IN ('D', 'R') ORDER BY 1),
  c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid),
  EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
          WHERE (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))
            AND NOT t.tgisinternal AND t.tgdeferrable AND t.tgenabled NOT IN ('D', 'R'))
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = %(oid)s AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
"""

_COLUMNS = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
  tn.nspname = 'pg_catalog' AND (a.attcollation = 0 OR cn.nspname = 'pg_catalog'), a.attidentity = 'a',
  a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace AS cn ON cn.oid = o.collnamespace
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""

_SEQUENCES = """
SELECT d.objid::pg_catalog.regclass::text, pg_catalog.pg_sequence_last_value(d.objid)
FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = %(oid)s
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
ORDER BY 1
"""

_CHILDREN = """
SELECT r.conrelid,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.conrelid AND a.attnum = k.number ORDER BY k.place),
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.confrelid AND a.attnum = k.number ORDER BY k.place),
  r.confdeltype::text, SETS
FROM pg_catalog.pg_constraint AS r
WHERE r.contype = 'f' AND r.confrelid = %(oid)s AND r.confdeltype IN ('c', 'n', 'd') AND r.conparentid = 0
ORDER BY r.oid
"""
_SETS_SINCE_15 = """(
  SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.unnest(r.confdelsetcols) AS k(number)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.conrelid AND a.attnum = k.number)"""
_SINCE_15 = 150_000


def _children(connection: Connection) -> bytes:
    sets = _SETS_SINCE_15 if connection.info.server_version >= _SINCE_15 else "NULL::text[]"
    return _CHILDREN.replace("SETS", sets).encode()


_VOLATILE = """
SELECT p.proname::text FROM pg_catalog.pg_proc AS p WHERE p.proname = ANY (%s) AND p.provolatile = 'v' ORDER BY 1 LIMIT 1
"""

_REFERRING = """
WITH RECURSIVE family(number) AS (
  SELECT %(oid)s::pg_catalog.oid
  UNION SELECT r.conrelid FROM pg_catalog.pg_constraint AS r JOIN family AS f ON r.confrelid = f.number
  WHERE r.contype = 'f'
)
SELECT number FROM family WHERE number <> %(oid)s::pg_catalog.oid ORDER BY number
"""

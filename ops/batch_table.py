"""The table that a batched statement writes: its primary key, the next rows in the key's order, the standbys behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.pq import Escaping

from ops.batches import Batched
from ops.batches import quoted
from ops.database import Connection

_ORDINARY, _PARTITIONED = "r", "p"

# Whose values are the same again when they are read from their own text. Not so: arrays, records, ranges, json.
_CATEGORIES_READ_AGAIN = "BDEINSTV"
_TYPES_READ_AGAIN = ("uuid", "bytea", "macaddr", "macaddr8")


class KeyNotReadAgainError(Exception):
    """A value of the key is not the same when it is read from its own text, so no place in the order can be named."""


@dataclass(frozen=True)
class Next:
    """The next rows of the table: how many there are, and the condition that means them."""

    rows: int
    condition: str
    key: tuple[str, ...]
    """The last one's, as texts: where the next ones begin."""


@dataclass(frozen=True)
class Table:
    """A table with a primary key. `name` is quoted and with its schema; `columns` and `types` (with lengths) are the key's.

    `identity` is another one for a table, a database or a server that took its place. `rows` is what the server believes
    it holds, None where it has never counted.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    identity: str
    rows: int | None
    tells_nothing: bool
    """Whether the log may hold values of its key: each is a uuid, or a number that the server gives out."""

    def texts(self) -> str:
        """The key's values as texts that mean the same under every setting of a session, as SQL expressions."""
        return ", ".join(f"to_jsonb({quoted(column)}) #>> '{{}}'" for column in self.columns)


def find_table(connection: Connection, batched: Batched) -> Table | str:
    """The table as it is on this server, or why its rows cannot be gone through in the order of a key."""
    named = ".".join(quoted(part) for part in (batched.schema, batched.table) if part)
    row = connection.execute(
        """
        SELECT c.oid, format('%%I.%%I', n.nspname, c.relname), c.relkind, c.relhasrules,
               EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid) AND c.relkind = 'r',
               CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END,
               (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = pg_catalog.to_regclass(%s)
        """,
        (named,),
    ).fetchone()
    if row is None:
        return f"there is no table {named}"
    oid, name, kind, has_rules, has_children, rows, database = row
    key = connection.execute(
        """
        SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
               pg_catalog.strpos(%s, t.typcategory::text) > 0 OR t.typname = ANY (%s),
               t.oid = 'pg_catalog.uuid'::pg_catalog.regtype OR a.attidentity <> '' OR EXISTS (
                 SELECT FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid
                 WHERE s.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'a'
                   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
                   AND d.refobjsubid = a.attnum)
        FROM pg_catalog.pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        WHERE i.indrelid = %s AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place
        """,
        (_CATEGORIES_READ_AGAIN, list(_TYPES_READ_AGAIN), oid),
    ).fetchall()
    changed = sorted(batched.sets & {column for column, *_ in key})
    unreadable = [f"{column} is {type_name}" for column, type_name, is_read_again, _ in key if not is_read_again]
    why = {
        f"{name} is not a table": kind not in (_ORDINARY, _PARTITIONED),
        f"{name} has no primary key": not key,
        f"{name} has tables that inherit from it, whose rows its key does not cover": has_children and not batched.only,
        f"{name} has rules, which send statements elsewhere": has_rules,
        f"it changes {', '.join(changed)} of the primary key, so a row could come again": bool(changed),
        f"the order of its key cannot be told in texts: {', '.join(unreadable)}": bool(unreadable),
    }
    if any(why.values()):
        return next(words for words, holds in why.items() if holds)
    columns, types, _, tells_nothing = zip(*key, strict=True)
    identity = f"{_cluster(connection)}/{database}/{oid}"
    return Table(name, columns, types, identity, _rows(connection, oid, kind, rows), all(tells_nothing))


def _cluster(connection: Connection) -> str:
    """The server's own number; empty where the role may not read it."""
    allowed = connection.execute(
        "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
    ).fetchone()
    if not (allowed and allowed[0]):
        return ""
    row = connection.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()").fetchone()
    return str(row[0]) if row else ""


def _rows(connection: Connection, oid: int, kind: str, counted: int | None) -> int | None:
    if kind != _PARTITIONED:
        return counted
    row = connection.execute(
        """
        SELECT sum(greatest(c.reltuples, 0))::bigint FROM pg_catalog.pg_partition_tree(%s::oid::regclass) AS part
        JOIN pg_catalog.pg_class AS c ON c.oid = part.relid WHERE part.isleaf
        """,
        (oid,),
    ).fetchone()
    return int(row[0]) if row and row[0] else None


class Rows:
    """The rows of a table in the order of its key, for one session. Raises KeyNotReadAgainError rather than lose one."""

    def __init__(self, connection: Connection, table: Table, batched: Batched) -> None:
        self._connection = connection
        self._table = table
        self._called = batched.called
        self._from = f"{'ONLY ' if batched.only else ''}{table.name}"

    def last(self) -> tuple[str, ...] | None:
        """The key of the last row; None for an empty table."""
        order = ", ".join(f"{quoted(column)} DESC" for column in self._table.columns)
        row = self._connection.execute(
            f"SELECT {self._read_again()}, {self._table.texts()} FROM {self._from} ORDER BY {order} LIMIT 1".encode()  # noqa: S608 (quoted names)
        ).fetchone()
        return self._checked(*row) if row else None

    def next(self, after: tuple[str, ...] | None, until: tuple[str, ...], most: int) -> Next | None:
        """At most so many rows behind one key and not behind another; None where there are none."""
        columns = ", ".join(quoted(column) for column in self._table.columns)
        backwards = ", ".join(f"{quoted(column)} DESC" for column in self._table.columns)
        texts = self._table.texts()
        query = f"""
            WITH next AS MATERIALIZED (
                SELECT {columns} FROM {self._from} WHERE {self._between(after, until)} ORDER BY {columns} LIMIT {most}
            )
            SELECT (SELECT count(*) FROM next), {self._read_again()}, {texts} FROM next ORDER BY {backwards} LIMIT 1
            """  # noqa: S608 (quoted names and literals)
        row = self._connection.execute(query.encode()).fetchone()
        if row is None:
            return None
        rows, *found = row
        key = self._checked(*found)
        condition = self._between(after, key, f"{self._called}.")
        return Next(int(rows), condition, key)

    def _read_again(self) -> str:
        """Whether the key's values are the same when they are read from their texts, as the conditions do."""
        columns = zip(self._table.columns, self._table.types, strict=True)
        return " AND ".join(f"{quoted(name)} = (to_jsonb({quoted(name)}) #>> '{{}}')::{kind}" for name, kind in columns)

    def _checked(self, is_read_again: bool, *key: str) -> tuple[str, ...]:
        if not is_read_again:
            columns = ", ".join(self._table.columns)
            raise KeyNotReadAgainError(f"a value of {columns} is not the same when it is read from its own text")
        return key

    def _between(self, after: tuple[str, ...] | None, until: tuple[str, ...], called: str = "") -> str:
        names = ", ".join(f"{called}{quoted(column)}" for column in self._table.columns)
        parts = [f"({names}) <= ({self._values(until)})"]
        if after is not None:
            parts.insert(0, f"({names}) > ({self._values(after)})")
        return " AND ".join(parts)

    def _values(self, key: Sequence[str]) -> str:
        literal = Escaping(self._connection.pgconn).escape_literal
        return ", ".join(
            f"{literal(value.encode()).decode()}::{type_name}"
            for value, type_name in zip(key, self._table.types, strict=True)
        )

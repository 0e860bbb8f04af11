"""What stands around rows that are put back: triggers that would run for them, and foreign keys to those that go."""

from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ops.database import Connection
from ops.prior.put_back import THERE
from ops.prior.put_back import Table
from ops.prior.put_back import place
from ops.prior.put_back import same
from ops.prior.tables import Kept
from ops.prior.touching import What
from ops.schema.model import Key
from ops.schema.model import Schema


@dataclass(frozen=True)
class Trigger:
    """One of the project's own; `is_always`: it runs in replication too."""

    table: Table
    name: str
    is_always: bool

    def switched(self, how: str) -> str:
        """The statement that does so: `DISABLE`."""
        table, name = sql.Identifier(*self.table).as_string(), sql.Identifier(self.name).as_string()
        return f"ALTER TABLE {table} {how} TRIGGER {name}"


@dataclass(frozen=True)
class Referring:
    """A foreign key to a table: which other table has it, by which columns of both sides."""

    table: Table
    own: tuple[str, ...]
    parents: tuple[str, ...]

    def exists(self, kept: Kept, later: Sequence[Kept] = ()) -> sql.Composed:
        """That a row refers to the one that is `there`; not one that these later copies of the same request are of."""
        plain = {one.name for one in kept.columns if one.is_plain}
        child = sql.Identifier("referring")
        as_text = sql.SQL("({}.{})::pg_catalog.text = ({}.{})::pg_catalog.text")
        matches = sql.SQL(" AND ").join(
            (sql.SQL("{}.{} = {}.{}") if parent in plain else as_text).format(
                child, sql.Identifier(own), THERE, sql.Identifier(parent)
            )
            for own, parent in zip(self.own, self.parents, strict=True)
        )
        for one in later:
            sets = one.what == What.INSERTED or (one.what == What.UPDATED and set(one.sets) & set(self.own))
            if one.of == self.table and sets:
                matches += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS {} WHERE {})").format(
                    place(one), sql.Identifier("kept later"), same(one, child, sql.Identifier("kept later"))
                )
        return sql.SQL("EXISTS (SELECT FROM {} AS {} WHERE {})").format(sql.Identifier(*self.table), child, matches)


def quiet_triggers(connection: Connection, tables: Collection[Table], before: Schema) -> tuple[Trigger, ...]:
    """The project's own triggers that would run for rows put back into these tables, as far as they stay in the schema
    `before`: others are gone or not there yet when the rows come."""
    found = connection.execute(_TRIGGERS).fetchall()
    return tuple(
        Trigger((schema, name), trigger, is_always)
        for schema, name, trigger, is_always in found
        if (schema, name) in tables and Key("trigger", schema, f"{name} {trigger}") in before.entries
    )


def referring_to(connection: Connection, copies: Sequence[Kept], before: Schema) -> dict[Table, list[Referring]]:
    """Who refers to the tables into which rows were inserted, by table, as far as it does so in the schema `before` too."""
    tables = {one.of for one in copies if one.what == What.INSERTED}
    found: dict[Table, list[Referring]] = {}
    for constraint, schema, name, own, parent_schema, parent, parents in connection.execute(_REFERRING).fetchall():
        is_kept = Key("fk constraint", schema, f"{name} {constraint}") in before.entries
        if (parent_schema, parent) in tables and is_kept:
            one = Referring((schema, name), tuple(own), tuple(parents))
            found.setdefault((parent_schema, parent), []).append(one)
    return found


_TRIGGERS = """
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled = 'A'
FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') ORDER BY 1, 2, 3
"""

_REFERRING = """
SELECT r.conname::text, n.nspname::text, c.relname::text,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.conrelid AND a.attnum = k.number ORDER BY k.place),
  pn.nspname::text, p.relname::text,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.confrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_catalog.pg_constraint AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.conrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS p ON p.oid = r.confrelid JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE r.contype = 'f' AND r.conparentid = 0 ORDER BY 2, 3, 1
"""

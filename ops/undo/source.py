"""A backup restored into a throw-away cluster, as the source of rows: what it holds, and how the target differs from it."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ops.backup_about import About
from ops.backup_about import read_about
from ops.backup_catalog import use_plain_output
from ops.backup_files import about_file
from ops.backup_opening import opened_archive
from ops.backup_restore import DATABASE
from ops.backup_restore import restore_into
from ops.backup_restore import scratch_limits
from ops.backups import Backup
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.prior.private import make_schema
from ops.prior.private import place_of
from ops.prior.private import shut
from ops.prior.put_back import others_than_kept
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.tables import find_table
from ops.rehearsal.dump_cache import is_managed
from ops.schema.archive import read_archive
from ops.schema.model import Schema
from ops.scratch import FOREIGN_ROLE
from ops.scratch import Scratch
from ops.tools import find_scratch_tools

_KEPT = sql.Identifier("kept")
_THERE = sql.Identifier("there")
_HASH = sql.Identifier("countersign hash")
_PATH = "SET LOCAL search_path = public, extensions"


@dataclass(frozen=True)
class Source:
    """`connection` is a session on the restored database, `schema` the definitions that the backup holds."""

    connection: Connection
    schema: Schema
    about: About

    def own_tables(self) -> list[tuple[int, str, str]]:
        """See `own_tables`."""
        return own_tables(self.connection)

    def find(self, relation: str, *, by_name: bool) -> int | None:
        """The table that a file meant by this name."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute(_PATH)
            return find_table(self.connection, relation, by_name=by_name)

    def history(self) -> frozenset[str]:
        """The versions in the backup's history."""
        rows = self.connection.execute("SELECT version FROM supabase_migrations.schema_migrations").fetchall()
        return frozenset(version for (version,) in rows)

    def sequences(self) -> list[tuple[str, int | None]]:
        """Every sequence of the project's own, its name quoted, and the last number that it gave out."""
        found = self.connection.execute(_SEQUENCES).fetchall()
        return [(name, last) for schema, name, last in found if not is_managed(schema)]

    def pour(self, there: Connection, kept: Kept, *, empty: bool = False) -> int:
        """Make a private table of this copy's on another database, all of it or nothing, and fill it; its rows."""
        with there.transaction():
            make_schema(there)
            there.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place_of(kept.table)))
            there.execute(_table_for(kept))
            shut(there, kept.table)
            return 0 if empty else _copied(self.connection, _rows_of(kept), there, place_of(kept.table), plain=True)

    def differing(self, here: Connection, kept: Kept) -> tuple[int, int, int]:
        """How many rows of the copy are not on the target, hold something else there in the columns to be set, and how many
        the target has besides. `here` is a session on it; the table, its key and those columns are there."""
        names = [one for one in kept.columns if one.name in (*kept.key, *kept.sets)]
        now = sql.Identifier("pg_temp", f"now {kept.table} {kept.what}"[:60])
        listed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(one.name), sql.SQL(one.type)) for one in names
        )
        self.connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(now, listed))
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(sql.Identifier(one.name) for one in names), sql.Identifier(*kept.of)
        )
        with here.transaction():
            _plainly(here)
            _copied(here, query, self.connection, now, plain=False)
        same = sql.SQL(" AND ").join(
            sql.SQL("{}.{} = {}.{}").format(_KEPT, sql.Identifier(name), _THERE, sql.Identifier(name))
            for name in kept.key
        )
        raw = [Column(one.name, one.type, True) for one in kept.columns]
        other = others_than_kept(Kept(kept.what, kept.table, "", 0, 0, kept.of, tuple(raw), kept.key, kept.sets))
        row = self.connection.execute(
            sql.SQL(
                "SELECT count(*) FILTER (WHERE {there}.{key} IS NULL),"
                " count(*) FILTER (WHERE {there}.{key} IS NOT NULL AND {kept}.{key} IS NOT NULL AND ({other})),"
                " count(*) FILTER (WHERE {kept}.{key} IS NULL)"
                " FROM {restored} AS {kept} FULL JOIN {now} AS {there} ON {same}"
            ).format(
                there=_THERE,
                kept=_KEPT,
                key=sql.Identifier(kept.key[0]),
                other=other if kept.sets else sql.SQL("false"),
                restored=sql.Identifier(*kept.of),
                now=now,
                same=same,
            )
        ).fetchone()
        return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)

    def written_since(self, here: Connection, kept: Kept, columns: Sequence[str]) -> tuple[int, int, int]:
        """Rows that the target has and the backup has not, that hold something else there in `columns`, and that are gone."""
        names = [one for one in kept.columns if one.name in columns]
        keys = [one for one in names if one.name in kept.key] if set(kept.key) <= set(columns) else []
        query = _hashed(kept, names, keys)
        tables = [sql.Identifier("pg_temp", f"{which} {kept.table}"[:60]) for which in ("hash", "hash now")]
        listed = [sql.SQL("{} pg_catalog.text").format(sql.Identifier(one.name)) for one in keys]
        for table in tables:
            self.connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
                    table, sql.SQL(", ").join([*listed, sql.SQL("{} pg_catalog.text").format(_HASH)])
                )
            )
        with here.transaction():
            _plainly(here)
            _copied(here, query, self.connection, tables[1], plain=False)
        self.connection.execute(sql.SQL("INSERT INTO {} {}").format(tables[0], query))
        return compared(self.connection, tables[0], tables[1], [one.name for one in keys])


def own_tables(connection: Connection) -> list[tuple[int, str, str]]:
    """Number, schema and name of every table of the project's own that holds rows itself, partitions among them."""
    found = connection.execute(_OWN_TABLES).fetchall()
    return [(number, schema, name) for number, schema, name in found if not is_managed(schema)]


@contextmanager
def restored(ops: Ops, backup: Backup, progress: Progress, stop: Callable[[], bool]) -> Iterator[Source]:
    """A backup, checked and restored into a cluster of its own, which is gone when the `with` ends.

    Raises OpsError: BACKUP_DAMAGED for what is not as the log says or does not restore, and what opening it raises.
    """

    def tell(words: str, _share: float | None) -> None:
        progress(words)

    with opened_archive(backup, ops.settings, progress=tell, stop=stop) as archive:
        about = read_about(about_file(archive))
        catalog = about.catalog
        names = [extension.name for extension in catalog.extensions]
        tools = find_scratch_tools(names, minimum=catalog.server_version, configured_bin=ops.settings.postgres.bin)
        limits = scratch_limits(catalog.database_bytes)
        with Scratch(tools, roles=catalog.roles, extension_files=about.extension_files, limits=limits) as scratch:
            _, problems = restore_into(scratch, archive, catalog, jobs=1, progress=tell, stop=stop)
            if problems:
                message = f"The backup {backup.id} did not restore: {problems[0]}"
                raise OpsError(Reason.BACKUP_DAMAGED, message, exit_code=1)
            with closing(psycopg.connect(scratch.superuser_url(), autocommit=True)) as superuser:
                superuser.execute(sql.SQL("ALTER ROLE {} BYPASSRLS").format(sql.Identifier(FOREIGN_ROLE)))
            # Types and defaults of a dump may run code of its own: never as the superuser.
            with closing(psycopg.connect(scratch.url(DATABASE), autocommit=True)) as connection:
                use_plain_output(connection)
                yield Source(connection, read_archive(archive), about)


PLAIN_OUTPUT = (
    "SET LOCAL search_path = ''; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres';"
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex';"
    "SET LOCAL row_security = off"
)
"""Write values as the restored side does, until the transaction ends."""


def _plainly(connection: Connection) -> None:
    connection.execute(f"{PLAIN_OUTPUT}; SET LOCAL statement_timeout = 0".encode())


def _table_for(kept: Kept) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(
            sql.Identifier(one.name),
            sql.SQL(one.type) if one.is_plain else sql.SQL('pg_catalog.text COLLATE pg_catalog."C"'),
        )
        for one in kept.columns
    )
    return sql.SQL("CREATE TABLE {} ({})").format(place_of(kept.table), columns)


def _rows_of(kept: Kept) -> sql.Composed:
    """The restored rows as the copy holds them."""
    values = sql.SQL(", ").join(one.kept(_KEPT) for one in kept.columns)
    return sql.SQL("SELECT {} FROM ONLY {} AS {}").format(values, sql.Identifier(*kept.of), _KEPT)


def written_now(here: Connection, kept: Kept, columns: Sequence[str]) -> tuple[int, int, int]:
    """What `Source.written_since` counts, from the copy that was poured beside the table. `here` writes plainly."""
    names = [one for one in kept.columns if one.name in columns]
    keys = [one for one in names if one.name in kept.key] if set(kept.key) <= set(columns) else []
    sides = []
    for table, value in ((place_of(kept.table), _as_poured), (sql.Identifier(*kept.of), _as_it_would_be)):
        listed = [sql.SQL("({})::pg_catalog.text AS {}").format(value(one), sql.Identifier(one.name)) for one in keys]
        whole = sql.SQL("pg_catalog.md5(ROW({})::pg_catalog.text) AS {}").format(
            sql.SQL(", ").join(map(value, names)), _HASH
        )
        every = sql.SQL(", ").join([*listed, whole])
        sides.append(sql.SQL("(SELECT {} FROM ONLY {} AS {})").format(every, table, _KEPT))
    return compared(here, sides[0], sides[1], [one.name for one in keys])


def _as_poured(one: Column) -> sql.Composed:
    return sql.SQL("{}.{}").format(_KEPT, sql.Identifier(one.name))


def _as_it_would_be(one: Column) -> sql.Composed:
    return one.kept(_KEPT)


def _hashed(kept: Kept, names: Sequence[Column], keys: Sequence[Column]) -> sql.Composed:
    whole = sql.SQL(", ").join(sql.SQL("{}.{}").format(_KEPT, sql.Identifier(one.name)) for one in names)
    listed = [sql.SQL("({}.{})::pg_catalog.text").format(_KEPT, sql.Identifier(one.name)) for one in keys]
    return sql.SQL("SELECT {} FROM ONLY {} AS {}").format(
        sql.SQL(", ").join([*listed, sql.SQL("pg_catalog.md5(ROW({})::pg_catalog.text)").format(whole)]),
        sql.Identifier(*kept.of),
        _KEPT,
    )


def compared(
    connection: Connection, before: sql.Composable, now: sql.Composable, keys: Sequence[str]
) -> tuple[int, int, int]:
    """Rows that are only in `now`, that hold something else there, and that are only in `before`: tables, or queries in
    brackets, of keys and a hash."""
    if not keys:
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM (SELECT * FROM {now} AS n EXCEPT ALL SELECT * FROM {before} AS b) AS n), 0,"
            " (SELECT count(*) FROM (SELECT * FROM {before} AS b EXCEPT ALL SELECT * FROM {now} AS n) AS g)"
        ).format(now=now, before=before)
    else:
        same = sql.SQL(" AND ").join(sql.SQL("b.{0} = n.{0}").format(sql.Identifier(name)) for name in keys)
        query = sql.SQL(
            "SELECT count(*) FILTER (WHERE b.{hash} IS NULL), count(*) FILTER (WHERE b.{hash} <> n.{hash}),"
            " count(*) FILTER (WHERE n.{hash} IS NULL) FROM {before} AS b FULL JOIN {now} AS n ON {same}"
        ).format(hash=_HASH, before=before, now=now, same=same)
    row = connection.execute(query).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def _copied(here: Connection, query: sql.Composed, there: Connection, table: sql.Identifier, *, plain: bool) -> int:
    """COPY from one session to another, in text, which every version writes and reads alike."""
    if plain:
        _plainly(there)
    reading = sql.SQL("COPY ({}) TO STDOUT").format(query)
    writing = there.cursor()
    with here.cursor().copy(reading) as source, writing.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as drain:
        for block in source:
            drain.write(block)
    return writing.rowcount


_OWN_TABLES = """
SELECT c.oid, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3
"""

_SEQUENCES = """
SELECT n.nspname::text, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  pg_catalog.pg_sequence_last_value(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 2
"""

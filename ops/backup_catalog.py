"""What a backup must hold, read from the target under the very snapshot that is dumped; and what no dump can hold."""

import contextlib
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.standins import Extension
from ops.standins import read_extensions

_LOCK_SECONDS = 10
_ATTEMPTS = 3
_MANAGED_SCHEMAS = frozenset(
    (
        *("auth", "cron", "extensions", "graphql", "graphql_public", "net", "pgbouncer", "pgmq", "pgsodium"),
        *("pgsodium_masks", "pgtle", "realtime", "storage", "supabase_functions", "vault"),
        *("_analytics", "_realtime", "_supavisor"),
    )
)


@dataclass(frozen=True)
class Table:
    """A table whose rows the backup holds. `columns` are those that a dump stores: generated ones are computed anew."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Content:
    """How many rows, and for the level "identical" a hash of them that no order changes (None: not asked)."""

    rows: int
    hash: str | None


@dataclass(frozen=True)
class Catalog:
    """The target as the snapshot shows it. `left_out` are managed tables that the login may not read."""

    tables: tuple[Table, ...]
    left_out: tuple[Table, ...]
    extensions: tuple[Extension, ...]
    roles: tuple[str, ...]
    acting_role: str | None
    """The role to act as, where the login is another."""
    encoding: str
    server_version: int
    database_bytes: int
    large_objects: int
    not_held: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """An open snapshot of the target: what it shows, its name for pg_dump, and the session that keeps it."""

    name: str
    catalog: Catalog
    connection: Connection


@contextlib.contextmanager
def held_snapshot(database_url: str) -> Iterator[Snapshot]:
    """A read-only snapshot, kept until the `with` ends; then the session is closed.

    Every table is locked against dropping, rewriting and emptying (ACCESS SHARE) before the snapshot is taken:
    TRUNCATE and ALTER reach through snapshots. Raises OpsError LOCK_TIMEOUT when a table is not free within seconds,
    TARGET_REFUSED when the login may not read a table of the project itself, and what `connect` raises.
    """
    connection = connect(database_url, purpose="backup")
    with contextlib.closing(connection):
        connection.execute(_SESSION)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _lock_tables(connection)
                break
            except psycopg.errors.UndefinedTable:  # dropped between the list and the lock: list again
                connection.rollback()
                if attempt == _ATTEMPTS:
                    raise
            except psycopg.errors.LockNotAvailable as error:
                raise OpsError(
                    Reason.LOCK_TIMEOUT,
                    f"A table of {connection.info.dbname} was not free to be read within {_LOCK_SECONDS} seconds.",
                    "Something alters a table right now; try again when it has ended.",
                    exit_code=5,
                ) from error
        row = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        yield Snapshot(row[0], read_catalog(connection), connection)


def read_catalog(connection: Connection) -> Catalog:
    """What the snapshot of this transaction shows. Reads only; raises OpsError TARGET_REFUSED for unreadable tables."""
    tables, left_out = _tables(connection)
    barred = [str(table) for table in left_out if table.schema not in _MANAGED_SCHEMAS]
    if barred:
        raise OpsError(
            Reason.TARGET_REFUSED,
            f"{connection.info.user} may not read {', '.join(barred[:5])}, so a backup would not hold it.",
            "Grant SELECT to the login of the database URL, or use one that owns the tables.",
        )
    ((acting, login, encoding, version, size, large_objects),) = connection.execute(_DATABASE).fetchall()
    return Catalog(
        tables=tables,
        left_out=left_out,
        extensions=read_extensions(connection),
        roles=tuple(name for (name,) in connection.execute(_ROLES).fetchall()),
        acting_role=acting if acting != login else None,
        encoding=encoding,
        server_version=version // 10_000,
        database_bytes=size,
        large_objects=large_objects,
        not_held=tuple(_not_held(connection, left_out)),
    )


def use_plain_output(connection: Connection) -> None:
    """Make this session write values as every other session that called this: row hashes depend on it."""
    connection.execute(_SESSION)


def content_of(connection: Connection, table: Table, *, with_hash: bool) -> Content:
    """The rows of one table as this session's snapshot shows them; only the table itself, not its children."""
    name = sql.Identifier(table.schema, table.name)
    if not with_hash:
        row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(name)).fetchone()
        return Content(int(row[0]) if row else 0, None)
    columns = sql.SQL(", ").join(sql.Identifier("counted", column) for column in table.columns)
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), COALESCE(sum(pg_catalog.hashtextextended(ROW({})::pg_catalog.text, 0)), 0)::text"
            " FROM ONLY {} AS counted"
        ).format(columns, name)
    ).fetchone()
    return Content(int(row[0]), row[1]) if row else Content(0, "0")


def _lock_tables(connection: Connection) -> None:
    readable, _ = _tables(connection)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    for start in range(0, len(readable), 200):
        names = sql.SQL(", ").join(
            sql.SQL("ONLY {}").format(sql.Identifier(table.schema, table.name))
            for table in readable[start : start + 200]
        )
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


def _tables(connection: Connection) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
    """Those with rows in the dump that the login may read, and those that it may not."""
    readable: list[Table] = []
    barred: list[Table] = []
    for oid, schema, name, columns, may_read in connection.execute(_TABLES).fetchall():
        (readable if may_read else barred).append(Table(oid, schema, name, tuple(columns)))
    return tuple(readable), tuple(barred)


def _not_held(connection: Connection, left_out: Sequence[Table]) -> Iterator[str]:
    """Sentences about what is outside every dump of this database, most of them only where there is something."""
    yield "Roles, their passwords, settings and memberships are outside the dump."
    for query, one in _OUTSIDE:
        for row in connection.execute(query).fetchall():
            yield one.format(*row)
    for table in left_out:
        yield f"The login may not read the managed table {table}; it is left out."
    for relation, sentence in _PLATFORM:
        found = connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (relation,)).fetchone()
        if found is not None and found[0]:
            yield sentence


_SESSION = f"""
SET search_path = '';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET xmloption = 'content';
SET row_security = off;
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '{_LOCK_SECONDS}s';
SET synchronize_seqscans = off;
"""

_TABLES = """
SELECT c.oid, n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum),
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
  AND (e.oid IS NULL OR e.extcondition[array_position(e.extconfig, c.oid)] = '')
ORDER BY n.nspname, c.relname
"""

_DATABASE = """
SELECT current_user::text, session_user::text, pg_catalog.pg_encoding_to_char(encoding),
       pg_catalog.current_setting('server_version_num')::int, pg_catalog.pg_database_size(oid),
       (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)
FROM pg_catalog.pg_database WHERE datname = current_database()
"""

_ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname"

_OUTSIDE = (
    (
        "SELECT n.nspname, i.relname FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace"
        " WHERE NOT x.indisvalid AND i.relkind = 'i' AND n.nspname !~ '^pg_' ORDER BY 1, 2",
        "The index {}.{} is invalid, and a dump leaves invalid indexes out.",
    ),
    (
        "SELECT pg_catalog.array_to_string(s.setconfig, ', ') FROM pg_catalog.pg_db_role_setting s"
        " JOIN pg_catalog.pg_database b ON b.oid = s.setdatabase"
        " WHERE b.datname = current_database() AND s.setrole = 0 AND s.setconfig IS NOT NULL",
        "Settings of the database are outside the dump: {}.",
    ),
    (
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' ORDER BY 1, 2",
        "The rows of the foreign table {}.{} are on another server.",
    ),
    (
        "SELECT n.nspname, c.relname, e.extname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid"
        " AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'"
        " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid WHERE c.relkind = 'r'"
        " AND COALESCE(e.extcondition[array_position(e.extconfig, c.oid)], 'none') <> '' ORDER BY 1, 2",
        "Rows of {}.{} belong to the extension {} and are not, or not all, in the dump.",
    ),
    (
        "SELECT n.nspname, c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a"
        " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE a.attgenerated = 's' AND NOT a.attisdropped AND c.relkind = 'r' GROUP BY 1, 2 ORDER BY 1, 2",
        "Generated columns of {}.{} are computed again on restoring: {}.",
    ),
    (
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE database = current_database() ORDER BY 1",
        "The replication slot {} is outside the dump.",
    ),
)

_PLATFORM = (
    ("storage.objects", "Files in Storage are outside the database; only their rows are held."),
    ("vault.secrets", "The key that opens the secrets in vault is kept by the platform, outside the database."),
    ("pgsodium.key", "The root key of pgsodium is kept by the platform, outside the database."),
)

"""The tables of a target: how large they are, and whether row level security guards them. Reads the catalog, not the rows."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import patterns
from ops.database import connect
from ops.database import target_failed
from ops.load import given_up_after
from ops.targets import Target

TIMEOUT_SECONDS = 8

MOST = 2000
"""So many tables are told of, the largest; who has more reads the catalog."""


@dataclass(frozen=True)
class TableFacts:
    """One table, its partitions in it. `rows` is the server's estimate, None where it has never counted.

    `reached` are those of the API's roles that may read or write it; without row level security, all of it.
    """

    reached: tuple[str, ...]
    schema: str
    name: str
    rows: int | None
    size_bytes: int
    has_rls: bool
    is_forced: bool
    policies: int
    partitions: int

    @property
    def is_open(self) -> bool:
        """Whether the API's roles reach every row of it."""
        return bool(self.reached) and not self.has_rls

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "name": self.name,
            "rows": self.rows,
            "bytes": self.size_bytes,
            "rls": self.has_rls,
            "rls_forced": self.is_forced,
            "policies": self.policies,
            "partitions": self.partitions,
            "api_roles": list(self.reached),
        }


def read_tables(target: Target) -> tuple[tuple[TableFacts, ...], int]:
    """The user's tables, largest first, at most `MOST` of them, and how many there are. Raises OpsError."""
    with (
        closing(connect(target.database_url(), purpose=f"tables {target.name}")) as connection,
        given_up_after(connection, TIMEOUT_SECONDS * 2),
    ):
        try:
            with connection.transaction():
                connection.execute("SET TRANSACTION READ ONLY")
                connection.execute(f"SET LOCAL statement_timeout = '{TIMEOUT_SECONDS}s'")
                connection.execute("SET LOCAL lock_timeout = '1s'")
                rows = connection.execute(_TABLES, {"managed": patterns(MANAGED_SCHEMAS), "most": MOST}).fetchall()
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return tuple(TableFacts(tuple(row[-1]), *row[1:-1]) for row in rows), rows[0][0] if rows else 0


# To tell a size takes a lock on the table, so of one that somebody has for themselves it is what the server last counted:
# to look at tables keeps nobody waiting, and waits for nobody.
_TABLES = """
    WITH RECURSIVE user_table AS (
        SELECT c.oid, c.relnamespace, n.nspname, c.relname, c.relrowsecurity, c.relforcerowsecurity
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
          AND NOT c.relispartition
          AND NOT n.nspname LIKE ANY(%(managed)s)
          AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
          )
    ), member (root, oid) AS (
        SELECT oid, oid FROM user_table
        UNION ALL
        SELECT m.root, i.inhrelid
        FROM member AS m
        JOIN pg_catalog.pg_inherits AS i ON i.inhparent = m.oid
        JOIN pg_catalog.pg_class AS part ON part.oid = i.inhrelid AND part.relispartition
    ), held AS (
        SELECT DISTINCT l.relation AS oid
        FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
    ), size AS (
        SELECT m.root, sum(
                 CASE
                   WHEN EXISTS (SELECT FROM held AS h WHERE h.oid = m.oid)
                   THEN c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint
                   ELSE pg_catalog.pg_total_relation_size(m.oid)
                 END
               ) AS bytes
        FROM member AS m
        JOIN pg_catalog.pg_class AS c ON c.oid = m.oid
        GROUP BY m.root
    ), counted AS (
        SELECT m.root, count(*) - 1 AS partitions,
               sum(CASE WHEN c.relkind = 'p' THEN 0 ELSE c.reltuples END) AS tuples,
               bool_or(c.relkind <> 'p' AND c.reltuples < 0) AS is_uncounted
        FROM member AS m
        JOIN pg_catalog.pg_class AS c ON c.oid = m.oid
        GROUP BY m.root
    )
    SELECT count(*) OVER (), t.nspname, t.relname,
           CASE WHEN NOT n.is_uncounted THEN n.tuples::bigint END,
           s.bytes::bigint, t.relrowsecurity, t.relforcerowsecurity,
           (SELECT count(*) FROM pg_catalog.pg_policy AS p WHERE p.polrelid = t.oid),
           n.partitions,
           ARRAY(
             SELECT r.rolname::text
             FROM pg_catalog.pg_roles AS r
             WHERE r.rolname IN ('anon', 'authenticated')
               AND pg_catalog.has_table_privilege(r.oid, t.oid, 'SELECT, INSERT, UPDATE, DELETE')
               AND pg_catalog.has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
             ORDER BY 1
           )
    FROM user_table AS t
    JOIN size AS s ON s.root = t.oid
    JOIN counted AS n ON n.root = t.oid
    ORDER BY s.bytes DESC, n.tuples DESC, t.nspname, t.relname
    LIMIT %(most)s
"""

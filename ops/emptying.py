"""What of a database is the project's own, and the statements that drop it, as `reset` shows them before it asks.

The platform's schemas stay with every row in them: no user of auth, no object of storage, no job and no secret is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import patterns
from ops.database import Connection

ROWS_COUNTED = 1000
"""So far are the rows of a table counted: more are "more than 1,000"."""

TABLES_COUNTED = 200


@dataclass(frozen=True)
class Owned:
    """One thing that a reset drops. `kind` is as in `DROP …`: `schema`, `table`, `function`; `name` is quoted, with all
    that a DROP needs."""

    kind: str
    name: str

    @property
    def sql(self) -> str:
        if self.kind == "policy":
            return f"DROP POLICY IF EXISTS {self.name};"
        return f"DROP {self.kind.upper()} IF EXISTS {self.name} CASCADE;"


@dataclass(frozen=True)
class Counted:
    """A table and how many rows it has; `is_more` where counting ended before them."""

    table: str
    rows: int
    is_more: bool


def read_owned(connection: Connection) -> tuple[Owned, ...]:
    """Everything that a reset drops, in the order in which it does: what hangs on the platform's tables, extensions, whole
    schemas, then what is in public. Reads only. Raises psycopg.Error."""
    rows = connection.execute(_OWNED, {"managed": patterns(MANAGED_SCHEMAS), "kept": list(_KEPT_EXTENSIONS)}).fetchall()
    return tuple(Owned(kind, name) for _, kind, name in rows)


def read_counts(connection: Connection) -> tuple[Counted, ...]:
    """The tables that go, with their rows, those with the most first. Raises psycopg.Error."""
    tables = connection.execute(_TABLES, {"managed": patterns(MANAGED_SCHEMAS)}).fetchall()
    found = []
    for schema, table in tables[:TABLES_COUNTED]:
        counting = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS counted")
        row = connection.execute(counting.format(sql.Identifier(schema, table), ROWS_COUNTED + 1)).fetchone()
        count = int(row[0]) if row else 0
        found.append(Counted(f"{schema}.{table}", min(count, ROWS_COUNTED), count > ROWS_COUNTED))
    return tuple(sorted(found, key=lambda one: (-one.rows, one.table)))


def drop_sql(owned: Sequence[Owned]) -> str:
    """One text that drops all of it."""
    return "".join(f"{one.sql}\n" for one in owned)


_KEPT_EXTENSIONS = (
    *("pg_graphql", "pg_net", "pg_stat_statements", "pgcrypto", "pgjwt", "pgsodium", "plpgsql", "supabase_vault"),
    "uuid-ossp",
)
"""What every project has from the start, as the Supabase CLI's own reset keeps it."""

# Only what a role of ours owns can be dropped by us, and policies where the platform lets us, which it does by supautils.
# An extension with tables where the platform looks (pg_cron) stays.
_OWNED = r"""
    WITH of_extension AS MATERIALIZED (
      SELECT classid, objid, refobjid FROM pg_catalog.pg_depend
      WHERE deptype = 'e' AND refclassid = 'pg_catalog.pg_extension'::regclass
    ), managed AS MATERIALIZED (
      SELECT oid FROM pg_catalog.pg_namespace WHERE nspname LIKE ANY (%(managed)s::text[])
    ), gone AS MATERIALIZED (
      SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n
      WHERE n.nspname <> 'public' AND n.oid NOT IN (SELECT oid FROM managed)
        AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')
        AND NOT EXISTS (
          SELECT FROM of_extension AS e WHERE e.classid = 'pg_catalog.pg_namespace'::regclass AND e.objid = n.oid)
    ), here AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public'),
    object(rank, classid, objid) AS (
      SELECT CASE c.relkind WHEN 'f' THEN 4 WHEN 'm' THEN 5 WHEN 'v' THEN 6 WHEN 'S' THEN 8 ELSE 7 END,
             'pg_catalog.pg_class'::regclass::oid, c.oid
      FROM pg_catalog.pg_class AS c
      WHERE c.relnamespace IN (SELECT oid FROM here) AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        AND NOT c.relispartition AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
        AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend AS d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
            AND c.relkind = 'S')
      UNION ALL
      SELECT 9, 'pg_catalog.pg_proc'::regclass, p.oid FROM pg_catalog.pg_proc AS p
      WHERE p.pronamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(p.proowner, 'USAGE')
      UNION ALL
      SELECT 10, 'pg_catalog.pg_operator'::regclass, o.oid FROM pg_catalog.pg_operator AS o
      WHERE o.oprnamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(o.oprowner, 'USAGE')
      UNION ALL
      SELECT 11, 'pg_catalog.pg_type'::regclass, t.oid
      FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
      WHERE t.typnamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(t.typowner, 'USAGE')
        AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
      UNION ALL
      SELECT 12, 'pg_catalog.pg_collation'::regclass, c.oid FROM pg_catalog.pg_collation AS c
      WHERE c.collnamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(c.collowner, 'USAGE')
      UNION ALL
      SELECT 13, 'pg_catalog.pg_ts_config'::regclass, c.oid FROM pg_catalog.pg_ts_config AS c
      WHERE c.cfgnamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(c.cfgowner, 'USAGE')
      UNION ALL
      SELECT 14, 'pg_catalog.pg_ts_dict'::regclass, d.oid FROM pg_catalog.pg_ts_dict AS d
      WHERE d.dictnamespace IN (SELECT oid FROM here) AND pg_catalog.pg_has_role(d.dictowner, 'USAGE')
    )
    SELECT 1 AS rank, 'policy' AS kind, format('%%I ON %%I.%%I', p.polname, n.nspname, c.relname) AS name
    FROM pg_catalog.pg_policy AS p
    JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('auth', 'storage', 'realtime')
      AND (pg_catalog.pg_has_role(c.relowner, 'USAGE')
           OR pg_catalog.current_setting('supautils.policy_grants', true) IS NOT NULL)
    UNION ALL
    SELECT 2, 'extension', format('%%I', x.extname)
    FROM pg_catalog.pg_extension AS x
    WHERE x.extname <> ALL (%(kept)s::text[]) AND pg_catalog.pg_has_role(x.extowner, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM of_extension AS e JOIN pg_catalog.pg_class AS c ON c.oid = e.objid
        WHERE e.refobjid = x.oid AND e.classid = 'pg_catalog.pg_class'::regclass AND c.relkind IN ('r', 'p')
          AND c.relnamespace IN (SELECT oid FROM managed))
    UNION ALL
    SELECT 3, 'schema', format('%%I', nspname) FROM gone
    UNION ALL
    SELECT o.rank, found.type, found.identity
    FROM object AS o, pg_catalog.pg_identify_object(o.classid, o.objid, 0) AS found
    WHERE NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = o.classid AND e.objid = o.objid)
    ORDER BY 1, 2, 3
"""

_TABLES = r"""
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
      AND NOT n.nspname LIKE ANY (%(managed)s::text[])
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""

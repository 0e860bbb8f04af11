"""Which database a target is, and what state it is in: two hashes that any change of history or schema changes.

The schema's hash covers relations with their columns, constraints, indexes, rules, triggers and policies; functions,
types, sequences, publications, extensions (names), statistics, owners, privileges and default privileges. It leaves
out data, comments, partitions (their parent stands for them), what belongs to an extension, and the schemas that
Supabase manages, except what a project hangs into those: policies on them, and triggers that call its own functions.
The definitions are the server's own words, so the same view may hash differently on two major versions.
"""

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any
from typing import TypedDict

import psycopg

from ops.database import Connection
from ops.history import history_sha256
from ops.history import read_history

MANAGED_SCHEMAS = (
    "information_schema",
    "pg_*",
    "_analytics",
    "_realtime",
    "_supavisor",
    "auth",
    "cron",
    "dbdev",
    "etl",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "pgbouncer",
    "pgmq",
    "pgmq_public",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "realtime",
    "repack",
    "storage",
    "supabase_*",
    "tiger",
    "tiger_data",
    "timescaledb_*",
    "_timescaledb_*",
    "topology",
    "vault",
)
"""Schemas that the platform or an extension looks after; `*` stands for any ending."""


class Identity(TypedDict):
    """Which database it is, whatever its state: the fields of a fingerprint that have these names."""

    project_ref: str | None
    host: str
    database: str
    system_identifier: str | None


@dataclass(frozen=True)
class Fingerprint:
    """Identity and state of a target. `server_version` is like 170010; `host` is as the database URL names it.

    `system_identifier` is the cluster's own number, None where the role may not read it. `project_ref` is what the
    configuration says, None without one.
    """

    project_ref: str | None
    host: str
    database: str
    system_identifier: str | None
    server_version: int
    history_sha256: str
    schema_sha256: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_fingerprint(
    connection: Connection, *, project_ref: str | None, schemas_left_out: Sequence[str] = MANAGED_SCHEMAS
) -> Fingerprint:
    """The target as it is now. A few queries; writes nothing. Raises psycopg.Error when the server refuses one."""
    return Fingerprint(
        **identity_of(connection, project_ref=project_ref),
        server_version=connection.info.server_version,
        history_sha256=history_sha256(read_history(connection)),
        schema_sha256=catalog_hash(connection, schemas_left_out=schemas_left_out),
    )


def identity_of(connection: Connection, *, project_ref: str | None) -> Identity:
    """The identity alone; cheap. Raises psycopg.Error as `read_fingerprint` does."""
    return {
        "project_ref": project_ref,
        "host": connection.info.host,
        "database": connection.info.dbname,
        "system_identifier": _system_identifier(connection),
    }


def catalog_hash(connection: Connection, *, schemas_left_out: Sequence[str] = MANAGED_SCHEMAS) -> str:
    """SHA-256 of the schema in hex, as this session sees it: inside a transaction, with what that has done so far.

    Settings that change how the server words a definition are fixed for the query and given back afterwards.
    """
    patterns = [pattern.replace("\\", "\\\\").replace("_", "\\_").replace("*", "%") for pattern in schemas_left_out]
    with connection.transaction(force_rollback=True):
        connection.execute(_WORDING)
        row = connection.execute(_CATALOG, {"managed": patterns}).fetchone()
    if row is None:
        raise RuntimeError("an aggregate without GROUP BY has one row")
    return str(row[0])


def _system_identifier(connection: Connection) -> str | None:
    try:
        with connection.transaction():
            row = connection.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return str(row[0]) if row else None


# JIT would compile a query of this size for longer than it runs. Definitions of a locked table are waited for.
_WORDING = """
    SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
      ('search_path', ''), ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'),
      ('bytea_output', 'hex'), ('extra_float_digits', '1'), ('quote_all_identifiers', 'off'), ('jit', 'off'),
      ('lc_monetary', 'C'), ('xmlbinary', 'base64'), ('work_mem', '32MB'), ('lock_timeout', '5s')
    ) AS setting(name, value)
"""

# Every branch gives rows (kind, name, definition); ROW(...)::text keeps parts apart, whatever is in them.
# Privileges that were never touched are stored as null, which reads as what they are by default.
# GRANT ALL means one privilege more since 17 (MAINTAIN), which is no difference that anybody made.
_CATALOG = r"""
WITH
user_schema AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE NOT nspname LIKE ANY (%(managed)s::text[])
),
of_extension AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relation AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relname, c.relowner, c.relacl, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
         c.relreplident, c.reloptions, c.reloftype, c.relam, s.nspname, format('%%I.%%I', s.nspname, c.relname) AS name
  FROM pg_class AS c JOIN user_schema AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
),
-- where a project may hang policies and triggers, though the platform owns the table
hook AS MATERIALIZED (
  SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS name
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('auth', 'storage', 'realtime') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
),
grants AS MATERIALIZED (
  SELECT holder.classid, holder.oid, holder.sub, string_agg(
    CASE WHEN current_setting('server_version_num')::int >= 170000
         THEN replace(item::text, 'arwdDxtm', 'all') ELSE replace(item::text, 'arwdDxt', 'all') END,
    ',' ORDER BY item::text COLLATE "C") AS list
  FROM (
    SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner)) AS acl
    FROM relation WHERE relkind <> 'c'
    UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, coalesce(nspacl, acldefault('n', nspowner)) FROM user_schema
    UNION ALL SELECT 'pg_attribute'::regclass, attrelid, attnum, attacl FROM pg_attribute WHERE attacl IS NOT NULL
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, 0, coalesce(proacl, acldefault('f', proowner))
              FROM pg_proc AS p JOIN user_schema AS s ON s.oid = pronamespace
    UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, coalesce(typacl, acldefault('T', typowner))
              FROM pg_type AS t JOIN user_schema AS s ON s.oid = typnamespace
    UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclacl FROM pg_default_acl
  ) AS holder CROSS JOIN LATERAL unnest(holder.acl) AS item
  GROUP BY 1, 2, 3
),
object(kind, name, definition) AS (
  SELECT 'schema', s.nspname::text, ROW(nspowner::regrole, g.list)::text
  FROM user_schema AS s LEFT JOIN grants AS g ON g.classid = 'pg_namespace'::regclass AND g.oid = s.oid
  WHERE NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = s.oid)

  UNION ALL
  SELECT 'extension', e.extname::text, ROW(n.nspname)::text
  FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace

  UNION ALL
  SELECT 'relation', r.name, ROW(
    r.relkind, r.relowner::regrole, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relreplident,
    r.reloptions, CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype END, g.list,
    CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END,
    CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
    (SELECT array_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits AS i WHERE i.inhrelid = r.oid),
    (SELECT ROW(f.srvname, t.ftoptions) FROM pg_foreign_table AS t JOIN pg_foreign_server AS f ON f.oid = t.ftserver
     WHERE t.ftrelid = r.oid)
  )::text
  FROM relation AS r LEFT JOIN grants AS g ON g.classid = 'pg_class'::regclass AND g.oid = r.oid

  UNION ALL
  SELECT 'column', r.name, ROW(
    row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount, a.attstorage, a.attcompression,
    nullif(a.attstattarget, -1), a.attoptions, pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation END, g.list
  )::text
  FROM relation AS r
  JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN grants AS g ON g.classid = 'pg_attribute'::regclass AND g.oid = a.attrelid AND g.sub = a.attnum
  WHERE r.relkind <> 'S'

  UNION ALL
  -- since 18 NOT NULL has rows of its own here; only what the column's flag does not say is a difference
  SELECT 'constraint', coalesce(r.name, c.contypid::regtype::text), ROW(
    c.conname, pg_get_constraintdef(c.oid), c.convalidated, c.condeferrable, c.condeferred)::text
  FROM pg_constraint AS c
  JOIN user_schema AS s ON s.oid = c.connamespace
  LEFT JOIN relation AS r ON r.oid = c.conrelid
  WHERE c.conparentid = 0 AND (c.contype <> 'n' OR NOT c.convalidated)
    AND (r.oid IS NOT NULL OR c.contypid <> 0)
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = c.contypid)

  UNION ALL
  SELECT 'index', r.name, ROW(
    i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indisprimary, i.indisclustered,
    i.indisreplident)::text
  FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid

  UNION ALL
  SELECT 'trigger', coalesce(r.name, h.name), ROW(pg_get_triggerdef(t.oid), t.tgenabled)::text
  FROM pg_trigger AS t
  JOIN pg_proc AS p ON p.oid = t.tgfoid
  LEFT JOIN relation AS r ON r.oid = t.tgrelid
  LEFT JOIN hook AS h ON h.oid = t.tgrelid AND p.pronamespace IN (SELECT oid FROM user_schema)
  WHERE NOT t.tgisinternal AND (r.oid IS NOT NULL OR h.oid IS NOT NULL)

  UNION ALL
  SELECT 'policy', coalesce(r.name, h.name), ROW(
    p.polname, p.polcmd, p.polpermissive,
    (SELECT array_agg(CASE role WHEN 0 THEN 'public' ELSE role::regrole::text END
                      ORDER BY CASE role WHEN 0 THEN 'public' ELSE role::regrole::text END COLLATE "C")
     FROM unnest(p.polroles) AS role),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text
  FROM pg_policy AS p LEFT JOIN relation AS r ON r.oid = p.polrelid LEFT JOIN hook AS h ON h.oid = p.polrelid
  WHERE r.oid IS NOT NULL OR h.oid IS NOT NULL

  UNION ALL
  SELECT 'rule', r.name, ROW(pg_get_ruledef(w.oid), w.ev_enabled)::text
  FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'

  UNION ALL
  SELECT 'sequence', r.name, ROW(
    q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache, q.seqcycle,
    (SELECT format('%%s.%%s', d.refobjid::regclass, d.refobjsubid) FROM pg_depend AS d
     WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.objsubid = 0
       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))::text
  FROM relation AS r JOIN pg_sequence AS q ON q.seqrelid = r.oid

  UNION ALL
  SELECT 'function', format('%%I.%%I(%%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), ROW(
    p.prokind, p.proowner::regrole, l.lanname, p.prosecdef, p.proleakproof, p.proisstrict, p.proretset, p.provolatile,
    p.proparallel, p.procost, p.prorows, p.proconfig, pg_get_function_arguments(p.oid),
    pg_get_function_result(p.oid), p.prosrc, p.probin, pg_get_function_sqlbody(p.oid), g.list,
    (SELECT ROW(a.aggtransfn, a.aggfinalfn, a.agginitval, a.aggtranstype::regtype, a.aggkind)
     FROM pg_aggregate AS a WHERE a.aggfnoid = p.oid))::text
  FROM pg_proc AS p
  JOIN user_schema AS s ON s.oid = p.pronamespace
  JOIN pg_language AS l ON l.oid = p.prolang
  LEFT JOIN grants AS g ON g.classid = 'pg_proc'::regclass AND g.oid = p.oid
  WHERE NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)

  UNION ALL
  SELECT 'type', format('%%I.%%I', s.nspname, t.typname), ROW(
    t.typtype, t.typowner::regrole, t.typnotnull,
    CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typdefault,
    CASE WHEN t.typtype = 'd' THEN t.typcollation::regcollation END, g.list,
    (SELECT array_agg(v.enumlabel ORDER BY v.enumsortorder) FROM pg_enum AS v WHERE v.enumtypid = t.oid),
    (SELECT ROW(m.rngsubtype::regtype, m.rngcollation::regcollation, m.rngcanonical, m.rngsubdiff)
     FROM pg_range AS m WHERE m.rngtypid = t.oid))::text
  FROM pg_type AS t
  JOIN user_schema AS s ON s.oid = t.typnamespace
  LEFT JOIN grants AS g ON g.classid = 'pg_type'::regclass AND g.oid = t.oid
  WHERE (t.typtype IN ('e', 'd', 'r')
         OR t.typtype = 'c' AND t.typrelid IN (SELECT oid FROM relation WHERE relkind = 'c'))
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)

  UNION ALL
  SELECT 'statistics', s.nspname::text, ROW(pg_get_statisticsobjdef(x.oid))::text
  FROM pg_statistic_ext AS x JOIN user_schema AS s ON s.oid = x.stxnamespace

  UNION ALL
  SELECT 'publication', p.pubname::text, ROW(
    p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
    (SELECT array_agg(r.name ORDER BY r.name COLLATE "C") FROM pg_publication_rel AS m
     JOIN relation AS r ON r.oid = m.prrelid WHERE m.prpubid = p.oid))::text
  FROM pg_publication AS p

  UNION ALL
  SELECT 'default privileges', coalesce(s.nspname::text, ''), ROW(d.defaclrole::regrole, d.defaclobjtype, g.list)::text
  FROM pg_default_acl AS d
  LEFT JOIN user_schema AS s ON s.oid = d.defaclnamespace
  LEFT JOIN grants AS g ON g.classid = 'pg_default_acl'::regclass AND g.oid = d.oid
  WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL

  UNION ALL
  SELECT 'event trigger', t.evtname::text, ROW(t.evtevent, t.evtfoid::regprocedure, t.evtenabled, t.evttags)::text
  FROM pg_event_trigger AS t JOIN pg_proc AS p ON p.oid = t.evtfoid JOIN user_schema AS s ON s.oid = p.pronamespace
)
SELECT encode(sha256(convert_to(coalesce(string_agg(
  ROW(kind, name, definition)::text, E'\n' ORDER BY kind COLLATE "C", name COLLATE "C", definition COLLATE "C"), ''),
  'UTF8')), 'hex')
FROM object
"""

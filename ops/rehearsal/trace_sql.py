# ruff: noqa: S608 (every text here is made of constants)
"""What the tracer puts into a copy, and the questions that it asks there.

Everything stands in pg_catalog, where only the cluster's superuser can make or change something: it is found whatever
the search path is, nothing can stand before it, and neither dumps nor the schema's hash look there. The functions fix
every setting that a file could have moved and that they would notice.
"""

from typing import LiteralString

# Objects numbered from this table's number on came later than it: a file made them. Numbers only grow in a cluster.
TABLE: LiteralString = "pg_catalog.countersign_event"

_FIXED: LiteralString = """
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET quote_all_identifiers = off
    SET row_security = on
    SET jit = off
"""

INSTALL: tuple[LiteralString, ...] = (
    "SET LOCAL session_replication_role = replica",  # no event trigger of the copy's own runs as the superuser
    "SET LOCAL allow_system_table_mods = on",
    """
    CREATE TABLE pg_catalog.countersign_event (
      place bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL, number oid NOT NULL, part int NOT NULL,
      kind text NOT NULL, name text NOT NULL, original boolean NOT NULL, dependent boolean NOT NULL,
      names text[] NOT NULL
    )
    """,
    f"""
    CREATE FUNCTION pg_catalog.countersign_dropped() RETURNS event_trigger LANGUAGE plpgsql {_FIXED} AS $$
    BEGIN
      INSERT INTO pg_catalog.countersign_event (what, number, part, kind, name, original, dependent, names)
      SELECT 'drop', objid, objsubid, object_type, coalesce(object_identity, ''), original, normal,
             coalesce(address_names, ARRAY[]::text[])
      FROM pg_catalog.pg_event_trigger_dropped_objects()
      WHERE NOT is_temporary AND objid < 'pg_catalog.countersign_event'::regclass::oid;
    END $$
    """,
    f"""
    CREATE FUNCTION pg_catalog.countersign_rewritten() RETURNS event_trigger LANGUAGE plpgsql {_FIXED} AS $$
    BEGIN
      INSERT INTO pg_catalog.countersign_event (what, number, part, kind, name, original, dependent, names)
      VALUES ('rewrite', pg_catalog.pg_event_trigger_table_rewrite_oid(), 0, '', '', true, false, ARRAY[]::text[]);
    END $$
    """,
    f"""
    CREATE FUNCTION pg_catalog.countersign_seen(since bigint) RETURNS text LANGUAGE sql {_FIXED} AS $$
      SELECT pg_stat_force_next_flush();  -- or what this transaction writes is counted for the next one too
      WITH held AS MATERIALIZED (
        SELECT relation AS number, mode FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND relation >= 16384
          AND relation <> 'pg_catalog.countersign_event'::regclass
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      ), relation AS (
        SELECT c.oid AS number, c.relkind, pg_relation_filenode(c.oid) AS filenode,
               n.nspname || '.' || c.relname AS name, pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
               pg_stat_get_xact_tuples_updated(c.oid) AS updated, pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid IN (SELECT number FROM held) AND n.nspname <> 'pg_catalog' AND c.relpersistence <> 't'
      ), event AS (
        SELECT * FROM pg_catalog.countersign_event WHERE place > since
      )
      -- hexadecimal, since the file may have asked for an encoding that knows not every letter of a name
      SELECT encode(convert_to(json_build_object(
        'locks', (SELECT coalesce(json_agg(json_build_array(number::bigint, mode)), '[]') FROM held),
        'relations', (SELECT coalesce(json_agg(json_build_array(
                        number::bigint, relkind, name, filenode::bigint, inserted, updated, deleted)), '[]')
                      FROM relation),
        'events', (SELECT coalesce(json_agg(json_build_array(
                     place, what, number::bigint, part, kind, name, original, dependent, names) ORDER BY place), '[]')
                   FROM event)
      )::text, 'UTF8'), 'hex')
    $$
    """,
    """
    CREATE EVENT TRIGGER countersign_dropped ON sql_drop EXECUTE FUNCTION pg_catalog.countersign_dropped()
    """,
    """
    CREATE EVENT TRIGGER countersign_rewritten ON table_rewrite EXECUTE FUNCTION pg_catalog.countersign_rewritten()
    """,
    # Else session_replication_role, where a role may set it, would silence them.
    "ALTER EVENT TRIGGER countersign_dropped ENABLE ALWAYS",
    "ALTER EVENT TRIGGER countersign_rewritten ENABLE ALWAYS",
)
"""To be run by the superuser in one transaction."""

REMOVE: tuple[LiteralString, ...] = (
    "SET LOCAL session_replication_role = replica",
    "DROP EVENT TRIGGER countersign_dropped",
    "DROP EVENT TRIGGER countersign_rewritten",
    "SET LOCAL allow_system_table_mods = on",
    "DROP FUNCTION pg_catalog.countersign_dropped(), pg_catalog.countersign_rewritten() CASCADE",
    "DROP FUNCTION pg_catalog.countersign_seen(bigint) CASCADE",
    "DROP TABLE pg_catalog.countersign_event CASCADE",
)
"""The same, once the last file has run. Whatever a file has built on them goes too: the target has no such thing."""

SEEN: LiteralString = "SELECT pg_catalog.countersign_seen(%s::pg_catalog.int8)"
"""In the migrating session, behind a statement: locks held, what is locked, events since a place. Hexadecimal JSON."""

RELATIONS: LiteralString = """
SELECT c.oid::bigint, c.relkind::text, n.nspname, c.relname,
       c.relnatts, coalesce(i.indrelid, 0)::bigint, pg_catalog.pg_relation_filenode(c.oid)::bigint
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND c.oid < %s::pg_catalog.regclass::pg_catalog.oid
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I') AND n.nspname NOT IN ('pg_toast', 'pg_catalog')
"""
"""What is there before the files run, besides what keeps long values; `indrelid` is an index's table."""

UNSPOKEN: LiteralString = """
SELECT oid::bigint FROM pg_catalog.pg_constraint WHERE contype = 'n'
UNION ALL SELECT oid::bigint FROM pg_catalog.pg_trigger WHERE tgisinternal
"""
"""Parts of tables that nobody has named: the flag NOT NULL, which servers since 18 name, and what foreign keys do."""

FILENODES: LiteralString = """
SELECT oid::bigint, pg_catalog.pg_relation_filenode(oid)::bigint FROM pg_catalog.pg_class
WHERE oid >= 16384 AND oid < %s::pg_catalog.regclass::pg_catalog.oid AND relkind IN ('r', 'm', 'i')
"""

EVENTS: LiteralString = """
SELECT place, what, number::bigint, part, kind, name, original, dependent, names
FROM pg_catalog.countersign_event WHERE place > %s ORDER BY place
"""

HELD: LiteralString = """
SELECT relation::bigint, mode FROM pg_catalog.pg_locks
WHERE pid = %s AND locktype = 'relation' AND granted AND relation >= 16384
"""
"""Of another session, whose statement is on its way."""

WRITTEN: LiteralString = """
SELECT c.oid::bigint, pg_catalog.concat(n.nspname, '.', c.relname), pg_catalog.pg_stat_get_tuples_inserted(c.oid),
       pg_catalog.pg_stat_get_tuples_updated(c.oid), pg_catalog.pg_stat_get_tuples_deleted(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid >= 16384 AND c.relkind = 'r' AND n.nspname <> 'pg_catalog' AND c.relpersistence <> 't'
"""
"""Rows ever written, of what every session has told so far."""

TELL: LiteralString = "SELECT pg_catalog.pg_stat_force_next_flush()"
"""In the migrating session: have it tell what it wrote."""

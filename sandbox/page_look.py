"""What a visitor looks at beside Slack: the tables of both databases, and the audit log."""

import threading
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from audit import Query
from audit import Reader
from audit import Verification
from audit import verify
from sandbox.page_world import World

NO_WAITING = "-c statement_timeout=2000 -c lock_timeout=200 -c default_transaction_read_only=on"
_TABLES = """
SELECT format('%s.%s', space.nspname, class.relname) AS name, space.nspname AS space, class.relname AS bare,
       coalesce((
         SELECT json_agg(json_build_object('name', col.attname, 'type', format_type(col.atttypid, col.atttypmod),
                  'nullable', NOT col.attnotnull, 'default', pg_get_expr(def.adbin, def.adrelid)) ORDER BY col.attnum)
         FROM pg_attribute AS col
         LEFT JOIN pg_attrdef AS def ON (def.adrelid, def.adnum) = (col.attrelid, col.attnum)
         WHERE col.attrelid = class.oid AND col.attnum > 0 AND NOT col.attisdropped), '[]') AS columns,
       coalesce((
         SELECT json_agg(ind.relname ORDER BY ind.relname)
         FROM pg_index JOIN pg_class AS ind ON ind.oid = pg_index.indexrelid
         WHERE pg_index.indrelid = class.oid), '[]') AS indexes
FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE class.relkind IN ('r', 'p') AND space.nspname IN ('public', 'private')
ORDER BY space.nspname DESC, class.relname
"""
_HISTORY = "SELECT version, name FROM supabase_migrations.schema_migrations ORDER BY version"
_HAS_HISTORY = "SELECT to_regclass('supabase_migrations.schema_migrations') IS NOT NULL AS there"


def schema_json(world: World) -> dict[str, Any]:
    """The tables of dev and prod from their catalogs, and the migrations that stand in their histories."""
    found = [_database(world, name) for name in ("dev", "prod")]
    world.note_look("schema")
    return {"databases": found}


def _database(world: World, name: str) -> dict[str, Any]:
    url = world.stage.postgres.url(world.stage.databases[name])
    with closing(
        psycopg.connect(url, autocommit=True, row_factory=dict_row, options=NO_WAITING, connect_timeout=5)
    ) as connection:
        tables = connection.execute(_TABLES).fetchall()
        there = connection.execute(_HAS_HISTORY).fetchone()
        history = connection.execute(_HISTORY).fetchall() if there and there["there"] else []
        shown = [
            {
                "name": table["name"],
                "columns": table["columns"],
                "indexes": table["indexes"],
                "rows": _rows(connection, table["space"], table["bare"]),
            }
            for table in tables
        ]
    return {"name": name, "tables": shown, "history": history}


def _rows(connection: psycopg.Connection[dict[str, Any]], space: str, table: str) -> int | None:
    """How many rows there are; None while a migration holds the table."""
    try:
        counted = connection.execute(
            sql.SQL("SELECT count(*) AS rows FROM {}").format(sql.Identifier(space, table))
        ).fetchone()
    except psycopg.OperationalError:
        return None
    return int(counted["rows"]) if counted else None


_verified: dict[str, Verification] = {}
_verify_lock = threading.Lock()


def log_json(world: World, before: int | None, limit: int) -> dict[str, Any]:
    """Events of the audit log, newest first, and whether its chain holds from its first event to its last."""
    reader = Reader(world.stage.log_path)
    events = reader.find(Query(before_seq=before, limit=limit, newest_first=True))
    world.note_look("log")
    return {
        "events": [
            {
                "seq": event.seq,
                "at": event.at.isoformat(),
                "kind": event.kind,
                "actor": event.actor,
                "request": event.request,
                "environment": event.environment,
                "data": event.data,
            }
            for event in events
        ],
        "verified": _verification(world, reader),
    }


def _verification(world: World, reader: Reader) -> dict[str, Any]:
    """The verification of the log as it stands, computed once for each head."""
    newest = reader.find(Query(limit=1, newest_first=True))
    head = newest[0].hash if newest else ""
    with _verify_lock:
        if head not in _verified:
            _verified.clear()
            _verified[head] = verify(world.stage.log_path)
        found = _verified[head]
    return {
        "ok": found.ok,
        "events": found.events,
        "head": found.head,
        "problems": [problem.message for problem in found.problems],
    }

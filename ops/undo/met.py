"""What files meet on a target beside its tables, and that makes them do more than they say: functions and triggers."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from ops.database import Connection
from ops.undo.contents import Table

INSERTS, DELETES, UPDATES, TRUNCATES = 4, 8, 16, 32
"""The bits by which the server says when a trigger runs (pg_trigger.tgtype, and the same in CREATE TRIGGER)."""
ALL = INSERTS | DELETES | UPDATES | TRUNCATES


@dataclass(frozen=True)
class Met:
    """`functions` are the names, without schemas, of all functions that are neither the server's nor an extension's;
    `stirred` the tables with triggers or rules, and at what writing those run."""

    functions: frozenset[str] = frozenset()
    stirred: Mapping[Table, int] = field(default_factory=dict)


def read_met(connection: Connection) -> Met:
    """What there is in this database. Reads only; raises psycopg.Error."""
    functions = frozenset(name for (name,) in connection.execute(_FUNCTIONS).fetchall())
    stirred: dict[Table, int] = {}
    for schema, name, events in connection.execute(_STIRRED, {"all": ALL}).fetchall():
        stirred[schema, name] = stirred.get((schema, name), 0) | int(events)
    return Met(functions, stirred)


_FUNCTIONS = """
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS e WHERE e.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND e.objid OPERATOR(pg_catalog.=) p.oid AND e.deptype OPERATOR(pg_catalog.=) 'e')
"""

_STIRRED = """
SELECT n.nspname::text, c.relname::text, t.tgtype::int4 & %(all)s::int4
FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE NOT t.tgisinternal
UNION ALL
SELECT n.nspname::text, c.relname::text, %(all)s::int4
FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) r.ev_class
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind IN ('r', 'p')
"""

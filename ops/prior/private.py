"""The schema of copies on a target: made where it is missing, and closed to everybody but the role that migrates."""

from typing import LiteralString

from psycopg import sql

from ops.catalog import UNDO_SCHEMA
from ops.database import Connection


class NotOursError(Exception):
    """The schema is there and somebody else's, who could read what is put into it."""


def make_schema(connection: Connection) -> None:
    """See that it is there and shut, whatever default privileges say. Raises NotOursError, psycopg.Error."""
    row = connection.execute(_OWNER).fetchone()
    if row is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(UNDO_SCHEMA)))
    elif not row[0]:
        raise NotOursError(f"the schema {UNDO_SCHEMA} is somebody else's")
    for (name,) in connection.execute(_MAY_ENTER).fetchall():
        connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(sql.Identifier(UNDO_SCHEMA), _role(name)))


def shut(connection: Connection, table: str) -> None:
    """Leave a table in it to its owner alone. Raises psycopg.Error."""
    for (name,) in connection.execute(_MAY_READ, (f'{UNDO_SCHEMA}."{table}"',)).fetchall():
        connection.execute(sql.SQL("REVOKE ALL ON TABLE {} FROM {}").format(place_of(table), _role(name)))
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(place_of(table)))


def place_of(table: str) -> sql.Identifier:
    """The name of a table in it."""
    return sql.Identifier(UNDO_SCHEMA, table)


def _role(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


_OWNER: LiteralString = """
SELECT pg_catalog.pg_get_userbyid(nspowner) = current_user
FROM pg_catalog.pg_namespace WHERE nspname = 'countersign_undo'
"""

_MAY_ENTER: LiteralString = """
SELECT DISTINCT r.rolname::text
FROM pg_catalog.pg_namespace AS n
CROSS JOIN pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
WHERE n.nspname = 'countersign_undo' AND a.grantee <> n.nspowner
"""

_MAY_READ: LiteralString = """
SELECT DISTINCT r.rolname::text
FROM pg_catalog.pg_class AS c
CROSS JOIN pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
WHERE c.oid = %s::pg_catalog.regclass AND a.grantee <> c.relowner
"""

"""The schema of copies on a target: made where it is missing, and closed to everybody but the role that migrates."""

from typing import LiteralString

from psycopg import sql

from ops.catalog import UNDO_SCHEMA
from ops.database import Connection
from ops.prior.sending import PLAIN


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


def contents_sha256(connection: Connection, table: str) -> str:
    """A hash of all rows of a table in it, whatever their order and the session's settings. Raises psycopg.Error."""
    with connection.transaction(force_rollback=True):
        for statement in PLAIN:
            connection.execute(statement.encode())
        row = connection.execute(sql.SQL(_CONTENTS).format(place_of(table)).as_string(connection).encode()).fetchone()
    return str(row[0]) if row else ""


def place_of(table: str) -> sql.Identifier:
    """The name of a table in it."""
    return sql.Identifier(UNDO_SCHEMA, table)


def _role(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


_CONTENTS: LiteralString = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
  coalesce(pg_catalog.string_agg(one, '' ORDER BY one COLLATE pg_catalog."C"), ''), 'UTF8')), 'hex')
FROM (SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(kept::pg_catalog.text, 'UTF8')), 'hex') AS one
      FROM {} AS kept) AS hashed
"""

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

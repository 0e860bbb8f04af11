"""Health checks of a target's tables: that they are there and can be read, that row level security is on where the API
reaches them, and that a row can be written. What is written is rolled back."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.health_checked import Checked
from ops.health_settings import Health
from ops.load import SILENCE_SECONDS
from ops.load import given_up_after
from ops.targets import Target

TIMEOUT_SECONDS = 5.0
"""So long one table may take to be read."""

LOCK_TIMEOUT_MILLISECONDS = 1000
"""A check queues behind a lock for no longer: whoever comes after it would wait, too."""

NAMED = 5
"""So many tables without row level security are named."""

EXPOSED_ON_SUPABASE = ("public",)
"""What the API of a Supabase project reaches unless its settings say otherwise."""


def check_tables(target: Target, schemas: tuple[str, ...]) -> tuple[Checked, ...]:
    """The configured tables, and row level security in these schemas, in one session; none where there is nothing."""
    tables = target.settings.tables
    if not tables and not schemas:
        return ()
    began = time.monotonic()
    names = [*(f"table {name}" for name in tables), *(["row level security"] if schemas else [])]
    found: list[Checked] = []
    try:
        with _session(target, TIMEOUT_SECONDS * len(names)) as connection:
            for table in tables:
                found.append(_timed(names[len(found)], connection, table))
            if schemas:
                found.append(_protected(names[-1], connection, schemas))
    except (OpsError, psycopg.Error) as error:
        detail = error.message if isinstance(error, OpsError) else _code(error)
        found += [Checked(name, False, time.monotonic() - began, detail) for name in names[len(found) :]]
    return tuple(found)


def check_insert(target: Target, check: Health) -> tuple[bool, str]:
    """Whether the row of this check can be written as its role, all constraints included. It is never committed.

    What triggers do inside the database goes with it; numbers of sequences are used up. Raises OpsError, psycopg.Error.
    """
    with _session(target, check.timeout_seconds) as connection:
        connection.execute("BEGIN")
        try:
            written = _write(connection, check)
        except psycopg.Error as error:
            if connection.closed:
                raise
            return False, _refused(error)
        connection.execute("ROLLBACK")
    if written == 1:
        return True, "written and rolled back"
    return False, f"expected one row to be written, got {written}"


def _write(connection: Connection, check: Health) -> int:
    """How many rows were written, constraints that may wait for the end included."""
    schema, _, name = (check.insert or "").partition(".")
    _limit(connection, check.timeout_seconds)
    if check.claims:
        claims = json.dumps(dict(check.claims))
        connection.execute("SELECT pg_catalog.set_config('request.jwt.claims', %s, true)", (claims,))
    if check.role:
        connection.execute("SELECT pg_catalog.set_config('role', %s, true)", (check.role,))
    columns = sql.SQL(", ").join(map(sql.Identifier, check.row))
    values = sql.SQL(", ").join(sql.Placeholder() for _ in check.row)
    line = sql.SQL("({}) VALUES ({})").format(columns, values) if check.row else sql.SQL("DEFAULT VALUES")
    statement = sql.SQL("INSERT INTO {} {}").format(sql.Identifier(schema, name), line)
    written = connection.execute(statement, [_value(one) for one in check.row.values()]).rowcount
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return written


def _refused(error: psycopg.Error) -> str:
    """Why a row was not written: the code, and the names that the schema gives things. The server's words quote rows."""
    names = [("constraint", error.diag.constraint_name), ("column", error.diag.column_name)]
    said = [f"{what} {name}" for what, name in names if name]
    return ", ".join([f"SQLSTATE {error.sqlstate or 'unknown'}, {type(error).__name__}", *said])


def _value(value: object) -> object:
    return Jsonb(value) if isinstance(value, (dict, list)) else value


@contextmanager
def _session(target: Target, seconds: float) -> Iterator[Connection]:
    """A session that is given up when the server says nothing for so long."""
    with (
        closing(connect(target.database_url(), purpose=f"health {target.name}")) as connection,
        given_up_after(connection, seconds + SILENCE_SECONDS),
    ):
        yield connection


@contextmanager
def _reading(connection: Connection) -> Iterator[None]:
    """A transaction that can write nothing, with its times."""
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        _limit(connection, TIMEOUT_SECONDS)
        yield


def _limit(connection: Connection, seconds: float) -> None:
    """A time for each statement, and a short one for locks; gone with the transaction."""
    for name, milliseconds in (("statement_timeout", int(seconds * 1000)), ("lock_timeout", LOCK_TIMEOUT_MILLISECONDS)):
        connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, str(milliseconds)))


def _timed(name: str, connection: Connection, table: str) -> Checked:
    began = time.monotonic()
    try:
        with _reading(connection):
            ok, detail = _readable(connection, table)
    except psycopg.Error as error:
        if connection.closed:
            raise
        ok, detail = False, _code(error)
    return Checked(name, ok, time.monotonic() - began, detail)


def _readable(connection: Connection, table: str) -> tuple[bool, str]:
    """Whether it is there, and a row of it can be read; an empty one can, too."""
    schema, _, name = table.partition(".")
    row = connection.execute(_THERE, {"schema": schema, "name": name}).fetchone()
    if row is None:
        return False, "it does not exist"
    if not row[0]:
        return False, "our role may not read it"
    connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(schema, name)))
    return True, "can be read"


def _protected(name: str, connection: Connection, schemas: tuple[str, ...]) -> Checked:
    """Whether row level security is on for every table that the roles of the API may use."""
    began = time.monotonic()
    with _reading(connection):
        rows = connection.execute(_OPEN, {"schemas": list(schemas)}).fetchall()
    open_tables = [f"{schema}.{table}" for schema, table in rows]
    detail = f"on for every table of {', '.join(schemas)}"
    if open_tables:
        more = f" and {len(open_tables) - NAMED} more" if len(open_tables) > NAMED else ""
        detail = f"off for {', '.join(open_tables[:NAMED])}{more}"
    return Checked(name, not open_tables, time.monotonic() - began, detail)


def _code(error: psycopg.Error) -> str:
    """Why a look failed; the server's own words may quote rows."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "somebody holds a lock on it"
    return f"SQLSTATE {error.sqlstate or 'unknown'}"


_THERE = """
    SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_OPEN = """
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s)
      AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition
      AND NOT c.relrowsecurity
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
      )
      AND (
        NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname IN ('anon', 'authenticated'))
        OR EXISTS (
          SELECT
          FROM pg_catalog.pg_roles AS r
          WHERE r.rolname IN ('anon', 'authenticated')
            AND pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
            AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
        )
      )
    ORDER BY 1, 2
"""
"""Partitions are reached through their table only, and what belongs to an extension is its own affair."""

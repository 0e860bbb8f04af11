"""Reading the schema of a live database: a dump without rows, and what dumps leave out beside it."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path

import psycopg

from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.schema.archive import read_archive
from ops.schema.grants import quoted
from ops.schema.left_out import read_left_out
from ops.schema.model import Entry
from ops.schema.model import Schema
from ops.tools import Finished
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import find_tools
from ops.tools import run_tool

_DUMP_SECONDS = 600.0
_LOCK_WAIT = "10s"


def read_schema(
    database_url: str,
    *,
    tools: Tools | None = None,
    folder: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Schema:
    """The whole schema as it is now. Reads only; no password is in the process list, and no file stays behind.

    `tools` default to those that fit the server: two schemas that are to be compared are read with the same ones, since
    each version words definitions its own way. `folder` (default the system's temporary one) holds the dump for a
    moment. Tables that the login may not read are left out and named in `not_read`. Raises OpsError: LOCK_TIMEOUT when
    a table is not free, TARGET_UNAVAILABLE, TARGET_REFUSED, TOOLS_MISSING, STOPPED, UNEXPECTED.
    """
    with contextlib.closing(connect(database_url, purpose="schema")) as connection:
        found = tools or find_tools(connection.info.server_version // 10_000)
        role, not_read = _role_and_barred(connection)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="countersign-schema-", dir=folder) as private:
            archive = Path(private, "schema.dump")
            _dump(database_url, found, archive, role, not_read, stop)
            schema = read_archive(archive)
        left_out = _read_left_out(connection)
    return Schema(
        schema.entries, schema.server, schema.database, tuple(f"{schema_name}.{name}" for schema_name, name in not_read)
    ).with_entries(left_out)


def schema_archive(database_url: str, *, stop: Callable[[], bool] = lambda: False) -> bytes:
    """An archive of all definitions as they are now, which `read_archive` reads from a file. As `read_schema`."""
    with contextlib.closing(connect(database_url, purpose="schema")) as connection:
        tools = find_tools(connection.info.server_version // 10_000)
        role, not_read = _role_and_barred(connection)
    with tempfile.TemporaryDirectory(prefix="countersign-schema-") as private:
        archive = Path(private, "schema.dump")
        _dump(database_url, tools, archive, role, not_read, stop)
        return archive.read_bytes()


def with_left_out(schema: Schema, connection: Connection) -> Schema:
    """A schema read from an archive, with what dumps leave out as that connection shows it."""
    return schema.with_entries(_read_left_out(connection))


def _read_left_out(connection: Connection) -> list[Entry]:
    try:
        return read_left_out(connection)
    except psycopg.Error as error:
        raise OpsError(
            Reason.TARGET_REFUSED,
            f"The catalog of {connection.info.dbname} could not be read: {error.sqlstate or type(error).__name__}.",
            "Check the role of the database URL.",
        ) from error


def _role_and_barred(connection: Connection) -> tuple[str, list[tuple[str, str]]]:
    """The role to act as, empty where it is the login; and the tables that pg_dump would stumble over."""
    row = connection.execute("SELECT current_user::text, session_user::text").fetchone()
    role = row[0] if row and row[0] != row[1] else ""
    return role, barred_tables(connection)


def barred_tables(connection: Connection) -> list[tuple[str, str]]:
    """Tables at which pg_dump would give up in the name of this session's role: schema and name."""
    return [(schema, name) for schema, name in connection.execute(_BARRED).fetchall()]


def without_tables(tables: Iterable[tuple[str, str]]) -> list[str]:
    """What to say to pg_dump so that it leaves these out."""
    return [f"--exclude-table={quoted(schema)}.{quoted(name)}" for schema, name in tables]


def _dump(
    database_url: str,
    tools: Tools,
    archive: Path,
    role: str,
    not_read: list[tuple[str, str]],
    stop: Callable[[], bool],
) -> None:
    os.close(os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    arguments = ["--format=custom", "--compress=0", "--schema-only", "--encoding=UTF8", "--no-password"]
    arguments += [f"--lock-wait-timeout={_LOCK_WAIT}", f"--file={archive}"]
    arguments += [f"--role={role}"] if role else []
    arguments += without_tables(not_read)
    with connection_files(database_url) as connection:
        finished = run_tool(
            tools, "pg_dump", arguments, connection=connection, timeout_seconds=_DUMP_SECONDS, stop=stop
        )
    if finished.exit_code != 0:
        raise _dump_failed(finished, tools)


def _dump_failed(finished: Finished, tools: Tools) -> OpsError:
    lines = [line for line in finished.stderr.splitlines() if "error:" in line] or finished.stderr.splitlines()
    said = (lines[0].partition("error: ")[2] or lines[0])[:400] if lines else "it said nothing"
    if "server version mismatch" in said or "SSL support is not compiled in" in said:
        return OpsError(Reason.TOOLS_MISSING, f"pg_dump of {tools.name} does not fit the target: {said}")
    if "lock timeout" in said:
        return OpsError(
            Reason.LOCK_TIMEOUT,
            f"A table was not free while the schema was read: {said}",
            "Something alters a table right now; try again when it has ended.",
            exit_code=5,
        )
    if "connection to server" in said:
        return OpsError(Reason.TARGET_UNAVAILABLE, f"pg_dump did not reach the target: {said}", exit_code=1)
    return OpsError(Reason.UNEXPECTED, f"The schema could not be read, pg_dump failed: {said}", exit_code=1)


# pg_dump locks every table that it describes, which needs SELECT on it, and gives up at the first that it may not.
_BARRED = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
  AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT')
           AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
ORDER BY 1, 2
"""

"""Trying a backup: restored into a scratch cluster, with stand-ins for extensions, and what is in there afterwards."""

import os
import re
import shutil
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from ops.backup_catalog import Catalog
from ops.backup_catalog import Content
from ops.backup_catalog import Table
from ops.backup_catalog import content_of
from ops.backup_catalog import use_plain_output
from ops.backup_errors import explain
from ops.backup_errors import read_errors
from ops.backup_files import files_of
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.scratch import Limits
from ops.scratch import Scratch
from ops.standins import Extension
from ops.tools import Tools
from ops.tools import available_extensions
from ops.tools import connection_files
from ops.tools import run_tool

Progress = Callable[[str, float | None], None]
Stop = Callable[[], bool]
Contents = Mapping[Table, Content]

DATABASE = "restored"
_RESTORE_SECONDS = 6 * 3600.0
_RESTORING = ("--verbose", "--no-owner", "--no-tablespaces", "--no-password")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Restored:
    """What came of a restore. `contents` lacks a table that is not there; `problems` disprove the backup."""

    contents: Contents
    expected_errors: tuple[str, ...]
    problems: tuple[str, ...]


def scratch_limits(database_bytes: int) -> Limits:
    """Room for the restored database, its log and sorting."""
    return Limits(
        seconds=_RESTORE_SECONDS, statement_seconds=_RESTORE_SECONDS, disk_bytes=max(2 * 2**30, 3 * database_bytes)
    )


def stood_in(tools: Tools, catalog: Catalog) -> tuple[Extension, ...]:
    """The target's extensions that a scratch server of these tools does not have."""
    available = available_extensions(tools)
    return tuple(extension for extension in catalog.extensions if extension.name not in available)


def restore(
    archive: Path,
    catalog: Catalog,
    *,
    tools: Tools,
    extension_files: Mapping[str, str],
    with_hash: bool,
    jobs: int = 1,
    progress: Progress,
    stop: Stop,
) -> Restored:
    """Restore an archive into a scratch cluster of its own and read it back. Leaves nothing behind.

    What several `jobs` end with an error is done again by one, whose errors cannot be mistaken for each other's.
    Raises OpsError when no scratch cluster comes up, on `stop`, and when a limit ended the cluster.
    """
    restored = _restore(archive, catalog, tools, extension_files, with_hash, jobs, progress, stop)
    if restored.problems and jobs > 1:
        return _restore(archive, catalog, tools, extension_files, with_hash, 1, progress, stop)
    return restored


def _restore(
    archive: Path,
    catalog: Catalog,
    tools: Tools,
    extension_files: Mapping[str, str],
    with_hash: bool,
    jobs: int,
    progress: Progress,
    stop: Stop,
) -> Restored:
    progress("starting a scratch database", None)
    limits = scratch_limits(catalog.database_bytes)
    with Scratch(tools, roles=catalog.roles, extension_files=extension_files, limits=limits) as scratch:
        expected, problems = restore_into(scratch, archive, catalog, jobs=jobs, progress=progress, stop=stop)
        contents: Contents = {}
        try:
            with psycopg.connect(scratch.superuser_url(DATABASE), autocommit=True) as connection:
                contents = _read_back(connection, catalog, with_hash, progress, stop)
                problems += _lost_large_objects(connection, catalog)
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            problems.append(f"The restored database could not be read: {reason}")
        progress("removing the scratch database", None)
    return Restored(contents, expected, tuple(problems))


def restore_into(
    scratch: Scratch, archive: Path, catalog: Catalog, *, jobs: int, progress: Progress, stop: Stop
) -> tuple[tuple[str, ...], list[str]]:
    """Restore an archive into the database `DATABASE`, made for it, of a scratch cluster that stands.

    What comes back: sentences on expected errors, and on all others. Raises OpsError on `stop`.
    """
    progress("preparing the scratch database", None)
    scratch.create_database(DATABASE, encoding=catalog.encoding)
    problems = list(_create_extensions(scratch, catalog))
    stderr, exit_code = _run_pg_restore(scratch, archive, catalog, jobs, progress, stop)
    errors, complete = read_errors(stderr)
    expected, unexpected = explain(errors, stood_in(scratch.tools, catalog))
    problems += [f"Restoring failed at {error}" for error in unexpected]
    if not complete or exit_code not in (0, 1) or (exit_code == 1 and not errors):
        problems.append(f"pg_restore did not end well: {_last_line(stderr)}")
    return expected, problems


def read_contents(
    connection: Connection, tables: Sequence[Table], *, with_hash: bool, words: str, progress: Progress, stop: Stop
) -> dict[Table, Content]:
    """Rows (and hashes) of every table, one after the other. Raises OpsError STOPPED; the query is cancelled then."""
    contents: dict[Table, Content] = {}

    def work() -> None:
        for table in tables:
            contents[table] = content_of(connection, table, with_hash=with_hash)

    def tell() -> None:
        progress(f"{words} rows: {len(contents)} of {len(tables)} tables", len(contents) / max(1, len(tables)))

    attended(work, tell=tell, stop=stop, cancel=connection.cancel_safe)
    return contents


def attended(
    work: Callable[[], _Result], *, tell: Callable[[], None], stop: Stop, cancel: Callable[[], None] = lambda: None
) -> _Result:
    """Do the work in a thread; here, tell twice a second and cancel it when asked. Raises OpsError STOPPED then."""
    stopped = OpsError(Reason.STOPPED, "The backup was stopped on request.", exit_code=1)
    if stop():
        raise stopped
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not wait([future], 0.5).done:
            tell()
            if stop():
                cancel()
                wait([future], 30)
                raise stopped
        tell()
        return future.result()


def differences(expected: Contents, restored: Contents) -> Iterator[str]:
    """A sentence for every table that did not come back with the same content."""
    for table, content in expected.items():
        there = restored.get(table)
        if there is None:
            yield f"The table {table} is missing from the restored database."
        elif there.rows != content.rows:
            yield f"The table {table} has {there.rows} rows restored, and {content.rows} in the target."
        elif there.hash != content.hash:
            yield f"The table {table} has as many rows restored as in the target, but not the same."


def _create_extensions(scratch: Scratch, catalog: Catalog) -> Iterator[str]:
    """Extensions before everything else: real ones by the superuser, stand-ins by the foreign role, as untrusted."""
    stand_ins = {extension.name for extension in stood_in(scratch.tools, catalog)}
    for extension in catalog.extensions:
        url = scratch.url(DATABASE) if extension.name in stand_ins else scratch.superuser_url(DATABASE)
        schema = sql.Identifier(extension.schema)
        try:
            if _is_own_schema(extension.schema):
                with psycopg.connect(scratch.url(DATABASE), autocommit=True) as connection:
                    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("CREATE EXTENSION {} SCHEMA {} CASCADE").format(sql.Identifier(extension.name), schema)
                )
        except psycopg.errors.DuplicateObject:  # made by the CASCADE of an earlier one
            continue
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            yield f"The extension {extension.name} could not be made in the scratch database: {reason}"


def _is_own_schema(schema: str) -> bool:
    return schema != "public" and not schema.startswith("pg_")


def _read_back(
    connection: Connection, catalog: Catalog, with_hash: bool, progress: Progress, stop: Stop
) -> dict[Table, Content]:
    use_plain_output(connection)
    tables = [table for table in catalog.tables if _exists(connection, table)]
    words = "reading the restored"
    return read_contents(connection, tables, with_hash=with_hash, words=words, progress=progress, stop=stop)


def _lost_large_objects(connection: Connection, catalog: Catalog) -> Iterator[str]:
    ((restored,),) = connection.execute("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata").fetchall()
    if restored != catalog.large_objects:
        yield f"{restored} large objects came back; the target has {catalog.large_objects}."


def _run_pg_restore(
    scratch: Scratch, archive: Path, catalog: Catalog, jobs: int, progress: Progress, stop: Stop
) -> tuple[str, int]:
    """What pg_restore said, and its exit code."""
    listing = run_tool(scratch.tools, "pg_restore", ["--list", str(archive)], timeout_seconds=600, stop=stop)
    made_before = {extension.schema for extension in catalog.extensions if _is_own_schema(extension.schema)}
    list_file = scratch.work / "list"
    list_file.write_text("\n".join(_wanted(listing.stdout.splitlines(), made_before)) + "\n")
    copy = archive
    if scratch.uid is not None:
        # Root parses no dump: the cluster's own user does, on a copy that this user may read.
        copy = scratch.work / "archive"
        attended(lambda: _copy(archive, copy), tell=lambda: progress("copying the backup", None), stop=stop)
        for path in (list_file, copy, *files_of(copy)):
            os.chown(path, scratch.uid, scratch.uid)
    empty = scratch.disk_bytes()

    def tick(_stderr: str) -> None:
        share = (scratch.disk_bytes() - empty) / max(1, catalog.database_bytes)
        progress("restoring the backup into a scratch database", min(share, 0.95))

    with connection_files(scratch.url(DATABASE), owner=scratch.uid) as connection:
        finished = run_tool(
            scratch.tools,
            "pg_restore",
            [*_RESTORING, f"--jobs={jobs}", f"--use-list={list_file}", str(copy)],
            connection=connection,
            uid=scratch.uid,
            timeout_seconds=_RESTORE_SECONDS,
            tick=tick,
            stop=stop,
        )
    return finished.stderr, finished.exit_code


def _copy(archive: Path, copy: Path) -> None:
    if archive.is_dir():
        copy.mkdir(mode=0o700)
    for path in files_of(archive):
        shutil.copyfile(path, copy / path.name if archive.is_dir() else copy)


def _wanted(lines: Sequence[str], made_before: Collection[str]) -> Iterator[str]:
    """The lines of a list of contents without the extensions, and the schemas that were made for them."""
    for line in lines:
        entry = re.sub(r"^\d+; \d+ \d+ ", "", line)
        if entry.startswith(("EXTENSION - ", "COMMENT - EXTENSION ")):
            continue
        if any(entry.startswith(f"SCHEMA - {schema} ") for schema in made_before):
            continue
        yield line


def _exists(connection: Connection, table: Table) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r')",
        (table.schema, table.name),
    ).fetchone()
    return bool(row and row[0])


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"

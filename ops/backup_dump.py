"""Dumping a target: the whole database under one snapshot, and what it must hold counted under the same one."""

import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path

from ops.backup_catalog import Catalog
from ops.backup_catalog import Snapshot
from ops.backup_catalog import held_snapshot
from ops.backup_files import bytes_of
from ops.backup_files import make_private
from ops.backup_files import remove
from ops.backup_files import require_room
from ops.backup_restore import Contents
from ops.backup_restore import Progress
from ops.backup_restore import Stop
from ops.backup_restore import read_contents
from ops.backup_restore import stood_in
from ops.errors import OpsError
from ops.errors import Reason
from ops.standins import stand_in_files
from ops.tools import Finished
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import find_scratch_tools
from ops.tools import find_tools
from ops.tools import run_tool

DUMP_SECONDS = 6 * 3600.0

PARALLEL_BYTES = 512 * 2**20
"""From this size on several processes dump and restore; below it starting them takes as long as they save."""

MOST_JOBS = 4
"""Each reads the target through a session of its own, and the target has others to serve."""

_GZIP = "--compress=1"  # every pg_restore reads gzip; zstd only where it was compiled in. Higher levels save few bytes


@dataclass(frozen=True)
class Dumped:
    """What the time of the open snapshot gave: the archive, and what it must hold."""

    archive: Path
    jobs: int
    taken_at: datetime
    catalog: Catalog
    contents: Contents
    tools: Tools
    scratch_tools: Tools | None
    extension_files: dict[str, str]


def dump_under_snapshot(
    database_url: str,
    work: Path,
    *,
    label: str,
    tools_bin: str,
    is_tried: bool,
    with_hash: bool,
    to_seal: bool,
    jobs: int | None,
    progress: Progress,
    stop: Stop,
) -> Dumped:
    """Dump into `work`, named after `label`. `is_tried`: a trial of it follows; `to_seal`: it takes twice the room.

    `jobs`: so many processes, into a folder where they are several; None: as many as pay. Raises OpsError as `take_backup`
    does, and psycopg's errors.
    """
    progress("opening a snapshot", None)
    with held_snapshot(database_url) as snapshot:
        taken_at, catalog = datetime.now(UTC), snapshot.catalog
        tools = find_tools(catalog.server_version, tools_bin)
        scratch_tools, files = _for_a_trial(snapshot, tools, tools_bin, is_tried)
        require_room(_needs(work.parent, catalog.database_bytes, to_seal=to_seal, is_tried=is_tried))
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:80] or "backup"
        archive = work / f"{name}-{taken_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}.dump"
        jobs = jobs or jobs_that_pay(catalog.database_bytes, len(catalog.tables))
        try:
            _run_pg_dump(database_url, snapshot, tools, archive, jobs, progress, stop)
        except OpsError as error:
            # Several processes do not wait for a table's lock behind somebody who queues for it; one does, for its time.
            if error.reason is not Reason.LOCK_TIMEOUT or jobs == 1:
                raise
            jobs = 1
            remove(archive)
            _run_pg_dump(database_url, snapshot, tools, archive, jobs, progress, stop)
        contents = read_contents(
            snapshot.connection,
            catalog.tables,
            with_hash=with_hash,
            words="reading the target's",
            progress=progress,
            stop=stop,
        )
    return Dumped(archive, jobs, taken_at, catalog, contents, tools, scratch_tools, files)


def _for_a_trial(
    snapshot: Snapshot, tools: Tools, tools_bin: str, is_tried: bool
) -> tuple[Tools | None, dict[str, str]]:
    """The programs of a scratch server, and the stand-ins for extensions that it lacks, of which only the target knows.

    Without a trial now there may be one later; then no server here is no reason to have no backup.
    """
    names = [extension.name for extension in snapshot.catalog.extensions]
    try:
        found = find_scratch_tools(names, minimum=tools.version, configured_bin=tools_bin)
    except OpsError:
        if is_tried:
            raise
        return None, {}
    files: dict[str, str] = {}
    for extension in stood_in(found, snapshot.catalog):
        files |= stand_in_files(snapshot.connection, extension)
    return found, files


def jobs_that_pay(database_bytes: int, tables: int) -> int:
    """How many processes dump and restore a database of this size. Each table is dumped by one of them."""
    if database_bytes < PARALLEL_BYTES:
        return 1
    return max(1, min(os.cpu_count() or 1, tables, MOST_JOBS))


def _needs(folder: Path, database_bytes: int, *, to_seal: bool, is_tried: bool) -> list[tuple[Path, int, str]]:
    """The room that a backup takes at most: no dump is larger than its database, and a trial is that database again."""
    needs = [(folder, database_bytes * (2 if to_seal else 1), "the backup")]
    trial = (Path(tempfile.gettempdir()), 2 * database_bytes, "the backup and its trial")
    return [*needs, trial] if is_tried else needs


def _run_pg_dump(
    database_url: str, snapshot: Snapshot, tools: Tools, archive: Path, jobs: int, progress: Progress, stop: Stop
) -> None:
    """Write the archive, whole and on the disk: pg_dump waits for that itself."""
    catalog = snapshot.catalog
    way = ["--format=custom"] if jobs == 1 else ["--format=directory", f"--jobs={jobs}"]
    arguments = [*way, _GZIP, "--no-password", "--verbose", "--lock-wait-timeout=10s"]
    arguments += [f"--snapshot={snapshot.name}", f"--file={archive}"]
    arguments += [f"--exclude-table={_pattern(table.schema)}.{_pattern(table.name)}" for table in catalog.left_out]
    arguments += [f"--role={catalog.acting_role}"] if catalog.acting_role else []
    total = max(1, len(catalog.tables))

    def tick(stderr: str) -> None:
        begun = stderr.count("pg_dump: dumping contents of table")
        words = f"dumping: {begun} of {len(catalog.tables)} tables, {bytes_of(archive) / 2**20:.1f} MB"
        progress(words, min(begun / total, 0.99))

    if jobs == 1:
        os.close(os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with connection_files(database_url) as connection:
        finished = run_tool(
            tools,
            "pg_dump",
            arguments,
            connection=connection,
            timeout_seconds=DUMP_SECONDS,
            tick=tick,
            stop=stop,
        )
    if finished.exit_code != 0:
        raise _dump_failed(finished, tools)
    make_private(archive)


def _dump_failed(finished: Finished, tools: Tools) -> OpsError:
    said = first_error(finished)
    if "server version mismatch" in said or "SSL support is not compiled in" in said:
        return OpsError(Reason.TOOLS_MISSING, f"pg_dump of {tools.name} does not fit the target: {said}")
    if "lock timeout" in said or "could not obtain lock" in said:
        return OpsError(Reason.LOCK_TIMEOUT, f"A table could not be locked for the backup: {said}", exit_code=5)
    if "connection to server" in said:
        return OpsError(Reason.TARGET_UNAVAILABLE, f"pg_dump did not reach the target: {said}", exit_code=1)
    return OpsError(Reason.BACKUP_NOT_PROVEN, f"pg_dump failed: {said}", exit_code=1)


def _pattern(name: str) -> str:
    """A name as pg_dump's patterns take it, with no character of special meaning."""
    return '"' + name.replace('"', '""') + '"'


def first_error(finished: Finished) -> str:
    lines = [line for line in finished.stderr.splitlines() if "error:" in line or "warning:" in line]
    said = lines[0] if lines else (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return said.partition("error: ")[2][:400] or said[:400]

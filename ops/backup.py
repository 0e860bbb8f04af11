"""Backups and their proof: dumped under one snapshot, checksummed, read again, restored and compared."""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from ops.backup_catalog import Catalog
from ops.backup_catalog import Snapshot
from ops.backup_catalog import held_snapshot
from ops.backup_restore import Contents
from ops.backup_restore import Progress
from ops.backup_restore import Restored
from ops.backup_restore import Stop
from ops.backup_restore import attended
from ops.backup_restore import differences
from ops.backup_restore import read_contents
from ops.backup_restore import restore
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

_DUMP_SECONDS = 6 * 3600.0
_SPARE_BYTES = 64 * 2**20


class Level(StrEnum):
    """How much is proven: nothing; every block reads; it restores with the same row counts; with the same rows."""

    NONE = "none"
    INTACT = "intact"
    RESTORED = "restored"
    IDENTICAL = "identical"


@dataclass(frozen=True)
class BackupProof:
    """A backup file and what was found out about it. `proven` is the answer to `level`, and never yes on doubt.

    `path` is absolute, `sha256` lower-case hex, `taken_at` the moment of the snapshot (UTC). `expected_errors` are what
    a scratch database must refuse, `not_held` what no dump holds, `problems` why it is not proven: sentences, all.
    """

    level: Level
    path: str
    bytes: int
    sha256: str
    seconds: float
    taken_at: datetime
    tables: int
    rows: int
    server_version: int
    tool: str
    expected_errors: tuple[str, ...]
    stand_ins: tuple[str, ...]
    not_held: tuple[str, ...]
    problems: tuple[str, ...]
    proven: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"level": self.level.value, "taken_at": self.taken_at.isoformat()}


@dataclass(frozen=True)
class _Dumped:
    """What the time of the open snapshot gave: the archive, and what it must hold."""

    archive: Path
    taken_at: datetime
    catalog: Catalog
    contents: Contents
    tools: Tools
    scratch_tools: Tools | None
    extension_files: dict[str, str]


def take_backup(
    database_url: str,
    *,
    level: Level,
    folder: Path,
    label: str,
    tools_bin: str = "",
    progress: Progress = lambda _words, _fraction: None,
    stop: Stop = lambda: False,
) -> BackupProof:
    """Dump the whole database into `folder` and prove it as far as `level` says (not "none").

    The file is named after `label` and the time, mode 0600, with its SHA-256 beside it. `progress` gets words and a
    fraction or None, at least every second. The session on the target is closed before the proof begins, so nothing of
    this stands in a migration's way afterwards. Raises OpsError where there is no backup at all: TOOLS_MISSING,
    TARGET_UNAVAILABLE, TARGET_REFUSED, LOCK_TIMEOUT, BACKUP_NOT_PROVEN (no room, pg_dump failed), STOPPED.
    """
    if level is Level.NONE:
        raise ValueError("a backup of level none is not taken")
    started = time.monotonic()
    try:
        dumped = _dump_under_snapshot(database_url, level, folder, label, tools_bin, progress, stop)
    except psycopg.Error as error:
        said = error.diag.message_primary or "the connection was lost"
        raise OpsError(Reason.BACKUP_NOT_PROVEN, f"The target could not be read: {said}.", exit_code=1) from error
    with _gone_when_stopped(dumped.archive):
        return _prove(dumped, level, started, progress, stop)


def _prove(dumped: _Dumped, level: Level, started: float, progress: Progress, stop: Stop) -> BackupProof:
    """Everything after the dump, without a session on the target."""
    sha256 = attended(lambda: _sha256(dumped.archive), tell=lambda: progress("computing the checksum", None), stop=stop)
    _write_checksum(dumped.archive, sha256)

    problems = list(check_backup(dumped.archive, sha256, tools=dumped.tools, progress=progress, stop=stop))
    problems += _missing_entries(dumped, stop)
    restored = None
    if dumped.scratch_tools is not None and not problems:
        restored = restore(
            dumped.archive,
            dumped.catalog,
            tools=dumped.scratch_tools,
            extension_files=dumped.extension_files,
            with_hash=level is Level.IDENTICAL,
            progress=progress,
            stop=stop,
        )
        problems += [*restored.problems, *differences(dumped.contents, restored.contents)]
    progress("the backup is proven" if not problems else "the backup is not proven", 1.0)
    return _proof(level, dumped, sha256, restored, problems, time.monotonic() - started)


def check_backup(
    archive: Path | str,
    sha256: str | None = None,
    *,
    tools: Tools | None = None,
    progress: Progress = lambda _words, _fraction: None,
    stop: Stop = lambda: False,
) -> tuple[str, ...]:
    """Read a backup again, whole: a sentence for everything wrong with it, none if it is as it was taken.

    `sha256` is what the proof says; None: what is written beside the file.
    """
    path = Path(archive)
    try:
        wanted = sha256 or _checksum_of(path).read_text().split()[0]
        found = attended(lambda: _sha256(path), tell=lambda: progress("reading the backup again", None), stop=stop)
    except (OSError, IndexError):
        return (f"The backup {path.name} or its checksum cannot be read.",)
    problems = [] if found == wanted else [f"The backup {path.name} has changed: its checksum is another."]
    unreadable = unreadable_block(path, tools or find_tools(None), progress=progress, stop=stop)
    return (*problems, *([unreadable] if unreadable else []))


def unreadable_block(
    archive: Path, tools: Tools, *, progress: Progress = lambda _words, _fraction: None, stop: Stop = lambda: False
) -> str | None:
    """Whether every block of the archive decompresses and parses; a sentence if not. Compares nothing."""
    finished = run_tool(
        tools,
        "pg_restore",
        ["--file=/dev/null", str(archive)],
        timeout_seconds=_DUMP_SECONDS,
        tick=lambda _stderr: progress("decompressing every block of the backup", None),
        stop=stop,
    )
    if finished.exit_code == 0 and not finished.stderr.strip():
        return None
    return f"The backup {archive.name} cannot be read to its end: {_first_error(finished)}"


@contextmanager
def _gone_when_stopped(archive: Path) -> Iterator[None]:
    """Who stops a backup wants none: a copy of the rows that nobody proved, and no log names, is not left about."""
    try:
        yield
    except OpsError as error:
        if error.reason is Reason.STOPPED:
            archive.unlink(missing_ok=True)
            _checksum_of(archive).unlink(missing_ok=True)
        raise


def _dump_under_snapshot(
    database_url: str, level: Level, folder: Path, label: str, tools_bin: str, progress: Progress, stop: Stop
) -> _Dumped:
    progress("opening a snapshot", None)
    with held_snapshot(database_url) as snapshot:
        taken_at, catalog = datetime.now(UTC), snapshot.catalog
        tools = find_tools(catalog.server_version, tools_bin)
        scratch_tools: Tools | None = None
        files: dict[str, str] = {}
        if level in (Level.RESTORED, Level.IDENTICAL):
            names = [extension.name for extension in catalog.extensions]
            scratch_tools = find_scratch_tools(names, minimum=tools.version, configured_bin=tools_bin)
            for extension in stood_in(scratch_tools, catalog):
                files |= stand_in_files(snapshot.connection, extension)
        _make_private(folder)
        _require_room(folder, catalog.database_bytes)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:80] or "backup"
        archive = folder.resolve() / f"{name}-{taken_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}.dump"
        with _gone_when_stopped(archive):
            _run_pg_dump(database_url, snapshot, tools, archive, progress, stop)
            contents = read_contents(
                snapshot.connection,
                catalog.tables,
                with_hash=level is Level.IDENTICAL,
                words="reading the target's",
                progress=progress,
                stop=stop,
            )
    return _Dumped(archive, taken_at, catalog, contents, tools, scratch_tools, files)


def _run_pg_dump(
    database_url: str, snapshot: Snapshot, tools: Tools, archive: Path, progress: Progress, stop: Stop
) -> None:
    """Write the archive under a partial name; it gets its own only when it is whole and on the disk."""
    partial = archive.with_name(archive.name + ".partial")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    catalog = snapshot.catalog
    arguments = ["--format=custom", "--compress=1", "--no-password", "--verbose", "--lock-wait-timeout=10s"]
    arguments += [f"--snapshot={snapshot.name}", f"--file={partial}"]
    arguments += [f"--exclude-table={_pattern(table.schema)}.{_pattern(table.name)}" for table in catalog.left_out]
    arguments += [f"--role={catalog.acting_role}"] if catalog.acting_role else []
    total = max(1, len(catalog.tables))

    def tick(stderr: str) -> None:
        begun = stderr.count("pg_dump: dumping contents of table")
        words = f"dumping: {begun} of {len(catalog.tables)} tables, {partial.stat().st_size / 2**20:.1f} MB"
        progress(words, min(begun / total, 0.99))

    try:
        with connection_files(database_url) as connection:
            finished = run_tool(
                tools,
                "pg_dump",
                arguments,
                connection=connection,
                timeout_seconds=_DUMP_SECONDS,
                tick=tick,
                stop=stop,
            )
        if finished.exit_code != 0:
            raise _dump_failed(finished, tools)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(archive)
        _sync_folder(archive.parent)
    finally:
        partial.unlink(missing_ok=True)


def _dump_failed(finished: Finished, tools: Tools) -> OpsError:
    said = _first_error(finished)
    if "server version mismatch" in said or "SSL support is not compiled in" in said:
        return OpsError(Reason.TOOLS_MISSING, f"pg_dump of {tools.name} does not fit the target: {said}")
    if "lock timeout" in said:
        return OpsError(Reason.LOCK_TIMEOUT, f"A table could not be locked for the backup: {said}", exit_code=5)
    if "connection to server" in said:
        return OpsError(Reason.TARGET_UNAVAILABLE, f"pg_dump did not reach the target: {said}", exit_code=1)
    return OpsError(Reason.BACKUP_NOT_PROVEN, f"pg_dump failed: {said}", exit_code=1)


def _missing_entries(dumped: _Dumped, stop: Stop) -> list[str]:
    """A sentence for every table whose definition or rows the archive's list of contents lacks."""
    listing = run_tool(dumped.tools, "pg_restore", ["--list", str(dumped.archive)], timeout_seconds=600, stop=stop)
    # The rows' entry carries no catalog number of its own but the table's; both cannot be confused with a name.
    rows = {int(oid) for oid in re.findall(r"^\d+; 0 (\d+) TABLE DATA ", listing.stdout, re.MULTILINE)}
    return [f"The backup holds no rows of {table}." for table in dumped.catalog.tables if table.oid not in rows]


def _proof(
    level: Level, dumped: _Dumped, sha256: str, restored: Restored | None, problems: list[str], seconds: float
) -> BackupProof:
    stand_ins = stood_in(dumped.scratch_tools, dumped.catalog) if restored and dumped.scratch_tools else ()
    return BackupProof(
        level=level,
        path=str(dumped.archive),
        bytes=dumped.archive.stat().st_size,
        sha256=sha256,
        seconds=round(seconds, 3),
        taken_at=dumped.taken_at,
        tables=len(dumped.contents),
        rows=sum(content.rows for content in dumped.contents.values()),
        server_version=dumped.catalog.server_version,
        tool=dumped.tools.name,
        expected_errors=restored.expected_errors if restored else (),
        stand_ins=tuple(extension.name for extension in stand_ins),
        not_held=dumped.catalog.not_held,
        problems=tuple(problems),
        proven=not problems,
    )


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise OpsError(
            Reason.BACKUP_NOT_PROVEN,
            f"The backup folder has {free / 2**20:,.0f} MB free, and the database takes {needed / 2**20:,.0f} MB.",
            "Make room, or name another folder as [backup] path.",
            exit_code=1,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum_of(archive: Path) -> Path:
    return archive.with_name(archive.name + ".sha256")


def _write_checksum(archive: Path, sha256: str) -> None:
    path = _checksum_of(archive)
    path.touch(mode=0o600)
    with path.open("w") as file:
        file.write(f"{sha256}  {archive.name}\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(archive.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pattern(name: str) -> str:
    """A name as pg_dump's patterns take it, with no character of special meaning."""
    return '"' + name.replace('"', '""') + '"'


def _first_error(finished: Finished) -> str:
    lines = [line for line in finished.stderr.splitlines() if "error:" in line or "warning:" in line]
    said = lines[0] if lines else (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return said.partition("error: ")[2][:400] or said[:400]

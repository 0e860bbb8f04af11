"""Backups and their proof: dumped under one snapshot, checksummed, read again, restored and compared."""

import re
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from ops.backup_about import About
from ops.backup_about import write_about
from ops.backup_dump import Dumped
from ops.backup_dump import dump_under_snapshot
from ops.backup_dump import first_error
from ops.backup_files import about_file
from ops.backup_files import bytes_of
from ops.backup_files import checksum
from ops.backup_files import checksum_file
from ops.backup_files import files_of
from ops.backup_files import move_into
from ops.backup_files import note_checksum
from ops.backup_files import noted_checksum
from ops.backup_files import require_room
from ops.backup_files import work_folder
from ops.backup_restore import Progress
from ops.backup_restore import Restored
from ops.backup_restore import Stop
from ops.backup_restore import attended
from ops.backup_restore import differences
from ops.backup_restore import restore
from ops.backup_restore import stood_in
from ops.errors import OpsError
from ops.errors import Reason
from ops.sealing import SEALED
from ops.sealing import Sealed
from ops.sealing import seal
from ops.tools import Tools
from ops.tools import find_tools
from ops.tools import run_tool


class Level(StrEnum):
    """How much is proven: nothing; every block reads; it restores with the same row counts; with the same rows."""

    NONE = "none"
    INTACT = "intact"
    RESTORED = "restored"
    IDENTICAL = "identical"


_READING_SECONDS = 300.0
_READ_BYTES_A_SECOND = 2**20
"""What takes longer than any disk is no reading: see `check_backup`."""

TRIED = frozenset({Level.RESTORED, Level.IDENTICAL})
"""The levels that take a restore into a scratch database."""


@dataclass(frozen=True)
class BackupProof:
    """A backup and what was found out about it. `proven` is the answer to `level`, and never yes on doubt.

    `path` is absolute, a file or a folder, and there only where it is proven; `sha256` (lower-case hex) is of what is
    there, `plain_sha256` of what was proven, where it was sealed for `sealed_for` after that. `taken_at` is the moment of the
    snapshot (UTC). `expected_errors` are what a scratch database must refuse, `not_held` what no dump holds, `problems`
    why it is not proven: sentences, all. `jobs`: so many processes dumped it. `about_sha256` is of the file beside it that
    tells what it must hold.
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
    jobs: int = 1
    sealed_for: tuple[str, ...] = ()
    plain_sha256: str | None = None
    about_sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"level": self.level.value, "taken_at": self.taken_at.isoformat()}


def take_backup(
    database_url: str,
    *,
    level: Level,
    folder: Path,
    label: str,
    tools_bin: str = "",
    recipients: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress = lambda _words, _fraction: None,
    stop: Stop = lambda: False,
) -> BackupProof:
    """Dump the whole database into `folder` and prove it as far as `level` says (not "none").

    The file is named after `label` and the time, mode 0600, with its SHA-256 beside it; with several `jobs` (None: as
    many as pay) it is a folder. It is proven first, and then sealed where there are `recipients` (public keys of age).
    What is not proven, or was stopped, is removed again. `progress` gets words and a fraction or None, at least every
    second. The session on the target is closed before the proof begins, so nothing of this stands in a migration's way
    afterwards. Raises OpsError where there is no backup at all: TOOLS_MISSING, TARGET_UNAVAILABLE, TARGET_REFUSED,
    LOCK_TIMEOUT, BACKUP_NOT_PROVEN (no room, pg_dump failed), STOPPED.
    """
    if level is Level.NONE:
        raise ValueError("a backup of level none is not taken")
    started = time.monotonic()
    try:
        with work_folder(folder) as work:
            dumped = dump_under_snapshot(
                database_url,
                work,
                label=label,
                tools_bin=tools_bin,
                is_tried=level in TRIED,
                with_hash=level is Level.IDENTICAL,
                to_seal=bool(recipients),
                jobs=jobs,
                progress=progress,
                stop=stop,
            )
            proof = _prove(dumped, level, started, progress, stop)
            if proof.proven:
                proof = _put_away(proof, recipients, folder.resolve(), progress, stop)
            return replace(proof, seconds=round(time.monotonic() - started, 3))
    except psycopg.Error as error:
        said = error.diag.message_primary or "the connection was lost"
        raise OpsError(Reason.BACKUP_NOT_PROVEN, f"The target could not be read: {said}.", exit_code=1) from error
    except OSError as error:
        message = f"The backup could not be written: {error.strerror or error}."
        raise OpsError(Reason.BACKUP_NOT_PROVEN, message, exit_code=1) from error


def _prove(dumped: Dumped, level: Level, started: float, progress: Progress, stop: Stop) -> BackupProof:
    """Everything after the dump, without a session on the target."""
    tell = _teller(progress, "computing the checksum")
    sha256, lines = attended(lambda: checksum(dumped.archive, stop=stop), tell=tell, stop=stop)
    note_checksum(dumped.archive, lines)
    about = About(dumped.catalog, dumped.contents, dumped.extension_files)
    about_sha256 = write_about(about_file(dumped.archive), about)

    problems = list(check_backup(dumped.archive, sha256, tools=dumped.tools, progress=progress, stop=stop))
    problems += _missing_entries(dumped, stop)
    restored = None
    if level in TRIED and dumped.scratch_tools is not None and not problems:
        restored = restore(
            dumped.archive,
            dumped.catalog,
            tools=dumped.scratch_tools,
            extension_files=dumped.extension_files,
            with_hash=level is Level.IDENTICAL,
            jobs=dumped.jobs,
            progress=progress,
            stop=stop,
        )
        problems += [*restored.problems, *differences(dumped.contents, restored.contents)]
    progress("the backup is proven" if not problems else "the backup is not proven", 1.0)
    proof = _proof(level, dumped, sha256, restored, problems, time.monotonic() - started)
    return replace(proof, about_sha256=about_sha256)


def _put_away(
    proof: BackupProof, recipients: Sequence[str], folder: Path, progress: Progress, stop: Stop
) -> BackupProof:
    """The proven archive in its place, sealed where it is to be: what goes in is hashed, and what came out read again."""
    archive = Path(proof.path)
    if not recipients:
        return replace(proof, path=str(move_into(archive, folder)))
    require_room([(folder, proof.bytes, "sealing the backup")])
    tell = _teller(progress, "sealing the backup")
    sealed = archive.with_name(archive.name + SEALED)
    attended(lambda: _seal_archive(archive, sealed, recipients, stop), tell=tell, stop=stop)
    about = _seal_file(about_file(archive), about_file(sealed), recipients, stop)
    if about.plain_sha256 != proof.about_sha256:
        raise _not_as_proven(archive)
    sha256, lines = attended(lambda: checksum(sealed, stop=stop), tell=tell, stop=stop)
    note_checksum(sealed, lines)
    return replace(
        proof,
        bytes=bytes_of(sealed),
        path=str(move_into(sealed, folder)),
        sha256=sha256,
        about_sha256=about.sha256,
        plain_sha256=proof.sha256,
        sealed_for=tuple(recipients),
    )


def _seal_archive(archive: Path, sealed: Path, recipients: Sequence[str], stop: Stop) -> None:
    """Each of its files on its own. Raises OpsError BACKUP_NOT_PROVEN where other bytes went in than were proven."""
    if archive.is_dir():
        sealed.mkdir(mode=0o700)
    inside = f"{archive.name}/" if archive.is_dir() else ""
    plain = ""
    for path in files_of(archive):
        passed = _seal_file(path, sealed / (path.name + SEALED) if archive.is_dir() else sealed, recipients, stop)
        plain += f"{passed.plain_sha256}  {inside}{path.name}\n"
    if plain != checksum_file(archive).read_text(encoding="utf-8"):
        raise _not_as_proven(archive)


def _seal_file(plain: Path, sealed: Path, recipients: Sequence[str], stop: Stop) -> Sealed:
    passed = seal(plain, sealed, recipients, stop=stop)
    if checksum(sealed, from_disk=True, stop=stop)[0] != passed.sha256:
        message = f"The sealed backup {sealed.name} is not on the disk as it was written."
        raise OpsError(Reason.BACKUP_NOT_PROVEN, message, exit_code=1)
    return passed


def _not_as_proven(archive: Path) -> OpsError:
    message = f"The backup {archive.name} changed between its proof and its sealing."
    return OpsError(Reason.BACKUP_NOT_PROVEN, message, exit_code=1)


def check_backup(
    archive: Path | str,
    sha256: str | None = None,
    *,
    about_sha256: str = "",
    tools: Tools | None = None,
    progress: Progress = lambda _words, _fraction: None,
    stop: Stop = lambda: False,
) -> tuple[str, ...]:
    """Read a backup again, whole: a sentence for everything wrong with it, none if it is as it was taken.

    `sha256` and `about_sha256` are what the proof says; None: what is written beside the file. Of a sealed one only that can
    be compared.
    """
    path = Path(archive)
    tell = _teller(progress, "reading the backup again")
    try:
        wanted = sha256 or noted_checksum(path)
        found, _ = attended(lambda: checksum(path, from_disk=True, stop=stop), tell=tell, stop=stop)
    except (OSError, ValueError):
        return (f"The backup {path.name} or its checksum cannot be read.",)
    if found != wanted:
        # Nor is it parsed: pg_restore may go round in circles over a bent table of contents.
        return (f"The backup {path.name} has changed: its checksum is another.",)
    problems = []
    if about_sha256 and not _has_checksum(about_file(path), about_sha256):
        problems.append(f"{about_file(path).name}, which says what it must hold, has changed or cannot be read.")
    if path.suffix == SEALED:
        return tuple(problems)
    unreadable = unreadable_block(path, tools or find_tools(None), progress=progress, stop=stop)
    return (*problems, *([unreadable] if unreadable else []))


def _has_checksum(path: Path, sha256: str) -> bool:
    try:
        return checksum(path, from_disk=True)[0] == sha256
    except OSError:
        return False


def unreadable_block(
    archive: Path, tools: Tools, *, progress: Progress = lambda _words, _fraction: None, stop: Stop = lambda: False
) -> str | None:
    """Whether every block of the archive decompresses and parses; a sentence if not. Compares nothing."""
    finished = run_tool(
        tools,
        "pg_restore",
        ["--file=/dev/null", str(archive)],
        timeout_seconds=_READING_SECONDS + bytes_of(archive) / _READ_BYTES_A_SECOND,
        tick=lambda _stderr: progress("decompressing every block of the backup", None),
        stop=stop,
    )
    if finished.exit_code == 0 and not finished.stderr.strip():
        return None
    return f"The backup {archive.name} cannot be read to its end: {first_error(finished)}"


def _teller(progress: Progress, words: str) -> Callable[[], None]:
    return lambda: progress(words, None)


def _missing_entries(dumped: Dumped, stop: Stop) -> list[str]:
    """A sentence for every table whose definition or rows the archive's list of contents lacks."""
    listing = run_tool(dumped.tools, "pg_restore", ["--list", str(dumped.archive)], timeout_seconds=600, stop=stop)
    # The rows' entry carries no catalog number of its own but the table's; both cannot be confused with a name.
    rows = {int(oid) for oid in re.findall(r"^\d+; 0 (\d+) TABLE DATA ", listing.stdout, re.MULTILINE)}
    return [f"The backup holds no rows of {table}." for table in dumped.catalog.tables if table.oid not in rows]


def _proof(
    level: Level, dumped: Dumped, sha256: str, restored: Restored | None, problems: list[str], seconds: float
) -> BackupProof:
    stand_ins = stood_in(dumped.scratch_tools, dumped.catalog) if restored and dumped.scratch_tools else ()
    return BackupProof(
        level=level,
        path=str(dumped.archive),
        bytes=bytes_of(dumped.archive),
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
        jobs=dumped.jobs,
    )

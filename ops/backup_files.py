"""The files of a backup: an archive in one file or in a folder, its checksum beside it, and where it is while it is made."""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason
from ops.scratch_removal import process_started

SPARE_BYTES = 64 * 2**20
_AT_WORK = ".at-work-"
_CHUNK_BYTES = 2**20


def files_of(archive: Path) -> list[Path]:
    """The files that an archive is made of, in the order of their names. Raises OSError where it is not there."""
    if not archive.is_dir():
        return [archive]
    return sorted(path for path in archive.iterdir() if path.is_file())


def bytes_of(archive: Path) -> int:
    """What it takes on the disk; 0 where it is not there, or not yet."""
    found = 0
    with suppress(OSError):  # a program may be writing into it just now
        for path in files_of(archive):
            found += path.stat().st_size
    return found


def checksum(archive: Path, *, from_disk: bool = False, stop: Callable[[], bool] = lambda: False) -> tuple[str, str]:
    """The SHA-256 of an archive, and the lines for the file beside it, which `sha256sum --check` reads.

    Of a folder it is that of the lines, which name every file: none can be another, missing or too many. `from_disk`:
    read what the disk has, not what memory still has of it. Raises OSError, and OpsError STOPPED.
    """
    inside = f"{archive.name}/" if archive.is_dir() else ""
    each = [(_sha256(path, from_disk, stop), path.name) for path in files_of(archive)]
    lines = "".join(f"{sha256}  {inside}{name}\n" for sha256, name in each)
    return (hashlib.sha256(lines.encode()).hexdigest() if inside else each[0][0]), lines


def checksum_file(archive: Path) -> Path:
    return archive.with_name(archive.name + ".sha256")


def about_file(archive: Path) -> Path:
    """The file beside an archive that tells what it must hold."""
    return archive.with_name(archive.name + ".about")


def noted_checksum(archive: Path) -> str:
    """What the file beside an archive says. Raises OSError, and ValueError for what is no checksum."""
    text = checksum_file(archive).read_text(encoding="utf-8")
    noted = hashlib.sha256(text.encode()).hexdigest() if archive.is_dir() else text.partition(" ")[0]
    if len(noted) != 64:
        raise ValueError
    return noted


def note_checksum(archive: Path, lines: str) -> None:
    """Write the file beside it, 0600, durable when this returns."""
    path = checksum_file(archive)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def make_private(archive: Path) -> None:
    """0600 for every file, 0700 for a folder, whatever a program made of them."""
    if archive.is_dir():
        archive.chmod(0o700)
    for path in files_of(archive):
        path.chmod(0o600)


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """A folder 0700 inside `folder`, which is made if need be, for an archive that is not ready; gone afterwards.

    What killed processes left in there goes first: it is a copy of rows that nobody proved and no log names.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    remove_leftovers(folder)
    work = folder.resolve() / f"{_AT_WORK}{secrets.token_hex(6)}"
    work.mkdir(mode=0o700)
    try:
        note = {"pid": os.getpid(), "started": process_started(os.getpid())}
        (work / "owner").write_text(json.dumps(note), encoding="utf-8")
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def move_into(archive: Path, folder: Path) -> Path:
    """Put an archive and what is beside it into their place; durable when this returns. The place is returned."""
    for path in _beside(archive):
        path.rename(folder / path.name)
    found = archive.rename(folder / archive.name)
    _sync_folder(folder)
    return found


def remove(archive: Path) -> None:
    """Remove an archive and what is beside it; nothing happens where they are gone. Raises OSError."""
    if archive.is_dir() and not archive.is_symlink():
        shutil.rmtree(archive)
    else:
        archive.unlink(missing_ok=True)
    for path in _beside(archive):
        path.unlink(missing_ok=True)


def _beside(archive: Path) -> tuple[Path, Path]:
    return checksum_file(archive), about_file(archive)


def require_room(needs: list[tuple[Path, int, str]]) -> None:
    """Raises OpsError BACKUP_NOT_PROVEN where a folder (or the first that there is above it) lacks the room.

    Each need is a folder, bytes, and words that say what takes them. What is on one file system is counted together.
    """
    together: dict[int, int] = {}
    for folder, needed, words in needs:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        device = there.stat().st_dev
        together[device] = together.get(device, 0) + needed
        free = shutil.disk_usage(there).free
        if free < together[device] + SPARE_BYTES:
            raise OpsError(
                Reason.BACKUP_NOT_PROVEN,
                f"There is no room for {words}: {folder} has {free / 2**20:,.0f} MB free, and it takes up to "
                f"{together[device] / 2**20:,.0f} MB.",
                "Make room, or name another folder ([backup] path; for the temporary one TMPDIR).",
                exit_code=1,
            )


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that are gone had at work in a folder of backups. What is at work stays."""
    for work in folder.glob(f"{_AT_WORK}*"):
        if work.is_symlink() or not work.is_dir():
            continue
        try:
            note = json.loads((work / "owner").read_text(encoding="utf-8"))
            is_owned = bool(note["started"]) and process_started(int(note["pid"])) == note["started"]
        except FileNotFoundError:  # its process may be about to write the note
            is_owned = not work.exists() or _age_seconds(work) < 60
        except (OSError, ValueError, KeyError, TypeError):
            is_owned = False
        if not is_owned:
            shutil.rmtree(work, ignore_errors=True)


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _sha256(path: Path, from_disk: bool, stop: Callable[[], bool]) -> str:
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        if from_disk and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while data := file.read(_CHUNK_BYTES):
            found.update(data)
            if stop():
                raise OpsError(Reason.STOPPED, "The backup was stopped on request.", exit_code=1)
    return found.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

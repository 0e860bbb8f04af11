"""The removal of scratch clusters, of this process and of killed ones. Touches only what is certainly ours."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "countersign-scratch-"
MEMORY = Path("/dev/shm")  # noqa: S108 (only folders of our own are made in it: 0700, with a name of chance)
"""A file system in memory, where copies with rows lie."""


def reap_scratches(folder: Path | None = None) -> int:
    """Remove the scratch clusters whose owning process is gone; how many there were. Touches only our own folders.

    `folder`: where to look; default where scratch clusters are made unless told otherwise, on disk and in memory.
    """
    reaped = 0
    folders = [folder] if folder else [Path(tempfile.gettempdir()), MEMORY]
    for root in (root for place in folders for root in place.glob(f"{PREFIX}*")):
        try:
            # Anyone may make such a name in a shared temporary folder; only folders of ours are believed.
            is_ours = root.lstat().st_uid == os.geteuid() and not root.is_symlink() and root.is_dir()
            if not is_ours or _is_owned(root):
                continue
        except FileNotFoundError:  # it has just ended by itself, or somebody else removes it
            continue
        end_postmaster(root.resolve() / "data")
        remove_folders(root)
        reaped += 1
    return reaped


def process_started(pid: int) -> str:
    """A mark that tells a process from a later one with the same id; empty when there is none.

    The start time from /proc, or from ps where there is no /proc.
    """
    if Path("/proc/self/stat").exists():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return ""
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return told.stdout.strip()


def _is_owned(root: Path) -> bool:
    try:
        note = json.loads((root / "owner").read_text())
        pid, started = int(note["pid"]), str(note["started"])
    except FileNotFoundError:
        return time.time() - root.lstat().st_mtime < 60  # its process may be about to write the note
    except (ValueError, KeyError, TypeError):
        return False
    return bool(started) and process_started(pid) == started


def end_postmaster(data: Path) -> None:
    """End the server of this data folder at once, its children with it. Never a process that is not exactly that."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    for number, patience_seconds in ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience_seconds
        while _is_postmaster(pid, data):
            if time.monotonic() > deadline:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(0.05)


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether the process works in this data folder. The number comes from a file that hostile SQL might have bent."""
    if Path("/proc/self/stat").exists():
        try:
            return Path(f"/proc/{pid}/cwd").resolve() == data and _state(pid) != "Z"
        except OSError:
            return False
    told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return str(data) in told.stdout


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def remove_folders(root: Path) -> None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        socket = Path(json.loads((root / "owner").read_text())["socket"])
        if socket.parent == Path("/tmp") and socket.name.startswith("cs-"):  # noqa: S108
            shutil.rmtree(socket, ignore_errors=True)
    for _ in range(20):  # a dying server may still write a last file
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            return
        time.sleep(0.05)

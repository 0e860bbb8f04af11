"""Where a copy lies: in memory where there is room, since thousands of small files are made there three times as fast.

Rows lie nowhere else, unless a folder is declared to be on encrypted storage: they are never on a disk in clear.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason
from ops.scratch import Limits
from ops.scratch_removal import MEMORY

_SHARE_FOR_ROWS = 0.8
_SHARE_FOR_SCHEMA = 0.25  # two rehearsals at once leave half of it to others
_LEAST_BYTES = 2**30
_CLUSTER_BYTES = 300 * 2**20


def needed_for_rows(database_bytes: int) -> int:
    """Room for the cluster, the archive it is restored from, and what the migrations write anew."""
    return _CLUSTER_BYTES + 3 * database_bytes


def place_for_schema(limits: Limits) -> tuple[Path | None, Limits]:
    """The folder in memory, with a limit that leaves enough of it to others; None: on disk, as the limits are."""
    kind, options = _mounted(MEMORY)
    share = int(_free(MEMORY) * _SHARE_FOR_SCHEMA)
    # Where nothing may be run, no copy of the server's programs could lie beside the cluster.
    if kind not in _IN_MEMORY or "noexec" in options or share < _LEAST_BYTES:
        return None, limits
    return MEMORY, replace(limits, disk_bytes=min(limits.disk_bytes, share))


def place_for_rows(database_bytes: int, encrypted_folder: Path | None) -> Path:
    """Where a copy with rows may lie. Raises OpsError NOT_ALLOWED where there is no room for it."""
    needed = needed_for_rows(database_bytes)
    folder = encrypted_folder or MEMORY
    if encrypted_folder is not None:
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    else:
        free = int(_free(folder) * _SHARE_FOR_ROWS) if _mounted(folder)[0] in _IN_MEMORY else 0
    if free >= needed:
        return folder
    where = "in memory" if encrypted_folder is None else f"in {encrypted_folder}"
    raise OpsError(
        Reason.NOT_ALLOWED,
        f"A copy with the rows needs {needed / 2**30:.1f} GB {where}, and {free / 2**30:.1f} GB are free there.",
        "Rehearse without data, or name a folder on encrypted storage for copies with data.",
        exit_code=3,
    )


_IN_MEMORY = ("tmpfs", "ramfs")


def _free(folder: Path) -> int:
    """What both the file system and the machine have left: a file system in memory may promise more than there is."""
    return min(shutil.disk_usage(folder).free, _available_memory()) if folder.is_dir() else 0


def _available_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _mounted(folder: Path) -> tuple[str, tuple[str, ...]]:
    """The kind of file system that is mounted at exactly this folder, and its options."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "", ()
    found = [(kind, options) for _, place, kind, options, *_ in mounts if place == str(folder)]
    return (found[-1][0], tuple(found[-1][1].split(","))) if found else ("", ())

"""Where a copy lies: in memory where there is room, since thousands of small files are made there three times as fast.

Rows lie nowhere else, unless a folder is declared to be on encrypted storage: they are never on a disk in clear.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason
from ops.scratch import Limits
from ops.scratch_removal import MEMORY

_SHARE_OF_MEMORY = 0.25  # two copies at once leave half of it to others
_SHARE_OF_DISK = 0.5
_LEAST_BYTES = 2**30
_CLUSTER_BYTES = 300 * 2**20


def needed_for_rows(database_bytes: int) -> int:
    """Room for the cluster, the archive it is restored from, and what the migrations write anew."""
    return _CLUSTER_BYTES + 3 * database_bytes


def place_for_schema(limits: Limits) -> tuple[Path | None, Limits]:
    """The folder in memory, or None: on disk; and the limits, which leave most of what is free there to others."""
    _, options = _mounted(MEMORY)
    share = _share(MEMORY)
    # Where nothing may be run, no copy of the server's programs could lie beside the cluster.
    if not _is_in_memory(MEMORY) or "noexec" in options or share < _LEAST_BYTES:
        return None, replace(limits, disk_bytes=min(limits.disk_bytes, _share(Path(tempfile.gettempdir()))))
    return MEMORY, replace(limits, disk_bytes=min(limits.disk_bytes, share))


def place_for_rows(database_bytes: int, encrypted_folder: Path | None, limits: Limits) -> tuple[Path, Limits]:
    """Where a copy with rows may lie, and the limits. Raises OpsError NOT_ALLOWED where there is no room for it."""
    needed = needed_for_rows(database_bytes)
    folder = encrypted_folder or MEMORY
    share = _share(folder) if encrypted_folder is not None or _is_in_memory(folder) else 0
    if share >= needed:
        return folder, replace(limits, disk_bytes=min(limits.disk_bytes, share))
    where = "in memory" if encrypted_folder is None else f"in {encrypted_folder}"
    raise OpsError(
        Reason.NOT_ALLOWED,
        f"A copy with the rows needs {needed / 2**30:.1f} GB {where}, and may use {share / 2**30:.1f} GB there.",
        "Rehearse without data, or name a folder on encrypted storage for copies with data.",
        exit_code=3,
    )


_IN_MEMORY = ("tmpfs", "ramfs")


def _share(folder: Path) -> int:
    """How much of what is free there one copy may use; a file system in memory may promise more than there is."""
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    share = int(free * _SHARE_OF_DISK)
    return min(share, int(available_memory() * _SHARE_OF_MEMORY)) if _is_in_memory(folder) else share


def _is_in_memory(folder: Path) -> bool:
    return _mounted(folder)[0] in _IN_MEMORY


def available_memory() -> int:
    """Bytes that new work may use; 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _mounted(folder: Path) -> tuple[str, tuple[str, ...]]:
    """The kind of file system that this folder lies on, and its options."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "", ()
    inside = {str(place) for place in (folder.absolute(), *folder.absolute().parents)}
    found = [(len(place), kind, options) for _, place, kind, options, *_ in mounts if place in inside]
    # Of two on one folder, the later one hides the other.
    _, kind, options = max(reversed(found), key=lambda one: one[0], default=(0, "", ""))
    return kind, tuple(options.split(","))

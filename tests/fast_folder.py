"""Where tests keep their files: in memory where there is room, since a log that waits for the disk at every append is most of
what they would wait for. That appends reach the disk is tested on a disk of its own."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ready_clusters import CHOSEN

from ops.rehearsal.memory import available_memory

_MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own, with a name of chance)
_ROOM = 4 * 2**30


def choose() -> None:
    """Have `tempfile`, and every program that is started, use a folder in memory; where there is none, all stays as it is."""
    if CHOSEN in os.environ or not _has_room():
        return
    folder = tempfile.mkdtemp(prefix="ct-", dir=_MEMORY)
    Path(folder).chmod(0o755)  # programs of other users find their own folders in it
    os.environ[CHOSEN] = os.environ["TMPDIR"] = tempfile.tempdir = folder


def _has_room() -> bool:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    return not found.f_flag & os.ST_NOEXEC and min(found.f_bavail * found.f_frsize, available_memory()) >= _ROOM


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that chose the folder removes it; its workers have ended by then."""
    folder = os.environ.get(CHOSEN)
    if folder and not hasattr(config, "workerinput"):
        shutil.rmtree(folder, ignore_errors=True)


choose()

"""What may happen to a run: each blow is struck while its process stands still at a boundary, or at a moment behind it."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psycopg
from chaos_wire import Wire

from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

STANDS_STILL_SECONDS = 30.0
"""So long a process may take to come to the point where it is struck."""


@dataclass(frozen=True)
class Scene:
    """What a blow can reach: the run's process, its server and the wire to it, its database, and the log's disk."""

    postgres: LocalPostgres
    wire: Wire
    database: str
    disk: Path
    rng: random.Random

    def end_sessions(self, named: str) -> None:
        """End the server's sessions of this name on the database, as an administrator does."""
        query = "select pg_terminate_backend(pid, 2000) from pg_stat_activity where datname = %s and application_name like %s"
        with closing(psycopg.connect(self.postgres.url("template1", ADMIN), autocommit=True)) as connection:
            connection.execute(query, (self.database, named))

    def restart(self) -> None:
        """The server's every process dies at once, and it comes back."""
        self.postgres.kill()
        self.postgres.start()

    def moment(self, most_seconds: float = 1.0) -> None:
        time.sleep(self.rng.uniform(0.05, most_seconds))


def _go(pid: int, how: signal.Signals = signal.SIGCONT) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def _frozen(scene: Scene, pid: int) -> None:
    scene.moment(1.5)
    _go(pid)


def _killed_frozen(scene: Scene, pid: int) -> None:
    scene.moment(0.4)
    _go(pid, signal.SIGKILL)


def _session_ended(scene: Scene, pid: int) -> None:
    scene.end_sessions("countersign migrate%")
    _go(pid)


def _guard_ended(scene: Scene, pid: int) -> None:
    scene.end_sessions("countersign guard%")
    _go(pid)


def _every_session_ended(scene: Scene, pid: int) -> None:
    scene.end_sessions("countersign %")
    _go(pid)


def _server_killed(scene: Scene, pid: int) -> None:
    if scene.rng.random() < 0.5:
        scene.restart()
        _go(pid)
        return
    scene.postgres.kill()
    _go(pid)
    scene.moment(0.5)
    scene.postgres.start()


def _server_stopped(scene: Scene, pid: int) -> None:
    scene.postgres.stop("immediate")
    _go(pid)
    scene.postgres.start()


def _both_killed(scene: Scene, pid: int) -> None:
    scene.postgres.kill()
    _go(pid, signal.SIGKILL)
    scene.postgres.start()


def _cut(scene: Scene, pid: int) -> None:
    scene.wire.cut()
    _go(pid)


def _cut_at_one_end(scene: Scene, pid: int) -> None:
    scene.wire.cut_from_clients()
    _go(pid)
    scene.moment(0.6)
    scene.wire.cut()


def _deaf(scene: Scene, pid: int) -> None:
    """What is sent next is carried out, and the answer is lost."""
    scene.wire.deafen()
    _go(pid)
    scene.moment(0.5)
    scene.wire.cut()
    scene.wire.mend()


def _hung(scene: Scene, pid: int) -> None:
    scene.wire.hang()
    _go(pid)
    scene.moment(1.5)
    if scene.rng.random() < 0.5:
        scene.wire.cut()
    scene.wire.mend()


def _hung_and_killed(scene: Scene, pid: int) -> None:
    """The server does not learn of the death at once: what was on the wire still arrives."""
    scene.wire.hang()
    _go(pid)
    time.sleep(0.05)
    _go(pid, signal.SIGKILL)
    scene.moment(0.4)
    scene.wire.mend()


def _terminated(scene: Scene, pid: int) -> None:
    _go(pid, signal.SIGTERM)
    _go(pid)


def _interrupted(scene: Scene, pid: int) -> None:
    _go(pid, signal.SIGINT)
    _go(pid)


def _disk_full(scene: Scene, pid: int) -> None:
    """Nothing more fits beside the log, for a while; the rest of the time nobody has made room."""
    ballast = scene.disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65536)
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x")
    _go(pid)
    if scene.rng.random() < 0.5:
        scene.moment(1.0)
        ballast.unlink()


Strike = Callable[[Scene, int], None]

BLOWS: Mapping[str, tuple[str, Strike | None]] = MappingProxyType(
    {
        "killed": ("kill", None),
        "killed while frozen": ("stop", _killed_frozen),
        "frozen for a while": ("stop", _frozen),
        "SIGTERM": ("stop", _terminated),
        "Ctrl-C": ("stop", _interrupted),
        "session ended": ("stop", _session_ended),
        "guard ended": ("stop", _guard_ended),
        "every session ended": ("stop", _every_session_ended),
        "server killed": ("stop", _server_killed),
        "server stopped at once": ("stop", _server_stopped),
        "server and runner killed": ("stop", _both_killed),
        "connections cut": ("stop", _cut),
        "connections cut at our end": ("stop", _cut_at_one_end),
        "answers lost": ("stop", _deaf),
        "connections hung": ("stop", _hung),
        "hung and killed": ("stop", _hung_and_killed),
        "no more files": ("full", None),
        "disk full": ("stop", _disk_full),
    }
)
"""By name: what the process does to itself at the point, and what is done to it and around it while it stands still."""

WEIGHTS = {"killed": 4, "answers lost": 2, "connections cut": 2, "server killed": 2, "hung and killed": 2}
"""How often a blow comes among the random ones; the others once."""


def stands_still(pid: int, ended: Callable[[], bool]) -> bool:
    """Wait until the process has stopped itself; False when it ended without coming there."""
    deadline = time.monotonic() + STANDS_STILL_SECONDS
    while time.monotonic() < deadline and not ended():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "T":
            return True
        if state == "Z":
            return False
        time.sleep(0.003)
    return False


@contextmanager
def small_disk(folder: Path, mebibytes: int = 24) -> Iterator[bool]:
    """A small file system of its own at this folder; False where this machine mounts none."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)

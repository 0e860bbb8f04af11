"""What happens when the machine fails: full disk, I/O errors, kill -9, files moved away, somebody else writing."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_support import as_nobody
from audit_support import commanded
from audit_support import open_to_everybody
from audit_support import raw
from audit_support import requested

from audit import Log
from audit import LogDamaged
from audit import LogUnavailable
from audit import Reader
from audit import verify

HERE = Path(__file__).parent
ENVIRONMENT = {"PYTHONPATH": f"{HERE.parent}:{HERE}", "PATH": os.environ["PATH"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    return path


def fill(log: Log, text: str, most: int = 3000) -> tuple[int, LogUnavailable]:
    """Appends until it is refused: how many were answered, and the refusal."""
    for number in range(most):
        try:
            log.append([commanded(text)])
        except LogUnavailable as error:
            return number, error
    raise AssertionError("it was never full")


def limit_pages(log: Log, pages: int) -> None:
    log._writer._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()


def test_a_full_database_refuses_keeps_what_was_answered_and_goes_on_when_there_is_room(path: Path) -> None:
    with Log.open(path) as log:
        limit_pages(log, 60)
        answered, error = fill(log, "x" * 3000)
        assert "full; nothing was recorded" in error.message
        assert len(Reader(path).since(0, 5000)) == answered > 10
        limit_pages(log, 10_000)
        assert log.append([commanded()])[0].seq == answered + 1
    assert verify(path).ok


def test_an_act_too_large_for_the_disk_does_not_sink_its_neighbours(path: Path) -> None:
    gate = threading.Event()
    with Log.open(path) as log:
        limit_pages(log, 60)
        first = log.submit(lambda view: gate.wait(5) and [commanded()])
        small, large, last = (log.submit([commanded(text)]) for text in ("a", "x" * 900_000, "b"))
        gate.set()
        assert [future.result(5)[0].seq for future in (first, small, last)] == [1, 2, 3]
        assert isinstance(large.exception(5), LogUnavailable)
    assert verify(path).ok


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "audit.db"
    ballast = small_disk / "ballast"
    Log.create(path)
    ballast.write_bytes(b"x" * 1_000_000)
    with Log.open(path) as log:
        answered, error = fill(log, "x" * 3000)
        assert "full; nothing was recorded" in error.message
        assert len(Reader(path).since(0, 5000)) == answered
        ballast.unlink()
        assert log.append([commanded()])[0].seq == answered + 1
    assert verify(path).problems == []


def test_of_acts_in_one_commit_only_the_one_that_does_not_fit_the_disk_is_refused(small_disk: Path) -> None:
    path = small_disk / "audit.db"
    Log.create(path)
    (small_disk / "ballast").write_bytes(b"x" * 1_200_000)
    gate = threading.Event()
    with Log.open(path) as log:
        first = log.submit(lambda view: gate.wait(5) and [commanded()])
        small, large, last = (log.submit([commanded(text)]) for text in ("a", "x" * 900_000, "b"))
        gate.set()
        assert [future.result(5)[0].seq for future in (first, small, last)] == [1, 2, 3]
        assert isinstance(large.exception(5), LogUnavailable)
        assert "nothing was recorded" in str(large.exception(5))
    assert verify(path).ok


LIMITED = """
import resource, sys
from pathlib import Path
from audit import Log, LogUnavailable
from audit_support import commanded
log = Log.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))
try:
    for number in range(3000):
        print("answered", log.append([commanded("x" * 3000)])[0].seq)
except LogUnavailable as error:
    print("refused", error.message)
try:
    log.append([commanded()])
except LogUnavailable as error:
    print("refused", error.message)
"""


def test_a_commit_that_fails_is_answered_with_what_is_known_and_nothing_more_is_written(path: Path) -> None:
    """Past the size limit the write of the WAL fails, in COMMIT, with an I/O error."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, timeout=60, check=True, env=ENVIRONMENT
    )
    lines = done.stdout.splitlines()
    answered = [int(line.split()[1]) for line in lines if line.startswith("answered")]
    refused = [line for line in lines if line.startswith("refused")]
    assert len(answered) > 5
    assert len(refused) == 2
    assert all("nobody knows yet whether" in line for line in refused[:1])
    assert [event.seq for event in Reader(path).since(0, 5000)][: len(answered)] == answered
    with Log.open(path) as log:
        log.append([commanded()])
    assert verify(path).ok


def test_a_commit_that_happened_and_raised_is_answered_as_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar(sqlite3.Connection):
        lies = 0

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *parameters)
            if sql == "COMMIT" and Liar.lies:
                Liar.lies -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return cursor

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k | {"factory": Liar}))
    with Log.open(path) as log:
        Liar.lies = 1
        [event] = log.append([commanded()], id="Ev1")
        assert (event.seq, event.id) == (1, "Ev1")
        with pytest.raises(LogUnavailable):
            log.append([commanded()], id="Ev2")
    with Log.open(path) as log:
        assert log.append([commanded()], id="Ev1") == [event]
        assert log.append([commanded()], id="Ev2")[0].seq == 2


KILLED = """
import sys, threading
from pathlib import Path
from audit import Log
from audit_support import commanded
log = Log.open(Path(sys.argv[1]), wait_seconds=10)
log.subscribe(lambda events: sys.stdout.write("".join(f"{event.id}\\n" for event in events)) and sys.stdout.flush())
def write(name):
    for number in range(100000):
        log.append([commanded("x" * 200), commanded("y")], id=f"{sys.argv[2]}-{name}-{number}")
for name in range(4):
    threading.Thread(target=write, args=(name,)).start()
"""


def test_kill_9_loses_nothing_that_was_answered(path: Path) -> None:
    answered: set[str] = set()
    for attempt in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, path, str(attempt)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        assert child.stdout is not None
        for _ in range(40 + 17 * attempt):
            answered.add(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        answered.update(line + "\n" for line in rest.split("\n")[:-1])
        child.wait(10)
        stored = {f"{event.id}\n" for event in Reader(path).since(0, 100_000)}
        assert answered - stored == set()
        assert verify(path).problems == []
    with Log.open(path) as log:
        events = Reader(path).since(0, 100_000)
        assert len(events) % 2 == 0  # an act of two events is there with both or not at all
        assert log.append([commanded()])[0].seq == len(events) + 1


@pytest.mark.parametrize("name", ["audit.db", "audit.db-wal", "audit.db.lock"])
@pytest.mark.parametrize("fate", ["moved", "deleted", "replaced"])
def test_a_log_whose_files_go_away_under_it_stops(path: Path, name: str, fate: str) -> None:
    file = path.with_name(name)
    with Log.open(path) as log:
        log.append([commanded()])
        if fate == "moved":
            file.rename(path.with_name("elsewhere"))
        elif fate == "deleted":
            file.unlink()
        else:
            shutil.copy(file, path.with_name("copy"))
            path.with_name("copy").replace(file)
        time.sleep(0.002)  # where one act follows the other, only the look behind the second tells
        size_bytes = path.with_name("audit.db-wal").stat().st_size if name == "audit.db" else None
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="moved or replaced"):
                log.append([commanded()])
        if name == "audit.db":  # nothing was written to the lost file
            assert path.with_name("audit.db-wal").stat().st_size == size_bytes


def test_a_log_that_was_put_in_place_of_the_old_one_is_left_alone(path: Path, tmp_path: Path) -> None:
    """The last connection that closes deletes the WAL by its name; here that is a restored log's, with events in it."""
    restored = tmp_path / "restored"
    restored.mkdir()
    with Log.open(path) as log:
        log.append([commanded("only in the WAL")])
        for name in ("audit.db", "audit.db-wal"):
            shutil.copy(path.with_name(name), restored / name)
    with Log.open(path) as log:
        for name in ("audit.db", "audit.db-wal"):
            (restored / name).replace(path.with_name(name))
        with pytest.raises(LogUnavailable, match="moved or replaced"):
            log.append([commanded()])
    path.with_name("audit.db-shm").unlink()
    assert len(Reader(path).since(0, 10)) == 1
    assert verify(path).ok


def test_a_log_that_goes_away_during_the_act_is_not_answered_as_recorded(path: Path) -> None:
    def move(view: object) -> list[Any]:
        path.rename(path.with_name("elsewhere"))
        return [commanded()]

    with Log.open(path) as log, pytest.raises(LogUnavailable, match="moved or replaced"):
        log.transact(move)


ADDED = (
    "INSERT INTO event SELECT 3, 'x', at, kind, 'mallory', NULL, NULL, NULL, stream, 3, commitment, hash, hash"
    " FROM event WHERE seq = 2"
)
WRITES: dict[str, Callable[[Log], object]] = {
    "append": lambda log: log.append([commanded()]),
    "append with an id": lambda log: log.append([commanded()], id="an id"),
    "transact": lambda log: log.transact(lambda _: [commanded()]),
    "transact nothing": lambda log: log.transact(lambda _: []),
    "submit": lambda log: log.submit([commanded()]).result(10),
}
GUARDS = ("event_links", "event_no_delete", "payload_erase")
TAKEN = "DELETE FROM payload WHERE seq = 2; DELETE FROM event WHERE seq = 2"


@pytest.mark.parametrize("guards", [True, False], ids=["with guards", "guards gone"])
@pytest.mark.parametrize("what", [ADDED, TAKEN], ids=["added", "taken away"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_second_writer_is_noticed_before_anything_is_chained_to_it(
    path: Path, what: str, guards: bool, write: Callable[[Log], object]
) -> None:
    with Log.open(path) as log:
        log.append([commanded(), commanded()])
        if not guards:
            raw(path, *(f"DROP TRIGGER {name}" for name in GUARDS))
        raw(path, *what.split("; "), guards=not guards)
        for _ in range(2):
            with pytest.raises(LogDamaged, match="Somebody else wrote"):
                write(log)
    assert raw(path, "SELECT count(*) FROM event") == [(3 if what is ADDED else 1,)]


def test_a_decision_that_finds_damage_ends_itself_alone(path: Path) -> None:
    def find(view: object) -> list[Any]:
        raise LogDamaged("Event 1 of the log cannot be read.")

    with Log.open(path) as log:
        log.append([commanded()])
        with pytest.raises(LogDamaged, match="cannot be read"):
            log.transact(find)
        assert log.append([commanded()])[0].seq == 2


def test_somebody_who_holds_the_write_lock_makes_the_log_busy_not_broken(path: Path) -> None:
    with Log.open(path, wait_seconds=0.1) as log:
        log._writer._connection.execute("PRAGMA busy_timeout = 100").fetchall()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="busy; nothing was done") as caught:
            log.append([commanded()])
        assert type(caught.value).__name__ == "LogBusy"
        other.execute("ROLLBACK")
        other.close()
        assert log.append([requested("R-1")])[0].seq == 1


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_log_that_may_not_be_written_is_not_opened(path: Path, tmp_path: Path, locked: str) -> None:
    path.chmod(0o444 if locked == "file" else 0o666)
    path.with_name("audit.db.lock").unlink()
    open_to_everybody(tmp_path)
    tmp_path.chmod(0o777 if locked == "file" else 0o555)

    def attempt() -> str:
        try:
            Log.open(path).close()
        except LogUnavailable as error:
            return f"refused: {error.message}"
        return "opened"

    assert "refused" in as_nobody(attempt)


def test_a_folder_that_cannot_be_made_is_said(path: Path) -> None:
    with pytest.raises(LogUnavailable):
        Log.create(path / "below" / "a-file" / "audit.db")

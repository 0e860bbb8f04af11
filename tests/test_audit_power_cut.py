"""What a power cut leaves: the writer on a disk of its own, whose bytes are taken as they were at that moment."""

import filecmp
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_support import Clock
from audit_support import commanded

from audit import Log
from audit import OtherLog
from audit import Reader
from audit import Signer
from audit import verify

HERE = Path(__file__).parent
ENVIRONMENT = {"PYTHONPATH": f"{HERE.parent}:{HERE}", "PATH": os.environ["PATH"]}
WRITER = """
import sys
from pathlib import Path
from audit import Log
from audit_support import commanded
log = Log.open(Path(sys.argv[1]))
while True:
    print(log.append([commanded("x" * 300), commanded("y")])[-1].seq, flush=True)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Mounts the image of a disk and returns where; skips where that takes rights that we lack."""
    mounted: list[Path] = []

    def mount(image: Path) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        found = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, check=False)
        if found.returncode:
            pytest.skip("needs the right to mount an image of a disk")
        mounted.append(folder)
        return folder

    if not all(map(shutil.which, ("mkfs.ext4", "mount"))):
        pytest.skip("needs mkfs.ext4 and mount")
    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_power_cut_loses_nothing_that_was_answered(tmp_path: Path, disk: Callable[[Path], Path]) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    path = disk(image) / "audit.db"
    Log.create(path)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert writer.stdout is not None
        for cut in range(4):
            answered = [int(writer.stdout.readline()) for _ in range(50)][-1]
            writer.send_signal(signal.SIGSTOP)
            copy = tmp_path / f"cut{cut}"
            for _ in range(20):  # until nothing was written to it meanwhile: of one moment
                shutil.copy(image, copy)  # what the disk was given; what the system still keeps in memory is not in it
                if filecmp.cmp(image, copy, shallow=False):
                    break
            writer.send_signal(signal.SIGCONT)
            left = disk(copy) / "audit.db"
            found = verify(left)
            assert found.problems == []
            assert found.events >= answered
            assert found.events % 2 == 0  # an act of two events is there with both or not at all
            with Log.open(left) as log:
                assert log.append([commanded()])[0].seq == found.events + 1
    finally:
        writer.kill()
        writer.communicate()


def test_a_torn_wal_leaves_a_whole_beginning_and_the_signer_notices_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    Log.create(path)
    with Log.open(path) as log:
        for number in range(12):
            log.append([commanded(f"status {number}")])
        signer = Signer(log.log_id, (), tmp_path / "key.signed")
        assert signer.sign(Reader(path)) is not None
        files = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
    wal, seen = files["-wal"], set()
    for kept in range(0, len(wal) + 1, len(wal) // 40):
        torn = tmp_path / str(kept)
        torn.mkdir()
        (torn / "audit.db").write_bytes(files[""])
        (torn / "audit.db-wal").write_bytes(wal[:kept] + b"\xff" * (kept % 700))
        found = verify(torn / "audit.db")
        assert found.problems == []
        seen.add(found.events)
        if found.events < 12:
            with pytest.raises(OtherLog):
                signer.check(Reader(torn / "audit.db"))
    assert {0, 11} <= seen
    assert len(seen) > 5


def test_a_clock_that_goes_back_across_a_month_begins_no_month_anew(tmp_path: Path) -> None:
    path, clock = tmp_path / "audit.db", Clock()
    Log.create(path)
    with Log.open(path, clock=clock) as log:
        log.append([commanded()])
        clock.forward(days=40)
        late = log.append([commanded()])[0].at
        clock.forward(days=-35)
        assert log.append([commanded()])[0].at == late
    assert verify(path).ok

"""Sealed months: made, linked, lost and made again; archived and restored; killed at every step."""

import os
import signal
import sqlite3
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from audit_support import commanded
from segments_support import MONTHS
from segments_support import Place
from segments_support import fill

from audit import Log
from audit import Reader
from audit import Verification
from audit import back_up
from audit import verify
from ops.layer import Ops
from ops.segments import seal_due
from ops.settings import load_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    monkeypatch.chdir(tmp_path)
    found = Place(tmp_path, capsys)
    fill(found.log)
    return found


def test_months_that_are_over_are_sealed_and_link(place: Place) -> None:
    sealed = place.say("audit", "seal")["sealed"]
    assert [one["month"] for one in sealed] == list(MONTHS)
    assert sealed[0]["first"] == 1
    assert all(one["first"] == before["last"] + 1 for before, one in pairwise(sealed))
    for one in sealed:
        path = place.segments / f"{one['month']}.db"
        assert path.stat().st_mode & 0o777 == 0o440
        assert verify(path, is_part=True).ok
        assert {event.at.strftime("%Y-%m") for event in Reader(path).since(0, 500)} == {one["month"]}
    assert place.say("audit", "seal")["sealed"] == []
    assert [one["problem"] for one in place.say("audit", "segments")["segments"]] == [""] * 5
    assert place.say("audit", "verify")["ok"]


def test_a_changed_segment_is_found_and_a_lost_one_is_made_again(place: Place) -> None:
    place.say("audit", "seal")
    july = place.segments / "2026-07.db"
    whole = july.read_bytes()
    july.chmod(0o600)
    july.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = place.say("audit", "segments", code=1)["segments"]
    assert ["not the file that was sealed" in one["problem"] for one in found] == [False, True, False, False, False]
    july.unlink()
    assert [one["month"] for one in place.say("audit", "seal")["sealed"]] == ["2026-07"]
    assert place.say("audit", "segments")["ok"]


@pytest.mark.parametrize("is_again", [False, True])
@pytest.mark.parametrize("step", ["filled", "on the disk", "said", "renamed"])
def test_a_seal_that_is_killed_at_any_step_is_made_good(place: Place, step: str, is_again: bool) -> None:
    if is_again:
        place.say("audit", "seal")
        (place.segments / "2026-07.db").unlink()
    child = os.fork()
    if child == 0:
        try:
            with Log.open(place.log) as log:
                seal_due(Ops(load_settings(place.config), log), lambda reached: _die(reached == step))
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert verify(place.log).ok
    place.say("audit", "seal")
    assert [one["problem"] for one in place.say("audit", "segments")["segments"]] == [""] * 5
    assert not list(place.segments.glob("*.new*"))


def _die(is_there: bool) -> None:
    if is_there:
        os.kill(os.getpid(), signal.SIGKILL)


def test_an_archive_comes_back_whole(place: Place) -> None:
    place.say("audit", "seal")
    made = place.say("audit", "archive", "--to", "kept.tar.gz")
    assert made["months"] == list(MONTHS)
    assert place.say("audit", "archive", "--to", "again.tar.gz")["sha256"] == made["sha256"]
    (place.folder / "back.new").mkdir()
    (place.folder / "back.new" / "mine").touch()
    back = place.say("audit", "restore-archive", "kept.tar.gz", "--to", "back")
    place.say("audit", "restore-archive", "kept.tar.gz", "--to", "back", code=2)
    assert [path.name for path in place.folder.glob("back.*/*")] == ["mine"]
    assert back["months"] == list(MONTHS)
    for path in place.segments.iterdir():
        assert (place.folder / "back" / path.name).read_bytes() == path.read_bytes()
    kinds = [event.kind for event in Reader(place.log).since(0, 500)]
    assert kinds.count("archived") == 2
    assert kinds[-1] == "archive_restored"


def test_an_archive_that_was_touched_is_not_restored(place: Place) -> None:
    place.say("audit", "seal")
    place.say("audit", "archive", "--to", "kept.tar.gz")
    whole = (place.folder / "kept.tar.gz").read_bytes()
    ends = range(len(whole) - 40, len(whole), 3)  # what no file in it needs: zeros behind the last one, and gzip's sums
    for at in (*range(20, len(whole), len(whole) // 12), *ends):
        (place.folder / "bad.tar.gz").write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        place.say("audit", "restore-archive", "bad.tar.gz", "--to", "back", code=1)
        assert not (place.folder / "back").exists()
    (place.folder / "bad.tar.gz").write_bytes(whole[: len(whole) // 2])
    place.say("audit", "restore-archive", "bad.tar.gz", "--to", "back", code=1)


def test_a_backup_is_of_one_moment_while_the_log_is_in_use(place: Place) -> None:
    with Log.open(place.log) as log:
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                log.append([commanded("status")])

        writer = threading.Thread(target=work)
        writer.start()
        try:
            copied = [back_up(place.log, place.folder / f"copy-{number}.db").tree.size for number in range(3)]
        finally:
            over.set()
            writer.join()
        assert log.append([commanded()])[0].seq > copied[-1] >= copied[0] > 20
    copies = [verify(place.folder / f"copy-{number}.db") for number in range(3)]
    assert [(copy.ok, copy.events) for copy in copies] == [(True, size) for size in copied]
    found = place.say("audit", "backup", "copy.db")
    assert verify(place.folder / "copy.db").head == found["head"]
    assert not list(place.folder.glob("copy.db?*"))
    place.say("audit", "backup", "var/audit.db", code=2)


def everything(folder: Path, target: Path) -> list[object]:
    """The names that stand beside it, and what the file `target` is and holds."""
    told = os.lstat(target)
    held = target.read_bytes() if target.is_file() else b""
    return [sorted(folder.glob("*")), told.st_ino, told.st_mode, told.st_mtime_ns, held]


@pytest.mark.parametrize("what", ["a copy", "a file", "a folder", "a link to nothing"])
def test_a_backup_overwrites_nothing(place: Place, what: str) -> None:
    target = place.folder / "copy.db"
    if what == "a copy":
        place.say("audit", "backup", "copy.db")
    elif what == "a file":
        target.write_text("somebody's notes")
    elif what == "a folder":
        target.mkdir()
    else:
        target.symlink_to(place.folder / "nowhere")
    before = everything(place.folder, target)
    events = Reader(place.log).size()

    refused = place.say("audit", "backup", "copy.db", code=2)

    assert (refused["reason"], refused["status"]) == ("bad_usage", "error")
    assert refused["message"] == f"There is already something at {target}; nothing was copied."
    assert "name another file" in refused["hint"]
    assert everything(place.folder, target) == before
    assert Reader(place.log).size() == events  # nobody took a copy, so none is written down


def test_what_came_into_a_backups_place_meanwhile_is_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    target = place.folder / "copy.db"

    def while_it_is_verified(path: Path) -> Verification:
        target.write_text("somebody's notes")
        return verify(path)

    monkeypatch.setattr("audit.backup.verify", while_it_is_verified)
    place.say("audit", "backup", "copy.db", code=2)
    assert target.read_text() == "somebody's notes"
    assert not list(place.folder.glob("copy.db?*"))


def test_what_a_replicator_keeps_in_the_log_does_no_harm(place: Place) -> None:
    """As Litestream does it: two tables of its own, a read transaction that it holds, and checkpoints by it."""
    other = sqlite3.connect(place.log, isolation_level=None)
    other.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    other.execute("CREATE TABLE _litestream_lock (id INTEGER)")
    holding = sqlite3.connect(place.log, isolation_level=None)
    with Log.open(place.log) as log:
        for _ in range(3):
            holding.execute("BEGIN")
            holding.execute("SELECT count(*) FROM _litestream_seq").fetchall()
            log.append([commanded("status")])
            other.execute("INSERT INTO _litestream_seq VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1")
            holding.execute("ROLLBACK")
            other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            log.append([commanded("status")])
    other.close()
    holding.close()
    assert place.say("audit", "verify")["ok"]
    sqlite3.connect(place.log).execute("CREATE TRIGGER sneaky AFTER INSERT ON _litestream_seq BEGIN SELECT 1; END")
    assert not place.say("audit", "verify", code=1)["ok"]

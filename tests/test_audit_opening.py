"""Making and opening a log: only one of them is new, and nothing else is taken for one."""

from pathlib import Path

import pytest
from audit_support import commanded

from audit import AuditError
from audit import Log
from audit import LogDamaged
from audit import LogExists
from audit import LogUnavailable
from audit import NoLog
from audit import Reader
from audit import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    return path


def test_without_a_log_there_is_no_log(tmp_path: Path) -> None:
    for attempt in (Log.open, Reader, verify):
        with pytest.raises(NoLog) as caught:
            attempt(tmp_path / "none.db")
        assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_create_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nowhere")
    for there in (path, tmp_path / "dangling.db", tmp_path):
        with pytest.raises(LogExists):
            Log.create(there)
    assert path.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


def test_create_after_a_crash_in_the_middle_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "audit.db.new").write_bytes(b"half a log")
    Log.create(tmp_path / "audit.db")
    assert verify(tmp_path / "audit.db").ok
    assert not (tmp_path / "audit.db.new").exists()


def test_a_closed_log_says_so(path: Path) -> None:
    log = Log.open(path)
    pending = [log.submit([commanded()]) for _ in range(20)]
    log.close()
    log.close()
    assert [future.result(0)[0].seq for future in pending] == list(range(1, 21))
    with pytest.raises(LogUnavailable, match="is closed"):
        log.append([commanded()])
    assert isinstance(log.submit([commanded()]).exception(), AuditError)


def test_a_file_that_is_no_log_is_not_opened(tmp_path: Path) -> None:
    for name, content in {"text.db": b"not a database, but long enough to look at" * 100, "empty.db": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LogDamaged):
            Log.open(tmp_path / name)
        assert (tmp_path / name).read_bytes()[:42] == content[:42]
        assert not verify(tmp_path / name).ok

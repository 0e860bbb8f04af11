"""Verifying by parts: the same answer as event by event, the right roots, and no for whatever is not as it should be."""

from pathlib import Path

import pytest
from audit_support import commanded
from audit_support import erased
from audit_support import raw

from audit import Log
from audit import Reader
from audit import ranges
from audit import verify
from audit.ranges import Whole
from audit.ranges import verified_by_parts
from audit.tree import Frontier
from audit.tree import root_of

EVENTS = 44


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ranges, "PART_EVENTS", 8)
    monkeypatch.setattr(ranges, "SLICE_EVENTS", 3)
    found = tmp_path / "audit.db"
    Log.create(found)
    with Log.open(found) as log:
        log.append([commanded(f"text «{number}»", stream=f"s{number % 5}") for number in range(EVENTS)])
    return found


def whole(path: Path, sizes: range | tuple[int, ...] = ()) -> Whole | None:
    [(log_id,)] = raw(path, "SELECT id FROM log")
    return verified_by_parts(path, str(log_id), EVENTS, tuple(sizes))


def test_parts_give_what_the_whole_gives(path: Path) -> None:
    leaves = [bytes.fromhex(one) for one in Reader(path).hashes(0, EVENTS)]
    found = whole(path, range(1, EVENTS + 1))
    assert found is not None
    assert (found.events, found.head) == (EVENTS, leaves[-1].hex())
    assert found.roots == {size: root_of(leaves[:size]) for size in range(1, EVENTS + 1)}
    assert verify(path).head == found.head


def test_progress_is_told_part_by_part(path: Path) -> None:
    told: list[tuple[int, int]] = []
    assert verify(path, progress=lambda done, of: told.append((done, of))).ok
    assert told == [(done, EVENTS) for done in (8, 16, 24, 32, 40, 44)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET actor = 'mallory' WHERE seq = 9",
        "UPDATE event SET place = 70 WHERE seq = 17",
        "UPDATE event SET previous = hash WHERE seq = 8",
        "UPDATE event SET hash = previous WHERE seq = 16",
        "UPDATE payload SET data = '[]' WHERE seq = 24",
        "UPDATE payload SET salt = 'zz' WHERE seq = 25",
        "DELETE FROM payload WHERE seq = 33",
        "DELETE FROM event WHERE seq = 32",
        "DELETE FROM event WHERE seq = 44",
        "UPDATE event SET at = 'soon' WHERE seq = 40",
        "UPDATE event SET at = '2001-01-01T00:00:00.000000Z' WHERE seq = 41",
        "UPDATE event SET actor = CAST(x'61ff' AS TEXT) WHERE seq = 5",
    ],
)
def test_whatever_is_not_as_it_should_be_is_looked_at_closely(path: Path, statement: str) -> None:
    raw(path, "PRAGMA ignore_check_constraints = 1", "PRAGMA foreign_keys = 0", statement, guards=False)
    assert whole(path) is None
    assert not verify(path).ok


def test_what_was_erased_is_as_it_should_be(path: Path) -> None:
    with Log.open(path) as log:
        log.append([erased(3, 30)])
    raw(path, "DELETE FROM payload WHERE seq IN (3, 30)")
    [(log_id,)] = raw(path, "SELECT id FROM log")
    assert verified_by_parts(path, str(log_id), EVENTS + 1) is not None
    assert whole(path) is None  # up to here nothing says that they were
    assert verify(path).ok


def test_a_worker_that_dies_leaves_it_to_the_close_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.ranges.sys.executable", "/bin/false")
    monkeypatch.setattr("audit.ranges.os.cpu_count", lambda: 2)
    assert whole(path) is None
    assert verify(path).ok


def test_trees_are_joined_only_where_they_fit() -> None:
    leaves = [bytes([number]) * 32 for number in range(12)]
    eight, four = Frontier().extended(leaves[:8]), Frontier().extended(leaves[8:])
    assert eight.joined(four).root() == root_of(leaves)
    assert Frontier().joined(four) == four
    with pytest.raises(ValueError, match="do not fit"):
        Frontier().extended(leaves[:3]).joined(four)

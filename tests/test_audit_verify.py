"""What `verify` sees: each kind of tampering that the chain, the commitments and the file itself can show."""

import shutil
from pathlib import Path

import pytest
from audit_support import ANA
from audit_support import BEN
from audit_support import commanded
from audit_support import erased
from audit_support import raw
from audit_support import requested

from audit import Log
from audit import LogDamaged
from audit import verify
from audit.event import commitment_of
from audit.event import hash_of

EVENTS = 12


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "audit.db"
    Log.create(path)
    with Log.open(path) as log:
        for number in range(1, EVENTS):
            log.append([commanded(f"text {number}", actor=BEN if number % 2 else ANA, stream=f"s{number % 3}")])
        log.append([requested("R-1")])
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "audit.db"))


def found(path: Path) -> set[tuple[int | None, str]]:
    result = verify(path)
    assert result.ok == (not result.problems)
    return {(problem.seq, problem.code) for problem in result.problems}


def test_an_untouched_log_verifies(path: Path) -> None:
    result = verify(path)
    assert (result.ok, result.events, result.problems) == (True, EVENTS, [])
    assert raw(path, "SELECT hash FROM event ORDER BY seq DESC LIMIT 1") == [(result.head,)]


def test_an_empty_log_verifies(tmp_path: Path) -> None:
    Log.create(tmp_path / "audit.db")
    result = verify(tmp_path / "audit.db")
    assert (result.ok, result.events, result.head) == (True, 0, "0" * 64)


def swap(column: str, one: int, two: int, table: str = "event") -> str:
    return (
        f"UPDATE {table} SET {column} = other.{column} FROM (SELECT seq, {column} FROM {table}) AS other"
        f" WHERE {table}.seq IN ({one}, {two}) AND other.seq = {one + two} - {table}.seq"
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("UPDATE event SET actor = 'mallory' WHERE seq = 5", {(5, "hash")}, id="edit an actor"),
        pytest.param("UPDATE event SET request = 'R-9' WHERE seq = 5", {(5, "hash")}, id="fill an empty field"),
        pytest.param("UPDATE event SET kind = 'queried' WHERE seq = 12", {(12, "hash")}, id="edit the last event"),
        pytest.param(
            "UPDATE payload SET data = replace(data, 'text', 'tent') WHERE seq = 5", {(5, "commitment")}, id="edit data"
        ),
        pytest.param(
            "UPDATE payload SET data = replace(data, ',', ', ') WHERE seq = 5",
            {(5, "commitment")},
            id="same JSON, spaced",
        ),
        pytest.param(f"UPDATE payload SET salt = '{'a' * 32}' WHERE seq = 5", {(5, "commitment")}, id="edit a salt"),
        pytest.param(
            "UPDATE payload SET data = '{nonsense}' WHERE seq = 5", {(5, "commitment"), (5, "payload")}, id="no JSON"
        ),
        pytest.param(
            f"UPDATE event SET hash = '{'a' * 64}' WHERE seq = 5", {(5, "hash"), (6, "previous")}, id="edit a hash"
        ),
        pytest.param("DELETE FROM payload WHERE seq = 5", {(5, "payload_missing")}, id="erase without a record"),
        pytest.param(
            "DELETE FROM event WHERE seq = 5",
            {(6, "seq"), (6, "previous"), (8, "place"), (5, "payload")},
            id="delete an event, leave its payload",
        ),
        pytest.param(
            "DELETE FROM event WHERE seq = 1", {(2, "seq"), (2, "previous"), (4, "place")}, id="delete the first event"
        ),
        pytest.param(
            swap("data", 4, 7, "payload"), {(4, "commitment"), (7, "commitment")}, id="swap two payloads' data"
        ),
        pytest.param(swap("actor", 4, 7), {(4, "hash"), (7, "hash")}, id="swap two actors"),
        pytest.param(
            "UPDATE event SET at = '2001-01-01T00:00:00.000000Z' WHERE seq = 5", {(5, "hash"), (5, "at")}, id="backdate"
        ),
        pytest.param(
            "UPDATE event SET place = 70 WHERE seq = 5", {(5, "hash"), (5, "place"), (8, "place")}, id="displace"
        ),
        pytest.param(
            "UPDATE event SET at = '2999-99-99T00:00:00.000000Z' WHERE seq = 12",
            {(12, "hash"), (12, "at")},
            id="no such day",
        ),
        pytest.param("UPDATE event SET actor = 'a' || char(0) WHERE seq = 5", {(5, "hash"), (5, "text")}, id="NUL"),
        pytest.param(
            "UPDATE event SET actor = CAST(x'61ff' AS TEXT) WHERE seq = 5", {(5, "hash"), (5, "text")}, id="no UTF-8"
        ),
        pytest.param("DELETE FROM log", {(seq, "hash") for seq in range(1, 13)} | {(None, "log")}, id="no id"),
        pytest.param(
            f"UPDATE log SET id = '{'0' * 32}'", {(seq, "hash") for seq in range(1, 13)}, id="another log's id"
        ),
    ],
)
def test_verify_finds(path: Path, statement: str, expected: set[tuple[int | None, str]]) -> None:
    raw(path, "PRAGMA ignore_check_constraints = 1", "PRAGMA foreign_keys = 0", statement, guards=False)
    problems = found(path)
    assert expected <= problems
    assert problems - expected <= {(None, "structure"), (1, "payload")}  # CHECKs and leftovers tell it too


def test_two_events_that_changed_places_are_found(path: Path) -> None:
    moves = [f"UPDATE {table} SET seq = {new} WHERE seq = {old}" for old, new in ((4, 90), (7, 4), (90, 7))
             for table in ("event", "payload")]  # fmt: skip
    raw(path, *moves, guards=False)
    assert {(4, "hash"), (7, "hash"), (4, "previous"), (7, "previous")} <= found(path)


def forge(path: Path, *, payload: bool = True, **fields: object) -> None:
    """Appends an event whose hashes are right and whose fields are not."""
    [(log_id, seq, previous, at, place)] = raw(
        path,
        "SELECT log.id, event.seq + 1, hash, at, (SELECT max(place) + 1 FROM event WHERE stream = 's1')"
        " FROM log, event ORDER BY seq DESC LIMIT 1",
    )
    data = str(fields.pop("data", '{"text":"x"}'))
    row = {
        "seq": seq, "id": "forged", "at": at, "kind": "commanded", "actor": "mallory", "project": None, "place": place,
        "environment": None, "request": None, "stream": "s1", "commitment": commitment_of("0" * 32, data),
        "previous": previous,
    } | fields  # fmt: skip
    row["hash"] = hash_of(log_id, row)
    quoted = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
    insert = [f"INSERT INTO event ({', '.join(row)}) VALUES ({quoted})"]
    insert += [f"INSERT INTO payload VALUES ({row['seq']}, '{'0' * 32}', '{data}')"] if payload else []
    raw(path, *insert, guards=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, set()),  # what one who can write SQL can do, and only a head kept elsewhere would show
        ({"seq": 14}, {(14, "seq")}),
        ({"place": 99}, {(13, "place")}),
        ({"at": "2001-01-01T00:00:00.000000Z"}, {(13, "at")}),
        ({"previous": "0" * 64}, {(13, "previous")}),
        ({"payload": False}, {(13, "payload_missing")}),
        ({"data": '{"text":"\\u0000"}'}, {(13, "text")}),
        ({"data": '{"text":"\\\\u0000"}'}, set()),
        ({"kind": "erased", "data": '{"seqs":"all"}'}, set()),
        ({"kind": "erased", "data": '{"seqs":7}'}, {(13, "payload")}),
        ({"kind": "erased", "data": "{}"}, {(13, "payload")}),
    ],
    ids=repr,
)
def test_rules_are_checked_beyond_the_hashes(
    path: Path, fields: dict[str, object], expected: set[tuple[int | None, str]]
) -> None:
    forge(path, **fields)
    assert found(path) == expected


def test_an_erasure_with_its_record_is_in_order(path: Path) -> None:
    with Log.open(path) as log:
        log.append([erased(3, 5)])
    raw(path, "DELETE FROM payload WHERE seq IN (3, 5)")
    assert found(path) == set()


def test_a_row_hidden_from_an_index_is_found(path: Path) -> None:
    """Chain and schema are as they were; a query by kind would not show the row."""
    raw(
        path,
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_master SET sql = sql || ' WHERE seq <> 5' WHERE name = 'event_kind'",
    )
    raw(path, "REINDEX event_kind")
    raw(
        path,
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_master SET sql = replace(sql, ' WHERE seq <> 5', '') WHERE name = 'event_kind'",
    )
    assert found(path) == {(None, "structure")}


def test_a_cut_off_end_changes_events_and_head_and_nothing_else(path: Path) -> None:
    """No file can show this by itself: whoever wants to know keeps the head elsewhere."""
    before = verify(path)
    raw(path, "DELETE FROM payload WHERE seq > 9", "DELETE FROM event WHERE seq > 9", guards=False)
    after = verify(path)
    assert (after.ok, after.events) == (True, 9)
    assert after.head != before.head


def test_bytes_flipped_anywhere_never_make_verify_raise(path: Path) -> None:
    content = path.read_bytes()
    noticed = 0
    for position in [*range(100), *range(101, len(content), len(content) // 60)]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        noticed += not verify(path).ok
    # the rest hit unused space; used bytes are a quarter of so small a file
    assert noticed >= 10


@pytest.mark.parametrize("kept", [0, 50, 1024, 4096, 8192, 20_000])
def test_a_file_cut_short_is_reported(path: Path, kept: int) -> None:
    assert path.stat().st_size > kept
    with path.open("r+b") as file:
        file.truncate(kept)
    result = verify(path)
    assert not result.ok
    assert all(problem.message for problem in result.problems)


def test_problems_without_end_are_counted_up_to_a_thousand(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded(f"{number}") for number in range(1500)])
    raw(path, "UPDATE event SET actor = 'mallory'", guards=False)
    result = verify(path)
    assert result.events == EVENTS + 1500
    assert len(result.problems) == 1001
    assert result.problems[-1].code == "more"


@pytest.mark.parametrize("seq", [11, 12])
def test_a_log_whose_end_does_not_verify_is_not_opened(path: Path, seq: int) -> None:
    raw(path, f"UPDATE event SET actor = 'mallory' WHERE seq = {seq}", guards=False)
    with pytest.raises(LogDamaged, match=f"Event {seq} is not what was hashed"):
        Log.open(path)


def test_a_log_longer_than_what_opening_looks_at_opens(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded(f"{number}") for number in range(300)])
    with Log.open(path) as log:
        assert log.append([commanded()])[0].seq == EVENTS + 301
    assert verify(path).ok

"""The format of the log as other programs rely on it, recomputed here from its description alone."""

import hashlib
import json
import re
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
import rfc8785
from audit_support import Clock
from audit_support import commanded
from audit_support import erased
from audit_support import raw
from audit_support import requested

from audit import Log
from audit import Reader

COLUMNS = [
    "seq", "id", "at", "kind", "actor", "project", "environment", "request",
    "stream", "place", "data", "commitment", "previous", "hash",
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "var" / "audit.db"
    Log.create(path)
    return path


def fill(path: Path) -> None:
    with Log.open(path, clock=Clock()) as log:
        log.append([commanded('naïve ☃ 🦊 \u2028 "quoted" back\\slash\ttab')])
        log.append([requested("R-1"), commanded("second", project="shop")], id="Ev0ACT")
        log.append([commanded("third", stream="request:R-1", request="R-1")])


def test_hashes_and_commitments_follow_from_the_description(path: Path) -> None:
    fill(path)
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    (log_id,) = connection.execute("SELECT id FROM log").fetchone()
    previous, at, places = "0" * 64, "", {}
    rows = connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
    for number, row in enumerate(rows, start=1):
        salt, data = connection.execute("SELECT salt, data FROM payload WHERE seq = ?", (number,)).fetchone()
        assert row["commitment"] == hashlib.sha256(bytes.fromhex(salt) + data.encode("utf-8")).hexdigest()
        body = {
            "format": 1,
            "log": log_id,
            "seq": number,
            "id": row["id"],
            "at": row["at"],
            "kind": row["kind"],
            "actor": row["actor"],
            "project": row["project"],
            "environment": row["environment"],
            "request": row["request"],
            "stream": row["stream"],
            "place": places.get(row["stream"], 0) + 1,
            "commitment": row["commitment"],
            "previous": previous,
        }
        assert row["hash"] == hashlib.sha256(b"\x00" + rfc8785.dumps(body)).hexdigest()
        assert data.encode() == rfc8785.dumps(json.loads(data))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["at"])
        assert row["at"] >= at
        assert row["place"] == body["place"]
        assert len(bytes.fromhex(salt)) == 16
        previous, at, places[row["stream"]] = row["hash"], row["at"], body["place"]
    connection.close()
    assert [row["place"] for row in rows] == [1, 1, 2, 2]
    assert [row["id"] for row in rows[1:3]] == ["Ev0ACT", "Ev0ACT/2"]


def test_the_view_has_the_promised_columns_in_order(path: Path) -> None:
    assert [row[1] for row in raw(path, "PRAGMA table_info(events)")] == COLUMNS


def test_two_logs_have_two_ids_and_different_hashes_for_the_same_act(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one.db", "two.db"):
        Log.create(tmp_path / name)
        with Log.open(tmp_path / name, clock=Clock()) as log:
            hashes.add((log.log_id, log.append([commanded()], id="same")[0].hash))
    assert len({log_id for log_id, _ in hashes}) == 2
    assert len({digest for _, digest in hashes}) == 2


def test_an_id_of_our_own_is_a_uuid_of_version_7_with_the_time_in_it(path: Path) -> None:
    clock = Clock()
    with Log.open(path, clock=clock) as log:
        [event] = log.append([commanded()])
    made = uuid.UUID(event.id)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(clock.now.timestamp() * 1000)


def test_an_erased_payload_shows_as_null_and_the_chain_stays(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded("a name that must go")])
        log.append([erased(1)])
    raw(path, "DELETE FROM payload WHERE seq = 1")
    first, second = Reader(path).since(0, 10)
    assert first.data is None
    assert second.previous == first.hash
    assert raw(path, "SELECT data FROM events WHERE seq = 1") == [(None,)]


def test_file_is_private_in_a_private_folder(path: Path) -> None:
    with Log.open(path) as log:
        log.append([commanded()])
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["audit.db", "audit.db-wal", "audit.db-shm", "audit.db.lock"], 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), "d92235d7d41a96ead3862439548cfda7d6ec8968526dbad40a785cc0499c1eec"),
        (
            (
                "DROP INDEX event_requester",
                "CREATE INDEX event_actor ON event (actor)",
            ),  # as it was before `fewer_pages`
            "3da5b07d2236147116b8718df867f06475e3e5f3b6bbb27edd284a11af0c8c6b",
        ),
    ],
    ids=["now", "before"],
)
def test_the_schema_is_the_one_that_files_out_there_have(path: Path, changes: Sequence[str], expected: str) -> None:
    """A change here breaks every log there is, unless a migration comes with it."""
    raw(path, *changes)
    sql = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name != '_sqlite_migrations' ORDER BY type, name"
    assert hashlib.sha256(repr(raw(path, sql)).encode()).hexdigest() == expected
    Log.open(path).close()

"""What the file itself refuses, whoever writes: the triggers, and the traps of the tools that people reach for."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_support import commanded
from audit_support import erased
from audit_support import raw
from sqlite_utils import Database

from audit import Log
from audit import LogDamaged
from audit import Query
from audit import Reader
from audit import verify

H = "'" + "a" * 64 + "'"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    Log.create(path)
    with Log.open(path) as log:
        log.append([commanded("one")], id="one")
        log.append([commanded("two")], id="two")
    return path


@pytest.fixture(params=[0, 1], ids=["recursive triggers off", "recursive triggers on"])
def shell(path: Path, request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA recursive_triggers = {request.param}")
    yield connection
    connection.close()


def row(seq: int, id: str, *, at: str = "9999-01-01T00:00:00.000000Z", place: int = 3, previous: str = "last") -> str:
    link = "(SELECT hash FROM event ORDER BY seq DESC LIMIT 1)" if previous == "last" else f"'{previous}'"
    return (
        "INTO event (seq, id, at, kind, actor, stream, place, commitment, previous, hash)"
        f" VALUES ({seq}, '{id}', '{at}', 'commanded', 'x', 'bot', {place}, {H}, {link}, {H})"
    )


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE event SET actor = 'mallory' WHERE seq = 1", id="edit an event"),
        pytest.param("DELETE FROM event WHERE seq = 2", id="delete an event"),
        pytest.param("UPDATE payload SET data = '{}' WHERE seq = 1", id="edit a payload"),
        pytest.param("DELETE FROM payload WHERE seq = 1", id="erase without an erasure"),
        pytest.param(f"INSERT OR REPLACE INTO payload VALUES (1, '{'0' * 32}', '{{}}')", id="replace a payload"),
        pytest.param(f"INSERT OR REPLACE INTO payload VALUES (2, '{'0' * 32}', '{{}}')", id="replace the last payload"),
        pytest.param("UPDATE log SET id = '0'", id="change the log's id"),
        pytest.param("DELETE FROM log", id="delete the log's id"),
        pytest.param("INSERT INTO log VALUES ('00000000000000000000000000000000')", id="a second id"),
        pytest.param(f"INSERT OR REPLACE {row(3, 'one')}", id="replace by an old id"),
        pytest.param(f"INSERT OR IGNORE {row(3, 'one')}", id="ignore by an old id"),
        pytest.param(f"INSERT OR REPLACE {row(2, 'new', place=2)}", id="replace by an old seq"),
        pytest.param(f"INSERT OR REPLACE {row(3, 'new', place=2)}", id="replace by an old place"),
        pytest.param(f"INSERT OR IGNORE {row(3, 'new', place=1)}", id="ignore by an old place"),
        pytest.param(f"INSERT {row(4, 'new')}", id="leave a seq out"),
        pytest.param(f"INSERT {row(3, 'new', place=4)}", id="leave a place out"),
        pytest.param(f"INSERT {row(3, 'new', previous='0' * 64)}", id="link elsewhere"),
        pytest.param(f"INSERT {row(3, 'new', at='2001-01-01T00:00:00.000000Z')}", id="an earlier time"),
        pytest.param(f"INSERT {row(3, 'new', at='2999-01-01T00:00:00Z')}", id="a time in another form"),
        pytest.param(f"INSERT {row(3, 'new')}".replace("'x'", "'x' || char(0) || 'y'"), id="NUL in text"),
        pytest.param(f"INSERT {row(3, 'new')}".replace("'x'", "x'ff'"), id="a blob as text"),
    ],
)
def test_the_file_refuses(shell: sqlite3.Connection, statement: str) -> None:
    before = shell.execute("SELECT * FROM events").fetchall()
    with pytest.raises(sqlite3.IntegrityError):
        shell.execute(statement)
    assert shell.execute("SELECT * FROM events").fetchall() == before


def test_the_file_takes_a_row_that_fits(shell: sqlite3.Connection) -> None:
    """So that the refusals above are about what they name."""
    shell.execute(f"INSERT {row(3, 'new')}")
    assert shell.execute("SELECT max(seq) FROM event").fetchone() == (3,)


@pytest.mark.parametrize("trusted", [0, 1])
def test_only_the_named_payload_can_be_erased_and_never_put_back(path: Path, trusted: int) -> None:
    with Log.open(path) as log:
        log.append([erased(1)])
    trust = f"PRAGMA trusted_schema = {trusted}"
    for seq in (2, 3):
        with pytest.raises(sqlite3.IntegrityError):
            raw(path, trust, f"DELETE FROM payload WHERE seq = {seq}")
    assert raw(path, trust, "DELETE FROM payload WHERE seq = 1 RETURNING seq") == [(1,)]
    with pytest.raises(sqlite3.IntegrityError):
        raw(path, f"INSERT INTO payload VALUES (1, '{'0' * 32}', '{{}}')")
    assert verify(path).ok


def test_what_was_erased_is_gone_from_the_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    Log.create(path)
    with Log.open(path) as log:
        log.append([commanded("Marlene Musterfrau")])
        log.append([erased(1)])
    raw(path, "PRAGMA secure_delete = 1", "DELETE FROM payload WHERE seq = 1", "PRAGMA wal_checkpoint(TRUNCATE)")
    assert all(b"Musterfrau" not in file.read_bytes() for file in tmp_path.iterdir())


def test_transform_by_sqlite_utils_drops_the_triggers_and_the_log_notices(path: Path) -> None:
    database = Database(path)
    database["payload"].transform()
    database.close()
    with pytest.raises(LogDamaged, match="trigger payload_erase is missing"):
        Log.open(path)
    assert {problem.code for problem in verify(path).problems} == {"schema"}


@pytest.mark.parametrize("how", [{"ignore": True}, {"replace": True}, {"alter": True}])
def test_insert_by_sqlite_utils_is_refused_aloud(path: Path, how: dict[str, bool]) -> None:
    database = Database(path)
    old = dict(next(database.query("SELECT * FROM event WHERE seq = 1")))
    with pytest.raises(sqlite3.IntegrityError):
        database["event"].insert(old | ({"note": "x"} if "alter" in how else {}), **how)
    database.close()
    assert verify(path).ok


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DROP TRIGGER event_no_update", "trigger event_no_update is missing"),
        ("CREATE TRIGGER more AFTER INSERT ON event BEGIN SELECT 1; END", "trigger more does not belong here"),
        ("ALTER TABLE event ADD COLUMN note TEXT", "table event was changed"),
        ("DROP INDEX event_requester", "index event_requester is missing"),
        ("PRAGMA user_version = 7", "user_version is 7"),
        ("PRAGMA application_id = 0", "application_id is 0"),
    ],
)
def test_a_changed_schema_is_not_written_to(path: Path, statement: str, named: str) -> None:
    raw(path, statement)
    with pytest.raises(LogDamaged, match=named):
        Log.open(path)
    assert [problem.code for problem in verify(path).problems] == ["schema"]


def test_the_index_of_an_earlier_version_is_as_good(path: Path) -> None:
    raw(path, "DROP INDEX event_requester", "CREATE INDEX event_actor ON event (actor)")
    with Log.open(path) as log:
        log.append([commanded("three")])
    assert verify(path).ok
    assert len(Reader(path).find(Query(actor=commanded("one").actor))) == 3


def test_a_view_in_place_of_the_table_is_noticed(path: Path) -> None:
    raw(
        path,
        "ALTER TABLE event RENAME TO hidden",
        "CREATE VIEW event AS SELECT * FROM hidden WHERE actor != 'mallory'",
    )
    with pytest.raises(LogDamaged):
        Log.open(path)
    assert "schema" in {problem.code for problem in verify(path).problems}


def test_the_connection_is_as_strict_as_it_must_be(path: Path) -> None:
    with Log.open(path) as log:
        connection = log._writer._connection
        names = ("page_size", "journal_mode", "synchronous", "recursive_triggers", "secure_delete")
        names += ("trusted_schema", "foreign_keys", "cell_size_check")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert values == [1024, "wal", 2, 1, 1, 0, 1, 1]


def test_readers_leave_no_transaction_open(path: Path) -> None:
    """One that stayed open would keep the WAL growing for ever."""
    with Log.open(path) as log:
        reader = Reader(path)
        rows = reader.rows(Query())
        next(rows)
        for number in range(30):
            log.append([commanded(f"{number}")])
        busy, _, _ = raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")[0]
    assert busy == 0

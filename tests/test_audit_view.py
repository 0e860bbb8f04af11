"""Reading: streams, numbers, open requests, questions, paging; with and without a writer."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from audit_support import ANA
from audit_support import BEN
from audit_support import NOON
from audit_support import Clock
from audit_support import as_nobody
from audit_support import commanded
from audit_support import of_request
from audit_support import open_to_everybody
from audit_support import raw
from audit_support import requested

from audit import FINAL_KINDS
from audit import KINDS
from audit import Draft
from audit import Log
from audit import LogDamaged
from audit import NoLog
from audit import Query
from audit import Reader
from audit import View
from audit import verify

ENDINGS = {
    "succeeded": {"applied": [], "seconds": 1.5},
    "failed": {"reason": "x", "message": "x", "step": "migrate"},
    "partially_applied": {"reason": "x", "message": "x", "step": "migrate", "applied": [], "not_applied": []},
    "rejected": {"digest": "d", "because": "no", "facts": {}},
    "cancelled": {"because": "x"},
    "expired": {"expires_at": "x"},
    "superseded": {"changed": [], "message": "x"},
    "recorded": {"because": "x", "by": "os:h/ana", "versions": []},
}
INTERRUPTED = {"reason": "x", "message": "x", "step": "migrate", "applied": [], "unknown": []}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[Log]:
    Log.create(tmp_path / "audit.db")
    with Log.open(tmp_path / "audit.db", clock=clock) as log:
        yield log


@pytest.fixture
def reader(log: Log) -> Reader:
    return Reader(log.path)


def test_an_empty_log_has_answers(reader: Reader) -> None:
    assert reader.events(stream="bot") == reader.act("x") == reader.find(Query()) == reader.since(0, 10) == []
    assert (reader.last_place("bot"), reader.next_number("R-"), reader.open_requests()) == (0, "R-1", [])
    assert reader.last(kind="requested") is None
    assert reader.find(Query(since=NOON, until=NOON)) == []


def test_the_next_number_follows_the_highest_not_the_last(log: Log, reader: Reader) -> None:
    for request in ("R-2", "R-10", "R-9"):
        log.append([requested(request)])
    log.append([commanded("R-77", request="R-77")])
    assert reader.next_number("R-") == "R-11"
    assert reader.next_number("CHG-") == "CHG-1"


def test_final_kinds_are_kinds() -> None:
    assert set(FINAL_KINDS) == set(ENDINGS) <= set(KINDS)


def test_open_requests_are_those_that_nothing_ended(log: Log, reader: Reader) -> None:
    log.append([requested("R-1")])
    log.append([requested("R-2")])
    log.append([of_request("interrupted", "R-2", **INTERRUPTED)])
    for number, (kind, data) in enumerate(ENDINGS.items(), start=3):
        log.append([requested(f"R-{number}"), of_request(kind, f"R-{number}", **data)])
    log.append([Draft(kind="failed", actor=ANA, stream="target:shop/prod", request="R-1", data=ENDINGS["failed"])])
    assert reader.open_requests() == ["R-1", "R-2"]
    log.append([of_request("failed", "R-2", **ENDINGS["failed"])])
    assert reader.open_requests() == ["R-1"]
    assert log.transact(lambda view: [] if view.open_requests() == ["R-1"] else [commanded()]) == []


def test_the_last_event_of_a_kind_is_of_the_target_asked_for(log: Log, reader: Reader) -> None:
    log.append([requested("R-1"), requested("R-2", environment="dev"), commanded()])
    assert [
        event and event.request
        for event in (
            reader.last(kind="requested"),
            reader.last(kind="requested", project="shop", environment="prod"),
            reader.last(kind="requested", project="blog"),
        )
    ] == ["R-2", "R-1", None]


@pytest.fixture
def filled(log: Log, clock: Clock) -> Log:
    log.append([commanded("Deploy the Änderung", project="shop", environment="prod")])  # 1, noon
    clock.forward(hours=1)
    log.append([commanded("status of 100%_done", actor=BEN)])  # 2, 13:00
    log.append([requested("R-1")])  # 3, 13:00
    clock.forward(hours=1)
    log.append([commanded('say "hi"\n', request="R-1"), commanded("DEPLOY", project="shop", environment="dev")])  # 4, 5
    return log


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        (Query(), [1, 2, 3, 4, 5]),
        (Query(actor=BEN), [2]),
        (Query(project="shop"), [1, 3, 5]),
        (Query(project="shop", environment="prod"), [1, 3]),
        (Query(environment="dev"), [5]),
        (Query(request="R-1"), [3, 4]),
        (Query(kinds=("requested",)), [3]),
        (Query(kinds=("requested", "commanded"), actor=BEN), [2]),
        (Query(kinds=("approved", "requested")), [3]),
        (Query(since=NOON + timedelta(hours=1)), [2, 3, 4, 5]),
        (Query(until=NOON + timedelta(hours=1)), [1]),
        (Query(since=NOON + timedelta(minutes=1), until=NOON + timedelta(hours=2)), [2, 3]),
        (Query(since=NOON + timedelta(days=1)), []),
        (Query(until=NOON - timedelta(days=1)), []),
        (Query(text="deploy"), [1, 5]),
        (Query(text="Änderung"), [1]),
        (Query(text="100%_d"), [2]),
        (Query(text="%"), [2]),
        (Query(text='"hi"\n'), [4]),
        (Query(text="' OR 1=1 --"), []),
        (Query(actor="' OR 1=1 --"), []),
        (Query(after_seq=2), [3, 4, 5]),
        (Query(before_seq=3), [1, 2]),
        (Query(before_seq=3, newest_first=True), [2, 1]),
        (Query(newest_first=True, limit=2), [5, 4]),
        (Query(limit=2), [1, 2]),
        (Query(limit=0), []),
    ],
    ids=repr,
)
def test_a_query_finds(filled: Log, query: Query, seqs: list[int]) -> None:
    assert [event.seq for event in Reader(filled.path).find(query)] == seqs
    assert filled.transact(lambda view: [] if [e.seq for e in view.find(query)] == seqs else [commanded()]) == []


def test_a_time_without_a_zone_is_refused(reader: Reader) -> None:
    with pytest.raises(ValueError, match="time zone"):
        reader.find(Query(since=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize("newest_first", [False, True])
def test_long_answers_come_whole_and_in_pages_without_gaps(log: Log, reader: Reader, newest_first: bool) -> None:
    log.append([commanded(f"{number}", actor=BEN if number % 3 else ANA) for number in range(2000)])
    everything = [event.seq for event in reader.find(Query(actor=BEN, newest_first=newest_first))]
    assert len(everything) == len(set(everything)) == 1333
    paged: list[int] = []
    for _ in range(40):
        edge = {"before_seq" if newest_first else "after_seq": paged[-1]} if paged else {}
        paged += [e.seq for e in reader.find(Query(actor=BEN, newest_first=newest_first, limit=50, **edge))]
    assert paged == everything == sorted(everything, reverse=newest_first)


def test_what_is_appended_while_somebody_reads_is_left_out(log: Log, reader: Reader) -> None:
    log.append([commanded(f"{number}") for number in range(1200)])
    seen = 0
    for _ in reader.rows(Query()):
        seen += 1
        if seen % 400 == 0:
            log.append([commanded("more")])
    assert seen == 1200


@pytest.mark.parametrize(
    ("query", "how"),
    [
        (Query(), "INTEGER PRIMARY KEY"),
        (Query(request="R-1"), "INDEX event_request"),
        (Query(actor=ANA, newest_first=True), "INTEGER PRIMARY KEY"),
        (Query(actor=ANA, kinds=("requested",), newest_first=True), "INDEX event_requester"),
        (Query(kinds=("locked",), newest_first=True), "INDEX event_kind"),
        (Query(kinds=("locked", "unlocked")), "INTEGER PRIMARY KEY"),
        (Query(project="shop", environment="prod", since=NOON), "INDEX event_target"),
    ],
    ids=repr,
)
def test_a_slice_is_read_in_the_order_of_the_log_without_sorting(log: Log, query: Query, how: str) -> None:
    """Sorting would read everything that matches once more for each slice."""
    log.append([commanded()])
    connection = sqlite3.connect(log.path, isolation_level=None)
    said: list[str] = []
    connection.set_trace_callback(said.append)
    list(View(connection).rows(query))
    connection.set_trace_callback(None)
    [slice_] = [sql for sql in said if sql.startswith("SELECT * FROM events")]
    plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {slice_}"))
    connection.close()
    assert how in plan
    assert "TEMP B-TREE" not in plan


def test_a_reader_sees_a_log_that_replaced_the_old_one_and_one_that_went(log: Log, reader: Reader) -> None:
    log.append([commanded()])
    log.close()
    Log.create(log.path.with_name("new.db"))
    log.path.with_name("new.db").rename(log.path)
    assert reader.since(0, 10) == []
    log.path.unlink()
    with pytest.raises(NoLog):
        reader.since(0, 10)


def test_a_reader_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"x" * 5000)
    with pytest.raises(LogDamaged):
        Reader(tmp_path / "other.db").since(0, 1)


def test_a_row_that_somebody_broke_is_named(log: Log, reader: Reader) -> None:
    log.append([commanded()])
    log.close()
    raw(log.path, "UPDATE payload SET data = '{x}'", guards=False)
    with pytest.raises(LogDamaged, match="Event 1"):
        reader.since(0, 1)


def test_a_sealed_copy_can_be_read_where_the_reader_may_not_write(log: Log, tmp_path: Path) -> None:
    """SQLite itself refuses: it wants to make the WAL's index beside the file."""
    log.append([commanded(), commanded()])
    log.close()
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    copy = sealed / "audit.db"
    copy.write_bytes(log.path.read_bytes())
    copy.chmod(0o444)
    sealed.chmod(0o555)
    open_to_everybody(tmp_path)
    answer = as_nobody(lambda: (len(Reader(copy).since(0, 10)), verify(copy).problems, os.access(sealed, os.W_OK)))
    assert answer == "(2, [], False)"
    assert os.listdir(sealed) == ["audit.db"]


def test_reading_goes_on_beside_a_log_that_is_open_and_verifies(filled: Log) -> None:
    before = sorted(os.listdir(filled.path.parent))
    assert verify(filled.path).events == 5
    assert sorted(os.listdir(filled.path.parent)) == before
    assert filled.append([commanded()])[0].seq == 6

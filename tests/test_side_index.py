"""Questions give the same answers with the side file and without, whatever is asked, and whatever happens to the file."""

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from audit_support import ANA
from audit_support import commanded

from audit import KINDS
from audit import Draft
from audit import Log
from audit import Query
from audit import Reader
from audit import query_of
from audit.grammar import parse
from audit.query import split_words
from audit.search import search
from audit.side_index import SideIndex
from audit.side_index import index_path
from bench.big_log import build

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EVENTS = 3000
QUESTIONS = (
    "", "actor:U0ANA", "actor:slack:T0ACME/U0ANA env:shop/prod kind:approved", "-actor:system:runner", "env:prod",
    "project:blog -env:prod", "outcome:failed,rejected", "-kind:commanded -outcome:succeeded", "request:r-7",
    "request:R-7,R-9 kind:approved", "-request:R-7 kind:approved", "stream:people", "stream:target:shop/prod",
    "stream:request:R-7", "-stream:people text:orders", "text:ORD", "text:o", '"alter orders"', "-text:orders kind:approved",
    "text:own_request", "digest:80de", "digest:0", "text:2024010100007", "text:2024", "kind:frozen", "actor:nobody",
    "env:nowhere", "-env:prod", 'text:"--"', '-text:"--"', "event:100..900 kind:refused", "during:2025 kind:approved",
    "actor:U0ANA,U0BEN,U0CHI,U0DAN kind:approved,rejected,requested,started,refused,commanded env:prod,dev",
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("side") / "audit.db"
    build(found, EVENTS)
    assert catch_up(found) == 0
    return found


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    for file in (path, index_path(path)):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / path.name


def catch_up(path: Path, **more: Any) -> int:
    with Reader(path).together() as view:
        return SideIndex(path).catch_up(view, seconds=60, **{"worth": 0, "behind": 1, **more})


def covered(path: Path) -> int:
    with Reader(path).together() as view, SideIndex(path).opened(view) as opened:
        return opened.covered if opened else 0


def asked(text: str, **more: Any) -> Query:
    return replace(query_of(parse(text, NOW, sorted(KINDS)), limit=EVENTS), **more)


def answers(path: Path, query: Query) -> list[int]:
    return [row["seq"] for row in search(Reader(path), query, seconds=60).rows]


def judged(path: Path, query: Query) -> list[int]:
    """The answer of the predicate alone: every row looked at."""
    low, high = (query.after_seq or 0), (query.before_seq or EVENTS + 100)
    moments = [query.since.isoformat() if query.since else "", query.until.isoformat() if query.until else "9"]
    return [
        row["seq"]
        for row in Reader(path).rows(Query())
        if query.fits(row) and low < row["seq"] < high and moments[0] <= row["at"] < moments[1]
    ]


@pytest.fixture(scope="module", params=["with the side file", "halfway", "without"])
def searched(request: pytest.FixtureRequest, path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("searched") / "audit.db"
    shutil.copy(path, found)
    if request.param == "with the side file":
        shutil.copy(index_path(path), index_path(found))
    if request.param == "halfway":
        with Reader(found).together() as view:
            SideIndex(found).catch_up(view, seconds=0.0, worth=0)
            while not covered(found):  # a busy machine may spend all of the time before the first piece
                SideIndex(found).catch_up(view, seconds=0.001, worth=0)
        assert 0 < covered(found) < EVENTS
    return found


@pytest.mark.parametrize("text", QUESTIONS)
def test_the_side_file_changes_no_answer(searched: Path, path: Path, text: str) -> None:
    query = asked(text) if text != "digest:0" else asked("digest:0000")
    expected = judged(path, query)
    assert answers(searched, query) == expected
    assert answers(searched, replace(query, newest_first=True)) == expected[::-1]


def test_pages_follow_each_other_without_a_gap(searched: Path) -> None:
    query = asked("kind:approved text:orders", limit=7)
    whole = answers(searched, replace(query, limit=EVENTS))
    forward: list[int] = []
    backward: list[int] = []
    for _ in range(len(whole)):
        forward += answers(searched, replace(query, after_seq=forward[-1] if forward else None))
        before = backward[-1] if backward else None
        backward += answers(searched, replace(query, before_seq=before, newest_first=True))
    assert forward == whole
    assert backward == whole[::-1]


def test_random_questions_have_the_same_answer(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 (a test that can be repeated)
    parts = [term for text in QUESTIONS for term in text.split() if '"' not in term and term != "digest:0"]
    for _ in range(60):
        text = " ".join(dict.fromkeys(chance.choices(parts, k=3)))
        if len({term.lstrip("-").partition(":")[0] for term in text.split()} & {"event", "during"}) > 1:
            continue
        assert answers(path, asked(text)) == judged(path, asked(text)), text


def test_what_comes_later_is_found_at_once_and_taken_in(copy: Path) -> None:
    with Log.open(copy) as log:
        log.append([commanded("Größe der Änderung, naïve 'orders3'")])
    for text in ("text:größe", "text:ÄNDERUNG", "text:naïve", "text:orders3"):
        assert answers(copy, asked(text)) == [EVENTS + 1]
    assert covered(copy) == EVENTS
    assert catch_up(copy) == 0
    assert covered(copy) == EVENTS + 1
    for text in ("text:größe", "text:ÄNDERUNG", "text:naïve", "text:orders3"):
        assert answers(copy, asked(text)) == [EVENTS + 1]


def test_what_was_erased_is_not_in_the_file_any_more(copy: Path) -> None:
    with Log.open(copy) as log:
        [event] = log.append([commanded("secretword")])
        assert catch_up(copy) == 0
        assert b"secretword" in index_path(copy).read_bytes()
        log.append([Draft(kind="erased", actor=ANA, stream="all", data={"seqs": [event.seq], "because": "asked"})])
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM payload WHERE seq = ?", (event.seq,))
        connection.commit()
    assert catch_up(copy) > 0
    assert not index_path(copy).exists()
    assert catch_up(copy) == 0
    assert b"secretword" not in index_path(copy).read_bytes()
    assert answers(copy, asked("text:secretword")) == []


@pytest.mark.parametrize(
    "harm", ["cut", "garbage", "another log's", "writable by others", "a link", "empty", "a shorter log"]
)
def test_a_file_that_does_not_serve_is_not_believed(copy: Path, tmp_path: Path, harm: str) -> None:
    side, query = index_path(copy), asked("kind:approved env:prod")
    expected = answers(copy, query)
    match harm:
        case "cut":
            side.write_bytes(side.read_bytes()[:5000])
        case "garbage":
            side.write_bytes(b"\0" * 9000)
        case "another log's":
            build(tmp_path / "other.db", 500)
            catch_up(tmp_path / "other.db")
            shutil.copy(index_path(tmp_path / "other.db"), side)
        case "writable by others":
            side.chmod(0o666)
        case "a link":
            side.rename(tmp_path / "elsewhere")
            side.symlink_to(tmp_path / "elsewhere")
        case "empty":
            side.write_bytes(b"")
        case "a shorter log":
            with closing(sqlite3.connect(side)) as connection:
                connection.execute("UPDATE state SET covered = covered + 1000")
                connection.commit()
    assert covered(copy) == 0
    assert answers(copy, query) == expected
    for _ in range(3):  # the first finds out and removes it, the next makes it
        catch_up(copy)
    assert covered(copy) == EVENTS
    assert answers(copy, query) == expected


def test_a_small_log_needs_none(tmp_path: Path) -> None:
    build(tmp_path / "audit.db", 300)
    assert catch_up(tmp_path / "audit.db", worth=301) == 0
    assert not index_path(tmp_path / "audit.db").exists()


def test_the_file_is_private_and_the_log_untouched(path: Path) -> None:
    assert index_path(path).stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"event", "log", "payload", "_sqlite_migrations"}


def test_no_text_breaks_a_question(path: Path) -> None:
    for text in (
        'text:"a OR b"',
        "text:a*",
        'text:"found:x"',
        "text:^a",
        "text:NEAR(a)",
        "actor:';--",
        "text:§k1",
        "request:é",
    ):
        assert answers(path, asked(text)) == judged(path, asked(text))


def test_words_are_compared_in_one_form() -> None:
    assert split_words("Zoë's C_AFÉ—№1") == split_words("ZOË'S c_afé no1") == ["zoë", "s", "c", "afé", "no1"]

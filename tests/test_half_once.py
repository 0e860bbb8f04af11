"""What a run left half-way runs no second time, whoever asks for it, however often, and whatever ended in between."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import approve
from people_talk import in_order
from people_talk import rules
from people_talk import told
from run_support import at_start
from test_half_way import card_of
from test_half_way import decided

from audit import Draft
from audit import Log
from audit import Reader
from ops.batch_log import BatchIntent
from ops.batch_log import Place
from ops.half_done import half_done
from ops.migrations import read_migration
from sandbox.stage import Stage

Make = Callable[..., Stage]

FILE = "20260101000000_items.sql"
TABLES = """\
create table public.seen (t text);
create table public.items (id int, name text);
insert into public.items values (1, 'same'), (2, 'same');
create table public.other (id int);
insert into public.other values (1), (1);
"""
HALF = """\
insert into public.seen values ('a');
create unique index concurrently u1 on public.items (name);
"""
"""Its second statement fails as long as two rows are the same; then catalog and history are as they were before."""
TWICE = f"""\
{HALF}drop index concurrently public.u1;
insert into public.seen values ('b');
create unique index concurrently u2 on public.other (id);
"""
"""And its last one fails likewise, with the same catalog as before the file."""


def stage_with(make_stage: Make, sql: str) -> Stage:
    stage = make_stage(empty=True, prod=rules(1))
    stage.sql("prod", TABLES)
    stage.migration(FILE, sql)
    return stage


def asked(stage: Stage, words: str, number: str, who: str = ANA) -> None:
    assert f"{number} is asked for" in told(stage.slack.say(who, f"/migrate {words}"))
    card_of(stage, number, "[Approve for prod]")


def seen(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.sql("prod", "select t, count(*) from public.seen group by 1 order by 1")


def test_a_push_that_waited_while_another_ended_half_way_does_not_run_its_first_statements_again(
    make_stage: Make,
) -> None:
    stage = stage_with(make_stage, HALF)
    stage.start_bot()
    asked(stage, "push prod", "R-1")
    stage.migration("20260102000000_more.sql", "create table public.more (id int);\n")
    asked(stage, "push prod", "R-2", CHI)

    decided(stage, "R-1", "partially_applied")

    card_of(stage, "R-2", "this changed: what is on the target of its files, of which R-1 left a part")
    stage.sql("prod", "delete from public.items where id = 2")
    assert "was left half-way by R-1" in told(stage.slack.say(CHI, "/migrate push prod"))
    assert seen(stage) == [("a", 1)]
    in_order(stage)


def test_what_is_left_runs_once_however_often_it_is_asked_for(make_stage: Make) -> None:
    """Two resumes wait, a third fails whole, a fourth ends half-way again: none of it shows in catalog or history."""
    stage = stage_with(make_stage, TWICE)
    # What ends them at once is left out: that each asks again must hold alone.
    at_start(stage, "import ops.running", "ops.running.supersede_waiting = lambda *_: None")
    stage.start_bot()
    asked(stage, "push prod", "R-1")
    decided(stage, "R-1", "partially_applied")
    asked(stage, "resume R-1", "R-2")
    decided(stage, "R-2", "failed")
    asked(stage, "resume R-1 --done 1", "R-3", CHI)
    stage.sql("prod", "delete from public.items where id = 2")
    asked(stage, "resume R-1", "R-4")
    decided(stage, "R-4", "partially_applied")
    assert seen(stage) == [("a", 1), ("b", 1)]

    assert "this changed: what is left of R-1 (R-4 went on with R-1 already)" in approve(stage, BEN, "R-3")
    assert "R-4 went on with R-1 already" in told(stage.slack.say(ANA, "/migrate resume R-1"))
    asked(stage, "resume R-4", "R-5")
    assert seen(stage) == [("a", 1), ("b", 1)]
    in_order(stage)


# --- what the log remembers of halves

VERSION = "20260101000000"
STATEMENTS = (
    "insert into public.seen values ('a')",
    "insert into public.other select * from public.items",
    "create unique index concurrently u1 on public.items (name)",
)


class Past:
    """A log in which runs on one target ended so."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._numbers = count(1)

    def request(self, kind: str = "push", of: str | None = None) -> str:
        number = f"R-{next(self._numbers)}"
        data = {
            "kind": kind,
            "digest": "",
            "commit": "",
            "plan": {"of": of, "files": [{"version": VERSION}], "policy": {}},
            "hazards": [],
            "authors": [],
            "unknown_authors": [],
            "expires_at": "2026-11-23T00:00:00+00:00",
        }
        self.add(number, "requested", data)
        self.add(number, "started", {"digest": "", "attempt": 1, "runner": "", "facts": {}})
        return number

    def half(self, number: str, *outcomes: str, within: str = VERSION) -> None:
        statements = [
            {"index": index, "line": 1, "outcome": outcome, "words": words, "detail": ""}
            for index, (outcome, words) in enumerate(zip(outcomes, shapes(), strict=False))
        ]
        ending = {"reason": "", "message": "", "step": "migrate", "applied": [], "not_applied": [within]}
        self.add(number, "partially_applied", {**ending, "within": within, "statements": statements})

    def did(self, number: str, kind: str, version: str = VERSION) -> None:
        data = {"version": version, "name": "", "sha256": "", "catalog_sha256": "", "statements": 1, "seconds": 0.1}
        self.add(number, kind, data)
        self.add(number, "succeeded", {"applied": [version], "seconds": 0.1})

    def add(self, number: str, kind: str, data: dict[str, Any]) -> None:
        about = {"actor": "system:runner", "project": "shop", "environment": "dev", "request": number}
        self.log.append([Draft(kind=kind, stream=f"request:{number}", data=data, **about)])

    def says(self, *statements: str) -> str:
        """Why a push of a file with these statements would be refused; empty where it would not."""
        migration = read_migration("f.sql", VERSION, "f", ";\n".join(statements).encode())
        target: Any = SimpleNamespace(project="shop", environment="dev")
        return " ".join(one.message for one in half_done(Reader(self.log.path), target, [migration]))


def shapes() -> list[str]:
    return [*(one.replace("'a'", "?") for one in STATEMENTS)]


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    Log.create(tmp_path / "audit.db")
    with closing(Log.open(tmp_path / "audit.db")) as log:
        found = Past(log)
        found.half(found.request(), "done", "done", "rolled_back")
        yield found


def test_a_half_is_known_until_something_whole_was_done_about_it(past: Past) -> None:
    assert "half-way by R-1: its first 2 statements are there" in past.says(*STATEMENTS)
    past.half(past.request("cleanup"), "done", within="0")
    past.did(past.request("push"), "migration_applied", "20260102000000")
    past.add(past.request("resume", "R-1"), "failed", {"reason": "", "message": "", "step": "migrate"})
    assert "half-way by R-1" in past.says(*STATEMENTS)


def test_a_half_of_which_one_statement_was_edited_may_still_not_be_pushed(past: Past) -> None:
    assert "still stand in the file" in past.says("insert into public.seen values ('a') returning t", *STATEMENTS[1:])
    assert "still stand in the file" in past.says("select 1", *STATEMENTS)
    assert past.says(STATEMENTS[2]) == ""


def test_what_an_earlier_half_ran_counts_beside_a_later_one(past: Past) -> None:
    past.half(past.request(), "rolled_back", "rolled_back", "rolled_back")
    assert "half-way by R-1" in past.says(*STATEMENTS)


def test_a_half_that_ran_in_batches_may_not_run_at_once_without_its_mark(past: Past) -> None:
    number = past.request()
    batch = BatchIntent(VERSION, 1, "", "", "1", 1, "", 1, 1, 1, Place(), Place(), is_last=False)
    past.add(number, "batch_sent", batch.to_json())
    past.half(number, "failed")
    update = "update public.items set id = id + 1"
    assert f"half-way by {number}: batches of it are committed" in past.says(update)
    assert past.says(f"-- countersign: in batches\n{update}") == ""


@pytest.mark.parametrize(
    ("kind", "of", "event"),
    [
        ("push", None, "migration_applied"),
        ("rollback", "R-1", "script_run"),
        ("repair", None, "history_repaired"),
        ("record", None, "migration_applied"),
    ],
)
def test_what_is_whole_again_or_gone_may_be_pushed(past: Past, kind: str, of: str | None, event: str) -> None:
    past.did(past.request(kind, of), event)
    assert past.says(*STATEMENTS) == ""

"""kill -9 while a request of another kind than push is carried out: afterwards it is done once, or not, and told so."""

import json
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from chaos_terminal import Terminal
from chaos_terminal import desk_with
from run_support import session

from audit import Draft
from audit import Log
from audit import Reader
from audit import verify
from ops.blockers import pid_text
from ops.occupying import occupant_of
from ops.requests import find_request
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

FIRST, SECOND = "20260101000000_notes.sql", "20260102000000_more.sql"
OLD = ("20260101000000", ["old"])

POINTS = (
    "before started 1",
    "after started 1",
    "after step_started 3",
    "before statement_sent 1",
    "after statement_sent 1",
    "before commit_sent 1",
    "after commit_sent 1",
    "after history_repaired 1",
    "after statement_sent 2",
    "after commit_sent 2",
    "before succeeded 1",
)


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[tuple[Stage, Terminal]]:
    files = {
        f"supabase/migrations/{FIRST}": "create table public.notes (id int primary key);\nselect 1;\n",
        f"supabase/migrations/{SECOND}": "alter table public.notes add column body text;\n",
    }
    with desk_with(files, local_postgres) as desk:
        yield desk


@pytest.fixture
def fresh(desk: tuple[Stage, Terminal]) -> tuple[Stage, Terminal]:
    """A log without a request, and a history that has one row, which is not what the file says."""
    stage, _ = desk
    stage.sql("dev", "drop schema if exists supabase_migrations cascade; create schema supabase_migrations")
    stage.sql(
        "dev",
        "create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);"
        "insert into supabase_migrations.schema_migrations values ('20260101000000', array['old'], 'notes')",
    )
    for path in stage.log_path.parent.glob("audit.db*"):
        path.unlink()
    Log.create(stage.log_path)
    return desk


def rows(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.sql("dev", "select version, statements from supabase_migrations.schema_migrations order by 1")


def in_order(stage: Stage, terminal: Terminal) -> str:
    """What became of R-1, after a later terminal has taken up what was left."""
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    assert verify(stage.log_path).problems == []
    request = find_request(Reader(stage.log_path), "R-1")
    assert shown["status"] == request.status.value
    assert occupant_of(Reader(stage.log_path), "target:shop/dev") is None
    return str(shown["status"])


@pytest.mark.parametrize("point", POINTS)
def test_a_repair_that_is_killed_is_done_once_and_whole(fresh: tuple[Stage, Terminal], point: str) -> None:
    stage, terminal = fresh
    terminal("repair", "dev", "applied", "20260101000000", "20260102000000", "--json", crash=point)

    status = in_order(stage, terminal)

    before, after = (
        [OLD],
        [
            ("20260101000000", ["create table public.notes (id int primary key)", "select 1"]),
            ("20260102000000", ["alter table public.notes add column body text"]),
        ],
    )
    assert (status, rows(stage)) in [("succeeded", after), ("cancelled", before), ("waiting", before)]
    if point != "before started 1":
        assert status == "succeeded"


TERMINATED = ("after step_started 1", "after step_started 2", "before step_finished 2", "before succeeded 1")


@pytest.mark.parametrize("point", TERMINATED)
def test_a_termination_that_is_killed_ends_exactly_that_session(
    fresh: tuple[Stage, Terminal], point: str, ended: Callable[[int], bool]
) -> None:
    stage, terminal = fresh
    with session(stage, "dev", "psql") as blocker, session(stage, "dev", "psql") as bystander:
        for one in (blocker, bystander):
            one.execute("begin")
            one.execute("select 1")
        pid = blocker.info.backend_pid
        terminal("terminate", "dev", pid_text(pid), "--json", crash=point)
        status = in_order(stage, terminal)
        assert status == "succeeded"
        assert ended(pid)
        bystander.execute("select 1")


@pytest.mark.parametrize(
    ("point", "is_gone", "words"),
    [
        ("before step_started 2", False, "somebody asked it to stop"),
        ("before step_finished 2", True, "which has ended"),
    ],
)
def test_a_termination_that_somebody_stopped_is_not_carried_out_after_that(
    fresh: tuple[Stage, Terminal], ended: Callable[[int], bool], point: str, is_gone: bool, words: str
) -> None:
    stage, terminal = fresh
    with session(stage, "dev", "psql") as blocker:
        blocker.execute("begin")
        blocker.execute("select 1")
        pid = blocker.info.backend_pid
        terminal("terminate", "dev", pid_text(pid), "--json", crash=point)
        terminal("stop", "R-1", "do not", "--json")
        assert in_order(stage, terminal) == "failed"
        ending = find_request(Reader(stage.log_path), "R-1").ending
        assert ending["reason"] == "stopped"
        assert words in ending["message"]
        assert ended(pid) == is_gone


def test_a_stopped_run_of_which_all_is_there_does_not_go_on_while_its_target_is_locked(
    fresh: tuple[Stage, Terminal],
) -> None:
    stage, terminal = fresh
    terminal("repair", "dev", "applied", "20260101000000", "--json", crash="after history_repaired 1")
    locked = {"until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "because": ""}
    about = {"actor": "os:desk/ana", "project": "shop", "environment": "dev"}
    with closing(Log.open(stage.log_path)) as log:  # by a word, the terminal would take the run up before
        log.append([Draft(kind="locked", stream="target:shop/dev", data=locked, **about)])
    terminal("stop", "R-1", "--json")
    assert find_request(Reader(stage.log_path), "R-1").status.value == "running"
    with closing(Log.open(stage.log_path)) as log:
        log.append([Draft(kind="unlocked", stream="target:shop/dev", data={}, **about)])
    assert in_order(stage, terminal) == "succeeded"


@pytest.fixture
def ended(desk: tuple[Stage, Terminal]) -> Callable[[int], bool]:
    return lambda pid: desk[0].sql("dev", f"select count(*) from pg_stat_activity where pid = {pid}") == [(0,)]

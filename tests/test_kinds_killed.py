"""kill -9 while a request of another kind than push is carried out: afterwards it is done once, or not, and told so."""

import json
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from chaos_terminal import Terminal
from run_support import session

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

WHEN = ("before", "after")
POINTS = (
    "started 1",
    "step_started 1",
    "step_finished 1",
    "step_started 3",
    "statement_sent 1",
    "commit_sent 1",
    "history_repaired 1",
    "statement_sent 2",
    "commit_sent 2",
    "history_repaired 2",
    "succeeded 1",
)


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[tuple[Stage, Terminal]]:
    with Stage(empty=True, rate_limits=False, postgres=local_postgres) as stage:
        stage.commit(
            {
                f"supabase/migrations/{FIRST}": "create table public.notes (id int primary key);\nselect 1;\n",
                f"supabase/migrations/{SECOND}": "alter table public.notes add column body text;\n",
            },
            "Add two",
        )
        terminal = Terminal(stage)
        yield stage, terminal
        terminal.close()


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


@pytest.mark.parametrize("point", [f"{when} {what}" for what in POINTS for when in WHEN])
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
    if point not in {"before started 1"}:
        assert status == "succeeded"


TERMINATED = ("step_started 1", "step_finished 1", "step_started 2", "step_finished 2", "succeeded 1")


@pytest.mark.parametrize("point", [f"{when} {what}" for what in TERMINATED for when in WHEN])
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


@pytest.fixture
def ended(desk: tuple[Stage, Terminal]) -> Callable[[int], bool]:
    return lambda pid: desk[0].sql("dev", f"select count(*) from pg_stat_activity where pid = {pid}") == [(0,)]

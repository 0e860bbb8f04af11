"""Backfills from the terminal: killed anywhere, stopped, failed; taken up, resumed or asked for again, no row comes twice."""

import json
import signal
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing

import pytest
from chaos_terminal import Terminal
from chaos_terminal import desk_with
from chaos_terminal import emptied
from postgres_fixtures import open_folder
from processes import terminal as process_of
from run_support import disagreements
from run_support import push_json
from run_support import request_of
from run_support import session
from run_support import told
from run_support import until_event
from run_support import versions
from run_support import wait_for
from test_supabase_cli import CLI
from test_supabase_cli import ROWS
from test_supabase_cli import supabase

from audit import Draft
from audit import Log
from audit import Reader
from audit import verify
from ops.batch_log import begun
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

TABLE = """create table counted (id bigint primary key, n int not null default 0);
alter table counted enable row level security;
insert into counted select i from generate_series(1, 1000) as i;
"""
FILL = "-- countersign: in batches of 100 rows\nupdate counted set n = n + 1;\n"
AFTER = "create table after_it (i int);\nalter table after_it enable row level security;\n"
FILES = {
    "supabase/migrations/20260101000000_table.sql": TABLE,
    "supabase/migrations/20260102000000_fill.sql": FILL,
    "supabase/migrations/20260103000000_after.sql": AFTER,
}
SLOWLY = """create function slowly() returns trigger language plpgsql as
$$ begin if new.id = 350 then perform pg_sleep(20); end if; return new; end $$;
create trigger slowly before update on counted for each row execute function slowly();
"""
ASLEEP = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
ALL = ["20260101000000", "20260102000000", "20260103000000"]


def times(stage: Stage, database: str = "dev") -> dict[int, int]:
    """How many rows were met how often."""
    return dict(stage.sql(database, "select n, count(*) from counted group by n"))


# --- killed at every event


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[tuple[Stage, Terminal]]:
    """One stage for all points, with a terminal that dies on demand."""
    with desk_with(FILES, local_postgres) as desk:
        yield desk


@pytest.fixture
def fresh(desk: tuple[Stage, Terminal]) -> tuple[Stage, Terminal]:
    emptied(desk[0], "counted", "after_it")
    return desk


POINTS = (
    "before batch_sent 1",
    "after batch_sent 1",
    "before batch_sent 2",
    "after batch_sent 10",
    "before statement_finished 2",
    "after statement_finished 2",
    "after statement_sent 3",
    "after commit_sent 2",
    "after migration_applied 2",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_backfill_killed_here_goes_on_by_itself_and_meets_no_row_twice(
    fresh: tuple[Stage, Terminal], point: str
) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash=point)
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    assert shown["status"] == "succeeded", shown["ending"]
    assert times(stage) == {1: 1000}
    assert versions(stage, "dev") == ALL
    assert disagreements(stage) == []
    assert verify(stage.log_path).problems == []


def test_killed_three_times_it_is_a_persons_to_resume_and_still_nothing_comes_twice(
    fresh: tuple[Stage, Terminal],
) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash="after batch_sent 2")
    terminal("status", crash="before batch_sent 3")
    terminal("status", crash="after batch_sent 3")
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    assert (shown["status"], shown["ending"]["reason"]) == ("interrupted", "runner_died")
    there = times(stage)[1]
    assert set(times(stage)) == {0, 1}
    assert there % 100 == 0
    terminal("cancel", "R-1", "the machine had no memory left")
    resumed = json.loads(terminal("resume", "R-1", "--json")["out"])
    assert (resumed["request"], resumed["status"]) == ("R-2", "succeeded"), resumed
    assert times(stage) == {1: 1000}
    assert versions(stage, "dev") == ALL


def test_somebody_who_ran_it_meanwhile_leaves_it_to_a_person(fresh: tuple[Stage, Terminal]) -> None:
    """The history has the file, but not from us: what the rows are is not guessed."""
    stage, terminal = fresh
    terminal("push", "dev", crash="after batch_sent 2")
    stage.sql("dev", "insert into supabase_migrations.schema_migrations(version) values ('20260102000000')")
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    assert shown["status"] == "interrupted"
    assert set(times(stage)) == {0, 1}


# --- a process and a server that really die


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    made = make_stage(empty=True)
    made.commit(dict(list(FILES.items())[:1]), "Add a table")
    assert push_json(made)["status"] == "succeeded"
    made.commit(FILES, "Add a backfill")
    return made


def test_killed_inside_a_batch_it_goes_on_behind_the_one_before(stage: Stage) -> None:
    stage.sql("dev", SLOWLY.replace("pg_sleep(20)", "pg_sleep(2)"))
    process = process_of(stage, "push", "dev", "--json")
    wait_for(lambda: stage.sql("dev", ASLEEP))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert times(stage) == {0: 700, 1: 300}
    assert json.loads(stage.cli("show", "R-2", "--json").out)["status"] == "succeeded"
    assert times(stage) == {1: 1000}
    assert versions(stage, "dev") == ALL
    batches = [event.data["number"] for event in stage.events("batch_sent") if event.data]
    assert batches == list(range(1, len(batches) + 1))


def test_how_far_it_is_is_told_and_a_stop_says_what_stays_and_the_next_push_goes_on_behind_it(stage: Stage) -> None:
    stage.sql("dev", SLOWLY)
    process = process_of(stage, "push", "dev", "--json")
    wait_for(lambda: stage.sql("dev", ASLEEP))
    assert until_event(stage, "progressed", 1).data["said"].startswith("batch 1: 100 rows")
    assert stage.cli("stop", "R-2", "too slow").code == 0
    ending = told(process)
    assert ending["status"] == "partially_applied"
    there = times(stage)[1]
    assert 300 <= there < 350
    assert f" batches of this file ({there} rows) stay on the target." in request_of(stage, 2).ending["message"]

    stage.sql("dev", "drop trigger slowly on counted; drop function slowly()")
    assert push_json(stage)["status"] == "succeeded"
    assert times(stage) == {1: 1000}
    assert versions(stage, "dev") == ALL


def test_a_server_that_dies_inside_a_batch_has_the_batches_before_it(
    make_stage: Callable[..., Stage], own_postgres: LocalPostgres
) -> None:
    stage = make_stage(empty=True, postgres=own_postgres)
    stage.commit(dict(list(FILES.items())[:1]), "Add a table")
    assert push_json(stage)["status"] == "succeeded"
    stage.commit(FILES, "Add a backfill")
    stage.sql("dev", SLOWLY)
    process = process_of(stage, "push", "dev", "--json")
    wait_for(lambda: stage.sql("dev", ASLEEP))
    stage.postgres.kill()
    stage.postgres.start()
    assert told(process)["status"] == "partially_applied"
    assert 300 <= times(stage)[1] < 350
    stage.sql("dev", "drop trigger slowly on counted; drop function slowly()")
    assert push_json(stage)["status"] == "succeeded"
    assert times(stage) == {1: 1000}


@pytest.fixture
def own_postgres() -> Iterator[LocalPostgres]:
    """A server that may be killed."""
    with open_folder() as folder, LocalPostgres(folder / "cluster", fast=True) as server:
        yield server


def test_a_half_done_file_that_was_edited_is_not_gone_on_with(stage: Stage) -> None:
    stage.sql("dev", "alter table counted add constraint small check (n < 1 or id < 350)")
    assert push_json(stage)["status"] == "partially_applied"
    stage.sql("dev", "alter table counted drop constraint small")
    stage.migration("20260102000000_fill.sql", FILL.replace("+ 1", "+ 2"))
    again = push_json(stage)
    assert (again["status"], again["reason"]) == ("failed", "plan_blocked"), again
    assert "R-2 ran batches of it already" in request_of(stage, 3).ending["message"]
    assert set(times(stage)) == {0, 1}


def test_what_a_rollback_may_have_taken_back_is_not_gone_on_with(fresh: tuple[Stage, Terminal]) -> None:
    """Also one that failed its health check behind its work, and a restore of the target; any other request changes
    nothing about where the file stands."""
    stage, terminal = fresh
    terminal("push", "dev", crash="after batch_sent 2")

    def stands() -> tuple[int, bool | None, str | None] | None:
        found = begun(Reader(stage.log_path), project="shop", environment="dev", version="20260102000000")
        return (found.batch.number, found.committed, found.undone_by) if found else None

    assert stands() == (2, None, None)
    (asked,) = stage.events("requested")
    why = {"reason": "health_failed", "message": "", "step": "health"}
    told = {
        "succeeded": {"applied": [], "seconds": 0.1},
        "failed": why,
        "partially_applied": {**why, "applied": [], "not_applied": []},
    }
    with closing(Log.open(stage.log_path)) as log:
        for number, kind, of, end in (
            ("R-7", "rollback", None, "failed"),
            ("R-8", "push", None, "succeeded"),
            ("R-9", "rollback", "R-1", "partially_applied"),
        ):
            about = {"actor": "system:runner", "project": "shop", "environment": "dev", "request": number}
            data = {**(asked.data or {}), "kind": kind}
            data["plan"] = {**data["plan"], "of": of, "files": []}
            log.append([Draft(kind="requested", stream=f"request:{number}", data=data, **about)])
            log.append([Draft(kind=end, stream=f"request:{number}", data=told[end], **about)])
            assert stands() == (2, None, "R-9" if number == "R-9" else None)
        applied = {"version": "20260102000000", "name": "fill", "sha256": "", "catalog_sha256": "", "statements": 1}
        log.append([Draft(kind="migration_undone", stream="request:R-9", data={**applied, "seconds": 0.1}, **about)])
    assert stands() is None


# --- beside others


def test_a_rehearsal_runs_the_batches_on_its_copy_and_finds_a_table_without_a_key_before_a_row_does(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage(empty=True)
    keyless = TABLE.replace("counted", "keyless").replace("primary key", "")
    last = {
        "supabase/migrations/20260104000000_keyless.sql": keyless,
        "supabase/migrations/20260105000000_wrong.sql": FILL.replace("counted", "keyless"),
    }
    stage.commit({**FILES, **last}, "Add")
    planned = json.loads(stage.cli("plan", "dev", "--with-data", "--json", seconds=180).out)
    files = {one["filename"]: one for one in planned["rehearsal"]["files"]}
    assert files["20260102000000_fill.sql"]["outcome"] == "passed"
    (updated,) = files["20260102000000_fill.sql"]["statements"]
    assert [(one["relation"], one["updated"]) for one in updated["rows"]] == [("public.counted", 1000)]
    assert "public.keyless has no primary key" in json.dumps(files["20260105000000_wrong.sql"])
    pushed = push_json(stage)
    assert pushed["status"] == "partially_applied"
    assert request_of(stage).ending["reason"] == "plan_blocked"
    assert stage.sql("dev", "select sum(n) from keyless") == [(0,)]


@pytest.mark.skipif(not CLI, reason="the Supabase CLI is not here; .ci/run installs it")
def test_the_supabase_cli_runs_the_same_file_in_one_go(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(prod='approvals = 0\nbackup = "none"\n', empty=True)
    stage.commit(FILES, "Add a backfill")
    pushed = supabase(stage, "prod", "db", "push")
    assert pushed.returncode == 0, pushed.stderr
    assert push_json(stage)["status"] == "succeeded"
    assert times(stage, "prod") == times(stage, "dev") == {1: 1000}
    assert stage.sql("dev", ROWS) == stage.sql("prod", ROWS)
    rows = "select count(distinct xmin::text) from counted"
    assert (stage.sql("prod", rows), stage.sql("dev", rows)) == ([(1,)], [(10,)])


def test_two_who_push_at_once_meet_each_row_once(stage: Stage) -> None:
    """The second is given the request that runs, or finds nothing to do."""
    stage.sql("dev", SLOWLY.replace("pg_sleep(20)", "pg_sleep(1)"))
    first = process_of(stage, "push", "dev", "--json")
    until_event(stage, "batch_sent", 1)
    with session(stage, "dev") as somebody:
        somebody.execute("update counted set n = n where id = 990")
    second = push_json(stage)
    assert told(first)["status"] == "succeeded"
    assert second["request"] in {"R-2", None}
    assert times(stage) == {1: 1000}

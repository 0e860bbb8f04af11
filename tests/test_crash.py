"""kill -9 at any point: afterwards log, card and database agree, nothing ran twice, and what is unknown is called so."""

import json
import signal
from collections.abc import Callable
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime

import pytest
from chaos_terminal import Terminal
from chaos_terminal import desk_with
from chaos_terminal import emptied
from run_support import RAN
from run_support import approve
from run_support import ask
from run_support import at_start
from run_support import at_work
from run_support import card
from run_support import disagreements
from run_support import ended
from run_support import ran_once
from run_support import request_of
from run_support import session
from run_support import versions
from run_support import wait_for

from audit import Reader
from audit import verify
from ops.occupying import occupant_of
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

FILES = {
    "supabase/migrations/20260101000000_first.sql": RAN,
    "supabase/migrations/20260102000000_mixed.sql": "create table t (i int);\n"
    "create index concurrently t_i on t (i);\n" + ran_once("b"),
    "supabase/migrations/20260103000000_rows_only.sql": f"{ran_once('c')}\nvacuum ran;",
}


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[tuple[Stage, Terminal]]:
    """One stage with the three files above for all points, so that a point costs no start of Python."""
    with desk_with(FILES, local_postgres) as desk:
        yield desk


@pytest.fixture
def fresh(desk: tuple[Stage, Terminal]) -> tuple[Stage, Terminal]:
    emptied(desk[0], "ran", "t")
    return desk


def _status_after(stage: Stage, terminal: Terminal) -> str:
    """The status that a later terminal's `show` gives, which takes up what was left; everything agrees with it."""
    shown = json.loads(terminal("show", "R-1", "--json")["out"])
    assert disagreements(stage) == []
    assert verify(stage.log_path).problems == []
    status: str = shown["status"]
    assert status == request_of(stage).status.value
    return status


DONE = (
    "after started 1",
    "before history_prepared 1",
    "after step_finished 1",
    "after step_started 3",
    "after statement_sent 1",
    "after commit_sent 1",
    "before statement_finished 1",
    "after statement_finished 1",
    "after migration_applied 1",
    "after commit_sent 2",
    "before statement_finished 4",
    "after statement_sent 5",
    "before statement_finished 5",
    "before migration_applied 2",
    "after statement_finished 7",
    "before statement_finished 8",
    "after migration_applied 3",
    "after step_started 4",
    "before succeeded 1",
    "after succeeded 1",
)
HALF = (
    "before statement_finished 2",
    "after statement_sent 3",
    "before statement_finished 3",
    "after statement_sent 4",
    "after commit_sent 3",
    "before statement_finished 6",
    "after statement_finished 6",
)
UNKNOWN = ("after statement_sent 7", "before statement_finished 7")


@pytest.mark.parametrize("point", DONE)
def test_a_run_killed_here_is_taken_up_and_done(fresh: tuple[Stage, Terminal], point: str) -> None:
    """At the base plus whole files, nobody is needed: a later process goes on by itself."""
    stage, terminal = fresh
    terminal("push", "dev", crash=point)
    assert _status_after(stage, terminal) == "succeeded"
    assert stage.sql("dev", "select name from ran order by 1") == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize("point", HALF)
def test_a_run_killed_in_the_middle_of_a_file_stops_half_way(fresh: tuple[Stage, Terminal], point: str) -> None:
    """A file that is not one transaction is not begun again: what of it is there would be there twice."""
    stage, terminal = fresh
    terminal("push", "dev", crash=point)
    assert _status_after(stage, terminal) == "partially_applied"
    assert request_of(stage).ending["within"] == request_of(stage).ending["not_applied"][0]


@pytest.mark.parametrize("point", UNKNOWN)
def test_a_run_killed_around_a_statement_without_a_trace_waits_for_a_person(
    fresh: tuple[Stage, Terminal], point: str
) -> None:
    """Nobody can tell from outside whether VACUUM ran, so nobody says so; the target stays blocked."""
    stage, terminal = fresh
    terminal("push", "dev", crash=point)
    assert _status_after(stage, terminal) == "interrupted"
    refused = json.loads(terminal("push", "dev", "--json")["out"])
    assert (refused["status"], refused["reason"]) == ("refused", "plan_blocked")
    occupant = occupant_of(Reader(stage.log_path), "target:shop/dev")
    assert occupant is not None
    assert occupant.blocked


def test_before_the_claim_nothing_was_done_and_the_next_push_goes_on(fresh: tuple[Stage, Terminal]) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash="after requested 1")
    assert _status_after(stage, terminal) == "waiting"
    again = json.loads(terminal("push", "dev", "--json")["out"])
    assert (again["request"], again["status"]) == ("R-1", "succeeded")


def test_taking_up_may_be_killed_too(fresh: tuple[Stage, Terminal]) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash="before statement_finished 1")
    terminal("status", crash="before resumed 1")
    terminal("status", crash="after commit_sent 1")
    assert _status_after(stage, terminal) == "succeeded"
    assert request_of(stage).attempts == 3


def test_a_run_that_dies_three_times_is_left_to_a_person(fresh: tuple[Stage, Terminal]) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash="after migration_applied 1")
    terminal("status", crash="after resumed 1")
    terminal("status", crash="after resumed 1")
    assert _status_after(stage, terminal) == "interrupted"
    assert "its runner died 3 times" in request_of(stage).ending["message"]
    assert (request_of(stage).ending["reason"], request_of(stage).ending["unknown"]) == ("runner_died", [])
    assert versions(stage, "dev") == ["20260101000000"]
    blocked = json.loads(terminal("push", "dev", "--json")["out"])
    assert (blocked["status"], blocked["reason"]) == ("busy", "target_blocked")
    assert "1 of 3 migrations" in terminal("show", "R-1")["out"]
    terminal("cancel", "R-1", "the machine had no memory left")
    again = json.loads(terminal("push", "dev", "--json")["out"])
    assert (again["request"], again["status"]) == ("R-3", "succeeded")


def test_after_its_time_a_run_is_not_taken_up(fresh: tuple[Stage, Terminal]) -> None:
    stage, terminal = fresh
    before = stage.config.read_text()
    stage.config.write_text(before.replace("approvals = 0", 'approvals = 0\nexpires = "1s"'))
    try:
        terminal("push", "dev", crash="after migration_applied 1")
    finally:
        stage.config.write_text(before)
    wait_for(lambda: datetime.now(UTC) > request_of(stage).expires_at)
    assert _status_after(stage, terminal) == "partially_applied"
    assert "its time ran out" in request_of(stage).ending["message"]


def test_somebody_else_at_work_meanwhile_ends_the_run(fresh: tuple[Stage, Terminal]) -> None:
    stage, terminal = fresh
    terminal("push", "dev", crash="after migration_applied 1")
    stage.sql("dev", "alter table ran add column who text")
    assert _status_after(stage, terminal) == "partially_applied"
    assert "schema is not what the plan left" in request_of(stage).ending["message"]


def test_a_run_is_not_taken_up_on_another_database(fresh: tuple[Stage, Terminal]) -> None:
    """The same history and the same schema, but it is not the database of the plan."""
    stage, terminal = fresh
    terminal("push", "dev", crash="after step_finished 1")
    url = stage.environment["SHOP_DEV_DATABASE_URL"]
    moved = Terminal(_pointed_elsewhere(stage))
    try:
        shown = json.loads(moved("show", "R-1", "--json")["out"])
    finally:
        stage.environment["SHOP_DEV_DATABASE_URL"] = url
        moved.close()
    assert shown["status"] == "failed"
    assert "not the one of the plan (database)" in shown["ending"]["message"]
    assert versions(stage, "prod") == versions(stage, "dev") == []


def _pointed_elsewhere(stage: Stage) -> Stage:
    stage.environment["SHOP_DEV_DATABASE_URL"] = stage.environment["SHOP_PROD_DATABASE_URL"]
    return stage


def test_what_is_done_of_a_file_does_not_run_again_after_a_wait_for_a_lock(
    make_stage: Callable[..., Stage],
) -> None:
    """Rows leave no mark in the schema, and the last try was rolled back; the first part must not be believed undone."""
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", RAN + "create table held (i int);")
    stage.migration("20260102000000_rows.sql", f"{ran_once('b')}\nvacuum ran;\nalter table held add column j int;")
    terminal = Terminal(stage)
    with session(stage, "dev") as somebody:
        # the first file makes the table, so the lock is taken when that is there
        terminal("push", "dev", crash="before statement_sent 2")
        stage.sql("dev", "select 1 from held")
        with somebody.transaction():
            somebody.execute("lock table held in access share mode")
            terminal("status", crash="after lock_waited 1")
    assert _status_after(stage, terminal) == "partially_applied"
    assert stage.sql("dev", "select name from ran order by 1") == [("a",), ("b",)]
    terminal.close()


def test_the_first_baseline_counts_however_often_a_run_is_taken_up(make_stage: Callable[..., Stage]) -> None:
    """A check that a file of the run broke before the crash did not fail already."""
    stage = make_stage(empty=True)
    check = (
        '[[projects.shop.environments.dev.health]]\nname = "few tables"\nsql = "select to_regclass(\'ran\') is null"\n'
    )
    stage.config.write_text(stage.config.read_text() + check)
    stage.migration("20260101000000_first.sql", RAN)
    terminal = Terminal(stage)
    terminal("push", "dev", crash="after migration_applied 1")
    assert _status_after(stage, terminal) == "partially_applied"
    assert request_of(stage).ending["reason"] == "health_failed"
    terminal.close()


@pytest.mark.parametrize("point", ["after step_started 2", "before backup_proven 1", "after commit_sent 2"])
def test_a_bot_killed_here_carries_on_when_it_is_back(make_stage: Callable[..., Stage], point: str) -> None:
    """In the backup, between the backup and its record, before a COMMIT; the card tells what the log tells."""
    stage = make_stage()
    at_start(stage, "import chaos", f"chaos.crash_at({point!r})")
    stage.start_bot()
    ask(stage)
    approve(stage)
    assert stage.bot is not None
    assert stage.bot.wait(timeout=30) == -9
    at_start(stage)

    stage.start_bot()
    assert ended(stage).status.value == "succeeded"
    done = card(stage, "R-1 · shop/prod: done")
    assert "[broken off]" not in done
    for said in (done, stage.cli("show", "R-1").out):
        assert "2; the first runner died, it was taken up where it stood" in " ".join(said.split())
    assert disagreements(stage, "prod") == []
    assert len(stage.events("backup_proven")) == 1
    assert stage.cli("audit", "verify").code == 0


def test_an_interrupted_run_is_settled_by_a_person_and_what_is_left_runs(make_stage: Callable[..., Stage]) -> None:
    """Killed while an index is built: it is INVALID then, neither done nor undone."""
    stage = make_stage(prod='approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\n', empty=True)
    stage.sql("prod", "create table big (i int)")
    stage.migration("20260101000000_first.sql", RAN)
    stage.migration("20260102000000_index.sql", "create index concurrently big_i on big (i);")
    stage.start_bot()
    ask(stage)
    with session(stage, "prod") as writer, writer.transaction():
        writer.execute("insert into big values (1)")
        approve(stage)
        building = at_work(stage, "prod", "create index concurrently")
        wait_for(building, 30)
        stage.stop_bot(signal.SIGKILL)
        wait_for(lambda: not building())  # the server notices the dead client; left alone it would finish the index
    stage.start_bot()

    assert ended(stage, seconds=90).status.value == "interrupted"
    told = card(stage, "interrupted, a person must decide")
    assert "is INVALID" in told
    assert "cancel R-1 <what you found>" in told
    assert disagreements(stage, "prod") == []

    blocked = stage.slack.say("U0ANA", "/migrate push prod")
    assert blocked.says("R-2")
    stage.sql("prod", "drop index big_i")
    assert stage.slack.say("U0ANA", "/migrate cancel R-1 the index was invalid, I dropped it").says("requested R-1")
    assert stage.slack.say("U0BEN", "/migrate cancel R-1").says("say what you found")
    assert stage.slack.say("U0BEN", "/migrate cancel R-1 the index was invalid, I dropped it").says("is settled")
    assert "Settled by: @Ben" in card(stage, "settled by a person")
    shown = stage.cli("show", "R-1", "--json").json
    assert (shown["status"], shown["settled"]["versions"]) == ("interrupted", ["20260101000000"])
    assert stage.slack.say("U0BEN", "/migrate cancel R-1 once more").says("was settled at")

    ask(stage, 3)
    approve(stage, 3)
    assert ended(stage, 3).status.value == "succeeded"
    assert disagreements(stage, "prod", 3) == []
    assert stage.sql("prod", "select indisvalid from pg_index where indexrelid = 'big_i'::regclass") == [(True,)]

"""Two at work on one target at once: two bots, a bot and the real Supabase CLI, a bot and somebody at psql."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from people_talk import card
from run_support import NO_BACKUP
from run_support import RAN
from run_support import approve
from run_support import ask
from run_support import at_start
from run_support import at_work
from run_support import disagreements
from run_support import ended
from run_support import ran_once
from run_support import request_of
from run_support import session
from run_support import slow
from run_support import until_event
from run_support import versions
from run_support import wait_for

from ops.status import Status
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]
CLI = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")

FILES: dict[str, str | bytes] = {
    "supabase/migrations/20260101000000_first.sql": RAN,
    "supabase/migrations/20260102000000_slow.sql": slow(0.5),
    "supabase/migrations/20260103000000_index.sql": f"create table t (i int);\n{ran_once('c')}",
    "supabase/migrations/20260104000000_last.sql": slow(0.3).replace("'slow'", "'d'"),
}
LOCKS = (
    "select 1 from pg_locks join pg_database as d on d.oid = database "
    "where locktype = 'advisory' and datname = current_database()"
)
VERSIONS = [f"2026010{number}000000" for number in range(1, 5)]
TRACES = {"a": 1, "slow": 1, "c": 1, "d": 1}


def _bot_on(stage: Stage) -> Stage:
    stage.commit(FILES, "Add four")
    at_start(stage, "import ops.foreman", "ops.foreman.PAUSE_SECONDS = 0.5")
    stage.start_bot()
    return stage


def _traces(stage: Stage) -> dict[str, int]:
    return dict(Counter(row[0] for row in stage.sql("prod", "select name from ran")))


def test_two_bots_that_do_not_know_of_each_other_run_a_plan_once(make_stage: MakeStage) -> None:
    """Each with a log of its own: the target's locks and its history are all that they share."""
    one = make_stage(prod=NO_BACKUP, empty=True)
    other = make_stage(prod=NO_BACKUP, empty=True)
    its_own = other.databases["prod"]
    other.environment["SHOP_PROD_DATABASE_URL"] = one.environment["SHOP_PROD_DATABASE_URL"]
    other.databases["prod"] = one.databases["prod"]
    try:
        for stage in (one, other):
            ask(_bot_on(stage))
        for stage in (one, other):
            approve(stage)
        found = [ended(stage) for stage in (one, other)]
    finally:
        other.stop_bot(signal.SIGKILL)
        other.databases["prod"] = its_own

    assert sorted(request.status for request in found) == [Status.SUCCEEDED, Status.SUPERSEDED]
    assert _traces(one) == TRACES
    assert versions(one, "prod") == VERSIONS
    assert one.sql("prod", f"select count(*) from ({LOCKS}) as held") == [(0,)]


def test_a_second_bot_on_the_same_log_waits_and_takes_up_what_the_first_left(make_stage: MakeStage) -> None:
    stage = _bot_on(make_stage(prod=NO_BACKUP, empty=True))
    first = stage.bot
    assert first is not None
    stage.launch_bot()
    wait_for(lambda: "log_is_busy waiting=true" in stage.bot_log.read_text())
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    assert ended(stage).status is Status.SUCCEEDED
    assert "2; the first runner died" in " ".join(card(stage, "R-1 · shop/prod: done").split())
    assert _traces(stage) == TRACES
    assert disagreements(stage, "prod") == []


@pytest.mark.skipif(not CLI or not Path(CLI).exists(), reason="the Supabase CLI is not here; .ci/run installs it")
@pytest.mark.parametrize("begins", ["with it", "in its second file"])
def test_the_real_cli_pushes_at_the_same_time_and_nothing_runs_twice(make_stage: MakeStage, begins: str) -> None:
    stage = _bot_on(make_stage(prod=NO_BACKUP, empty=True))
    ask(stage)
    if begins == "with it":
        cli = _supabase_push(stage)
        approve(stage)
    else:
        approve(stage)
        wait_for(at_work(stage, "prod", "pg_sleep"))
        cli = _supabase_push(stage)
    request = ended(stage)
    said = cli.communicate(timeout=60)

    there = versions(stage, "prod")
    assert there == VERSIONS[: len(there)]
    assert set(_traces(stage).values()) == {1}, (_traces(stage), said)
    assert len(_traces(stage)) == len(there)
    assert list(request.applied) == [one for one in there if one in request.applied]
    if cli.returncode == 0 or request.status is Status.SUCCEEDED:
        assert there == VERSIONS
    if request.status is not Status.SUCCEEDED:
        assert request.ending["message"]
        assert request.status in {Status.SUPERSEDED, Status.PARTIALLY_APPLIED, Status.FAILED}


def _supabase_push(stage: Stage) -> "subprocess.Popen[str]":
    environment = {**stage.environment, "SUPABASE_YES": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
    return subprocess.Popen(
        [CLI, "db", "push", "--db-url", stage.postgres.url(stage.databases["prod"])],
        cwd=stage.repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_somebody_at_psql_applies_a_file_by_hand_meanwhile_and_it_does_not_run_again(make_stage: MakeStage) -> None:
    stage = _bot_on(make_stage(prod=NO_BACKUP, empty=True))
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    with session(stage, "prod", "psql") as psql:
        # Waits until the file that runs has ended: that one holds the history.
        psql.execute("insert into supabase_migrations.schema_migrations (version) values ('20260104000000')")

    request = ended(stage)
    assert request.status is Status.PARTIALLY_APPLIED
    assert request.ending["reason"] == "plan_changed"
    assert "20260104000000 was added" in request.ending["message"]
    assert list(request.applied) == VERSIONS[: len(request.applied)]
    assert "d" not in _traces(stage)
    assert set(_traces(stage).values()) == {1}


def test_somebody_at_psql_changes_the_schema_meanwhile_and_a_dead_run_is_not_taken_up(make_stage: MakeStage) -> None:
    stage = _bot_on(make_stage(prod=NO_BACKUP, empty=True))
    ask(stage)
    approve(stage)
    until_event(stage, "migration_applied")
    stage.stop_bot(signal.SIGKILL)
    stage.sql("prod", "create table by_hand (i int)")
    stage.start_bot()

    request = ended(stage)
    assert request.status is Status.PARTIALLY_APPLIED
    assert "schema is not what the plan left" in request.ending["message"]
    assert disagreements(stage, "prod") == []
    assert request_of(stage).attempts == 1


def test_a_request_made_while_a_run_was_still_well_does_not_run_again_what_that_one_left(make_stage: MakeStage) -> None:
    """Neither the history nor the schema tells that rows of a half-done file are there; the log does."""
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.sql("prod", "create table ran (name text)")
    fails = "do $$ begin perform pg_sleep(8); raise 'no'; end $$;"
    stage.migration("20260101000000_half.sql", f"-- pg-delta: transaction=false\n{ran_once('a')}\n{fails}")
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    stage.migration("20260102000000_more.sql", ran_once("b"))
    ask(stage, 2)
    assert ended(stage).status is Status.PARTIALLY_APPLIED

    card(stage, "this changed: what is on the target of its files, of which R-1 left a part")
    assert request_of(stage, 2).status is Status.SUPERSEDED
    assert _traces(stage) == {"a": 1}

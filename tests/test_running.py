"""A run as people meet it: what changed since the approval, who is in the way, and many files at once."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run_support import FIRST
from run_support import NO_BACKUP
from run_support import RAN
from run_support import SLOW
from run_support import approve
from run_support import ask
from run_support import at_start
from run_support import at_work
from run_support import card
from run_support import disagreements
from run_support import ended
from run_support import push_json
from run_support import pushing
from run_support import ran_once
from run_support import request_of
from run_support import session
from run_support import slow
from run_support import told
from run_support import until_event
from run_support import use_tools
from run_support import wait_for

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param("create table public.by_hand (i int)", "the target's schema", id="schema"),
        pytest.param(
            "insert into supabase_migrations.schema_migrations (version, name) values ('20991231235959', 'by_hand')",
            "the target's migration history",
            id="history",
        ),
    ],
)
def test_a_change_of_the_target_during_the_backup_supersedes_the_request(
    make_stage: MakeStage, tmp_path: Path, change: str, part: str
) -> None:
    """The last look comes after the backup, which may have taken an hour."""
    stage = make_stage()
    go = tmp_path / "go"
    use_tools(stage, tmp_path / "bin", pg_dump=f'[ "$1" = --version ] || while [ ! -e {go} ]; do sleep 0.1; done')
    stage.start_bot()
    ask(stage)
    approve(stage)
    until_event(stage, "step_started", 2)
    time.sleep(1)  # the snapshot is taken, and pg_dump waits
    stage.sql("prod", change)
    go.touch()

    request = ended(stage)
    assert request.status.value == "superseded"
    assert request.ending["changed"] == [part]
    assert part in card(stage, "R-1 · shop/prod: no longer holds")
    assert request.applied == ()
    assert stage.events("statement_sent") == []
    assert len(stage.events("backup_proven")) == 1
    assert stage.slack.say("U0ANA", "/migrate status prod").says("Nothing waits")


def test_a_change_while_it_waited_for_approval_is_found_before_the_backup(make_stage: MakeStage) -> None:
    """Approve computes the plan again, so the change comes between that and the run: the target is held meanwhile."""
    stage = make_stage(prod=NO_BACKUP)
    at_start(stage, "import ops.foreman", "ops.foreman.PAUSE_SECONDS = 2.0")
    stage.start_bot()
    ask(stage)
    with session(stage, "prod") as other:
        other.execute("select pg_advisory_lock(-3850806289710898451)")  # GUARD_KEY: another installation is at work
        approve(stage)
        wait_for(lambda: "request_paused request=R-1 reason=target_busy" in stage.bot_log.read_text())
        stage.sql("prod", "create table public.by_hand (i int)")
    request = ended(stage)
    assert (request.status.value, request.ending["changed"]) == ("superseded", ["the target's schema"])
    assert stage.events("statement_sent", "backup_proven") == []


def test_a_plan_for_one_database_runs_on_no_other(make_stage: MakeStage) -> None:
    """The configuration points elsewhere when the bot comes back: another server, the same schema and history."""
    stage = make_stage(prod=NO_BACKUP)
    stage.start_bot()
    ask(stage)
    stage.stop_bot()
    stage.environment["SHOP_PROD_DATABASE_URL"] = stage.environment["SHOP_DEV_DATABASE_URL"]
    stage.start_bot()
    answer = stage.slack.click("U0BEN", "Approve", about="R-1")
    assert answer.says("the target's identity", 20)
    assert request_of(stage).status.value == "superseded"


def test_two_installations_on_one_target_do_not_run_at_once(
    make_stage: MakeStage, local_postgres: LocalPostgres
) -> None:
    """Each has a log of its own, so only the lock on the target itself keeps them apart."""
    one = make_stage(empty=True)
    other = make_stage(empty=True)
    for stage in (one, other):
        stage.migration(FIRST, RAN + slow(10))
    other.environment["SHOP_DEV_DATABASE_URL"] = one.environment["SHOP_DEV_DATABASE_URL"]
    with pushing(one) as first:
        wait_for(at_work(one, "dev", "pg_sleep"))
        busy = push_json(other)
        assert (busy["code"], busy["status"], busy["reason"]) == (5, "busy", "target_busy")
        assert "countersign guard R-1" in busy["message"]
        assert told(first)["status"] == "succeeded"
    assert request_of(other).status.value == "cancelled"
    assert disagreements(one) == []


def test_two_pushes_at_once_on_one_target_run_once(small: Stage) -> None:
    small.migration(SLOW, slow(10))
    with pushing(small) as first:
        wait_for(at_work(small, "dev", "pg_sleep"))
        second = push_json(small)
        assert (second["code"], second["status"]) == (5, "busy")
        assert told(first)["status"] == "succeeded"
    assert [event.request for event in small.events("started")] == ["R-1", "R-1"]
    assert disagreements(small) == []


def test_a_run_of_the_terminal_through_the_bot_is_not_taken_up_beside_it(small: Stage) -> None:
    """The bot's own look-out must not think that a run in one of its threads has lost its runner."""
    small.migration(SLOW, slow(2))
    small.start_bot()
    with pushing(small) as process:
        assert told(process)["status"] == "succeeded"
    time.sleep(1.5)  # the look-out looks every second
    assert [event.kind for event in small.events("resumed", "failed", "partially_applied")] == []
    assert [event.kind for event in small.events("succeeded")] == ["succeeded", "succeeded"]
    assert disagreements(small) == []


def test_three_thousand_files_are_planned_asked_for_and_shown(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    number = 3000
    files: dict[str, str | bytes] = {
        f"supabase/migrations/{20260101000000 + i}_add_number_{i}.sql": f"select {i};" for i in range(number)
    }
    stage.commit(files, "Add many")
    plan = stage.cli("plan", "dev", "--json").json
    assert len(plan["pending"]) == number
    asked = stage.cli("push", "prod", "--json").json
    assert (asked["request"], asked["status"]) == ("R-1", "waiting")
    assert len(request_of(stage).files) == number
    assert "3,000 migrations" in stage.cli("show", "R-1").out


def test_many_small_migrations_run_in_time_and_say_how_far_they_are(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    files = {f"supabase/migrations/{20260101000001 + i}_row_{i}.sql": ran_once(str(i)) for i in range(150)}
    stage.commit({f"supabase/migrations/{FIRST}": RAN, **files}, "Add many")
    stage.start_bot()
    ask(stage)
    began = time.monotonic()
    approve(stage)
    card(stage, ": running")
    assert ended(stage, seconds=60).status.value == "succeeded"
    assert time.monotonic() - began < 40
    assert disagreements(stage, "prod") == []

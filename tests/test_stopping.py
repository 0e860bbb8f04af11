"""Stopping a run: before a file, in a statement, in the backup; twice, too late, by whom; and across kill -9."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import GUS
from people_talk import OTTO
from people_talk import in_order
from people_talk import refusals
from people_talk import told
from run_support import FIRST
from run_support import NO_BACKUP
from run_support import RAN
from run_support import SLOW
from run_support import approve
from run_support import ask
from run_support import at_start
from run_support import at_work
from run_support import card
from run_support import cards
from run_support import disagreements
from run_support import ended
from run_support import push_json
from run_support import pushing
from run_support import ran_once
from run_support import request_of
from run_support import session
from run_support import slow
from run_support import told as told_at_terminal
from run_support import until_event
from run_support import use_tools
from run_support import versions
from run_support import wait_for

from ops.status import Status
from sandbox.slack_answer import until
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]

THIRD = "20260103000000_third.sql"


def at_work_on(make_stage: MakeStage, sql: str = slow(60), **settings: Any) -> Stage:
    """R-1 by Ana runs on prod: its first file is applied, its second has begun, a third is to come."""
    stage = make_stage(prod=NO_BACKUP, empty=True, **settings)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, sql)
    stage.migration(THIRD, ran_once("third"))
    stage.start_bot()
    ask(stage)
    approve(stage)
    return stage


def when_stopped(step: str) -> list[str]:
    """Lines of Python that have a run wait before this step until somebody says stop; not for ever."""
    return [
        "import time, ops.push_steps",
        f"step = ops.push_steps.{step}",
        "def waiting(recorder, *rest):",
        "    end = time.monotonic() + 30",
        "    while not recorder.stop() and time.monotonic() < end:",
        "        time.sleep(0.05)",
        "    return step(recorder, *rest)",
        f"ops.push_steps.{step} = waiting",
    ]


STUBBORN = "do $$ begin perform pg_sleep(60); exception when query_canceled then null; end $$;"
"""Takes a cancel as its end, and goes on."""


def test_a_statement_under_way_is_cancelled_and_rolled_back(make_stage: MakeStage) -> None:
    stage = at_work_on(make_stage, f"create table half (i int);\n{slow(60)}")
    wait_for(at_work(stage, "prod", "pg_sleep"))

    answer = told(stage.slack.say(ANA, "/migrate stop R-1 the site is slow"))

    assert "R-1 is stopped, with 1 of 3 migrations applied" in answer
    assert "the statement at line 2 was cancelled on the server. Nothing of this file remains on the target." in answer
    assert "/migrate resume R-1 runs only what is left; /migrate rollback R-1 shows the ways back" in answer
    request = ended(stage)
    assert request.status is Status.PARTIALLY_APPLIED
    assert request.ending["reason"] == "stopped"
    assert request.ending["stopped_by"] == "slack:T0ACME/U0ANA"
    assert request.ending["message"].startswith("Stopped by slack:T0ACME/U0ANA: the site is slow. ")
    assert request.ending["not_applied"] == ["20260102000000", "20260103000000"]
    assert stage.sql("prod", "select to_regclass('half') is null") == [(True,)]
    assert versions(stage, "prod") == ["20260101000000"]
    assert disagreements(stage, "prod") == []
    wait_for(lambda: not at_work(stage, "prod", "pg_sleep")())
    in_order(stage)


def test_what_a_person_stopped_is_nowhere_said_to_have_failed(make_stage: MakeStage) -> None:
    stage = at_work_on(make_stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    told(stage.slack.say(ANA, "/migrate stop R-1 enough"))

    shown = card(stage, "R-1 · shop/prod: stopped, 1 of 3 applied")
    assert "stopped  migrate: 1 of 3 migrations applied" in shown
    everything = stage.cli("show", "R-1").out
    late = told(stage.slack.say(BEN, "/migrate reject R-1 too late"))
    assert "R-1 was stopped at 20" in late
    assert "stopped, 1 of 3 applied" in stage.cli("history").out
    note = "R-1: stopped, 1 of 3 applied"
    until(lambda: note in cards(stage), 20)
    assert note in cards(stage), stage.bot_log.read_text()[-3000:]
    for said in (shown, everything, late, stage.cli("history").out, cards(stage)):
        assert not re.search(r"\bfailed\b|half-way", said), said


def test_the_wish_is_in_the_log_before_anything_is_cancelled(make_stage: MakeStage) -> None:
    stage = at_work_on(make_stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    told(stage.slack.say(ANA, "/migrate stop R-1"))
    kinds = [one.kind for one in stage.events() if one.stream == "request:R-1"]
    after = kinds[kinds.index("stop_asked") :]
    assert after == ["stop_asked", "statement_finished", "step_failed", "partially_applied"]
    assert (until_event(stage, "stop_asked").data or {}) == {"because": ""}


def test_the_cards_button_stops_the_run_and_goes(make_stage: MakeStage) -> None:
    stage = at_work_on(make_stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    card(stage, "[Stop")
    answer = told(stage.slack.click(ANA, "Stop", about="R-1"))
    assert "R-1 is stopped, with 1 of 3 migrations applied" in answer
    assert ended(stage).ending["stopped_by"] == "slack:T0ACME/U0ANA"
    wait_for(lambda: "[Stop" not in card(stage, "R-1 · "))
    in_order(stage)


def test_between_two_files_the_next_one_is_not_begun(make_stage: MakeStage) -> None:
    """A file whose statements are all there gets its row first: else the next push would run it a second time."""
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, "-- pg-delta: transaction=false\n" + ran_once("slow") + STUBBORN)
    stage.migration(THIRD, ran_once("third"))
    with pushing(stage) as process:
        wait_for(at_work(stage, "dev", "pg_sleep"))
        said = stage.cli("stop", "R-1", "enough", "--json")
        after = told_at_terminal(process)
    assert (said.code, said.json["ok"]) == (0, True)
    assert (after["status"], after["reason"], process.returncode) == ("partially_applied", "stopped", 1)
    assert (
        "R-1 was stopped before 20260103000000_third.sql, file 3 of 3. The 2 before it stay applied."
        in after["message"]
    )
    assert versions(stage, "dev") == ["20260101000000", "20260102000000"]
    assert disagreements(stage) == []


def test_before_its_first_file_nothing_of_a_run_remains(make_stage: MakeStage) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    at_start(stage, *when_stopped("backup"))
    with pushing(stage) as process:
        until_event(stage, "step_finished")
        assert stage.cli("stop", "R-1", "--json").code == 0
        after = told_at_terminal(process)
    assert (after["status"], after["reason"]) == ("failed", "stopped")
    assert "R-1 was stopped before 20260101000000_first.sql, file 1 of 1. Nothing was run." in after["message"]
    assert disagreements(stage) == []
    at_start(stage)
    assert push_json(stage)["status"] == "succeeded"


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore"])
def test_a_backup_is_ended_and_nothing_of_it_is_kept(make_stage: MakeStage, tmp_path: Path, program: str) -> None:
    rules = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "restored"\n'
    stage = make_stage(prod=rules, empty=True)
    stage.migration(FIRST, RAN)
    mark = tmp_path / "pid"
    is_real = 'case "$*" in *--version*) ;; *)'
    use_tools(stage, tmp_path / "bin", **{program: f'{is_real} echo $$ > "{mark}"; exec sleep 300;; esac'})
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(mark.exists)
    wait_for(mark.read_text)

    answer = told(stage.slack.say(ANA, "/migrate stop R-1"))

    assert "R-1 is stopped. Nothing of it remains on shop/prod." in answer
    assert "stopped in the backup, before the first statement. Nothing was run." in answer
    assert "to run it after all, ask again with" in answer
    assert ended(stage).status is Status.FAILED
    assert stage.events("backup_proven", "statement_sent") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert list((stage.folder / "var/backups").iterdir()) == []
    assert disagreements(stage, "prod") == []


def test_a_concurrent_build_that_is_cancelled_is_told_as_it_is(make_stage: MakeStage) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, "create index concurrently big_i on big (i);")
    stage.sql("dev", "create table public.big (i int)")
    with session(stage, "dev") as somebody, pushing(stage) as process:
        somebody.execute("begin; insert into big values (1)")
        wait_for(lambda: stage.sql("dev", "select to_regclass('big_i') is not null")[0][0])
        assert stage.cli("stop", "R-1", "--json").code == 0
        after = told_at_terminal(process)
        somebody.execute("rollback")
    assert (after["status"], after["reason"]) == ("partially_applied", "stopped")
    assert "Index public.big_i is INVALID" in after["message"]
    assert after["hint"] == "Drop it first: DROP INDEX CONCURRENTLY public.big_i."
    assert request_of(stage).ending["within"] == "20260102000000"
    stage.sql("dev", "drop index big_i")
    assert push_json(stage)["status"] == "succeeded"


def test_a_second_stop_is_answered_and_not_recorded_again(make_stage: MakeStage) -> None:
    held = "while exists (select from hold) loop begin perform pg_sleep(0.1); exception when query_canceled then null;"
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.sql("prod", "create table hold as select 1")
    stage.migration(FIRST, f"{RAN}\ndo $$ begin {held} end; end loop; end $$;")
    at_start(stage, "import ops.stopping", "ops.stopping.WAIT_SECONDS = 1.0")
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))

    first = told(stage.slack.say(ANA, "/migrate stop R-1"))
    second = told(stage.slack.say(DEE, "/migrate stop R-1 me too"))

    assert "R-1 is told to stop, and still ends what cannot be cut short" in first
    assert "told to stop already" not in first
    assert "It was told to stop already, by @Ana" in second
    stage.sql("prod", "delete from hold")
    assert ended(stage).ending["stopped_by"] == "slack:T0ACME/U0ANA"
    assert len(stage.events("stop_asked")) == 1
    assert refusals(stage) == []
    assert "There is nothing to stop any more: R-1 was stopped at" in told(stage.slack.say(BEN, "/migrate stop R-1"))
    assert refusals(stage) == ["not_running"]
    in_order(stage)


def test_who_may_not_push_there_may_not_stop(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP + 'requesters = ["U0ANA"]\n', empty=True)
    stage.migration(FIRST, RAN + slow(60))
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    assert "you are a guest" in told(stage.slack.say(GUS, "/migrate stop R-1", forged=True))
    assert "you belong to another workspace" in told(stage.slack.say(OTTO, "/migrate stop R-1", forged=True))
    assert "You may not request anything on shop/prod." in told(stage.slack.say(DEE, "/migrate stop R-1"))
    assert "You may not request anything on shop/prod." in told(stage.slack.say(BEN, "/migrate stop R-1"))
    assert stage.events("stop_asked") == []
    assert refusals(stage) == ["not_a_member", "not_a_member", "not_a_requester", "not_a_requester"]
    assert "R-1 is stopped. Nothing of it remains" in told(stage.slack.say(ANA, "/migrate stop R-1"))
    in_order(stage)


def test_who_is_too_late_is_told_so(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN)
    stage.start_bot()
    ask(stage)
    approve(stage)
    ended(stage)
    answer = told(stage.slack.say(ANA, "/migrate stop R-1"))
    assert "There is nothing to stop any more: R-1 was done at" in answer
    ran = stage.cli("stop", "R-1", "--json")
    assert (ran.code, ran.json["reason"]) == (3, "not_running")
    assert stage.events("stop_asked") == []


def test_a_stop_that_meets_the_end_of_a_run_says_that_all_of_it_is_there(make_stage: MakeStage) -> None:
    """After the last COMMIT there is nothing to stop: the health checks end the run as they would have."""
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    at_start(stage, *when_stopped("health"))
    with pushing(stage) as process:
        until_event(stage, "migration_applied")
        said = stage.cli("stop", "R-1", "--json")
        after = told_at_terminal(process)
    assert after["status"] == "succeeded"
    assert (said.code, said.json["ok"], said.json["reason"]) == (3, False, "not_running")
    assert "Too late: R-1 was done already. Everything of it is on shop/dev." in said.json["message"]
    assert [one.kind for one in stage.events("stop_asked", "succeeded")] == ["stop_asked", "succeeded", "succeeded"]


def test_what_has_not_begun_is_cancelled_by_who_asked_for_it(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN)
    stage.start_bot()
    ask(stage)
    assert "R-1 was requested by somebody else" in told(stage.slack.say(DEE, "/migrate stop R-1"))
    cancelled = told(stage.slack.say(ANA, "/migrate stop R-1"))
    assert "R-1 had not begun: it is cancelled. Nothing was run." in cancelled
    assert "what is left" not in cancelled
    assert request_of(stage).status is Status.CANCELLED
    assert stage.events("stop_asked") == []


def test_a_bot_that_was_killed_after_the_stop_does_not_go_on(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, slow(60))
    at_start(stage, "from chaos import crash_at", "crash_at('after stop_asked 1')")
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    answer = stage.slack.say(ANA, "/migrate stop R-1 enough")
    assert stage.bot is not None
    stage.bot.wait(20)
    assert request_of(stage).status is Status.RUNNING

    at_start(stage)
    stage.start_bot()

    request = ended(stage)
    assert (request.status, request.ending["reason"]) == (Status.PARTIALLY_APPLIED, "stopped")
    assert "Stopped by slack:T0ACME/U0ANA: enough. R-1 is not taken up again by itself" in request.ending["message"]
    assert stage.events("resumed") == []
    assert versions(stage, "prod") == ["20260101000000"]
    assert "R-1 is stopped, with 1 of 2 migrations applied" in answer.text(20)
    assert len(stage.events("stop_asked")) == 1
    assert disagreements(stage, "prod") == []


def test_a_stop_said_while_the_bot_is_dead_holds(make_stage: MakeStage) -> None:
    stage = at_work_on(make_stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    stage.stop_bot(signal.SIGKILL)
    said = stage.cli("stop", "R-1", "--json")
    assert (said.code, said.json["status"]) == (0, "partially_applied")
    assert stage.events("resumed") == []
    stage.start_bot()
    card(stage, "R-1 · shop/prod: stopped, 1 of 3 applied")
    assert versions(stage, "prod") == ["20260101000000"]
    assert disagreements(stage, "prod") == []


def test_a_terminals_dead_run_is_stopped_before_another_terminal_takes_it_up(make_stage: MakeStage) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, slow(30))
    with pushing(stage) as process:
        wait_for(at_work(stage, "dev", "pg_sleep"))
        process.kill()
        process.wait()
    said = stage.cli("stop", "R-1", "--json")
    assert (said.code, said.json["status"]) == (0, "partially_applied")
    assert stage.events("resumed") == []
    assert disagreements(stage) == []

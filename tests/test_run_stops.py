"""Runs whose process, session, server or disk goes away in the middle: stopped truthfully, and made good."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
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
from run_support import cards
from run_support import disagreements
from run_support import ended
from run_support import push_json
from run_support import pushing
from run_support import ran_once
from run_support import request_of
from run_support import slow
from run_support import told
from run_support import versions
from run_support import wait_for

from audit import Log
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]


def test_a_terminal_killed_in_a_statement_is_made_good_by_the_next_push(small: Stage) -> None:
    small.migration(SLOW, slow(5))
    with pushing(small) as process:
        wait_for(at_work(small, "dev", "pg_sleep"))
        process.kill()
        process.wait()
    after = push_json(small)
    assert (after["status"], after["request"]) == ("nothing_to_do", None)
    assert request_of(small).status.value == "succeeded"
    assert disagreements(small) == []


def test_a_bot_takes_up_what_a_killed_terminal_left(small: Stage) -> None:
    small.migration(SLOW, slow(3))
    with pushing(small) as process:
        wait_for(at_work(small, "dev", "pg_sleep"))
        process.kill()
        process.wait()
    small.start_bot()
    assert ended(small).status.value == "succeeded"
    card(small, "R-1 · shop/dev: done")
    assert disagreements(small) == []


def test_sigterm_lets_a_short_run_end(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN + slow(3))
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    stage.stop_bot(signal.SIGTERM)
    assert request_of(stage).status.value == "succeeded"
    assert stage.events()[-1].kind == "bot_stopped"
    assert "R-1 · shop/prod: done" in cards(stage)


def test_sigterm_does_not_wait_for_ever_and_the_next_bot_takes_the_run_up(make_stage: MakeStage) -> None:
    """A statement that takes longer than a supervisor's patience must not be what ends the bot."""
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.sql("prod", "create table hold as select 1")
    waits = "do $$ begin while exists (select from hold) loop perform pg_sleep(0.1); end loop; end $$;"
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, waits + ran_once("slow"))
    at_start(stage, "import bot.app", "bot.app.DRAIN_SECONDS = 2.0")
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    began = time.monotonic()
    stage.stop_bot(signal.SIGTERM)
    assert time.monotonic() - began < 10
    assert request_of(stage).status.value == "running"
    stage.sql("prod", "truncate hold")
    stage.start_bot()
    assert ended(stage).status.value == "succeeded"
    assert disagreements(stage, "prod") == []


def test_a_bot_that_froze_for_a_while_goes_on(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN + slow(3))
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    assert stage.bot is not None
    os.killpg(stage.bot.pid, signal.SIGSTOP)
    time.sleep(5)
    os.killpg(stage.bot.pid, signal.SIGCONT)
    assert ended(stage).status.value == "succeeded"
    assert disagreements(stage, "prod") == []


def test_a_terminated_session_fails_the_run_and_leaves_nothing(small: Stage) -> None:
    small.migration(SLOW, slow(20))
    with pushing(small) as process:
        wait_for(at_work(small, "dev", "pg_sleep"))
        small.sql("dev", "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep%'")
        after = told(process)
    assert (after["status"], after["reason"]) == ("partially_applied", "connection_lost")
    assert after["applied"] == ["20260101000000"]
    assert disagreements(small) == []
    small.migration(SLOW, slow(0))
    assert push_json(small)["status"] == "succeeded"


def test_a_lost_guard_ends_the_run_before_anything_is_committed(small: Stage) -> None:
    """Without the guard somebody else may run; so what is not committed yet is rolled back."""
    small.migration(SLOW, slow(2))
    with pushing(small) as process:
        wait_for(at_work(small, "dev", "pg_sleep"))
        small.sql(
            "dev",
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'countersign guard%' "
            "and datname = current_database()",
        )
        after = told(process)
    assert (after["status"], after["reason"]) == ("partially_applied", "connection_lost")
    assert disagreements(small) == []


def test_a_killed_server_fails_the_run_and_the_next_push_runs_what_is_left() -> None:
    with Stage(empty=True, rate_limits=False) as stage:
        stage.migration(FIRST, RAN)
        stage.migration(SLOW, slow(3))
        with pushing(stage) as process:
            wait_for(at_work(stage, "dev", "pg_sleep"))
            stage.postgres.kill()
            after = told(process)
        assert after["status"] == "partially_applied"
        stage.postgres.start()
        assert disagreements(stage) == []
        assert push_json(stage)["status"] == "succeeded"
        assert stage.sql("dev", "select name from ran order by 1") == [("a",), ("slow",)]


@contextmanager
def tiny_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """A small file system at this folder; skips where nothing can be mounted."""
    folder.mkdir(exist_ok=True)
    options = f"size={mebibytes}m,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_under_the_log_stops_the_run_and_it_is_taken_up_when_there_is_room(make_stage: MakeStage) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.migration(FIRST, RAN)
    stage.migration(SLOW, slow(3))
    at_start(stage, "import ops.foreman", "ops.foreman.PAUSE_SECONDS = 2.0")
    with tiny_disk(stage.log_path.parent, 4):
        Log.create(stage.log_path)
        stage.start_bot()
        ask(stage)
        approve(stage)
        wait_for(at_work(stage, "prod", "pg_sleep"))
        ballast = stage.log_path.with_name("ballast")
        _fill(ballast)
        wait_for(lambda: "request_paused request=R-1 reason=log_unavailable" in stage.bot_log.read_text())
        assert versions(stage, "prod") == ["20260101000000"]
        ballast.unlink()
        assert ended(stage, seconds=40).status.value == "succeeded"
        assert disagreements(stage, "prod") == []
        assert stage.cli("audit", "verify").code == 0
        stage.stop_bot()


def test_a_full_disk_under_the_log_of_a_terminal_is_told_and_the_next_push_goes_on(small: Stage) -> None:
    """It must not say that nothing was done: a file is applied."""
    small.migration(SLOW, slow(3))
    with tiny_disk(small.log_path.parent, 4):
        Log.create(small.log_path)
        with pushing(small) as process:
            wait_for(at_work(small, "dev", "pg_sleep"))
            ballast = small.log_path.with_name("ballast")
            _fill(ballast)
            after = told(process)
        assert (process.returncode, after["status"], after["reason"]) == (1, "error", "log_unavailable")
        assert "while R-1 ran" in after["message"]
        assert "nothing was done" not in after["message"]
        assert versions(small, "dev") == ["20260101000000"]
        ballast.unlink()
        assert push_json(small)["status"] == "nothing_to_do"
        assert request_of(small).status.value == "succeeded"
        assert disagreements(small) == []


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue

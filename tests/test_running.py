"""A run as people meet it: what changed since the approval, who is in the way, lost sessions, stopped processes, checks."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from run_support import RAN
from run_support import approve
from run_support import ask
from run_support import at_start
from run_support import at_work
from run_support import card
from run_support import cards
from run_support import disagreements
from run_support import ended
from run_support import push_json
from run_support import ran_once
from run_support import request_of
from run_support import session
from run_support import until_event
from run_support import use_tools
from run_support import versions
from run_support import wait_for

from audit import Log
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]

PROD = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\n'
FIRST = "20260101000000_first.sql"
SLOW = "20260102000000_slow.sql"


def slow(seconds: float) -> str:
    return f"select pg_sleep({seconds});\n{ran_once('slow')}"


@pytest.fixture
def small(make_stage: MakeStage) -> Stage:
    """Two files for an empty project; nobody approves on prod either, so the terminal runs both."""
    stage = make_stage(empty=True)
    stage.migration(FIRST, RAN)
    return stage


@contextmanager
def pushing(stage: Stage, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A terminal that pushes to dev, at work while the body runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "countersign", "push", "dev", "--json", *arguments],
        cwd=stage.folder,
        env=stage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


# What changed between approval and run


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
    assert part in card(stage, "R-1 · shop/prod · 3 migrations no longer holds")
    assert request.applied == ()
    assert stage.events("statement_sent") == []
    assert len(stage.events("backup_proven")) == 1
    assert stage.slack.say("U0ANA", "/migrate status prod").says("Nothing waits")


def test_a_change_while_it_waited_for_approval_is_found_before_the_backup(make_stage: MakeStage) -> None:
    """Approve computes the plan again, so the change comes between that and the run: the target is held meanwhile."""
    stage = make_stage(prod=PROD)
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
    stage = make_stage(prod=PROD)
    stage.start_bot()
    ask(stage)
    stage.stop_bot()
    stage.environment["SHOP_PROD_DATABASE_URL"] = stage.environment["SHOP_DEV_DATABASE_URL"]
    stage.start_bot()
    answer = stage.slack.click("U0BEN", "Approve", about="R-1")
    assert answer.says("the target's identity", 20)
    assert request_of(stage).status.value == "superseded"


# Who is in the way


def test_two_installations_on_one_target_do_not_run_at_once(
    make_stage: MakeStage, local_postgres: LocalPostgres
) -> None:
    """Each has a log of its own, so only the lock on the target itself keeps them apart."""
    one = make_stage(empty=True)
    other = make_stage(empty=True)
    for stage in (one, other):
        stage.migration(FIRST, RAN + slow(7))
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
    small.migration(SLOW, slow(6))
    with pushing(small) as first:
        wait_for(at_work(small, "dev", "pg_sleep"))
        second = push_json(small)
        assert (second["code"], second["status"]) == (5, "busy")
        assert told(first)["status"] == "succeeded"
    assert [event.request for event in small.events("started")] == ["R-1", "R-1"]
    assert disagreements(small) == []


def test_a_run_of_the_terminal_through_the_bot_is_not_taken_up_beside_it(small: Stage) -> None:
    """The bot's own look-out must not think that a run in one of its threads has lost its runner."""
    small.migration(SLOW, slow(4))
    small.start_bot()
    with pushing(small) as process:
        assert told(process)["status"] == "succeeded"
    time.sleep(2)
    assert [event.kind for event in small.events("resumed", "failed", "partially_applied")] == []
    assert [event.kind for event in small.events("succeeded")] == ["succeeded", "succeeded"]
    assert disagreements(small) == []


# Processes that are stopped


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
    card(small, "R-1 · shop/dev · 2 migrations is done")
    assert disagreements(small) == []


def test_sigterm_lets_a_short_run_end(make_stage: MakeStage) -> None:
    stage = make_stage(prod=PROD, empty=True)
    stage.migration(FIRST, RAN + slow(3))
    stage.start_bot()
    ask(stage)
    approve(stage)
    wait_for(at_work(stage, "prod", "pg_sleep"))
    stage.stop_bot(signal.SIGTERM)
    assert request_of(stage).status.value == "succeeded"
    assert stage.events()[-1].kind == "bot_stopped"
    assert "R-1 · shop/prod · 1 migration is done" in cards(stage)


def test_sigterm_does_not_wait_for_ever_and_the_next_bot_takes_the_run_up(make_stage: MakeStage) -> None:
    """A statement that takes longer than a supervisor's patience must not be what ends the bot."""
    stage = make_stage(prod=PROD, empty=True)
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
    stage = make_stage(prod=PROD, empty=True)
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


# Sessions and servers that are lost


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
    stage = make_stage(prod=PROD, empty=True)
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


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


# Health checks


@contextmanager
def web(answers: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers(self)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def check(name: str, **settings: str) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
    return f'[[projects.shop.environments.dev.health]]\nname = "{name}"\n{lines}\n'


def test_a_check_that_a_migration_breaks_ends_the_run_as_applied_but_not_well(small: Stage) -> None:
    """One that failed before is no news; the one that held before is."""
    small.config.write_text(
        small.config.read_text()
        + check("never held", sql='"select false"')
        + check("nothing ran", sql="\"select to_regclass('ran') is null\"")
        + check("arithmetic", sql='"select 1 = 1"')
    )
    after = push_json(small)
    assert (after["code"], after["status"], after["reason"]) == (1, "partially_applied", "health_failed")
    assert after["applied"] == ["20260101000000"]
    assert "nothing ran (expected one row with one true" in after["message"]
    assert "never held" not in after["message"]
    assert "already failing: never held" in json.dumps(after["steps"])
    assert disagreements(small) == []
    page = small.cli("show", "R-1").out
    assert "is all applied, but did not end well" in page
    assert "Every migration is on shop/dev" in page
    assert "Not on the target" not in page


def test_checks_of_urls_are_asked_with_their_secret_headers_and_tell_none_of_them(small: Stage) -> None:
    seen: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["apikey"])
        request.send_response(204 if len(seen) == 1 else 503)
        request.end_headers()

    small.environment["SHOP_KEY"] = "sesame-open-1234567890"
    small.environment["SHOP_ODD"] = "sesame-ü-1234567890"
    with web(answer) as url:
        small.config.write_text(
            small.config.read_text()
            + check("REST answers", url=f'"{url}"', status="204", headers='{ apikey = "$SHOP_KEY" }')
            + check("odd key", url=f'"{url}"', headers='{ apikey = "$SHOP_ODD" }')
            + check("no such place", url='"http://127.0.0.1:1/"')
        )
        after = push_json(small)
    assert seen == ["sesame-open-1234567890", "sesame-open-1234567890"]
    assert after["reason"] == "health_failed"
    assert "REST answers (expected 204, got 503)" in after["message"]
    said = json.dumps(after) + small.cli("show", "R-1", "--json").out + str([event.data for event in small.events()])
    assert "sesame" not in said


def test_a_check_without_an_end_is_given_up(small: Stage) -> None:
    """A body that never ends is not read; an answer that never begins, and a query that sleeps, are cut off."""
    over = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with_body = request.path == "/body"
        while not over.wait(0.2) and with_body:
            request.wfile.write(b"x")

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/silent":
            over.wait(20)
            return
        try:
            drip(request)
        except OSError:
            return

    with web(answer) as url:
        small.config.write_text(
            small.config.read_text()
            + check("streams", url=f'"{url}body"', timeout_seconds="1")
            + check("silent", url=f'"{url}silent"', timeout_seconds="1")
            + check("sleeps", sql='"select pg_sleep(60) is not null"', timeout_seconds="1")
        )
        began = time.monotonic()
        after = push_json(small)
        seconds = time.monotonic() - began
        over.set()
    assert after["status"] == "succeeded"
    found = {one["name"]: (one["ok"], one["detail"]) for one in after["steps"][0]["detail"]["health"]}
    assert found["streams"] == (True, "expected 200, got 200")
    assert found["silent"] == (False, "ReadTimeout")
    assert found["sleeps"] == (False, "SQLSTATE 57014")
    assert seconds < 15


# Size


def test_three_thousand_files_are_planned_asked_for_and_shown(make_stage: MakeStage) -> None:
    stage = make_stage(prod=PROD, empty=True)
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
    assert "3000 migrations" in stage.cli("show", "R-1").out


def test_many_small_migrations_run_in_time_and_say_how_far_they_are(make_stage: MakeStage) -> None:
    stage = make_stage(prod=PROD, empty=True)
    files = {f"supabase/migrations/{20260101000001 + i}_row_{i}.sql": ran_once(str(i)) for i in range(150)}
    stage.commit({f"supabase/migrations/{FIRST}": RAN, **files}, "Add many")
    stage.start_bot()
    ask(stage)
    began = time.monotonic()
    approve(stage)
    card(stage, "is running")
    assert ended(stage, seconds=60).status.value == "succeeded"
    assert time.monotonic() - began < 40
    assert disagreements(stage, "prod") == []

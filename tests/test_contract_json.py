"""What other programs rely on: exit codes, and with --json exactly one object on standard output, whatever happens."""

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import terminal

import countersign
from audit import COLUMNS
from ops.errors import Reason
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import until
from sandbox.stage import Stage

PROD = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"\n'


@dataclass(frozen=True)
class Said:
    """What a command line did, run in this process."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        [line] = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Say = Callable[..., Said]


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage without a bot; prod lacks three migrations."""
    with Stage(postgres=local_postgres, rate_limits=False, prod=PROD) as stage:
        yield stage


@pytest.fixture
def say(shop: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Say a command line in the shop's folder, with its environment."""
    monkeypatch.chdir(shop.folder)
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)

    def said(*words: str) -> Said:
        code = countersign.main(words)
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return said


LINES: list[tuple[str, int, str | None]] = [
    ("help", 0, None),
    ("help push", 0, None),
    ("push --help", 0, None),
    ("--help", 0, None),
    ("audit --help", 0, None),
    ("audit query --help", 0, None),
    ("--version", 0, None),
    ("status", 0, None),
    ("STATUS prod", 0, None),
    ("history", 0, None),
    ("plan prod", 0, None),
    ("audit verify", 0, None),
    ("audit query", 0, None),
    ("audit export", 0, None),
    ("status prdo", 2, "unknown_environment"),
    ("status a b", 2, "bad_usage"),
    ("stauts", 2, "unknown_word"),
    ("plan", 2, None),
    ("plan prod --comit abc", 2, "bad_usage"),
    ("plan prod --commit nothex", 2, "bad_usage"),
    ("push", 2, "environment_needed"),
    ("push dev prod", 2, "bad_usage"),
    ("push dev --wait=soon", 2, "bad_usage"),
    ("show R-99", 2, "unknown_request"),
    ("show", 2, "bad_usage"),
    ("cancel R-99", 2, "unknown_request"),
    ("audit", 2, "bad_usage"),
    ("audit nope", 2, "bad_usage"),
    ("audit create", 2, "bad_usage"),
    ("audit query --limit many", 2, "bad_usage"),
    ("audit query --kind aproved", 2, "bad_usage"),
    ("audit query --since yesterday", 2, "bad_usage"),
    ("audit query --target nowhere", 2, "unknown_environment"),
    ("audit export --format xml", 2, "bad_usage"),
    ("bot --port many", 2, "bad_usage"),
    ("bot --port 70000", 2, "bad_usage"),
    ("demo --sing", 2, "bad_usage"),
    ("init --sing", 2, "bad_usage"),
    ("init", 2, "bad_usage"),
    ("doctor now", 2, "bad_usage"),
    ("status --config", 2, "bad_usage"),
    ("status --config missing.toml", 2, "bad_config"),
    ("status --config=", 0, None),
    ("status --json=1", 2, "bad_usage"),
]


@pytest.mark.parametrize(("line", "code", "reason"), LINES, ids=[line for line, _, _ in LINES])
def test_one_object_and_an_exit_code_whatever_is_said(say: Say, line: str, code: int, reason: str | None) -> None:
    said = say(*line.split(), "--json")

    assert (said.code, said.json["ok"]) == (code, code == 0)
    assert said.err == ""
    if code:
        assert said.json["reason"] in set(Reason)
        assert reason in {None, said.json["reason"]}
        assert said.json["message"].endswith((".", "?"))
        assert isinstance(said.json["hint"], str)


@pytest.mark.parametrize(
    ("line", "out", "err"),
    [("status", "Nothing waits", ""), ("stauts", "", "There is no word"), ("audit nope", "", "invalid choice")],
)
def test_answers_go_to_stdout_and_errors_to_stderr(say: Say, line: str, out: str, err: str) -> None:
    said = say(*line.split())

    assert (out in said.out, err in said.err) == (True, True)
    assert not (said.out and said.err)


WORDS_WITHOUT_A_LOG = [
    "help", "status", "history", "plan dev", "push dev", "push dev --wait", "show R-1", "approve R-1", "reject R-1 no",
    "cancel R-1", "stauts", "audit verify", "audit query", "audit export", "bot", "bot --http", "doctor",
]  # fmt: skip


@pytest.mark.parametrize("line", WORDS_WITHOUT_A_LOG)
def test_without_a_log_nothing_is_done(say: Say, shop: Stage, line: str) -> None:
    away = shop.log_path.with_name("away.db")
    shop.log_path.rename(away)
    try:
        said = say(*line.split(), "--json")
        assert not shop.log_path.exists()
    finally:
        away.rename(shop.log_path)

    assert (said.code, said.json["ok"], said.json["reason"]) == (2, False, "no_log")
    assert "audit create" in said.json["hint"]


def test_log_that_is_damaged_is_told_and_not_written_to(say: Say, shop: Stage) -> None:
    away = shop.log_path.with_name("away.db")
    shop.log_path.rename(away)
    try:
        shop.log_path.write_bytes(b"no log at all" * 1000)
        before = shop.log_path.read_bytes()
        said = say("status", "--json")
        after = shop.log_path.read_bytes()
    finally:
        away.rename(shop.log_path)

    assert (said.code, said.json["reason"]) == (2, "log_damaged")
    assert after == before


def test_plan_has_the_contracts_keys(say: Say) -> None:
    plan = say("plan", "prod", "--json").json

    assert {"ok", "target", "commit", "digest", "pending", "hazards", "diff", "rehearsal", "history"} <= plan.keys()
    assert (plan["target"], plan["diff"], plan["rehearsal"], plan["history"]) == ("shop/prod", "", None, [])
    assert len(plan["pending"]) == 3
    for migration in plan["pending"]:
        assert {"version", "name", "sha256", "statements", "masked"} <= migration.keys()
    for hazard in plan["hazards"]:
        assert {"rule", "class", "level", "version", "line", "message"} <= hazard.keys()


def test_nothing_pending_is_nothing_to_do(say: Say) -> None:
    said = say("push", "dev", "--json")

    assert (said.code, said.json["status"], said.json["request"]) == (0, "nothing_to_do", None)


def test_push_runs_waits_and_is_shown(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True, prod=PROD)
    stage.migration("20260101000000_first.sql", "create table first (id int primary key);\n")

    dev = stage.cli("push", "dev", "--json")
    prod = stage.cli("push", "prod", "--json")
    waited = stage.cli("push", "prod", "--wait", "1s", "--json")
    approved = stage.cli("approve", "R-2", "--json")
    shown = stage.cli("show", "R-2", "--json")
    stage.migration("20260102000000_bad.sql", "select 1/0;\n")
    failed = stage.cli("push", "dev", "--json")

    assert (dev.code, dev.json["status"], dev.json["request"]) == (0, "succeeded", "R-1")
    assert [step["step"] for step in dev.json["steps"]] == ["preflight", "backup", "migrate", "health"]
    assert (prod.code, prod.json["status"], prod.json["request"]) == (0, "waiting", "R-2")
    assert (waited.code, waited.json["status"], waited.json["request"]) == (4, "waiting", "R-2")
    assert {"reason", "message", "hint"} <= waited.json.keys()
    assert (approved.code, approved.json["ok"], approved.json["reason"]) == (3, False, "terminal_may_not_approve")
    keys = {"request", "kind", "status", "target", "digest", "approvals", "events"}
    assert keys <= shown.json.keys()
    assert (shown.code, shown.json["kind"], shown.json["status"]) == (0, "push", "waiting")
    assert (failed.code, failed.json["status"], failed.json["ok"]) == (1, "failed", False)
    assert {"reason", "message", "hint"} <= failed.json.keys()


@pytest.fixture(scope="module")
def waiting(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage whose bot serves, and whose prod waits for people for four seconds."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True, prod=PROD + 'expires = "4s"\n') as stage:
        stage.start_bot()
        yield stage


def push_and_wait(stage: Stage, number: int, *how: str) -> "subprocess.Popen[str]":
    stage.migration(f"2026010100000{number}_n.sql", f"create table n{number} (id int primary key);\n")
    push = terminal(stage, "PUSH", "prod", *how, "--json")
    assert until(lambda: stage.events("shown")[number - 1 :] or None, 15), stage.bot_log.read_text()
    return push


def ended(push: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    out, _ = push.communicate(timeout=30)
    return push.returncode, json.loads(out)


def test_wait_ends_with_the_request(waiting: Stage) -> None:
    """Approved, rejected and expired, one after the other: the numbers count the requests."""
    push = push_and_wait(waiting, 1, "--wait")
    waiting.slack.click("U0BEN", "Approve", about="R-1")
    code, told = ended(push)
    assert (code, told["status"], told["request"], told["ok"]) == (0, "succeeded", "R-1", True)

    push = push_and_wait(waiting, 2, "--wait", "30s")
    view = waiting.slack.click("U0BEN", "Reject", about="R-2").modal(5)
    assert view is not None
    waiting.slack.submit("U0BEN", view, {"Reason": "not today"})
    code, told = ended(push)
    assert (code, told["status"], told["ok"]) == (3, "rejected", False)
    assert {"reason", "message", "hint"} <= told.keys()

    began = time.monotonic()
    code, told = ended(push_and_wait(waiting, 3, "--wait=1m"))
    assert (code, told["status"], told["ok"]) == (4, "expired", False)
    assert time.monotonic() - began < 10


def test_audit_query_finds_by_actor_target_request_kind_and_time(say: Say, shop: Stage) -> None:
    request = say("push", "prod", "--json").json["request"]
    actor = shop.events("requested")[-1].actor

    def found(*how: str) -> list[str]:
        return [event["kind"] for event in say("audit", "query", *how, "--json").json["events"]]

    assert found("--kind", "requested") == ["requested"]
    assert found("--request", request.lower()) == ["requested", "answered"]
    assert "requested" in found("--target", "prod")
    assert "requested" not in found("--target", "dev")
    assert found("--actor", actor, "--kind", "requested") == ["requested"]
    assert found("--actor", "slack:T0/U0") == []
    both = ("--kind", "requested", "--kind", "planned")
    assert found("--since", "2000-01-01", *both)[-2:] == ["planned", "requested"]
    assert found("--until", "2000-01-01") == []
    assert found("--limit", "1") == ["queried"], "the newest"


def test_audit_export_is_every_event_in_both_forms(say: Say) -> None:
    lines = say("audit", "export", "--format", "jsonl")
    table = say("audit", "export", "--format", "csv")
    one = say("audit", "export", "--json")

    events = [json.loads(line) for line in lines.out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "events exported" in lines.err
    rows = list(csv.reader(io.StringIO(table.out)))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) - 1 == len(events) + 1, "the first export is in the log by now"
    assert one.json["rows"] == len(one.json["text"].splitlines()) == len(events) + 2


def test_log_that_was_tampered_with_does_not_verify(shop: Stage, tmp_path: Path) -> None:
    shop.cli("status")  # two events at least
    verified = shop.cli("audit", "verify", "--json")
    assert (verified.code, verified.json["ok"], verified.json["problems"]) == (0, True, [])
    assert (len(verified.json["head"]), verified.json["events"] > 0) == (64, True)

    (tmp_path / "var").mkdir()
    with sqlite3.connect(f"file:{shop.log_path}?mode=ro", uri=True) as original:
        original.execute("VACUUM INTO ?", (str(tmp_path / "var" / "audit.db"),))
    shutil.copy(shop.config, tmp_path / "countersign.toml")
    with sqlite3.connect(tmp_path / "var" / "audit.db") as copy:
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f'DROP TRIGGER "{name}"')
        copy.execute("UPDATE event SET actor = 'os:elsewhere/mallory' WHERE seq = 2")

    forged = shop.cli("audit", "verify", "--json", "--config", str(tmp_path / "countersign.toml"))

    assert (forged.code, forged.json["ok"]) == (1, False)
    assert any(problem["seq"] == 2 for problem in forged.json["problems"])

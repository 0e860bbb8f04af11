"""The command as people start it: which configuration, what is printed, what is loaded, and how it ends."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_fixtures import open_folder
from processes import terminal

import countersign
from commands.knock import reply_json
from commands.knock import short_path
from commands.knock import socket_path
from commands.page import Page
from commands.page_json import FORMAT
from commands.reply import Reply
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import until
from sandbox.stage import Stage


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage without a bot, with nothing pending."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        yield stage


def test_configuration_is_the_option_then_the_variable_then_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def read(*words: str) -> str:
        assert countersign.main(["status", *words]) == 2
        return capsys.readouterr().err

    monkeypatch.delenv("COUNTERSIGN_CONFIG", raising=False)
    assert "The configuration countersign.toml cannot be read" in read()
    monkeypatch.setenv("COUNTERSIGN_CONFIG", "variable.toml")
    assert "The configuration variable.toml cannot be read" in read()
    assert "The configuration option.toml cannot be read" in read("--config", "option.toml")
    assert "The configuration option.toml cannot be read" in read("--config=option.toml")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"], ["audit", "--help"], ["bot", "-h"]])
def test_help_needs_no_configuration(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert countersign.main(words) == 0
    assert "countersign" in capsys.readouterr().out


def test_help_names_every_tool_and_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    countersign.main(["--help"])

    told = capsys.readouterr().out
    for word in ("init", "doctor", "demo", "bot", "audit", "plan", "push", "approve", "reject", "cancel", "status"):
        assert re.search(rf"countersign {word}\b", told), word


def test_word_that_is_no_text_is_refused(shop: Stage) -> None:
    ran = subprocess.run(
        [sys.executable.encode(), b"-m", b"countersign", b"reject", b"R-1", b"\xff", b"--json"],
        cwd=shop.folder,
        env=shop.environment,
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 2
    assert b'"bad_usage"' in ran.stdout
    assert b"Traceback" not in ran.stderr


def test_text_from_elsewhere_cannot_move_the_terminal(shop: Stage) -> None:
    ran = shop.cli("show", "R-1\x1b[2J\x9b1m\u202e\r")

    assert ran.code == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", ran.err)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_terminal_of_any_encoding_is_written_to(shop: Stage, encoding: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "countersign", "cancel", "R-1", "“日本”…"],
        cwd=shop.folder,
        env={**shop.environment, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 2
    assert b"There is no R-1" in ran.stderr or b"R-1" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_error_that_nobody_foresaw_has_a_reference_and_is_one_object(
    shop: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: Path) -> None:
        raise ZeroDivisionError("secret-value")

    monkeypatch.setattr(countersign, "load_settings", fail)

    assert countersign.main(["status", "--json"]) == 1
    told = capsys.readouterr()
    reference = re.search(r"\(reference ([0-9a-f]{8})\)", told.out)
    assert reference is not None
    assert reference[1] in caplog.text
    assert "secret-value" not in told.out


def test_reader_that_leaves_early_is_no_error(shop: Stage) -> None:
    shop.cli("status")
    with subprocess.Popen(
        [sys.executable, "-m", "countersign", "audit", "export"],
        cwd=shop.folder,
        env=shop.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        told = ran.stderr.read()

    assert b"Traceback" not in told
    assert b"Exception" not in told


def test_ctrl_c_while_waiting_leaves_the_request_and_says_so(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_first.sql", "create table first (id int primary key);\n")
    push = terminal(stage, "push", "prod", "--wait")
    assert until(lambda: stage.events("answered") or None, 15)
    time.sleep(0.5)  # it waits by now

    push.send_signal(signal.SIGINT)

    _, told = push.communicate(timeout=10)
    assert push.returncode == 130
    assert "Stopped." in told
    assert "Traceback" not in told
    assert '"status": "waiting"' in stage.cli("show", "R-1", "--json").out


def test_log_of_somebody_else_is_told_and_not_a_traceback(shop: Stage) -> None:
    """Another user cannot pass the log's folder, and no bot serves them."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    code = "import os, sys; sys.path[:] = eval(sys.argv[1]); import countersign; " + (
        "import commands.terminal; os.setgroups([]); os.setuid(65534); sys.exit(countersign.main(sys.argv[2:]))"
    )
    for mode in (0o700, 0o711):
        shop.log_path.parent.chmod(mode)
        try:
            ran = subprocess.run(
                [sys.executable, "-c", code, repr(sys.path), "status", "--json", "--config", str(shop.config)],
                cwd=shop.folder,
                env=shop.environment,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            shop.log_path.parent.chmod(0o700)

        assert (ran.returncode, '"log_unavailable"' in ran.stdout) == (2, True), ran.stderr


def test_log_that_cannot_be_written_stops_every_act() -> None:
    """A folder or file that this user may only read; root may write everywhere, so it is somebody else here."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    with open_folder() as folder:
        (folder / "var").mkdir()
        (folder / "var").chmod(0o755)
        (folder / "countersign.toml").write_text(
            '[projects.shop]\nrepository = "r"\n[projects.shop.environments.dev]\n'
            'database_url = "$X"\nbranch = "main"\napprovals = 0\n'
        )
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(countersign.__file__).parent)}
        made = [sys.executable, "-m", "countersign", "audit", "create"]
        subprocess.run(made, cwd=folder, env=environment, check=True, capture_output=True)
        (folder / "var" / "audit.db").chmod(0o644)
        code = "import os, sys; sys.path[:] = eval(sys.argv[1]); import countersign; " + (
            "import commands.terminal; os.setgroups([]); os.setuid(65534); sys.exit(countersign.main(sys.argv[2:]))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, repr(sys.path), "status", "--json"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert (ran.returncode, '"log_unavailable"' in ran.stdout) == (2, True), ran.stderr


def loaded(stage: Stage, *words: str) -> set[str]:
    """The packages that a command line loads."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "countersign", *words],
        cwd=stage.folder,
        env=stage.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines() if "|" in line}


HEAVY = {"slack_bolt", "slack_sdk", "aiohttp", "pglast", "psycopg", "httpx", "sqlite_utils", "sandbox"}


def test_word_that_the_bot_answers_loads_next_to_nothing(shop: Stage) -> None:
    assert loaded(shop, "--version") & (HEAVY | {"audit", "bot"}) == set()
    assert loaded(shop, "status") & {"slack_bolt", "slack_sdk", "aiohttp", "sandbox", "bot"} == set()
    assert loaded(shop, "audit", "verify") & {"slack_bolt", "slack_sdk", "aiohttp", "sandbox", "bot"} == set()
    shop.start_bot()
    try:
        assert loaded(shop, "status") & (HEAVY | {"audit", "bot"}) == set()
        assert loaded(shop, "plan", "dev") & (HEAVY | {"audit", "bot"}) == set()
    finally:
        shop.stop_bot()


def test_doctor_lists_every_token_that_is_missing(shop: Stage) -> None:
    bare = {name: value for name, value in shop.environment.items() if not name.startswith("SLACK_")}
    ran = subprocess.run(
        [sys.executable, "-m", "countersign", "doctor", "--json"],
        cwd=shop.folder,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )

    problems = [check["what"] for check in json.loads(ran.stdout)["checks"] if check["state"] == "problem"]
    assert (ran.returncode, problems) == (1, ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"])


def test_events_are_listed_in_columns(shop: Stage) -> None:
    shop.cli("status")
    shop.cli("status")

    lines = shop.cli("audit", "query", "--kind", "commanded", "--limit", "1").out.splitlines()

    assert lines[0] == "The last 1 event; more with --limit"
    assert lines[-2].split() == ["Event", "When", "Kind", "Who", "Target", "Request"]
    assert re.fullmatch(r"  #\d+ +\d{4}-\d\d-\d\d \d\d:\d\d UTC +commanded +os:\S+", lines[-1])


WRONG_NUMBERS = [
    ("approve", 2, "bad_usage"),
    ("approve R-99", 2, "unknown_request"),
    ("approve R-99 3f9a1c0be2d47a55", 2, "unknown_request"),
    ("approve prod", 2, "unknown_request"),
    ("approve -7", 2, "unknown_request"),
    ("approve R-1 R-2 R-3", 2, "bad_usage"),
    ("reject R-1", 2, "bad_usage"),
    ("reject R-99 because of this", 2, "unknown_request"),
    ("cancel", 2, "bad_usage"),
    ("cancel R-99", 2, "unknown_request"),
    ("cancel R-99999999999999999999", 2, "unknown_request"),
    ("stop", 2, "bad_usage"),
    ("stop R-99", 2, "unknown_request"),
    ("show", 2, "bad_usage"),
    ("show R-99", 2, "unknown_request"),
    ("show R-1 R-2", 2, "bad_usage"),
    ("history --limit x", 2, "bad_usage"),
    ("audit query --limit x", 2, "bad_usage"),
]


@pytest.mark.parametrize(("line", "code", "reason"), WRONG_NUMBERS, ids=[line for line, _, _ in WRONG_NUMBERS])
def test_wrong_number_is_told_in_one_sentence(
    shop: Stage, line: str, code: int, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop.folder)
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)

    assert countersign.main([*line.split(), "--json"]) == code

    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["reason"]) == (False, reason)
    assert re.fullmatch(r"[A-Zac-z`-].*[.?]", told["message"])
    assert told["hint"]


# --- the other end of the door -----------------------------------------------------------------------


@contextlib.contextmanager
def served(log: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """A process behind the door of a log that says this, one line after each line that it hears: what it heard."""
    heard: list[bytes] = []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(socket_path(log)) as name:
        server.bind(name)
    server.listen(1)

    def serve() -> None:
        guest, _ = server.accept()
        with guest:
            for answer in answers:
                guest.sendall(answer + b"\n")
                heard.append(guest.recv(10_000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        thread.join(10)
        server.close()
        socket_path(log).unlink()


OTHERS = [
    b'{"hello": "1234"}',
    b'{"hello": "1234", "format": 999}',
    b'{"hello": "1234", "format": "1"}',
    b"[]",
    b"what?",
]


@pytest.mark.parametrize("hello", OTHERS)
def test_process_of_another_version_is_told_nothing(shop: Stage, hello: bytes) -> None:
    with served(shop.log_path, hello) as heard:
        ran = shop.cli("push", "prod", "--json")

    told = json.loads(ran.out)
    assert (ran.code, told["reason"]) == (2, "other_version")
    assert "another version of Countersign; nothing was done" in told["message"]
    assert "Restart the bot" in told["hint"]
    assert heard == [b""]


WELCOME = json.dumps({"hello": "1234", "format": FORMAT}).encode()
REPLY = reply_json(Reply(Page("All is well"), {"status": "fine"}))
NO_ANSWERS = {
    "no JSON": b"what?",
    "nothing of a reply": b"{}",
    "no page": json.dumps({**REPLY, "page": None}).encode(),
    "text for a page": json.dumps({**REPLY, "page": "All is well"}).encode(),
    "a page with more": json.dumps({**REPLY, "page": {**REPLY["page"], "icon": "x"}}).encode(),
    "a page with less": json.dumps({**REPLY, "page": {"is": "Page", "headline": "All is well"}}).encode(),
    "progress that is none": b'{"progress": 7, "step": "", "share": null}',
    "nothing": b"",
}


def test_answer_of_the_same_version_is_shown(shop: Stage) -> None:
    progress = {"progress": "looking", "step": "look", "share": 0.5}
    with served(shop.log_path, WELCOME, json.dumps(progress).encode() + b"\n" + json.dumps(REPLY).encode()) as heard:
        ran = shop.cli("status")

    assert (ran.code, ran.out) == (0, "All is well\n")
    assert ran.err == "countersign: looking\n"
    assert json.loads(heard[0]) == {"words": ["status"]}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_answer_that_cannot_be_read_is_no_answer(shop: Stage, answer: bytes) -> None:
    with served(shop.log_path, WELCOME, answer):
        ran = shop.cli("status", "--json")

    told = json.loads(ran.out)
    assert (ran.code, told["reason"]) == (1, "outcome_unknown")
    assert "countersign status" in told["hint"]

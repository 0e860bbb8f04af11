"""The command as people start it: which configuration, what is printed, what is loaded, and how it ends."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_fixtures import open_folder
from processes import terminal

import countersign
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


def test_progress_is_shown_at_a_terminal_and_cleared(shop: Stage) -> None:
    reading, writing = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "countersign", "plan", "dev"],
        cwd=shop.folder,
        env=shop.environment,
        stdout=subprocess.PIPE,
        stderr=writing,
        text=True,
    ) as ran:
        out, _ = ran.communicate(timeout=30)
    os.close(writing)
    told = os.read(reading, 10_000).decode()
    os.close(reading)

    assert "nothing to do" in out
    assert "… " in told
    assert told.endswith("\r\x1b[K")

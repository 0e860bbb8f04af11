"""`countersign demo` as a process: where its page is, what it says when it cannot, and that nothing of it is left."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from people_talk import ANA
from people_talk import rules
from people_talk import small
from postgres_fixtures import open_folder

from sandbox.demo import answer_of
from sandbox.slack_answer import until
from sandbox.stage import Stage

ROOT = Path(__file__).parent.parent


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo as a process whose temporary files are all in this folder; it is ended with the test."""
    folder.chmod(0o755)
    started = subprocess.Popen(
        [sys.executable, "-m", "countersign", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=30)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below tmp_path, which other users cannot enter: as root, Postgres runs as one."""
    with open_folder() as made:
        yield made


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_demo_serves_its_page_until_it_is_ended_and_leaves_nothing(folder: Path, how: signal.Signals) -> None:
    with demo(folder, "--port", "0") as running:
        said = _said_until(running, "Open http")
        url = re.findall(r"Open (http://127\.0\.0\.1:\d+/)", said)[0]
        with urllib.request.urlopen(f"{url}api/state?as=U0ANA", timeout=10) as answer:  # noqa: S310 - loopback
            bot = json.load(answer)["bot"]
        assert bot["up"]
        assert "setting up a Postgres server …" in said

        running.send_signal(how)
        out, err = running.communicate(timeout=30)

    assert (running.returncode, err) == (0, "")
    assert "nothing of it is left" in out
    assert not list(folder.iterdir())
    assert until(lambda: not Path(f"/proc/{bot['pid']}").exists(), 5)


def test_taken_port_is_named_at_once(folder: Path) -> None:
    """Nothing is set up for a page that cannot be served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(folder, "--port", str(port), "--json") as running:
            out, _ = running.communicate(timeout=20)

    answer = json.loads(out)
    assert running.returncode == 2
    assert (answer["ok"], answer["reason"]) == (False, "bad_config")
    assert answer["message"] == f"The page cannot be served on 127.0.0.1:{port}: Address already in use."
    assert "--port" in answer["hint"]
    assert not list(folder.iterdir())


def test_the_scene_shows_the_answer_and_not_how_far_it_is(make_stage: Callable[..., Stage]) -> None:
    """Ana's plan is rehearsed for longer than a moment, so she is told first that it is worked on."""
    stage = small(make_stage, rules(1, 'rehearsal = "required"'), start=False)
    stage.migration("20260101000002_slow.sql", "select pg_sleep(3);\n")
    stage.start_bot()
    said = stage.slack.say(ANA, "/migrate plan prod")
    shown = answer_of(stage, said)
    assert shown.startswith("== Plan for shop/prod: 2 migrations pending")
    assert "Working on it" in said.text()
    assert "Working on it" not in shown


def _said_until(running: "subprocess.Popen[str]", words: str) -> str:
    """Everything on standard output up to the line with these words; fails when it ends before."""
    assert running.stdout is not None
    said = ""
    for line in running.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} was never said:\n{said}")

"""Starting the product's own processes without waiting for them, where a test is about what happens meanwhile."""

import os
import re
import select
import socket
import subprocess
import sys
import time

from sandbox.slack_answer import until
from sandbox.stage import Stage


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def terminal(stage: Stage, *arguments: str) -> "subprocess.Popen[str]":
    """A terminal command that goes on in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "countersign", *arguments],
        cwd=stage.folder,
        env=stage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def launch_bot(stage: Stage, wanted: str, seconds: float = 15) -> None:
    """Start a bot and wait until its own log says something, such as that it waits."""
    stage.bot_log = stage.folder / "bot.log"
    with stage.bot_log.open("ab") as output:
        stage.bot = subprocess.Popen(
            [sys.executable, "-m", "countersign", "bot", "--port", "0"],
            cwd=stage.folder,
            env=stage.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    assert until(lambda: wanted in stage.bot_log.read_text() or None, seconds), stage.bot_log.read_text()


def read_until(terminal: int, wanted: str, seconds: float = 30) -> str:
    """What a terminal shows until it shows this."""
    shown = ""
    deadline = time.monotonic() + seconds
    while not re.search(wanted, shown) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 10_000).decode(errors="replace")
    assert re.search(wanted, shown), shown
    return shown

"""The two bots that are compared, each a process of its own on a fake Slack of its own: Countersign, and bare Bolt."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import Log
from audit import Query
from audit import Reader
from bench.measuring import Options
from sandbox import slack_payloads
from sandbox.slack import FakeSlack
from sandbox.slack_delivery import Delivery
from sandbox.slack_shapes import JSON
from sandbox.slack_workspace import demo_workspace

CONFIGURATION = """\
[slack]
channel = "C0DEPLOYS"

[audit]
path = "var/audit.db"

[projects.shop]
repository = "repository"

[projects.shop.environments.prod]
database_url = "postgresql://nobody@127.0.0.1:1/nothing"
branch = "main"
approvals = 1
approvers = ["@database-owners"]
rehearsal = "off"
drift_check = "off"
"""

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 30.0
ANSWER_SECONDS = 120.0
PERSON, CHANNEL = "U0ANA", "C0DEPLOYS"


@dataclass(frozen=True)
class Bot:
    """A bot that is connected, and its Slack. `log_path` is None where it keeps no log."""

    slack: FakeSlack
    process: subprocess.Popen[bytes]
    ready_seconds: float
    log_path: Path | None = None

    def say(self, words: str, times: int, at_once: int) -> list[Delivery]:
        """Type a command so many times, `at_once` of them always under way; how each was acknowledged."""
        payloads = [self._payload(words) for _ in range(times)]
        return self.slack.run(self._deliver(payloads, at_once), ANSWER_SECONDS)

    def settle(self) -> int:
        """Wait until every command typed so far is answered, or long enough; how many are not. A bot without a log
        has nothing to answer."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while (missing := self._unanswered()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return missing

    def recorded(self) -> int:
        """How many commands are in the bot's log, as another process reads it."""
        return len(Reader(self.log_path).find(Query(kinds=("commanded",)))) if self.log_path else 0

    def _unanswered(self) -> int:
        # each command has one response_url; a note there that work goes on has no blocks
        answered = sum(call.method == "response_url" and "blocks" in call.body for call in self.slack.calls)
        return len(self.slack.state.responses) - answered if self.log_path else 0

    def _payload(self, words: str) -> JSON:
        state = self.slack.state
        with state.lock:
            response = f"{self.slack.url}/response/{state.new_response(PERSON, CHANNEL, None)}"
            return slack_payloads.command(state, PERSON, words, CHANNEL, response, state.new_trigger(PERSON, False))

    async def _deliver(self, payloads: Sequence[JSON], at_once: int) -> list[Delivery]:
        left = iter(payloads)

        async def one_after_another() -> list[Delivery]:
            return [await self.slack.sockets.deliver("slash_commands", payload, {}) for payload in left]

        found = await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return [delivery for deliveries in found for delivery in deliveries]


@contextlib.contextmanager
def our_bot(options: Options, *program: str) -> Iterator[Bot]:
    """Countersign as people start it (or as `program` does): its log on the disk, no database that is there."""
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        (folder / "countersign.toml").write_text(CONFIGURATION)
        Log.create(folder / "var" / "audit.db")
        program = program or ("-m", "countersign", "bot", "--port", "0")
        with _started(program, folder, folder / "var" / "audit.db") as bot:
            yield bot


@contextlib.contextmanager
def bare_bot(options: Options) -> Iterator[Bot]:
    """The rival."""
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as place,
        _started(["-m", "bench.bare_bolt"], Path(place), None) as bot,
    ):
        yield bot


@contextlib.contextmanager
def _started(program: Sequence[str], folder: Path, log_path: Path | None) -> Iterator[Bot]:
    output = folder / "bot.log"
    with FakeSlack(demo_workspace(), rate_limits=False) as slack:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_API_URL": slack.api_url,
            "COUNTERSIGN_CONFIG": str(folder / "countersign.toml"),
        }
        began = time.monotonic()
        with output.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, *program],
                cwd=folder,
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            while b"bot_ready" not in output.read_bytes():
                if process.poll() is not None or time.monotonic() > began + READY_SECONDS:
                    raise RuntimeError(f"the bot did not start:\n{output.read_text()[-3000:]}")
                time.sleep(0.005)
            yield Bot(slack, process, time.monotonic() - began, log_path)
        finally:
            process.kill()
            process.wait()

"""A log with a year of requests in it, as auditors would find it, and the real `audit serve` over it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

from audit_support import ANA
from audit_support import BEN
from audit_support import Clock

from audit import Draft
from audit import Log

ROOT = Path(__file__).parent.parent
HOSTILE = "<script>alert(1)</script> =cmd|' /C calc'!A0"
CONFIG = """
[audit]
readers = { "lee@auditors.example" = "$AUDIT_LEE" }
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 1
approvers = ["U0BEN"]
"""


PAGES = (
    "/",
    "/figures",
    "/questions/emergencies",
    "/questions/no-result",
    "/events?q=kind:approved",
    "/events?q=kind:nonsense",
    "/answers",
    "/answers/request",
    "/answers/request/R-3",
    "/log/event?kind=approved",
    "/answers?sql=select+*+from+request",
    "/dictionary",
)
"""Pages of every sort."""


class Story:
    """Writes requests into a log, at the times that it is told."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._numbers = 0

    def say(self, said: str, request: str | None = None, /, *, actor: str = ANA, **data: Any) -> None:
        stream = f"request:{request}" if request else "bot"
        place = {"project": "shop", "environment": "prod"} if request else {}
        self._log.append([Draft(kind=said, actor=actor, stream=stream, request=request, data=data, **place)])

    def ask(self, *, windows: list[str] | None = None, **more: Any) -> str:
        self._numbers += 1
        request = f"R-{self._numbers}"
        policy = {"approvals": 1, **({"windows": windows} if windows else {})}
        plan = {"policy": policy, **more}
        asked: dict[str, Any] = {
            "kind": "push",
            "digest": "d" * 64,
            "commit": "c" * 40,
            "plan": plan,
            "hazards": [{"level": "danger"}],
        }
        rest: dict[str, Any] = {"authors": ["U0ANA"], "unknown_authors": [], "expires_at": "2027-01-01T00:00:00Z"}
        self.say("requested", request, **asked, **rest)
        return request

    def approve(self, request: str, *, actor: str = BEN, hours: float = 1) -> None:
        self._clock.forward(hours=hours)
        self.say("approved", request, actor=actor, digest="d" * 64, number=1, needed=1, facts={})

    def run(self, request: str, how: str = "succeeded", *, minutes: float = 5, **data: Any) -> None:
        self.say("started", request, actor="system:runner", digest="d" * 64, attempt=1, runner="bot", facts={})
        self.say("step_started", request, actor="system:runner", step="migrate", attempt=1, about={})
        self._clock.forward(minutes=minutes)
        if how == "succeeded":
            self.say("step_finished", request, actor="system:runner", step="migrate", attempt=1, seconds=1.0, result={})
            self.say("succeeded", request, actor="system:runner", applied=["1"], seconds=300.0)
        else:
            if how == "failed":
                rest: dict[str, Any] = {"seconds": 1.0, "reason": "sql_failed", "message": "It failed.", "error": {}}
                self.say("step_failed", request, actor="system:runner", step="migrate", attempt=1, **rest)
            told: dict[str, Any] = {
                "reason": "sql_failed",
                "message": "The statement failed.",
                "step": "migrate",
                **data,
            }
            self.say(how, request, actor="system:runner", **told)


def write_story(path: Path) -> None:
    """Ten months of requests: most succeed; one fails and is mended, one is an emergency, one is outside its window."""
    clock = Clock(datetime(2026, 1, 12, 10, 0, tzinfo=UTC))
    Log.create(path)
    with Log.open(path, clock=clock) as log:
        story = Story(log, clock)
        for month in range(10):
            for _ in range(1 + month % 3):
                request = story.ask()
                story.approve(request, hours=1 + month / 2)
                story.run(request)
            clock.forward(days=30)
        failed = story.ask()
        story.approve(failed)
        story.run(failed, "failed")
        clock.forward(hours=2)
        mended = story.ask()
        story.approve(mended)
        story.run(mended)
        emergency = story.ask(emergency={"because": HOSTILE})
        facts: dict[str, Any] = {"to": ["U0BEN"], "facts": {}, "review_within": 3600.0}
        story.say("overridden", emergency, actor=BEN, digest="d" * 64, because=HOSTILE, **facts)
        story.say("debt_owed", emergency, by=BEN, needed=1, due_at="2026-12-01T00:00:00Z")
        story.run(emergency)
        outside = story.ask(windows=["Mon 03:00-03:05 UTC"], hotfix={"because": "urgent"})
        story.approve(outside)
        story.run(outside)
        own: dict[str, Any] = {
            "word": "approve",
            "reason": "self_approval",
            "message": f"Not your own. {HOSTILE}",
            "facts": {},
        }
        story.say("refused", outside, **own)


def with_log(folder: Path) -> Path:
    """The folder, with a configuration and the log of the story in it."""
    (folder / "var").mkdir()
    (folder / "countersign.toml").write_text(CONFIG)
    write_story(folder / "var/audit.db")
    return folder


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The real command over `folder`'s log; its address and its process."""
    command = [sys.executable, str(ROOT / "countersign.py"), "--config", str(folder / "countersign.toml")]
    process = subprocess.Popen(
        [*command, "audit", "serve", "--port", "0", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"read only, on (\S+?)(?:, behind it port (\d+))?;", line):
                yield f"http://127.0.0.1:{found[2]}" if found[2] else found[1], process
                return
        raise AssertionError(said)
    finally:
        process.terminate()
        process.wait(timeout=20)


def next_link(process: "subprocess.Popen[str]") -> str:
    """The link that was printed last."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Open (\S+)", line):
            return found[1]
    raise AssertionError("no link")


def looks(path: Path) -> list[dict[str, Any]]:
    """What the log says of who looked."""
    from audit import Query
    from audit import Reader

    return [{"kind": one.kind, **(one.data or {})} for one in Reader(path).find(Query(kinds=("queried", "exported")))]

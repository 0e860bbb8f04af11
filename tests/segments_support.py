"""A project with a log of five months, and the real command, for the tests of what becomes of old events."""

import json
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from audit_support import BEN
from audit_support import Clock
from audit_support import commanded
from audit_support import of_request
from audit_support import requested

import countersign
from audit import Draft
from audit import Log

CONFIG = """
[audit]
key = "keys/audit.key"
{more}
[[audit.anchors]]
file = "elsewhere/anchors.jsonl"
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 0
"""
SECRET = "ana-lives-in-elm-street-17"
PLAN = {"files": [], "history": [], "diff": "", "policy": {"approvals": 0, "backup": "none", "unknown_authors": "show"}}
MONTHS = ("2026-06", "2026-07", "2026-08", "2026-09", "2026-10")


class Place:
    """A project: its folder, which is where the process is, its log, and `countersign`, as `say("audit", "seal")`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> None:
        self.folder = folder
        self.log = folder / "var" / "audit.db"
        self.anchors = folder / "elsewhere" / "anchors.jsonl"
        self.segments = folder / "var" / "audit.segments"
        self.config = folder / "countersign.toml"
        self._capsys = capsys
        self.config.write_text(CONFIG.format(more=more))
        for made in ("keys", "elsewhere"):
            (folder / made).mkdir()
        self.say("audit", "create")

    def say(self, *words: str, code: int = 0) -> dict[str, Any]:
        self._capsys.readouterr()
        found = countersign.main([*words, "--json"])
        out, told = self._capsys.readouterr()
        assert found == code, f"{words}: {out}{told}"
        answer: dict[str, Any] = json.loads(out)
        return answer

    def verified(self) -> dict[str, Any]:
        return self.say("audit", "verify", "--anchors", str(self.anchors))


def fill(log: Path) -> None:
    """Five months: six requests that are over (R-1 to R-6), one that is open (R-7), what Ana typed, and a lock."""
    clock = Clock(datetime(2026, 6, 3, tzinfo=UTC))
    with Log.open(log, clock=clock) as opened:
        for number in range(1, 7):
            request = f"R-{number}"
            opened.append([commanded(f"push prod {SECRET} {number}", stream="bot")])
            opened.append([requested(request, plan=PLAN)])
            opened.append([commanded("status", actor=BEN)])
            opened.append([of_request("cancelled", request, because=f"no, says Ana {SECRET}")])
            clock.forward(days=20)
        until = {"because": "x", "until": "2027-01-01T00:00:00.000000Z"}
        locked = Draft(
            kind="locked", actor=BEN, stream="target:shop/prod", project="shop", environment="prod", data=until
        )
        opened.append([locked])
        opened.append([requested("R-7", plan=PLAN)])
        clock.forward(days=20)
        opened.append([commanded("last")])

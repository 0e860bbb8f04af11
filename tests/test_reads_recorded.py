"""Who read the log is in the log, also while a bot has it; where it cannot be written down, nothing is shown."""

import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_support import commanded

import countersign
from audit import Log
from audit import Query
from audit import Reader
from commands.door import Door
from commands.knock import HELLO_SECONDS
from commands.knock import leave_note
from commands.knock import socket_path
from ops.layer import Ops
from ops.settings import load_settings

CONFIG = """
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 0
"""

READS = {
    "query": (["query"], ["queried"]),
    "query of a text": (["query", "--text", "ghp_0123456789abcdefABCDEF0123456789abcd"], ["queried"]),
    "export": (["export"], ["exported"]),
    "verify": (["verify"], ["queried"]),
    "anchors": (["anchors"], ["queried"]),
}

Say = Callable[..., dict[str, object]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Types a line of the terminal beside a log with one event; what it answers as JSON."""
    (tmp_path / "countersign.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> dict[str, object]:
        code = countersign.main(["audit", *words, "--json"])
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found | {"code": code}

    assert typed("create")["ok"]
    with Log.open(tmp_path / "var/audit.db") as log:
        log.append([commanded("status")])
    return typed


def reads(log: Path) -> list[str]:
    return [event.kind for event in Reader(log).find(Query(kinds=("queried", "exported")))]


@pytest.mark.parametrize(("words", "kinds"), READS.values(), ids=READS.keys())
@pytest.mark.parametrize("who", ["a bot has the log", "nobody has it"])
def test_a_look_at_the_terminal_is_in_the_log(
    say: Say, tmp_path: Path, words: list[str], kinds: list[str], who: str
) -> None:
    path = tmp_path / "var/audit.db"
    if who == "nobody has it":
        answer = say(*words)
    else:
        with Log.open(path) as log:
            door = Door(Ops(load_settings(tmp_path / "countersign.toml"), log))
            answer = say(*words)
            door.close()

    assert (answer["ok"], reads(path)) == (True, kinds)
    events = Reader(path).find(Query(kinds=tuple(kinds)))
    assert all(event.actor.startswith("os:") for event in events)
    assert "ghp_0123456789" not in str(events)


@pytest.mark.parametrize("words", [["query"], ["export"]], ids=["query", "export"])
def test_nothing_is_shown_while_another_process_has_the_log_and_writes_nothing_down(
    say: Say, tmp_path: Path, words: list[str]
) -> None:
    with Log.open(tmp_path / "var/audit.db"):
        answer = say(*words)

    assert (answer["reason"], answer["code"]) == ("log_busy", 5)
    assert "commanded" not in str(answer)


def test_a_log_that_cannot_be_written_is_read_and_that_is_told(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "var/audit.db"
    (tmp_path / "var/audit.db.lock").unlink(missing_ok=True)
    (tmp_path / "var/audit.db.lock").mkdir()  # which even root cannot open as a file
    assert stat.S_ISDIR((tmp_path / "var/audit.db.lock").stat().st_mode)
    answer = say("verify")

    assert answer["ok"] is True
    assert answer["unrecorded"]
    assert reads(path) == []


@pytest.mark.parametrize(
    "note",
    [
        {"kind": "approved", "data": {}},
        {"kind": "queried", "data": {"query": 1}},
        {"kind": "queried", "data": {"query": "x", "rows": 1, "more": 1}},
        {"kind": "queried"},
        "queried",
        {"kind": "refused", "data": {"word": "approve", "reason": "x", "message": "x", "facts": {}}},
        {"kind": "refused", "data": {"facts": {"by": "password", "from": {"=cmd|x": 1}}}},
        {"kind": "refused", "data": {"facts": {"by": "password", "from": {"fe80::1%x": 1}}}},
        {"kind": "refused", "data": {"facts": {"by": "password", "from": {"127.0.0.1": -1}}}},
        {"kind": "refused", "data": {"facts": {"by": "password", "from": {}}}},
        {"kind": "refused", "data": {"facts": {"by": "force", "from": {"127.0.0.1": 1}}}},
    ],
    ids=[
        "a decision",
        "no text",
        "more than it may",
        "no data",
        "no note",
        "a refusal of another word",
        "a refusal from no address",
        "a refusal from a link",
        "a refusal of fewer than none",
        "a refusal of nobody",
        "a refusal by nothing",
    ],
)
def test_a_guest_can_note_nothing_else(say: Say, tmp_path: Path, note: object) -> None:
    path = tmp_path / "var/audit.db"
    with Log.open(path) as log:
        door = Door(Ops(load_settings(tmp_path / "countersign.toml"), log))
        before = log_size(path)
        with socket.socket(socket.AF_UNIX) as guest:
            guest.settimeout(HELLO_SECONDS)
            guest.connect(str(socket_path(path)))
            answers = guest.makefile()
            answers.readline()
            guest.sendall(json.dumps({"note": note}).encode() + b"\n")
            assert "true" not in answers.readline()
        door.close()
    assert log_size(path) == before


def log_size(path: Path) -> int:
    return Reader(path).size()


def test_no_note_is_left_where_nobody_answers(tmp_path: Path) -> None:
    assert leave_note(tmp_path / "audit.db", "queried", {"query": "x", "rows": 0}) is False

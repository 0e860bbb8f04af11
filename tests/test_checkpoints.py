"""Checkpoints by the real command, put into a file, onto a web server and into a git repository; then verified from there."""

import json
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest
from audit_support import commanded

import countersign
from audit import Draft
from audit import Log
from audit import Query
from audit import Reader
from commands.doctor_signing import signing
from ops.settings import load_settings

CONFIG = """
[audit]
key = "keys/audit.key"
{anchors}
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 0
"""

Say = Callable[..., dict[str, Any]]


class _Taken(BaseHTTPRequestHandler):
    bodies: list[str]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        type(self).bodies.append(f"{self.headers['Authorization']}|{body}")
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[str, type[_Taken]]]:
    """A server that takes posts; its URL and what it took."""
    handler = type("Taken", (_Taken,), {"bodies": [], "status": 200})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/anchors", handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Types a line of the terminal and returns what it answers as JSON, with its exit code."""
    (tmp_path / "countersign.toml").write_text(CONFIG.format(anchors=""))
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> dict[str, Any]:
        code = countersign.main(["audit", *words, "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found | {"code": code}

    assert typed("create")["ok"]
    return typed


def configure(folder: Path, *anchors: str) -> None:
    (folder / "countersign.toml").write_text(CONFIG.format(anchors=f"anchors = [{', '.join(anchors)}]"))


def grow(folder: Path, count: int) -> None:
    with Log.open(folder / "var" / "audit.db") as log:
        log.append([commanded(f"status {number}") for number in range(count)])


def test_checkpoints_go_to_every_place_and_are_verified_from_each(
    say: Say, tmp_path: Path, web: tuple[str, type[_Taken]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, taken = web
    monkeypatch.setenv("ANCHOR_TOKEN", "Bearer hunter2hunter2")
    remote = tmp_path / "anchors-remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    configure(
        tmp_path,
        '{ file = "elsewhere.jsonl" }',
        f'{{ url = "{url}", headers = {{ Authorization = "$ANCHOR_TOKEN" }} }}',
        f'{{ git = "{remote}" }}',
    )
    public = say("key")["key"]
    grow(tmp_path, 5)
    first = say("checkpoint")
    grow(tmp_path, 5)
    second = say("checkpoint")
    assert first["size"] < second["size"]
    assert first["unpublished"] == second["unpublished"] == {}
    assert len(second["published"]) == 3

    for place in ("elsewhere.jsonl", f"git:{remote}"):
        found = say("verify", "--anchors", place, "--key", public)
        assert (found["ok"], found["anchors"], found["anchored"]) == (True, 2, second["size"])
    assert [body.split("|", 1)[0] for body in taken.bodies] == ["Bearer hunter2hunter2"] * 2
    (tmp_path / "posted.txt").write_text("\n".join(taken.bodies))
    assert say("verify", "--anchors", "posted.txt")["anchors"] == 2
    assert b"hunter2" not in (tmp_path / "var" / "audit.db").read_bytes()
    listed = say("anchors")["anchors"]
    assert [one["size"] for one in listed] == [second["size"], first["size"]]
    assert len(listed[0]["published"]) == 3


def test_a_place_that_fails_is_told_and_the_next_checkpoint_covers_it(
    say: Say, tmp_path: Path, web: tuple[str, type[_Taken]]
) -> None:
    url, taken = web
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "countersign.toml")
    configure(tmp_path, f'{{ url = "{url}" }}', '{ file = "link.jsonl" }', '{ file = "gone/anchors.jsonl" }')
    say("key")
    taken.status = 503
    made = say("checkpoint")
    assert (made["ok"], made["published"]) == (True, {})
    assert "it answered 503" in made["unpublished"][url.replace(url.split("/")[2], "127.0.0.1")]
    assert len(made["unpublished"]) == 3
    assert "anchors = " in (tmp_path / "countersign.toml").read_text()
    taken.status = 200
    assert len(say("checkpoint")["published"]) == 1


def test_a_copy_is_verified_where_nothing_else_of_it_is(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, '{ file = "elsewhere.jsonl" }')
    public = say("key")["key"]
    grow(tmp_path, 5)
    size = say("checkpoint")["size"]
    events = say("backup", "copy.db")["size"]
    recorded = Reader(tmp_path / "var" / "audit.db").size()
    desk = tmp_path / "auditor"
    desk.mkdir()
    for name in ("copy.db", "elsewhere.jsonl"):
        (tmp_path / name).rename(desk / name)
    bytes_before = (desk / "copy.db").read_bytes()

    found = say("verify", str(desk / "copy.db"))
    assert (found["ok"], found["events"], found.get("unrecorded")) == (True, events, None)
    assert Reader(tmp_path / "var" / "audit.db").size() == recorded  # it was not this log that was looked at
    assert say("verify", "var/audit.db")["ok"]
    assert Reader(tmp_path / "var" / "audit.db").size() == recorded + 1  # by its name it is itself

    monkeypatch.chdir(desk)  # without a configuration
    found = say("verify", "copy.db", "--anchors", "elsewhere.jsonl", "--key", public)
    assert (found["ok"], found["anchored"]) == (True, size)
    assert (desk / "copy.db").read_bytes() == bytes_before
    assert sorted(path.name for path in desk.iterdir()) == ["copy.db", "elsewhere.jsonl"]
    with closing(sqlite3.connect(desk / "copy.db")) as connection:
        connection.executescript("drop trigger event_no_update; update event set kind = 'noted' where seq = 3")
    assert say("verify", "copy.db")["code"] == 1
    for words, reason in ((["verify", "nowhere.db"], "bad_usage"), (["verify"], "bad_config")):
        assert [say(*words)[key] for key in ("reason", "code")] == [reason, 2]


def test_the_next_time_only_what_is_new_is_read(say: Say, tmp_path: Path) -> None:
    configure(tmp_path, '{ file = "elsewhere.jsonl" }')
    say("key")
    assert say("verify", "--since-checkpoint")["ok"]  # nothing is known yet, so all is read
    assert say("verify", "--since-checkpoint")["reason"] == "bad_usage"
    grow(tmp_path, 5)
    say("checkpoint")
    first = say("verify", "--anchors", "elsewhere.jsonl", "--since-checkpoint")
    assert (first["ok"], first["since"] > 0, first["anchored"] > first["since"]) == (True, True, True)
    kept = (tmp_path / "var" / "audit.db.verified").read_text()
    grow(tmp_path, 5)
    say("checkpoint")
    second = say("verify", "--anchors", "elsewhere.jsonl", "--since-checkpoint")
    assert (second["ok"], second["since"]) == (True, first["events"])
    assert second["anchored"] == say("verify", "--anchors", "elsewhere.jsonl")["anchored"]

    (tmp_path / "old.jsonl").write_text((tmp_path / "elsewhere.jsonl").read_text().splitlines()[0])
    assert say("verify", "--anchors", "old.jsonl", "--since-checkpoint")["since"] == 0  # no anchor proves what it was

    made_up = json.loads(kept)
    made_up["tree"]["hashes"] = ["00" * 32 for _ in made_up["tree"]["hashes"]]
    (tmp_path / "var" / "audit.db.verified").write_text(json.dumps(made_up))
    found = say("verify", "--anchors", "elsewhere.jsonl", "--since-checkpoint")
    assert [one["code"] for one in found["problems"]] == ["anchor"]
    (tmp_path / "var" / "audit.db.verified").write_text(json.dumps(json.loads(kept) | {"head": "00" * 32}))
    found = say("verify", "--anchors", "elsewhere.jsonl", "--since-checkpoint")
    assert "seen" in {one["code"] for one in found["problems"]}


def test_without_a_key_nothing_is_signed_and_it_says_how(say: Say, tmp_path: Path) -> None:
    refused = say("checkpoint")
    assert (refused["ok"], refused["reason"], refused["code"]) == (False, "bad_config", 2)
    assert "audit key" in refused["hint"]
    (tmp_path / "countersign.toml").write_text(CONFIG.format(anchors="").replace('key = "keys/audit.key"', ""))
    assert 'key = "var/audit.key"' in say("checkpoint")["hint"]
    assert say("verify")["ok"]


def test_keys_change_in_two_steps_and_old_checkpoints_count(say: Say, tmp_path: Path) -> None:
    configure(tmp_path, '{ file = "elsewhere.jsonl" }')
    old = say("key", "--name", "first")["key"]
    assert say("key")["key"] == old
    say("checkpoint")
    changed = say("key", "--rotate", "--name", "second")
    assert changed["previous"] == old
    assert changed["key"] != old
    assert say("key", "--rotate")["reason"] == "bad_usage"
    assert say("checkpoint")["note"].count("\n— ") == 2
    assert say("key", "--retire")["key"] == changed["key"]
    assert say("checkpoint")["note"].count("\n— ") == 1
    assert say("key", "--retire")["reason"] == "bad_usage"
    assert say("verify", "--anchors", "elsewhere.jsonl")["anchors"] == 3
    assert say("verify", "--anchors", "elsewhere.jsonl", "--key", old)["anchors"] == 2
    assert say("verify", "--anchors", "elsewhere.jsonl", "--key", changed["key"])["anchors"] == 2


def test_a_log_that_was_computed_anew_is_found_by_an_anchor_only(say: Say, tmp_path: Path) -> None:
    configure(tmp_path, '{ file = "elsewhere.jsonl" }')
    say("key")
    grow(tmp_path, 4)
    say("checkpoint")
    log, other = tmp_path / "var" / "audit.db", tmp_path / "other.db"
    Log.create(other)
    with closing(sqlite3.connect(log)) as old:
        log_id = old.execute("SELECT id FROM log").fetchone()[0]
    with closing(sqlite3.connect(other, isolation_level=None)) as made:
        made.executescript("DROP TRIGGER log_no_update")
        made.execute("UPDATE log SET id = ?", (log_id,))
        made.execute(
            "CREATE TRIGGER log_no_update BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'log: append only'); END"
        )
    with Log.open(other) as forged:
        forged.append([commanded("nothing happened here", actor="slack:T0ACME/U0EVE") for _ in range(30)])
    for end in ("-wal", "-shm"):
        log.with_name(log.name + end).unlink(missing_ok=True)
    shutil.copy(other, log)
    assert say("verify")["ok"]  # the chain alone cannot know
    found = say("verify", "--anchors", "elsewhere.jsonl")
    assert (found["ok"], found["code"], [one["code"] for one in found["problems"]]) == (False, 1, ["anchor"])
    refused = say("checkpoint")
    assert not refused["ok"]
    assert "another event" in refused["message"]


def test_a_lost_memory_does_not_have_another_history_signed(say: Say, tmp_path: Path) -> None:
    configure(tmp_path, '{ file = "elsewhere.jsonl" }')
    say("key")
    grow(tmp_path, 4)
    old = tmp_path / "old.db"
    shutil.copy(tmp_path / "var" / "audit.db", old)
    grow(tmp_path, 4)
    say("checkpoint")
    memory = tmp_path / "keys" / "audit.key.signed"
    memory.unlink()
    assert say("checkpoint")["ok"]  # the file of anchors says what was signed, and the log is that one grown
    memory.unlink()
    shutil.copy(old, tmp_path / "var" / "audit.db")
    grow(tmp_path, 30)
    refused = say("checkpoint")
    assert (refused["ok"], "is not the one that was signed" in refused["message"]) == (False, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["verify", "--anchors", "nothing.jsonl"], "cannot be read"),
        (["verify", "--anchors", "git:/nowhere"], "cannot be read"),
        (["verify", "--anchors", "countersign.toml", "--key", "nonsense+"], "no public key"),
        (["verify", "--anchors", "countersign.toml", "--key", "/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(say: Say, words: list[str], reason: str) -> None:
    refused = say(*words)
    assert (refused["ok"], refused["code"]) == (False, 2)
    assert reason in refused["message"]


def test_the_bot_keeps_the_log_to_itself(say: Say, tmp_path: Path) -> None:
    say("key")
    with Log.open(tmp_path / "var" / "audit.db"):
        refused = say("checkpoint")
    assert (refused["ok"], refused["reason"], refused["code"]) == (False, "log_busy", 5)
    assert "the bot signs by itself" in refused["hint"]


def told(folder: Path, now: datetime) -> list[tuple[str, str]]:
    return list(signing(load_settings(folder / "countersign.toml"), now))


def test_doctor_says_since_when_nothing_arrives_at_a_place(say: Say, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    configure(tmp_path, '{ file = "elsewhere/anchors.jsonl" }', '{ file = "other.jsonl" }')
    say("key")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    say("checkpoint")
    elsewhere.rename(tmp_path / "gone")
    for _ in range(2):
        say("checkpoint")
    first = Reader(tmp_path / "var" / "audit.db").find(Query(kinds=("checkpoint_unpublished",)))[0]

    [failing] = [words for state, words in told(tmp_path, now) if words.startswith("it is not at")]
    assert f"since {first.at:%Y-%m-%d %H:%M} UTC (2 checkpoints). Mend that place" in failing
    assert str(elsewhere / "anchors.jsonl") in failing

    (tmp_path / "gone").rename(elsewhere)
    say("checkpoint")
    assert not [words for _, words in told(tmp_path, now) if words.startswith("it is not at")]


def test_doctor_calls_no_checkpoint_overdue_where_only_checkpoints_were_made(say: Say, tmp_path: Path) -> None:
    """What became of each at many places, and the end of the bot, are events behind it too."""
    configure(tmp_path, *(f'{{ file = "place-{number}.jsonl" }}' for number in range(4)))
    say("key")
    assert "overdue since" in str(
        told(tmp_path, datetime.now(UTC) + timedelta(days=1))
    )  # that of the key is not signed
    say("checkpoint")
    with Log.open(tmp_path / "var" / "audit.db") as log:
        log.append([Draft(kind="bot_stopped", actor="system:bot", stream="bot", data={"because": "asked to stop"})])
    assert "overdue" not in str(told(tmp_path, datetime.now(UTC) + timedelta(days=30)))


def test_doctor_says_what_signs_the_log_and_what_does_not(say: Say, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert told(tmp_path, now)[0][0] == "problem"  # no such key yet
    say("key", "--name", "acme")
    found = told(tmp_path, now)
    assert found[0] == ("ok", "signed by acme")
    assert [state for state, _ in found] == ["ok", "warning", "warning"]
    assert "put nowhere else" in found[1][1]
    assert "no checkpoint was signed yet" in found[2][1]

    configure(tmp_path, '{ file = "elsewhere.jsonl" }', '{ file = "gone/anchors.jsonl" }')
    say("checkpoint")
    found = told(tmp_path, now)
    assert [state for state, _ in found] == ["ok", "warning", "problem", "ok", "warning"]
    assert "on the same disk as the log" in found[1][1]
    assert "cannot be written to" in found[4][1]
    grow(tmp_path, 9)
    assert "warning" in {state for state, words in told(tmp_path, now + timedelta(hours=4)) if "newest" in words}

    [overdue] = [words for _, words in told(tmp_path, now + timedelta(hours=4)) if "newest" in words]
    began = Reader(tmp_path / "var" / "audit.db").find(Query(kinds=("commanded",)))[0].at
    assert (
        f"overdue since {began + timedelta(hours=1):%Y-%m-%d %H:%M} UTC: 9 events from {began:%Y-%m-%d %H:%M}"
        in overdue
    )
    assert "`countersign audit checkpoint` signs at once" in overdue
    assert "overdue" not in str(told(tmp_path, now + timedelta(hours=2)))  # the bot's own delays are no fault
    say("checkpoint")
    assert "overdue" not in str(told(tmp_path, now + timedelta(hours=4)))

    (tmp_path / "keys" / "audit.key").chmod(0o644)
    assert "Others than its owner can read" in told(tmp_path, now)[0][1]
    (tmp_path / "countersign.toml").write_text(CONFIG.format(anchors="").replace('key = "keys/audit.key"', ""))
    assert told(tmp_path, now) == [("warning", told(tmp_path, now)[0][1])]

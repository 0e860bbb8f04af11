"""The door: who is at the other end is proven, hostile guests hurt nobody, and what was begun is finished or told."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from postgres_fixtures import open_folder
from processes import launch_bot
from processes import terminal

from audit import Event
from audit import Log
from audit import Reader
from commands.door import GUESTS_OF_ONE
from commands.door import Door
from commands.door import line_of
from commands.knock import LINE_BYTES
from commands.knock import knock
from commands.knock import short_path
from commands.knock import socket_path
from commands.words import split_line
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import terminal_actor
from ops.settings import load_settings
from sandbox.slack_answer import until
from sandbox.stage import Stage

NOBODY = 65534
SLOW = "20260101000000_slow.sql"

CONFIGURATION = """\
[projects.shop]
repository = "repository"
[projects.shop.environments.dev]
database_url = "$SHOP_DEV_DATABASE_URL"
branch = "develop"
approvals = 0
"""


def silent(_: str) -> None:
    return


@dataclass
class House:
    """A log with its door open, in this process."""

    log: Log
    door: Door

    @property
    def path(self) -> Path:
        return self.log.path

    def knock(self, *words: str, seconds: float = 1.5) -> dict[str, Any] | None:
        return knock(self.path, words, silent, seconds)

    def guest(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(10)
        with short_path(socket_path(self.path)) as name:
            connection.connect(name)
        return connection

    def events(self, kind: str) -> list[Event]:
        return [event for event in Reader(self.path).since(0, 1000) if event.kind == kind]


def open_house(folder: Path) -> Iterator[House]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "c.toml").write_text(CONFIGURATION)
    Log.create(folder / "audit.db")
    with Log.open(folder / "audit.db") as log:
        door = Door(Ops(load_settings(folder / "c.toml"), log))
        try:
            yield House(log, door)
        finally:
            door.close(5)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from open_house(tmp_path / "house")


def is_served(house: House) -> bool:
    """Whether a polite guest gets an answer, soon."""
    began = time.monotonic()
    answer = house.knock("status")
    return answer is not None and answer["exit_code"] == 0 and time.monotonic() - began < 5


def test_guest_is_who_the_system_says(house: House) -> None:
    assert is_served(house)

    [event] = house.events("commanded")
    assert event.actor == terminal_actor(os.getuid()).id
    said = {"word": "status", "arguments": [], "text": "status", "front": "terminal"}
    assert event.data == {**said, "channel": None, "thread": None, "behind": []}


def as_nobody(work: Callable[[], Any]) -> tuple[int, Any]:
    """Start a process of another user that does some work and waits to be ended: its id, and what the work gave."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, json.dumps(work()).encode() + b"\n")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        return child, json.loads(answer.readline())


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that other users can pass."""
    with open_folder() as folder:
        yield folder


def test_guest_of_another_user_is_that_user(passable: Path) -> None:
    for house in open_house(passable):
        child, answer = as_nobody(lambda house=house: house.knock("status"))  # type: ignore[misc]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

        assert answer["exit_code"] == 0
        [event] = house.events("commanded")
        assert event.actor == terminal_actor(NOBODY).id
        assert event.actor != terminal_actor(os.getuid()).id


def test_silent_guests_of_one_user_do_not_keep_others_out(passable: Path) -> None:
    for house in open_house(passable):
        kept: list[socket.socket] = []

        def crowd(house: House = house, kept: list[socket.socket] = kept) -> int:
            kept += [house.guest() for _ in range(GUESTS_OF_ONE * 2)]
            return len(kept)

        child, _ = as_nobody(crowd)
        try:
            assert is_served(house)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


HOSTILE = {
    "garbage": b"\x00\xff\x01garbage\n",
    "no object": b"[1, 2]\n",
    "a number": b"7\n",
    "no words": b'{"text": "push prod"}\n',
    "words that are text": b'{"words": "status"}\n',
    "words of numbers": b'{"words": [1]}\n',
    "nothing said": b'{"words": []}\n',
    "half a character": b'{"words": ["status", "\\ud800"]}\n',
    "deep": b"[" * 50_000 + b"\n",
    "too long": b'{"words": ["' + b"x" * LINE_BYTES + b'"]}\n',
    "ten megabytes": b"x" * 10_000_000,
    "half a line": b'{"words": ["sta',
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_guest_is_shown_out_and_others_are_served(
    house: House, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with house.guest() as guest:
        assert b"hello" in guest.recv(1000)
        with contextlib.suppress(ConnectionError):  # shown out while it still talks
            guest.sendall(HOSTILE[name])
        assert is_served(house)
        guest.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert guest.recv(1000) == b""

    assert len(house.events("commanded")) == 1
    assert "Traceback" not in caplog.text


def test_silent_guest_is_shown_out(house: House) -> None:
    with house.guest() as guest:
        assert b"hello" in guest.recv(1000)
        assert guest.recv(1000) == b""  # the socket's own timeout would raise
    assert is_served(house)


def test_many_guests_at_once_are_served_or_sent_away_unheard(house: House) -> None:
    with (
        contextlib.ExitStack() as crowd,
        contextlib.suppress(BlockingIOError),
    ):  # those who wait outside are limited too
        for _ in range(100):
            crowd.enter_context(house.guest())

    assert until(lambda: is_served(house) or None, 5)


def test_guest_cannot_choose_the_acts_id(house: House) -> None:
    """Else a word could be said under the id of one that is in the log, or get at its answer."""
    for _ in range(2):
        with house.guest() as guest:
            guest.recv(1000)
            guest.sendall(b'{"words": ["status"], "act": "door:mine", "actor": "os:host/root", "id": "x"}\n')
            assert b'"reply"' in guest.recv(100_000)

    said = house.events("commanded")
    assert len({event.id for event in said}) == 2
    assert all(event.id.startswith("door:") and "mine" not in event.id for event in said)
    assert {event.actor for event in said} == {terminal_actor(os.getuid()).id}


def test_line_that_is_too_long_is_told_before_it_is_said(house: House) -> None:
    with pytest.raises(OpsError) as caught:
        house.knock("cancel", "R-1", "x" * LINE_BYTES)
    assert caught.value.reason is Reason.BAD_USAGE


def test_folder_may_be_deeper_than_a_sockets_name_is_long(tmp_path: Path) -> None:
    for house in open_house(tmp_path.joinpath(*["deep-in-a-folder"] * 12)):
        assert len(str(socket_path(house.path))) > 108
        assert is_served(house)


@pytest.mark.parametrize("left", ["socket", "file"])
def test_what_a_dead_process_left_at_the_door_is_no_hindrance(
    tmp_path: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "audit.db.sock"
    if left == "socket":
        monkeypatch.chdir(tmp_path)  # the path of a socket may be 107 letters long
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(place.name)
    else:
        place.write_text("")
    assert knock(tmp_path / "audit.db", ["status"], silent) is None

    for house in open_house(tmp_path):
        assert is_served(house)
    assert not place.exists()


def test_door_that_closes_lets_those_inside_finish(house: House) -> None:
    with house.guest() as guest:
        guest.recv(1000)
        guest.sendall(b'{"words": ["status"]}\n')
        assert b'"exit_code": 0' in guest.recv(100_000)


@pytest.mark.parametrize(
    "words",
    [
        ["reject", "R-1", "it’s bad"],
        ["reject", "R-1", "it's bad"],
        ["reject", "R-1", 'she said "no"'],
        ["reject", "R-1", "“quoted” – and — dashed"],
        ["reject", "R-1", "$(rm -rf /); `x` \\ *"],
        ["push", "prod", "--wait", "5s"],
        ["show", ""],
    ],
    ids=lambda words: words[-1] or "empty",
)
def test_words_arrive_as_they_were_said(words: list[str]) -> None:
    """But for curly quotes and long dashes, which are straightened."""
    straight = str.maketrans({"’": "'", "“": '"', "”": '"', "–": "-", "—": "--"})
    heard = split_line(line_of(words))

    assert [word.replace("--", "-") for word in heard] == [
        word.translate(straight).replace("--", "-") for word in words
    ]


def slow(make_stage: Callable[..., Stage], seconds: float = 2) -> Stage:
    """A stage on which a push to dev takes a while."""
    stage = make_stage(empty=True)
    stage.migration(SLOW, f"select pg_sleep({seconds});\ncreate table slow (id int primary key);\n")
    return stage


def test_second_terminal_is_answered_while_a_push_runs_in_the_first(make_stage: Callable[..., Stage]) -> None:
    stage = slow(make_stage, 7)  # longer than the second push waits for the target
    first = terminal(stage, "push", "dev", "--json")
    assert until(lambda: stage.events("started") or None, 15)

    began = time.monotonic()
    status = stage.cli("status", "--json")
    assert time.monotonic() - began < 1.5
    stage.migration("20260102000000_more.sql", "create table more (id int primary key);\n")
    push = stage.cli("push", "dev", "--json")

    out, _ = first.communicate(timeout=30)
    [running] = status.json["targets"][0]["open"]
    assert (status.code, running["request"], running["status"]) == (0, "R-1", "running")
    assert (push.code, push.json["status"], push.json["ok"]) == (5, "busy", False)
    assert (first.returncode, json.loads(out)["status"]) == (0, "succeeded")
    assert stage.cli("audit", "verify").code == 0


def test_bot_waits_for_a_terminal_and_serves_terminals_then(make_stage: Callable[..., Stage]) -> None:
    stage = slow(make_stage, 6)
    push = terminal(stage, "push", "dev", "--json")
    assert until(lambda: stage.events("started") or None, 15)
    launch_bot(stage, "log_is_busy")

    assert push.communicate(timeout=60)[0]
    assert push.returncode == 0
    assert until(lambda: "bot_ready" in stage.bot_log.read_text() or None, 15)
    served = stage.cli("status", "--json")
    assert served.code == 0
    assert stage.events("commanded")[-1].id.startswith("door:")
    assert [event.kind for event in stage.events("succeeded", "bot_started")] == [
        "succeeded",
        "succeeded",
        "bot_started",
    ]


def test_guest_who_leaves_does_not_stop_the_work(make_stage: Callable[..., Stage]) -> None:
    stage = slow(make_stage)
    stage.start_bot()
    push = terminal(stage, "push", "dev")
    assert until(lambda: stage.events("started") or None, 15)

    push.kill()
    push.communicate()

    assert until(lambda: stage.events("succeeded") or None, 20)
    assert stage.sql("dev", "select count(*) from slow") == [(0,)]


def test_holder_that_is_killed_leaves_an_unknown_outcome(make_stage: Callable[..., Stage]) -> None:
    stage = slow(make_stage, 20)
    stage.start_bot()
    push = terminal(stage, "push", "dev", "--json")
    assert until(lambda: stage.events("started") or None, 15)

    stage.stop_bot(signal.SIGKILL)

    out, _ = push.communicate(timeout=10)
    assert (push.returncode, json.loads(out)["reason"]) == (1, "outcome_unknown")


def test_log_whose_holder_does_not_answer_is_busy_at_once(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.start_bot()
    assert stage.bot is not None
    os.kill(stage.bot.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ran = stage.cli("status", "--json")
        took = time.monotonic() - began
    finally:
        os.kill(stage.bot.pid, signal.SIGCONT)

    assert (ran.code, ran.json["reason"], ran.json["status"]) == (5, "log_busy", "busy")
    assert "The log is busy; nothing was done." in ran.json["message"]
    assert took < 10


def test_log_that_is_held_without_a_door_is_busy_at_once(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    with stage.log_path.with_name("audit.db.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        ran = stage.cli("push", "dev", "--json")
        took = time.monotonic() - began
        create = stage.cli("audit", "create", "--json")

    assert (ran.code, ran.json["reason"]) == (5, "log_busy")
    assert took < 10
    assert (create.code, create.json["reason"]) == (5, "log_busy")

"""The bot's ways to Slack, with the real bot as a process: two sockets, back-off, one HTTP session, a clean end."""

import os
import re
import signal
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import launch_bot

from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import until
from sandbox.stage import Stage


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A stage for tests that leave its bot as they found it."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        stage.start_bot()
        yield stage


@pytest.fixture
def connected(shop: Stage) -> Stage:
    """The stage once both connections are up."""
    assert until(lambda: len(alive(shop)) == 2 or None, 15)
    return shop


def alive(stage: Stage) -> list[object]:
    return [socket for socket in stage.slack.sockets.live if not socket.black_holed]


def addresses_asked_for(stage: Stage) -> int:
    return sum(method == "apps.connections.open" for _, method, _ in stage.slack.calls)


def status(stage: Stage, user: str = "U0ANA") -> str | None:
    """What Slack shows to somebody who types a command: None when all is well."""
    return stage.slack.say(user, "/migrate status").delivery.error


def test_one_socket_that_breaks_fails_no_command(connected: Stage) -> None:
    connected.slack.sockets.live[0].request.transport.abort()

    errors = {status(connected) for _ in range(20)}

    assert errors == {None}
    assert until(lambda: len(alive(connected)) == 2 or None, 15)


def test_dead_socket_that_does_not_close_is_replaced_within_seconds(connected: Stage) -> None:
    connected.slack.black_hole()
    began = time.monotonic()

    assert until(lambda: alive(connected) or None, 15)
    assert time.monotonic() - began < 10
    assert until(lambda: len(alive(connected)) == 2 or None, 15)
    assert status(connected) is None


def test_bot_does_not_ask_for_new_sockets_as_fast_as_it_can(make_stage: Callable[..., Stage]) -> None:
    """The client underneath asks hundreds of times a second."""
    stage = make_stage(empty=True)
    stage.start_bot()
    before = addresses_asked_for(stage)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        stage.slack.disconnect("too_many_websockets")
        time.sleep(0.05)

    assert 1 <= addresses_asked_for(stage) - before <= 12
    assert "socket_waits" in stage.bot_log.read_text()


def test_socket_that_slack_moves_comes_back_at_once(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.start_bot()
    old = list(stage.slack.sockets.live)

    stage.slack.disconnect("refresh_requested")

    assert until(lambda: (len(alive(stage)) == 2 and not set(old) & set(stage.slack.sockets.live)) or None, 3)
    assert status(stage) is None


def test_bot_comes_back_after_slack_was_down(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.start_bot()

    stage.slack.down = True
    time.sleep(2)
    stage.slack.down = False

    assert until(lambda: alive(stage) or None, 20)
    assert status(stage) is None


def test_an_address_is_not_tried_for_ever(make_stage: Callable[..., Stage]) -> None:
    """An address opens one connection, once; after an outage an old one opens nothing."""
    stage = make_stage(empty=True)
    stage.slack.sockets.new_ticket = lambda: "opens-nothing"  # type: ignore[method-assign]
    launch_bot(stage, "Failed to connect")
    del stage.slack.sockets.new_ticket

    assert until(lambda: alive(stage) or None, 25)


def connections_to(port: int) -> set[str]:
    """The client ends of all TCP connections with this port that the system remembers, closed ones (TIME_WAIT) too."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = line.split()[1:3]
        ends = {int(end.rpartition(":")[2], 16): end for end in (local, remote)}
        state = line.split()[3]
        if port in ends and state != "0A":  # 0A: listening
            found.add(next((end for number, end in ends.items() if number != port), ""))
    return found


def test_calls_share_their_connections(connected: Stage) -> None:
    status(connected)
    before = connections_to(connected.slack.port)
    calls = len(connected.slack.calls)

    for number in range(15):
        assert "Nothing waits" in connected.slack.say(
            "U0ANA", f"/migrate status {'dev' if number % 2 else 'prod'}"
        ).text(5)

    assert len(connected.slack.calls) - calls >= 15
    assert len(connections_to(connected.slack.port) - before) <= 2


@pytest.mark.parametrize("fault", [429, 503])
def test_call_that_slack_puts_off_is_made_again(connected: Stage, fault: int) -> None:
    connected.slack.fail("users.info", fault)
    connected.slack.fail("usergroups.list", fault)

    answer = connected.slack.say("U0BEN", "/migrate help")

    assert until(lambda: "what people approve is what runs" in answer.text(1) or None, 10), answer.text(1)


def stop(stage: Stage) -> float:
    """End the bot politely; the seconds that it took."""
    began = time.monotonic()
    stage.stop_bot(signal.SIGTERM)
    return time.monotonic() - began


def test_bot_that_is_told_to_stop_says_goodbye_and_leaves_no_traceback(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.start_bot()
    bot = stage.bot
    status(stage)

    assert stop(stage) < 5
    assert bot is not None
    assert bot.returncode == 0
    assert [event.kind for event in stage.events() if event.stream == "bot"] == [
        "configured",
        "bot_started",
        "bot_stopped",
    ]
    told = stage.bot_log.read_text()
    assert re.search("Traceback|Unclosed|never retrieved|was destroyed", told) is None
    assert stage.slack.bot_token not in told
    assert stage.slack.app_token not in told
    assert not list(stage.log_path.parent.glob("*.sock"))


def test_bot_stops_quickly_though_its_sockets_are_dead(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.start_bot()
    stage.slack.black_hole()

    assert stop(stage) < 6
    assert stage.events()[-1].kind == "bot_stopped"


def test_act_that_is_being_done_is_finished_before_the_bot_stops(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.migration("20260101000000_slow.sql", "select pg_sleep(1.5);\ncreate table slow (id int primary key);\n")
    stage.start_bot()
    stage.slack.say("U0ANA", "/migrate push dev")
    assert until(lambda: stage.events("started") or None, 15)

    assert stop(stage) < 12
    assert stage.events("succeeded")
    assert stage.events()[-1].kind == "bot_stopped"
    assert stage.sql("dev", "select count(*) from slow") == [(0,)]
    assert "Traceback" not in stage.bot_log.read_text()


def test_bot_that_waits_for_slack_can_be_stopped(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    stage.slack.down = True
    launch_bot(stage, "slack_does_not_answer")

    assert stop(stage) < 15
    assert "Traceback" not in stage.bot_log.read_text()


@pytest.mark.parametrize("name", ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"])
@pytest.mark.parametrize("value", ["", "xoxb-not-ours"])
def test_token_that_is_missing_or_wrong_is_named(
    shop: Stage, name: str, value: str, make_stage: Callable[..., Stage]
) -> None:
    stage = make_stage(empty=True)
    stage.environment[name] = value

    ran = stage.cli("bot", "--port", "0", "--json")

    assert (ran.code, ran.json["reason"]) == (2, "bad_config")
    assert name in ran.json["message"]
    assert "xoxb" not in ran.out + ran.err
    assert "Traceback" not in ran.err


def test_two_bots_take_turns(shop: Stage) -> None:
    """A second bot waits for the log and takes over when the first one ends."""
    assert shop.bot is not None
    first = shop.bot
    launch_bot(shop, "log_is_busy")

    os.killpg(first.pid, signal.SIGTERM)

    assert first.wait(10) == 0
    assert until(lambda: shop.events()[-1].kind == "bot_started" or None, 10)
    assert until(lambda: len(alive(shop)) == 2 or None, 10)

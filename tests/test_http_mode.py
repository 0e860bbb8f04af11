"""HTTP mode and the probes, with the real bot: signatures, their age, replays, and who may see the numbers."""

import hashlib
import hmac
import http.client
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from processes import free_port

from bot.probes import METRICS
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import until
from sandbox.stage import Stage

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Answer:
    status: int
    text: str


def ask(port: int, method: str, path: str, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path)
    for name, value in [("Content-Length", str(len(body))), *(headers or [])]:
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    return Answer(response.status, response.read().decode())


class Shop:
    """A stage whose bot listens for Slack's posts."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage = stage
        self.port = port

    def command(self, words: str = "status", trigger: str | None = None) -> bytes:
        fields = {
            "team_id": "T0ACME",
            "user_id": "U0ANA",
            "channel_id": "C0DEPLOYS",
            "command": "/migrate",
            "text": words,
            "trigger_id": trigger or f"{time.time_ns()}.1.x",
            "response_url": f"{self.stage.slack.url}/response/none",
            "api_app_id": "A0",
        }
        return urlencode(fields).encode()

    def signed(self, body: bytes, *, secret: str = "", age_seconds: int = 0) -> list[tuple[str, str]]:
        at = str(int(time.time()) - age_seconds)
        key = (secret or self.stage.slack.signing_secret).encode()
        digest = hmac.new(key, f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
        return [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Slack-Request-Timestamp", at),
            ("X-Slack-Signature", f"v0={digest}"),
        ]

    def post(self, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        return ask(self.port, "POST", "/slack/events", body, headers)

    def commanded(self) -> int:
        return len(self.stage.events("commanded"))


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Shop]:
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        port = free_port()
        stage.start_bot("--http", "--port", str(port))
        yield Shop(stage, port)


def test_signed_command_is_taken_and_written_down(shop: Shop) -> None:
    before = shop.commanded()
    body = shop.command()

    answer = shop.post(body, shop.signed(body))

    assert answer.status == 200
    assert shop.commanded() == before + 1


@pytest.mark.parametrize(
    ("age_seconds", "status"),
    [(295, 200), (305, 401), (-295, 200), (-305, 401)],
    ids=["just young enough", "too old", "a fast clock", "from the future"],
)
def test_signature_is_good_for_five_minutes_both_ways(shop: Shop, age_seconds: int, status: int) -> None:
    body = shop.command()

    assert shop.post(body, shop.signed(body, age_seconds=age_seconds)).status == status


def without(headers: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    return [(one, value) for one, value in headers if one != name]


FORGERIES: dict[str, Callable[[Shop, bytes], list[tuple[str, str]]]] = {
    "wrong secret": lambda shop, body: shop.signed(body, secret="not Slack's"),
    "no signature": lambda shop, body: without(shop.signed(body), "X-Slack-Signature"),
    "no time": lambda shop, body: without(shop.signed(body), "X-Slack-Request-Timestamp"),
    "another body's signature": lambda shop, body: shop.signed(body + b"&text=push+prod"),
    "no headers at all": lambda shop, body: [],
    "time that is no number": lambda shop, body: [
        (name, "now" if "Timestamp" in name else value) for name, value in shop.signed(body)
    ],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_request_that_slack_did_not_sign_is_refused_and_not_done(shop: Shop, forgery: str) -> None:
    before = shop.commanded()
    body = shop.command("push prod")

    answer = shop.post(body, FORGERIES[forgery](shop, body))

    assert answer.status == 401
    assert shop.commanded() == before


def test_replay_is_refused(shop: Shop) -> None:
    body = shop.command()
    headers = shop.signed(body)
    assert shop.post(body, headers).status == 200
    before = shop.commanded()

    assert shop.post(body, headers).status == 401
    assert shop.post(body, [("X-Slack-Signature", "v0=other"), *headers]).status == 401
    assert shop.post(body, [*headers, ("X-Slack-Signature", "v0=other")]).status == 401
    assert shop.commanded() == before


def test_replay_is_refused_after_a_flood_of_forgeries(shop: Shop) -> None:
    body = shop.command()
    headers = shop.signed(body)
    assert shop.post(body, headers).status == 200
    forged = {
        shop.post(body, [*without(headers, "X-Slack-Signature"), ("X-Slack-Signature", f"v0={n}")]).status
        for n in range(50)
    }

    assert forged == {401}
    assert shop.post(body, headers).status == 401


def test_same_act_signed_anew_is_done_once(shop: Shop) -> None:
    body = shop.command(trigger="77.7.seven")
    before = shop.commanded()

    assert [shop.post(body, shop.signed(body, age_seconds=age)).status for age in (0, 10, 20)] == [200, 200, 200]
    assert shop.commanded() == before + 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/slack/events", b"", 405),
        ("POST", "/slack/other", b"", 404),
        ("POST", "/slack/events", b"\xff\xfe", 400),
        ("POST", "/slack/events", b"x" * (5 * 2**20), 413),
    ],
    ids=["get", "other path", "no text", "too large"],
)
def test_other_requests_are_refused(shop: Shop, method: str, path: str, body: bytes, status: int) -> None:
    assert ask(shop.port, method, path, body, shop.signed(body)).status == status


def numbers(text: str) -> dict[str, float]:
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_probes_answer_this_host_alone(shop: Shop) -> None:
    assert ask(shop.port, "GET", "/healthz") == Answer(200, "ok\n")
    found = numbers(ask(shop.port, "GET", "/metrics").text)

    assert found == {
        "countersign_ready": 1,
        "countersign_log_writable": 1,
        "countersign_sockets_connected": 0,
        "countersign_requests_open": 0,
        "countersign_runs_active": 0,
    }
    for path in ("/healthz", "/metrics"):
        for header in ("X-Forwarded-For", "Forwarded"):
            assert ask(shop.port, "GET", path, headers=[(header, "for=198.51.100.7")]).status == 404


def test_every_number_is_documented(shop: Shop) -> None:
    documented = (ROOT / "docs" / "slack.md").read_text()

    assert numbers(ask(shop.port, "GET", "/metrics").text).keys() == METRICS.keys()
    assert [name for name in METRICS if f"`{name}`" not in documented] == []


def test_bot_is_not_healthy_when_its_log_is_gone(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    port = free_port()
    stage.start_bot("--http", "--port", str(port))
    assert ask(port, "GET", "/healthz").status == 200

    stage.log_path.rename(stage.log_path.with_name("elsewhere.db"))

    assert ask(port, "GET", "/healthz") == Answer(503, "not ready\n")
    found = numbers(ask(port, "GET", "/metrics").text)
    assert (found["countersign_ready"], found["countersign_log_writable"]) == (0, 0)


def test_bot_is_not_healthy_without_a_socket(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    port = free_port()
    stage.start_bot("--port", str(port))
    assert numbers(ask(port, "GET", "/metrics").text)["countersign_sockets_connected"] == 2
    assert ask(port, "GET", "/healthz").status == 200

    stage.slack.down = True

    assert until(lambda: ask(port, "GET", "/healthz").status == 503 or None, 15)


def test_port_that_is_taken_is_named(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        ran = stage.cli("bot", "--http", "--port", str(port), "--json")

        assert (ran.code, ran.json["reason"]) == (2, "bad_config")
        assert f"127.0.0.1:{port} cannot be listened on" in ran.json["message"]
        assert "Traceback" not in ran.err
        stage.start_bot("--port", str(port))  # Socket Mode does without
        assert "no_probes" in stage.bot_log.read_text()


def test_bot_stops_quickly_though_somebody_keeps_a_connection(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True)
    port = free_port()
    stage.start_bot("--http", "--port", str(port))
    with socket.create_connection(("127.0.0.1", port)) as open_connection:
        open_connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert open_connection.recv(1000)
        began = time.monotonic()
        stage.stop_bot()

    assert time.monotonic() - began < 5
    assert stage.events()[-1].kind == "bot_stopped"
    assert "Traceback" not in stage.bot_log.read_text()


def test_nothing_of_all_this_left_a_traceback_or_a_secret_in_the_bots_log(shop: Shop) -> None:
    """The last test of this file, so that it sees what the others sent."""
    told = shop.stage.bot_log.read_text()

    assert "Traceback" not in told
    assert shop.stage.slack.signing_secret not in told
    assert shop.stage.slack.bot_token not in told

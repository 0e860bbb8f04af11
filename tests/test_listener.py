"""What the listener lets in: addresses as browsers say them, budgets of clients and of strangers, streams that end."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from ci_support import BEARER
from ci_support import ROOT
from ci_support import free_port

from audit import Log
from audit import Reader
from bot import ci_door
from bot.ci_door import REFUSALS
from bot.ci_door import STRANGERS
from bot.ci_door import CiDoor
from bot.listener import BODIES_OF_ONE
from bot.listener import POINTS
from bot.listener import REFUSED_POINTS
from bot.listener import Budget
from bot.listener import Listener
from bot.value_page import ValuePages
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.listener_settings import Listener as Table
from ops.listener_settings import origin_of
from ops.settings import load_settings
from sandbox.github import FakeGithub

URL = "https://bot.acme.example"
SETTINGS = """
[listener]
url = "https://bot.acme.example"
[projects.shop]
repository = "repository"
[projects.shop.environments.dev]
database_url = "$DEV"
branch = "develop"
approvals = 0
[projects.shop.environments.eu]
database_url = "$EU"
branch = "develop"
approvals = 0
[ci]
issuer = "{issuer}"
[[ci.github]]
repository_id = "712345678"
project = "shop"
environments = ["dev"]
ref = "refs/heads/main"
workflow = "acme/shop/.github/workflows/production.yml"
[[ci.tokens]]
name = "elsewhere"
token = "$SHOP_CI_TOKEN"
project = "shop"
environments = ["dev", "eu"]
"""


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Bot.Example.com", "https://bot.example.com"),
        ("https://bot.example.com:443", "https://bot.example.com"),
        ("https://bot.example.com:8443/", "https://bot.example.com:8443"),
        ("https://bot.example.com/countersign", "https://bot.example.com"),
        ("HTTPS://BOT.example.com", "https://bot.example.com"),
        ("http://[::1]:8750", "http://[::1]:8750"),
        ("http://localhost:80", "http://localhost"),
    ],
)
def test_a_form_comes_from_the_origin_as_browsers_say_it(url: str, origin: str) -> None:
    table = Table(url=url)
    pages: Any = ValuePages(SimpleNamespace(settings=SimpleNamespace(listener=table)))  # type: ignore[arg-type]

    def is_ours(said: str) -> bool:
        return bool(pages._is_ours(SimpleNamespace(headers={"Origin": said, "Sec-Fetch-Site": "same-origin"})))

    assert origin_of(table.url) == origin
    assert is_ours(origin)
    assert not any(
        map(is_ours, (origin + ".evil.example", origin + ":1", "https://evil.example", "null", origin + "/x"))
    )
    assert pages._is_https is origin.startswith("https:")


def test_who_is_refused_over_and_over_is_kept_out_however_slowly_it_knocks() -> None:
    budget, refused = Budget(), 0
    for second in range(600):
        if budget.take("a", second):
            budget.charge("a", REFUSED_POINTS)
            refused += 1
    assert refused <= 11 * (POINTS / (1 + REFUSED_POINTS)) + 1
    for _ in range(100):
        budget.charge("a", REFUSED_POINTS)
    assert not budget.take("a", 600)
    assert budget.take("a", 600 + 61)


async def _status(port: int, client: str, path: str, *, length: int = 0) -> int:
    """The status that a client gets; of `length` bytes that it promises none comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    try:
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come about")


def test_bodies_of_one_client_that_do_not_come_keep_nobody_else_out() -> None:
    async def said() -> tuple[int, int, list[int]]:
        listener, go = Listener(Table(listen=f"127.0.0.1:{free_port()}", url="http://127.0.0.1")), asyncio.Event()
        port = listener._table.port

        async def waits(_: web.Request) -> web.Response:
            await go.wait()
            return web.Response()

        listener.add_routes([web.post("/waits", waits)])
        await listener.start()
        slow = [asyncio.create_task(_status(port, "203.0.113.1", "/x", length=9)) for _ in range(BODIES_OF_ONE)]
        await _until(lambda: listener._bodies["203.0.113.1"] == BODIES_OF_ONE)
        same, other = await _status(port, "203.0.113.1", "/x"), await _status(port, "203.0.113.2", "/x")
        waiters = []
        for _ in range(BODIES_OF_ONE + 4):  # these are served, and their bodies are there: they do not count as such
            waiters.append(asyncio.create_task(_status(port, "203.0.113.3", "/waits")))
            await _until(lambda: listener._at_once == len(slow) + len(waiters))
        go.set()
        waited = list(await asyncio.gather(*waiters))
        for one in slow:
            one.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await listener.close()
        assert not listener._bodies
        return same, other, waited

    same, other, waited = asyncio.run(said())

    assert (same, other) == (503, 404)
    assert waited == [200] * (BODIES_OF_ONE + 4)


class Desk:
    """The door for CI, in this process."""

    def __init__(self, folder: Path, github: FakeGithub, log: Log) -> None:
        (folder / "c.toml").write_text(SETTINGS.format(issuer=github.url))
        self.github = github
        self.log = log
        self.ops = Ops(load_settings(folder / "c.toml"), log)

    def door(self, heavy: ThreadPoolExecutor) -> Any:
        ci = self.ops.settings.ci
        assert ci is not None
        return CiDoor(self.ops, ci, URL, heavy)

    def count(self) -> dict[str, int]:
        kinds = [one.kind for one in Reader(self.log.path).since(0, 1000)]
        return {kind: kinds.count(kind) for kind in ("ci_admitted", "refused")}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SHOP_CI_TOKEN", BEARER)
    Log.create(tmp_path / "audit.db")
    with FakeGithub() as github, Log.open(tmp_path / "audit.db") as log:
        yield Desk(tmp_path, github, log)


def test_strangers_leave_few_lines_and_take_no_place_of_ours(desk: Desk) -> None:
    async def knock() -> None:
        with ThreadPoolExecutor(1) as heavy:
            door = desk.door(heavy)

            async def refused(count: int, **claims: Any) -> None:
                for _ in range(count):
                    token = desk.github.sign(desk.github.claims("a" * 40, aud=URL, **claims))
                    with pytest.raises(OpsError) as error:
                        await asyncio.to_thread(door._github_job, token, "plan")
                    assert error.value.reason is Reason.NOT_ALLOWED

            await refused(STRANGERS + 5, repository_id="999")
            assert desk.count() == {"ci_admitted": STRANGERS, "refused": STRANGERS}
            await refused(REFUSALS + 5, ref="refs/heads/other")
            token = desk.github.sign(desk.github.claims("a" * 40, aud=URL))
            assert (await asyncio.to_thread(door._github_job, token, "plan")).maps

    asyncio.run(knock())

    assert desk.count() == {"ci_admitted": STRANGERS + REFUSALS + 1, "refused": STRANGERS + REFUSALS}


def test_a_key_is_of_one_line_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same key for another environment or commit is another asking, and is not answered with what became of the first."""
    acts: list[str] = []

    async def no_stream(*_: Any) -> Any:
        return None

    async def ask() -> None:
        with ThreadPoolExecutor(1) as heavy:
            door = desk.door(heavy)
            door._begin = lambda act, *_: acts.append(act)
            for environment, commit in (("dev", "a" * 40), ("eu", "a" * 40), ("dev", "b" * 40), ("dev", "a" * 40)):
                body = json.dumps({"environment": environment, "commit": commit, "key": "k" * 32}).encode()
                fake: Any = SimpleNamespace(read=lambda body=body: asyncio.sleep(0, body), headers=_Bearer())
                door._works.clear()
                await door._ask(fake, "push")

    monkeypatch.setattr(ci_door, "_stream", no_stream)
    asyncio.run(ask())

    assert len(acts) == 4
    assert acts[0] == acts[3]
    assert len(set(acts)) == 3


class _Bearer:
    def getall(self, *_: Any) -> list[str]:
        return [f"Bearer {BEARER}"]


def _raises(error: Exception) -> Any:
    def raises(*_: Any) -> Any:
        raise error

    return raises


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (_raises(OpsError(Reason.UNKNOWN_REQUEST, "gone")), "unknown_request"),
        (_raises(RuntimeError("nobody foresaw")), "unexpected"),
        (lambda *_: (SimpleNamespace(status_at=_raises(KeyError("of the answer"))), "told"), "unexpected"),
    ],
)
def test_a_stream_ends_whatever_goes_wrong(look: Any, reason: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ci_door, "look_at", look)

    async def follow() -> Any:
        with ThreadPoolExecutor(1) as heavy:
            work = ci_door._Work()
            await desk.door(heavy)._follow(work, "R-1", 5)
            return work.answer

    assert asyncio.run(follow())["reply"]["reason"] == reason


def test_status_loads_no_driver_and_no_grammar() -> None:
    """A terminal that asks how things stand is answered at once: both take longer than all of the rest."""
    code = (
        "import sys, commands.status; print(sorted({'psycopg', 'pglast', 'asyncio', 'ops.outside'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert ran.stdout.strip() == "[]"

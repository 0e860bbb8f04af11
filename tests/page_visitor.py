"""Helpers for tests of the demo's page: a browser's requests, made by hand so that hostile ones can be made too."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from sandbox.page import PageServer
from sandbox.page import listen
from sandbox.page_world import World
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import until
from sandbox.stage import Stage

QUICK = 'approvals = 1\napprovers = ["@database-owners"]\nbackup = "none"'
"""The demo's rules without a backup, so that a run takes a moment only."""

DEPLOYS, PARTNER = "C0DEPLOYS", "C0PARTNER"


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Visitor:
    """A browser that has the page open, and the world behind it for a look."""

    page: PageServer
    world: World
    headers: dict[str, str] = field(default_factory=lambda: {"X-Countersign-Demo": "1"})

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str | None] | None = None
    ) -> Response:
        """One request with these headers instead of a browser's; None leaves one out."""
        host = f"127.0.0.1:{self.page.port}"
        sent = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json", **self.headers}
        told = {name: value for name, value in {**sent, **(headers or {})}.items() if value is not None}
        with closing(http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=40)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in told.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            if body is not None:
                connection.send(body)
            answer = connection.getresponse()
            return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, path: str) -> dict[str, Any]:
        found = self.send("GET", path, headers={"Content-Type": None})
        assert found.status == 200, found.body
        return found.json

    def post(self, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        found = self.send("POST", path, json.dumps(body).encode())
        assert found.status == status, found.body
        return found.json

    # --- as a person -----------------------------------------------------------------------------------

    def state(self, who: str) -> dict[str, Any]:
        return self.get(f"/api/state?as={who}")

    def say(self, who: str, text: str, channel: str = DEPLOYS, thread_ts: str | None = None) -> dict[str, Any]:
        return self.post("/api/say", **{"as": who}, channel=channel, text=text, thread_ts=thread_ts)

    def break_it(self, what: str) -> dict[str, str]:
        return self.post("/api/break", what=what)

    def message(self, who: str, words: str, seconds: float = 30) -> dict[str, Any]:
        """The newest message that this person sees and whose text has these words, once there is one."""

        def look() -> dict[str, Any] | None:
            return next((one for one in reversed(self.state(who)["messages"]) if words in one["text"]), None)

        found = until(look, seconds)
        assert found is not None, [one["text"] for one in self.state(who)["messages"]]
        return found

    def press(self, who: str, label: str, words: str, seconds: float = 30) -> dict[str, Any]:
        """Press the button with this label of the newest message with these words."""

        def look() -> dict[str, Any] | None:
            message = self.message(who, words)
            for block in message["blocks"]:
                for button in block.get("elements", []):
                    if button.get("type") == "button" and button["text"]["text"].startswith(label):
                        return {
                            "message": message["ts"],
                            "block_id": block["block_id"],
                            "action_id": button["action_id"],
                        }
            return None

        found = until(look, seconds)
        assert found is not None, f"no button {label!r} in {words!r}"
        return self.post("/api/click", **{"as": who}, **found)

    def ask(self, who: str = "U0ANA") -> str:
        """Ask for a push to prod; the request's number once it can be approved."""
        before = len(self.world.stage.events("requested"))
        assert self.say(who, "/migrate push prod") == {"error": None, "told": None}
        self.wait(lambda: len(self.world.stage.events("requested")) > before)
        number = str(self.world.stage.events("requested")[-1].request)
        self.wait(lambda: any(one.request == number for one in self.world.stage.events("shown")))
        return number

    def step(self, step_id: str) -> bool:
        """Whether a step of the guide is done."""
        return bool(next(one["done"] for one in self.state("U0ANA")["guide"] if one["id"] == step_id))

    def wait(self, look: Any, seconds: float = 30) -> None:
        assert until(lambda: look() or None, seconds), "it never came to be"

    @contextmanager
    def live(self, who: str = "U0ANA") -> Iterator[Iterator[int]]:
        """The stream of revisions."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)) as connection:
            connection.request("GET", f"/api/live?as={who}")
            answer = connection.getresponse()
            assert answer.getheader("Content-Type") == "text/event-stream"
            yield (json.loads(line[6:])["revision"] for line in answer if line.startswith(b"data: "))


@contextmanager
def open_page(postgres: LocalPostgres) -> Iterator[Visitor]:
    """A page on a stage of its own, the bot running."""
    with (
        Stage(postgres=postgres, rate_limits=False, movable_clock=True, prod=QUICK) as stage,
        World(stage) as world,
        PageServer(world, listen(0)) as page,
    ):
        world.start_bot()
        yield Visitor(page, world)

"""The web page of the demo: a local Slack in the browser, served on loopback to the browser of this machine alone."""

import asyncio
import contextlib
import hmac
import json
import logging
import socket
import threading
import uuid
from collections.abc import Awaitable
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from typing import TypeVar

from aiohttp import web
from pydantic import ValidationError

from ops.errors import OpsError
from ops.errors import Reason
from sandbox import page_acts
from sandbox.loop_server import LoopServer
from sandbox.page_bodies import Body
from sandbox.page_bodies import Break
from sandbox.page_bodies import Click
from sandbox.page_bodies import ClickView
from sandbox.page_bodies import Clock
from sandbox.page_bodies import FaultSwitches
from sandbox.page_bodies import Say
from sandbox.page_bodies import Strict
from sandbox.page_bodies import Submit
from sandbox.page_bodies import ViewOf
from sandbox.page_break import break_something
from sandbox.page_guide import guide_json
from sandbox.page_look import log_json
from sandbox.page_look import schema_json
from sandbox.page_seen import open_file
from sandbox.page_seen import state_json
from sandbox.page_world import BadRequestError
from sandbox.page_world import World
from sandbox.slack_workspace import Person

logger = logging.getLogger("countersign.page")

STATIC = Path(__file__).parent / "static"
FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/app.css": ("app.css", "text/css"),
}
THREADS = 24
LARGEST_BODY_BYTES = 64 * 1024
LOOK_SECONDS = 0.05
HEARTBEAT_SECONDS = 15.0
HEADER = "X-Countersign-Demo"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SHOWN_TYPES = {".txt": "text/plain", ".sql": "text/plain", ".log": "text/plain", ".png": "image/png"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asked = TypeVar("Asked", bound=Strict)


def listen(port: int) -> socket.socket:
    """A socket on this port of 127.0.0.1 (0: any). Raises OpsError(BAD_CONFIG) when the port is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        message = f"The page cannot be served on 127.0.0.1:{port}: {error.strerror}."
        hint = "Choose another port, for example: countersign demo --port 8801 (0 takes any that is free)."
        raise OpsError(Reason.BAD_CONFIG, message, hint) from error
    return listening


class PageServer(LoopServer):
    """Serves one world to browsers, on a thread with a loop of its own. `with PageServer(world, listen(0)) as page:`"""

    def __init__(self, world: World, listening: socket.socket) -> None:
        super().__init__("page")
        self.world = world
        self.port: int = listening.getsockname()[1]
        self._listening = listening
        self._hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="page")

    @property
    def url(self) -> str:
        return f"{super().url}/"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY_BYTES, middlewares=[self._guarded])
        for path in FILES:
            app.router.add_get(path, self._static)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/live", self._live)
        app.router.add_get("/api/file/{id}", self._file)
        app.router.add_get("/api/schema", self._schema)
        app.router.add_get("/api/log", self._log)
        app.router.add_post("/api/say", self._say)
        app.router.add_post("/api/click", self._click)
        app.router.add_post("/api/submit", self._submit)
        app.router.add_post("/api/close", self._close_modal)
        app.router.add_post("/api/modal/click", self._modal_click)
        app.router.add_post("/api/home", self._home)
        app.router.add_post("/api/home/click", self._home_click)
        app.router.add_post("/api/clock", self._clock)
        app.router.add_post("/api/faults", self._faults)
        app.router.add_post("/api/break", self._break)
        return app

    def site(self, runner: web.AppRunner) -> web.BaseSite:
        return web.SockSite(runner, self._listening)

    async def shut_down(self) -> None:
        self._over.set()
        await super().shut_down()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- at the door ---------------------------------------------------------------------------------

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only this page's own requests; every failure is one sentence, and nothing of ours leaks into it."""
        try:
            response = self._refusal(request) or await handler(request)
        except BadRequestError as error:
            response = _problem(400, str(error))
        except web.HTTPException as error:
            response = _problem(error.status, f"{error.reason}.")
        except Exception:
            reference = uuid.uuid4().hex[:8]
            logger.exception("page_failed reference=%s", reference)
            response = _problem(500, f"Something went wrong that nobody foresaw (reference {reference}).")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        """No other site may reach in: not by a name that leads to loopback, not by a form, not by a script."""
        if request.headers.getall("Host", []) not in ([host] for host in self._hosts):
            return _problem(403, "This page answers to 127.0.0.1 and localhost alone.")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return _problem(403, "Another site asked for this.")
        if request.method == "POST":
            if request.content_type != "application/json":
                return _problem(403, "What is sent here is JSON.")
            if not hmac.compare_digest(request.headers.get(HEADER, ""), "1"):
                return _problem(403, f"The header {HEADER} is missing.")
        return None

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Blocking work, off the loop."""
        return await self._loop.run_in_executor(self._pool, work, *arguments)

    def _me(self, request: web.Request) -> Person:
        return self.world.person(request.query.get("as", ""))

    # --- looking -------------------------------------------------------------------------------------

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name, kind = FILES[request.path]
        try:
            content = await self._in_thread((STATIC / name).read_bytes)
        except FileNotFoundError:
            return _problem(404, f"{name} has not been built: see sandbox/web.")
        return web.Response(body=content, content_type=kind, charset="utf-8")

    async def _state(self, request: web.Request) -> web.StreamResponse:
        person = self._me(request)

        def look() -> dict[str, Any]:
            return {**state_json(self.world, person), "guide": guide_json(self.world)}

        return web.json_response(await self._in_thread(look))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Tell of every change, and of being alive, until the browser goes away or the demo ends."""
        self._me(request)
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            await self._tell_changes(request, response)
        return response

    async def _tell_changes(self, request: web.Request, response: web.StreamResponse) -> None:
        sent, sent_at = -1, 0.0
        while not self._over.is_set() and request.transport is not None:
            revision = await self._in_thread(self.world.revision)
            now = self._loop.time()
            if revision != sent:
                await response.write(f"data: {json.dumps({'revision': revision})}\n\n".encode())
                sent, sent_at = revision, now
            elif now - sent_at > HEARTBEAT_SECONDS:
                await response.write(b": here\n\n")
                sent_at = now
            await asyncio.sleep(LOOK_SECONDS)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name, content = await self._in_thread(open_file, self.world, self._me(request), request.match_info["id"])
        kind = SHOWN_TYPES.get(Path(name).suffix.lower())
        if kind == "image/png" and not content.startswith(b"\x89PNG\r\n"):
            kind = None
        if kind is None:
            headers = {"Content-Disposition": "attachment"}
            return web.Response(body=content, content_type="application/octet-stream", headers=headers)
        return web.Response(body=content, content_type=kind, charset="utf-8" if kind == "text/plain" else None)

    async def _schema(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._in_thread(schema_json, self.world))

    async def _log(self, request: web.Request) -> web.StreamResponse:
        before = _number(request, "before", least=1, most=2**53, default=None)
        limit = _number(request, "limit", least=1, most=1000, default=100)
        return web.json_response(await self._in_thread(log_json, self.world, before, limit))

    # --- acting --------------------------------------------------------------------------------------

    async def _say(self, request: web.Request) -> web.StreamResponse:
        said = await _read(request, Say)
        person = self.world.person(said.who)
        done = page_acts.say, self.world, person, said.channel, said.text, said.thread_ts
        return web.json_response(await self._in_thread(*done))

    async def _click(self, request: web.Request) -> web.StreamResponse:
        click = await _read(request, Click)
        person = self.world.person(click.who)
        done = page_acts.click, self.world, person, click.message, click.block_id, click.action_id
        return web.json_response(await self._in_thread(*done))

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        form = await _read(request, Submit)
        person = self.world.person(form.who)
        return web.json_response(await self._in_thread(page_acts.submit, self.world, person, form.view, form.values))

    async def _close_modal(self, request: web.Request) -> web.StreamResponse:
        closed = await _read(request, ViewOf)
        person = self.world.person(closed.who)
        return web.json_response(await self._in_thread(page_acts.close, self.world, person, closed.view))

    async def _modal_click(self, request: web.Request) -> web.StreamResponse:
        click = await _read(request, ClickView)
        person = self.world.person(click.who)
        done = page_acts.click_modal, self.world, person, click.view, click.block_id, click.action_id
        return web.json_response(await self._in_thread(*done))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        person = self.world.person((await _read(request, Body)).who)
        return web.json_response(await self._in_thread(page_acts.open_home, self.world, person))

    async def _home_click(self, request: web.Request) -> web.StreamResponse:
        click = await _read(request, ClickView)
        person = self.world.person(click.who)
        done = page_acts.click_home, self.world, person, click.block_id, click.action_id
        return web.json_response(await self._in_thread(*done))

    # --- the switches --------------------------------------------------------------------------------

    async def _clock(self, request: web.Request) -> web.StreamResponse:
        forward = await _read(request, Clock)
        try:
            now = await self._in_thread(self.world.clock.forward, forward.forward_seconds)
        except ValueError as error:
            raise BadRequestError(str(error)) from error
        return web.json_response({"now": now.isoformat()})

    async def _faults(self, request: web.Request) -> web.StreamResponse:
        switches = await _read(request, FaultSwitches)
        self.world.set_faults(down=switches.down, rate_limited=switches.rate_limited, slow=switches.slow)
        return web.json_response({})

    async def _break(self, request: web.Request) -> web.StreamResponse:
        asked = await _read(request, Break)
        return web.json_response(await self._in_thread(break_something, self.world, asked.what))


async def _read(request: web.Request, shape: type[Asked]) -> Asked:
    """The body of a POST. Raises BadRequestError that names what is wrong, HTTPException when it is too large."""
    try:
        return shape.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise BadRequestError(f"{place}: {first['msg']}.") from error


def _number(request: web.Request, name: str, *, least: int, most: int, default: int | None) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and least <= int(text) <= most):
        raise BadRequestError(f"{name} is a number from {least} to {most}.")
    return int(text)


def _problem(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)

"""The fake Slack as a server on loopback: its URLs, tokens, rate limits and faults. `slack` adds what people do."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from collections.abc import Coroutine
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader
from aiohttp import web

from sandbox import slack_chat
from sandbox import slack_files
from sandbox.loop_server import LoopServer
from sandbox.slack_delivery import Delivery
from sandbox.slack_delivery import Kind
from sandbox.slack_delivery import SignedHttp
from sandbox.slack_delivery import Sockets
from sandbox.slack_limits import Drop
from sandbox.slack_limits import Fault
from sandbox.slack_limits import Faults
from sandbox.slack_limits import RateLimits
from sandbox.slack_methods import ALL_SCOPES
from sandbox.slack_methods import COMPLETE_UPLOAD
from sandbox.slack_methods import METHODS
from sandbox.slack_methods import OPEN_CONNECTION
from sandbox.slack_methods import SERVER_METHODS
from sandbox.slack_rules import SlackError
from sandbox.slack_shapes import JSON
from sandbox.slack_state import SlackState
from sandbox.slack_workspace import Workspace
from sandbox.slack_workspace import demo_workspace

LARGEST_BODY_BYTES = 64 * 2**20
JSON_FIELDS = {
    "blocks": "invalid_blocks_format",
    "metadata": "invalid_metadata_format",
    "view": "invalid_arguments",
    "files": "invalid_arguments",
    "attachments": "invalid_attachments",
}
EVENT_RETRY_SECONDS = (0.0, 60.0, 300.0)


class SlackServer(LoopServer):
    """A Slack for one workspace and one app, on 127.0.0.1, in a thread with a loop of its own.

    `deliver_to` is the app's request URL; without it everything goes over Socket Mode. `clock` gives seconds since
    1970 and drives message times, triggers, response URLs and rate limits; the time for an acknowledgement
    (`ack_seconds`) is real time.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        *,
        bot_token: str | None = None,
        app_token: str | None = None,
        signing_secret: str | None = None,
        deliver_to: str | None = None,
        rate_limits: bool = True,
        ack_seconds: float = 3.0,
        scan_seconds: float = 0.0,
        event_retry_seconds: tuple[float, ...] = EVENT_RETRY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("slack")
        self.workspace = workspace or demo_workspace()
        self.bot_token = bot_token or f"xoxb-{secrets.token_hex(12)}"
        self.app_token = app_token or f"xapp-{secrets.token_hex(12)}"
        self.signing_secret = signing_secret or secrets.token_hex(16)
        self.scopes = set(ALL_SCOPES)
        self.state = SlackState(self.workspace, clock)
        self.limits = RateLimits(clock, rate_limits)
        self.faults = Faults()
        self.sockets = Sockets(self.state.app_id, ack_seconds)
        self.deliver_twice = False
        self._http = SignedHttp(deliver_to, self.signing_secret, ack_seconds, clock) if deliver_to else None
        self._down = False
        self._scan_seconds = scan_seconds
        self._event_retry_seconds = event_retry_seconds
        self._background: set[asyncio.Task[Any]] = set()

    # --- life ----------------------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """The base URL for Slack's clients; ends with a slash."""
        return f"{self.url}/api/"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link", self._link)
        app.router.add_post("/response/{id}", self._response)
        app.router.add_route("*", "/upload/{id}", self._upload)
        return app

    async def shut_down(self) -> None:
        for task in self._background:
            task.cancel()
        self.sockets.abort()
        await super().shut_down()

    # --- what goes wrong -----------------------------------------------------------------------------

    def fail(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` (or of `response_url`, `upload`) fail so: code, HTTP status or `Drop`."""
        self.faults.add(method, *faults)

    def heal(self, method: str) -> None:
        """From now on this method's calls go their way again."""
        self.faults.clear(method)

    def slow(self, method: str, seconds: float) -> None:
        """From now on each call of `method` takes that much longer; 0 ends it."""
        self.faults.latency_seconds[method] = seconds

    @property
    def down(self) -> bool:
        """Whether all of Slack is down: 503 everywhere, no sockets, nothing delivered."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        if down:
            self._loop.call_soon_threadsafe(self.sockets.abort)

    def disconnect(self, reason: str) -> None:
        """Tell every socket to go: `warning`, `refresh_requested`, `link_disabled`, `too_many_websockets`."""
        self.run(self.sockets.say_disconnect(reason))

    def abort_sockets(self) -> None:
        """Break every socket's connection without a word."""
        self._loop.call_soon_threadsafe(self.sockets.abort)

    def black_hole(self) -> None:
        """The sockets that are open now stay open and neither hear nor answer any more."""
        for socket in list(self.sockets.live):
            socket.black_holed = True

    # --- handing over --------------------------------------------------------------------------------

    def deliver(self, kind: Kind, payload: JSON) -> Delivery:
        """Hand something to the bot and wait until it is acknowledged or the person sees an error."""
        return self.run(self._deliver(kind, payload))

    async def _deliver(self, kind: Kind, payload: JSON) -> Delivery:
        if self._down:
            return Delivery("dispatch_failed", {}, 0.0)
        if self.deliver_twice:
            self._later(self._hand_over(kind, payload, {}))
        first = await self._hand_over(kind, payload, {"retry_attempt": 0} if kind == "events_api" else {})
        if first.error and kind == "events_api":
            self._later(self._retry(payload))
        return first

    async def _hand_over(self, kind: Kind, payload: JSON, retry: JSON) -> Delivery:
        way = self._http or self.sockets
        return await way.deliver(kind, payload, retry)

    async def _retry(self, payload: JSON) -> None:
        """Events come again when nobody took them: at once, after a minute, after five."""
        for attempt, wait_seconds in enumerate(self._event_retry_seconds, start=1):
            await asyncio.sleep(wait_seconds)
            retry = {"retry_attempt": attempt, "retry_reason": "timeout"}
            if not (await self._hand_over("events_api", payload, retry)).error:
                return

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- URLs ----------------------------------------------------------------------------------------

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self._down:
            return web.Response(status=503)
        return await self.sockets.serve(request)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            body = await _read_body(request)
        except SlackError as error:
            return _refusal(error)
        self.state.record(name, body)
        token = _token(request, body)
        return await self._with_faults(request, name, lambda: self._call(name, body, token))

    async def _response(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await _read_body(request)
        except SlackError as error:
            return _refusal(error, status=400)
        self.state.record("response_url", body)

        def answer() -> web.Response:
            try:
                slack_chat.respond(self.state, request.match_info["id"], body)
            except SlackError as error:
                return _refusal(error, status=404 if error.code.endswith("_url") else 400)
            return web.Response(text="ok")

        return await self._with_faults(request, "response_url", answer)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        content = await _read_upload(request)

        def keep() -> web.Response:
            try:
                slack_files.receive(self.state, request.match_info["id"], content)
            except SlackError as error:
                return web.Response(status=400, text=error.code)
            return web.Response(text=f"OK - {len(content)}")

        return await self._with_faults(request, "upload", keep)

    async def _with_faults(
        self, request: web.Request, name: str, work: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Do the work unless Slack is down or a fault was asked for; `work` runs under the state's lock."""
        await asyncio.sleep(self.faults.latency_seconds[name] + self.faults.all_latency_seconds)
        if self._down:
            return web.Response(status=503, text="down")
        fault = self.faults.next(name)
        if isinstance(fault, int):
            headers = {"Retry-After": "1"} if fault == 429 else {}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=fault, headers=headers)
        if isinstance(fault, str) and not isinstance(fault, Drop):
            return _refusal(SlackError(fault))
        if fault is Drop.BEFORE:
            return _dropped(request)
        with self.state.lock:
            response = work()
        return _dropped(request) if fault is Drop.AFTER else response

    def _call(self, name: str, body: JSON, token: str) -> web.Response:
        known = METHODS.get(name)
        if known is None and name not in SERVER_METHODS:
            return _refusal(SlackError("unknown_method"))
        tier, scope = (known.tier, known.scope) if known else SERVER_METHODS[name]
        try:
            self._check_token(name, scope, token)
            wait_seconds = self.limits.wait_seconds(name, tier, str(body.get("channel", "")))
            if wait_seconds:
                headers = {"Retry-After": str(wait_seconds)}
                return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
            answer = known.run(self.state, body) if known else self._serve_method(name, body)
        except SlackError as error:
            return _refusal(error)
        if name == "files.getUploadURLExternal":
            answer["upload_url"] = f"{self.url}/upload/{answer['file_id']}"
        headers = {"x-oauth-scopes": ",".join(sorted(self.scopes))}
        return web.json_response({"ok": True, **answer}, headers=headers)

    def _serve_method(self, name: str, body: JSON) -> JSON:
        if name == COMPLETE_UPLOAD:
            return slack_files.complete_upload(self.state, body, self._scan_seconds)
        return {"url": f"ws://127.0.0.1:{self.port}/link?ticket={self.sockets.new_ticket()}"}

    def _check_token(self, name: str, scope: str, token: str) -> None:
        if not token:
            raise SlackError("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise SlackError("invalid_auth")
        if (token == self.app_token) != (name == OPEN_CONNECTION):
            raise SlackError("not_allowed_token_type")
        if token == self.bot_token and scope and scope not in self.scopes:
            raise SlackError("missing_scope", f"needed: {scope}")


def _refusal(error: SlackError, status: int = 200) -> web.Response:
    body: JSON = {"ok": False, "error": error.code}
    if error.messages:
        body["response_metadata"] = {"messages": list(error.messages)}
    return web.json_response(body, status=status)


def _dropped(request: web.Request) -> web.Response:
    """The connection breaks; the response that is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _token(request: web.Request, body: Mapping[str, Any]) -> str:
    header = request.headers.get("Authorization", "")
    return header.removeprefix("Bearer ") if header else str(body.get("token", ""))


async def _read_body(request: web.Request) -> JSON:
    """The arguments of a call: JSON, or a form in which objects are JSON texts. Raises `SlackError`."""
    body: JSON = dict(request.query)
    if request.content_type == "application/json":
        raw = await request.text()
        try:
            sent = json.loads(raw) if raw.strip() else {}
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(sent, dict):
            raise SlackError("json_not_object")
        body |= sent
    elif request.can_read_body:
        body |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    for key, code in JSON_FIELDS.items():
        if isinstance(body.get(key), str):
            try:
                body[key] = json.loads(body[key])
            except ValueError:
                raise SlackError(code) from None
    return body


async def _read_upload(request: web.Request) -> bytes:
    """The bytes of an uploaded file, sent bare or as the only part of a form."""
    if not request.content_type.startswith("multipart/"):
        return await request.read()
    content = b""
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            content += await part.read()
    return content

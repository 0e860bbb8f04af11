"""How Slack hands something to the bot and waits for its acknowledgement: Socket Mode, or signed HTTP."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Literal
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType
from aiohttp import web

from sandbox.slack_shapes import JSON

MOST_SOCKETS = 10
TICKET_SECONDS = 30.0

Kind = Literal["slash_commands", "interactive", "events_api"]


@dataclass(frozen=True)
class Delivery:
    """How one delivery ended: `error` is what the person sees when there was no acknowledgement, None when there was.

    `payload` is what the acknowledgement carried, empty when nothing.
    """

    error: str | None
    payload: JSON
    latency_seconds: float


@dataclass(eq=False)
class Socket:
    """One open Socket Mode connection; black-holed, it neither hears nor answers, and does not close."""

    ws: web.WebSocketResponse
    request: web.Request
    black_holed: bool = False


class Sockets:
    """The Socket Mode connections of the app. All of it runs on the server's loop."""

    def __init__(self, app_id: str, ack_seconds: float) -> None:
        self.live: list[Socket] = []
        self.ack_seconds = ack_seconds
        self._app_id = app_id
        self._tickets: dict[str, float] = {}
        self._waiting: dict[str, asyncio.Future[JSON]] = {}

    def new_ticket(self) -> str:
        """The secret part of a URL that opens one connection, once and soon."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = time.monotonic()
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from hello to its end."""
        asked_at = self._tickets.pop(request.query.get("ticket", ""), None)
        if asked_at is None or time.monotonic() - asked_at > TICKET_SECONDS:
            return web.Response(status=403, text="this ticket opens nothing")
        # Pings are answered by hand, since a black-holed socket must not answer them.
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        if len(self.live) >= MOST_SOCKETS:
            await ws.send_json(_disconnect("too_many_websockets"))
            await ws.close()
            return ws
        socket = Socket(ws, request)
        self.live.append(socket)
        try:
            await ws.send_json(self._hello())
            async for frame in ws:
                if not socket.black_holed:
                    await self._hear(ws, frame)
        finally:
            self.live.remove(socket)
        return ws

    async def _hear(self, ws: web.WebSocketResponse, frame: aiohttp.WSMessage) -> None:
        if frame.type == WSMsgType.PING:
            await ws.pong(frame.data)
        elif frame.type == WSMsgType.TEXT:
            answer = json.loads(frame.data)
            waiting = self._waiting.pop(answer.get("envelope_id", ""), None)
            if waiting and not waiting.done():
                waiting.set_result(answer.get("payload") or {})

    async def deliver(self, kind: Kind, payload: JSON, retry: JSON) -> Delivery:
        """Hand it to any one connection, as Slack does; the clock for the acknowledgement runs."""
        if not self.live:
            return Delivery("dispatch_failed", {}, 0.0)
        socket = secrets.choice(self.live)
        envelope_id = str(uuid.uuid4())
        waiting: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = waiting
        envelope = {"envelope_id": envelope_id, "type": kind, "payload": payload, **retry}
        envelope["accepts_response_payload"] = kind != "events_api"
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.ack_seconds):
                if not socket.black_holed:
                    await socket.ws.send_json(envelope)
                answer = await waiting
        except (TimeoutError, ConnectionError):
            self._waiting.pop(envelope_id, None)
            return Delivery("operation_timeout", {}, time.monotonic() - started)
        return Delivery(None, answer, time.monotonic() - started)

    async def say_disconnect(self, reason: str) -> None:
        """Announce a disconnect on every connection; the bot is expected to come back by itself."""
        for socket in list(self.live):
            await socket.ws.send_json(_disconnect(reason))

    def abort(self) -> None:
        """Break every connection without a word."""
        for socket in list(self.live):
            if socket.request.transport is not None:
                socket.request.transport.abort()

    async def close(self) -> None:
        """Close every connection properly."""
        for socket in list(self.live):
            await socket.ws.close(code=1001)

    def _hello(self) -> JSON:
        return {
            "type": "hello",
            "num_connections": len(self.live),
            "debug_info": {"host": "sandbox", "build_number": 1, "approximate_connection_time": 18_060},
            "connection_info": {"app_id": self._app_id},
        }


class SignedHttp:
    """Delivery to the app's request URL, signed as Slack signs (v0, HMAC-SHA256 over time and raw body)."""

    def __init__(self, url: str, secret: str, ack_seconds: float, clock: Callable[[], float]) -> None:
        self.url = url
        self.ack_seconds = ack_seconds
        self._secret = secret
        self._clock = clock

    async def deliver(self, kind: Kind, payload: JSON, retry: JSON) -> Delivery:
        """One signed POST; anything but a 200 in time is a failure."""
        body, content_type = _http_body(kind, payload)
        headers = {"Content-Type": content_type, **self._signature(body)}
        if retry.get("retry_attempt"):
            headers["X-Slack-Retry-Num"] = str(retry["retry_attempt"])
            headers["X-Slack-Retry-Reason"] = str(retry["retry_reason"])
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(self.ack_seconds),
                aiohttp.ClientSession() as session,
                session.post(self.url, data=body, headers=headers) as answer,
            ):
                raw, status = await answer.text(), answer.status
        except TimeoutError:
            return Delivery("operation_timeout", {}, time.monotonic() - started)
        except (aiohttp.ClientError, OSError):
            return Delivery("dispatch_failed", {}, time.monotonic() - started)
        failed = None if status == 200 else "dispatch_failed"
        return Delivery(failed, _http_answer(raw) if not failed else {}, time.monotonic() - started)

    def _signature(self, body: str) -> dict[str, str]:
        at = str(int(self._clock()))
        digest = hmac.new(self._secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}


def _http_body(kind: Kind, payload: JSON) -> tuple[str, str]:
    if kind == "events_api":
        return json.dumps(payload), "application/json"
    fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return urlencode(fields), "application/x-www-form-urlencoded"


def _http_answer(raw: str) -> JSON:
    """What a 200 carried: an object, or for a command plain words."""
    if not raw.strip():
        return {}
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"text": raw}


def _disconnect(reason: str) -> JSON:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}

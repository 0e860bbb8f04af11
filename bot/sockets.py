"""Socket Mode: two connections in one process, quick to notice a dead one, slow to ask for new ones when told to be."""

import asyncio
import contextlib
import logging
import random
import time
from functools import partial
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.intake import OnCommand
from bot.slack_api import error_word
from ops.errors import OpsError
from ops.errors import Reason

logger = logging.getLogger("countersign.sockets")

SOCKETS = 2
PING_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
CALM_SECONDS = 60.0
QUICK_OPENS = 3
ADDRESS_SECONDS = 5.0
CLOSE_SECONDS = 2.0
REFUSALS = frozenset(
    {"account_inactive", "invalid_auth", "not_allowed_token_type", "not_authed", "token_expired", "token_revoked"}
)
"""Slack's words for a token that will not be taken later either."""


class PatientClient(SocketModeClient):
    """Asks Slack for a new address at most as often as is polite, and uses none for long.

    The client underneath asks again at once whenever it is disconnected, `too_many_websockets` included, hundreds of
    times a second. Here three may follow each other quickly, as when Slack moves a connection; then pauses grow. It
    also tries the same address for ever, though one opens a connection only once and only for a while.
    """

    _opened: tuple[float, ...] = ()
    _address: str | None = None
    _address_at = 0.0

    @property  # type: ignore[override]
    def wss_uri(self) -> str | None:
        """The address to connect to; None when there is none, or when it has been tried for long enough."""
        return self._address if time.monotonic() < self._address_at + ADDRESS_SECONDS else None

    @wss_uri.setter
    def wss_uri(self, address: str | None) -> None:
        self._address, self._address_at = address, time.monotonic()

    async def run_message_listeners(self, message: dict[str, Any], raw_message: str) -> None:
        """Hear an envelope whose payload is no object as an empty one: underneath, it is not even acknowledged."""
        is_odd = not isinstance(message.get("payload", {}), dict)
        await super().run_message_listeners({**message, "payload": {}} if is_odd else message, raw_message)

    async def issue_new_wss_url(self) -> str:
        excess = len(self._opened_lately()) - QUICK_OPENS + 1
        if excess > 0:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**excess)
            pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads several bots, keeps no secret
            logger.warning("socket_waits seconds=%.1f", pause)
            await asyncio.sleep(pause)
        self._opened = (*self._opened_lately(), time.monotonic())
        return await self._ask_for_url()

    def _opened_lately(self) -> tuple[float, ...]:
        return tuple(at for at in self._opened if at > time.monotonic() - CALM_SECONDS)

    async def _ask_for_url(self) -> str:
        """One question after another until Slack gives an address, waiting as long as it says."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await self.web_client.apps_connections_open(app_token=self.app_token)
                return str(answer["url"])
            except SlackApiError as error:
                if error_word(error) in REFUSALS:
                    raise
                wait = float(error.response.headers.get("Retry-After") or pause)
            except (aiohttp.ClientError, TimeoutError, OSError):
                wait = pause
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            logger.warning("socket_address_refused waits_seconds=%.1f", wait)
            await asyncio.sleep(wait)


class Sockets:
    """The connections of one bot. `connected` counts those that are up.

    Slash commands go straight to `on_command`: there is nothing that Bolt has to prove about them on a socket, and its
    way to a listener takes as long as writing them down.
    """

    def __init__(self, app: AsyncApp, on_command: OnCommand, app_token: str, client: AsyncWebClient) -> None:
        self._app = app
        self._on_command = on_command
        self._clients = [self._client(app_token, client) for _ in range(SOCKETS)]

    async def connect(self) -> None:
        """Open the connections, one after the other. Raises OpsError(BAD_CONFIG) when Slack refuses the token."""
        for client in self._clients:
            try:
                client.wss_uri = await client.issue_new_wss_url()
            except SlackApiError as error:
                message = f"Slack refuses SLACK_APP_TOKEN: {error_word(error)}."
                hint = "Make an app-level token with the scope connections:write and set it."
                raise OpsError(Reason.BAD_CONFIG, message, hint) from error
            await client.connect()  # type: ignore[no-untyped-call]

    async def connected(self) -> int:
        """How many connections are up just now."""
        return sum([await client.is_connected() for client in self._clients])

    async def close(self) -> None:
        """Take nothing more in; a connection that does not say goodbye is dropped."""
        await asyncio.gather(*(self._close(client) for client in self._clients))

    async def _close(self, client: PatientClient) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.wait_for(client.close(), CLOSE_SECONDS)  # type: ignore[no-untyped-call]
        for task in (client.message_processor, client.current_session_monitor, client.message_receiver):
            if task is not None:
                task.cancel()
        await client.aiohttp_client_session.close()

    def _client(self, app_token: str, web_client: AsyncWebClient) -> PatientClient:
        client = PatientClient(app_token, logger=self._app.logger, web_client=web_client, ping_interval=PING_SECONDS)
        client.socket_mode_request_listeners.append(self._hear)
        return client

    async def _hear(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        if request.type == "slash_commands":
            await self._on_command(partial(_acknowledge, client, request), request.payload)
            return
        began = time.time()
        await send_async_response(client, request, await run_async_bolt_app(self._app, request), began)


async def _acknowledge(client: AsyncBaseSocketModeClient, request: SocketModeRequest, text: str | None = None) -> None:
    """Acknowledge one envelope, with words for the person where something went wrong."""
    payload = None if text is None else {"text": text}
    await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload))

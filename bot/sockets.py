"""Socket Mode: two connections in one process, quick to notice that one is dead, slow to ask for new ones when told to wait."""

import asyncio
import contextlib
import logging
import random
import time

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger("countersign.sockets")

SOCKETS = 2
PING_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
CALM_SECONDS = 60.0
QUICK_OPENS = 3


class PatientClient(SocketModeClient):
    """Asks Slack for a new address at most as often as is polite.

    The client underneath asks again at once whenever it is disconnected, `too_many_websockets` included, hundreds of
    times a second. Here three may follow each other quickly, as when Slack moves a connection; then pauses grow.
    """

    _opened: list[float]

    async def issue_new_wss_url(self) -> str:
        opened = [at for at in getattr(self, "_opened", []) if at > time.monotonic() - CALM_SECONDS]
        excess = len(opened) - QUICK_OPENS + 1
        if excess > 0:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**excess)
            pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads several bots, keeps no secret
            logger.warning("socket_waits seconds=%.1f opened_lately=%d", pause, len(opened))
            await asyncio.sleep(pause)
        self._opened = [*opened, time.monotonic()]
        return await self._ask_for_url()

    async def _ask_for_url(self) -> str:
        """One question after another until Slack gives an address, waiting as long as it says."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await self.web_client.apps_connections_open(app_token=self.app_token)
                return str(answer["url"])
            except SlackApiError as error:
                if error.response.get("error") in {"invalid_auth", "not_authed", "not_allowed_token_type", "account_inactive"}:
                    raise
                wait = float(error.response.headers.get("Retry-After") or pause)
            except (aiohttp.ClientError, TimeoutError, OSError):
                wait = pause
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            logger.warning("socket_address_refused waits_seconds=%.1f", wait)
            await asyncio.sleep(wait)


class Sockets:
    """The connections of one bot. `connected` counts those that are up."""

    def __init__(self, app: AsyncApp, app_token: str, client: AsyncWebClient) -> None:
        self._handlers = [self._handler(app, app_token, client) for _ in range(SOCKETS)]

    async def connect(self) -> None:
        """Open the first connection, then the others; returns when one is up."""
        await self._handlers[0].connect_async()
        for handler in self._handlers[1:]:
            with contextlib.suppress(SlackApiError, aiohttp.ClientError, TimeoutError):
                await handler.connect_async()

    async def connected(self) -> int:
        """How many connections are up just now."""
        return sum([await handler.client.is_connected() for handler in self._handlers])

    async def close(self) -> None:
        """Take nothing more in."""
        for handler in self._handlers:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.wait_for(handler.close_async(), timeout=5)

    def _handler(self, app: AsyncApp, app_token: str, client: AsyncWebClient) -> AsyncSocketModeHandler:
        handler = AsyncSocketModeHandler(app, app_token, web_client=client, ping_interval=PING_SECONDS)
        handler.client.__class__ = PatientClient  # Bolt makes its client itself and offers no other way in
        return handler

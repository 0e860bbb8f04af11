"""The rival: a bare Bolt app in Socket Mode as its own documentation begins, with its defaults. It acks and does nothing.

python -m bench.bare_bolt, with SLACK_BOT_TOKEN, SLACK_APP_TOKEN and SLACK_API_URL set.
"""

import asyncio
import os
import re
from collections.abc import Awaitable
from collections.abc import Callable

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient


async def main() -> None:
    """Serve until killed; prints bot_ready once connected."""
    client = AsyncWebClient(os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"])
    app = AsyncApp(client=client)

    async def nothing(ack: Callable[[], Awaitable[None]]) -> None:
        await ack()

    app.command(re.compile(".*"))(nothing)
    handler = AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"])
    await handler.connect_async()  # type: ignore[no-untyped-call]
    print("bot_ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

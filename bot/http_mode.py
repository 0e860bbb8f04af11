"""HTTP mode: Slack posts to /slack/events. Signatures and their age are Bolt's to check; a replay is refused here."""

import time
from collections import OrderedDict

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.adapter.aiohttp import to_bolt_request
from slack_bolt.app.async_app import AsyncApp

WINDOW_SECONDS = 300
REMEMBERED = 100_000
BODY_BYTES = 4 * 2**20


class Replays:
    """The signatures of the last five minutes: the very same request a second time is somebody else's doing."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_new(self, signature: str, now: float) -> bool:
        """True the first time; older ones than the window are forgotten, since their age refuses them."""
        while self._seen and (next(iter(self._seen.values())) < now - 2 * WINDOW_SECONDS or len(self._seen) > REMEMBERED):
            self._seen.popitem(last=False)
        if signature in self._seen:
            return False
        self._seen[signature] = now
        return True


def events_route(app: AsyncApp) -> web.Application:
    """The web application that takes what Slack sends."""
    replays = Replays()

    async def receive(request: web.Request) -> web.Response:
        signature = request.headers.get("X-Slack-Signature", "")
        if signature and not replays.is_new(signature, time.monotonic()):
            return web.Response(status=401, text="this request was received before")
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    application = web.Application(client_max_size=BODY_BYTES)
    application.router.add_post("/slack/events", receive)
    return application

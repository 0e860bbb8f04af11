"""HTTP mode: Slack posts to /slack/events. Signatures and their age are Bolt's to check; a replay is refused here."""

import re
import time
from collections import OrderedDict

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.adapter.aiohttp import to_bolt_request
from slack_bolt.app.async_app import AsyncApp

WINDOW_SECONDS = 300
BODY_BYTES = 4 * 2**20


class Replays:
    """The signatures of what was taken lately: the very same request a second time is somebody else's doing."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def is_new(self, signature: str, now: float) -> bool:
        """True the first time. What is older than the window both ways is forgotten: its age refuses it."""
        while self._seen and next(iter(self._seen.values())) < now - 2 * WINDOW_SECONDS:
            self._seen.popitem(last=False)
        if signature in self._seen:
            return False
        self._seen[signature] = now
        return True

    def forget(self, signature: str) -> None:
        """It was not taken: not signed by Slack, so nobody fills this memory from outside; or to be sent once more."""
        self._seen.pop(signature, None)


def events_route(app: AsyncApp) -> web.Application:
    """The web application that takes what Slack sends."""
    replays = Replays()

    async def receive(request: web.Request) -> web.Response:
        signatures = request.headers.getall("X-Slack-Signature", [])
        times = request.headers.getall("X-Slack-Request-Timestamp", [])
        if len(signatures) != 1 or len(times) != 1 or not re.fullmatch("[0-9]{1,12}", times[0]):
            return web.Response(status=401, text="one signature and its time are needed")
        if not replays.is_new(signatures[0], time.monotonic()):
            return web.Response(status=401, text="this request was received before")
        taken = False
        try:
            answered = await app.async_dispatch(await to_bolt_request(request))
            taken = answered.status == 200
        except UnicodeDecodeError:
            return web.Response(status=400, text="this is not UTF-8 text")
        finally:
            if not taken:
                replays.forget(signatures[0])
        return await to_aiohttp_response(answered)

    application = web.Application(client_max_size=BODY_BYTES)
    application.router.add_post("/slack/events", receive)
    return application

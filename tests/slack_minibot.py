"""A small Bolt app for the tests of the sandbox's Slack, in a thread of its own, as if in another process."""

import asyncio
import threading
from typing import Any

from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.slack import FakeSlack
from sandbox.slack_answer import until

CHANNEL = "C0DEPLOYS"


def button(label: str, value: str, **more: Any) -> dict[str, Any]:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "text": text, "action_id": label.split(maxsplit=1)[0].lower(), "value": value, **more}


def card(request: str) -> list[dict[str, Any]]:
    return [
        {"type": "header", "text": {"type": "plain_text", "text": f"{request} for shop/prod"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "Asked by <@U0ANA> &amp; shown to <!subteam^S0OWNERS>"}},
        {
            "type": "actions",
            "elements": [button("Approve", f"approve {request} ab12"), button("Reject", f"reject {request} ab12")],
        },
    ]


def reason_modal(value: str) -> dict[str, Any]:
    field = {"type": "plain_text_input", "action_id": "reason", "multiline": True, "max_length": 100}
    return {
        "type": "modal",
        "callback_id": "reject",
        "private_metadata": value,
        "title": {"type": "plain_text", "text": "Reject"},
        "submit": {"type": "plain_text", "text": "Reject"},
        "blocks": [
            {"type": "input", "block_id": "reason", "label": {"type": "plain_text", "text": "Why"}, "element": field}
        ],
    }


class MiniBot:
    """A Bolt app in a thread of its own, as a bot in another process would be."""

    def __init__(self, slack: FakeSlack, sockets: int = 1, http: bool = False) -> None:
        self.commands: list[dict[str, Any]] = []
        self.clicks: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        self.silent = False
        self.url = ""
        self._slack = slack
        self._sockets = sockets
        self._http = http
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "MiniBot":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        if not self._http:
            assert until(lambda: len(self._slack.sockets.live) >= self._sockets, 5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _start(self) -> None:
        slack = self._slack
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
        app = AsyncApp(client=client, signing_secret=slack.signing_secret, process_before_response=True)
        self._listen(app)
        self._handlers, self._runner = [], None
        if self._http:
            self._runner = web.AppRunner(app.web_app("/slack/events"))
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", int(self.url.split(":")[2].split("/")[0])).start()
        for _ in range(0 if self._http else self._sockets):
            handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=1)
            await handler.connect_async()
            self._handlers.append(handler)

    async def _stop(self) -> None:
        for handler in self._handlers:
            await handler.close_async()
        if self._runner:
            await self._runner.cleanup()

    def _listen(self, app: AsyncApp) -> None:
        @app.command("/migrate")
        async def command(ack: Any, body: dict[str, Any], respond: Any, client: AsyncWebClient) -> None:
            self.commands.append(body)
            if self.silent:
                return
            match body["text"].split()[0]:
                case "plain":
                    await ack("plain words")
                case "push":
                    await ack()
                    await client.chat_postMessage(channel=CHANNEL, text="R-1 wants approval", blocks=card("R-1"))
                case "tell":
                    await ack()
                    await respond("only you see this")
                case _:
                    await ack()

        @app.action("approve")
        async def approve(ack: Any, body: dict[str, Any], client: AsyncWebClient, respond: Any) -> None:
            self.clicks.append(body)
            await ack()
            if body["container"]["is_ephemeral"]:
                await respond("replaced", replace_original=True)
            else:
                await client.chat_update(channel=CHANNEL, ts=body["container"]["message_ts"], text="Approved")

        @app.action("reject")
        async def reject(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
            self.clicks.append(body)
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=reason_modal(body["actions"][0]["value"]))

        @app.view("reject")
        async def rejected(ack: Any, body: dict[str, Any]) -> None:
            reason = body["view"]["state"]["values"]["reason"]["reason"]["value"]
            if reason == "short":
                await ack(response_action="errors", errors={"reason": "say more"})
            elif reason == "nonsense":
                await ack(response_action="errors", errors={"elsewhere": "say more"})
            elif reason == "again":
                await ack(response_action="update", view=reason_modal("second"))
            else:
                await ack()

        @app.view_closed("reject")
        async def closed(ack: Any, body: dict[str, Any]) -> None:
            self.closed.append(body)
            await ack()

        @app.event("app_home_opened")
        async def home(event: dict[str, Any], client: AsyncWebClient) -> None:
            blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "Nothing waits for you."}}]
            await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

        @app.event("app_mention")
        async def mention(body: dict[str, Any], event: dict[str, Any], client: AsyncWebClient) -> None:
            self.events.append(body)
            if self.silent:
                raise RuntimeError("this bot is ill")
            await client.chat_postMessage(channel=event["channel"], thread_ts=event["ts"], text="here I am")

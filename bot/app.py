"""The bot: the log, Slack, the desk, the announcer and the foreman, started in order and stopped in order."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import aiohttp
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from audit import AuditError
from audit import Draft
from audit import Log
from audit import LogBusy
from bot.announcer import Announcer
from bot.desk import Desk
from bot.http_mode import events_route
from bot.intake import Intake
from bot.people import SlackPeople
from bot.probes import add_probes
from bot.probes import serve
from bot.slack_api import SlackApi
from bot.slack_api import make_client
from bot.sockets import Sockets
from bot.store import Store
from commands.door import Door
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.foreman import Foreman
from ops.layer import Ops
from ops.layer import host_name
from ops.scratch import reap_scratches
from ops.settings import Settings
from ops.settings import policy_sha256
from ops.targets import all_targets

logger = logging.getLogger("countersign.bot")

WORKERS = 8
RUNS = 4
DRAIN_SECONDS = 20.0
SLACK_URL = "https://slack.com/api/"


@dataclass(frozen=True)
class Mode:
    """How Slack reaches the bot, and where it listens: Slack's posts in HTTP mode, and the probes in both."""

    http: bool = False
    host: str = "127.0.0.1"
    port: int = 3000


@dataclass(frozen=True)
class Tokens:
    """What the environment holds of Slack. Raises OpsError(BAD_CONFIG) that names what is missing, never a value."""

    bot: str
    app: str
    signing_secret: str
    api_url: str

    @classmethod
    def from_environment(cls, mode: Mode, environment: Mapping[str, str] = os.environ) -> "Tokens":
        needed = ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET" if mode.http else "SLACK_APP_TOKEN"]
        missing = [name for name in needed if not environment.get(name)]
        if missing:
            raise OpsError(
                Reason.BAD_CONFIG,
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                "docs/slack.md says where each token is found.",
            )
        return cls(
            bot=environment["SLACK_BOT_TOKEN"],
            app=environment.get("SLACK_APP_TOKEN", ""),
            signing_secret=environment.get("SLACK_SIGNING_SECRET", ""),
            api_url=environment.get("SLACK_API_URL") or SLACK_URL,
        )


def open_log(settings: Settings) -> Log:
    """The log, for this process alone. While a terminal runs something, the bot waits for it."""
    while True:
        try:
            return Log.open(settings.log_path)
        except LogBusy:
            logger.info("log_is_busy waiting=true")
            time.sleep(0.5)


def run_bot(settings: Settings, mode: Mode) -> None:
    """Run until SIGTERM or SIGINT. Raises OpsError when it cannot start; AuditError when there is no log to write to."""
    if settings.slack is None:
        raise OpsError(Reason.BAD_CONFIG, "The configuration has no [slack] table.", 'Add [slack] with channel = "C…".')
    tokens = Tokens.from_environment(mode)
    with open_log(settings) as log:
        asyncio.run(_Bot(settings, mode, tokens, log).run())


class _Bot:
    """One life of the bot, from the log being open to the log being closed."""

    def __init__(self, settings: Settings, mode: Mode, tokens: Tokens, log: Log) -> None:
        self.settings = settings
        self.mode = mode
        self.tokens = tokens
        self.log = log
        self.stop = asyncio.Event()
        self.sockets: Sockets | None = None
        self.work = ThreadPoolExecutor(WORKERS, thread_name_prefix="work")
        self.runs = ThreadPoolExecutor(RUNS, thread_name_prefix="run")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop.set)
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            client = make_client(self.tokens.bot, self.tokens.api_url, session)
            team = await self._who_we_are(client)

            api = SlackApi(client, loop)
            ops = Ops(self.settings, self.log, people=SlackPeople(api, team))
            store = Store(self.settings.path(self.settings.state.path))
            desk = Desk(ops, api, store, self.work)
            announcer = Announcer(ops, api, store)
            foreman = Foreman(ops, self.runs)
            await asyncio.to_thread(self._prepare, ops)

            app = self._app(client, desk)
            door = Door(ops, ready=_noticed)
            runner = await self._listen(app)
            announcer.start()
            foreman.start()
            await asyncio.to_thread(desk.answer_what_was_left)
            logger.info("bot_ready mode=%s team=%s", "http" if self.mode.http else "socket", team)
            try:
                await self.stop.wait()
            finally:
                await self._shut_down(runner, door, foreman, announcer)

    async def _who_we_are(self, client: AsyncWebClient) -> str:
        """The workspace that the token belongs to, asked until Slack answers; a token that it refuses ends the bot."""
        pause = 1.0
        while not self.stop.is_set():
            try:
                return str((await client.auth_test())["team_id"])
            except SlackApiError as error:
                word = str(error.response.get("error"))
                if word in {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}:
                    message = f"Slack refuses SLACK_BOT_TOKEN: {word}."
                    raise OpsError(Reason.BAD_CONFIG, message, "Install the app anew and set the token.") from error
                logger.warning("slack_does_not_answer error=%s", word)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.warning("slack_does_not_answer error=%s", type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)
        raise OpsError(Reason.UNEXPECTED, "Stopped before Slack answered.", exit_code=1)

    def _prepare(self, ops: Ops) -> None:
        """Clear up after a killed process, then write down who starts with which configuration."""
        reap_scratches()
        policies = {one.name: policy_sha256(one.settings.policy()) for one in all_targets(self.settings)}
        configured = {"sha256": self.settings.sha256, "policies": policies}
        started = {
            "version": version("countersign"),
            "mode": "http" if self.mode.http else "socket",
            "host": host_name(),
            "pid": os.getpid(),
        }
        ops.log.append(
            [
                Draft(kind="configured", actor="system:bot", stream="bot", data=configured),
                Draft(kind="bot_started", actor="system:bot", stream="bot", data=started),
            ]
        )

    def _app(self, client: AsyncWebClient, desk: Desk) -> AsyncApp:
        app = AsyncApp(
            token=self.tokens.bot,
            signing_secret=self.tokens.signing_secret or None,
            client=client,
            process_before_response=True,  # the ack leaves when the listener returns; otherwise it is polled for, 10 ms
            ignoring_self_events_enabled=False,
            request_verification_enabled=self.mode.http,
        )
        Intake(self.log, desk.take).register(app)
        return app

    async def _listen(self, app: AsyncApp) -> web.AppRunner | None:
        """Open the way in: the sockets, or the web server; and the probes where a port was asked for."""
        application = events_route(app) if self.mode.http else web.Application()
        add_probes(application, self._figures)
        if not self.mode.http:
            self.sockets = Sockets(app, self.tokens.app, app.client)
            await self.sockets.connect()
        try:
            host = self.mode.host if self.mode.http else "127.0.0.1"
            return await serve(application, host, self.mode.port)
        except OSError as error:
            if self.mode.http:
                message = f"{self.mode.host}:{self.mode.port} cannot be listened on: {error.strerror}."
                raise OpsError(Reason.BAD_CONFIG, message, "Choose another --port.") from error
            logger.warning("no_probes port=%d error=%s", self.mode.port, error.strerror)  # Slack does not need them
            return None

    async def _figures(self) -> Mapping[str, float]:
        connected = await self.sockets.connected() if self.sockets else 0
        try:
            writable = 1.0
            await asyncio.to_thread(self.log.transact, lambda _: [])
        except AuditError:
            writable = 0.0
        ready = writable == 1 and (self.mode.http or connected > 0)
        return {
            "countersign_ready": float(ready),
            "countersign_log_writable": writable,
            "countersign_sockets_connected": float(connected),
        }

    async def _shut_down(
        self, runner: web.AppRunner | None, door: Door, foreman: Foreman, announcer: Announcer
    ) -> None:
        """Take nothing in, finish what was taken, say goodbye to the log."""
        logger.info("bot_stops")
        if self.sockets:
            await self.sockets.close()
        if runner:
            await runner.cleanup()
        await asyncio.to_thread(door.close)
        await asyncio.to_thread(foreman.stop, DRAIN_SECONDS)
        await asyncio.to_thread(self.work.shutdown, wait=True)
        await asyncio.to_thread(announcer.stop, DRAIN_SECONDS)
        self.runs.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(AuditError):
            stopped = Draft(kind="bot_stopped", actor="system:bot", stream="bot", data={"because": "asked to stop"})
            await asyncio.to_thread(self.log.append, [stopped])


def _noticed(reply: Reply) -> None:
    if reply.request:
        logger.info("door_request request=%s", reply.request)

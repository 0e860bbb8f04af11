"""The bot: the log, Slack, the desk, the announcer and the foreman, started in order and ended in the opposite one."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import aiohttp
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from audit import AuditError
from audit import Draft
from audit import Log
from audit import LogBusy
from bot.announcer import Announcer
from bot.desk import Desk
from bot.direct import Direct
from bot.figures import Figures
from bot.floods import Floods
from bot.home import Home
from bot.http_mode import events_route
from bot.indexer import Indexer
from bot.intake import Intake
from bot.listener import Listener
from bot.lull import Lull
from bot.notary import notary_of
from bot.people import SlackPeople
from bot.probes import add_probes
from bot.probes import serve
from bot.sealer import SealerThread
from bot.slack_api import SlackApi
from bot.slack_api import error_word
from bot.slack_api import make_client
from bot.sockets import REFUSALS
from bot.sockets import Sockets
from bot.statuses import Statuses
from bot.store import Store
from bot.value_page import ValuePages
from bot.watcher import Watcher
from commands.door import Door
from commands.reply import Reply
from ops.checkpoints import check_log_is_ours
from ops.configuring import configured
from ops.errors import OpsError
from ops.errors import Reason
from ops.foreman import Foreman
from ops.layer import Ops
from ops.layer import host_name
from ops.layer import terminal_actor
from ops.layer import utc_now
from ops.policy_changes import void_outdated
from ops.scratch_removal import reap_scratches
from ops.settings import Settings
from ops.targets import target_names

logger = logging.getLogger("countersign.bot")

WORKERS = 8
HEAVY = 4
"""Threads for what rehearses and compares: more than find a place at once, so that plans of known files go on."""

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


def open_log(settings: Settings, now: Callable[[], datetime] = utc_now) -> Log:
    """The log, for this process alone. While a terminal runs something, the bot waits for it."""
    while True:
        try:
            return Log.open(settings.log_path, clock=now)
        except LogBusy:
            logger.info("log_is_busy waiting=true")
            time.sleep(0.5)


def run_bot(settings: Settings, mode: Mode, now: Callable[[], datetime] = utc_now) -> None:
    """Run until SIGTERM or SIGINT. Raises OpsError when it cannot start, AuditError when the log cannot be written."""
    if settings.slack is None:
        raise OpsError(Reason.BAD_CONFIG, "The configuration has no [slack] table.", 'Add [slack] with channel = "C…".')
    tokens = Tokens.from_environment(mode)
    with open_log(settings, now) as log:
        check_log_is_ours(settings, log.log_id, log.path)
        bot = _Bot(settings, mode, tokens, log, now)
        asyncio.run(bot.run())
    if bot.active:
        # A statement may go on for hours. The server ends it when we are gone, and the next start takes the run up.
        os._exit(0)


class _Bot:
    """One life of the bot, from the log being open to the log being closed."""

    def __init__(self, settings: Settings, mode: Mode, tokens: Tokens, log: Log, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self.mode = mode
        self.tokens = tokens
        self.log = log
        self.now = now
        self.sockets: Sockets | None = None
        self.work = ThreadPoolExecutor(WORKERS, thread_name_prefix="work")
        self.heavy = ThreadPoolExecutor(HEAVY, thread_name_prefix="heavy")
        self.runs = ThreadPoolExecutor(RUNS, thread_name_prefix="run")
        self.active: set[str] = set()

    async def run(self) -> None:
        """Serve until told to stop; told while it still starts, it stops as well."""
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as session:
            serving = asyncio.create_task(self._serve(session))
            told = asyncio.Event()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, told.set)
            stopping = asyncio.create_task(told.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            logger.info("bot_stops")
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    async def _serve(self, session: aiohttp.ClientSession) -> None:
        """Start everything, one after the other; when this is cancelled, end it all in the opposite order."""
        client = make_client(self.tokens.bot, self.tokens.api_url, session)
        us = await self._who_we_are(client)
        team = str(us["team_id"])
        api = SlackApi(client, asyncio.get_running_loop())
        ops = Ops(self.settings, self.log, people=SlackPeople(api, team), now=self.now, active=self.active)
        store = Store(self.settings.path(self.settings.state.path))
        home = Home(ops, api, store)
        floods = Floods(self.log, self.now)
        desk = Desk(ops, api, store, self.work, self.heavy, home.opened, floods, team)
        announcer = Announcer(ops, api, store)
        direct = Direct(ops, api, store)
        foreman = Foreman(ops, self.runs, self.heavy)
        watcher = Watcher(ops, api, store)
        notary = notary_of(ops, api)
        lull = Lull(desk.take)
        intake = Intake(self.log, lull.take, home.opened, desk.field_errors, floods, target_names(self.settings))
        app = self._app(client, us, intake)

        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(self._prepare, ops)
            stack.push_async_callback(asyncio.to_thread, self._say_goodbye)
            if notary is not None:
                notary.start()
                stack.push_async_callback(asyncio.to_thread, notary.stop, DRAIN_SECONDS)
            for keeper in (SealerThread(ops), Indexer(ops)):
                keeper.start()
                stack.push_async_callback(asyncio.to_thread, keeper.stop, DRAIN_SECONDS)
            left = await asyncio.to_thread(desk.what_was_left)

            home.start()
            stack.push_async_callback(asyncio.to_thread, home.stop, DRAIN_SECONDS)
            announcer.start()
            stack.push_async_callback(asyncio.to_thread, announcer.stop, DRAIN_SECONDS)
            direct.start()
            stack.push_async_callback(asyncio.to_thread, direct.stop, DRAIN_SECONDS)
            self._start_statuses(ops, store, stack)
            stack.push_async_callback(asyncio.to_thread, self._finish_work)
            foreman.start()
            stack.push_async_callback(asyncio.to_thread, foreman.stop, DRAIN_SECONDS)
            watcher.start()
            stack.push_async_callback(asyncio.to_thread, watcher.stop, DRAIN_SECONDS)
            door = Door(ops, ready=_noticed)
            stack.push_async_callback(asyncio.to_thread, door.close, DRAIN_SECONDS)
            stack.callback(lull.release)
            stack.push_async_callback(asyncio.to_thread, floods.close)
            figures = Figures(ops, foreman, http=self.mode.http, sockets=lambda: self.sockets)
            await self._open_listener(ops, stack)
            await self._listen(app, intake, stack, figures)

            for act in left:
                desk.take(act)
            gc.freeze()  # what was loaded stays, so the collector need not walk through it while somebody waits for an ack
            logger.info("bot_ready mode=%s team=%s", "http" if self.mode.http else "socket", team)
            await asyncio.Event().wait()

    async def _who_we_are(self, client: AsyncWebClient) -> AsyncSlackResponse:
        """Whose token it is (workspace and bot), asked until Slack answers; a token that Slack refuses ends the bot."""
        pause = 1.0
        while True:
            try:
                return await client.auth_test()
            except SlackApiError as error:
                word = error_word(error)
                if word in REFUSALS:
                    message = f"Slack refuses SLACK_BOT_TOKEN: {word}."
                    raise OpsError(Reason.BAD_CONFIG, message, "Install the app anew and set the token.") from error
                logger.warning("slack_does_not_answer error=%s", word)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.warning("slack_does_not_answer error=%s", type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)

    def _prepare(self, ops: Ops) -> None:
        """Clear up after a killed process, write down who starts with which configuration, and end what rests on another."""
        reap_scratches()
        started = {
            "version": version("countersign"),
            "mode": "http" if self.mode.http else "socket",
            "host": host_name(),
            "pid": os.getpid(),
        }
        ops.log.append(
            [
                configured(self.settings, ops.view, terminal_actor(os.getuid())),
                Draft(kind="bot_started", actor="system:bot", stream="bot", data=started),
            ]
        )
        for request in void_outdated(ops):
            logger.info("request_superseded request=%s changed=%s", request.id, request.ending.get("changed"))

    def _app(self, client: AsyncWebClient, us: AsyncSlackResponse, intake: Intake) -> AsyncApp:
        async def authorize() -> AuthorizeResult:
            """Bolt would ask Slack at the first click, which then waits for the answer; we asked at the start."""
            return AuthorizeResult.from_auth_test_response(auth_test_response=us, bot_token=self.tokens.bot)

        app = AsyncApp(
            signing_secret=self.tokens.signing_secret or None,
            client=client,
            authorize=authorize,
            process_before_response=True,  # the ack leaves when the listener returns; otherwise it is polled for, 10 ms
            ignoring_self_events_enabled=False,
            request_verification_enabled=self.mode.http,
        )
        intake.register(app)
        return app

    async def _listen(self, app: AsyncApp, intake: Intake, stack: contextlib.AsyncExitStack, figures: Figures) -> None:
        """Open the way in: the web server, for Slack's posts and the probes, and the sockets."""
        application = events_route(app) if self.mode.http else web.Application()
        add_probes(application, figures)
        host = self.mode.host if self.mode.http else "127.0.0.1"
        try:
            runner = await serve(application, host, self.mode.port)
            stack.push_async_callback(runner.cleanup)
            logger.info("bot_listens host=%s port=%d", host, runner.addresses[0][1])
        except OSError as error:
            if self.mode.http:
                message = f"{host}:{self.mode.port} cannot be listened on: {error.strerror}."
                raise OpsError(Reason.BAD_CONFIG, message, "Choose another --host or --port.") from error
            logger.warning("no_probes port=%d error=%s", self.mode.port, error.strerror)  # Slack does not need them
        if not self.mode.http:
            self.sockets = Sockets(app, intake.on_command, self.tokens.app, app.client)
            stack.push_async_callback(self.sockets.close)
            await self.sockets.connect()

    async def _open_listener(self, ops: Ops, stack: contextlib.AsyncExitStack) -> None:
        """Open the way in for CI and for one-time pages, where one is configured."""
        if self.settings.listener is None:
            return
        listener = Listener(self.settings.listener)
        listener.add_routes(ValuePages(ops).routes())
        if self.settings.ci is not None:
            from bot.ci_door import CiDoor  # here, for it brings what checks signatures, and few have CI ask

            listener.add_routes(CiDoor(ops, self.settings.ci, listener.url, self.heavy).routes())
        await listener.start()
        stack.push_async_callback(listener.close)

    def _start_statuses(self, ops: Ops, store: Store, stack: contextlib.AsyncExitStack) -> None:
        """Tell GitHub how requests stand, where that is configured."""
        if self.settings.github is not None:
            statuses = Statuses(ops, self.settings.github, store)
            statuses.start()
            stack.push_async_callback(asyncio.to_thread, statuses.stop, DRAIN_SECONDS)

    def _finish_work(self) -> None:
        """Finish what was taken in, unless that is a run that goes on: it was given its time already."""
        self.heavy.shutdown(wait=not self.active)
        self.work.shutdown(wait=not self.active)

    def _say_goodbye(self) -> None:
        self.runs.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(AuditError):
            stopped = Draft(kind="bot_stopped", actor="system:bot", stream="bot", data={"because": "asked to stop"})
            self.log.append([stopped])


def _noticed(reply: Reply) -> None:
    if reply.request:
        logger.info("door_request request=%s", reply.request)

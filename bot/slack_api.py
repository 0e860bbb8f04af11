"""Slack's Web API from worker threads: one shared HTTP session on the bot's loop, errors as plain answers."""

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Coroutine
from typing import Any
from typing import TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.errors import SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.http_retry.builtin_async_handlers import AsyncServerErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger("countersign.slack")

Answer = TypeVar("Answer")

CALL_SECONDS = 15.0


class SlackUnavailableError(Exception):
    """Slack did not answer, or said no; `error` is Slack's own word (`ratelimited`, `channel_not_found`…)."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(f"{method}: {error}")
        self.method = method
        self.error = error


def make_client(token: str, base_url: str, session: aiohttp.ClientSession) -> AsyncWebClient:
    """The one client of the bot. Rate limits and server errors are waited out, at most twice."""
    return AsyncWebClient(
        token=token,
        base_url=base_url,
        session=session,
        timeout=int(CALL_SECONDS),
        retry_handlers=[
            AsyncRateLimitErrorRetryHandler(max_retry_count=2),
            AsyncServerErrorRetryHandler(max_retry_count=2),
        ],
    )


def error_word(error: SlackApiError) -> str:
    """Slack's own word for an error; the status where it answered something else, as when it is down."""
    data = error.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"status {error.response.status_code}"


class SlackApi:
    """Calls for the threads that do the work; never to be used on the loop itself."""

    def __init__(self, client: AsyncWebClient, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self._loop = loop

    def call(self, method: str, *, seconds: float = CALL_SECONDS, **arguments: Any) -> dict[str, Any]:
        """Slack's answer to one call. Raises SlackUnavailableError in every case but a plain yes."""

        async def ask() -> dict[str, Any]:
            async with asyncio.timeout(seconds):
                response = await self.client.api_call(method, json=arguments)
            found: dict[str, Any] = response.data if isinstance(response.data, dict) else {}
            return found

        return self._run(method, ask)

    def ask(self, method: str, *, seconds: float = 5.0, **arguments: str) -> dict[str, Any]:
        """A read, with its arguments in the query, as Slack's reading methods want them."""

        async def ask() -> dict[str, Any]:
            async with asyncio.timeout(seconds):
                response = await self.client.api_call(method, http_verb="GET", params=arguments)
            found: dict[str, Any] = response.data if isinstance(response.data, dict) else {}
            return found

        return self._run(method, ask)

    def upload(
        self, channel: str, thread: str | None, name: str, content: str | bytes, comment: str, *, described: str = ""
    ) -> str:
        """Put a file into a thread, or into the channel where that is None; the file's id once Slack shares it there.

        `described`: for those who do not see it.
        """

        async def put() -> str:
            async with asyncio.timeout(60):
                response = await self.client.files_upload_v2(
                    channel=channel,
                    thread_ts=thread,
                    filename=name,
                    title=name,
                    content=content,
                    initial_comment=comment,
                    alt_txt=described or None,
                )
            files: list[dict[str, Any]] = response.get("files") or [response["file"]]
            return str(files[0]["id"])

        return self._run("files_upload_v2", put)

    def post_to(self, url: str, body: dict[str, Any]) -> None:
        """Answer through a response_url."""

        async def post() -> None:
            async with asyncio.timeout(CALL_SECONDS):
                session = self.client.session
                if session is None:
                    raise aiohttp.ClientError
                async with session.post(url, json=body) as response:
                    if response.status != 200:
                        raise SlackUnavailableError("response_url", f"status {response.status}")

        self._run("response_url", post)

    def _run(self, method: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except SlackApiError as error:
            raise SlackUnavailableError(method, error_word(error)) from error
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            raise SlackUnavailableError(method, type(error).__name__) from error

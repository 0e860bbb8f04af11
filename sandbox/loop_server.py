"""A web server of the sandbox: on 127.0.0.1, in a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any
from typing import Self
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")


class LoopServer:
    """`with …:`, or `start()` and `stop()`. A server says what it answers by `application`; `port` is any that is free."""

    def __init__(self, name: str, *, shutdown_seconds: float = 1.0) -> None:
        self.port = 0
        self._shutdown_seconds = shutdown_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"sandbox-{name}", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen; returns itself."""
        self._thread.start()
        self.run(self._listen())
        return self

    def stop(self) -> None:
        """Close the server and its thread. A second call does nothing."""
        if not self._thread.is_alive():
            return
        self.run(self.shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float = 30.0) -> T:
        """Run something on the server's loop from another thread and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def application(self) -> web.Application:
        """What it answers."""
        raise NotImplementedError

    def site(self, runner: web.AppRunner) -> web.BaseSite:
        """Where it listens."""
        return web.TCPSite(runner, "127.0.0.1", self.port)

    async def shut_down(self) -> None:
        """Take no more calls, and end those that are slow on purpose."""
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _listen(self) -> None:
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=self._shutdown_seconds)
        await self._runner.setup()
        await self.site(self._runner).start()
        self.port = self._runner.addresses[0][1]

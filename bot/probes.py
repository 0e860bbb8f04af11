"""/healthz and /metrics, for this host only: is the bot up, connected and able to write, and a few numbers."""

import ipaddress
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Mapping

from aiohttp import web

Figures = Callable[[], Awaitable[Mapping[str, float]]]


def add_probes(application: web.Application, figures: Figures) -> None:
    """Both routes. `figures` gives name → number; healthy means that `countersign_ready` is 1."""

    async def healthz(request: web.Request) -> web.Response:
        _only_here(request)
        ready = (await figures()).get("countersign_ready", 0) == 1
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not ready\n")

    async def metrics(request: web.Request) -> web.Response:
        _only_here(request)
        found = await figures()
        return web.Response(text="".join(f"{name} {value:g}\n" for name, value in found.items()))

    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", metrics)


def _only_here(request: web.Request) -> None:
    """The listener may be public in HTTP mode; these two pages are not."""
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        local = False
    if not local:
        raise web.HTTPNotFound


async def serve(application: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve until the runner is cleaned up."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner

"""/healthz and /metrics, for this host only: is the bot up, connected and able to write, and a few numbers."""

import ipaddress
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Mapping

from aiohttp import web

READY = "countersign_ready"
METRICS = {
    READY: "1 when the log can be written and Slack can reach the bot",
    "countersign_log_writable": "1 when the audit log takes events",
    "countersign_sockets_connected": "open Socket Mode connections; 0 with --http",
    "countersign_requests_open": "requests that wait, run, or were interrupted and need a person",
    "countersign_runs_active": "runs under way in this process",
}
"""Every number, all gauges, with what it says."""

GOODBYE_SECONDS = 2.0
Figures = Callable[[], Awaitable[Mapping[str, float]]]


def add_probes(application: web.Application, figures: Figures) -> None:
    """Both routes. `figures` gives a number for each of METRICS; healthy means that READY is 1."""

    async def healthz(request: web.Request) -> web.Response:
        _only_here(request)
        ready = (await figures())[READY] == 1
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not ready\n")

    async def metrics(request: web.Request) -> web.Response:
        _only_here(request)
        found = await figures()
        lines = [
            f"# HELP {name} {words}\n# TYPE {name} gauge\n{name} {found[name]:g}\n" for name, words in METRICS.items()
        ]
        return web.Response(text="".join(lines))

    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", metrics)


def _lines(name: str, value: float) -> list[str]:
    """One number as Prometheus reads it."""
    return [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge", f"{name} {value:g}"]


def _only_here(request: web.Request) -> None:
    """The listener may be public in HTTP mode, or behind a proxy of this host; these two pages are for neither."""
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        local = False
    if not local or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        raise web.HTTPNotFound


async def serve(application: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve until the runner is cleaned up. Raises OSError when nobody can listen there."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=GOODBYE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner

"""The listener: a web server of the bot's own, in Socket Mode as well, for CI and for one-time pages.

It speaks HTTP; TLS is the business of the proxy in front of it. Whoever knows the address may knock, so everything that
comes in is small, comes in time, and is counted for each client; what is refused counts for more. What a route answers is
never kept by a browser, framed by another page, or run as a script.
"""

import asyncio
import ipaddress
import logging
import time
import uuid
from collections import Counter
from collections import OrderedDict
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.probes import serve
from ops.errors import OpsError
from ops.errors import Reason
from ops.listener_settings import Listener as Table
from ops.listener_settings import is_loopback

logger = logging.getLogger("countersign.listener")

BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
SLOW_SECONDS = 1.0
"""So large a body may be, and so soon it must be there; one that is not there after a second costs as what is refused."""

AT_ONCE = 96
BODIES_OF_ONE = 16
"""So many requests are served at the same time, a CI job that waits is one of them; so many bodies of one client are read."""

POINTS = 120.0
REFUSED_POINTS = 9.0
"""So many requests a client may make in a minute, one point each; one that is refused costs so many more."""

CLIENTS = 4096
"""Of so many clients the count is kept; beyond that, of the latest."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not "no-referrer": with it a browser sends `Origin: null` with our own forms, and nobody could tell them from others'
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Listener:
    """Routes are added before it starts. `url` is the address by which others reach it, without a slash at the end.

    A handler finds the whole body read already. What it raises beside `web.HTTPException` is told as a reference alone.
    """

    def __init__(self, table: Table) -> None:
        self.url = table.url
        self._table = table
        self._budget = Budget()
        self._at_once = 0
        self._bodies: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._application = web.Application(client_max_size=BODY_BYTES, middlewares=[self._guard])
        self._application.on_response_prepare.append(_with_headers)

    def add_routes(self, routes: Iterable[web.RouteDef]) -> None:
        """More of what it serves, such as `web.post("/ci/v1/plan", handler)`."""
        self._application.add_routes(routes)

    async def start(self) -> None:
        """Serve until `close`. Raises OpsError(BAD_CONFIG) when nobody can listen there."""
        try:
            self._runner = await serve(self._application, self._table.host, self._table.port)
        except OSError as error:
            message = f"{self._table.listen} cannot be listened on: {error.strerror}."
            raise OpsError(Reason.BAD_CONFIG, message, "Choose another `listen` in [listener].") from error
        logger.info("listener_listens at=%s url=%s", self._table.listen, self.url)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        client = client_of(request, behind_proxy=self._table.behind_proxy)
        if not self._budget.take(client, time.monotonic()):
            return _refusal(429, "too many requests; try again in a minute", {"Retry-After": "60"})
        if self._at_once >= AT_ONCE or self._bodies[client] >= BODIES_OF_ONE:
            return _refusal(503, "too many requests at once; try again in a moment", {"Retry-After": "5"})
        self._at_once += 1
        try:
            await self._read(request, client)
            answer = await handler(request)
        except TimeoutError:
            answer = _refusal(408, "the request did not come in time", {"Connection": "close"})
        except web.HTTPException as error:
            answer = error
        except Exception:
            reference = uuid.uuid4().hex[:8]
            # The route and never the path: a one-time page's address is its secret.
            resource = request.match_info.route.resource
            logger.exception("unexpected_error reference=%s at=%s", reference, resource and resource.canonical)
            answer = _refusal(500, f"something went wrong that nobody foresaw (reference {reference})")
        finally:
            self._at_once -= 1
        if 400 <= answer.status < 500:
            self._budget.charge(client, REFUSED_POINTS)
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer

    async def _read(self, request: web.Request, client: str) -> None:
        """Have the body there. One that is slow is paid for once that is seen. Raises TimeoutError, HTTPException."""
        body = asyncio.ensure_future(request.read())
        self._bodies[client] += 1
        try:
            done, _ = await asyncio.wait([body], timeout=SLOW_SECONDS)
            if not done:
                self._budget.charge(client, REFUSED_POINTS)
            await asyncio.wait_for(body, BODY_SECONDS - SLOW_SECONDS)
        except ConnectionError as error:  # whoever leaves is no error of ours
            raise web.HTTPBadRequest from error
        finally:
            body.cancel()
            self._bodies[client] -= 1
            self._bodies += Counter()  # forgets who has none


class Budget:
    """What each client may still do: POINTS a minute, which come back evenly. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> bool:
        """Take a point; False where none is left."""
        left, since = self._left.pop(client, (POINTS, now))
        left = min(POINTS, left + (now - since) * POINTS / 60)
        has_one = left >= 1
        self._left[client] = (left - has_one, now)
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return has_one

    def charge(self, client: str, points: float) -> None:
        """Take more for what was refused. A count below nothing keeps its client out until it is back, a minute at most."""
        if client in self._left:
            left, since = self._left[client]
            self._left[client] = (max(-POINTS, left - points), since)


def client_of(request: web.BaseRequest, *, behind_proxy: bool) -> str:
    """Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits, as the proxy says it.

    The last address of X-Forwarded-For is the one that the proxy saw itself; those before it are what the client says. It is
    read only where the proxy is who connects.
    """
    given = request.remote or ""
    forwarded = request.headers.getall("X-Forwarded-For", [])
    if forwarded and (behind_proxy or is_loopback(given)):
        given = forwarded[-1].rpartition(",")[2].strip()
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return "unknown"
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


async def _with_headers(_: web.BaseRequest, answer: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = "countersign"


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=headers)

"""Who may read the pages: a link that works once, or a name and a password. And what every answer carries.

Nothing but the login answers whoever is not known. Each look is written into the log before it is answered.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import MutableMapping
from dataclasses import dataclass
from dataclasses import field
from http.cookies import CookieError
from http.cookies import SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl

logger = logging.getLogger(__name__)

COOKIE = "countersign_reader"
SESSION_SECONDS = 8 * 3600
MOST_TRIES, TRIES_SECONDS = 5, 60.0
"""So many wrong passwords for a name within so long; then none is looked at for as long."""
MOST_NAMES = 10_000
"""Of so many names tries are counted at once; while there are more, nobody is let in."""
REFUSALS_SECONDS = 10.0
"""Who is not let in is written down at most once in so long, with how many tries there were: guessing fills no log."""
MOST_PLACES, ELSEWHERE = 10, "elsewhere"
"""So many addresses are named in it; what else comes, or has no address, is from elsewhere."""
MOST_BODY_BYTES = 8192
LONGEST_WORDS = 2000
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024
_N, _R, _P = 2**15, 8, 1
_MEMORY = 64 * 1024 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Client = tuple[str, int] | None

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
"""On every answer. No script runs on these pages."""

FREE = ("/login", "/style.css", "/-/static/app.css", "/favicon.ico")
"""What whoever is not known may see too; nothing of the log is in it."""
SILENT = (*FREE, "/dictionary", "/logout")
"""What says nothing of what is in the log, so that it is no look."""


class NotWritten(Exception):
    """A look could not be written into the log, so nothing is shown; its text says why."""


def password_hash(password: str, salt: bytes | None = None) -> str:
    """What the configuration may name in place of a password: scrypt, with a salt of its own."""
    salt = os.urandom(16) if salt is None else salt
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_scrypt(password, salt).hex()}"


def is_hash(text: str) -> bool:
    """Whether a text is what `password_hash` makes."""
    parts = text.split("$")
    try:
        return parts[:4] == ["scrypt", str(_N), str(_R), str(_P)] and len(bytes.fromhex(parts[4])) == 16
    except (ValueError, IndexError):
        return False


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=32)


def is_right(password: str, wanted: str | None) -> bool:
    """Whether a password is the one. For a name that nobody has (None) it takes as long, and is not."""
    if len(password) > LONGEST_PASSWORD:
        return False
    known = wanted or password_hash("", bytes(16))
    made = password_hash(password, bytes.fromhex(known.split("$")[4]))
    return hmac.compare_digest(made, known) and wanted is not None


class Refusals:
    """Those who were not let in, on their way into the log: the first at once, then one event in REFUSALS_SECONDS at most.

    Nothing of what was typed comes here. `write_down(places)` takes the tries by address and raises NotWritten; then they
    are kept, and told in the next.
    """

    def __init__(self, write_down: Callable[[Mapping[str, int]], None]) -> None:
        self._write_down = write_down
        self._places: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def count(self, client: Client) -> None:
        """One more, from there; in the log when this returns, if none was told just now."""
        with self._counting:
            self._add(_place(client), 1)
            if self._timer is not None:
                return
            self._wait()
        self._tell()

    def close(self) -> None:
        """Tell what is left."""
        with self._counting:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._tell()

    def _add(self, place: str, tries: int) -> None:
        is_named = place in self._places or len(self._places) < MOST_PLACES
        self._places[place if is_named else ELSEWHERE] += tries

    def _wait(self) -> None:
        self._timer = threading.Timer(REFUSALS_SECONDS, self._after)
        self._timer.daemon = True
        self._timer.start()

    def _after(self) -> None:
        with self._counting:
            self._timer = None
            if not self._places or self._is_closed:
                return
            self._wait()
        self._tell()

    def _tell(self) -> None:
        with self._counting:
            places, self._places = self._places, Counter()
        if not places:
            return
        try:
            self._write_down(places)
        except NotWritten as error:
            logger.error("%d refused logins are not in the log yet: %s", places.total(), error)
            with self._counting:
                for place, tries in places.items():
                    self._add(place, tries)


def _place(client: Client) -> str:
    """The address in its one form, without the name of a link; ELSEWHERE for what is none."""
    try:
        return str(ip_address((client or ("", 0))[0].partition("%")[0]))
    except ValueError:
        return ELSEWHERE


@dataclass
class Doors:
    """Who is let in. `readers`: names and the hashes of their passwords; none: by a link that works once.

    `hosts`: the names under which the pages may be asked for; empty: any. `told`: gets the next link. `refusals`: has them
    written down. A `client` is address and port, None where it has none.
    """

    readers: Mapping[str, str]
    hosts: frozenset[str]
    is_secure: bool
    owner: str
    told: Callable[[str], None]
    refusals: Refusals
    now: Callable[[], float] = time.monotonic
    token: str = ""
    _sessions: dict[str, tuple[str, float]] = field(default_factory=dict)
    _wrong: dict[str, list[float]] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def next_link(self) -> None:
        """A link that lets one browser in, once."""
        self.token = secrets.token_urlsafe(32)
        self.told(f"/open/{self.token}")

    def open(self, token: str, client: Client) -> str | None:
        """The session of whoever has the link; None, written down: it is not, or no longer, the link."""
        if self.readers or not self.token or not hmac.compare_digest(token.encode(), self.token.encode()):
            self.refusals.count(client)
            return None
        self.next_link()
        return self._begin(self.owner)

    def login(self, name: str, password: str, client: Client) -> str | None:
        """The session of a reader; None, written down: not with this name and password, or not now."""
        if not self._is_reader(name, password):
            self.refusals.count(client)
            return None
        return self._begin(name)

    def _is_reader(self, name: str, password: str) -> bool:
        now = self.now()
        with self._counting:  # before it is looked at: many tries at once are as many as one after the other
            if len(self._wrong) >= MOST_NAMES:
                self._wrong = {one: tries for one, tries in self._wrong.items() if now - tries[-1] < TRIES_SECONDS}
            recent = [at for at in self._wrong.get(name, ()) if now - at < TRIES_SECONDS]
            if len(recent) >= MOST_TRIES or len(self._wrong) >= MOST_NAMES:
                return False
            self._wrong[name] = [*recent, now]
        if not is_right(password, self.readers.get(name)):
            return False
        with self._counting:
            self._wrong.pop(name, None)
        return True

    def _begin(self, name: str) -> str:
        session = secrets.token_urlsafe(32)
        now = self.now()
        self._sessions = {key: one for key, one in self._sessions.items() if one[1] > now}
        self._sessions[session] = (name, now + SESSION_SECONDS)
        return session

    def end(self, session: str) -> None:
        self._sessions.pop(session, None)

    def reader(self, session: str) -> str | None:
        """Who has this session; None: nobody, or no longer."""
        name, until = self._sessions.get(session, ("", 0.0))
        return name if name and until > self.now() else None

    def cookie(self, session: str) -> str:
        """The header that has a browser keep a session, or forget it."""
        lasts = f"Max-Age={SESSION_SECONDS if session else 0}"
        return f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax; {lasts}{'; Secure' if self.is_secure else ''}"


def session_of(headers: Mapping[bytes, bytes]) -> str:
    """The session that a request names; empty where it names none."""
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def guarded(app: App, doors: Doors, write_down: Callable[[str, str], None]) -> App:
    """The app behind its doors. `write_down(reader, what)` puts a look into the log, or raises NotWritten."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        guarded_send = _with_headers(send)
        no = _refused(scope, headers, doors)
        if no is not None:
            await _say(guarded_send, *no)
            return
        path: str = scope["path"]
        reader = doors.reader(session_of(headers))
        scope = {**scope, "reader": reader}
        if reader is None and path not in FREE and not path.startswith("/open/"):
            await _say(guarded_send, 303, "Log in first.", {"Location": "/login"})
            return
        if reader is not None and path not in SILENT:
            try:
                await asyncio.to_thread(
                    write_down, reader, asked_in_words(path, scope["query_string"].decode("latin-1"))
                )
            except NotWritten as error:
                told = f"Nothing is shown, since it could not be written down that you looked: {error}"
                await _say(guarded_send, 503, told)
                return
        await app(scope, receive, guarded_send)

    return answer


def asked_in_words(path: str, query: str) -> str:
    """An address as people would say it: `/events kind:approved`; what was left empty is left out."""
    said = [value if name == "q" else f"{name}: {value}" for name, value in parse_qsl(query)]
    return " ".join([path, ", ".join(said)]).replace("\0", "\ufffd").strip()[:LONGEST_WORDS]


def _refused(
    scope: Scope, headers: Mapping[bytes, bytes], doors: Doors
) -> tuple[int, str] | tuple[int, str, dict[str, str]] | None:
    """Why a request is not even looked at; None where it is."""
    path = scope["path"]
    if doors.hosts and headers.get(b"host", b"").decode("latin-1").lower() not in doors.hosts:
        return 421, "These pages are not served under this name."
    if scope["method"] not in {"GET", "HEAD"}:
        length = headers.get(b"content-length", b"").decode("latin-1")
        if scope["method"] != "POST" or path not in {"/login", "/logout"}:
            return 405, "These pages can only be read.", {"Allow": "GET, HEAD"}
        if not (length.isascii() and length.isdigit() and int(length) <= MOST_BODY_BYTES):
            return 413, "This is too much to send."
    if path.startswith("/-/") and path not in FREE:
        return 404, "There is nothing here."
    return None


def _with_headers(send: Send) -> Send:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            ours = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in ours]
            message = {**message, "headers": [*kept, *ours.items()]}
        await send(message)

    return with_headers


async def _say(send: Send, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
    told = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode() + b"\n"})

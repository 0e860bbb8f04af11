"""Whether the parts of a Supabase project answer: its services, REST, Auth and each function. Reads only."""

import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from ops.errors import OpsError
from ops.health_checked import Checked
from ops.supabase.address import project_url
from ops.supabase.client import api_for
from ops.supabase.client import unmanaged_because
from ops.targets import Target

if TYPE_CHECKING:  # httpx is slow to load, and few words look at a project
    import httpx

    from ops.supabase.client import ManagementApi
    from ops.supabase.models import Function

TIMEOUT_SECONDS = 5.0
"""So long one answer is waited for."""

PATIENCE_SECONDS = 3.0
"""So long a look waits for the API to be less busy: it is no more than a look."""

AT_ONCE = 8
API = "Management API"
REST, AUTH = "REST", "Auth"

_HEAD_BYTES = 2048
_PUBLIC_KINDS = ("publishable", "legacy")
_NO_SUCH_FUNCTION = b'"NOT_FOUND"'
"""What the gateway says in a 404 of its own; any other 404 is the function's."""


def check_project(target: Target) -> tuple[Checked, ...]:
    """What the project's parts answer now; nothing where no project or no token is configured.

    What cannot be asked, because the Management API refuses or fails, is unknown and not bad.
    """
    if unmanaged_because(target):
        return ()
    began = time.monotonic()
    seen = _Seen()
    try:
        api = api_for(target, timeout_seconds=TIMEOUT_SECONDS, patience_seconds=PATIENCE_SECONDS)
        if api is None:
            return ()
        with api:
            seen.ask(api)
    except OpsError as error:
        seen.because = seen.because or error.message
    of_api = Checked(API, not seen.because, time.monotonic() - began, seen.because or "answers", bool(seen.because))
    return (of_api, *seen.services, *_doors(project_url(target), seen), *seen.unlisted)


class _Seen:
    """What the Management API said, as far as it said it, and why it did not say the rest."""

    def __init__(self) -> None:
        self.services: list[Checked] = []
        self.key = ""
        self.functions: Sequence[Function] = ()
        self.unlisted: list[Checked] = []
        self.because = ""

    def ask(self, api: "ManagementApi") -> None:
        """Each on its own: a token may lack one permission."""
        self._try(lambda: self.services.extend(_services(api)), "services")
        self._try(lambda: self._take_key(api))
        self._try(lambda: self._take_functions(api), "functions")

    def _take_key(self, api: "ManagementApi") -> None:
        self.key = public_key(api)

    def _take_functions(self, api: "ManagementApi") -> None:
        self.functions = api.functions()

    def _try(self, act: Callable[[], None], what: str = "") -> None:
        """`what` could not be listed, where that fails: then it is told as unknown, and not left out."""
        try:
            act()
        except OpsError as error:
            self.because = self.because or error.message
            if what:
                detail = f"not checked: {error.message}"
                self.unlisted.append(Checked(what, ok=False, seconds=0.0, detail=detail, unknown=True))


def _services(api: "ManagementApi") -> list[Checked]:
    began = time.monotonic()
    found = api.health()
    seconds = time.monotonic() - began
    return [
        Checked(
            f"service {one.name}", one.healthy, seconds, one.status or ("healthy" if one.healthy else "not healthy")
        )
        for one in found
    ]


def public_key(api: "ManagementApi") -> str:
    """The key that browsers and apps of this project use, which gives no more than they may; empty where there is none."""
    keys = [one for one in api.api_keys() if one.api_key is not None and one.type in {*_PUBLIC_KINDS, None}]
    keys = [one for one in keys if one.type == "publishable" or one.name == "anon"]
    keys.sort(key=lambda one: one.type != "publishable")
    return keys[0].api_key.get_secret_value() if keys and keys[0].api_key else ""


@dataclass(frozen=True)
class _Door:
    """One address to ask, and how its answer is judged: (ok, detail, unknown)."""

    name: str
    method: str
    url: str
    judge: "Callable[[int, bytes], tuple[bool, str, bool]]"
    needs_key: bool = False


def _doors(base: str, seen: _Seen) -> list[Checked]:
    doors = [
        _Door(REST, "GET", f"{base}/rest/v1/", _judge_gateway, needs_key=True),
        _Door(AUTH, "GET", f"{base}/auth/v1/health", _judge_gateway, needs_key=True),
        *(function_door(base, one.slug) for one in seen.functions if one.status == "ACTIVE"),
    ]
    still = [
        Checked(f"function {one.slug}", ok=False, seconds=0.0, detail=f"it is {one.status}")
        for one in seen.functions
        if one.status != "ACTIVE"
    ]
    import httpx

    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
        ThreadPoolExecutor(AT_ONCE, "health") as pool,
    ):
        return [*pool.map(lambda door: _knock(client, door, seen.key), doors), *still]


def function_door(base: str, slug: str) -> _Door:
    """A function, asked with what a browser sends ahead: it starts, and its own work is not begun."""
    return _Door(f"function {slug}", "OPTIONS", f"{base}/functions/v1/{quote(slug, safe='')}", _judge_function)


def _knock(client: "httpx.Client", door: _Door, key: str) -> Checked:
    began = time.monotonic()
    if door.needs_key and not key:
        return Checked(door.name, ok=False, seconds=0.0, detail="the project's public key is not known", unknown=True)
    headers = {"apikey": key} if key else {}
    import httpx

    try:
        status, head = _head_of(client, door, headers, began + TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        detail = f"no answer: {type(error).__name__}"  # the words may quote a header
        return Checked(door.name, ok=False, seconds=time.monotonic() - began, detail=detail)
    ok, detail, unknown = door.judge(status, head)
    return Checked(door.name, ok, time.monotonic() - began, detail, unknown)


def _head_of(client: "httpx.Client", door: _Door, headers: Mapping[str, str], ends: float) -> tuple[int, bytes]:
    """The status, and the beginning of the body: one without end is not waited for."""
    with client.stream(door.method, door.url, headers=headers) as response:
        head = b""
        if response.status_code == 404:
            for piece in response.iter_raw():
                head += piece
                if len(head) >= _HEAD_BYTES or time.monotonic() > ends:
                    break
        return response.status_code, head


def _judge_gateway(status: int, _: bytes) -> tuple[bool, str, bool]:
    """REST and Auth: a refused key says nothing of what is behind the gateway."""
    if 200 <= status < 300:
        return True, f"answers {status}", False
    if status in {401, 403}:
        return False, f"the public key was refused ({status})", True
    return False, f"expected 200, got {status}", False


def _judge_function(status: int, head: bytes) -> tuple[bool, str, bool]:
    """A function that answers at all runs; 401 is its own door, 5xx is it, or the runtime, failing."""
    if status >= 500 or (status == 404 and _NO_SUCH_FUNCTION in head):
        return False, f"it answers {status}", False
    return True, f"answers {status}", False

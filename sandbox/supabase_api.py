"""A Management API on your desk, failing on command, and the doors of its projects (functions, REST, Auth) beside it."""

import asyncio
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import closing
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Literal

import psycopg
from aiohttp import web
from psycopg import sql

from ops.supabase.multipart import parse_parts
from sandbox.loop_server import LoopServer
from sandbox.supabase_project import CALLS
from sandbox.supabase_project import Answered
from sandbox.supabase_project import ApiProblem
from sandbox.supabase_project import Asked
from sandbox.supabase_project import FakeProject

REF = "abcdefghijklmnopqrst"
LARGEST_BODY_BYTES = 64 * 2**20
_PROJECT = re.compile(r"/v1/projects/([a-z]{20})(/.*)?")

How = int | Literal["half", "slow", "drop"]


@dataclass
class Failure:
    """What goes wrong with the next `times` calls whose `METHOD path` matches: `done` says whether they act first."""

    call: re.Pattern[str]
    how: How
    times: int
    done: bool
    seconds: float
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Seen:
    """One request as it came; the token is masked. `json` is the body's, `parts` (name, filename, content) a form's."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body_len: int
    json: Any
    parts: tuple[tuple[str, str | None, bytes], ...] = field(repr=False)


class SupabaseApi(LoopServer):
    """`with SupabaseApi() as api:` listens on 127.0.0.1, in a thread with a loop of its own.

    `projects` are the references it knows, `project` the first of them. `limit` is how many calls a minute each endpoint
    takes (None: any number). Only `token` is let in.
    """

    def __init__(self, *refs: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__("supabase", shutdown_seconds=0.2)
        self.token = f"sbp_{secrets.token_hex(20)}"
        self.projects = {ref: FakeProject(ref, clock=clock) for ref in refs or (REF,)}
        self.requests: list[Seen] = []
        self.lock = threading.RLock()
        self.limit: int | None = None
        self._clock = clock
        self._failures: list[Failure] = []
        self._counted: Counter[tuple[str, int]] = Counter()

    # --- life ----------------------------------------------------------------------------------------

    async def shut_down(self) -> None:
        """The logins that it made end too."""
        for project in self.projects.values():
            _end_logins(project)
        await super().shut_down()

    @property
    def project(self) -> FakeProject:
        return next(iter(self.projects.values()))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to speak to this API."""
        return {"SUPABASE_API_URL": self.url, "SUPABASE_ACCESS_TOKEN": self.token}

    def write_profile(self, folder: Path, *, project_host: str = "supabase.invalid") -> Path:
        """A profile for the real CLI's `--profile`, which leads it here."""
        path = folder / "profile.yaml"
        path.write_text(
            f"name: sandbox\napi_url: {self.url}\ndashboard_url: {self.url}\nproject_host: {project_host}\n"
            f"pooler_host: {project_host}\n"
        )
        return path

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    # --- what goes wrong -----------------------------------------------------------------------------

    def fail(
        self,
        call: str,
        how: How,
        *,
        times: int = 1,
        done: bool = False,
        seconds: float = 60.0,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> None:
        """Let the next calls whose `METHOD /path` matches the expression go wrong.

        `how`: a status; "half" a body that breaks off; "slow" an answer after `seconds`; "drop" a connection that closes
        without a word. `done`: what was asked for is done all the same (half and slow always do it).
        """
        said = json.dumps({"message": f"failing on command: {how}"}) if body is None else body
        more = headers or ({"Retry-After": "1"} if how == 429 else {})
        with self.lock:
            self._failures.append(Failure(re.compile(call), how, times, done, seconds, more, said))

    def heal(self) -> None:
        """From now on everything goes its way again."""
        with self.lock:
            self._failures.clear()

    def _failure(self, call: str) -> Failure | None:
        with self.lock:
            for failure in self._failures:
                if failure.times > 0 and failure.call.search(call):
                    failure.times -= 1
                    return failure
        return None

    def seen(self, call: str) -> list[Seen]:
        """The requests whose `METHOD /path` matches, in order."""
        with self.lock:
            return [one for one in self.requests if re.search(call, f"{one.method} {one.path}")]

    # --- answering -----------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._record(request, body)
        failure = self._failure(f"{request.method} {request.path}")
        if failure is None:
            return self._response(*await asyncio.to_thread(self._answer, request, body))
        if failure.done or failure.how in {"half", "slow"}:
            answered, headers = await asyncio.to_thread(self._answer, request, body)
        else:
            answered, headers = Answered(500, None), {}
        if failure.how == "slow":
            await asyncio.sleep(failure.seconds)
            return self._response(answered, headers)
        if failure.how == "half":
            return await _half(request, self._response(answered, headers))
        if failure.how == "drop":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return web.Response(
            status=int(failure.how), text=failure.body, content_type="application/json", headers=failure.headers
        )

    def _response(self, answered: Answered, headers: Mapping[str, str]) -> web.Response:
        if isinstance(answered.body, bytes):
            more = {**headers, "Content-Type": answered.content_type}
            return web.Response(status=answered.status, body=answered.body, headers=more)
        if answered.body is None:
            return web.Response(status=answered.status, headers=headers)
        return web.json_response(answered.body, status=answered.status, headers=headers)

    def _answer(self, request: web.Request, body: bytes) -> tuple[Answered, dict[str, str]]:
        with self.lock:
            if not request.path.startswith("/v1/"):
                return self._door(request), {}
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return Answered(401, {"message": "Unauthorized"}), {}
            headers, over = self._count(request)
            if over:
                return Answered(429, {"message": "ThrottlerException: Too Many Requests"}), headers
            try:
                return self._act(request, body), headers
            except ApiProblem as problem:
                return Answered(problem.status, {"message": problem.message}), headers
            except (KeyError, TypeError, ValueError) as error:
                return Answered(400, {"message": f"malformed: {type(error).__name__}"}), headers

    def _act(self, request: web.Request, body: bytes) -> Answered:
        if (request.method, request.path) == ("GET", "/v1/projects"):
            return Answered(200, [project.shown() for project in self.projects.values()])
        found = _PROJECT.fullmatch(request.path)
        project = self.projects.get(found[1]) if found else None
        if found is None or project is None:
            return Answered(404, {"message": "Project not found"})
        for method, path, act in CALLS:
            names = re.fullmatch(path, found[2] or "")
            if method == request.method and names:
                is_form = request.content_type == "multipart/form-data"
                parts = parse_parts(request.headers["Content-Type"], body) if is_form else ()
                content = json.loads(body) if body and not is_form else None
                return act(project, Asked(names.groupdict(), request.query, content, parts))
        return Answered(404, {"message": f"Cannot {request.method} {request.path}"})

    def _count(self, request: web.Request) -> tuple[dict[str, str], bool]:
        """The headers of the rate limit, and whether this call is one too many."""
        if self.limit is None:
            return {}, False
        minute, second = divmod(int(self._clock()), 60)
        key = (f"{request.method} {request.path}", minute)
        self._counted[key] += 1
        left, reset = self.limit - self._counted[key], 60 - second
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, left)),
            "X-RateLimit-Reset": str(reset),
        }
        return (headers | {"Retry-After": str(reset)}, True) if left < 0 else (headers, False)

    def _door(self, request: web.Request) -> Answered:
        """A project's own address: functions, REST and Auth of the first project."""
        found = re.fullmatch(r"/functions/v1/([A-Za-z0-9_-]+)(?:/.*)?", request.path)
        if found:
            function = self.project.functions.get(found[1])
            if function is None:
                return Answered(404, {"code": "NOT_FOUND", "message": "Requested function was not found"})
            if function.said["verify_jwt"] and request.method != "OPTIONS" and "Authorization" not in request.headers:
                return Answered(401, {"code": "UNAUTHORIZED_NO_AUTH_HEADER", "message": "Missing authorization header"})
            if not function.boots:
                return Answered(503, {"code": "BOOT_ERROR", "message": "Function failed to start"})
            return Answered(200, b"ok", "text/plain")
        if request.path.startswith("/rest/v1/"):
            keys = {self.project.publishable_key, self.project.secret_key, f"anon-key-of-{self.project.ref}"}
            known = request.headers.get("apikey") in keys
            return Answered(self.project.rest_status if known else 401, {})
        if request.path == "/auth/v1/health":
            return Answered(self.project.auth_status, {"name": "GoTrue", "version": "v2.180.0"})
        return Answered(404, {"message": "no such door"})

    def _record(self, request: web.Request, body: bytes) -> None:
        headers = {key.lower(): value for key, value in request.headers.items()}
        if "authorization" in headers:
            headers["authorization"] = "Bearer <masked>"
        content: Any = None
        parts: tuple[tuple[str, str | None, bytes], ...] = ()
        try:
            if request.content_type == "multipart/form-data":
                found = parse_parts(request.headers["Content-Type"], body)
                parts = tuple((part.name, part.filename, part.content) for part in found)
            elif body:
                content = json.loads(body)
        except ValueError:
            content = None
        query = tuple((key, value) for key, value in request.query.items())
        with self.lock:
            self.requests.append(Seen(request.method, request.path, query, headers, len(body), content, parts))


def _end_logins(project: FakeProject) -> None:
    if not (project.database_url and project.logins):
        return
    with suppress(psycopg.Error), closing(psycopg.connect(project.database_url, autocommit=True)) as connection:
        for role in project.logins:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


async def _half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """The answer's beginning, promised whole; then the connection is gone."""
    content = whole.body if isinstance(whole.body, bytes) else b""
    content = content or b'{"message": "never to be read whole"}'
    broken = web.StreamResponse(status=whole.status, headers={"Content-Type": whole.headers.get("Content-Type", "")})
    broken.content_length = len(content) + 1
    await broken.prepare(request)
    await broken.write(content[: len(content) // 2])
    await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.close()
    return broken

"""The door for CI: jobs that prove who they are ask for plans and pushes, and wait. Nothing else comes in here.

`POST /ci/v1/plan`, `POST /ci/v1/push` and `GET /ci/v1/requests/R-7` answer what the socket beside the log answers: lines of
JSON, any number of `{"progress", "step", "share"}`, empty ones to keep the connection alive, and one `{"reply", "page",
"exit_code", "ok", "request"}` at the end. A job that is refused gets that one object alone, with a status of 4xx.
"""

import asyncio
import hashlib
import json
import logging
import re
import threading
import uuid
from collections import deque
from concurrent.futures import Executor
from typing import Annotated
from typing import Any
from typing import Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError

from audit import AuditError
from bot.heavy import HeavyLine
from commands.behind import LENGTH
from commands.behind import MOST
from commands.dispatch import crowded
from commands.dispatch import say
from commands.dispatch import unexpected
from commands.dispatch import unrecorded
from commands.door import line_of
from commands.knock import reply_json
from commands.push import push_reply
from commands.reply import error_reply
from commands.words import Front
from ops.ci_identity import LEAST_SECRET
from ops.ci_identity import Job
from ops.ci_identity import admit
from ops.ci_identity import bearer_job
from ops.ci_identity import job_of
from ops.ci_identity import may_ask
from ops.ci_identity import read_claims
from ops.ci_keys import IssuerKeys
from ops.ci_keys import unproven
from ops.ci_settings import Ci
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import record_refusal
from ops.progress import progress_json
from ops.settings import resolve_secret
from ops.status import Status
from ops.targets import find_target
from ops.waiting import look_at

logger = logging.getLogger("countersign.ci")

ALIVE_SECONDS = 10.0
"""So long a line may be silent: proxies end what is silent for a minute."""

LOOK_SECONDS = 0.5
WAIT_SECONDS = 240
"""So often a request is looked at for a job that waits, and so long at most in one answer."""

WAITERS = 48
REFUSALS = 20
STRANGERS = 5
"""So many refusals a minute are written into the log: of jobs of mapped repositories, and of all others, which take none of
the places of those. Anybody with a repository on GitHub can have a token for us made."""

_REQUEST = re.compile(r"R-[1-9][0-9]{0,8}")
_STATUS = {2: 400, 3: 403, 5: 503}
_Login = Annotated[str, Field(min_length=1, max_length=LENGTH)]


class Asked(BaseModel):
    """What a job asks for. `key` is of one asking: sent again, it finds the first answer. `behind`: see `ops.behind`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(/[a-z0-9][a-z0-9_-]{0,39})?$")]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{7,40}$")] | None = None
    markdown: bool = False
    key: Annotated[str, Field(pattern="^[A-Za-z0-9-]{16,64}$")]
    behind: tuple[_Login, ...] = Field(default=(), max_length=MOST)


class _Work:
    """One asking that is being answered. It goes on when nobody listens; who asks again with its key hears its answer."""

    def __init__(self) -> None:
        self.told = ""
        self.answer: dict[str, Any] | None = None
        self.moved = asyncio.Event()

    def tell(self, words: str) -> None:
        self.told = words
        self._move()

    def end(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self._move()

    def _move(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class CiDoor:
    """Serves the routes. Made in the event loop; `heavy` has the threads for what rehearses and runs."""

    def __init__(self, ops: Ops, ci: Ci, url: str, heavy: Executor) -> None:
        """`url` is the audience that tokens must be for. Raises OpsError(BAD_CONFIG) for a bearer token that is none."""
        self._ops = ops
        self._ci = ci
        self._url = url
        self._keys = IssuerKeys(ci.issuer)
        self._secrets = {one.name: _secret(ops, one.token) for one in ci.tokens}
        self._line = HeavyLine(heavy, places=16, places_of_one=8)
        self._loop = asyncio.get_running_loop()
        self._works: dict[str, _Work] = {}
        self._waiters = 0
        self._refused: deque[float] = deque()
        self._strangers: deque[float] = deque()
        self._mutex = threading.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/ci/v1/plan", lambda request: self._ask(request, "plan")),
            web.post("/ci/v1/push", lambda request: self._ask(request, "push")),
            web.get("/ci/v1/requests/{request}", self._wait),
        ]

    async def _ask(self, request: web.Request, word: Literal["plan", "push"]) -> web.StreamResponse:
        """Check who asks, what for, and let it be done: the job that asked may listen or not."""
        try:
            asked = _asked(await request.read())
            job = await self._job(request, word)
            line = await asyncio.to_thread(self._allowed_line, job, asked, word)
        except OpsError as error:
            return _refusal(error)
        except AuditError as error:
            return _answer(reply_json(unrecorded(error)), 503)
        act = "ci:" + hashlib.sha256(f"{job.actor.id}\n{line}\n{asked.key}".encode()).hexdigest()[:40]
        work = self._works.get(act)
        if work is None:
            work = self._works[act] = _Work()
            self._begin(act, line, job, asked, work)
        return await _stream(request, work)

    def _begin(self, act: str, line: str, job: Job, asked: Asked, work: _Work) -> None:
        behind = tuple(dict.fromkeys((*job.behind, *asked.behind)))[:MOST] or ("whoever started the job",)

        def tell(words: str) -> None:
            self._loop.call_soon_threadsafe(work.tell, words)

        def do() -> None:
            try:
                reply = say(self._ops, line, actor=job.actor, front=Front.CI, act=act, progress=tell, behind=behind)
            except Exception:
                reply = unexpected(act)
            self._loop.call_soon_threadsafe(self._works.pop, act, None)
            self._loop.call_soon_threadsafe(work.end, reply_json(reply))

        whose = ",".join(sorted({one.project for one in job.maps}))
        if self._line.put(f"ci:{whose}", do):
            work.tell("waits for its turn")
        else:
            self._works.pop(act)
            work.end(reply_json(crowded(self._ops, line, actor=job.actor, act=act)))

    def _allowed_line(self, job: Job, asked: Asked, word: str) -> str:
        """The line that this asking comes to. Raises OpsError, written down, where the job may not say it."""
        try:
            target = find_target(self._ops.settings, asked.environment)
            may_ask(job, target.project, target.environment, asked.commit).or_raise()
        except OpsError as error:
            self._note(job, word, error)
            raise
        commit = job.commit or asked.commit
        options = [
            *(["--commit", commit] if commit else []),
            *(["--markdown"] if asked.markdown and word == "plan" else []),
        ]
        return line_of([word, target.name, *options])

    async def _job(self, request: web.Request, word: str) -> Job:
        """Who asks. Raises OpsError(IDENTITY_UNPROVEN), OpsError(NOT_ALLOWED), AuditError."""
        given = request.headers.getall("Authorization", [])
        match = re.fullmatch(r"(?i:bearer) +([!-~]+)", given[0]) if len(given) == 1 else None
        if match is None:
            raise unproven("Nobody says who asks: the header Authorization holds no bearer token.")
        job = bearer_job(self._ci, match[1], self._secrets)
        if job is not None:
            return job
        if not self._ci.github:
            raise unproven("That is none of the tokens that are configured.", "Look at [[ci.tokens]].")
        return await asyncio.to_thread(self._github_job, match[1], word)

    def _github_job(self, token: str, word: str) -> Job:
        claims = read_claims(token, self._keys.key, issuer=self._ci.issuer, audience=self._url, now=self._ops.now())
        job, decision = job_of(self._ci, claims)
        is_ours = any(one.repository_id == claims.repository_id for one in self._ci.github)
        counted, most = (self._refused, REFUSALS) if is_ours else (self._strangers, STRANGERS)
        if not decision.allowed and not self._has_room(counted, most):
            decision.or_raise()  # nothing is done, so nothing is written down
        admit(self._ops.log, claims, job.actor, uuid.uuid4().hex)
        try:
            decision.or_raise()
        except OpsError as error:
            self._note(job, word, error, is_counted=True)
            raise
        return job

    def _has_room(self, counted: deque[float], most: int) -> bool:
        """Whether fewer than so many were counted within a minute; then this one is."""
        now = self._ops.now().timestamp()
        with self._mutex:
            while counted and counted[0] < now - 60:
                counted.popleft()
            has_room = len(counted) < most
            if has_room:
                counted.append(now)
        return has_room

    def _note(self, job: Job, word: str, error: OpsError, *, is_counted: bool = False) -> None:
        """A refusal of somebody who proved who they are goes into the log, as long as they are not many.

        `is_counted`: it was counted already, and there was room.
        """
        logger.warning("ci_refused actor=%s reason=%s", job.actor.id, error.reason.value)
        if not is_counted and not self._has_room(self._refused, REFUSALS):
            return
        record_refusal(self._ops, job.actor, f"ci:{uuid.uuid4()}", word, error)

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        """Tell a job how a request goes on, until it is over or the time is up."""
        number, seconds = request.match_info["request"], request.query.get("seconds", "0")
        try:
            if not _REQUEST.fullmatch(number) or not re.fullmatch("[0-9]{1,3}", seconds):
                raise OpsError(
                    Reason.BAD_USAGE, "That is no request, or no number of seconds.", "Ask for R-7?seconds=60."
                )
            job = await self._job(request, "show")
            found, _ = await asyncio.to_thread(look_at, self._ops.view, number, self._ops.now())
            if not job.may_see(found.project, found.environment):
                # as for one that is not there: the numbers of others are nobody's business
                raise OpsError(Reason.UNKNOWN_REQUEST, f"There is no request {number} that this job may see.")
            if self._waiters >= WAITERS:
                raise OpsError(Reason.TARGET_BUSY, "Too many jobs wait already.", "Ask again in a minute.", exit_code=5)
        except OpsError as error:
            return _refusal(error)
        except AuditError as error:
            return _answer(reply_json(unrecorded(error)), 503)
        work = _Work()
        self._waiters += 1
        follower = asyncio.create_task(self._follow(work, number, min(int(seconds), WAIT_SECONDS)))
        try:
            return await _stream(request, work)
        finally:
            self._waiters -= 1
            follower.cancel()

    async def _follow(self, work: _Work, request: str, seconds: int) -> None:
        try:
            work.end(await self._ended(work, request, seconds))
        except OpsError as error:
            work.end(reply_json(error_reply(error)))
        except AuditError as error:
            work.end(reply_json(unrecorded(error)))
        except Exception:  # whoever waits hears of it: nobody else would, and the stream would stay open
            work.end(reply_json(unexpected(f"ci:{request}")))

    async def _ended(self, work: _Work, request: str, seconds: int) -> dict[str, Any]:
        """What is answered once the request is over, or the time is up."""
        until = self._loop.time() + seconds
        while True:
            found, told = await asyncio.to_thread(look_at, self._ops.view, request, self._ops.now())
            work.tell(told)
            is_open = found.status_at(self._ops.now()) in {Status.WAITING, Status.RUNNING}
            if not is_open or self._loop.time() >= until:
                return reply_json(push_reply(found, self._ops.now()))
            await asyncio.sleep(LOOK_SECONDS)


def _secret(ops: Ops, reference: str) -> str:
    value = resolve_secret(reference, folder=ops.settings.folder)
    if len(value) < LEAST_SECRET or not value.isascii() or not value.isprintable() or " " in value:
        message = f"The token behind {reference} is no secret: it takes {LEAST_SECRET} letters and digits or more."
        raise OpsError(Reason.BAD_CONFIG, message, "Make one with `openssl rand -hex 32`.")
    return value


def _asked(body: bytes) -> Asked:
    """What the body asks for. Raises OpsError(BAD_USAGE)."""
    try:
        return Asked.model_validate_json(body)
    except ValidationError as error:
        wrong = sorted({".".join(map(str, one["loc"])) or "the body" for one in error.errors(include_input=False)})
        message = f"That cannot be asked: {', '.join(wrong)[:200]} is not as it should be."
        raise OpsError(
            Reason.BAD_USAGE, message, "Use `countersign push … --remote`; docs/ci.md has the fields."
        ) from None


async def _stream(request: web.Request, work: _Work) -> web.StreamResponse:
    """Lines until the answer. Who leaves stops nothing."""
    stream = web.StreamResponse(
        headers={"Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no"}  # nginx would keep lines back
    )
    await stream.prepare(request)
    before = ""
    while work.answer is None:
        moved = work.moved
        if work.told != before:
            before = work.told
            await stream.write(json.dumps(progress_json(before)).encode() + b"\n")
            continue
        try:
            await asyncio.wait_for(moved.wait(), ALIVE_SECONDS)
        except TimeoutError:
            await stream.write(b"\n")
    await stream.write(json.dumps(work.answer).encode() + b"\n")
    await stream.write_eof()
    return stream


def _refusal(error: OpsError) -> web.Response:
    status = 401 if error.reason is Reason.IDENTITY_UNPROVEN else _STATUS.get(error.exit_code, 500)
    status = 404 if error.reason is Reason.UNKNOWN_REQUEST else status
    return _answer(reply_json(error_reply(error)), status)


def _answer(answer: dict[str, Any], status: int) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response(answer, status=status, headers=headers)

"""One call of the Management API: asked once or, where that is safe, again; what came back, or one sentence why not.

The only module that speaks HTTP to Supabase's API. The token goes into one header and nowhere else.
"""

import json
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ops.errors import Reason
from ops.masking import printable
from ops.supabase.api_error import ApiError
from ops.supabase.api_error import hint_of
from ops.supabase.budget import Budget

TRIES = 3
LARGEST_JSON_BYTES = 8 * 2**20
LARGEST_BODY_BYTES = 64 * 2**20
_SHOWN = 200
_PAUSES_SECONDS = (0.25, 1.0)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_PASSING = {500, 502, 503, 504, 520, 521, 522, 523, 524}


@dataclass(frozen=True)
class Call:
    """One thing to ask for. `path` follows the project's own; `endpoint` names it for the budget and for people.

    `reads`: it changes nothing, or nothing worse by being done twice, so it may be asked again. `permission` is what a
    token needs for it. `quiet`: it carries a secret, so that what an error's body says is shown to nobody.
    """

    method: str
    path: str
    endpoint: str
    permission: str
    reads: bool = False
    query: Mapping[str, str] | None = None
    json: Any = None
    parts: Sequence[tuple[str, tuple[str | None, bytes] | tuple[str | None, bytes, str]]] = ()
    accept: str = "application/json"
    largest_bytes: int = LARGEST_JSON_BYTES
    quiet: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.endpoint}"


@dataclass(frozen=True)
class Answer:
    """A whole answer with a status below 300, or the 404 that the caller takes for one."""

    status: int
    content_type: str
    body: bytes


class Transport:
    """The connection to one project's part of the API, kept open between calls. Not to be shared between threads.

    `timeout_seconds` bounds one try, `patience_seconds` all waiting for the API to be less busy.
    """

    def __init__(
        self,
        base: str,
        ref: str,
        token: str,
        *,
        timeout_seconds: float,
        patience_seconds: float,
        budget: Budget,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._token = token
        self._ref = ref
        self._root = f"{base}/v1/projects/{ref}"
        self._key = (base, ref)
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._budget = budget
        self._sleep = sleep
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "Countersign", "Accept-Encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"Transport({self._root})"

    def close(self) -> None:
        self._http.close()

    def ask(self, call: Call, *, missing_is_an_answer: bool = False) -> Answer:
        """What the API answers. Raises ApiError: API_REFUSED, API_PLAN, API_BUSY or API_FAILED."""
        patience_ends = time.monotonic() + self._patience_seconds
        tries = 0
        while True:
            self._wait_for_budget(call, patience_ends)
            tries += 1
            try:
                answer, headers = self._try(call)
            except httpx.HTTPError as error:
                not_sent = isinstance(error, _NOT_SENT)
                if (call.reads or not_sent) and tries < TRIES:
                    self._sleep(_PAUSES_SECONDS[tries - 1])
                    continue
                raise self._no_answer(call, error, unknown=not (call.reads or not_sent)) from None
            self._budget.note((*self._key, call.name), headers)
            if answer.status == 429:
                self._sleep(self._busy_seconds(call, headers, patience_ends))
                continue
            if answer.status in _PASSING and call.reads and tries < TRIES:
                self._sleep(_PAUSES_SECONDS[tries - 1])
                continue
            if 200 <= answer.status < 300 or (missing_is_an_answer and answer.status == 404):
                return answer
            raise self._refused(call, answer)

    def wrong(self, call: Call, what: str, status: int) -> ApiError:
        """An answer that came and cannot be read."""
        return ApiError(
            Reason.API_FAILED,
            f"Supabase answered {call.name} with {status}, but {what}.",
            hint_of(not call.reads),
            exit_code=1,
            status=status,
            outcome_unknown=not call.reads,
        )

    def _try(self, call: Call) -> tuple[Answer, httpx.Headers]:
        """One try, read whole within the time and the size that are allowed."""
        ends = time.monotonic() + self._timeout_seconds
        request: dict[str, Any] = {"params": call.query}
        if call.json is not None:
            request["json"] = call.json
        if call.parts:
            request["files"] = call.parts
        headers = {"Authorization": f"Bearer {self._token}", "Accept": call.accept}
        with self._http.stream(call.method, self._root + call.path, headers=headers, **request) as response:
            body = bytearray()
            for piece in response.iter_raw():
                body += piece
                if len(body) > call.largest_bytes:
                    raise self.wrong(call, f"with more than {call.largest_bytes} bytes", response.status_code)
                if time.monotonic() > ends:
                    raise httpx.ReadTimeout("the answer did not end in time")
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity" and 200 <= response.status_code < 300:
            raise self.wrong(call, "packed, which was not asked for", response.status_code)
        content_type = response.headers.get("content-type", "")
        return Answer(response.status_code, content_type, bytes(body)), response.headers

    # --- waiting ---------------------------------------------------------------------------------------

    def _wait_for_budget(self, call: Call, patience_ends: float) -> None:
        wait_seconds = self._budget.wait_seconds((*self._key, call.name))
        if wait_seconds <= 0:
            return
        if time.monotonic() + wait_seconds > patience_ends:
            raise self._busy(call, wait_seconds, None)
        self._sleep(wait_seconds)

    def _busy_seconds(self, call: Call, headers: httpx.Headers, patience_ends: float) -> float:
        """How long to wait after a 429. Raises ApiError(API_BUSY) when that is longer than anybody waits."""
        wait_seconds = _seconds(headers.get("retry-after")) or _seconds(headers.get("x-ratelimit-reset")) or 1.0
        if time.monotonic() + wait_seconds > patience_ends:
            raise self._busy(call, wait_seconds, 429)
        return wait_seconds

    def _busy(self, call: Call, wait_seconds: float, status: int | None) -> ApiError:
        return ApiError(
            Reason.API_BUSY,
            f"Supabase takes no more {call.name} for now; nothing of this call was done.",
            f"Try again in {max(1, round(wait_seconds))} s: the limit is shared by all who use this account.",
            exit_code=5,
            status=status,
            retry_after_seconds=wait_seconds,
        )

    # --- what people read --------------------------------------------------------------------------------

    def _no_answer(self, call: Call, error: httpx.HTTPError, *, unknown: bool) -> ApiError:
        # The kind alone: an error's own words may quote a header.
        kind = "no connection came about" if isinstance(error, _NOT_SENT) else _plain_kind(error)
        return ApiError(
            Reason.API_FAILED,
            f"Supabase did not answer {call.name}: {kind}.",
            hint_of(unknown),
            exit_code=1,
            outcome_unknown=unknown,
        )

    def _refused(self, call: Call, answer: Answer) -> ApiError:
        status, said = answer.status, self._said(call, answer.body)
        if status == 401:
            return ApiError(
                Reason.API_REFUSED,
                f"Supabase does not know this access token (401 for {call.name}).{said}",
                "Make a new one in the dashboard (Account, Access Tokens), and set it for the process that runs Countersign.",
                exit_code=2,
                status=status,
            )
        if status == 403:
            return ApiError(
                Reason.API_REFUSED,
                f"Supabase does not let this access token do {call.name} on {self._ref} (403).{said}",
                f"It needs the permission {call.permission}, and its owner a role in the project's organisation.",
                exit_code=2,
                status=status,
            )
        if status == 404:
            return ApiError(
                Reason.API_REFUSED,
                f"Supabase finds nothing for {call.name} on {self._ref} (404).{said}",
                "Check project_ref, and that the token's owner may see the project.",
                exit_code=2,
                status=status,
            )
        if status == 402:
            return ApiError(
                Reason.API_PLAN,
                f"The Supabase plan of {self._ref} does not include this: {call.name} (402).{said}",
                "Nothing was done. Change the project's plan, or switch that part off in the configuration: docs/supabase.md "
                "names each setting.",
                exit_code=2,
                status=status,
            )
        unknown = not call.reads and (status >= 500 or status == 408)
        redirect = " It pointed elsewhere, where the token does not go." if 300 <= status < 400 else ""
        return ApiError(
            Reason.API_FAILED,
            f"Supabase answered {call.name} with {status}.{redirect}{said}",
            hint_of(unknown),
            exit_code=1,
            status=status,
            outcome_unknown=unknown,
        )

    def _said(self, call: Call, body: bytes) -> str:
        """What a foreign error says, in one short line without secrets; nothing where it says nothing."""
        if call.quiet:
            return ""
        text = _message(body).replace(self._token, "«masked»")
        shown = printable(text, _SHOWN)
        return f" It says: {shown}{'' if shown[-1] in '.!?' else '.'}" if shown else ""


def _message(body: bytes) -> str:
    """The message of an error's JSON, or the body's beginning as it is."""
    try:
        found = json.loads(body)
        message = found.get("message") or found["error"]["message"]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        message = None
    return message[:4000] if isinstance(message, str) else body[:4000].decode("utf-8", "replace")


def _plain_kind(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "the time for an answer ran out"
    return "the connection broke before the answer was whole"


def _seconds(text: str | None) -> float | None:
    """A header's number of seconds; None where there is no usable one (a date, a negative number, text)."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 86_400 else None

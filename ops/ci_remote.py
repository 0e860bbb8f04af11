"""The job's side of the door for CI: prove who this is, ask, and hear the answer line by line. Needs no configuration."""

import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from typing import Self

import httpx

from ops.errors import OpsError
from ops.errors import Reason
from ops.listener_settings import plain_url
from ops.progress import read_progress

TOKEN = "COUNTERSIGN_TOKEN"
ID_TOKEN_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
ID_TOKEN_SECRET = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""What GitHub gives a job that has `permissions: id-token: write`.

https://docs.github.com/en/actions/reference/security/oidc
"""

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 60.0
"""The bot says something every ten seconds; who is silent for so long is gone."""

ANSWER_BYTES = 32 * 2**20
TOKEN_BYTES = 64 * 1024


class NoAnswerError(Exception):
    """There was no answer, or none to the end. `may_have_arrived`: what was asked may be done or under way."""

    def __init__(self, why: str, *, may_have_arrived: bool) -> None:
        super().__init__(why)
        self.may_have_arrived = may_have_arrived


class Door:
    """`with Door(url, environment) as door:`. A token is never shown, and goes nowhere but where it is for."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        """Raises OpsError(BAD_USAGE) for an address that would carry credentials in clear text."""
        try:
            self._url = plain_url(url)
        except ValueError as error:
            raise OpsError(Reason.BAD_USAGE, f"--remote: {error}.", "Give the `url` of the bot's [listener].") from None
        self._environment = environment
        self._client = httpx.Client(timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS), trust_env=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, word: str, asked: Mapping[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
        """Say a word. Raises NoAnswerError, OpsError."""
        return self._hear("POST", f"/ci/v1/{word}", progress, asked)

    def wait(self, request: str, seconds: int, progress: Callable[[str], None]) -> dict[str, Any]:
        """How a request stands when it is over, or after so long. Raises NoAnswerError, OpsError."""
        return self._hear("GET", f"/ci/v1/requests/{request}?seconds={seconds}", progress)

    def _hear(
        self, method: str, path: str, progress: Callable[[str], None], body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/x-ndjson"}
        is_sent = False
        try:
            with self._client.stream(method, self._url + path, headers=headers, json=body) as answer:
                is_sent = answer.status_code < 500
                if answer.status_code in {429, 500, 502, 503, 504} and not _is_ours(answer):
                    raise NoAnswerError(f"HTTP {answer.status_code}", may_have_arrived=answer.status_code >= 500)
                return _last(_lines(answer), progress, answer.status_code)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoAnswerError(type(error).__name__, may_have_arrived=False) from error
        except httpx.InvalidURL as error:
            raise OpsError(Reason.BAD_USAGE, "--remote: that is no address.", "Give the bot's `url`.") from error
        except httpx.HTTPError as error:
            raise NoAnswerError(type(error).__name__, may_have_arrived=True) from error
        except (ValueError, KeyError, RecursionError) as error:
            raise NoAnswerError(
                "it answers what is not Countersign's", may_have_arrived=is_sent and method == "POST"
            ) from error

    def _token(self) -> str:
        """A credential for one request. Raises OpsError(IDENTITY_UNPROVEN), NoAnswerError."""
        if given := self._environment.get(TOKEN, "").strip():
            return given
        url, secret = self._environment.get(ID_TOKEN_URL, ""), self._environment.get(ID_TOKEN_SECRET, "")
        if not url or not secret:
            raise OpsError(
                Reason.IDENTITY_UNPROVEN,
                "Nothing here proves who this job is.",
                f"In GitHub Actions give the job `permissions: id-token: write`; elsewhere set {TOKEN}.",
                exit_code=3,
            )
        try:
            address = httpx.URL(url).copy_set_param("audience", self._url)
            answer = self._client.get(address, headers={"Authorization": f"Bearer {secret}"}, timeout=CONNECT_SECONDS)
            value = answer.json()["value"] if answer.status_code == 200 and len(answer.content) <= TOKEN_BYTES else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise NoAnswerError(f"GitHub gives no token ({type(error).__name__})", may_have_arrived=False) from error
        if not isinstance(value, str):
            raise NoAnswerError(f"GitHub gives no token (HTTP {answer.status_code})", may_have_arrived=False)
        return value


def _is_ours(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("application/json")


def _lines(answer: httpx.Response) -> Iterator[str]:
    """Lines that are not empty, within a bound."""
    size = 0
    for line in answer.iter_lines():
        size += len(line)
        if size > ANSWER_BYTES:
            raise ValueError
        if line:
            yield line


def _last(lines: Iterator[str], progress: Callable[[str], None], status: int) -> dict[str, Any]:
    """The answer; progress on the way. Raises ValueError or KeyError for anything else than an answer of ours."""
    for line in lines:
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError
        if "progress" in said:
            progress(read_progress(said))
            continue
        if not isinstance(said["reply"], dict) or not isinstance(said["exit_code"], int) or "page" not in said:
            raise ValueError
        if not isinstance(said["ok"], bool) or not (said["request"] is None or isinstance(said["request"], str)):
            raise ValueError
        return said
    raise NoAnswerError(f"it ended in the middle (HTTP {status})", may_have_arrived=True)

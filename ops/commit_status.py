"""What a commit's status on GitHub says of the requests for it: one context for each target.

https://docs.github.com/en/rest/commits/statuses
"""

from collections.abc import Mapping
from datetime import datetime

from ops.ci_settings import Github
from ops.masking import mask
from ops.requests import Request
from ops.settings import Settings
from ops.settings import resolve_secret
from ops.status import Status

TIMEOUT_SECONDS = 10.0
MOST_LETTERS = 140
"""So long a description may be."""

_STATES: Mapping[Status, str] = {
    Status.WAITING: "pending",
    Status.RUNNING: "pending",
    Status.SUCCEEDED: "success",
    Status.FAILED: "failure",
    Status.PARTIALLY_APPLIED: "failure",
    Status.INTERRUPTED: "error",
    Status.REJECTED: "failure",
    Status.CANCELLED: "error",
    Status.EXPIRED: "error",
    Status.SUPERSEDED: "error",
}


class StatusRefusedError(Exception):
    """GitHub did not take a status. `is_final`: it never will, so it is not tried again."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


def status_of(request: Request, now: datetime) -> dict[str, str] | None:
    """The status of a request's commit, or None for a request that is not about one commit."""
    if request.kind != "push" or not request.commit:
        return None
    status = request.status_at(now)
    words = f"{request.id} {status.value.replace('_', ' ')}"
    because = str(request.ending.get("because") or request.ending.get("message") or "")
    said = f"{words}: {because}" if because and status is not Status.WAITING else words
    return {
        "state": _STATES[status],
        "context": f"countersign/{request.target}",
        "description": " ".join(mask(said).split())[:MOST_LETTERS],
    }


def post_status(settings: Settings, github: Github, request: Request, said: Mapping[str, str]) -> None:
    """Say it at GitHub. Raises StatusRefusedError, OpsError(BAD_CONFIG) when the token is not set.

    Saying the same again does no harm, so what was not answered may be sent once more.
    """
    token = resolve_secret(github.token, folder=settings.folder)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "User-Agent": "countersign"}
    url = f"{github.api_url}/repos/{github.repositories[request.project]}/statuses/{request.commit}"
    import httpx  # here, for it is slow to load, and few say statuses

    try:
        answer = httpx.post(url, headers=headers, json=dict(said), timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise StatusRefusedError(type(error).__name__, is_final=False) from error  # the words may quote a header
    if answer.status_code != 201:
        # 401, 404 and 422 stay as they are until somebody changes the configuration; a limit (403, 429) passes.
        raise StatusRefusedError(f"HTTP {answer.status_code}", is_final=answer.status_code in {401, 404, 410, 422})

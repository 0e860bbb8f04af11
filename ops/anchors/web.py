"""A URL that takes each checkpoint as a POST: an object store with a retention lock, a witness, somebody else's service."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import resolve_secret

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class WebAnchor:
    """`headers` are references to secrets, looked up each time. Redirects are not followed: a place is where it was said."""

    url: str
    headers: Mapping[str, str]
    folder: Path

    @property
    def where(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{parts.path}"

    def publish(self, note: str, size: int, at: str) -> str:
        import httpx  # slow to load, and only who publishes needs it

        headers = {name: resolve_secret(reference, folder=self.folder) for name, reference in self.headers.items()}
        headers |= {
            "Content-Type": "text/plain; charset=utf-8",
            "X-Countersign-Size": str(size),
            "X-Countersign-At": at,
        }
        try:
            with httpx.stream(
                "POST",
                self.url,
                content=note.encode(),
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                follow_redirects=False,
            ) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # the words of the error may quote a header, which is a secret
            raise self._failed(size, f"{type(error).__name__}") from None
        if not 200 <= status < 300:
            raise self._failed(size, f"it answered {status}")
        return f"status {status}"

    def _failed(self, size: int, why: str) -> OpsError:
        return OpsError(
            Reason.ANCHOR_FAILED,
            f"The checkpoint at {size} events was not taken by {self.where}: {why}.",
            "Look at that service; the next checkpoint is sent there all the same.",
            exit_code=1,
        )

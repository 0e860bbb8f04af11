"""Waiting for a request to end, by reading only: it holds nothing, and how each status ends a terminal command."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from audit import Reader
from ops.blockers import Blocker
from ops.progress import Told
from ops.request_queue import goes_on_as
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status

EXIT_CODES = {
    Status.WAITING: 0,
    Status.RUNNING: 0,
    Status.SUCCEEDED: 0,
    Status.FAILED: 1,
    Status.PARTIALLY_APPLIED: 1,
    Status.INTERRUPTED: 1,
    Status.REJECTED: 3,
    Status.CANCELLED: 3,
    Status.SUPERSEDED: 3,
    Status.EXPIRED: 4,
}
"""The exit code for each status, from the contract; a `--wait` that ran out ends with 4 as well."""

POLL_SECONDS = 0.2


def wait_for_end(
    log: Path, request: str, *, seconds: float | None, now: Callable[[], datetime], progress: Callable[[Told], None]
) -> Request:
    """The request once it is over or expired, or as it stands when `seconds` ran out (None: until it expires). Where it was
    planned again by itself, the one that took its place."""
    reader = Reader(log)
    deadline = None if seconds is None else time.monotonic() + seconds
    before = None
    while True:
        found, told = look_at(reader, request, now())
        request = found.id
        status = found.status_at(now())
        if told != before:
            progress(told)
            before = told
        if status not in {Status.WAITING, Status.RUNNING}:
            return found
        if deadline is not None and time.monotonic() >= deadline:
            return found
        time.sleep(POLL_SECONDS)


def look_at(view: Reader, request: str, now: datetime) -> tuple[Request, Told]:
    """The request as it stands, or the one that took its place where it was planned again by itself; and that in words."""
    found = find_request(view, request)
    while (newer := goes_on_as(found)) is not None:
        found = find_request(view, newer)
    return found, _told(found, found.status_at(now))


def _told(request: Request, status: Status) -> Told:
    """How a request stands, and while it runs, at which step."""
    words = f"{request.id} is {status.value.replace('_', ' ')}"
    running = next((step for step in reversed(request.steps) if step.outcome == "running"), None)
    if status is not Status.RUNNING or running is None:
        return Told(words, step=status.value)
    step = running.name
    if step != "migrate":
        return Told(f"{words}: {step}", step=step)
    if wait := running.detail.get("waits"):
        # Short, and without a bar, so that who is in the way is on the line where it is narrow.
        in_the_way = "; ".join(str(Blocker(**one)) for one in wait["blockers"]) or "nobody that could be seen"
        return Told(f"{request.id} waits for a lock; in the way: {in_the_way}", step=f"{step}: waits for a lock")
    if progress := running.detail.get("progress"):
        return Told(f"{request.id}: {progress['said']}", step=f"{step}: {request.id}", share=progress["share"])
    done, files = len(request.applied), len(request.files)
    return Told(f"{words}: migrate, {done} of {files} applied", step=step, share=done / files if files else None)

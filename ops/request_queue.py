"""The queue of a target: what waits or runs there, by when it was first asked for.

It decides who is planned and started first of those who may; whoever waits for people holds nobody up.
"""

from collections.abc import Iterable
from collections.abc import Sequence

from audit import View
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status

THE_TARGET = "the target"
"""All that changed for a request that was planned again by itself."""

IN_LINE = frozenset({Status.WAITING, Status.RUNNING, Status.INTERRUPTED})


def in_line(requests: Iterable[Request]) -> list[Request]:
    """These requests by when they were first asked for; those that were planned again keep their place."""
    return sorted(requests, key=lambda one: one.queued_at or one.requested_at)


def goes_on_as(request: Request) -> str | None:
    """The request that was planned in this one's place by itself, because another run had changed the target."""
    number: str | None = request.ending.get("by")
    return number if request.ending.get("changed") == [THE_TARGET] else None


def in_its_place(view: View, request: Request) -> Request:
    """The last of the requests that took this one's place, or itself: planned again by itself, or asked for anew."""
    while request.status is Status.SUPERSEDED and request.ending.get("by"):
        request = find_request(view, request.ending["by"])
    return request


def ahead_of(request: Request, open_requests: Sequence[Request]) -> tuple[str, ...]:
    """The requests before this one in the queue of its target, the first of them first; what expired may be among
    `open_requests` and is not counted once that is written down. Empty for what runs beside others."""
    if not request.occupies or request.status is not Status.WAITING:
        return ()
    mine = in_line(one for one in open_requests if one.target == request.target and one.occupies)
    line = [one.id for one in mine if one.status in IN_LINE]
    return tuple(line[: line.index(request.id)]) if request.id in line else ()

"""Who stands before whom on each target, as the cards show it: worked out once for each move and not for each card."""

from ops.layer import Ops
from ops.request_queue import ahead_of
from ops.requests import Request
from ops.requests import open_requests


class Queues:
    """What the cards say of the queues. For the one thread that keeps the cards."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._lines: dict[str, dict[str, tuple[str, ...]]] = {}

    def ahead(self, request: Request) -> tuple[str, ...]:
        """The requests before this one, as of the last move that was looked at; a new one is looked at by itself."""
        if request.target not in self._lines:
            self.moved(request.target)
        line = self._lines[request.target]
        if request.id not in line:
            line[request.id] = ahead_of(request, open_requests(self._ops.view))
        return line[request.id]

    def moved(self, target: str) -> list[str]:
        """Look at a target's queue anew: the requests before which others stand than before."""
        waiting = open_requests(self._ops.view)
        line = {one.id: ahead_of(one, waiting) for one in waiting if one.target == target}
        before, self._lines[target] = self._lines.get(target, {}), line
        return [number for number, ahead in line.items() if ahead != before.get(number)]

"""The digest computed again: what of a request's plan is no longer as it was asked for."""

from ops.half_done import worked_on_since
from ops.kinds import kind_of
from ops.layer import Ops
from ops.layer import Progress
from ops.requests import Request


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """The parts that differ, in words, as the request's kind tells them; empty when the digest is the same, and nobody has
    worked on its files since it was asked for, which may show in rows alone."""
    return kind_of(request.kind).what_changed(ops, request, progress) or worked_on_since(ops.view, request)

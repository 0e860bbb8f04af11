"""What a page says of a request that others have gone on with or taken back since: that comes before how it ended itself."""

from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import When
from ops.afterwards import Afterwards
from ops.asking_again import again_of
from ops.requests import Request
from ops.status import Status


def since_words(since: Afterwards) -> str:
    """How a request stands because of a later one, for its first line; empty where there is none."""
    if (undo := since.took_back) is not None:
        running, part = f"being undone by {undo.id}", f"undone in part by {undo.id}"
        return {Status.SUCCEEDED: f"undone by {undo.id}", Status.RUNNING: running}.get(undo.status, part)
    if since.went_on is None:
        return ""
    how = {Status.SUCCEEDED: "done", Status.RUNNING: "running", Status.INTERRUPTED: "interrupted"}
    return f"went on as {since.went_on.id}, {how.get(since.went_on.status, 'half-way')}"


def since_fact(since: Afterwards, before: str) -> list[tuple[str, Line]]:
    """Which request that is, and how this one ended before it (`before`, in the words of its card)."""
    last = since.last
    if last is None:
        return []
    how = "went on with it"
    if since.took_back is not None:
        how = "took it back" if since.is_undone else "began to take it back"
    when: Line = (" ", When(last.ended_at)) if last.ended_at is not None else ()
    return [("Since then", (Code(last.id), f" {how}", *when)), ("Before that", (before,))]


def since_next(request: Request, since: Afterwards) -> Line:
    """Where to look now, or how to have it back."""
    if since.is_undone and request.kind in {"push", "resume"}:
        return ("nothing to do; to run it again, ask with ", Command(f"push {request.environment}"), ".")
    if since.last is None or since.is_undone:
        return ("nothing to do; to run it again, ask with ", Command(again_of(request)), ".")
    return (Command(f"show {since.last.id}"), f" tells what is on {request.target} now.")

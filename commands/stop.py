"""`stop R-7`: end a run that is under way, as early as that can be done without leaving anything in doubt.

Whoever requested it may, and so may every requester of its target. The wish is recorded first. Then the run stops before
its next file, statement or step; a statement that is under way is cancelled on the server and rolled back, and a backup
that is being taken is ended. A COMMIT is never cancelled.

What the run did until then stays or is gone as its card says: nothing of it remains, or exactly so many files are
applied. What is left can be asked for again. A run that was told to stop is never taken up again by itself, whatever
happens to the bot. A request that has not begun yet is cancelled by its requester with this word, too.

Examples:
    stop R-7                           stop it
    stop R-7 the site has become slow  stop it, and say why

See also: cancel, show, status
"""

from commands.kind_parts import done_text
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.page_words import sentence_line
from commands.partial_parts import ways_on
from commands.push import push_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.asking_again import again_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.people import Actor
from ops.requests import Request
from ops.status import Status
from ops.stopping import stop

USAGE = "stop R-NUMBER [REASON…]"
SUMMARY = "stop a run that is under way"
GROUP = Group.DECIDE
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.BAD_USAGE, "`stop` needs a request, such as R-7.", f"Type `{USAGE}`.")
    return stopped_reply(ops, said.arguments[0], said.actor, said.act, " ".join(said.arguments[1:]), said.progress)


def stopped_reply(
    ops: Ops, number: str, actor: Actor, act: str, because: str = "", progress: Progress = lambda _: None
) -> Reply:
    """Stop it, and tell what came of that: where it was stopped, that it came too late, or that it goes on for a moment."""
    request = stop(ops, number, actor, act, because, progress)
    page = Page(_headline(request), body=_body(request, actor), next=_next(request))
    asked = request.stop_asked
    data = {**push_reply(request, ops.now()).data, "stop_asked_by": asked.by.id if asked else None}
    if request.status is Status.SUCCEEDED:
        data |= {"reason": Reason.NOT_RUNNING.value, "message": page.headline, "hint": ""}
        return Reply(page, data, ok=False, exit_code=3, request=request.id)
    return Reply(page, data, request=request.id)


def _headline(request: Request) -> str:
    match request.status:
        case Status.RUNNING:
            return f"{request.id} is told to stop, and still ends what cannot be cut short"
        case Status.CANCELLED:
            return f"{request.id} had not begun: it is cancelled. Nothing was run."
        case Status.SUCCEEDED:
            return f"Too late: {request.id} was done already. Everything of it is on {request.target}."
        case Status.INTERRUPTED:
            return f"{request.id} is interrupted: it is not known what became of a statement"
        case Status.PARTIALLY_APPLIED if _was_stopped(request):
            part = ", and part of one more" if request.ending.get("within") else ""
            return f"{request.id} is stopped, with {done_text(request)}{part}"
        case _ if _was_stopped(request):
            return f"{request.id} is stopped. Nothing of it remains on {request.target}."
        case _:
            return f"{request.id} ended by itself before the stop reached it"


def _was_stopped(request: Request) -> bool:
    return bool(request.ending.get("stopped_by"))


def _body(request: Request, actor: Actor) -> list[Part]:
    """Where exactly it was stopped, and who was first where that was somebody else."""
    parts: list[Part] = []
    if request.status is Status.RUNNING:
        parts.append(Paragraph((_still_running(request),)))
    if request.ending.get("message"):
        parts.append(Paragraph(sentence_line(str(request.ending["message"]))))
    asked = request.stop_asked
    if asked is not None and asked.by != actor:
        parts.append(Paragraph(("It was told to stop already, by ", Who(asked.by.id), " ", When(asked.at), ".")))
    return parts


def _still_running(request: Request) -> str:
    """What the stop does to a run that has not ended yet: cancel what the server works on, or send nothing more."""
    step = next((one.name for one in reversed(request.steps) if one.outcome == "running"), "")
    if step == "migrate":
        return (
            "The server is told to cancel the statement that it works on; if that ends all the same, no other is sent."
        )
    return f"No statement is under way{f' ({step})' if step else ''}; it stops before the next one is sent."


def _next(request: Request) -> Line:
    match request.status:
        case Status.RUNNING | Status.SUCCEEDED | Status.INTERRUPTED:
            return (Command(f"show {request.id}"), " tells what is on the target.")
        case Status.PARTIALLY_APPLIED if len(request.applied) >= len(request.files):
            return (Command(f"show {request.id}"), " tells what is on the target.")
        case Status.PARTIALLY_APPLIED:
            return ways_on(request)
        case _:
            return ("to run it after all, ask again with ", Command(again_of(request)), ".")

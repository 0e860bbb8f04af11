"""What a word answers that asked for a request of another kind than push."""

from dataclasses import replace

from commands.kind_parts import subject_on_target
from commands.next_parts import card_line
from commands.page import Listing
from commands.page import Page
from commands.page_words import sentence_line
from commands.push import push_reply
from commands.reply import Reply
from commands.words import Front
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import Verdict
from ops.gates import waits_of
from ops.layer import Ops
from ops.requests import Request
from ops.status import Status


def asked_reply(ops: Ops, said: Said, request: Request) -> Reply:
    """The request as it stands: run at once where nobody has to approve; in Slack, where it waits, in few words, for its
    card is in the channel."""
    if not request.needed and request.status is Status.WAITING:
        from ops.running import carry_out  # here because most requests wait for people

        request = carry_out(ops, request.id, said.progress)
    waits = waits_of(ops, request)
    reply = push_reply(request, ops.now(), waits)
    if said.front is Front.SLACK and request.status_at(ops.now()) is Status.WAITING:
        return replace(reply, page=_see_the_card(request, waits))
    return reply


def _see_the_card(request: Request, waits: Verdict) -> Page:
    does = Listing("What it does", [sentence_line(str(one)) for one in request.plan["does"]])
    headline = f"{request.id} is asked for: {subject_on_target(request)}"
    return Page(headline, body=[does], next=card_line(request, waits))


def checked_version(said: str, what: str = "version") -> str:
    """A version as somebody typed it, or as the name of its file begins. Raises OpsError(BAD_USAGE)."""
    version = said.partition("_")[0]
    if version.isascii() and version.isdigit():
        return version
    if said.startswith("«masked"):
        message = f"A {what} of six to eight digits looks like a one-time code, and is not kept."
        raise OpsError(Reason.BAD_USAGE, message, "Give the name of its file, such as `000007_add_notes.sql`.")
    raise OpsError(
        Reason.BAD_USAGE,
        f"{said!r} is not a {what}.",
        "A version is the number that its file's name begins with; what has spaces in it goes into quotes.",
    )

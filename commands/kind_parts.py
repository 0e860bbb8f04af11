"""What people read of a request by its kind: a push, an adoption, or one that says in its plan what it does and costs."""

from collections.abc import Mapping
from typing import Any

from commands.adoption_parts import is_adoption
from commands.page import Line
from commands.page import Listing
from commands.page import Part
from commands.page_words import migrations
from commands.page_words import plural
from commands.page_words import refusal_line
from commands.page_words import shortened
from ops.approving import PREFIX_LENGTH
from ops.requests import PUSH
from ops.requests import Request

SENTENCES_SHOWN = 8
QUESTION_LETTERS = 90
"""Of a sentence in the question before a yes, which has room for 300 letters in all."""

_HEADINGS = (("What it does", "does"), ("What is lost", "loses"), ("What proves it", "proven"))
_AGAIN: Mapping[str, str] = {
    "push": "push {environment}",
    "adopt": "adopt {environment}",
    "resume": "resume {of}",
    "rollback": "rollback {of}",
    "cleanup": "clean up {of}",
}
"""What asks for the same once more, where a kind takes nothing else to be named."""


def is_stated(request: Request) -> bool:
    """Whether the plan itself says in sentences what the request does."""
    return "title" in request.plan


def title_of(request: Request) -> str:
    """What stands before the target in a card's first line: nothing for a push, `undo R-7 on ` for a rollback."""
    if is_adoption(request):
        return "adopt "
    return f"{request.plan['title']} " if is_stated(request) else ""


def files_text(request: Request, count: int | None = None) -> str:
    """So many of what the request runs, all if not said: `3 migrations`, `1 script`."""
    number = len(request.files) if count is None else count
    return migrations(number) if request.kind == PUSH else plural(number, "script")


def subject_of(request: Request) -> str:
    """What a request is about, in few words: `3 migrations`, `adopt what is there`, `undo R-7`."""
    if is_adoption(request):
        return "adopt what is there"
    return request.plan["title"].removesuffix(" on") if is_stated(request) else migrations(len(request.files))


def again_of(request: Request) -> str:
    """What to type to ask for this again."""
    words = _AGAIN.get(request.kind, f"help {request.kind}")
    return words.format(environment=request.environment, of=request.of)


def stated_parts(request: Request, most: int | None = SENTENCES_SHOWN) -> list[Part]:
    """The sentences of the plan under their headings; `most` None: all of them."""
    parts: list[Part] = []
    for heading, key in _HEADINGS:
        said = [str(one) for one in request.plan[key]]
        lines: list[Line] = [refusal_line(one) for one in said[:most]]
        if most is not None and len(said) > most:
            lines.append((f"and {len(said) - most} more; the thread's file has all",))
        if lines:
            parts.append(Listing(heading, lines))
    return parts


def stated_question(request: Request) -> str:
    """What is asked before a yes counts: what it does, and what it costs."""
    plan: Mapping[str, Any] = request.plan
    title = str(plan["title"])
    asked = f"{title[:1].upper()}{title[1:]} {request.target}? Plan {request.digest[:PREFIX_LENGTH]}."
    said = " ".join(f"{shortened(str(one), QUESTION_LETTERS)}." for one in [*plan["loses"][:1], *plan["does"][:1]])
    accepts = f" Approving accepts: {', '.join(request.classes)}." if request.classes else ""
    return f"{asked}{accepts} {said}".strip()

"""What people read of a request by its kind: a push, an adoption, or one that says in its plan what it does and costs."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.adoption_parts import is_adoption
from commands.function_parts import work_text
from commands.page import Line
from commands.page import Listing
from commands.page import Part
from commands.page_words import migrations
from commands.page_words import plural
from commands.page_words import refusal_line
from commands.page_words import shortened
from commands.plan_page import hazards_part
from ops.approving import PREFIX_LENGTH
from ops.requests import PUSH
from ops.requests import Request
from ops.supabase.function_log import planned_functions

SENTENCES_SHOWN = 8
QUESTION_LETTERS = 90
"""Of a sentence in the question before a yes, which has room for 300 letters in all."""

HEADINGS = (("What it does", "does"), ("What is lost", "loses"), ("What proves it", "proven"))
_RUNS: Mapping[str, tuple[str, str]] = {
    "push": ("migration", "applied"),
    "resume": ("migration", "applied"),
    "repair": ("history row", "put right"),
    "record": ("history row", "entered"),
}
"""What a kind's run goes through one by one, and what it does with each; of others these are scripts, which are run."""
_OTHERS = ("script", "run")
_PREPOSITIONS = (" on", " of")


def is_stated(request: Request) -> bool:
    """Whether the plan itself says in sentences what the request does."""
    return "title" in request.plan


def title_of(request: Request) -> str:
    """What stands before the target in a card's first line: nothing for a push, `undo R-7 on ` for a rollback."""
    if is_adoption(request):
        return "adopt "
    return f"{request.plan['title']} " if is_stated(request) else ""


def files_text(request: Request, count: int | None = None) -> str:
    """So many of what the request runs, all if not said: `3 migrations`, `1 script`, `2 history rows`."""
    if count is None and (request.kind == PUSH or planned_functions(request.plan)):
        return work_text(len(request.files), len(planned_functions(request.plan)))
    number = len(request.files) if count is None else count
    return migrations(number) if request.kind == PUSH else plural(number, noun_of(request))


def noun_of(request: Request) -> str:
    """What one of the request's files is to people."""
    return _RUNS.get(request.kind, _OTHERS)[0]


def done_text(request: Request) -> str:
    """How far it is or came: `1 of 3 migrations applied`, `1 of 1 script run`."""
    return f"{len(request.applied)} of {files_text(request, len(request.files))} {done_word(request)}"


def done_word(request: Request) -> str:
    """What has become of a file that the request is done with: `applied`."""
    return _RUNS.get(request.kind, _OTHERS)[1]


def subject_of(request: Request) -> str:
    """What a request is about, in few words: `3 migrations`, `adopt what is there`, `undo R-7`."""
    if is_adoption(request):
        return "adopt what is there"
    if not is_stated(request):
        return files_text(request)
    title = str(request.plan["title"])
    return next((title.removesuffix(one) for one in _PREPOSITIONS if title.endswith(one)), title)


def subject_on_target(request: Request) -> str:
    """The same with its target: `3 migrations on shop/prod`, `undo R-7 on shop/prod`."""
    if is_stated(request):
        return f"{request.plan['title']} {request.target}"
    return f"{subject_of(request)} on {request.target}"


def does_part(request: Request) -> list[Part]:
    """What it does, as it was asked for; nothing for a push, whose files say it."""
    return _stated(request, SENTENCES_SHOWN, HEADINGS[:1]) if is_stated(request) else []


def stated_parts(request: Request, most: int | None = SENTENCES_SHOWN) -> list[Part]:
    """The sentences of the plan under their headings; `most` None: all of them."""
    return _stated(request, most, HEADINGS)


def _stated(request: Request, most: int | None, headings: Sequence[tuple[str, str]]) -> list[Part]:
    parts: list[Part] = []
    for heading, key in headings:
        said = [str(one) for one in request.plan[key]]
        lines: list[Line] = [refusal_line(one) for one in said[:most]]
        if most is not None and len(said) > most:
            lines.append((f"and {len(said) - most} more; the thread's file has all",))
        if lines:
            parts.append(Listing(heading, lines))
    return parts


def stated_hazards(request: Request, most: int | None, everything: Line) -> list[Part]:
    """The hazards of its scripts, each in the script where it stands; `most` and `everything` as in `hazards_part`."""
    if not request.files and not request.hazards:
        return []
    names = {str(one["version"]): str(one["filename"]) for one in request.files}
    return hazards_part(request.hazards, most, everything, scripts=names)


def stated_question(request: Request) -> str:
    """What is asked before a yes counts: what it does, and what it costs."""
    plan: Mapping[str, Any] = request.plan
    title = str(plan["title"])
    asked = f"{title[:1].upper()}{title[1:]} {request.target}? Plan {request.digest[:PREFIX_LENGTH]}."
    said = " ".join(f"{shortened(str(one), QUESTION_LETTERS)}." for one in [*plan["loses"][:1], *plan["does"][:1]])
    accepts = f" Approving accepts: {', '.join(request.classes)}." if request.classes else ""
    return f"{asked}{accepts} {said}".strip()

"""What became of earlier approvals where a request takes another one's place, and where it stands in its target's queue."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Paragraph
from commands.page import Part
from commands.page import Span
from commands.page import Who
from commands.page_words import joined
from commands.page_words import plural
from ops.requests import Request
from ops.said import Approval
from ops.said import Voided

LINES_SHOWN = 8
"""So many lines say on a card what somebody has not seen; `show` has all."""

SORTS = {"files": "file", "hazards": "hazard", "rules": "rule", "rest": "other"}
"""What a sentence of a difference is about, and the word before it."""


def queue_facts(request: Request, ahead: Sequence[str]) -> list[tuple[str, Line]]:
    """Its place in the queue of its target, where it is not the first."""
    if not ahead:
        return []
    behind = joined(map(Code, ahead))
    return [("Queue", (f"{_ordinal(len(ahead) + 1)} for {request.target}, behind ", *behind))]


def queue_words(ahead: Sequence[str]) -> str:
    """The same within a line of a list; empty for the first."""
    return f" · {_ordinal(len(ahead) + 1)} in line" if ahead else ""


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def carried_words(approval: Approval) -> str:
    """Behind a name: that the yes was given to an earlier request."""
    return f", given to {approval.carried_from}" if approval.carried_from else ""


def carried_parts(request: Request, most: int | None = LINES_SHOWN) -> list[Part]:
    """What differs from what each person had approved, whether their yes counts here or not. `most` None: all of it."""
    return [*_counting_on(request), *_voided(request, most)]


def carried_line(people: Line, before: str, because: str) -> Line:
    """That a yes to an earlier request counts on, and what is not as those people saw it."""
    return (*people, " said yes to ", Code(before), ", which counts here. ", because)


def _counting_on(request: Request) -> list[Part]:
    groups: dict[tuple[str, str], list[str]] = {}
    for one in request.approvals:
        if one.carried_from and one.stands:
            groups.setdefault((one.carried_from, one.carried_because), []).append(one.by.id)
    return [
        Paragraph(carried_line(joined(map(Who, people), ", "), before, because))
        for (before, because), people in groups.items()
    ]


def _voided(request: Request, most: int | None) -> list[Part]:
    groups: dict[tuple[str, str], list[Voided]] = {}
    for one in request.voided:
        groups.setdefault((one.from_request, one.because), []).append(one)
    parts: list[Part] = []
    for (before, because), voided in groups.items():
        people: Line = joined((Who(one.by.id) for one in voided), ", ")
        said: list[Span] = [*people, " approved ", Code(before), "; that does not count here"]
        lines = _lines(voided[0].differs)
        if not lines:
            parts.append(Paragraph((*said, f": {because}.")))
            continue
        parts.append(Paragraph((*said, ".")))
        shown = lines[:most]
        more = [("more", f"{plural(len(lines) - len(shown), 'difference')}; countersign show {request.id} lists all")]
        told = [*shown, *(more if len(lines) > len(shown) else [])]
        parts.append(
            Listing(
                "What they have not seen, or would miss", [(words,) for _, words in told], [mark for mark, _ in told]
            )
        )
    return parts


def _lines(differs: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(mark, str(words)) for sort, mark in SORTS.items() for words in differs.get(sort, ())]


def voided_json(request: Request) -> list[dict[str, Any]]:
    """The approvals of earlier requests that do not count here, with the reasons."""
    return [
        {
            "by": one.by.id,
            "at": one.at.isoformat(),
            "from": one.from_request,
            "because": one.because,
            "differs": dict(one.differs),
        }
        for one in request.voided
    ]

"""The rules of a request as a tree that people read: met or missing, by whom, and what opens what is closed."""

import re
from collections.abc import Collection
from collections.abc import Iterator
from typing import Any

from commands.page import Line
from commands.page import Listing
from commands.page import Part
from commands.page import Span
from commands.page_words import hint_line
from commands.page_words import person
from ops.gates import Gate
from ops.requests import Request
from ops.simulating import Explained

_WORD = re.compile(r"(\b[UW][A-Z0-9]{2,20}\b)")
_SELDOM = frozenset({"debt", "hotfix"})
"""The gates that play a part in few requests: said only where they do."""
_NAMES = {"waiting": "the request", "target": "the target", "landed": "the plan"}


def tree_parts(explained: Explained) -> list[Part]:
    """Each gate as met or missing; below it the rules that it is made of."""
    known = people_of(explained.request)
    told = [gate for gate in explained.verdict.gates if not gate.is_open or gate.name not in _SELDOM or gate.facts]
    lines = [line for gate in told for line in _branch(gate, known, 0)]
    return [Listing("What a run takes", [line for _, line in lines], [mark for mark, _ in lines])]


def _branch(gate: Gate, known: Collection[str], depth: int) -> Iterator[tuple[str, Line]]:
    name = _NAMES.get(gate.name, gate.name.replace("_", " "))
    sentence = gate.sentence
    for part in gate.parts:  # each has a line of its own
        sentence = sentence.replace(f" {part.name}: {part.sentence}", "")
    said: Line = (f"{'↳ ' * depth}{name}: ", *with_people(sentence, known))
    yield "met" if gate.is_open else "missing", said
    for part in gate.parts:
        yield from _branch(part, known, depth + 1)


def next_lines(explained: Explained) -> list[Line]:
    """What opens what is closed, and who does it; for rules that name people, rule by rule."""
    known = people_of(explained.request)
    closed = [one for gate in explained.verdict.closed for one in _leaves(gate)]
    return [with_people(one.next, known) for one in closed if one.next]


def _leaves(gate: Gate) -> list[Gate]:
    """The parts that are closed, or the gate itself where it has none."""
    return [one for part in gate.parts if not part.is_open for one in _leaves(part)] or [gate]


def people_of(request: Request) -> frozenset[str]:
    """The Slack ids that sentences about this request may hold."""
    named = [*request.eligible, *request.deciders, *(one.person for one in request.approvals), request.by.user or ""]
    return frozenset(one for one in named if _WORD.fullmatch(one))


def with_people(sentence: str, known: Collection[str]) -> Line:
    """A sentence of ours as a line: what is to be typed, times and people as each front shows them."""
    found: list[Span] = []
    for span in hint_line(sentence):
        pieces = [one for one in _WORD.split(span) if one] if isinstance(span, str) else [span]
        found += [person(one) if isinstance(one, str) and one in known else one for one in pieces]
    return tuple(found)


def explained_json(explained: Explained) -> dict[str, Any]:
    """For programs: every gate with its parts, and what comes next."""
    verdict, request = explained.verdict, explained.request
    return {
        "request": request.id,
        "target": request.target,
        "digest": request.digest,
        "status": request.status_at(explained.at).value,
        "at": explained.at.isoformat(),
        "may_start": verdict.may_start,
        "expires_at": request.expires_at.isoformat(),
        "opens_at": verdict.opens_at.isoformat() if verdict.opens_at else None,
        "gates": [gate.to_json() for gate in verdict.gates],
        "next": [one.next for gate in verdict.closed for one in _leaves(gate) if one.next],
    }

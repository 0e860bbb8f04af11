"""The small words of pages: numbers with their nouns, sizes, durations, people, and hints with the commands in them."""

import re
from collections.abc import Iterable
from datetime import UTC
from datetime import datetime
from datetime import timedelta

from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Span
from commands.page import When
from commands.page import Who
from commands.words import declared_words

SENTENCE_LETTERS = 80
"""Of a sentence in a list."""


def plural(count: int, noun: str) -> str:
    """`1 hazard`, `2 hazards`, `10,000 approvals`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def migrations(count: int) -> str:
    return f"{count} migration{'' if count == 1 else 's'}"


def shortened(sentence: str, letters: int = SENTENCE_LETTERS) -> str:
    """At most so many letters of a sentence as a list has room for."""
    cut = sentence if len(sentence) <= letters else sentence[: letters - 1] + "…"
    return cut.rstrip(".")


def seconds_text(seconds: float) -> str:
    """A duration for people: `0.4 s`, `38 s`, `1 min 52 s`, `3 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(timedelta(seconds=seconds).total_seconds()), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def person(entry: str) -> Span:
    """One entry of a policy: a person as each front shows people, a group by its handle."""
    return entry if entry.startswith("@") else Who(entry)


def joined(spans: Iterable[Span], between: str = ", ") -> Line:
    """These one after the other, with something between them."""
    line: list[Span] = []
    for span in spans:
        line += [between, span] if line else [span]
    return tuple(line)


_IN_HINTS = re.compile(r"`([^`]+)`")
_ACTOR = re.compile(r"(slack:[TE][A-Z0-9]+/[UW][A-Z0-9]+)")
_TIME = re.compile(r"(20\d\d-\d\d-\d\d \d\d:\d\d UTC)")
_PROGRAMS = frozenset({"countersign", "git", "supabase"})


def hint_line(hint: str) -> Line:
    """A hint of ours as a line: what stands in backticks is to be typed, where it begins with a word or a program."""
    line: list[Span] = []
    for number, piece in enumerate(_IN_HINTS.split(hint)):
        first = piece.split(" ")[0]
        if number % 2 and first in declared_words():
            line.append(Command(piece))
        elif number % 2 and first in _PROGRAMS:
            line.append(Code(piece))
        else:
            line += refusal_line(f"`{piece}`" if number % 2 else piece)
    return tuple(line)


def usage_line(message: str) -> Line:
    """What was wrong with a typed line: in backticks stands what was or should be typed."""
    pieces = _IN_HINTS.split(message)
    return tuple(Code(piece) if number % 2 else piece for number, piece in enumerate(pieces) if piece)


def sentence_line(sentence: str) -> Line:
    """A sentence as a line, in which people are named as each front names them."""
    pieces = _ACTOR.split(sentence)
    return tuple(Who(piece) if number % 2 else piece for number, piece in enumerate(pieces) if piece)


def refusal_line(sentence: str) -> Line:
    """The same for a sentence of ours alone, in which every reader sees the times in their own zone."""
    line: list[Span] = []
    for span in sentence_line(sentence):
        line += _with_times(span) if isinstance(span, str) else [span]
    return tuple(line)


def _with_times(words: str) -> list[Span]:
    pieces = _TIME.split(words)
    return [_moment(piece) if number % 2 else piece for number, piece in enumerate(pieces) if piece]


def _moment(words: str) -> Span:
    """`2026-11-23 09:17 UTC` as a moment; what only looks like one stays as it is."""
    try:
        return When(datetime.strptime(words, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC))
    except ValueError:
        return words

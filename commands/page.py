"""What a reply looks like, without saying where: a page that Slack shows as blocks and the terminal as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Who:
    """A person, by actor id; Slack shows the name, the terminal what it knows."""

    actor: str


@dataclass(frozen=True)
class When:
    """A moment (aware UTC); every reader sees it in their own zone where the front can."""

    at: datetime


@dataclass(frozen=True)
class Code:
    """Something to be read letter by letter: a command, a hash, a name from a repository."""

    text: str


@dataclass(frozen=True)
class Strong:
    text: str


@dataclass(frozen=True)
class Command:
    """Words to type, such as `push prod`, without what goes before them: each front puts its own there."""

    text: str


Span = str | Who | When | Code | Strong | Command
Line = tuple[Span, ...]
"""One line of text. Strings come from us or from outside alike: no front reads markup in them."""


@dataclass(frozen=True)
class Paragraph:
    line: Line


@dataclass(frozen=True)
class Listing:
    """Lines of which each stands for one thing; `marks` are words such as done, failed, waiting, one per line, or none."""

    title: str
    lines: Sequence[Line]
    marks: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """Text in fixed letters, shown exactly: SQL, an excerpt with a caret."""

    title: str
    text: str


@dataclass(frozen=True)
class Difference:
    """A unified diff, shown exactly. A front with colours may colour a line by the letter that it begins with."""

    title: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of the same facts about several things, newest or most urgent first; every row has one line per column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Line]]


Part = Paragraph | Listing | Source | Difference | Table

Tone = Literal["plain", "good", "bad", "warning", "busy"]
"""How a page is meant, for a front that has colours; the words say it too."""


@dataclass(frozen=True)
class Button:
    """A decision that the reader can make here. `value` names the request and the plan; `verb` is what it does."""

    verb: str
    label: str
    value: str
    style: Literal["primary", "danger"] | None = None
    confirm: str | None = None


@dataclass(frozen=True)
class Page:
    """A reply for a person: the point first, then the facts, the body, and what comes next."""

    headline: str
    facts: Sequence[tuple[str, Line]] = ()
    body: Sequence[Part] = ()
    next: Line = ()
    buttons: Sequence[Button] = ()
    small: Line = ()
    tone: Tone = "plain"


def plain_line(line: Line) -> str:
    """A line as plain text, for the terminal and for screen readers."""
    return "".join(plain_span(span) for span in line)


def plain_span(span: Span) -> str:
    match span:
        case str():
            return span
        case Who(actor):
            return actor.rpartition("/")[2] if actor.startswith("slack:") else actor
        case When(at):
            return f"{at:%Y-%m-%d %H:%M} UTC"
        case Code(text) | Strong(text):
            return text
        case Command(text):
            return f"countersign {text}"


def plain_page(page: Page) -> str:
    """The whole page as plain text, in the order in which it is read aloud."""
    lines = [page.headline]
    lines += [f"  {name}: {plain_line(line)}" for name, line in page.facts]
    for part in page.body:
        lines += ["", *_plain_part(part)]
    if page.next:
        lines += ["", f"Next: {plain_line(page.next)}"]
    if page.small:
        lines += [plain_line(page.small)]
    return "\n".join(lines)


def _plain_part(part: Part) -> list[str]:
    match part:
        case Paragraph(line):
            return [plain_line(line)]
        case Listing(title, lines, marks):
            words = [plain_line(line) for line in lines]
            marked = [f"[{mark}] {line}" for mark, line in zip(marks, words, strict=True)] if marks else words
            return [*([f"{title}:"] if title else []), *(f"  - {line}" for line in marked)]
        case Source(title, text) | Difference(title, text):
            return [*([f"{title}:"] if title else []), *(f"  | {line}" for line in text.splitlines())]
        case Table(title, columns, rows):
            return [*([f"{title}:"] if title else []), *aligned([list(columns), *map(_cells, rows)])]


def _cells(row: Sequence[Line]) -> list[str]:
    return [plain_line(cell) for cell in row]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines in fixed letters, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]

"""A page as a terminal shows it: aligned, wrapped to its width, in colours that only repeat what the words say."""

import io
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import UTC

from rich import box
from rich.cells import cell_len
from rich.cells import chop_cells
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from commands.page import Code
from commands.page import Command
from commands.page import Difference
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Span
from commands.page import Strong
from commands.page import Table
from commands.page import When
from commands.page import plain_span
from commands.screen import Screen
from commands.screen import printable

READABLE = 110
"""Text is not made wider than this, however wide the window is; tables and SQL are."""

COLUMN_LEAST = 12
"""A table whose columns would have less than this is shown as one block for each row."""

_TONES = {"plain": "bold", "good": "bold green", "bad": "bold red", "warning": "bold yellow", "busy": "bold cyan"}

_MARKS = {
    "green": {"ok", "done", "succeeded", "applied", "approved", "on the target"},
    "red": {"failed", "problem", "forbidden", "danger", "broken off", "refused", "rejected", "partially applied"},
    "yellow": {"warning", "caution", "unknown", "interrupted", "locked"},
    "cyan": {"running", "waiting", "stopping"},
}
_STYLES = {mark: style for style, marks in _MARKS.items() for mark in marks}

_UNCOLOURED: Mapping[str, str] = {}
_CHANGES: Mapping[str, str] = {"+": "green", "-": "red", "@": "cyan"}
"""A diff's lines by their first letter, which tells the same without colours."""


def terminal_page(page: Page, screen: Screen) -> str:
    """A page as text with the terminal's own sequences for colour, which are the only ones in it; no line's end."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=screen.width,
        force_terminal=True,
        color_system="standard" if screen.has_colour else None,
        no_color=not screen.has_colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        safe_box=True,
    )
    for line in _Layout(console, screen).page(page):
        console.print(line, soft_wrap=True, end="\n")
    return out.getvalue().rstrip("\n")


class _Layout:
    """Lays a page out in lines, none wider than the screen."""

    def __init__(self, console: Console, screen: Screen) -> None:
        self._console = console
        self._screen = screen
        self._readable = min(screen.width, READABLE)

    def page(self, page: Page) -> Iterator[Text]:
        yield from self._hanging(Text(), _text(page.headline, _TONES[page.tone]))
        yield from self._facts(page.facts)
        for part in page.body:
            yield Text()
            yield from self._part(part)
        if page.next:
            yield Text()
            yield from self._hanging(_text("Next: ", "bold"), self._line(page.next))
        if page.small:
            small = self._line(page.small)
            small.stylize_before("dim")
            yield from self._hanging(Text(), small)

    def _facts(self, facts: Sequence[tuple[str, Line]]) -> Iterator[Text]:
        """Names in a column of their own; one that is too long for it gets a line of its own."""
        most = max(COLUMN_LEAST, self._readable // 4)
        column = max((width for name, _ in facts if (width := cell_len(printable(name))) <= most), default=0)
        for name, line in facts:
            title = _text(f"  {name}", "dim")
            if title.cell_len - 2 > column:
                yield from self._hanging(Text("  "), _text(name, "dim"))
                yield from self._hanging(Text("    "), self._line(line))
            else:
                title.pad_right(column + 4 - title.cell_len)
                yield from self._hanging(title, self._line(line))

    def _part(self, part: Part) -> Iterator[Text]:
        match part:
            case Paragraph(line):
                yield from self._hanging(Text(), self._line(line))
            case Listing(title, lines, marks):
                yield from self._title(title)
                widest = max((cell_len(printable(mark)) for mark in marks), default=0)
                for line, mark in zip(lines, marks or [""] * len(lines), strict=True):
                    first = Text("  ") + _text(f"[{mark}]", _STYLES.get(mark, "dim"))
                    first.pad_right(widest + 5 - first.cell_len)
                    yield from self._hanging(first if marks else Text("  - "), self._line(line))
            case Source(title, text):
                yield from self._source(title, text)
            case Difference(title, text):
                yield from self._source(title, text, _CHANGES)
            case Table(title, columns, rows):
                yield from self._title(title)
                narrow = len(columns) * COLUMN_LEAST > self._screen.width
                yield from self._blocks(columns, rows) if narrow else self._table(columns, rows)

    def _title(self, title: str) -> Iterator[Text]:
        if title:
            yield from self._hanging(Text(), _text(title, "bold"))

    def _source(self, title: str, text: str, styles: Mapping[str, str] = _UNCOLOURED) -> Iterator[Text]:
        """Text letter by letter between two rules; what is too long goes on behind another mark. Its words get no
        colours of their own: what only looks like a comment must not be made to look like one. `styles`: of whole
        lines, by the letter that they begin with."""
        corner, rule, gutter, goes_on, end = "┌─│┆└" if self._screen.has_lines else "+-|:+"
        wide = min(self._screen.width, 80)
        head = _text(corner + rule, "dim") + _text(f" {title} " if title else "", "bold")
        head.append(rule * max(0, wide - head.cell_len), style="dim")
        yield from self._hanging(Text(), head)
        for line in printable(text).splitlines():
            pieces = chop_cells(line.expandtabs(8), self._screen.width - 2) or [""]
            style = styles.get(line[:1], "")
            for number, piece in enumerate(pieces):
                yield _text(f"{goes_on if number else gutter} ", "dim") + _text(piece, style)
        yield _text(end + rule * (wide - 1), "dim")

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[Line]]) -> Iterator[Text]:
        grid = Grid(box=box.SIMPLE_HEAD if self._screen.has_lines else box.ASCII2, show_edge=False, pad_edge=False)
        for column in columns:
            grid.add_column(_text(column), overflow="fold")
        for row in rows:
            grid.add_row(*(self._line(cell) for cell in row))
        for line in self._console.render_lines(grid, pad=False):
            shown = Text.assemble(*((segment.text, segment.style or "") for segment in line))
            shown.rstrip()
            yield shown

    def _blocks(self, columns: Sequence[str], rows: Sequence[Sequence[Line]]) -> Iterator[Text]:
        """A table for a narrow screen: one block for each row, one line for each of its facts."""
        for number, row in enumerate(rows):
            if number:
                yield Text()
            yield from self._facts([(column, cell) for column, cell in zip(columns, row, strict=True) if cell])

    def _hanging(self, first: Text, text: Text) -> Iterator[Text]:
        """Text behind its first words, wrapped; the lines that follow begin below it."""
        indent = first.cell_len if first.cell_len <= self._readable // 2 else 4
        lead = first
        if indent != first.cell_len:
            first.rstrip()
            yield first
            lead = Text(" " * indent)
        for line in text.wrap(self._console, self._readable - indent) or [Text()]:
            line.rstrip()
            whole = lead + line
            whole.rstrip()
            yield whole
            lead = Text(" " * indent)

    def _line(self, line: Line) -> Text:
        return Text.assemble(*(self._span(span) for span in line))

    def _span(self, span: Span) -> tuple[str, str]:
        match span:
            case When(at):
                moment = at.astimezone(None if self._screen.is_terminal else UTC)
                return f"{moment:%Y-%m-%d %H:%M %Z}", ""
            case Code() | Command():
                return printable(plain_span(span)), "cyan"
            case Strong():
                return printable(plain_span(span)), "bold"
            case _:
                return printable(plain_span(span)), ""


def _text(words: str, style: str = "") -> Text:
    """Words from anywhere in one style, which ends with them."""
    return Text.assemble((printable(words), style))

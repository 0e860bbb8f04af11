"""Chapters as a PDF, for whoever files paper: the same text as the HTML, its letters embedded."""

from collections.abc import Iterator
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

from fpdf import FPDF
from fpdf import FontFace
from fpdf.enums import TableBordersLayout
from fpdf.enums import WrapMode
from fpdf.enums import XPos
from fpdf.enums import YPos

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
from commands.page import Who
from commands.screen import printable

ROWS = 400
"""So many rows of a table, and lines of a text, are on paper; the HTML has all."""
CELL_LETTERS = 600
"""A cell holds so many letters, so that a row fits on a page."""

_FONTS = {("Text", ""): "DejaVuSans.ttf", ("Text", "B"): "DejaVuSans-Bold.ttf", ("Mono", ""): "DejaVuSansMono.ttf"}
_SMALL, _PLAIN, _HEAD, _TITLE = 7.5, 9, 13, 17
_GREY, _LINE = (241, 241, 245), (200, 200, 208)


class _Paper(FPDF):
    title_below = ""

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font("Text", size=_SMALL)
        self.cell(0, 5, f"{self.title_below}, page {self.page_no()} of {{nb}}", align="C")


def report_pdf(title: str, chapters: Sequence[Page], made_at: datetime) -> bytes:
    """The whole document; the same bytes for the same chapters. Letters that the fonts do not have are shown by number."""
    paper = _Paper(format="A4")
    paper.set_creation_date(made_at)
    paper.set_title(printable(title))
    paper.set_producer("Countersign")
    paper.set_lang("en")
    paper.title_below = _text(title)
    folder = Path(str(files("matplotlib"))) / "mpl-data" / "fonts" / "ttf"
    for (family, style), file in _FONTS.items():
        paper.add_font(family, style, folder / file)
    paper.set_margins(15, 15)
    paper.set_auto_page_break(True, margin=16)
    paper.set_draw_color(*_LINE)
    paper.add_page()
    _say(paper, title, _TITLE, bold=True)
    for chapter in chapters:
        _chapter(paper, chapter)
    return bytes(paper.output())


def _chapter(paper: FPDF, page: Page) -> None:
    if paper.will_page_break(30):
        paper.add_page()
    paper.ln(4)
    paper.start_section(_text(page.headline))
    _say(paper, page.headline, _HEAD, bold=True)
    paper.ln(1)
    if page.facts:
        _grid(paper, None, [((name,), line) for name, line in page.facts])
    for part in page.body:
        _part(paper, part)


def _part(paper: FPDF, part: Part) -> None:
    match part:
        case Paragraph(line):
            _say(paper, _line(line))
        case Listing(title, lines, marks):
            _heading(paper, title)
            for line, mark in zip(lines[:ROWS], marks or [""] * len(lines), strict=False):
                _say(paper, f"• {f'[{mark}] ' if mark else ''}{_line(line)}")
            _rest(paper, len(lines), "lines")
        case Source(title, text) | Difference(title, text):
            _heading(paper, title)
            said = printable(text).splitlines()
            paper.set_font("Mono", size=_SMALL)
            for one in said[:ROWS]:
                shown = _shown(one.expandtabs(8)) or " "
                paper.multi_cell(0, 3.6, shown, wrapmode=WrapMode.CHAR, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            _rest(paper, len(said), "lines")
            paper.ln(1.5)
        case Table(title, columns, rows):
            _heading(paper, title)
            _grid(paper, columns, rows)


def _grid(paper: FPDF, columns: Sequence[str] | None, rows: Sequence[Sequence[Line]]) -> None:
    """Rows below each other. Columns are as wide as what they hold asks for, none narrower than its title."""
    texts = [[_cut(_line(cell)) for cell in row] for row in rows[:ROWS]]
    paper.set_font("Text", size=_SMALL)
    with paper.table(
        col_widths=tuple(_widths(paper, columns, texts)),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        first_row_as_headings=columns is not None,
        headings_style=FontFace(emphasis="BOLD", fill_color=_GREY),
        line_height=4,
        padding=(0.8, 1.2),
        text_align="LEFT",
        v_align="TOP",
        wrapmode=WrapMode.WORD,
        repeat_headings=1 if columns is not None else 0,
    ) as table:
        for cells in [*([[_cut(_text(one)) for one in columns]] if columns else []), *texts]:
            row = table.row()
            for cell in cells:
                row.cell(cell)
    _rest(paper, len(rows), "rows")
    paper.ln(1.5)


def _widths(paper: FPDF, columns: Sequence[str] | None, texts: Sequence[Sequence[str]]) -> Iterator[float]:
    """In millimetres, together as wide as the paper: short columns as they are, long ones share what is left."""
    count = len(columns or texts[0])
    wanted = []
    for number in range(count):
        title = paper.get_string_width(_text(columns[number])[:40]) * 1.15 if columns else 0
        held = max((paper.get_string_width(row[number][:120]) for row in texts), default=0)
        wanted.append(max(title, held) + 4)
    left, shares = paper.epw, dict(enumerate(wanted))
    found: dict[int, float] = {}
    while shares:
        fair = left / len(shares)
        fitting = {number: width for number, width in shares.items() if width <= fair}
        if not fitting:
            found |= dict.fromkeys(shares, fair)
            break
        found |= fitting
        left -= sum(fitting.values())
        shares = {number: width for number, width in shares.items() if number not in fitting}
    return (found[number] for number in range(count))


def _cut(text: str) -> str:
    return text if len(text) <= CELL_LETTERS else f"{text[:CELL_LETTERS]}… (whole in report.html)"


def _rest(paper: FPDF, count: int, what: str) -> None:
    if count > ROWS:
        _say(paper, f"… and {count - ROWS} more {what}: report.html and events.jsonl have all.")


def _heading(paper: FPDF, title: str) -> None:
    if title:
        paper.ln(1)
        _say(paper, title, bold=True)


def _say(paper: FPDF, text: str, size: float = _PLAIN, *, bold: bool = False) -> None:
    paper.set_font("Text", "B" if bold else "", size)
    paper.multi_cell(0, size * 0.5, _text(text) or " ", align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.ln(1)


def _line(line: Line) -> str:
    return _text("".join(map(_span, line)))


def _span(span: Span) -> str:
    match span:
        case When(at):
            return f"{at:%Y-%m-%d %H:%M:%S} UTC"
        case Who(text) | Code(text) | Strong(text):
            return text
        case Command(text):
            return f"countersign {text}"
        case _:
            return span


def _text(text: str) -> str:
    return _shown(printable(text))


def _shown(text: str) -> str:
    """A text in letters that the fonts have; each other one by its number, so that none is lost unseen."""
    return "".join(one if ord(one) in _letters() or one == "\n" else f"<U+{ord(one):04X}>" for one in text)


@cache
def _letters() -> frozenset[int]:
    """The letters that every one of the fonts has."""
    from fontTools.ttLib import TTFont  # with fpdf; it has no types

    folder = Path(str(files("matplotlib"))) / "mpl-data" / "fonts" / "ttf"
    maps = [TTFont(folder / file, lazy=True).getBestCmap() for file in _FONTS.values()]
    return frozenset.intersection(*(frozenset(one) for one in maps))

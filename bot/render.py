"""A page as Slack's blocks. Text from outside goes into rich-text leaves only, where Slack reads no markup."""

import re
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from bot.letters import clean
from bot.letters import clean_cut
from bot.letters import escape
from bot.letters import weight
from commands.page import Button
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
from commands.page import aligned
from commands.page import plain_span

Blocks = list[dict[str, Any]]

HEADER_LETTERS = 150
TEXT_LETTERS = 3900  # of 4,000 that chat.update takes
SOURCE_TEXT_LETTERS = 1500
PART_LETTERS = 2800
FACTS_LETTERS = 2000
BODY_LETTERS = 7000  # a message of more than some 13,000 letters is refused or cut (measured; Slack states no number)
LEAST_LETTERS = 200
LEFT_OUT_LETTERS = 60
ENDING_LETTERS = 900
LINE_LETTERS = 400
PARAGRAPH_LETTERS = 1500
ENDING_TEXT_LETTERS = 1200
LIST_LINES = 30
SHORT_LIST_LINES = 12
LEAST_LINE_LETTERS = 60
TABLE_ROWS = 99  # of 100 that Slack takes, the first of which names the columns
TABLE_LETTERS = 6000  # of 10,000 in all cells
CELL_LETTERS = 150
BODY_BLOCKS = 40  # of 50 that a message takes

COMMAND = "/migrate"
"""What people type before a word in Slack, as the app's manifest has it."""

_DATE = "{date_short_pretty} {time}"
_USER = re.compile(r"(slack:[TE][A-Z0-9]+/)?(?P<user>[UW][A-Z0-9]{2,20})")


def blocks_of(page: Page, *, tables: bool = True) -> Blocks:
    """The blocks of a page, within Slack's limits however large its parts are.

    `tables=False` where no table block may stand: in a form and on Home; tables are then text in fixed letters.
    """
    blocks: Blocks = [{"type": "header", "text": _plain(page.headline, HEADER_LETTERS)}]
    if page.facts:
        blocks.append(_rich([_section(_within(_facts(page.facts), FACTS_LETTERS))]))
    blocks += _body(page.body, tables=tables)
    if page.next:
        blocks.append(_rich([_section([_text("Next: ", bold=True), *_within(_spans(page.next), ENDING_LETTERS)])]))
    if page.buttons:
        blocks.append({"type": "actions", "elements": [_button(button, page) for button in page.buttons]})
    if page.small:
        blocks.append(_small(page.small))
    return blocks


def _small(line: Line) -> dict[str, Any]:
    """The last line in small letters, where Slack has them: not for people and times, which it would not show as such."""
    if any(isinstance(span, Who | When) for span in line):
        return _rich([_section(_within(_spans(line), ENDING_LETTERS))])
    return {"type": "context", "elements": [_plain(_line_as_read(line), ENDING_LETTERS)]}


def _body(parts: Sequence[Part], *, tables: bool) -> Blocks:
    """As many parts as fit, and how many are left out. Slack takes one table a message, so a second one is text."""
    blocks: Blocks = []
    left = BODY_LETTERS
    for number, part in enumerate(parts):
        if left < LEAST_LETTERS or len(blocks) >= BODY_BLOCKS:
            words = f"{len(parts) - number} more parts do not fit here; the terminal shows them all."
            return [*blocks, _rich([_section([_text(words)])])]
        if tables and isinstance(part, Table):
            found = _table(part, left)
        else:
            elements = _part(part, min(PART_LETTERS, left))
            found = [_rich(elements)] if elements else []
        tables = tables and not isinstance(part, Table)
        left -= _letters(found)
        blocks += found
    return blocks


def text_of(page: Page) -> str:
    """What a screen reader and a notification say: what the blocks tell, as escaped mrkdwn, in the order of the blocks.

    Where it does not all fit, the end (what comes next, the buttons) stays and the middle says how much is left out.
    """
    ending = _lines_within(_ending_lines(page), 3, ENDING_TEXT_LETTERS)
    left = TEXT_LETTERS - sum(len(line) + 1 for line in ending)
    count = 1 + len(page.facts) + sum(map(_count, page.body))
    return "\n".join([*_lines_within(_text_lines(page), count, left), *ending])


def _lines_within(lines: Iterator[str], count: int, letters: int) -> list[str]:
    """As many of these `count` lines as fit; what does not fit is not even made, for it may be very long."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        letters -= len(line) + 1
        if letters < LEFT_OUT_LETTERS and (letters < 0 or number < count - 1):
            return [*kept, f"… {count - number} more lines, in the message itself"]
        kept.append(line)
    return kept


def _count(part: Part) -> int:
    """How many lines of text a part gives."""
    if isinstance(part, Paragraph):
        return 1
    lines = 1 if isinstance(part, Source | Difference) else len(part.lines if isinstance(part, Listing) else part.rows)
    return bool(part.title) + lines


def _text_lines(page: Page) -> Iterator[str]:
    yield _escaped(page.headline)
    for name, line in page.facts:
        yield f"{_escaped(name)}: {_text_line(line)}"
    for part in page.body:
        yield from _text_part(part)


def _ending_lines(page: Page) -> Iterator[str]:
    if page.next:
        yield f"Next: {_text_line(page.next)}"
    if page.buttons:
        yield "Buttons: " + ", ".join(_escaped(button.label) for button in page.buttons)
    if page.small:
        yield _text_line(page.small)


def _escaped(text: str, letters: int = LINE_LETTERS) -> str:
    return escape(clean_cut(text, letters))


def _rich(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": list(elements)}


def _section(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements) or [_text(" ")]}


def _plain(text: str, letters: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": clean_cut(text, letters), "emoji": False}


def _letters(elements: Sequence[dict[str, Any]]) -> int:
    """How many letters people read in these."""
    inner = sum(_letters(element.get("elements", ())) for element in elements)
    inner += sum(_letters(row) for element in elements for row in element.get("rows", ()))
    return inner + sum(weight(str(element.get("text", element.get("fallback", "")))) for element in elements)


def _within(elements: Sequence[dict[str, Any]], letters: int) -> list[dict[str, Any]]:
    """As many of the elements as these letters hold, and a word where some are left out."""
    kept: list[dict[str, Any]] = []
    for element in elements:
        letters -= _letters([element])
        if letters < 0:
            return [*kept, _text(" …")]
        kept.append(element)
    return kept


def _text(text: str, *, bold: bool = False, code: bool = False, letters: int = LINE_LETTERS) -> dict[str, Any]:
    element: dict[str, Any] = {"type": "text", "text": clean_cut(text, letters)}
    style = {name: True for name, wanted in (("bold", bold), ("code", code)) if wanted}
    return {**element, "style": style} if style else element


def _spans(line: Line, letters: int = LINE_LETTERS) -> list[dict[str, Any]]:
    return [_span(span, letters) for span in line if span != ""]


def _span(span: Span, letters: int = LINE_LETTERS) -> dict[str, Any]:
    match span:
        case str():
            return _text(span, letters=letters)
        case Code(text):
            return _text(text, code=True, letters=letters)
        case Command(text):
            return _text(f"{COMMAND} {text}", code=True, letters=letters)
        case Strong(text):
            return _text(text, bold=True, letters=letters)
        case When(at):
            return {
                "type": "date",
                "timestamp": int(at.timestamp()),
                "format": _DATE,
                "fallback": f"{at:%Y-%m-%d %H:%M} UTC",
            }
        case Who(actor):
            match = _USER.fullmatch(actor)
            return {"type": "user", "user_id": match["user"]} if match else _text(actor)


def _paragraph(line: Line) -> list[dict[str, Any]]:
    """The only place for long sentences, such as a reason or an error."""
    return [
        _text(span, letters=PARAGRAPH_LETTERS) if isinstance(span, str) else _span(span) for span in line if span != ""
    ]


def _facts(facts: Sequence[tuple[str, Line]]) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    for number, (name, line) in enumerate(facts):
        elements.append(_text(f"{name}: " if not number else f"\n{name}: ", bold=True))
        elements += _spans(line)
    return elements


def _part(part: Part, letters: int) -> list[dict[str, Any]]:
    match part:
        case Paragraph(line):
            return [_section(_within(_paragraph(line), letters))]
        case Listing(title, lines, marks):
            items = _items(lines, marks, letters)
            bullets = [{"type": "rich_text_list", "style": "bullet", "elements": items}] if items else []
            return [*_heading(title), *bullets]
        case Source(title, text) | Difference(title, text):
            return [*_heading(title), {"type": "rich_text_preformatted", "elements": [_source(text, letters)]}]
        case Table(title, columns, rows):
            cells = [list(columns), *([_line_as_read(cell).replace("\n", " ") for cell in row] for row in rows)]
            text = "\n".join(aligned(cells))
            return [*_heading(title), {"type": "rich_text_preformatted", "elements": [_source(text, letters)]}]


def _items(lines: Sequence[Line], marks: Sequence[str], letters: int) -> list[dict[str, Any]]:
    """The lines of a list. A short one loses letters rather than lines: its last says how many more there are."""
    items = [_item(line, marks[number] if marks else "") for number, line in enumerate(lines[: LIST_LINES + 1])]
    each = letters // max(1, len(lines))
    if len(lines) <= SHORT_LIST_LINES and each >= LEAST_LINE_LETTERS and _letters(items) > letters:
        return [_item(line, marks[number] if marks else "", each) for number, line in enumerate(lines)]
    for number, item in enumerate(items):
        letters -= _letters([item])
        if number == LIST_LINES or letters < 0:
            return [*items[:number], _section([_text(f"and {len(lines) - number} more, which the terminal shows")])]
    return items


def _item(line: Line, mark: str, letters: int = LINE_LETTERS) -> dict[str, Any]:
    most = max(1, (letters - len(mark)) // max(1, len(line))) if letters < LINE_LETTERS else LINE_LETTERS
    return _section([*([_text(f"{mark}  ", bold=True)] if mark else []), *_spans(line, most)])


def _heading(title: str) -> list[dict[str, Any]]:
    return [_section([_text(title, bold=True)])] if title else []


def _source(text: str, letters: int) -> dict[str, Any]:
    """As many lines as fit, exactly, and how many are left out; one line that is too long for itself is cut."""
    lines = text.split("\n")
    if len(lines) == 1 or weight(clean(text)) <= letters:
        return _text(text, letters=letters)
    kept: list[str] = []
    left = letters - LEFT_OUT_LETTERS
    for line in lines:
        left -= weight(clean(line[: 2 * letters])) + 1
        if left < 0 and kept:
            break
        kept.append(line if left >= 0 else clean_cut(line, letters // 2))
    return _text("\n".join([*kept, f"… {len(lines) - len(kept)} more lines"]), letters=letters)


def _table(table: Table, letters: int) -> Blocks:
    """The table as Slack's own, and how many rows are left out."""
    letters = min(letters, TABLE_LETTERS)
    heading = [{"type": "raw_text", "text": clean_cut(column, CELL_LETTERS)} for column in table.columns]
    rows = [heading]
    letters -= _letters(heading)
    for line in table.rows:
        row = [_cell(cell) for cell in line]
        letters -= _letters(row)
        if letters < 0 or len(rows) > TABLE_ROWS:
            break
        rows.append(row)
    left_out = len(table.rows) - len(rows) + 1
    settings = [{"is_wrapped": True} for _ in table.columns]
    blocks: Blocks = [_rich(_heading(table.title))] if table.title else []
    blocks.append({"type": "table", "column_settings": settings, "rows": rows})
    if left_out:
        blocks.append(_rich([_section([_text(f"and {left_out} more, which the terminal shows")])]))
    return blocks


def _cell(line: Line) -> dict[str, Any]:
    if all(isinstance(span, str) for span in line):
        return {"type": "raw_text", "text": clean_cut("".join(map(str, line)), CELL_LETTERS)}
    return _rich([_section(_within(_spans(line), CELL_LETTERS))])


def _line_as_read(line: Line) -> str:
    return "".join(f"{COMMAND} {span.text}" if isinstance(span, Command) else plain_span(span) for span in line)


def _button(button: Button, page: Page) -> dict[str, Any]:
    element: dict[str, Any] = {
        "type": "button",
        "action_id": button.verb,
        "text": _plain(button.label, 75),
        "value": button.value,
        "accessibility_label": clean_cut(f"{button.label}: {page.headline}", 75),
    }
    if button.style:
        element["style"] = button.style
    if button.confirm:
        element["confirm"] = {
            "title": _plain(button.label, 100),
            "text": _plain(button.confirm, 300),
            "confirm": _plain("Yes", 30),
            "deny": _plain("No", 30),
        }
    return element


def _text_line(line: Line) -> str:
    return "".join(_text_span(span) for span in line)


def _text_span(span: Span) -> str:
    match span:
        case str():
            return _escaped(span)
        case Strong(text):
            return _escaped(text)
        case Code(text):
            return _quoted(text)
        case Command(text):
            return _quoted(f"{COMMAND} {text}")
        case When(at):
            return f"<!date^{int(at.timestamp())}^{_DATE}|{at:%Y-%m-%d %H:%M} UTC>"
        case Who(actor):
            match = _USER.fullmatch(actor)
            return f"<@{match['user']}>" if match else _escaped(actor)


def _quoted(text: str) -> str:
    """Letters to read, in backticks where they hold none themselves: nothing may end the quotation early."""
    return _escaped(text) if "`" in text or "\n" in text else f"`{_escaped(text)}`"


def _text_part(part: Part) -> Iterator[str]:
    match part:
        case Paragraph(line):
            yield "".join(
                _escaped(span, PARAGRAPH_LETTERS) if isinstance(span, str) else _text_span(span) for span in line
            )
        case Listing(title, lines, marks):
            if title:
                yield f"{_escaped(title)}:"
            for number, line in enumerate(lines):
                yield (f"{_escaped(marks[number])}: " if marks else "") + _text_line(line)
        case Source(title, text) | Difference(title, text):
            if title:
                yield f"{_escaped(title)}:"
            yield _escaped(text, SOURCE_TEXT_LETTERS)
        case Table(title, columns, rows):
            if title:
                yield f"{_escaped(title)}:"
            for row in rows:
                yield ", ".join(
                    f"{_escaped(name)}: {_text_line(cell)}" for name, cell in zip(columns, row, strict=True)
                )

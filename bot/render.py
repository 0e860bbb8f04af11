"""A page as Slack's blocks. Text from outside goes into rich-text leaves only, where Slack reads no markup."""

import json
import re
import unicodedata
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from commands.page import Button
from commands.page import Code
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
from commands.page import plain_page

Blocks = list[dict[str, Any]]

HEADER_LETTERS = 150
TEXT_LETTERS = 3900  # of 4,000 that chat.update takes
SOURCE_TEXT_LETTERS = 1500
PART_LETTERS = 2800
FACTS_LETTERS = 2000
BODY_LETTERS = 7000  # a message of more than some 13,000 letters is refused or cut (measured; Slack states no number)
LEAST_LETTERS = 200
ENDING_LETTERS = 900
LINE_LETTERS = 400
PARAGRAPH_LETTERS = 1500
LIST_LINES = 30

_DATE = "{date_short_pretty} {time}"
_USER = re.compile(r"slack:[TE][A-Z0-9]+/(?P<user>[UW][A-Z0-9]+)")


def blocks_of(page: Page) -> Blocks:
    """The blocks of a page, within Slack's limits however large its parts are."""
    blocks: Blocks = [{"type": "header", "text": _plain(page.headline, HEADER_LETTERS)}]
    if page.facts:
        blocks.append(_rich([_section(_within(_facts(page.facts), FACTS_LETTERS))]))
    left = BODY_LETTERS
    for part in page.body:
        elements = _part(part, min(PART_LETTERS, left))
        left -= _letters(elements)
        if elements:
            blocks.append(_rich(elements))
        if left < LEAST_LETTERS:
            blocks.append(_rich([_section([_text("More than fits here; the terminal shows it all.")])]))
            break
    if page.next:
        blocks.append(_rich([_section([_text("Next: ", bold=True), *_within(_spans(page.next), ENDING_LETTERS)])]))
    if page.buttons:
        blocks.append({"type": "actions", "elements": [_button(button, page) for button in page.buttons]})
    if page.small:
        blocks.append(_rich([_section(_within(_spans(page.small), ENDING_LETTERS))]))
    return blocks


def text_of(page: Page) -> str:
    """What a screen reader and a notification say: what the blocks tell, as escaped mrkdwn, as far as it fits."""
    lines: list[str] = []
    left = TEXT_LETTERS
    for line in _text_lines(page):
        if len(line) > left:
            lines.append("…")
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join(lines)


def _text_lines(page: Page) -> Iterator[str]:
    yield _escaped(page.headline)
    for name, line in page.facts:
        yield f"{_escaped(name)}: {_text_line(line)}"
    for part in page.body:
        yield from _text_part(part)
    if page.next:
        yield f"Next: {_text_line(page.next)}"
    if page.buttons:
        yield "Buttons: " + ", ".join(_escaped(button.label) for button in page.buttons)
    if page.small:
        yield _text_line(page.small)


def _escaped(text: str, letters: int = LINE_LETTERS) -> str:
    return escape(_clean_cut(text, letters))


def escape(text: str) -> str:
    """Text that mrkdwn takes literally: no mention, link or entity can be made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Text in which nothing hides: control, bidi and zero-width characters are shown by their number."""
    return _PERHAPS_HIDDEN.sub(_shown, text.replace("\r\n", "\n"))


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    hides = character in _BLANK or unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    return f"\\u{ord(character):04x}" if hides else character


_PERHAPS_HIDDEN = re.compile(r"[^\x20-\x7e\n\t]")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are drawn as nothing, though Unicode does not count them among the format characters."""


def _cut(text: str, letters: int) -> str:
    if _weight(text) <= letters:
        return text
    kept = text[: letters - 1]
    while _weight(kept) > letters - 1:
        kept = kept[: len(kept) * 7 // 8]
    return kept + "…"


def _weight(text: str) -> int:
    """The text's letters; those beyond ASCII count for more, since they are sent as escapes of six or twelve letters."""
    return max(len(text), len(json.dumps(text)) // 3)


def _clean_cut(text: str, letters: int) -> str:
    """At most so many letters of a text of any length, counted as they are shown."""
    return _cut(clean(text[: 2 * letters + 2]), letters) or " "


def _rich(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": list(elements)}


def _section(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements) or [_text(" ")]}


def _plain(text: str, letters: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": _clean_cut(text, letters), "emoji": False}


def _letters(elements: Sequence[dict[str, Any]]) -> int:
    """How many letters people read in these."""
    inner = sum(_letters(element.get("elements", ())) for element in elements)
    return inner + sum(_weight(str(element.get("text", element.get("fallback", "")))) for element in elements)


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
    element: dict[str, Any] = {"type": "text", "text": _clean_cut(text, letters)}
    style = {name: True for name, wanted in (("bold", bold), ("code", code)) if wanted}
    return {**element, "style": style} if style else element


def _spans(line: Line) -> list[dict[str, Any]]:
    return [_span(span) for span in line if span != ""]


def _span(span: Span) -> dict[str, Any]:
    match span:
        case str():
            return _text(span)
        case Code(text):
            return _text(text, code=True)
        case Strong(text):
            return _text(text, bold=True)
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
            items: list[dict[str, Any]] = []
            for number, line in enumerate(lines):
                item = _section([*([_text(f"{marks[number]}  ", bold=True)] if marks else []), *_spans(line)])
                letters -= _letters([item])
                if number == LIST_LINES or letters < 0:
                    items.append(_section([_text(f"and {len(lines) - number} more")]))
                    break
                items.append(item)
            heading = [_section([_text(title, bold=True)])] if title else []
            return [*heading, {"type": "rich_text_list", "style": "bullet", "elements": items}] if items else heading
        case Source(title, text):
            heading = [_section([_text(title, bold=True)])] if title else []
            return [*heading, {"type": "rich_text_preformatted", "elements": [_text(text, letters=letters)]}]
        case Table(title, columns, rows):
            text = plain_page(Page(title, body=[Table("", columns, rows)]))
            return [{"type": "rich_text_preformatted", "elements": [_text(text, letters=letters)]}]


def _button(button: Button, page: Page) -> dict[str, Any]:
    element: dict[str, Any] = {
        "type": "button",
        "action_id": button.verb,
        "text": _plain(button.label, 75),
        "value": button.value,
        "accessibility_label": _clean_cut(f"{button.label}: {page.headline}", 75),
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
        case Code(text) | Strong(text):
            return _escaped(text)
        case When(at):
            return f"<!date^{int(at.timestamp())}^{_DATE}|{at:%Y-%m-%d %H:%M} UTC>"
        case Who(actor):
            match = _USER.fullmatch(actor)
            return f"<@{match['user']}>" if match else _escaped(actor)


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
        case Source(title, text):
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

"""A page as Slack's blocks. Text from outside goes into rich-text leaves only, where Slack reads no markup."""

import re
import unicodedata
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
from commands.page import When
from commands.page import Who

Blocks = list[dict[str, Any]]

HEADER_LETTERS = 150
TEXT_LETTERS = 3900  # chat.update refuses more than 4,000
PART_LETTERS = 2800
BLOCKS_LETTERS = 9000  # a message much larger than this is refused or cut (docs.slack.dev, read 2026-11)
LINE_LETTERS = 400
LIST_LINES = 30

_DATE = "{date_short_pretty} {time}"
_USER = re.compile(r"slack:[TE][A-Z0-9]+/(?P<user>[UW][A-Z0-9]+)")


def blocks_of(page: Page) -> Blocks:
    """The blocks of a page, within Slack's limits however large its parts are."""
    blocks: Blocks = [{"type": "header", "text": {"type": "plain_text", "text": _cut(clean(page.headline), HEADER_LETTERS), "emoji": False}}]
    if page.facts:
        blocks.append(_rich([_section(_facts(page.facts))]))
    left = BLOCKS_LETTERS
    for part in page.body:
        block = _rich(_part(part, max(200, min(PART_LETTERS, left))))
        left -= len(str(block))
        blocks.append(block)
        if left <= 0:
            blocks.append(_rich([_section([_text("More than fits here; the rest is in the thread's file.")])]))
            break
    if page.next:
        blocks.append(_rich([_section([_text("Next: ", bold=True), *_spans(page.next)])]))
    if page.buttons:
        blocks.append({"type": "actions", "elements": [_button(button, page) for button in page.buttons]})
    if page.small:
        blocks.append(_rich([_section(_spans(page.small))]))
    return blocks


def text_of(page: Page) -> str:
    """What a screen reader and a notification say: all that the blocks tell, as escaped mrkdwn."""
    lines = [escape(clean(page.headline))]
    lines += [f"{escape(name)}: {_text_line(line)}" for name, line in page.facts]
    for part in page.body:
        lines += _text_part(part)
    if page.next:
        lines.append(f"Next: {_text_line(page.next)}")
    if page.buttons:
        lines.append("Buttons: " + ", ".join(escape(button.label) for button in page.buttons))
    return _cut("\n".join(lines), TEXT_LETTERS)


def escape(text: str) -> str:
    """Text that mrkdwn takes literally: no mention, link or entity can be made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Text in which nothing hides: control, bidi and zero-width characters are shown by their number."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
        else f"\\u{ord(character):04x}"
        for character in text
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _rich(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": list(elements)}


def _section(elements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements) or [_text(" ")]}


def _text(text: str, *, bold: bool = False, code: bool = False) -> dict[str, Any]:
    element: dict[str, Any] = {"type": "text", "text": _cut(clean(text), PART_LETTERS) or " "}
    style = {name: True for name, wanted in (("bold", bold), ("code", code)) if wanted}
    return {**element, "style": style} if style else element


def _spans(line: Line) -> list[dict[str, Any]]:
    return [_span(span) for span in line if span != ""]


def _span(span: Span) -> dict[str, Any]:
    match span:
        case str():
            return _text(_cut(span, LINE_LETTERS))
        case Code(text):
            return _text(_cut(text, LINE_LETTERS), code=True)
        case Strong(text):
            return _text(_cut(text, LINE_LETTERS), bold=True)
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


def _facts(facts: Sequence[tuple[str, Line]]) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    for number, (name, line) in enumerate(facts):
        elements.append(_text(f"{name}: " if not number else f"\n{name}: ", bold=True))
        elements += _spans(line)
    return elements


def _part(part: Part, letters: int) -> list[dict[str, Any]]:
    match part:
        case Paragraph(line):
            return [_section(_spans(line))]
        case Listing(title, lines, marks):
            shown = list(lines)[:LIST_LINES]
            items = [
                _section([*([_text(f"{marks[number]}  ", bold=True)] if marks else []), *_spans(line)])
                for number, line in enumerate(shown)
            ]
            if len(lines) > len(shown):
                items.append(_section([_text(f"and {len(lines) - len(shown)} more")]))
            heading = [_section([_text(title, bold=True)])] if title else []
            return [*heading, {"type": "rich_text_list", "style": "bullet", "elements": items}] if items else heading
        case Source(title, text):
            heading = [_section([_text(title, bold=True)])] if title else []
            return [*heading, {"type": "rich_text_preformatted", "elements": [_text(_cut(text, letters) or " ")]}]


def _button(button: Button, page: Page) -> dict[str, Any]:
    element: dict[str, Any] = {
        "type": "button",
        "action_id": button.verb,
        "text": {"type": "plain_text", "text": _cut(clean(button.label), 75), "emoji": False},
        "value": button.value,
        "accessibility_label": _cut(clean(f"{button.label}: {page.headline}"), 75),
    }
    if button.style:
        element["style"] = button.style
    if button.confirm:
        element["confirm"] = {
            "title": {"type": "plain_text", "text": _cut(clean(button.label), 100), "emoji": False},
            "text": {"type": "plain_text", "text": _cut(clean(button.confirm), 300), "emoji": False},
            "confirm": {"type": "plain_text", "text": "Yes", "emoji": False},
            "deny": {"type": "plain_text", "text": "No", "emoji": False},
        }
    return element


def _text_line(line: Line) -> str:
    return "".join(_text_span(span) for span in line)


def _text_span(span: Span) -> str:
    match span:
        case str():
            return escape(clean(span))
        case Code(text) | Strong(text):
            return escape(clean(text))
        case When(at):
            return f"<!date^{int(at.timestamp())}^{_DATE}|{at:%Y-%m-%d %H:%M} UTC>"
        case Who(actor):
            match = _USER.fullmatch(actor)
            return f"<@{match['user']}>" if match else escape(clean(actor))


def _text_part(part: Part) -> list[str]:
    match part:
        case Paragraph(line):
            return [_text_line(line)]
        case Listing(title, lines, marks):
            words = [_text_line(line) for line in lines]
            marked = [f"{mark}: {line}" for mark, line in zip(marks, words, strict=True)] if marks else words
            return [*([f"{escape(title)}:"] if title else []), *marked]
        case Source(title, text):
            return [f"{escape(title)}:", escape(clean(text))]

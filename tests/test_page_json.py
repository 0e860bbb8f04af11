"""A page through the door: the same page at the other end, or an error; nothing in between."""

import json
from dataclasses import fields
from datetime import UTC
from datetime import datetime
from typing import Any
from typing import get_args

import pytest

from commands import page as pages
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Difference
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Source
from commands.page import Strong
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_json import FORMAT
from commands.page_json import page_json
from commands.page_json import read_page

LINE = (
    "text",
    Who("os:host/ana"),
    When(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    Code("c"),
    Strong("s"),
    Command("x"),
)
PAGE = Page(
    "Headline",
    (("Name", LINE), ("Other", ())),
    (
        Paragraph(LINE),
        Listing("l", (LINE, ()), ("done", "failed")),
        Source("s", "a\nb\x00"),
        Difference("d", "-a\n+b"),
        Table("t", ("a",), ((LINE,),)),
    ),
    LINE,
    (Button("approve", "Approve", "approve R-1 x", "primary", "Sure?"), Button("cancel", "Cancel", "v")),
    LINE,
    "good",
)


def told(page: Page = PAGE) -> Any:
    return json.loads(json.dumps(page_json(page)))


def test_page_is_the_same_at_the_other_end() -> None:
    assert read_page(told()) == PAGE
    assert read_page(told(Page("only this"))) == Page("only this")
    assert read_page(told(Page("lists", body=[Listing("", [("a",)])]))) == Page("lists", body=(Listing("", (("a",),)),))


def test_page_of_the_example_holds_every_part_and_span_there_is() -> None:
    spans = {type(span) for span in LINE}
    parts = {type(part) for part in PAGE.body}

    assert spans == set(get_args(pages.Span))
    assert parts == set(get_args(pages.Part))


SHAPE = {
    "Page": ["headline", "facts", "body", "next", "buttons", "small", "tone"],
    "Button": ["verb", "label", "value", "style", "confirm"],
    "Code": ["text"],
    "Command": ["text"],
    "Difference": ["title", "text"],
    "Listing": ["title", "lines", "marks"],
    "Paragraph": ["line"],
    "Source": ["title", "text"],
    "Strong": ["text"],
    "Table": ["title", "columns", "rows"],
    "When": ["at"],
    "Who": ["actor"],
}


def test_format_is_another_when_the_shape_is() -> None:
    """Whoever changes the fields raises FORMAT and writes the new shape here."""
    kinds = [Page, Button, *(kind for kind in get_args(pages.Span) + get_args(pages.Part) if kind is not str)]

    assert (FORMAT, {kind.__name__: [field.name for field in fields(kind)] for kind in kinds}) == (4, SHAPE)


def broken(**other: Any) -> Any:
    return {**told(), **other}


BROKEN = {
    "nothing": None,
    "text": "Headline",
    "a list": [],
    "another class": broken(**{"is": "Listing"}),
    "no class": {name: value for name, value in told().items() if name != "is"},
    "a field less": {name: value for name, value in told().items() if name != "tone"},
    "a field more": broken(colour="red"),
    "a headline that is no text": broken(headline=7),
    "a tone that is none": broken(tone="loud"),
    "a tone that is a list": broken(tone=["good"]),
    "a part that is none": broken(body=[{"is": "Picture", "url": "x"}]),
    "a part that is a span": broken(body=[{"is": "Code", "text": "x"}]),
    "a span that is a part": broken(next=[{"is": "Source", "title": "", "text": ""}]),
    "a span that is nothing": broken(next=[None]),
    "a line that is text": broken(next="text"),
    "a moment without a zone": broken(next=[{"is": "When", "at": "2026-01-02T03:04:05"}]),
    "a moment that is none": broken(next=[{"is": "When", "at": "soon"}]),
    "a fact with three parts": broken(facts=[["a", [], []]]),
    "marks for some lines": broken(body=[{"is": "Listing", "title": "", "lines": [["a"], ["b"]], "marks": ["done"]}]),
    "a row with other columns": broken(body=[{"is": "Table", "title": "", "columns": ["a"], "rows": [[["1"], ["2"]]]}]),
    "a button's style that is none": broken(buttons=[{**told()["buttons"][0], "style": "loud"}]),
}


@pytest.mark.parametrize("found", BROKEN.values(), ids=BROKEN)
def test_anything_else_is_no_page(found: Any) -> None:
    with pytest.raises(ValueError, match=r"no|mark|row|Invalid"):
        read_page(found)

"""Events that somebody asked for, a page at a time: in Slack with buttons to go on, at the terminal with words to type."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit import Event
from audit import Query
from audit import Reader
from audit import query_of
from audit.event import event_of
from audit.grammar import Asked
from audit.search import search
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.show import event_json

OLDER, NEWER, EXPORT = "older", "newer", "export"


@dataclass(frozen=True)
class Place:
    """Where in the log a page is: the newest `limit` events, those before one, or those after one."""

    limit: int
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class EventPage:
    """A page of events, the newest first. `older` and `newer` are where the pages beside it are, None where there is none.

    `looked_to` is the last event that was looked at where the time for it ran out.
    """

    events: Sequence[Event]
    older: Place | None
    newer: Place | None
    looked_to: int | None


def events_at(reader: Reader, asked: Asked, place: Place) -> EventPage:
    """The page of a question at a place."""
    return events_of(reader, query_of(asked), place)


def events_of(reader: Reader, query: Query, place: Place) -> EventPage:
    """The same of a query."""
    forward = place.after is not None
    query = replace(
        query,
        limit=place.limit,
        newest_first=not forward,
        before_seq=min((one for one in (query.before_seq, place.before) if one is not None), default=None),
        after_seq=max((one for one in (query.after_seq, place.after) if one is not None), default=None),
    )
    found = search(reader, query)
    rows = found.rows[::-1] if forward else found.rows
    first, last = (rows[0]["seq"], rows[-1]["seq"]) if rows else (place.after, place.before)
    older, newer = (last, found.looked_to or first) if forward else (found.looked_to or last, first)
    return EventPage(
        [event_of(row) for row in rows],
        Place(place.limit, before=older) if older is not None and (found.more or forward) else None,
        Place(place.limit, after=newer) if newer is not None and (found.more if forward else place.before) else None,
        found.looked_to,
    )


def event_page(found: EventPage, question: str, *, lines: tuple[str, str] | None, command: str = "") -> Page:
    """The page for people. `lines` are what the buttons say before where they go, and what the one for a file says; None
    where there are no buttons: then `command` is what is typed before where to go on."""
    words = f" for {question}" if question else ""
    body: list[Table | Paragraph] = [Table("", ("Event", "When", "What", "Who"), [_row(one) for one in found.events])]
    if not found.events:
        body = []
    if found.looked_to is not None:
        body.append(
            Paragraph((f"There was time to look as far as event {found.looked_to}; there may be more behind it.",))
        )
    headline = plural(len(found.events), "event") if found.events or found.looked_to else "No event"
    page = Page(f"{headline}{words}", body=body)
    if lines is not None:
        return replace(page, buttons=_buttons(found, *lines))
    ways = [("newer ones", found.newer), ("older ones", found.older)]
    following: list[Any] = []
    for name, place in ways:
        if place is not None:
            following += [
                *("; " for _ in following[:1]),
                f"{name}: ",
                Command(f"{command} {place_words(place)}"),
            ]
    return replace(page, next=(*following, ".") if following else ())


def page_data(found: EventPage, question: str) -> dict[str, Any]:
    """The page for programs: the events as they follow each other in the log, and where to go on."""
    return {
        "events": [{**event_json(event), "stream": event.stream} for event in found.events[::-1]],
        "query": question,
        "older": found.older.before if found.older else None,
        "newer": found.newer.after if found.newer else None,
        "looked_to": found.looked_to,
    }


def _buttons(found: EventPage, line: str, file: str) -> list[Button]:
    places = [(NEWER, "Newer", found.newer), (OLDER, "Older", found.older)]
    buttons = [Button(verb, label, f"{verb} {line} {place_words(place)}") for verb, label, place in places if place]
    return [*buttons, Button(EXPORT, "Export all as CSV", f"{EXPORT} {file}")] if found.events else buttons


def place_words(place: Place) -> str:
    """The option that leads to a place."""
    return f"--before {place.before}" if place.before is not None else f"--after {place.after}"


def _row(event: Event) -> tuple[Line, ...]:
    about: Line = (" ", Code(event.request)) if event.request else ()
    where: Line = (f" on {event.project}/{event.environment}",) if event.environment else ()
    what: Line = (event.kind.replace("_", " "), *about, *where)
    return ((f"#{event.seq}",), (When(event.at),), what, (Who(event.actor),))

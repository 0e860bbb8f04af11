"""`audit query`: the newest events that match, a page at a time."""

import shlex
from argparse import Namespace
from dataclasses import replace

from audit import Event
from audit import Reader
from audit.side_index import SideIndex
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.auditing.question import question_of
from commands.event_pages import EventPage
from commands.event_pages import Place
from commands.event_pages import events_of
from commands.event_pages import page_data
from commands.event_pages import place_words
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason

CATCH_UP_SECONDS = 1.0
"""So long a question may first bring the side file up with the log, where no bot does."""

_OPTIONS = ("target", "request", "actor", "since", "until", "text")


def run(asked: Asked) -> Reply:
    arguments = asked.arguments
    if arguments.before is not None and arguments.after is not None:
        raise OpsError(Reason.BAD_USAGE, "--before and --after do not go together.", "Say one of them.")
    question = question_of(asked.settings, arguments)
    reader = Reader(asked.path)
    with reader.together() as view:
        SideIndex(asked.path).catch_up(view, seconds=CATCH_UP_SECONDS)
    found = events_of(reader, question.query, Place(arguments.limit, before=arguments.before, after=arguments.after))
    note(asked, "queried", {"query": question.text, "rows": len(found.events)})
    page = _page(found, _said(arguments))
    if not found.events and question.nowhere:
        page = replace(page, body=[Paragraph((question.nowhere,))])
    return Reply(page, page_data(found, question.text))


def _page(found: EventPage, said: str) -> Page:
    """The oldest first, as the log has them, so that the newest is what a terminal shows last."""
    events = found.events[::-1]
    words = plural(len(events), "event")
    facts: list[tuple[str, Line]] = [
        (name, (Command(f"{said} {place_words(place)}"),))
        for name, place in (("Older ones", found.older), ("Newer ones", found.newer))
        if place is not None
    ]
    if found.looked_to is not None:
        facts.append(("Looked at", (f"there was time as far as event {found.looked_to}",)))
    table = Table("", ("Event", "When", "Kind", "Who", "Target", "Request"), [_row(event) for event in events])
    headline = f"The last {words}; more with --limit" if found.older else words
    return Page(headline, facts=facts, body=[table] if events else [])


def _said(arguments: Namespace) -> str:
    options = [part for name in _OPTIONS if (value := getattr(arguments, name)) for part in (f"--{name}", value)]
    kinds = [part for kind in arguments.kind for part in ("--kind", kind)]
    return shlex.join(["audit", "query", *arguments.condition, *options, *kinds, "--limit", str(arguments.limit)])


def _row(event: Event) -> tuple[Line, ...]:
    target = f"{event.project}/{event.environment}" if event.environment else ""
    who = (event.actor,)
    return ((f"#{event.seq}",), (When(event.at),), (event.kind,), who, (target,), (event.request or "",))

"""`audit query`: the newest events that match."""

from audit import Event
from audit import Reader
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.auditing.question import query_of
from commands.auditing.question import words_of
from commands.page import Line
from commands.page import Page
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.reply import Reply
from commands.show import event_json


def run(asked: Asked) -> Reply:
    query = query_of(asked.settings, asked.arguments, newest_first=True)
    events = Reader(asked.path).find(query)[::-1]
    note(asked, "queried", {"query": words_of(query), "rows": len(events)})
    table = Table("", ("Event", "When", "Kind", "Who", "Target", "Request"), [_row(event) for event in events])
    words = plural(len(events), "event")
    full = len(events) == query.limit
    page = Page(f"The last {words}; more with --limit" if full else words, body=[table] if events else [])
    return Reply(page, {"events": [{**event_json(event), "stream": event.stream} for event in events]})


def _row(event: Event) -> tuple[Line, ...]:
    target = f"{event.project}/{event.environment}" if event.environment else ""
    who = (event.actor,)
    return ((f"#{event.seq}",), (When(event.at),), (event.kind,), who, (target,), (event.request or "",))

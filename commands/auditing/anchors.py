"""`audit anchors`: the signed checkpoints, newest first, and where each lies."""

from collections.abc import Mapping

from audit import Event
from audit import Query
from audit import Reader
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Code
from commands.page import Command
from commands.page import Page
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.reply import Reply

MOST = 50


def run(asked: Asked) -> Reply:
    view = Reader(asked.path)
    signed = view.find(Query(kinds=("checkpoint_signed",), newest_first=True, limit=MOST))
    published: dict[int, list[str]] = {}
    if signed:
        for event in view.find(Query(kinds=("checkpoint_published",), after_seq=signed[-1].seq)):
            data = event.data or {}
            published.setdefault(int(data.get("size", 0)), []).append(f"{data.get('where')} ({data.get('ref')})")
    note(asked, "queried", {"query": "anchors", "rows": len(signed)})
    if not signed:
        return Reply(Page("Nothing was signed yet", next=("make a key: ", Command("audit key"), ".")), {"anchors": []})
    rows = [
        (
            (str(size),),
            (When(event.at),),
            (Code(root[:16]),),
            ("; ".join(published.get(size, ())) or "nowhere but here",),
        )
        for event, size, root in _checkpoints(signed)
    ]
    table = Table("", ("Events", "Signed", "Root", "Lies at"), rows)
    found = [
        {"size": size, "at": event.at.isoformat(), "root": root, "published": published.get(size, [])}
        for event, size, root in _checkpoints(signed)
    ]
    return Reply(Page(f"The last {plural(len(signed), 'checkpoint')}", body=[table]), {"anchors": found})


def _checkpoints(events: list[Event]) -> list[tuple[Event, int, str]]:
    known: list[tuple[Event, Mapping[str, object]]] = [(event, event.data or {}) for event in events]
    return [(event, int(str(data.get("size", 0))), str(data.get("root", ""))) for event, data in known]

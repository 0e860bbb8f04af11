"""`history` with conditions: events a page at a time, and all of them as a file."""

import io
from dataclasses import replace

from audit import Draft
from audit import query_of
from audit.export import write_csv
from audit.grammar import Asked
from audit.search import search
from commands.event_pages import Place
from commands.event_pages import event_page
from commands.event_pages import events_at
from commands.event_pages import page_data
from commands.page import Page
from commands.page import Paragraph
from commands.page_words import plural
from commands.reply import PrivateFile
from commands.reply import Reply
from commands.words import Front
from commands.words import Said
from ops.auditors import check_may_audit
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.log_questions import asked_of
from ops.log_questions import nowhere
from ops.log_questions import typed_again
from ops.targets import all_targets

ROWS = 10
MOST_ROWS = 99
FILE_ROWS = 20_000
FILE_SECONDS = 20.0


def event_history(ops: Ops, said: Said) -> Reply:
    """The events that were asked for. Raises OpsError BAD_USAGE, and for a file NOT_AN_AUDITOR."""
    asked = question_of(ops, said)
    if "csv" in said.options:
        if said.front is not Front.SLACK:
            message = "--csv sends a file in Slack."
            raise OpsError(
                Reason.NOT_AT_THIS_FRONT, message, "Here `countersign audit export --format csv` writes one."
            )
        return event_file(ops, said, asked)
    if "before" in said.options and "after" in said.options:
        raise OpsError(Reason.BAD_USAGE, "--before and --after do not go together.", "Say one of them.")
    place = Place(
        min(int(said.options.get("limit", ROWS)), MOST_ROWS),
        before=_number(said, "before"),
        after=_number(said, "after"),
    )
    found = events_at(ops.view, asked, place)
    _note(ops, said, "queried", {"query": asked.text() or "all", "rows": len(found.events)})
    line = f"history {asked.text()}".strip()
    paged = f"{line} --limit {place.limit}"
    lines = (paged, f"{line} --csv") if said.front is Front.SLACK else None
    page = event_page(found, asked.text(), lines=lines, command=paged)
    if not found.events and (why := nowhere(asked, ops.settings)):
        page = replace(page, body=[*page.body, Paragraph((why,))])
    return Reply(page, page_data(found, asked.text()))


def question_of(ops: Ops, said: Said) -> Asked:
    """What is asked for; an environment in front of the conditions, as `history prod` has it, is one of them. Raises
    OpsError BAD_USAGE, IDENTITY_UNPROVEN."""
    first, *rest = said.arguments or ("",)
    names = {name for target in all_targets(ops.settings) for name in (target.name, target.environment)}
    text = typed_again((f"env:{first}", *rest) if first in names else said.arguments)
    return asked_of(text, ops.settings, ops.people, ops.now())


def _number(said: Said, option: str) -> int | None:
    return int(said.options[option]) if option in said.options else None


def event_file(ops: Ops, said: Said, asked: Asked) -> Reply:
    """All of it in a file, or nothing: a part of an answer looks like it. Raises OpsError NOT_AN_AUDITOR, BAD_USAGE."""
    check_may_audit(ops, said.actor)
    said.progress("looking for the events")
    found = search(ops.view, query_of(asked, limit=FILE_ROWS), seconds=FILE_SECONDS)
    if found.more:
        raise OpsError(
            Reason.BAD_USAGE,
            f"That is more than {FILE_ROWS:,} events, or takes too long to look for; a part of them would look like all.",
            "Narrow it down, such as with during:2026-11; or use `countersign audit export` at the terminal.",
        )
    out = io.StringIO(newline="")
    write_csv(iter(found.rows), out)
    rows = len(found.rows)
    _note(ops, said, "exported", {"format": "csv", "query": asked.text() or "all", "rows": rows})
    page = Page(f"{plural(rows, 'event')} exported" + (f" for {asked.text()}" if asked.terms else ""))
    held = out.getvalue() if said.front is Front.SLACK else out.getvalue().encode()
    return Reply(page, {"rows": rows, "format": "csv"}, file=PrivateFile("events.csv", held))


def _note(ops: Ops, said: Said, kind: str, data: dict[str, object]) -> None:
    ops.log.append([Draft(kind=kind, actor=said.actor.id, stream="all", data=data)], id=f"{said.act}:{kind}")

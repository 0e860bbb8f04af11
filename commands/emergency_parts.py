"""What people read of emergencies: on the card, in its thread, in their channel, in letters, and what is owed after."""

from collections.abc import Sequence
from datetime import datetime

from audit import Event
from commands.kind_parts import subject_on_target
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.page_words import seconds_text
from ops.debts import Debt
from ops.requests import Request


def emergency_facts(request: Request) -> list[tuple[str, Line]]:
    """That it is an emergency, why, and who overrode its approvals; nothing for any other request."""
    if not request.emergency:
        return []
    override = request.override
    by: Line = () if override is None else (" · approvals overridden by ", Who(override.by.id), " ", When(override.at))
    return [("Emergency", (request.emergency, *by))]


def overridden_page(event: Event, request: Request) -> Page:
    """For the thread, for the channel of emergencies, and for everybody who could have approved it."""
    said: Line = (Who(event.actor), f" lets {subject_on_target(request)} run without approvals: ", request.emergency)
    within = (event.data or {}).get("review_within")
    by_when = f" within {_length(within)} of its start" if within else ""
    return Page(
        f"Emergency: {request.id} on {request.target} runs without approvals",
        body=[Paragraph(said)],
        next=(f"others must look at what it does{by_when}: ", Command(f"review {request.id}"), "."),
        tone="warning",
    )


def _length(seconds: float) -> str:
    """A time in which to review: `3 days`, `12 hours`."""
    for unit, noun in ((86_400, "day"), (3_600, "hour")):
        if seconds >= unit and seconds % unit == 0:
            return plural(int(seconds // unit), noun)
    return seconds_text(seconds)


def reviewed_page(event: Event, request: Request) -> Page:
    """For the thread, and for whoever owed it."""
    data = event.data or {}
    note = str(data["note"]).strip()
    counted = "nothing is owed any more" if data["cleared"] else f"{data['number']} of {data['needed']}"
    said: Line = (Who(event.actor), f" reviewed {request.id}{f': {note}' if note else ''}.")
    headline = f"{request.id} for {request.target}: reviewed, {counted}"
    return Page(headline, body=[Paragraph(said)], tone="good" if data["cleared"] else "plain")


def owing_page(event: Event, request: Request) -> Page:
    """For whoever overrode the approvals, as soon as the run begins."""
    data = event.data or {}
    needed = int(data["needed"])
    others = f"{needed} other {'person has' if needed == 1 else 'people have'} to review it"
    then = f"until they have, you let nothing run without approvals, and nobody does on {request.project}."
    return Page(
        f"You owe a review of {request.id} for {request.target}",
        facts=[("Emergency", (request.emergency,)), ("Due", (When(datetime.fromisoformat(data["due_at"])),))],
        body=[Paragraph((f"It runs without approvals, so {others}; {then}",))],
        next=("ask somebody else who may approve to look at it and type ", Command(f"review {request.id}"), "."),
        tone="warning",
    )


def owed_facts(owed: Debt | None, now: datetime) -> list[tuple[str, Line]]:
    """How many others have reviewed what ran without approvals, of how many, and until when; nothing where none is owed."""
    if owed is None:
        return []
    due = "overdue since " if owed.is_overdue(now) else "due "
    return [("Review owed", (f"{owed.needed - owed.missing} of {owed.needed}, {due}", When(owed.due_at)))]


def owed_next(owed: Debt) -> Line:
    """Who does what about it."""
    return ("others who may approve look at what it did: ", Command(f"review {owed.request}"))


def owed_page(event: Event, request: Request) -> Page:
    """For those who can clear a debt: it is owed, since when, until when."""
    data = event.data or {}
    due = datetime.fromisoformat(data["due_at"])
    overdue = bool(data.get("overdue"))
    return Page(
        f"A review of {request.id} is {'overdue' if overdue else 'owed'}",
        facts=[("Emergency", (request.emergency,)), ("Due", (When(due),))],
        body=[Paragraph((f"{subject_on_target(request)} ran without approvals.",))],
        next=("read ", Command(f"show {request.id}"), ", then say ", Command(f"review {request.id}"), "."),
        tone="warning" if overdue else "plain",
    )


def debt_line(debt: Debt, now: datetime) -> Line:
    """One debt, for `status` and Home."""
    more = "1 more person has" if debt.missing == 1 else f"{debt.missing} more people have"
    due: Line = (" · overdue since ", When(debt.due_at)) if debt.is_overdue(now) else (" · due ", When(debt.due_at))
    return (Code(debt.request), " ran without approvals, by ", Who(debt.by.id), f" · {more} to review it", *due)


def debts_json(debts: Sequence[Debt]) -> list[dict[str, object]]:
    """The same for programs."""
    return [
        {"request": one.request, "by": one.by.id, "due_at": one.due_at.isoformat(), "missing": one.missing}
        for one in debts
    ]

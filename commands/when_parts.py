"""What a card says of when a run may begin: windows, freezes, a hotfix, and who is looking at it."""

from collections.abc import Sequence
from datetime import datetime
from datetime import timedelta
from typing import Any

from commands.page import Command
from commands.page import Line
from commands.page import Span
from commands.page import When
from commands.page import Who
from commands.page_words import hint_line
from commands.page_words import joined
from commands.page_words import person
from commands.page_words import sentence_line
from ops.claiming import Claim
from ops.environment import Environment
from ops.freezing import ALL
from ops.freezing import Freeze
from ops.gates import Gate
from ops.gates import Verdict
from ops.hotfixing import hotfix_of
from ops.requests import PUSH
from ops.requests import Request
from ops.windows import frozen_by
from ops.windows import is_open
from ops.windows import next_free
from ops.windows import next_open

Facts = list[tuple[str, Line]]

LOOK_AGAIN = timedelta(minutes=15)
"""So soon it is looked again whether an open window has closed."""

DAYS_BY_NAME = timedelta(days=6)
"""A moment less far away is named by its day of the week alone."""

_NAMES = {"freeze": "Frozen", "window": "Window", "value": "Value"}


def waits_facts(request: Request, waits: Verdict) -> Facts:
    """The closed gates of time, each with what it says; a lock has a line of its own."""
    return [(_NAMES[gate.name], _said(gate, request.expires_at)) for gate in waits.closed if gate.name in _NAMES]


def _said(gate: Gate, expires_at: datetime) -> Line:
    is_late = gate.opens_at is not None and gate.opens_at >= expires_at
    if gate.name == "window" and gate.opens_at is not None:
        return ("closed; opens ", When(gate.opens_at), ", after it expires" * is_late)
    return (*sentence_line(gate.sentence), " That is after it expires." * is_late)


def too_late(request: Request, waits: Verdict) -> Line:
    """That it expires before it may start; nothing where it does not, as far as is known."""
    opens_at = waits.not_before
    if opens_at is None or opens_at < request.expires_at:
        return ()
    expires: Line = ("it expires ", When(request.expires_at), ", before it may start ", When(opens_at))
    return (*expires, "; ask again nearer to that.")


def starts_line(request: Request, waits: Verdict) -> Line:
    """When it starts by itself, or that it expires before that; nothing where somebody has to act first."""
    starts: Line = ("it starts by itself ", When(waits.opens_at), ".") if waits.opens_at else ()
    return too_late(request, waits) or starts


def starts_at_best(request: Request, waits: Verdict) -> Line:
    """When it starts, of a request that lacks people: as soon as it has them, or not before a time."""
    if not waits.closed:
        return ("it starts by itself then.",)
    best: Line = ("it starts ", When(waits.opens_at), " at the earliest.") if waits.opens_at else ()
    return too_late(request, waits) or best or ("then it waits: ", *sentence_line(waits.closed[0].sentence))


def ends_with_lock(request: Request, waits: Verdict) -> bool:
    """Whether a lock is all that it waits for, and its end in time."""
    closed = waits.closed
    is_alone = len(closed) == 1 and closed[0].name == "lock" and waits.opens_at == closed[0].opens_at
    return is_alone and not too_late(request, waits)


def waits_words(request: Request, waits: Verdict, now: datetime) -> str:
    """How an approved request waits, for a headline: `waits for the window: Mon 09:00 UTC`, or for the end of a freeze."""
    if too_late(request, waits):
        return "expires before it may start"
    if any(gate.name == "lock" for gate in waits.closed):
        return "waits for a lock to end"
    if any(gate.name == "freeze" for gate in waits.closed):
        return "waits for a freeze to end"
    if any(gate.name == "value" for gate in waits.closed):
        return "waits for its value"
    return f"waits for the window{f': {moment_words(waits.opens_at, now)}' if waits.opens_at else ''}"


def moment_words(at: datetime, now: datetime) -> str:
    """A moment in UTC by its day of the week, with the date where that day comes again before it."""
    return f"{at:%a %H:%M} UTC" if at - now < DAYS_BY_NAME else f"{at:%a %Y-%m-%d %H:%M} UTC"


def waits_next(request: Request, waits: Verdict) -> Line:
    """What ends the wait of an approved request."""
    starts = starts_line(request, waits)
    line: list[Span] = [*(starts or ("it waits.",))]
    if starts and not too_late(request, waits):
        line.append(" Everything is checked again then.")
    for gate in waits.closed:
        line += [" ", *hint_line(gate.next)] if gate.facts.get("held_by") or gate.name == "value" else []
    return (*line, *_passing(request, waits))


def _passing(request: Request, waits: Verdict) -> Line:
    """Who may ask for the same as a hotfix, where that would pass all that is in the way."""
    policy = request.plan.get("policy") or {}
    passed = {"freeze", "window"} if policy.get("hotfix_passes") == "all" else {"window"}
    is_passed = all(gate.name in passed or not gate.facts.get("held_by") for gate in waits.closed)
    if request.kind != PUSH or not policy.get("hotfix") or not is_passed:
        return ()
    may = joined(map(person, policy["hotfix"]))
    return (" ", Command(f"push {request.target} --hotfix <why>"), " passes it, for ", *may, ".")


def hotfix_facts(request: Request) -> Facts:
    """That it passes windows and configured freezes, and why."""
    hotfix = hotfix_of(request)
    return [("Hotfix", (f"{hotfix['because'].rstrip('.')}; it does not wait for the window",))] if hotfix else []


def claims_facts(claims: Sequence[Claim], now: datetime) -> Facts:
    """Who is looking at a request just now, as they said."""
    holding = [one for one in claims if now < one.until]
    if not holding:
        return []
    people = joined(Who(one.by.id) for one in holding)
    return [("Looked at by", (*people, ", until ", When(max(one.until for one in holding))))]


def when_lines(settings: Environment, freezes: Sequence[Freeze], now: datetime) -> list[tuple[str, Line]]:
    """Why nothing may begin on a target just now, each with the word that stands before it; empty where something may."""
    lines = [("frozen", freeze_line(one)) for one in freezes]
    periods = tuple(one.between for one in settings.freezes)
    period = frozen_by(periods, now)
    if period is not None:
        lines.append(("frozen", ("by the configuration until ", When(period.to), f": {period.because}")))
    elif not is_open(settings.windows, now):
        opens_at = next_free(settings.windows, periods, now)
        opens: Line = ("opens ", When(opens_at)) if opens_at else ("does not open within five years",)
        lines.append(("window closed", opens))
    return lines


def when_changes_at(settings: Environment, freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """When something of that changes although nothing happens; None where it does not, or nobody can say."""
    period = frozen_by(tuple(one.between for one in settings.freezes), now)
    opens_at = None if is_open(settings.windows, now) else next_open(settings.windows, now)
    looks = now + LOOK_AGAIN if settings.windows and opens_at is None else None
    times = [*(one.until for one in freezes), period.to if period else None, opens_at, looks]
    return min((one for one in times if one is not None), default=None)


def when_json(settings: Environment, freezes: Sequence[Freeze], now: datetime) -> dict[str, Any]:
    """The same for programs. `opens_at`: the next moment in a window and in no configured freeze, null where none is."""
    periods = tuple(one.between for one in settings.freezes)
    opens_at = next_free(settings.windows, periods, now)
    return {
        "freezes": [freeze_json(one) for one in freezes],
        "windows": list(settings.windows),
        "opens_at": opens_at.isoformat() if opens_at else None,
    }


def freeze_json(held: Freeze) -> dict[str, str | None]:
    """A freeze for programs."""
    until = held.until.isoformat() if held.until else None
    return {"what": held.what, "by": held.by.id, "at": held.at.isoformat(), "until": until, "because": held.because}


def freeze_line(held: Freeze) -> Line:
    """Who froze a target or everything, until when and why."""
    until: Line = (" until ", When(held.until)) if held.until else (" until somebody unfreezes it",)
    what = "everything, " if held.what == ALL else ""
    return (f"{what}by ", Who(held.by.id), *until, f": {held.because}" if held.because else "")

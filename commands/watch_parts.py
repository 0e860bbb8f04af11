"""What a card says of the watch behind its run: that it goes on, how it ended, and with numbers what is worse."""

from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from typing import Any

from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import When
from commands.page import Who
from commands.page_words import joined
from ops.approving import PREFIX_LENGTH
from ops.requests import PUSH
from ops.requests import Request
from ops.status import Status

_WORSE_SHOWN = 10
_GRACE = timedelta(minutes=1)
"""So long after its time the end of a watch may still be on its way."""

_UNDONE = frozenset({PUSH, "resume"})
"""The kinds of requests that there is a way back from."""


def is_worse(request: Request) -> bool:
    """Whether its target is worse off than before, as far as the watch knows."""
    return bool(request.watch and request.watch.get("worse"))


def watch_parts(request: Request) -> list[Part]:
    """What is worse, with the numbers; nothing where nothing is."""
    if request.watch is None or not is_worse(request):
        return []
    watch = request.watch
    worse = watch["worse"][:_WORSE_SHOWN]
    marks = ["was worse" if one["is_over"] else "worse" for one in worse]
    title = f"{_watched_words(watch)}, worse than before" if "outcome" in watch else "Worse than before"
    return [Listing(title[0].upper() + title[1:], [_worse_line(one) for one in worse], marks)]


def _watch_words(watch: Mapping[str, Any], now: datetime) -> Line:
    """How it goes or went, where nothing is worse."""
    if "outcome" not in watch:
        until = datetime.fromisoformat(watch["until"])
        if now > until + _GRACE:
            return ("it was to be watched until ", When(until), ", and the bot has not told yet how that went")
        return ("watched until ", When(until), f", nothing worse so far{_unseen_words(watch)}")
    if watch["outcome"] == "nothing_worse":
        return (f"{_watched_words(watch)}, nothing worse than before{_unseen_words(watch)}",)
    if not watch["watched_seconds"]:
        return (f"not watched: {watch['because']}",)
    return (
        f"{_watched_words(watch)}, nothing worse than before in that time{_unseen_words(watch)}; then {watch['because']}",
    )


def _unseen_words(watch: Mapping[str, Any]) -> str:
    """What nobody looked at, since our role may not; empty where it may see all."""
    unseen = watch.get("unseen")
    return f" of what is seen (not seen: {' and '.join(unseen)}; grant pg_monitor)" if unseen else ""


def after_words(request: Request, now: datetime) -> Line:
    """What to do behind a run that succeeded."""
    if not request.watch:
        return ("nothing to do.",)
    if not is_worse(request):
        return ("nothing to do; ", *_watch_words(request.watch, now), ".")
    if request.kind not in _UNDONE:
        return ("look at the application.",)
    return (
        "look at the application. ",
        Command(f"rollback {request.id}"),
        " shows the ways back, and what each would lose.",
    )


def watch_buttons(request: Request, status: Status) -> list[Button]:
    """The way back, where a run that succeeded made something worse."""
    if status is not Status.SUCCEEDED or not is_worse(request) or request.kind not in _UNDONE:
        return []
    value = f"rollback {request.id} {request.digest[:PREFIX_LENGTH]}"
    return [Button("rollback", "Rollback: see the ways back", value)]


def worsened_note(request: Request, data: Mapping[str, Any]) -> Page:
    """For the thread, as soon as something is certain to be worse."""
    lines = [_worse_line(one) for one in data["worse"][:_WORSE_SHOWN]]
    ways: Line = (" ", Command(f"rollback {request.id}"), " shows the ways back.") if request.kind in _UNDONE else ()
    return Page(
        f"Since {request.id}, {request.target} is worse than before",
        body=[Listing("", lines)],
        next=(Who(request.by.id), ": look at the application.", *ways),
    )


def _worse_line(one: Mapping[str, Any]) -> Line:
    """`errors: 24 % of transactions rolled back, 312 in 20 s; before: 0.3 %`, and the query where one is known."""
    words: Line = (f"{one['what']}: {one['now']}; before: {one['before']}",)
    return joined([*words, Code(one["query"])], ": ") if one["query"] else words


def _watched_words(watch: Mapping[str, Any]) -> str:
    """`watched 10 min`, or `watched 4 of 10 min`."""
    seconds, watched = float(watch["seconds"]), float(watch["watched_seconds"])
    if watched >= seconds:
        return f"watched {span_text(seconds)}"
    unit = span_text(seconds).partition(" ")[2]
    if watched < _SECONDS[unit]:
        return f"watched {watched:.0f} s of {span_text(seconds)}"
    return f"watched {_in(watched, unit)} of {span_text(seconds)}"


_UNITS = ((3600.0, "h"), (60.0, "min"), (0.0, "s"))
_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0}


def span_text(seconds: float) -> str:
    """A time that somebody set: `10 min`, `90 s`, `1 h`."""
    unit = next(name for size, name in _UNITS if seconds >= size and (not size or seconds % size == 0))
    return f"{_in(seconds, unit)} {unit}"


def _in(seconds: float, unit: str) -> str:
    return f"{seconds / _SECONDS[unit]:.1f}".removesuffix(".0")

"""When a run may begin, by the clock: windows that open again and again, and freezes between two moments. Pure.

A window counts by the clock on the wall of its zone: it is open while that clock shows one of its times. So an hour that is
skipped in spring is in no window, and one that comes twice in autumn is in it both times. Where a moment of a freeze is not
certain for the same reasons, the freeze is the longer one.
"""

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ops.recurrence import Rule
from ops.recurrence import parse_rule
from ops.recurrence import starts_in

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

HORIZON = timedelta(days=5 * 366)
"""So far ahead an opening is looked for: far enough for a 29th of February, and a rule without one ends the search."""

LOOKED_AT, STEP = timedelta(days=35), timedelta(hours=1)
"""Over so long, and so closely, it is looked for the longest time between windows: what comes each month comes in it."""

LONGEST_SPAN = timedelta(days=7)

_ANCHOR = date(2020, 1, 1)
"""What a rule counts from that does not say: any fixed day, for no rule without `from` counts in twos or threes."""

_TIMES = re.compile(r"(?P<from>[0-9]{1,2}:[0-9]{2})-(?P<to>[0-9]{1,2}:[0-9]{2})")
_RULE = re.compile(
    r"RRULE:(?P<rule>[A-Z0-9=;,+-]{6,200})(?: from (?P<from>[0-9]{4}-[0-9]{2}-[0-9]{2}))? for (?P<number>[1-9][0-9]{0,3})"
    r"(?P<unit>[mhd]) (?P<zone>[A-Za-z0-9_+/-]{1,60})"
)
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T](?P<time>[0-9]{2}:[0-9]{2}))? (?P<zone>[A-Za-z0-9_+/-]{1,60})"
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_EXAMPLE = 'such as "Mon-Thu 09:00-16:00 Europe/London"'


@dataclass(frozen=True)
class Weekly:
    """On these days of the week (0 is Monday) from one time to another, in minutes of the day; past `to` on the next day
    where it is not later than `since`."""

    days: frozenset[int]
    since: int
    to: int
    zone: ZoneInfo


@dataclass(frozen=True)
class Recurring:
    """As a rule of RFC 5545 says, for so long each time."""

    rule: Rule
    lasts: timedelta
    zone: ZoneInfo


@dataclass(frozen=True)
class Period:
    """A configured freeze: nobody begins a run from one moment until before another. Both are aware and in UTC."""

    since: datetime
    to: datetime
    because: str


Window = Weekly | Recurring


def is_open(windows: Sequence[str], at: datetime) -> bool:
    """Whether a run may begin at this moment: one of the windows is open, or there are none."""
    return not windows or any(_is_in(parse_window(text), at) for text in windows)


def next_open(windows: Sequence[str], at: datetime) -> datetime | None:
    """The first moment from `at` on at which a run may begin; None when there is none within five years."""
    if is_open(windows, at):
        return at
    found = [opens for text in windows if (opens := _next(parse_window(text), at)) is not None]
    return min(found, default=None)


def longest_wait(windows: Sequence[str], at: datetime) -> timedelta:
    """How long at most the next window is away for who comes when none is open, in the five weeks from `at` on, to an
    hour. `HORIZON` where there is a time from which on none opens."""
    longest, moment = timedelta(), at
    while moment < at + LOOKED_AT:
        opens_at = next_open(windows, moment)
        if opens_at is None:
            return HORIZON
        longest = max(longest, opens_at - moment)
        moment = opens_at + STEP
    return longest


def frozen_by(freezes: Sequence[Period], at: datetime) -> Period | None:
    """The freeze that holds at this moment, of several the one that ends last."""
    holding = [one for one in freezes if one.since <= at < one.to]
    return max(holding, key=lambda one: one.to, default=None)


def next_free(windows: Sequence[str], freezes: Sequence[Period], at: datetime) -> datetime | None:
    """The first moment from `at` on that is in a window and in no freeze; None when there is none within five years."""
    moment: datetime | None = at
    for _ in range(2 * len(freezes) + 1):  # each freeze is left at most once
        moment = next_open(windows, moment) if moment is not None else None
        held = frozen_by(freezes, moment) if moment is not None else None
        if held is None:
            return moment
        moment = held.to
    return None


@lru_cache(maxsize=256)
def parse_window(text: str) -> Window:
    """A window as it is written: days, times and a zone, or a rule. Raises ValueError that says what is wrong."""
    words = text.split()
    if text.startswith("RRULE:"):
        return _parse_rule(" ".join(words))
    if len(words) != 3 or (times := _TIMES.fullmatch(words[1])) is None:
        msg = f"{text!r} is no window: say days, times and a time zone, {_EXAMPLE}"
        raise ValueError(msg)
    since, to = _minutes(times["from"], text), _minutes(times["to"], text)
    if since in {to, 24 * 60}:
        msg = f"{text!r} is no window: it must end at another time than it begins; a whole day is 00:00-24:00"
        raise ValueError(msg)
    return Weekly(_days(words[0], text), since, to, zone_of(words[2]))


def parse_moment(text: str, *, is_end: bool) -> datetime:
    """`2026-12-20 08:00 Europe/London` in UTC; without a time, its midnight. An hour that comes twice, or never, is taken
    so that a freeze is the longer one. Raises ValueError."""
    match = _MOMENT.fullmatch(" ".join(text.split()))
    if match is None:
        msg = f'{text!r} is no moment: say day, time and time zone, such as "2026-12-20 08:00 Europe/London"'
        raise ValueError(msg)
    try:
        local = datetime.combine(date.fromisoformat(match["day"]), time.fromisoformat(match["time"] or "00:00"))
    except ValueError:
        msg = f"{text!r} is no moment: there is no such day or time"
        raise ValueError(msg) from None
    return (max if is_end else min)(_instants(local, zone_of(match["zone"])))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError; files of the machine that are no zones are none here either."""
    try:
        if name != "UTC" and "/" not in name:
            raise ValueError(name)  # "EST", "Japan": names that mean another time than people think
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        msg = f'{name!r} is no time zone: say it as the tz database does, such as "Europe/London" or "UTC"'
        raise ValueError(msg) from None


def _minutes(text: str, whole: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        msg = f"{whole!r} is no window: there is no time {text}"
        raise ValueError(msg)
    return hours * 60 + minutes


def _days(text: str, whole: str) -> frozenset[int]:
    """`Mon-Thu`, `Mon,Wed,Fri-Sun` or `daily`."""
    if text.lower() == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            msg = f"{whole!r} is no window: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, Mon-Fri, or daily; {_EXAMPLE}"
            raise ValueError(msg)
        start, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((end - start) % 7 + 1)}
    return frozenset(found)


def _parse_rule(text: str) -> Recurring:
    match = _RULE.fullmatch(text)
    if match is None:
        msg = f'{text!r} is no window: such as "RRULE:FREQ=MONTHLY;BYDAY=1SA;BYHOUR=9 for 3h Europe/London"'
        raise ValueError(msg)
    if re.search("INTERVAL=(?!1(?:;|$))", match["rule"]) and not match["from"]:
        msg = f"{text!r} is no window: with INTERVAL say which day it counts from, … from 2026-01-03 for 3h …"
        raise ValueError(msg)
    lasts = timedelta(**{_UNITS[match["unit"]]: int(match["number"])})
    anchor = _date(match["from"]) if match["from"] else _ANCHOR
    if lasts > LONGEST_SPAN or anchor < _ANCHOR:
        msg = (
            f"{text!r} is no window: it lasts at most {LONGEST_SPAN.days} days, and counts from {_ANCHOR.year} or later"
        )
        raise ValueError(msg)
    try:
        window = Recurring(parse_rule(match["rule"], anchor), lasts, zone_of(match["zone"]))
    except ValueError as error:
        msg = f"{text!r} is no window: {error}"
        raise ValueError(msg) from None
    if not any(starts_in(window.rule, anchor.year + years) for years in range(6)):
        msg = f"{text!r} never opens"
        raise ValueError(msg)
    return window


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"there is no day {text}"
        raise ValueError(msg) from None


def _is_in(window: Window, at: datetime) -> bool:
    local = at.astimezone(window.zone)
    if isinstance(window, Recurring):
        return any(start <= at < start + window.lasts for start in _starts_near(window, at))
    minutes = local.hour * 60 + local.minute
    today, yesterday = local.weekday() in window.days, (local.weekday() - 1) % 7 in window.days
    if window.since < window.to:
        return today and window.since <= minutes < window.to
    return (today and minutes >= window.since) or (yesterday and minutes < window.to)


def _next(window: Window, at: datetime) -> datetime | None:
    if isinstance(window, Recurring):
        year = at.astimezone(window.zone).year
        years = range(year, (at + HORIZON).year + 1)
        return next((start for one in years for start in _instants_in(window, one) if start > at), None)
    day = at.astimezone(window.zone).date()
    for ahead in range(-1, 23):  # a week has each of its days; two more, for a day that the zone leaves out
        openings = (one for one in _openings(window, day + timedelta(days=ahead)) if one > at and _is_in(window, one))
        if (first := min(openings, default=None)) is not None:
            return first
    return None


def _openings(window: Weekly, day: date) -> Iterator[datetime]:
    """The moments of a day at which a window may begin to be open: its time, midnight, and where the clock is put."""
    midnight = datetime.combine(day, time())
    yield from _instants(midnight, window.zone)
    yield from _instants(midnight + timedelta(minutes=window.since), window.zone)
    start, end = min(_instants(midnight, window.zone)), max(_instants(midnight + timedelta(days=1), window.zone))
    if start.astimezone(window.zone).utcoffset() != end.astimezone(window.zone).utcoffset():
        yield _put_at(window.zone, start, end)


def _put_at(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The moment between these two at which the clock of a zone is put, to the second."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


def _instants(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The moments at which the clock on the wall shows this: one, twice; two where it comes twice; where it never comes,
    what it would be by the time before and by the time after."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _starts_near(window: Recurring, at: datetime) -> Iterator[datetime]:
    year = at.astimezone(window.zone).year
    for one in (year - 1, year, year + 1):
        yield from _instants_in(window, one)


def _instants_in(window: Recurring, year: int) -> Iterator[datetime]:
    """When the window opens in a year of its zone; an hour that comes twice is the first, one that never comes is later."""
    for local in starts_in(window.rule, year):
        yield local.replace(tzinfo=window.zone).astimezone(UTC)

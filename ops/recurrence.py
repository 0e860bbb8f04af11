"""Rules such as "each first Saturday of a month", written as RFC 5545 writes them: the parts that say days and times of day.

Whether a day is one of a rule is told from the day itself. So no rule, however odd, is searched for without an end: the days
of a year are 366.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from functools import lru_cache
from itertools import groupby

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
_EPOCH = date(2018, 1, 1)
"""A Monday before every day that a rule counts from."""

_KNOWN = ("FREQ", "INTERVAL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "BYHOUR", "BYMINUTE")


@dataclass(frozen=True)
class Rule:
    """Days and the times on each of them. What is empty restricts nothing.

    `days`: (which of the month, 0: each; weekday from 0, Monday). `month_days` and `positions` count from the end where
    they are negative. Every `interval`th day, week, month or year counts, the first is that of `anchor`.
    """

    every: str
    interval: int
    anchor: date
    months: frozenset[int]
    month_days: frozenset[int]
    days: frozenset[tuple[int, int]]
    positions: frozenset[int]
    times: tuple[time, ...]


def parse_rule(text: str, anchor: date) -> Rule:
    """A rule as it is written: `FREQ=MONTHLY;BYDAY=1SA;BYHOUR=9`. Raises ValueError that says what is wrong."""
    parts = _parts(text)
    every = parts.get("FREQ", "")
    if every not in {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}:
        msg = "FREQ is DAILY, WEEKLY, MONTHLY or YEARLY"
        raise ValueError(msg)
    days = frozenset(_day(one) for one in parts["BYDAY"].split(",")) if "BYDAY" in parts else frozenset()
    rule = Rule(
        every=every,
        interval=min(_numbers(parts, "INTERVAL", 1, 99) or {1}),
        anchor=anchor,
        months=_numbers(parts, "BYMONTH", 1, 12),
        month_days=_numbers(parts, "BYMONTHDAY", -31, 31),
        days=days,
        positions=_numbers(parts, "BYSETPOS", -31, 31),
        times=tuple(
            time(hour, minute)
            for hour in sorted(_numbers(parts, "BYHOUR", 0, 23) or {0})
            for minute in sorted(_numbers(parts, "BYMINUTE", 0, 59) or {0})
        ),
    )
    _check(rule)
    return rule


def _parts(text: str) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name not in _KNOWN or name in parts or not value:
            msg = f"{part[:40]!r} is not understood here, or said twice; there are {', '.join(_KNOWN)}"
            raise ValueError(msg)
        parts[name] = value
    return parts


def _numbers(parts: Mapping[str, str], name: str, low: int, high: int) -> frozenset[int]:
    if name not in parts:
        return frozenset()
    texts = parts[name].split(",")
    found = frozenset(int(text) for text in texts if re.fullmatch(r"[+-]?[0-9]{1,2}", text))
    is_one = name != "INTERVAL" or len(texts) == 1
    if (
        len(found) != len(texts)
        or not is_one
        or not all(low <= one <= high for one in found)
        or (low < 0 and 0 in found)
    ):
        msg = f"{name}={parts[name][:40]} is not from {low} to {high}"
        raise ValueError(msg)
    return found


def _day(text: str) -> tuple[int, int]:
    match = _DAY.fullmatch(text)
    if match is None:
        msg = (
            f"BYDAY takes {', '.join(_DAYS)}, and 1SA or -1FR for the first and the last of a month, not {text[:10]!r}"
        )
        raise ValueError(msg)
    return int(match[1] or 0), _DAYS.index(match[2])


def _check(rule: Rule) -> None:
    """What RFC 5545 leaves to the first day of a calendar entry has to be said here: there is no such entry."""
    if rule.every == "WEEKLY" and (not rule.days or rule.month_days):
        msg = "WEEKLY needs BYDAY, and takes no BYMONTHDAY"
        raise ValueError(msg)
    if rule.every in {"MONTHLY", "YEARLY"} and not (rule.days or rule.month_days):
        msg = f"{rule.every} needs BYDAY or BYMONTHDAY"
        raise ValueError(msg)
    if rule.every == "YEARLY" and not rule.months:
        msg = "YEARLY needs BYMONTH"
        raise ValueError(msg)
    if rule.every in {"DAILY", "WEEKLY"} and any(which for which, _ in rule.days):
        msg = f"{rule.every} takes BYDAY without numbers"
        raise ValueError(msg)
    if rule.positions and (len(rule.times) > 1 or rule.every == "DAILY"):
        msg = "BYSETPOS picks days, of a week, month or year, at one time of the day"
        raise ValueError(msg)


@lru_cache(maxsize=512)
def starts_in(rule: Rule, year: int) -> tuple[datetime, ...]:
    """When a rule begins in a year by the clock on the wall (no zone), in order; nothing before its anchor."""
    first = date(year, 1, 1)
    first -= timedelta(days=first.weekday())  # the week that January begins in may have begun before it
    days = [day for step in range(373) if _is_day(rule, day := first + timedelta(days=step))]
    if rule.positions:
        days = [day for _, group in groupby(days, lambda day: _period(rule, day)) for day in _picked(rule, list(group))]
    return tuple(
        datetime.combine(day, at) for day in days if day.year == year and day >= rule.anchor for at in rule.times
    )


def _is_day(rule: Rule, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    return (
        (not rule.months or day.month in rule.months)
        and (not rule.month_days or bool({day.day, day.day - length - 1} & rule.month_days))
        and (not rule.days or any(_is_weekday(day, length, *one) for one in rule.days))
        and (_period(rule, day) - _period(rule, rule.anchor)) % rule.interval == 0
    )


def _is_weekday(day: date, length: int, which: int, weekday: int) -> bool:
    """Whether a day is this weekday, and the `which`th of its month, counted from the end where that is negative."""
    counted = (day.day - 1) // 7 + 1 if which > 0 else -((length - day.day) // 7 + 1)
    return day.weekday() == weekday and which in {0, counted}


def _period(rule: Rule, day: date) -> int:
    """The number of the day, week, month or year that the rule counts."""
    match rule.every:
        case "DAILY":
            return (day - _EPOCH).days
        case "WEEKLY":
            return (day - _EPOCH).days // 7
        case "MONTHLY":
            return day.year * 12 + day.month
        case _:
            return day.year


def _picked(rule: Rule, days: list[date]) -> list[date]:
    """Of the days of one period those at the rule's positions."""
    return [day for place, day in enumerate(days) if {place + 1, place - len(days)} & rule.positions]

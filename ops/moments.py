"""A moment to come, as people say it: `Fri 17:00`, `tomorrow 09:00 Europe/London`, `in 2h`."""

import re
from datetime import UTC
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from zoneinfo import ZoneInfo
from zoneinfo import available_timezones

from ops.errors import OpsError
from ops.errors import Reason
from ops.setting_values import parse_duration
from ops.windows import zone_of

EXAMPLE = '"Fri 17:00", "tomorrow 09:00 Europe/London", "2026-11-27 17:00" or "in 2h"'
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SAID = re.compile(
    r"((?P<day>today|tomorrow|(mon|tue|wed|thu|fri|sat|sun)[a-z]*|\d{4}-\d\d-\d\d)[ t]+)?(?P<time>\d{1,2}:\d\d)"
    r"( (?P<zone>utc|[a-z_]+/[a-z_/+-]+))?",
    re.IGNORECASE,
)


_LIKE_A_MOMENT = re.compile(
    r"(mon|tues?|wed(nes)?|weds|thu(rs?)?|fri|sat(ur)?|sun)(day)?|today|tonight|tomorrow|yesterday|now|noon|midday|midnight|"
    r"morning|afternoon|evening|night|week|weekend|month",
    re.IGNORECASE,
)
_LIKE_A_ZONE = re.compile(r"[a-z_]+/[a-z_/+-]+")
_SHORT_ZONES = frozenset(
    {"aest", "aedt", "bst", "cdt", "cest", "cst", "edt", "eest", "est", "gmt", "hst", "ist", "jst", "kst", "mdt", "msk"}
    | {"mst", "nzst", "nzdt", "pdt", "pst", "sgt"}
)
"""What people call zones that are no names of zones: each is said of several, or of half the year."""


def is_like_a_moment(word: str) -> bool:
    """Whether somebody who says this word means a time, whether or not it can be read: `Friday`, `noon`."""
    return _LIKE_A_MOMENT.fullmatch(word.rstrip(",;.")) is not None


def check_zone_said(moment: str, follows: str) -> None:
    """Raise OpsError(BAD_USAGE) where a moment without a zone is followed by what was perhaps meant as one (`London`, `PST`):
    it would be taken for UTC."""
    if moment.upper().endswith("UTC") or "/" in moment:
        return
    word = follows.rstrip(",;.").lower()
    places = {name.rpartition("/")[2].lower() for name in available_timezones()}
    if word in places or word in _SHORT_ZONES or _LIKE_A_ZONE.fullmatch(word):
        message = f"{follows[:40]!r} is perhaps meant as a time zone; without one, {moment!r} is in UTC."
        raise OpsError(Reason.BAD_USAGE, message, "Say the zone in full, such as Europe/London, or UTC.")


def moment_of(text: str, now: datetime) -> datetime:
    """The moment that is meant, after `now`, in UTC. Without a day the next such time; without a time zone it is UTC.

    Raises OpsError(BAD_USAGE) for what is no moment, is past, or is an hour that the clock leaves out or shows twice.
    """
    words = " ".join(text.split())
    if words.lower().startswith("in "):
        return now + _length(words[3:])
    match = _SAID.fullmatch(words)
    if match is None:
        raise _no_moment(f"{words[:60]!r} is no moment.")
    try:
        at = time.fromisoformat(match["time"].rjust(5, "0"))
        said = match["zone"] or "UTC"
        zone = zone_of("UTC" if said.upper() == "UTC" else said)
        today = now.astimezone(zone).date()
        found = _first_after(now, at, zone, _days(match["day"], today))
    except ValueError as error:
        raise _no_moment(f"{words[:60]!r} is no moment: {error}.") from None
    if found <= now:
        raise _no_moment(f"{words[:60]!r} is past.")
    return found


def _days(said: str | None, today: date) -> tuple[date, ...]:
    """The days that may be meant, the first of them first."""
    if said is None:
        return today, today + timedelta(days=1)
    word = said.lower()
    if word in {"today", "tomorrow"}:
        return (today + timedelta(days=int(word == "tomorrow")),)
    if word[:3] in _DAYS:
        next_one = today + timedelta(days=(_DAYS.index(word[:3]) - today.weekday()) % 7)
        return next_one, next_one + timedelta(days=7)
    return (date.fromisoformat(said),)


def _first_after(now: datetime, at: time, zone: ZoneInfo, days: tuple[date, ...]) -> datetime:
    found = [_instant(datetime.combine(day, at), zone) for day in days]
    return next((one for one in found if one > now), found[-1])


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """When the clock of a zone shows this. Raises ValueError where it does so twice or never."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        msg = f"the clocks in {zone.key} are put forward or back then; say it in UTC"
        raise ValueError(msg)
    return first


def _length(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError):
        raise _no_moment(f"{text[:40]!r} is no length of time.") from None


def _no_moment(message: str) -> OpsError:
    return OpsError(Reason.BAD_USAGE, message, f"Say {EXAMPLE}; without a time zone it is UTC.")

"""When people are at work: Monday to Friday, nine to six, in a time zone of theirs. Pure functions of moments."""

from datetime import UTC
from datetime import datetime
from datetime import time
from datetime import timedelta
from zoneinfo import ZoneInfo

BEGINS = time(9)
ENDS = time(18)
LAST_HOUR = time(17)
_SATURDAY = 5
_DAYS_AHEAD = 8


def zone_named(name: str | None, otherwise: str) -> ZoneInfo:
    """The time zone of this name; the other one where there is no such zone, or no name."""
    try:
        return ZoneInfo(name or otherwise)
    except (ValueError, OSError, KeyError):  # not a name at all, a folder of names, a name that nobody knows
        return ZoneInfo(otherwise)


def is_working(at: datetime, zone: ZoneInfo) -> bool:
    """Whether people are at work at this moment there."""
    local = at.astimezone(zone)
    return local.weekday() < _SATURDAY and BEGINS <= local.time() < ENDS


def next_working(at: datetime, zone: ZoneInfo) -> datetime:
    """This moment where people are at work, else the next at which they begin."""
    if is_working(at, zone):
        return at
    today = at.astimezone(zone).date()
    days = (today + timedelta(days=ahead) for ahead in range(_DAYS_AHEAD))
    mornings = (datetime.combine(day, BEGINS, zone) for day in days if day.weekday() < _SATURDAY)
    return next(morning.astimezone(UTC) for morning in mornings if morning.astimezone(UTC) > at)


def last_hour_before(at: datetime, zone: ZoneInfo) -> datetime:
    """The beginning of the last hour of a working day, the newest one before this moment."""
    today = at.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in range(_DAYS_AHEAD))
    evenings = (datetime.combine(day, LAST_HOUR, zone) for day in days if day.weekday() < _SATURDAY)
    return next(evening.astimezone(UTC) for evening in evenings if evening.astimezone(UTC) < at)

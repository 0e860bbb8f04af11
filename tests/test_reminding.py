"""When people are reminded: at half and at nine tenths of the time, in their own working hours, once each."""

import random
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from ops.reminding import SHARES
from ops.reminding import reminder_at
from ops.reminding import share_due
from ops.working_hours import is_working
from ops.working_hours import last_hour_before
from ops.working_hours import next_working
from ops.working_hours import zone_named

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia")]


def utc(text: str) -> datetime:
    return datetime.strptime(f"{text} +0000", "%Y-%m-%d %H:%M %z")


@pytest.mark.parametrize(
    ("asked", "hours", "share", "zone", "at"),
    [
        pytest.param("2026-11-23 08:00", 10, "half", "UTC", "2026-11-23 13:00", id="Monday at work"),
        pytest.param("2026-11-23 08:00", 10, "nine_tenths", "UTC", "2026-11-23 17:00", id="still at work"),
        pytest.param("2026-11-23 14:00", 24, "half", "UTC", "2026-11-24 09:00", id="at night: in the morning"),
        pytest.param(
            "2026-11-23 14:00", 24, "half", "America/New_York", "2026-11-23 22:00", id="the hour before six there"
        ),
        pytest.param("2026-11-26 14:00", 96, "half", "UTC", "2026-11-30 09:00", id="Saturday: on Monday"),
        pytest.param("2026-11-27 14:00", 24, "half", "UTC", "2026-11-27 17:00", id="up by Saturday: on Friday still"),
        pytest.param(
            "2026-11-27 17:30", 24, "half", "UTC", "2026-11-27 17:30", id="asked in Friday's last hour: at once"
        ),
        pytest.param(
            "2026-03-27 20:00", 72, "half", "Europe/London", "2026-03-30 08:00", id="clocks went forward on Sunday"
        ),
        pytest.param(
            "2026-10-23 20:00", 72, "half", "Europe/London", "2026-10-26 09:00", id="clocks went back on Sunday"
        ),
    ],
)
def test_moment_of_a_reminder(asked: str, hours: int, share: str, zone: str, at: str) -> None:
    begins = utc(asked)
    assert reminder_at(begins, begins + timedelta(hours=hours), share, ZoneInfo(zone)) == utc(at)


def test_who_does_not_work_until_it_expires_is_not_reminded() -> None:
    asked = utc("2026-11-27 20:00")
    expires = asked + timedelta(hours=24)
    hours = [asked + timedelta(minutes=15 * number) for number in range(4 * 24)]
    assert {share_due(asked, expires, ZoneInfo("UTC"), now) for now in hours} == {None}


def moments(count: int) -> Iterator[tuple[datetime, timedelta, ZoneInfo]]:
    """Any moments of fifteen years, with a length of time and a zone each; the same at every run."""
    chance = random.Random(6)  # noqa: S311
    for _ in range(count):
        at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(15 * 365 * 24 * 60))
        yield at, timedelta(minutes=chance.randrange(5, 10 * 24 * 60)), chance.choice(ZONES)


def test_working_hours_are_found_from_any_moment() -> None:
    for at, _, zone in moments(2000):
        ahead, back = next_working(at, zone), last_hour_before(at, zone)
        assert is_working(ahead, zone), (at, zone)
        assert timedelta() <= ahead - at <= timedelta(days=3), (at, zone)
        assert is_working(back, zone), (at, zone)
        assert timedelta() < at - back <= timedelta(days=4), (at, zone)


def test_each_reminder_is_in_working_hours_in_order_and_before_the_end() -> None:
    reminded = 0
    for asked, length, zone in moments(2000):
        expires = asked + length
        found = [reminder_at(asked, expires, share, zone) for share in SHARES]
        assert found == sorted(found), (asked, length, zone)
        assert all(asked <= at and is_working(at, zone) for at in found), (asked, length, zone)
        assert share_due(asked, expires, zone, found[-1]) == ("nine_tenths" if found[-1] < expires else None)
        assert share_due(asked, expires, zone, asked + 2 * length) is None
        reminded += found[-1] < expires
    assert reminded > 1000


@pytest.mark.parametrize("name", [None, "", "Mars/Base", "../etc/passwd", "Europe", "\x00"])
def test_a_zone_that_nobody_knows_is_the_one_of_the_configuration(name: str | None) -> None:
    assert zone_named(name, "Asia/Tokyo") == ZoneInfo("Asia/Tokyo")

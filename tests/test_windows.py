"""When a window is open, by the clock on the wall; when it opens next; rules of RFC 5545; freezes between two moments."""

import random
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr

from ops.recurrence import parse_rule
from ops.recurrence import starts_in
from ops.windows import Period
from ops.windows import is_open
from ops.windows import next_free
from ops.windows import next_open
from ops.windows import parse_moment
from ops.windows import parse_window

MINUTE = timedelta(minutes=1)
WORK = "Mon-Thu 09:00-16:00 Europe/London"
FIRST_SATURDAY = "RRULE:FREQ=MONTHLY;BYDAY=1SA;BYHOUR=9 for 3h Europe/London"
ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC")
"""With half an hour put in summer, a quarter of an hour's difference, and Ramadan."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (WORK, "2026-11-23 09:00", True),
        (WORK, "2026-11-23 08:59", False),
        (WORK, "2026-11-23 16:00", False),
        (WORK, "2026-11-27 10:00", False),  # a Friday
        (WORK, "2026-07-01 08:00", True),  # nine o'clock in summer
        (WORK, "2026-07-01 15:00", False),
        ("Fri 22:00-02:00 UTC", "2026-11-28 01:59", True),  # Saturday night belongs to Friday
        ("Fri 22:00-02:00 UTC", "2026-11-27 01:59", False),
        ("Sat-Mon 00:00-24:00 UTC", "2026-11-23 23:59", True),
        ("daily 00:00-24:00 UTC", "2026-11-25 00:00", True),
        ("Mon,Wed 9:00-10:00 Asia/Kathmandu", "2026-11-25 03:15", True),
        ("Sun 01:00-02:00 Europe/London", "2026-03-29 01:00", False),  # the hour that spring leaves out
        ("Sun 01:00-02:00 Europe/London", "2026-10-25 00:30", True),  # the hour that comes twice…
        ("Sun 01:00-02:00 Europe/London", "2026-10-25 01:30", True),  # … counts both times
        (FIRST_SATURDAY, "2026-12-05 11:59", True),
        (FIRST_SATURDAY, "2026-12-12 10:00", False),
    ],
)
def test_window_is_open_by_the_clock_of_its_zone(window: str, moment: str, expected: bool) -> None:
    assert is_open([window], at(moment)) is expected


@pytest.mark.parametrize(
    ("windows", "moment", "expected"),
    [
        ([WORK], "2026-11-26 16:00", "2026-11-30 09:00"),
        ([WORK, FIRST_SATURDAY], "2026-12-03 16:00", "2026-12-05 09:00"),
        (["Sun 01:30-03:00 Europe/London"], "2026-03-29 00:00", "2026-03-29 01:00"),  # where the clock is put
        ([], "2026-11-26 16:00", "2026-11-26 16:00"),
        (["RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29 for 1h UTC"], "2025-03-01 00:00", "2028-02-29 00:00"),
    ],
)
def test_next_opening(windows: list[str], moment: str, expected: str) -> None:
    assert next_open(windows, at(moment)) == at(expected)


def test_next_opening_is_the_first_open_minute_whatever_the_zone_does() -> None:
    """Three hundred windows around the days on which clocks are put: nothing before the answer is open, the answer is."""
    dice = random.Random(6)  # noqa: S311 (nothing secret)
    turns = ("2026-03-08 05:00", "2026-03-29 00:00", "2026-04-04 13:00", "2026-10-25 00:00", "2026-02-15 01:00")
    for _ in range(300):
        days = dice.choice(["Sat-Sun", "Sun", "daily", "Fri,Sun", "Thu-Tue"])
        since = f"{dice.randrange(24):02}:{dice.choice('0135')}0"
        to = f"{dice.randrange(24):02}:{dice.choice('24')}5"
        window = f"{days} {since}-{to} {dice.choice(ZONES)}"
        moment = at(dice.choice(turns)) + dice.randrange(-600, 600) * MINUTE
        found = next_open([window], moment)
        assert found is not None
        assert is_open([window], found), (window, moment)
        step = moment
        while step < found:
            assert not is_open([window], step), (window, moment, step)
            step += 15 * MINUTE


RULES = [
    "FREQ=DAILY;BYHOUR=1,13;BYMINUTE=30",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;BYMONTH=4,5;BYDAY=MO,FR;BYHOUR=9",
    "FREQ=WEEKLY;BYDAY=TU,TH;BYHOUR=9",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYDAY=1SA,-1FR",
    "FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=31,-1,15",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;BYHOUR=22",
    "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;INTERVAL=2;BYMONTH=1,6;BYDAY=2MO",
    "FREQ=YEARLY;BYMONTH=12;BYDAY=-1SU;BYSETPOS=1",
]


@pytest.mark.parametrize("rule", RULES)
def test_rule_means_what_the_usual_library_takes_it_for(rule: str) -> None:
    anchor = datetime(2024, 1, 17)
    theirs = rrulestr(rule, dtstart=anchor)
    for year in range(2024, 2032):
        expected = theirs.between(datetime(year, 1, 1), datetime(year, 12, 31, 23, 59), inc=True)
        assert list(starts_in(parse_rule(rule, anchor.date()), year)) == expected


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("Mon 09:00-10:00", "say days, times and a time zone"),
        ("Mon 09:00-10:00 EST", "no time zone"),
        ("Mon 09:00-10:00 Europe/../Oslo", "no time zone"),
        ("Mun 09:00-10:00 UTC", "days are Mon"),
        ("Mon 25:00-26:00 UTC", "no time 25:00"),
        ("Mon 09:00-09:00 UTC", "end at another time"),
        ("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30 for 3h UTC", "never opens"),
        ("RRULE:FREQ=SECONDLY for 3h UTC", "FREQ is DAILY"),
        ("RRULE:FREQ=DAILY;INTERVAL=0 from 2026-01-01 for 3h UTC", "INTERVAL=0 is not"),
        ("RRULE:FREQ=DAILY;INTERVAL=2 for 3h UTC", "say which day it counts from"),
        ("RRULE:FREQ=DAILY;COUNT=2 for 3h UTC", "not understood"),
        ("RRULE:FREQ=DAILY for 9d UTC", "at most 7 days"),
        ("RRULE:FREQ=DAILY from 2026-02-30 for 1h UTC", "there is no day"),
    ],
)
def test_what_is_no_window_is_told(window: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_window(window)


def test_freeze_is_the_longer_one_where_the_clock_is_put() -> None:
    twice = "2026-10-25 01:30 Europe/London"
    assert parse_moment(twice, is_end=False) == at("2026-10-25 00:30")
    assert parse_moment(twice, is_end=True) == at("2026-10-25 01:30")
    never = "2026-03-29 01:30 Europe/London"
    assert parse_moment(never, is_end=False) < parse_moment(never, is_end=True)
    assert parse_moment("2026-12-20 Europe/London", is_end=False) == at("2026-12-20 00:00")
    assert str(ZoneInfo("Europe/London")) == "Europe/London"


def test_next_free_moment_is_in_a_window_and_in_no_freeze() -> None:
    freezes = [
        Period(at("2026-12-17 12:00"), at("2026-12-21 10:00"), "the end of the year"),
        Period(at("2026-12-21 09:30"), at("2026-12-26 00:00"), "and more"),
    ]
    assert next_free([WORK], freezes, at("2026-12-17 13:00")) == at("2026-12-28 09:00")
    assert next_free([], freezes, at("2026-12-20 00:00")) == at("2026-12-26 00:00")
    assert next_free([WORK], (), at("2026-12-18 09:00")) == at("2026-12-21 09:00")

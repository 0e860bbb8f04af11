"""When a target is quiet, by what was seen of it over time; and what a plan says of it."""

import json
import stat
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest
from people_talk import ANA
from people_talk import ask
from people_talk import card
from people_talk import rules
from people_talk import small
from people_talk import told
from people_talk import wait_for

from ops.load_memory import Hour
from ops.load_memory import Past
from ops.load_memory import Tick
from ops.load_memory import keep_past
from ops.load_memory import read_past
from ops.quiet import Quiet
from ops.quiet import quiet_at
from ops.settings import load_settings
from ops.targets import Target
from ops.targets import find_target
from sandbox.stage import Stage

Make = Callable[..., Stage]
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def office(hour: int) -> float:
    """Transactions a second: many by day, few by night."""
    return 100.0 if 7 <= hour % 24 < 19 else 4.0


def past(rate: Callable[[int], float], days: int = 7, ticks: tuple[Tick, ...] = ()) -> Past:
    """A target that was seen for so many days, from Monday on, all the time."""
    return Past(ticks, {hour: Hour(3600.0, 3600.0 * rate(hour)) for hour in range(days * 24)})


def tick(at: datetime, transactions: int) -> Tick:
    return Tick(at, transactions, 0, 0, 5, 0, 0, 0.0, None, None)


def at(hour: int, minute: int = 30) -> datetime:
    """A time of a Monday."""
    return MONDAY.replace(hour=hour, minute=minute)


@pytest.mark.parametrize(
    ("seen", "now", "words"),
    [
        (past(office), at(14), "19–07 UTC; now busy, 100 transactions a second, 25× its quiet hours"),
        (past(office), at(3), "03–07 UTC and 19–03 UTC; now quiet"),
        (past(office, days=1), at(14), "19–07 UTC; now busy, 100 transactions a second, 25× its quiet hours"),
        (past(lambda _: 0.2), at(14), "always so far, at most 1 transaction a second; now quiet"),
        (
            past(lambda _: 50.0),
            at(14),
            "no hour of the next 24 is quieter than the others; now busy, 50 transactions a second",
        ),
        (
            past(lambda hour: 400.0 if hour < 120 else 2.0),
            at(14) + timedelta(days=5),
            "all of the next 24 hours; now quiet",
        ),
        (past(office, days=0), at(14), "not known yet, 0 of 24 hours of the day were seen so far"),
        (
            Past((), {hour: Hour(3600.0, 9.0) for hour in range(9)}),
            at(14),
            "not known yet, 9 of 24 hours of the day were seen so far",
        ),
    ],
    ids=["by day", "by night", "one day seen", "hardly used", "even", "weekend", "nothing seen", "some hours seen"],
)
def test_when_it_is_quiet(seen: Past, now: datetime, words: str) -> None:
    assert quiet_at(seen, now).words == words


def test_what_was_measured_just_now_counts_more_than_what_is_usual() -> None:
    now = at(14)
    holiday = (tick(now - timedelta(minutes=6), 1000), tick(now - timedelta(minutes=1), 1300))
    assert quiet_at(past(office, ticks=holiday), now).words == "19–07 UTC; now quiet"
    night = at(3)
    report = (tick(night - timedelta(minutes=6), 1000), tick(night - timedelta(minutes=1), 91_000))
    assert quiet_at(past(office, ticks=report), night).is_busy
    old = (tick(now - timedelta(minutes=46), 1000), tick(now - timedelta(minutes=41), 1300))
    assert quiet_at(past(office, ticks=old), now).is_busy


def test_an_hour_learns_from_looks_that_are_close_together() -> None:
    seen = Past()
    for number in range(13):
        seen = seen.with_tick(tick(at(9, 0) + timedelta(minutes=5 * number), 6000 * number))
    assert seen.hours[9].rate == pytest.approx(20.0)
    assert seen.hours[9].seconds == 3600
    gap = seen.with_tick(tick(at(11, 0), 10**9))
    assert gap.hours == seen.hours
    anew = seen.with_tick(tick(at(10, 5), 3))  # the server counts from 0 again
    assert anew.hours == seen.hours


def test_old_weeks_are_forgotten_by_and_by() -> None:
    hour = Hour()
    for _ in range(8):
        hour = hour.seen(3600.0, 3600.0 * 100)
    for _ in range(6):
        hour = hour.seen(3600.0, 3600.0 * 2)
    assert hour.rate < 15


def test_ticks_of_more_than_a_day_ago_are_left_out() -> None:
    seen = Past((tick(MONDAY, 1),)).with_tick(tick(MONDAY + timedelta(hours=25), 2))
    assert len(seen.ticks) == 1


@pytest.fixture
def prod(make_stage: Make) -> Stage:
    return small(make_stage, prod=rules(1, 'watch = "10m"'), start=False)


def target_of(stage: Stage) -> Target:
    return find_target(load_settings(stage.config), "prod")


def always(stage: Stage, rate: Callable[[int], float]) -> None:
    """As if prod had been looked at for a week."""
    target = target_of(stage)
    keep_past(target.all_settings, target, past(rate))


def memory(stage: Stage) -> Path:
    return stage.folder / "var" / "watched" / "shop.prod.load"


def test_what_is_remembered_comes_back_and_is_for_our_eyes_alone(prod: Stage) -> None:
    target = target_of(prod)
    kept = past(office, ticks=(tick(at(3), 5),))
    keep_past(target.all_settings, target, kept)
    assert read_past(target.all_settings, target) == kept
    assert stat.S_IMODE(memory(prod).stat().st_mode) == 0o600
    assert stat.S_IMODE(memory(prod).parent.stat().st_mode) == 0o700


def test_a_damaged_memory_is_as_none(prod: Stage) -> None:
    always(prod, office)
    target = target_of(prod)
    for text in ("", "[]", '{"format": 1}', '{"format": 1, "ticks": [["x", "y"]], "hours": {}}', "\x00"):
        memory(prod).write_text(text)
        assert read_past(target.all_settings, target) == Past(), text


def busy_now(hour: int) -> float:
    """Busy in the three hours around this one, quiet in all others."""
    now = datetime.now(UTC)
    return 90.0 if (hour - now.weekday() * 24 - now.hour + 1) % 168 < 3 else 1.5


def test_a_plan_at_a_busy_hour_warns_and_says_when_it_is_quiet(prod: Stage) -> None:
    prod.migration("20260101000002_locks.sql", "create index on public.old (id);")
    always(prod, busy_now)
    found = prod.cli("plan", "prod", "--json").json
    [hazard] = [one for one in found["hazards"] if one["rule"] == "busy-hour"]
    assert (hazard["class"], hazard["level"]) == ("locks", "caution")
    assert (
        "shop/prod is busy now, with 90 transactions a second, 60× its quiet hours. It is quiet " in hazard["message"]
    )
    page = prod.cli("plan", "prod").out
    assert "UTC; now busy, 90 transactions a second, 60× its quiet hours" in page


def test_the_hour_is_told_warned_of_only_where_somebody_would_wait_and_no_part_of_what_people_approve(
    prod: Stage,
) -> None:
    always(prod, lambda hour: 91.5 - busy_now(hour))
    quiet = prod.cli("plan", "prod", "--json").json
    assert [one for one in quiet["hazards"] if one["rule"] == "busy-hour"] == []
    assert "now quiet" in prod.cli("plan", "prod").out
    always(prod, busy_now)
    found = prod.cli("plan", "prod", "--json").json
    [hazard] = [one for one in found["hazards"] if one["rule"] == "busy-hour"]
    assert hazard["level"] == "info"
    assert found["digest"] == quiet["digest"]


def test_the_bot_learns_it_by_itself_and_its_card_warns_too(prod: Stage) -> None:
    prod.start_bot()
    wait_for(lambda: memory(prod).exists(), 20)
    [found] = json.loads(memory(prod).read_text())["ticks"]
    assert found[1] > 0
    assert "Quiet: not known yet, 0 of 24 hours" in told(prod.slack.say(ANA, "/migrate plan prod"))
    always(prod, busy_now)
    ask(prod)
    assert "busy-hour" in card(prod, "shop/prod is busy now")


def test_an_environment_that_is_not_watched_says_nothing_of_it(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    always(stage, busy_now)
    assert "Quiet" not in stage.cli("plan", "prod").out


def test_what_is_said_of_nothing_known_is_no_warning() -> None:
    assert not Quiet(MONDAY, 3, rate=1000.0).is_busy

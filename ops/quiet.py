"""When a target is quiet: by how many transactions it has had in each hour of the week, and how many it has now."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta

from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.timing import BUSY_HOUR
from ops.layer import Ops
from ops.load_memory import HOURS_IN_A_WEEK
from ops.load_memory import STRETCH
from ops.load_memory import Hour
from ops.load_memory import Past
from ops.load_memory import hour_of_week
from ops.load_memory import rate_between
from ops.load_memory import read_past
from ops.plan import Plan

IDLE_RATE = 1.0
"""Transactions a second. Whoever has fewer is quiet, whatever the rest of the week is like."""

QUIET_SHARE = 0.5
"""Of the average over the week: an hour with no more than that is quiet."""

SEEN_SECONDS = 600.0
"""An hour of the day that was seen for less is not known yet."""

HOURS_IN_A_DAY = 24
WINDOWS_SHOWN = 2

_WAIT_OR_MAKE_WAIT = frozenset({HazardClass.LOCKS, HazardClass.REWRITE, HazardClass.SIZE})


@dataclass(frozen=True)
class Window:
    """From one full hour to another, in UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        if self.end - self.start >= timedelta(hours=HOURS_IN_A_DAY):
            return f"all of the next {HOURS_IN_A_DAY} hours"
        return f"{self.start:%H}–{self.end:%H} UTC"


@dataclass(frozen=True)
class Quiet:
    """What there is to say at one moment. `seen_hours`: how many hours of the day are known yet; of fewer than 24 nothing
    else is said. Rates are transactions a second: just now, at which it counts as quiet, and on average when it is.
    `windows`: when it is quiet within the next 24 hours."""

    at: datetime
    seen_hours: int
    rate: float = 0.0
    quiet_below: float = 0.0
    quiet_rate: float = 0.0
    windows: tuple[Window, ...] = ()
    is_idle: bool = False

    @property
    def is_known(self) -> bool:
        return self.seen_hours == HOURS_IN_A_DAY

    @property
    def is_busy(self) -> bool:
        """Whether it has more to do now than when it is quiet."""
        return self.is_known and self.rate > self.quiet_below

    @property
    def words(self) -> str:
        """When it is quiet and how it is now, as the plan says it."""
        if not self.is_known:
            return f"not known yet, {self.seen_hours} of {HOURS_IN_A_DAY} hours of the day were seen so far"
        if self.is_idle:
            return f"always so far, at most {IDLE_RATE:.0f} transaction a second; now {self._now()}"
        if not self.windows:
            return f"no hour of the next {HOURS_IN_A_DAY} is quieter than the others; now {self._now()}"
        when = " and ".join(map(str, self.windows[:WINDOWS_SHOWN]))
        return f"{when}; now {self._now()}"

    def _now(self) -> str:
        return f"busy, {self.compared}" if self.is_busy else "quiet"

    @property
    def compared(self) -> str:
        """How many transactions there are now, beside the quiet hours."""
        now = f"{_rate_text(self.rate)} transactions a second"
        times = self.rate / self.quiet_rate if self.quiet_rate > 0 else 0.0
        return f"{now}, {times:.0f}× its quiet hours" if times >= 2 and self.windows else now


def quiet_at(past: Past, now: datetime) -> Quiet:
    """When a target with this past is quiet, as seen from `now`."""
    days = [_hour_of_day(past, hour) for hour in range(HOURS_IN_A_DAY)]
    seen = sum(1 for one in days if one.seconds >= SEEN_SECONDS)
    if seen < HOURS_IN_A_DAY:
        return Quiet(now, seen)
    rates = [_usual_rate(past, days, hour) for hour in range(HOURS_IN_A_WEEK)]
    average = sum(rates) / len(rates)
    quiet_below = max(IDLE_RATE, average * QUIET_SHARE)
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    is_idle = max(rates) <= IDLE_RATE
    coming = [] if is_idle else [start + timedelta(hours=ahead) for ahead in range(HOURS_IN_A_DAY)]
    quiet = [at for at in coming if rates[hour_of_week(at)] <= quiet_below]
    quiet_rates = [rate for rate in rates if rate <= quiet_below]
    measured = _measured_rate(past, now)
    return Quiet(
        at=now,
        seen_hours=seen,
        rate=rates[hour_of_week(start)] if measured is None else measured,
        quiet_below=quiet_below,
        quiet_rate=sum(quiet_rates) / len(quiet_rates) if quiet_rates else 0.0,
        windows=_windows(quiet),
        is_idle=is_idle,
    )


def with_quiet(ops: Ops, plan: Plan) -> Plan:
    """The plan with what is known of its target's quiet hours, and with a hazard where it is busy now.

    The digest is the same: it is about what, not when.
    """
    if not plan.pending:
        return plan
    quiet = quiet_at(read_past(ops.settings, plan.target), ops.now())
    hazards = [_busy_hazard(plan, quiet)] if quiet.is_busy else []
    return replace(plan, quiet=quiet, hazards=(*plan.hazards, *hazards))


def _busy_hazard(plan: Plan, quiet: Quiet) -> Hazard:
    """A caution where others would have to wait for what the plan does; else it is told, and that is all."""
    waits = any(one.hazard_class in _WAIT_OR_MAKE_WAIT and one.level >= Level.CAUTION for one in plan.hazards)
    when = " and ".join(map(str, quiet.windows[:WINDOWS_SHOWN]))
    otherwise = "It is so seldom." if quiet.is_idle else "It has no quieter hours."
    later = f"It is quiet {when}." if when else otherwise
    return Hazard(
        rule=BUSY_HOUR.id,
        hazard_class=BUSY_HOUR.hazard_class,
        level=BUSY_HOUR.level if waits else Level.INFO,
        version=plan.pending[0].version,
        line=1,
        message=f"{plan.target.name} is busy now, with {quiet.compared}. {later}",
        safe_way=BUSY_HOUR.safe_way,
    )


def _hour_of_day(past: Past, hour: int) -> Hour:
    """An hour of the day on all days together."""
    found = [one for number, one in past.hours.items() if number % HOURS_IN_A_DAY == hour]
    return Hour(sum(one.seconds for one in found), sum(one.transactions for one in found))


def _usual_rate(past: Past, days: Sequence[Hour], hour: int) -> float:
    """Of this hour of the week; before that was seen for long enough, of the same hour on all days."""
    one = past.hours.get(hour, Hour())
    return one.rate if one.seconds >= SEEN_SECONDS else days[hour % HOURS_IN_A_DAY].rate


def _measured_rate(past: Past, now: datetime) -> float | None:
    """Of the last minutes; None where nobody looked."""
    if len(past.ticks) < 2 or not timedelta(0) <= now - past.ticks[-1].at <= STRETCH:
        return None
    return rate_between(past.ticks[-2], past.ticks[-1])


def _windows(hours: Iterable[datetime]) -> tuple[Window, ...]:
    """Hours as the stretches that they make, in order."""
    windows: list[Window] = []
    for start in hours:
        end = start + timedelta(hours=1)
        if windows and windows[-1].end == start:
            windows[-1] = Window(windows[-1].start, end)
        else:
            windows.append(Window(start, end))
    return tuple(windows)


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"

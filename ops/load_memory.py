"""How much a target had to do so far: looks of the last day, and transactions of each hour of the week. Rebuildable."""

import json
import logging
import os
import secrets
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from pathlib import Path

from ops.settings import Settings
from ops.targets import Target

logger = logging.getLogger("countersign.load")

FORMAT = 1
TICK = timedelta(minutes=5)
"""So often a target is looked at for how much it has to do."""

STRETCH = timedelta(minutes=15)
"""Two looks that are further apart say nothing about an hour of the week."""

KEPT = timedelta(hours=24)
HOURS_IN_A_WEEK = 168
FULL_SECONDS = 3 * 3600.0
"""What was seen of one hour of the week counts half from there on, so that old weeks are forgotten by and by."""


@dataclass(frozen=True)
class Tick:
    """What is kept of one look: see `ops.load.Look`, whose queries and limits are left out."""

    at: datetime
    committed: int
    rolled_back: int
    deadlocks: int
    connections: int
    waiting: int
    slow: int
    slow_seconds: float
    lag_seconds: float | None
    lag_bytes: int | None

    @property
    def transactions(self) -> int:
        return self.committed + self.rolled_back


@dataclass(frozen=True)
class Hour:
    """One hour of the week: for how long it was seen, and how many transactions ended meanwhile."""

    seconds: float = 0.0
    transactions: float = 0.0

    @property
    def rate(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds if self.seconds else 0.0

    def seen(self, seconds: float, transactions: float) -> "Hour":
        share = 0.5 if self.seconds > FULL_SECONDS else 1.0
        return Hour(self.seconds * share + seconds, self.transactions * share + transactions)


@dataclass(frozen=True)
class Past:
    """All that is remembered. `ticks` are oldest first; `hours` by hour of the week in UTC, 0 is Monday from 00:00."""

    ticks: tuple[Tick, ...] = ()
    hours: Mapping[int, Hour] = field(default_factory=dict)

    def with_tick(self, tick: Tick) -> "Past":
        """The past with one more look."""
        ticks = (*(one for one in self.ticks if tick.at - KEPT <= one.at < tick.at), tick)
        before = self.ticks[-1] if self.ticks else None
        rate = rate_between(before, tick) if before else None
        if before is None or rate is None:
            return replace(self, ticks=ticks)
        middle = hour_of_week(before.at + (tick.at - before.at) / 2)
        seconds = (tick.at - before.at).total_seconds()
        hour = self.hours.get(middle, Hour()).seen(seconds, rate * seconds)
        return Past(ticks, {**self.hours, middle: hour})


def rate_between(before: Tick, after: Tick) -> float | None:
    """Transactions a second; None where the counters began anew between, or nobody looked for too long."""
    seconds = (after.at - before.at).total_seconds()
    ended = after.transactions - before.transactions
    return ended / seconds if 0 < seconds <= STRETCH.total_seconds() and ended >= 0 else None


def hour_of_week(at: datetime) -> int:
    return at.weekday() * 24 + at.hour


def read_past(settings: Settings, target: Target) -> Past:
    """What is remembered of a target; nothing where the file is not there or cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found = json.loads(_path(settings, target).read_text(encoding="utf-8"))
        if found["format"] == FORMAT:
            ticks = tuple(_tick(one) for one in found["ticks"])
            hours = {int(name): Hour(float(one[0]), float(one[1])) for name, one in found["hours"].items()}
            return Past(ticks, {hour: one for hour, one in hours.items() if 0 <= hour < HOURS_IN_A_WEEK})
    return Past()


def keep_past(settings: Settings, target: Target, past: Past) -> None:
    """Write it down, whole or not at all, for our eyes alone. Raises OSError."""
    path = _path(settings, target)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {
        "format": FORMAT,
        "ticks": [[one.at.isoformat(), *astuple(one)[1:]] for one in past.ticks],
        "hours": {str(hour): [one.seconds, one.transactions] for hour, one in past.hours.items()},
    }
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(kept, file)
    unfinished.rename(path)


def _path(settings: Settings, target: Target) -> Path:
    folder = settings.path(settings.state.path).parent / "watched"
    return folder / f"{target.project}.{target.environment}.load"


def _tick(found: Sequence[object]) -> Tick:
    at, *numbers = found
    if not all(one is None or isinstance(one, int | float) for one in numbers):
        raise ValueError("a look is made of numbers")
    return Tick(datetime.fromisoformat(str(at)), *numbers)  # type: ignore[arg-type]

"""What of a target's health is worth telling: what is otherwise than was told last, twice seen, and not for the fourth time
in an hour. A function of what was told and what was found; it asks nobody and writes nothing."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from typing import Any
from typing import Self

from audit import Event
from ops.health_checked import Checked
from ops.supabase.health import API

HOUR = timedelta(hours=1)

STEADY_LOOKS = 2
"""What is seen in one look only is a hiccup."""

MOST_TOLD = 3
"""A check that was told so often within an hour flaps."""

STEADY_FOR = timedelta(minutes=30)
"""So long a check that flaps must be the same before it is told again."""

UNKNOWN_FOR = timedelta(minutes=10)
"""So long what cannot be asked is waited for: the Management API has its moments."""


@dataclass(frozen=True)
class Told:
    """What people were told of a target's checks: the state of each that does not hold, and how often each was told within
    the last hour."""

    states: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pending:
    """A check that is seen otherwise than it was told: since when, and in how many looks one after the other."""

    state: str
    since: datetime
    looks: int


@dataclass(frozen=True)
class Judged:
    """What is to be told now, as the event has it, all that has been told then and does not hold, and what is seen otherwise
    but not for long enough."""

    changes: tuple[dict[str, Any], ...]
    standing: Mapping[str, str]
    pending: Mapping[str, Pending]


def told_of(last: Event | None, of_the_hour: Sequence[Event]) -> Told:
    """What one target's newest `health_changed` event, and those of the last hour, told. What is not in it holds."""
    states = (last.data or {"standing": {}})["standing"] if last else {}
    changes = (change for event in of_the_hour for change in (event.data or {"changes": []})["changes"])
    return Told(states, Counter(change["name"] for change in changes))


def judge(told: Told, pending: Mapping[str, Pending], found: Sequence[Checked], now: datetime) -> Judged:
    """What of this look is to be told. `pending` is what the look before left."""
    seen = {check.name: check for check in found}
    api_is_silent = any(check.name == API and check.unknown for check in found)
    changes: list[dict[str, Any]] = []
    left: dict[str, Pending] = {}
    for name in [*seen, *(name for name in told.states if name not in seen)]:
        check = seen.get(name)
        state = check.state if check else "unknown" if api_is_silent else "gone"
        was = told.states.get(name, "holds")
        if state == was:
            continue
        before = pending.get(name)
        same = before is not None and before.state == state
        here = Pending(state, before.since, before.looks + 1) if before and same else Pending(state, now, 1)
        times = told.times.get(name, 0)
        if _is_certain(here, times, now):
            change = {"name": name, "was": was, "now": state, "detail": check.detail if check else "no longer checked"}
            changes.append({**change, "flaps": True} if times + 1 >= MOST_TOLD else change)
        else:
            left[name] = here
    standing = {**told.states, **{one["name"]: one["now"] for one in changes}}
    return Judged(
        tuple(changes), {name: state for name, state in standing.items() if state not in {"holds", "gone"}}, left
    )


def _is_certain(seen: Pending, times: int, now: datetime) -> bool:
    steady = now - seen.since
    if times >= MOST_TOLD and steady < STEADY_FOR:
        return False
    if seen.state == "unknown":
        return steady >= UNKNOWN_FOR
    return seen.looks >= STEADY_LOOKS


@dataclass(frozen=True)
class Changed:
    """What a `health_changed` event says; nothing where it was erased."""

    changes: Sequence[dict[str, Any]]
    standing: Mapping[str, str]

    @classmethod
    def of(cls, event: Event) -> Self:
        data = event.data or {"changes": [], "standing": {}}
        return cls(data["changes"], data["standing"])

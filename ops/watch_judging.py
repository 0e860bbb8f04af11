"""Whether a target is worse off than before: what was usual, what was seen since, and a pure function of the two.

The thresholds stand here, each with its reason; docs/watch.md lists them. What is judged must be there in two samples one
after the other, so that one hiccup is no alarm; what was seen before only in the worst hundredth of the looks counts as
unusual then, too.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from itertools import pairwise
from typing import Any

from ops.amounts import bytes_text
from ops.load_memory import Tick

IN_A_ROW = 2
"""So many samples one after the other must show it."""

ERRORS_LEAST = 10
"""So many more transactions must fail within a sample: two or three are somebody's typing."""
SHARE_MORE = 0.01
SHARE_MORE_MOST = 0.25
"""The share of failed transactions must double, and grow by one in a hundred at least. Some programs roll back as a matter
of course; where half of all transactions are, a quarter more is enough."""
COUNTED_SECONDS = 2.0
"""Sessions report what they did once a second: over less time, the counters jump."""
TRANSACTIONS_LEAST = 100
"""Fewer transactions give no share of failed ones to compare with."""

DEADLOCKS_LEAST = 2
DEADLOCKS_TIMES = 3.0

SLOW_MORE = 0.5
"""On average over the looks of a sample: half a slow query more than before at its most, so there in every second look."""
WAITING_MORE = 1.0
"""The same of sessions that wait for locks: one more all the time, or ten in every tenth look."""

STATEMENT_TIMES = 5.0
STATEMENT_MILLISECONDS = 200.0
"""A known query must take five times as long as on average so far, and long enough to be felt."""
NEW_STATEMENT_MILLISECONDS = 1000.0
STATEMENT_CALLS = 3

CONNECTIONS_TIMES = 2.0
CONNECTIONS_MORE = 10
"""Twice as many as before at their most, and ten more: a pool that grows by two is no news."""
TAKEN_SHARE = 0.9
TAKEN_SHARE_BEFORE = 0.8
"""Or nearly all that the server has, where it was not so before."""

LAG_TIMES = 3.0
LAG_SECONDS = 10.0
LAG_BYTES = 64 * 2**20

WORST_HUNDREDTH = 100


@dataclass(frozen=True)
class SlowStatement:
    """A query that took long on average within a sample; `before_ms` None: not known from before."""

    id: str
    calls: int
    mean_ms: float
    before_ms: float | None
    query: str


@dataclass(frozen=True)
class Sample:
    """What the looks of some seconds saw together. Averages over the looks, unless they are `most`; `failed` says why
    nobody could look. `own_rollbacks`: of our own health checks, which come behind the looks. `health`: what each check
    that does not hold says. `unseen` names what our role may not see. The counters are as the server has them."""

    at: datetime
    looks: int = 0
    failed: str = ""
    committed: int = 0
    rolled_back: int = 0
    own_rollbacks: int = 0
    deadlocks: int = 0
    connections: float = 0.0
    taken: int = 0
    limit: int = 0
    waiting: float = 0.0
    waiting_most: int = 0
    waiting_seconds: float = 0.0
    waiting_query: str = ""
    slow: float = 0.0
    slow_most: int = 0
    slow_seconds: float = 0.0
    slow_query: str = ""
    lag_seconds: float | None = None
    lag_bytes: int | None = None
    statements: tuple[SlowStatement, ...] = ()
    health: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat(), "health": dict(self.health)}


def sample_from_json(found: Mapping[str, Any]) -> Sample:
    """What `Sample.to_json` gave."""
    statements = tuple(SlowStatement(**one) for one in found["statements"])
    at, unseen = datetime.fromisoformat(found["at"]), tuple(found.get("unseen", ()))
    return Sample(**{**found, "at": at, "statements": statements, "unseen": unseen})


@dataclass(frozen=True)
class Usual:
    """How the target was before: at its most over the last day's looks, but for the worst hundredth of them.

    `failed_share`: of transactions; `deadlocks_per_hour` since the server counts them; `milliseconds`: how long queries
    take on average, by id; `held`: the health checks that held.
    """

    looks: int = 0
    failed_share: float = 0.0
    deadlocks_per_hour: float = 0.0
    connections: int = 0
    taken: int = 0
    waiting: int = 0
    slow: int = 0
    slow_seconds: float = 0.0
    lag_seconds: float = 0.0
    lag_bytes: int = 0
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    held: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Without `held`, which the run's preflight has told."""
        found = {**asdict(self), "milliseconds": dict(self.milliseconds)}
        del found["held"]
        return found


def usual_from_json(found: Mapping[str, Any], held: Sequence[str]) -> Usual:
    """What `Usual.to_json` gave, and the health checks that held."""
    return Usual(**found, held=tuple(held))


def usual_of(
    ticks: Sequence[Tick], *, counted_since: datetime | None, taken: int, milliseconds: Mapping[str, float]
) -> Usual:
    """What was usual by these looks, oldest first, the last one of which is of just now."""
    last = ticks[-1]
    hours = (last.at - counted_since).total_seconds() / 3600 if counted_since else 0.0
    shares = (_share(one, last) for one in reversed(ticks[:-1]))
    recent = next((share for share in shares if share is not None), 0.0)
    ended = last.transactions
    return Usual(
        looks=len(ticks),
        failed_share=max(recent, last.rolled_back / ended if ended >= TRANSACTIONS_LEAST else 0.0),
        deadlocks_per_hour=last.deadlocks / hours if hours >= 1 else 0.0,
        connections=int(_most([one.connections for one in ticks])),
        taken=taken,
        waiting=int(_most([one.waiting for one in ticks])),
        slow=int(_most([one.slow for one in ticks])),
        slow_seconds=_most([one.slow_seconds for one in ticks]),
        lag_seconds=_most([one.lag_seconds for one in ticks if one.lag_seconds is not None] or [0.0]),
        lag_bytes=int(_most([one.lag_bytes for one in ticks if one.lag_bytes is not None] or [0])),
        milliseconds=milliseconds,
    )


def usual_of_first(samples: Sequence[Sample]) -> Usual:
    """Where nobody could look before the run: what the first sample behind it says, so that only what grows is worse."""
    first = next((one for one in samples if not one.failed), None)
    if first is None:
        return Usual()
    ended = first.committed + first.rolled_back
    return Usual(
        failed_share=first.rolled_back / ended if ended >= TRANSACTIONS_LEAST else 0.0,
        connections=round(first.connections),
        taken=first.taken,
        waiting=first.waiting_most,
        slow=first.slow_most,
        slow_seconds=first.slow_seconds,
        lag_seconds=first.lag_seconds or 0.0,
        lag_bytes=first.lag_bytes or 0,
    )


def _most(seen: Sequence[float]) -> float:
    """The highest, without the worst hundredth."""
    return sorted(seen)[-1 - len(seen) // WORST_HUNDREDTH]


def _share(before: Tick, after: Tick) -> float | None:
    """Of the transactions between, those that failed; None where they are too few, or were counted anew."""
    ended, failed = after.transactions - before.transactions, after.rolled_back - before.rolled_back
    return failed / ended if ended >= TRANSACTIONS_LEAST and 0 <= failed <= ended else None


@dataclass(frozen=True)
class Worse:
    """One thing that is worse than before, in words: `now` at its worst, and `before`. `is_over`: no longer so at the end."""

    what: str
    now: str
    before: str
    query: str = ""
    is_over: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Sign:
    """The same of one sample. `badness` orders signs of one kind."""

    kind: str
    badness: float
    now: str
    before: str
    query: str = ""


def judge(before: Usual, began: datetime, samples: Sequence[Sample]) -> tuple[Worse, ...]:
    """What is worse since `began` than it was before, what was seen first before the others; empty: nothing is."""
    seen = [list(_signs(before, samples[:number], sample)) for number, sample in enumerate(samples)]
    kinds = dict.fromkeys(sign.kind for signs in seen for sign in signs)
    found = [worse for kind in kinds if (worse := _confirmed(kind, seen))]
    return (*found, *_deadlocks(before, began, samples))


def _confirmed(kind: str, seen: Sequence[Sequence[_Sign]]) -> Worse | None:
    """What is there in several samples one after the other, at its worst in these."""
    by_sample = [next((sign for sign in signs if sign.kind == kind), None) for signs in seen]
    worst: _Sign | None = None
    row: list[_Sign] = []
    for sign in by_sample:
        row = [*row, sign] if sign is not None else []
        if len(row) >= IN_A_ROW:
            worst = max([*row, *([worst] if worst else [])], key=lambda one: one.badness)
    if worst is None:
        return None
    is_over = all(sign is None for sign in by_sample[-IN_A_ROW:])
    return Worse(kind.partition(":")[0], worst.now, worst.before, worst.query, is_over)


def _signs(usual: Usual, earlier: Sequence[Sample], sample: Sample) -> Iterator[_Sign]:
    """What is unusual in one sample; `earlier` are those before it."""
    if sample.failed:
        yield _Sign("connection", 1.0, f"the target could not be looked at: {sample.failed}", "it could")
        return
    for look in _LOOKS:
        if (sign := look(usual, sample)) is not None:
            yield sign
    if (sign := _errors(usual, earlier, sample)) is not None:
        yield sign
    yield from _slow_statements(sample)
    for name, detail in sample.health.items():
        if name in usual.held:
            yield _Sign(f"health check:{name}", 1.0, f"{name}: {detail}", "it held")


def _errors(usual: Usual, earlier: Sequence[Sample], sample: Sample) -> _Sign | None:
    own = 0
    for previous in reversed(earlier):
        own += previous.own_rollbacks
        if not previous.failed and (sample.at - previous.at).total_seconds() >= COUNTED_SECONDS:
            break
    else:
        return None
    failed = sample.rolled_back - previous.rolled_back - own
    ended = failed + sample.committed - previous.committed
    if failed < ERRORS_LEAST or ended < failed:  # the second: the counters began anew
        return None
    share, before = failed / ended, usual.failed_share
    if share < before + max(SHARE_MORE, min(before, SHARE_MORE_MOST)):
        return None
    seconds = (sample.at - previous.at).total_seconds()
    now = f"{_percent(share)} of transactions rolled back, {failed:,} in {seconds:.0f} s"
    return _Sign("errors", share, now, _percent(before))


def _slow(usual: Usual, sample: Sample) -> _Sign | None:
    if sample.slow < usual.slow + SLOW_MORE:
        return None
    now = f"{_counted(sample.slow_most, 'query', 'queries')} at a time for up to {sample.slow_seconds:.0f} s"
    before = f"at most {usual.slow}, for up to {usual.slow_seconds:.0f} s" if usual.slow else "none over 2 s"
    return _Sign("slow queries", sample.slow, now, before, sample.slow_query)


def _waiting(usual: Usual, sample: Sample) -> _Sign | None:
    if sample.waiting < usual.waiting + WAITING_MORE:
        return None
    waited = f"for up to {sample.waiting_seconds:.0f} s"
    now = f"{_counted(sample.waiting_most, 'session waits', 'sessions wait')} at a time, {waited}"
    before = f"at most {usual.waiting}" if usual.waiting else "none"
    return _Sign("locks", sample.waiting, now, before, sample.waiting_query)


def _connections(usual: Usual, sample: Sample) -> _Sign | None:
    share_before = usual.taken / sample.limit if sample.limit else 1.0
    if sample.taken >= sample.limit * TAKEN_SHARE and share_before < TAKEN_SHARE_BEFORE:
        now = f"{sample.taken} of the server's {sample.limit} are taken"
        return _Sign("connections", sample.taken, now, str(usual.taken))
    if sample.connections < max(usual.connections * CONNECTIONS_TIMES, usual.connections + CONNECTIONS_MORE):
        return None
    return _Sign("connections", sample.connections, f"{sample.connections:.0f}", f"at most {usual.connections}")


def _lag(usual: Usual, sample: Sample) -> _Sign | None:
    seconds, behind = sample.lag_seconds, sample.lag_bytes
    if seconds is not None and seconds >= max(LAG_SECONDS, LAG_TIMES * usual.lag_seconds):
        return _Sign("replication lag", seconds, f"{seconds:.0f} s", f"at most {usual.lag_seconds:.1f} s")
    if behind is not None and behind >= max(LAG_BYTES, LAG_TIMES * usual.lag_bytes):
        return _Sign("replication lag", behind, bytes_text(behind), f"at most {bytes_text(usual.lag_bytes)}")
    return None


_LOOKS: tuple[Callable[[Usual, Sample], _Sign | None], ...] = (_waiting, _slow, _connections, _lag)


def _slow_statements(sample: Sample) -> Iterator[_Sign]:
    """The query that is slowest compared with before."""
    found = [one for one in sample.statements if _is_slower(one)]
    if found:
        one = max(found, key=lambda each: each.mean_ms / (each.before_ms or NEW_STATEMENT_MILLISECONDS))
        now = f"{_milliseconds(one.mean_ms)} on average, {_counted(one.calls, 'time', 'times')}"
        before = _milliseconds(one.before_ms) if one.before_ms is not None else "not known"
        yield _Sign("slower query", one.mean_ms, now, before, one.query)


def _is_slower(one: SlowStatement) -> bool:
    if one.calls < STATEMENT_CALLS:
        return False
    if one.before_ms is None:
        return one.mean_ms >= NEW_STATEMENT_MILLISECONDS
    return one.mean_ms >= max(STATEMENT_MILLISECONDS, STATEMENT_TIMES * one.before_ms)


def _deadlocks(usual: Usual, began: datetime, samples: Sequence[Sample]) -> Iterator[Worse]:
    """They are counted over the whole time, for they are over as soon as they are there."""
    known = [one for one in samples if not one.failed]
    if len(known) < 2:
        return
    found = known[-1].deadlocks - known[0].deadlocks
    hours = (known[-1].at - began).total_seconds() / 3600
    if found >= DEADLOCKS_LEAST and found > DEADLOCKS_TIMES * usual.deadlocks_per_hour * hours:
        before = f"{usual.deadlocks_per_hour:.1f} an hour" if usual.deadlocks_per_hour >= 0.1 else "hardly ever one"
        yield Worse("deadlocks", str(found), before)


def watched_seconds(began: datetime, samples: Sequence[Sample], interval_seconds: float) -> float:
    """For how long somebody looked, without the gaps in which nobody did."""
    moments = [began, *(one.at for one in samples)]
    gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
    return sum(gap if gap <= GAP_TIMES * interval_seconds + GAP_SECONDS else 0.0 for gap in gaps)


GAP_TIMES = 3.0
GAP_SECONDS = 30.0
"""What lies further apart was not watched in between; a health check may take its time."""


def _percent(share: float) -> str:
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def _milliseconds(found: float) -> str:
    return f"{found / 1000:,.1f} s" if found >= 1000 else f"{found:,.0f} ms" if found >= 10 else f"{found:.1f} ms"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"

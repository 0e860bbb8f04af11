"""Watching a target behind a run: how it was before, what the looks of some minutes see, what is worse, in the log.

The run is over and its target free meanwhile: whatever is seen here changes nothing of how the run ended. A watch whose
process died goes on from what the log has, for the rest of its time.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta

import psycopg

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import OpsError
from ops.health import baseline_of
from ops.health import check_health
from ops.health import rollbacks_of
from ops.layer import Ops
from ops.load import Look
from ops.load import Ran
from ops.load import Statements
from ops.load import given_up_after
from ops.load import look_at_load
from ops.load import usual_milliseconds
from ops.load_memory import Tick
from ops.load_memory import keep_past
from ops.load_memory import read_past
from ops.occupying import occupant_of
from ops.people import Actor
from ops.requests import Request
from ops.requests import find_request
from ops.steps import Recorder
from ops.targets import Target
from ops.watch_judging import STATEMENT_CALLS
from ops.watch_judging import STATEMENT_MILLISECONDS
from ops.watch_judging import Sample
from ops.watch_judging import SlowStatement
from ops.watch_judging import Usual
from ops.watch_judging import judge
from ops.watch_judging import sample_from_json
from ops.watch_judging import usual_from_json
from ops.watch_judging import usual_of
from ops.watch_judging import usual_of_first
from ops.watch_judging import watched_seconds

logger = logging.getLogger("countersign.watch")

WATCH = Actor("system:watch")

INTERVAL_SECONDS = 20.0
SAMPLES_LEAST, SAMPLES_MOST = 20, 120
"""A sample takes 20 s, unless the whole time is so short, or so long, that it would give too few or too many."""

LOOK_SECONDS = 1.0
LOOKS_LEAST = 5
CONNECT_SECONDS = 5
STATEMENTS_TOLD = 5
DETAIL_LETTERS = 200
UNFINISHED_FOR = timedelta(days=30)
ENOUGH_SHARE = 0.95
"""Of the time: so much of it is all of it, for the last sample ends when it ends."""


def remember_load(ops: Ops, target: Target) -> None:
    """One look at how much a target has to do, remembered for what comes. A target that a run holds is left alone.

    Raises OpsError when it cannot be looked at, OSError when it cannot be remembered.
    """
    if occupant_of(ops.view, target.stream) is not None:
        return
    with closing(_session(target)) as connection:
        try:
            with given_up_after(connection):
                look = look_at_load(connection)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    keep_past(ops.settings, target, read_past(ops.settings, target).with_tick(_tick(look, ops.now())))


def note_load(recorder: Recorder, target: Target, connection: Connection) -> None:
    """Write down how the target is before the first statement, once for each run, where it is to be watched behind it.

    A target that does not say so is no reason against a run.
    """
    ops = recorder.ops
    if target.settings.watch_for is None or _last(ops.view.events(stream=recorder.request.stream), "load_noted"):
        return
    try:
        look = look_at_load(connection)
        milliseconds = usual_milliseconds(Statements(connection).counted())
    except psycopg.Error as error:
        logger.warning("load_not_noted request=%s sqlstate=%s", recorder.request.id, error.sqlstate)
        return
    ticks = read_past(ops.settings, target).with_tick(_tick(look, ops.now())).ticks
    usual = usual_of(ticks, counted_since=look.counted_since, taken=look.taken, milliseconds=milliseconds)
    recorder.record("load_noted", {"usual": usual.to_json(), "unseen": list(look.unseen)})


def begin_watch(recorder: Recorder, target: Target) -> None:
    """Write down that the target is watched from here on, behind the last statement; nothing where it is not to be."""
    lasts = target.settings.watch_for
    if lasts is None:
        return
    seconds = lasts.total_seconds()
    interval = max(seconds / SAMPLES_MOST, min(INTERVAL_SECONDS, seconds / SAMPLES_LEAST))
    until = recorder.ops.now() + lasts
    noted = _last(recorder.ops.view.events(stream=recorder.request.stream), "load_noted")
    unseen = _unseen(noted)
    data = {"seconds": seconds, "interval_seconds": round(interval, 3), "until": until.isoformat(), "unseen": unseen}
    recorder.record("watch_began", data)


def unfinished_watches(view: View, now: datetime) -> list[str]:
    """The requests whose watch began and is not over, oldest first."""
    query = Query(kinds=("watch_began",), since=now - UNFINISHED_FOR)
    began = {event.request: event.seq for event in view.find(query) if event.request}
    over = {event.request: event.seq for event in view.find(replace(query, kinds=("watched",)))}
    return [request for request, seq in began.items() if over.get(request, 0) < seq]


@dataclass(frozen=True)
class _Begun:
    """A watch as the log tells of it."""

    request: Request
    event: Event
    seconds: float
    interval_seconds: float
    until: datetime
    usual: Usual | None
    samples: tuple[Sample, ...]
    told: frozenset[str]


def follow(ops: Ops, number: str, over: threading.Event) -> None:
    """Watch behind a run until its time is up, another run begins on the target, or this process ends (`over`).

    Returns without a word in the log when this process ends, or the run is not over yet. Raises OpsError and AuditError
    as the log does.
    """
    begun = _begun(ops.view, number)
    if begun is None or not begun.request.is_over:
        return
    try:
        target = ops.target_of(begun.request)
    except OpsError:
        _conclude(ops, begun, "it is no longer in the configuration")
        return
    with closing(_Looker(target, begun)) as looker:
        seconds = 0.0  # the first sample is one look, so that what happens from here on is counted
        while (because := _why_over(ops, begun)) is None:
            sample = looker.sample(ops, seconds, over)
            if sample is None:
                return
            begun = _record(ops, begun, sample)
            left = (begun.until - ops.now()).total_seconds()
            seconds = min(begun.interval_seconds, max(0.0, left))
    _conclude(ops, begun, because)


def _begun(view: View, number: str) -> _Begun | None:
    """The watch of a request that is not over; None where there is none."""
    request = find_request(view, number)
    events = view.events(stream=request.stream)
    began = _last(events, "watch_began")
    if began is None or began.data is None:
        return None
    since = [event for event in events if event.seq > began.seq and event.data]
    if _last(since, "watched"):
        return None
    noted = _last(events, "load_noted")
    held = [check.name for check in baseline_of(events) if check.ok]
    worsened = _last(since, "watch_worsened")
    return _Begun(
        request=request,
        event=began,
        seconds=began.data["seconds"],
        interval_seconds=began.data["interval_seconds"],
        until=datetime.fromisoformat(began.data["until"]),
        usual=usual_from_json(noted.data["usual"], held) if noted and noted.data else None,
        samples=tuple(
            sample_from_json(one.data["sample"]) for one in since if one.kind == "watch_sampled" and one.data
        ),
        told=frozenset(one["what"] for one in (worsened.data or {}).get("worse", ())) if worsened else frozenset(),
    )


def _last(events: Sequence[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event.kind == kind), None)


def _unseen(event: Event | None) -> list[str]:
    """What our role could not see when the event was written; logs of before do not tell."""
    return list((event.data or {}).get("unseen", ())) if event is not None else []


def _why_over(ops: Ops, begun: _Begun) -> str | None:
    """Why the watch ends now, empty where its time is up; None: it does not."""
    mine = begun.request
    query = Query(
        project=mine.project, environment=mine.environment, kinds=("started",), after_seq=begun.event.seq, limit=10
    )
    target = f"target:{mine.target}"
    other = next((one for one in ops.view.find(query) if one.stream == target and one.request != mine.id), None)
    if other is not None:
        return f"{other.request} began there"
    return "" if ops.now() >= begun.until else None


def _record(ops: Ops, begun: _Begun, sample: Sample) -> _Begun:
    """Write the sample down, and what is worse now as soon as it is certain."""
    samples = (*begun.samples, sample)
    usual = begun.usual or usual_of_first(samples)
    worse = judge(usual, begun.event.at, samples)
    drafts = [ops.draft("watch_sampled", WATCH, begun.request, {"sample": sample.to_json()})]
    what = frozenset(one.what for one in worse)
    if what - begun.told:
        told = {"worse": [one.to_json() for one in worse]}
        drafts.append(ops.draft("watch_worsened", WATCH, begun.request, told))
    ops.log.append(drafts)
    return replace(begun, samples=samples, told=begun.told | what)


def _conclude(ops: Ops, begun: _Begun, because: str) -> None:
    """Write down how it ended."""
    usual = begun.usual or usual_of_first(begun.samples)
    worse = judge(usual, begun.event.at, begun.samples)
    watched = min(begun.seconds, watched_seconds(begun.event.at, begun.samples, begun.interval_seconds))
    is_whole = watched >= begun.seconds - max(begun.interval_seconds, begun.seconds * (1 - ENOUGH_SHARE))
    data = {
        "outcome": "worse" if worse else "nothing_worse" if is_whole else "cut_short",
        "seconds": begun.seconds,
        "watched_seconds": begun.seconds if is_whole else round(watched, 1),
        "because": "" if is_whole else because or "the bot was not up",
        "worse": [one.to_json() for one in worse],
        "unseen": sorted({one for sample in begun.samples for one in sample.unseen} | set(_unseen(begun.event))),
    }

    def decide(view: View) -> list[Draft]:
        is_over = _begun(view, begun.request.id) is None
        return [] if is_over else [ops.draft("watched", WATCH, begun.request, data)]

    ops.log.transact(decide)


class _Looker:
    """Looks at a target again and again in one session, opened anew when it is lost."""

    def __init__(self, target: Target, begun: _Begun) -> None:
        self._target = target
        self._begun = begun
        self._connection: Connection | None = None
        self._statements: Statements | None = None
        self._counted: dict[int, Ran] = {}
        self._pause = min(LOOK_SECONDS, begun.interval_seconds / LOOKS_LEAST)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._statements = None
        self._counted = {}

    def sample(self, ops: Ops, seconds: float, over: threading.Event) -> Sample | None:
        """What the looks of so many seconds see, at least one; None when the process ends meanwhile.

        A sample that could not look for most of its time has failed.
        """
        looks: list[Look] = []
        failed, seen_seconds, blind_seconds = "", 0.0, 0.0
        end = time.monotonic() + seconds
        is_last = False
        while not is_last:
            began = time.monotonic()
            look = self._look()
            is_last = (left := end - time.monotonic()) <= 0
            if not is_last and over.wait(min(self._pause, left)):
                return None
            if isinstance(look, Look):
                looks.append(look)
                seen_seconds += time.monotonic() - began
            else:
                failed = look.message
                blind_seconds += time.monotonic() - began
        if blind_seconds > seen_seconds:
            return Sample(at=ops.now(), failed=failed[:DETAIL_LETTERS])
        found = _together(looks, ops.now())
        checked = check_health(self._target)
        return replace(
            found,
            statements=self._slow_statements(),
            health={one.name: one.detail[:DETAIL_LETTERS] for one in checked if one.state == "fails"},
            own_rollbacks=rollbacks_of(self._target.settings),
        )

    def _look(self) -> Look | OpsError:
        """One look, or why the target could not be looked at."""
        try:
            if self._connection is None:
                self._connection = _session(self._target)
            with given_up_after(self._connection):
                if self._statements is None:
                    self._statements = Statements(self._connection)
                    self._counted = self._statements.counted()
                return look_at_load(self._connection)
        except OpsError as error:
            found = error
        except psycopg.Error as error:
            found = target_failed(self._target.name, error)
        self.close()
        return found

    def _slow_statements(self) -> tuple[SlowStatement, ...]:
        """The queries that took long on average since the last sample, those that took most together first."""
        if self._connection is None or self._statements is None:
            return ()
        try:
            with given_up_after(self._connection):
                before, self._counted = self._counted, self._statements.counted()
                since = [(id, _since(before.get(id), ran)) for id, ran in self._counted.items()]
                slow = [(id, ran) for id, ran in since if _is_slow(ran)]
                slow.sort(key=lambda each: each[1].milliseconds, reverse=True)
                return tuple(self._told(id, ran) for id, ran in slow[:STATEMENTS_TOLD])
        except psycopg.Error:
            self.close()
            return ()

    def _told(self, id: int, ran: Ran) -> SlowStatement:
        usual = self._begun.usual.milliseconds.get(str(id)) if self._begun.usual else None
        query = self._statements.query(id) if self._statements else ""
        return SlowStatement(str(id), ran.calls, round(ran.milliseconds / ran.calls, 1), usual, query)


def _since(before: Ran | None, now: Ran) -> Ran:
    """What came on top; all of it where the server began to count anew."""
    if before is None or before.calls > now.calls:
        return now
    return Ran(now.calls - before.calls, now.milliseconds - before.milliseconds)


def _is_slow(ran: Ran) -> bool:
    return ran.calls >= STATEMENT_CALLS and ran.milliseconds / ran.calls >= STATEMENT_MILLISECONDS


def _session(target: Target) -> Connection:
    return connect(target.database_url(), purpose=f"watch {target.name}", connect_timeout_seconds=CONNECT_SECONDS)


def _tick(look: Look, at: datetime) -> Tick:
    return Tick(
        at=at,
        committed=look.committed,
        rolled_back=look.rolled_back,
        deadlocks=look.deadlocks,
        connections=look.connections,
        waiting=look.waiting,
        slow=look.slow,
        slow_seconds=look.slow_seconds,
        lag_seconds=look.lag_seconds,
        lag_bytes=look.lag_bytes,
    )


def _together(looks: Sequence[Look], at: datetime) -> Sample:
    """Looks at one sample: the counters of the last, averages, and the worst."""
    last, count = looks[-1], len(looks)
    longest_wait = max(looks, key=lambda look: look.waiting_seconds)
    slowest = max(looks, key=lambda look: look.slow_seconds)
    return Sample(
        at=at,
        looks=count,
        committed=last.committed,
        rolled_back=last.rolled_back,
        deadlocks=last.deadlocks,
        connections=round(sum(look.connections for look in looks) / count, 2),
        taken=max(look.taken for look in looks),
        limit=last.limit,
        waiting=round(sum(look.waiting for look in looks) / count, 2),
        waiting_most=max(look.waiting for look in looks),
        waiting_seconds=longest_wait.waiting_seconds,
        waiting_query=longest_wait.waiting_query,
        slow=round(sum(look.slow for look in looks) / count, 2),
        slow_most=max(look.slow for look in looks),
        slow_seconds=slowest.slow_seconds,
        slow_query=slowest.slow_query,
        lag_seconds=max((look.lag_seconds for look in looks if look.lag_seconds is not None), default=None),
        lag_bytes=max((look.lag_bytes for look in looks if look.lag_bytes is not None), default=None),
        unseen=last.unseen,
    )

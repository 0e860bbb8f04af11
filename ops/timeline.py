"""When a run did what: its steps, files, statements and waits for locks, as the log tells it. Reads only."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from typing import Any
from typing import Literal

from audit import Event
from ops.blockers import Blocker
from ops.errors import Reason

_BEHIND = frozenset({"watch_began", "watch_sampled", "watch_worsened", "watched"})
"""The kinds of events of a watch, which goes on when the run is over."""

FILES_SHOWN = 14
STATEMENTS_SHOWN = 6
STATEMENTS_SECONDS = 0.05
"""Statements that took less together say nothing more than their file."""

Kind = Literal["step", "file", "statement", "wait", "gap"]


@dataclass(frozen=True)
class Bar:
    """One thing that took time: it began `start_seconds` after the run did. `outcome` is a word such as done or failed."""

    label: str
    kind: Kind
    start_seconds: float
    seconds: float
    outcome: str
    detail: str = ""

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.seconds


@dataclass(frozen=True)
class Timeline:
    """The bars in the order in which they are read: a step, then its files, each with its waits and statements."""

    began: datetime
    seconds: float
    bars: tuple[Bar, ...]

    @property
    def waited_seconds(self) -> float:
        """How long locks of others were waited for."""
        return sum(bar.seconds for bar in self.bars if bar.kind == "wait")


def timeline_of(events: Sequence[Event]) -> Timeline | None:
    """The timeline of a request's events in the order of their places; None when it never ran.

    What is not over counts until the last event; what a dead runner had begun, until its last one. Of many files the
    longest are there, the rest are one bar; so with the statements of a file.
    """
    began = next((event.at for event in events if event.kind == "started"), None)
    if began is None:
        return None
    fold = _Fold(began)
    for event in events:
        fold.take(event)
    return fold.timeline()


@dataclass
class _File:
    """What is known of one file; times in seconds after the start of the run."""

    name: str
    start: float
    sent: float
    end: float
    outcome: str = "running"
    waits: list[Bar] = field(default_factory=list)
    statements: list[Bar] = field(default_factory=list)

    def bars(self) -> Iterator[Bar]:
        yield Bar(self.name, "file", self.start, self.end - self.start, self.outcome)
        yield from self.waits
        if sum(one.seconds for one in self.statements) >= STATEMENTS_SECONDS:
            yield from _longest(self.statements, STATEMENTS_SHOWN, "statement")


@dataclass
class _Step:
    """One step of one attempt, and the files that were applied in it."""

    bar: Bar
    files: dict[str, _File] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.bar.outcome == "running"

    def end(self, outcome: str, seconds: float) -> None:
        self.bar = replace(self.bar, outcome=outcome, seconds=max(0.0, seconds))

    def bars(self) -> Iterator[Bar]:
        yield self.bar
        shown = sorted(self.files.values(), key=lambda one: one.end - one.start, reverse=True)[:FILES_SHOWN]
        for file in self.files.values():
            if file in shown:
                yield from file.bars()
        rest = [next(one.bars()) for one in self.files.values() if one not in shown]
        if rest:
            yield _together(rest, "file")


class _Fold:
    def __init__(self, began: datetime) -> None:
        self._began = began
        self._now = 0.0
        self._steps: list[_Step] = []
        self._names: Mapping[str, str] = {}

    def take(self, event: Event) -> None:
        if event.kind in _BEHIND:
            return
        data: Mapping[str, Any] = event.data or {}
        before, self._now = self._now, max(self._now, (event.at - self._began).total_seconds())
        match event.kind:
            case "requested":
                self._names = {one["version"]: one["filename"] for one in data["plan"]["files"]}
            case "resumed":
                self._break_off(before)
            case "step_started":
                again = f", attempt {data['attempt']}" if data["attempt"] > 1 else ""
                self._steps.append(_Step(Bar(data["step"] + again, "step", self._now, 0.0, "running")))
            case "step_finished" | "step_failed" if self._open_step() is not None:
                failed = "stopped" if data.get("reason") == Reason.STOPPED else "failed"
                self._steps[-1].end("done" if event.kind == "step_finished" else failed, float(data["seconds"]))
            case "statement_sent":
                self._sent(str(data["version"]))
            case "statement_finished":
                self._finished(data)
            case "lock_waited":
                self._waited(data)
            case "migration_applied" | "migration_undone" | "history_repaired" | "script_run" if (
                file := self._file(data)
            ) is not None:
                file.end, file.outcome = self._now, "done"
            case "succeeded" | "failed" | "partially_applied" | "interrupted" if self._open_step() is not None:
                self._steps[-1].end("broken off", self._now - self._steps[-1].bar.start_seconds)
            case _:
                pass

    def timeline(self) -> Timeline:
        if (step := self._open_step()) is not None:
            step.bar = replace(step.bar, seconds=self._now - step.bar.start_seconds)
        return Timeline(self._began, self._now, tuple(bar for step in self._steps for bar in step.bars()))

    def _open_step(self) -> _Step | None:
        return self._steps[-1] if self._steps and self._steps[-1].is_open else None

    def _file(self, data: Mapping[str, Any]) -> _File | None:
        """The file of the attempt that runs; what is found out of an earlier attempt's file later is not its time."""
        step = self._open_step()
        return step.files.get(str(data["version"])) if step else None

    def _break_off(self, at: float) -> None:
        """The runner died at some time after its last word: what it had begun counts until then, and then nobody ran."""
        step = self._open_step()
        if step is not None:
            for file in step.files.values():
                if file.outcome in {"running", "waiting"}:
                    file.end, file.outcome = at, "broken off"
            step.end("broken off", at - step.bar.start_seconds)
        self._steps.append(_Step(Bar("nobody ran it", "gap", at, self._now - at, "taken up again")))

    def _sent(self, version: str) -> None:
        step = self._open_step()
        if step is None:
            return
        name = self._names.get(version, version)
        file = step.files.setdefault(version, _File(name, self._now, self._now, self._now))
        if file.waits and file.outcome == "waiting":
            wait = file.waits[-1]
            file.waits[-1] = replace(wait, seconds=self._now - wait.start_seconds)
        file.sent, file.end, file.outcome = self._now, self._now, "running"

    def _finished(self, data: Mapping[str, Any]) -> None:
        file = self._file(data)
        if file is None:
            return
        self._begin_behind(file)
        file.end = self._now
        file.outcome = str(data["outcome"]).replace("_", " ")
        start = file.sent
        measured = data.get("each_seconds") or ([data["seconds"]] if len(data["statements"]) == 1 else ())
        for index, seconds in zip(data["statements"], measured, strict=False):
            file.statements.append(Bar(f"statement {index + 1}", "statement", start, seconds, file.outcome))
            start += seconds

    def _begin_behind(self, file: _File) -> None:
        """Files that share a session are sent together, and run one after the other: each begins when the one before ends."""
        others = (one for one in self._steps[-1].files.values() if one is not file and one.outcome == "done")
        before = max((one.end for one in others), default=0.0)
        file.start = file.start if file.waits or file.statements else max(file.start, before)
        file.sent = max(file.sent, before)

    def _waited(self, data: Mapping[str, Any]) -> None:
        file = self._file(data)
        if file is None:
            return
        self._begin_behind(file)
        who = "; ".join(str(Blocker(**one)) for one in data["blockers"]) or "nobody that could be seen"
        joins = bool(file.waits) and abs(file.waits[-1].end_seconds - file.sent) < 0.001
        start = file.waits.pop().start_seconds if joins else file.sent
        file.waits.append(Bar("waited for a lock", "wait", start, self._now - start, "waited", who))
        file.statements = [bar for bar in file.statements if bar.start_seconds < file.sent]  # rolled back, tried again
        file.outcome = "waiting"


def _longest(bars: Sequence[Bar], count: int, what: str) -> Iterator[Bar]:
    """So many of the bars, the longest, in their order; the others as one. A single one says nothing more than its file."""
    if len(bars) < 2:
        return
    shown = sorted(bars, key=lambda bar: bar.seconds, reverse=True)[:count]
    yield from (bar for bar in bars if bar in shown)
    if rest := [bar for bar in bars if bar not in shown]:
        yield _together(rest, what)


def _together(bars: Sequence[Bar], what: str) -> Bar:
    start = min(bar.start_seconds for bar in bars)
    label = f"{len(bars)} more {what}s" if len(bars) > 1 else f"1 more {what}"
    return Bar(label, bars[0].kind, start, max(bar.end_seconds for bar in bars) - start, "together")

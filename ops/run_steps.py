"""The steps of a run as its request's events tell of them: how far each is, and what the running one is at."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from typing import Any

from audit import Event


@dataclass(frozen=True)
class Step:
    """One act of a run, as far as the log knows it. `outcome` is running, done or failed; `seconds` once it ended."""

    name: str
    outcome: str
    started_at: datetime
    seconds: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def steps_after(steps: tuple[Step, ...], event: Event) -> tuple[Step, ...]:
    """The steps once this event of the request's stream has happened."""
    data = event.data or {}
    match event.kind:
        case "step_started":
            step = Step(data["step"], "running", event.at, detail=data["about"])
            return (*(one for one in steps if one.name != step.name), step)
        case "step_finished" | "step_failed":
            return _ended_step(steps, event)
        case "lock_waited":
            return _running_step(steps, waits=data, progress=None)
        case "progressed":
            return _running_step(steps, waits=None, progress=data)
        case "statement_finished":
            return _running_step(steps, progress=None)
        case "migration_applied" | "migration_undone" | "history_repaired" | "script_run":
            return _running_step(steps, waits=None, progress=None)
        case _:
            return steps


def _ended_step(steps: tuple[Step, ...], event: Event) -> tuple[Step, ...]:
    data = event.data or {}
    outcome = "done" if event.kind == "step_finished" else "failed"
    detail = data["result"] if outcome == "done" else {**data["error"], "message": data["message"]}
    return tuple(
        replace(step, outcome=outcome, seconds=data["seconds"], detail=detail) if step.name == data["step"] else step
        for step in steps
    )


def _running_step(steps: tuple[Step, ...], **known: Mapping[str, Any] | None) -> tuple[Step, ...]:
    """The steps with what is known of the running one: `waits` is the data of a `lock_waited`, `progress` that of a
    `progressed`; None: no more."""
    return tuple(
        replace(step, detail={**step.detail, **known}) if step.outcome == "running" else step for step in steps
    )

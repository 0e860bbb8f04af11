"""The steps of a run, written down around the act: the intent before, the result after, whatever happens between."""

import time
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

from audit import Draft
from ops.errors import OpsError
from ops.layer import Ops
from ops.people import Actor
from ops.plan import Progress
from ops.requests import Request

RUNNER = Actor("system:runner")

STEPS = ("preflight", "backup", "migrate", "health")
"""The steps of a push, in order."""


class Recorder:
    """Writes what a run does into the request's stream. A step that cannot be written down is not begun."""

    def __init__(self, ops: Ops, request: Request, attempt: int, progress: Progress) -> None:
        self.ops = ops
        self.request = request
        self.attempt = attempt
        self.progress = progress

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append one event; durable when this returns."""
        self.ops.log.append([self.ops.draft(kind, RUNNER, self.request, data)])

    def drafts(self, kind: str, data: Mapping[str, Any], stream: str) -> list[Draft]:
        """The same event for the request's stream and for the target's, to be appended as one act."""
        mine = self.ops.draft(kind, RUNNER, self.request, data)
        theirs = Draft(
            kind=kind,
            actor=mine.actor,
            stream=stream,
            data=data,
            project=mine.project,
            environment=mine.environment,
            request=mine.request,
        )
        return [mine, theirs]

    @contextmanager
    def step(self, name: str, about: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """One step; what the body puts into the yielded dictionary becomes its recorded result."""
        self.record("step_started", {"step": name, "attempt": self.attempt, "about": about or {}})
        self.progress(name)
        began = time.monotonic()
        result: dict[str, Any] = {}
        try:
            yield result
        except OpsError as error:
            self.record(
                "step_failed",
                {
                    "step": name,
                    "attempt": self.attempt,
                    "seconds": round(time.monotonic() - began, 3),
                    "reason": error.reason.value,
                    "message": error.message,
                    "error": {"hint": error.hint, **error.details},
                },
            )
            raise
        self.record(
            "step_finished",
            {"step": name, "attempt": self.attempt, "seconds": round(time.monotonic() - began, 3), "result": result},
        )

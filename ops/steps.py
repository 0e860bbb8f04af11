"""The steps of a run, written down around the act: the intent before, the result after, whatever happens between."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import replace
from typing import Any

from audit import AuditError
from audit import Draft
from audit import Event
from audit import LogBusy
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.plan import Progress
from ops.progress import Told
from ops.requests import ADOPT
from ops.requests import PUSH
from ops.requests import Request
from ops.requests import find_request

logger = logging.getLogger("countersign.steps")

RUNNER = Actor("system:runner")

BUSY_TRIES = 10
"""Each waits as long as an append waits for its turn, so that a stalled disk has a quarter of a minute."""
BUSY_SECONDS = 15.0
"""The same for an event that is written while something else is done."""

STEPS = ("preflight", "backup", "migrate", "health")
"""The steps of a push, in order."""
FUNCTION_STEPS = ("functions", "secrets")
"""Those of one that deploys functions, behind its migrations."""


def steps_of(request: Request) -> tuple[str, ...]:
    """The steps of a request's run, in order."""
    if request.kind == ADOPT:
        return STEPS[:1]  # it changes nothing, so it looks and writes down
    if request.plan.get("functions") and request.kind == PUSH:
        before = STEPS[:-1] if request.files else tuple(one for one in STEPS[:-1] if one != "migrate")
        return (*before, *FUNCTION_STEPS, STEPS[-1])
    return tuple(request.plan.get("steps") or STEPS)


def both_streams(mine: Draft, target_stream: str) -> list[Draft]:
    """An event of a request's stream, and the same one of its target's."""
    return [mine, replace(mine, stream=target_stream)]


@contextmanager
def hearing(ops: Ops, request: Request, kinds: Collection[str]) -> Iterator[threading.Event]:
    """Set as soon as this process records an event of these kinds for the request. What is in the log already counts not."""
    heard = threading.Event()

    def listen(events: Sequence[Event]) -> None:
        if any(event.stream == request.stream and event.kind in kinds for event in events):
            heard.set()

    unsubscribe = ops.log.subscribe(listen)
    try:
        yield heard
    finally:
        unsubscribe()


@contextmanager
def told_to_stop(ops: Ops, request: Request) -> Iterator[Callable[[], bool]]:
    """Whether somebody asked the run to stop, to be asked from any thread and as often as one likes.

    Only the process that runs it writes to the log, so it hears of every stop and need not read the log again.
    """
    with hearing(ops, request, {"stop_asked"}) as heard:
        if find_request(ops.view, request.id).stop_asked is not None:
            heard.set()
        yield heard.is_set


def _never() -> bool:
    return False


class Recorder:
    """Writes what a run does into the request's stream. A step that cannot be written down is not begun.

    `stop` says whether somebody asked the run to stop.
    """

    def __init__(
        self, ops: Ops, request: Request, attempt: int, progress: Progress, stop: Callable[[], bool] = _never
    ) -> None:
        self.ops = ops
        self.request = request
        self.attempt = attempt
        self.progress = progress
        self.stop = stop
        self._later: list[Draft] = []

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append one event; durable when this returns. A log that is busy for a while does not end a run."""
        drafts = [*self._later, self.ops.draft(kind, RUNNER, self.request, data)]
        for _ in range(BUSY_TRIES - 1):
            with suppress(LogBusy):
                self.ops.log.append(drafts)
                self._later.clear()
                return
        self.ops.log.append(drafts)
        self._later.clear()

    def begin(self, kind: str, data: Mapping[str, Any]) -> Callable[[], None]:
        """Begin to append one event; what is returned waits until it is durable, as long as `record` would."""
        future = self.ops.log.submit([*self._later, self.ops.draft(kind, RUNNER, self.request, data)])
        self._later.clear()

        def wait() -> None:
            try:
                future.result(BUSY_SECONDS)
            except TimeoutError:
                if future.cancel():
                    raise LogBusy("The log is busy; nothing was done.", "Try again in a moment.") from None
                future.result()  # it has begun, so only its end can say what was recorded

        return wait

    def record_later(self, kind: str, data: Mapping[str, Any]) -> None:
        """Have this event appended with the next one, in one transaction: where the target itself tells it meanwhile."""
        self._later.append(self.ops.draft(kind, RUNNER, self.request, data))

    def catch_up(self) -> None:
        """Append what was kept for later, unless the log cannot just now: then whoever needs it next is told."""
        if self._later:
            with suppress(AuditError):
                self.ops.log.append(self._later)
                self._later.clear()

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append one event that nothing rests on, from any thread; a log that cannot take it goes without it."""
        with suppress(AuditError):
            self.ops.log.append([self.ops.draft(kind, RUNNER, self.request, data)])

    def drafts(self, kind: str, data: Mapping[str, Any], stream: str) -> list[Draft]:
        """The same event for the request's stream and for the target's, to be appended as one act; only for its own where
        the run does not occupy its target."""
        mine = self.ops.draft(kind, RUNNER, self.request, data)
        return both_streams(mine, stream) if self.request.occupies else [mine]

    @contextmanager
    def step(self, name: str, about: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """One step; what the body puts into the yielded dictionary becomes its recorded result.

        Whatever it fails with is recorded and comes out as an OpsError; only the log's own errors come through.
        """
        self.record("step_started", {"step": name, "attempt": self.attempt, "about": about or {}})
        self.progress(Told(name, step=name))
        began = time.monotonic()
        result: dict[str, Any] = {}
        try:
            yield result
        except AuditError:
            raise
        except Exception as caught:
            error = caught if isinstance(caught, OpsError) else self._in_our_words(caught)
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
            if error is caught:
                raise
            raise error from caught
        self.record(
            "step_finished",
            {"step": name, "attempt": self.attempt, "seconds": round(time.monotonic() - began, 3), "result": result},
        )

    def _in_our_words(self, caught: Exception) -> OpsError:
        import psycopg  # here, as most who know of steps (cards, pages) carry none out

        from ops.database import target_failed

        if isinstance(caught, psycopg.Error):
            return target_failed(self.request.target, caught)
        reference = uuid.uuid4().hex[:8]
        logger.error("step_failed_unexpectedly request=%s reference=%s", self.request.id, reference, exc_info=caught)
        message = f"Something went wrong that nobody foresaw (reference {reference})."
        return OpsError(Reason.UNEXPECTED, message, exit_code=1)

"""Watches the open requests: pins, expires, starts what is cleared, takes up what a dead runner left. One thread."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures import Future

from audit import AuditError
from audit import Event
from ops.approving import note_expiry
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.locking import lock_of
from ops.requesting import note_who_counts
from ops.requesting import pick_up
from ops.requests import Request
from ops.requests import open_requests
from ops.running import carry_out
from ops.running import is_cleared
from ops.running import take_up
from ops.status import Status

logger = logging.getLogger("countersign.foreman")

TICK_SECONDS = 1.0
STOP_LOOK_SECONDS = 0.05
PAUSE_SECONDS = 10.0
"""After a refusal to start (Slack silent, target busy) a request is left alone so long, unless something happens to it."""


class Foreman:
    """Starts runs as soon as they are cleared. `wake()` from any thread; every decision is made from the log anew."""

    def __init__(self, ops: Ops, pool: Executor) -> None:
        self._ops = ops
        self._pool = pool
        self._running: dict[str, Future[None]] = {}
        self._paused: dict[str, tuple[int, float]] = {}
        self._said: set[tuple[str, str]] = set()
        self._woken = threading.Event()
        self._over = threading.Event()
        self._unsubscribe = ops.log.subscribe(self._on_events)
        self._thread = threading.Thread(target=self._work, name="foreman", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self, seconds: float) -> None:
        """Start nothing more and give what runs `seconds` to end. What does not end is taken up at the next start.

        What is only rehearsed is ended: nothing of it is on a target.
        """
        deadline = time.monotonic() + seconds
        self._ops.rehearsals.close()
        self._over.set()
        self._woken.set()
        self._unsubscribe()
        self._thread.join(seconds)
        for future in self._running.values():
            future.cancel()  # those that wait for a thread; they have not begun
        while self._ops.active and time.monotonic() < deadline:
            time.sleep(STOP_LOOK_SECONDS)
        if self._ops.active:
            logger.warning("runs_left_to_the_next_start requests=%s", ",".join(sorted(self._ops.active)))

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return sum(1 for future in self._running.values() if not future.done())

    def _on_events(self, events: Sequence[Event]) -> None:
        if any(event.stream.startswith("target:") for event in events):
            self._paused = {}  # a target may be free again
        # What a run writes while it is at work needs nobody; that it begins or ends is in the target's stream too.
        if any(event.stream.startswith("target:") or self._is_of_an_idle_request(event) for event in events):
            self._woken.set()

    def _is_of_an_idle_request(self, event: Event) -> bool:
        return event.stream.startswith("request:") and event.request not in self._ops.active

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                for request in open_requests(self._ops.view, but=self._ops.active):
                    self._look_at(request)
            except AuditError as error:
                logger.error("foreman_cannot_read error=%s", error.message)
            except Exception:
                logger.exception("foreman_failed_unexpectedly")  # and goes on: nothing else would start runs
            self._woken.wait(TICK_SECONDS)
            self._woken.clear()

    def _look_at(self, request: Request) -> None:
        """One open request: what its state asks for, done or handed to the pool."""
        now = self._ops.now()
        if self._is_busy(request) or self._is_paused(request) or self._over.is_set():
            return
        try:
            status = request.status_at(now)
            if status is Status.EXPIRED and request.status is Status.WAITING:
                note_expiry(self._ops, request)
            elif status is Status.RUNNING:
                self._hand_over(request, resumed=True)
            elif status is Status.WAITING:
                pick_up(self._ops, request)
                if lock_of(self._ops.view, request.project, request.environment, now) is not None:
                    return  # it may be approved meanwhile; the next look starts it when the lock has ended
                if is_cleared(self._ops, request):
                    self._hand_over(request, resumed=False)
                elif request.may_be_cleared:
                    note_who_counts(self._ops, request)
                    raise OpsError(Reason.NOT_ALLOWED, f"{request.id} has approvals that no longer count.", exit_code=3)
        except OpsError as error:
            self._pause(request, error)

    def _hand_over(self, request: Request, *, resumed: bool) -> None:
        def work() -> None:
            try:
                (take_up if resumed else carry_out)(self._ops, request.id)
            except OpsError as error:
                self._pause(request, error)
            except AuditError as error:
                self._pause(request, OpsError(Reason.LOG_UNAVAILABLE, error.message))
            except Exception:
                logger.exception("run_failed_unexpectedly request=%s", request.id)
                self._pause(request, OpsError(Reason.UNEXPECTED, "unexpected"))

        self._running[request.id] = self._pool.submit(work)

    def _is_busy(self, request: Request) -> bool:
        future = self._running.get(request.id)
        return future is not None and not future.done()

    def _is_paused(self, request: Request) -> bool:
        place, until = self._paused.get(request.id, (-1, 0.0))
        return place == request.place and self._ops.now().timestamp() < until

    def _pause(self, request: Request, error: OpsError) -> None:
        try:
            place = self._ops.view.last_place(request.stream)  # what was tried may have added to it
        except AuditError:
            place = request.place
        self._paused[request.id] = (place, self._ops.now().timestamp() + PAUSE_SECONDS)
        if (request.id, error.reason.value) not in self._said:
            self._said.add((request.id, error.reason.value))
            logger.warning("request_paused request=%s reason=%s message=%s", request.id, error.reason, error.message)

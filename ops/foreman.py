"""Watches the open requests: pins, expires, starts what is cleared, takes up what a dead runner left. One thread."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures import Future

from audit import AuditError
from audit import Event
from ops.approving import note_expiry
from ops.debts import remind_of_debts
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import ALL
from ops.gates import in_the_way
from ops.gates.landed import LANDED
from ops.layer import Ops
from ops.planning_again import plan_again
from ops.request_queue import in_line
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
REMIND_SECONDS = 60.0
PAUSE_SECONDS = 10.0
"""After a refusal to start (Slack silent, target busy) a request is left alone so long, unless something happens to it."""


class Foreman:
    """Starts runs as soon as they are cleared. `wake()` from any thread; every decision is made from the log anew."""

    def __init__(self, ops: Ops, pool: Executor, heavy: Executor) -> None:
        """`pool` carries requests out; `heavy` plans those again whose target another run has changed."""
        self._ops = ops
        self._pool = pool
        self._heavy = heavy
        self._running: dict[str, Future[None]] = {}
        self._starting: dict[str, Future[None]] = {}
        self._planning: dict[str, Future[None]] = {}
        self._paused: dict[str, tuple[int, float]] = {}
        self._said: set[tuple[str, str]] = set()
        self._remind_at = 0.0
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
        for future in (*self._running.values(), *self._planning.values()):
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
        if any(event.stream.startswith("target:") or event.stream == ALL for event in events):
            self._paused = {}  # a target may be free again, or no longer frozen
        # What a run writes while it is at work needs nobody; that it begins or ends is in the target's stream too.
        if any(event.stream.startswith("target:") or self._is_of_an_idle_request(event) for event in events):
            self._woken.set()

    def _is_of_an_idle_request(self, event: Event) -> bool:
        return event.stream.startswith("request:") and event.request not in self._ops.active

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                self._remind()
                for request in in_line(open_requests(self._ops.view, but=self._ops.active)):
                    self._look_at(request)
            except AuditError as error:
                logger.error("foreman_cannot_read error=%s", error.message)
            except Exception:
                logger.exception("foreman_failed_unexpectedly")  # and goes on: nothing else would start runs
            self._woken.wait(TICK_SECONDS)
            self._woken.clear()

    def _remind(self) -> None:
        """Reviews that are owed, looked at once in a while: others are told of them once a day."""
        if time.monotonic() < self._remind_at:
            return
        self._remind_at = time.monotonic() + REMIND_SECONDS
        remind_of_debts(self._ops)

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
                self._look_at_waiting(request)
        except OpsError as error:
            self._pause(request, error)

    def _look_at_waiting(self, request: Request) -> None:
        """A request that waits: planned again where it has to be, or started when people agreed and nothing is in its way."""
        closed = in_the_way(self._ops, request)
        if any(gate.name == LANDED for gate in closed):
            self._plan_again(request)
            return
        pick_up(self._ops, request)
        if closed:
            return  # it may be approved meanwhile; the next look starts it when nothing is in the way
        if _is_at_work(self._starting, request.target) and request.occupies:
            return  # another one of its target was there before
        if is_cleared(self._ops, request):
            self._hand_over(request, resumed=False)
        elif request.may_be_cleared:
            note_who_counts(self._ops, request)
            raise OpsError(Reason.NOT_ALLOWED, f"{request.id} has approvals that no longer count.", exit_code=3)

    def _hand_over(self, request: Request, *, resumed: bool) -> None:
        carry = take_up if resumed else carry_out
        future = self._pool.submit(self._do, lambda: carry(self._ops, request.id), request)
        self._running[request.id] = future
        if request.occupies:
            self._starting[request.target] = future

    def _plan_again(self, request: Request) -> None:
        """Of one target one after the other, in the order of its queue."""
        if not _is_at_work(self._planning, request.target):
            again = self._heavy.submit(self._do, lambda: plan_again(self._ops, request.id), request)
            self._planning[request.target] = again

    def _do(self, work: Callable[[], object], request: Request) -> None:
        """In a thread of a pool. What cannot be done now is tried again after a while."""
        try:
            work()
        except OpsError as error:
            if error.reason is not Reason.PLAN_CHANGED:  # it is planned again at once
                self._pause(request, error)
        except AuditError as error:
            self._pause(request, OpsError(Reason.LOG_UNAVAILABLE, error.message))
        except Exception:
            logger.exception("work_failed_unexpectedly request=%s", request.id)
            self._pause(request, OpsError(Reason.UNEXPECTED, "unexpected"))
        self.wake()

    def _is_busy(self, request: Request) -> bool:
        return _is_at_work(self._running, request.id)

    def _is_paused(self, request: Request) -> bool:
        place, until = self._paused.get(request.id, (-1, 0.0))
        return place == request.place and time.monotonic() < until

    def _pause(self, request: Request, error: OpsError) -> None:
        try:
            place = self._ops.view.last_place(request.stream)  # what was tried may have added to it
        except AuditError:
            place = request.place
        self._paused[request.id] = (place, time.monotonic() + PAUSE_SECONDS)
        if (request.id, error.reason.value) not in self._said:
            self._said.add((request.id, error.reason.value))
            logger.warning("request_paused request=%s reason=%s message=%s", request.id, error.reason, error.message)


def _is_at_work(futures: Mapping[str, "Future[None]"], name: str) -> bool:
    future = futures.get(name)
    return future is not None and not future.done()

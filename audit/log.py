"""The log for the one process that writes: the lock, the writer's thread, and group commit."""

import copy
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from audit import schema
from audit.errors import CERTAINLY_NOT_WRITTEN
from audit.errors import DATABASE_ERRORS
from audit.errors import AuditError
from audit.errors import LogBusy
from audit.errors import LogExists
from audit.errors import LogUnavailable
from audit.errors import no_log
from audit.errors import primary_code
from audit.errors import translated
from audit.errors import unusable
from audit.event import Draft
from audit.event import Event
from audit.event import check_id
from audit.event import uuid7
from audit.kinds import KINDS
from audit.lock import WAIT_SECONDS
from audit.lock import take_lock
from audit.writer import Act
from audit.writer import CommitError
from audit.writer import Decide
from audit.writer import Done
from audit.writer import Writer

MAX_WAITING = 1024
MAX_BATCH = 256

Callback = Callable[[Sequence[Event]], None]
logger = logging.getLogger("countersign.audit")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    act: Act
    future: "Future[list[Event]]" = field(default_factory=Future)


class Log:
    """The log, open for writing. One per file in the world, held by a lock on `<path>.lock`.

    Acts are recorded in the order in which they were handed in, by one thread at a time; those that wait together
    share a transaction. An answer comes after the commit, when the events are on the disk.
    """

    @staticmethod
    def create(path: Path) -> None:
        """Makes an empty log: file 0600, folder 0700 where it makes one. Raises LogExists, LogUnavailable."""
        path = path.absolute()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = take_lock(path, WAIT_SECONDS)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            if os.path.lexists(path):
                raise LogExists(f"There is already something at {path}.", "A log is never overwritten.")
            schema.make_file(path)
        except OSError as error:
            raise unusable(path, error) from error
        except sqlite3.Error as error:
            raise translated(error, path) from error
        finally:
            os.close(lock)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        wait_seconds: float = WAIT_SECONDS,
        lock_wait_seconds: float | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> Self:
        """Opens a log for writing, waiting at most `wait_seconds` for whoever has it (`lock_wait_seconds` where that
        is to differ from how long an append waits for its turn). Raises NoLog, LogBusy,
        LogDamaged (it is not written to then) and LogUnavailable."""
        try:
            path = path.resolve(strict=True)  # two names of one log must meet at one lock
        except OSError as error:
            raise no_log(path) from error
        try:
            lock = take_lock(path, wait_seconds if lock_wait_seconds is None else lock_wait_seconds)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            if os.stat(path).st_nlink > 1:
                raise LogUnavailable(f"{path} has a second name (a hard link), so two processes could write to it.")
            writer = Writer(path, clock=clock, kinds=KINDS)
        except BaseException as error:
            os.close(lock)
            if isinstance(error, DATABASE_ERRORS):
                raise translated(error, path) from error
            raise
        return cls(path, writer, lock, wait_seconds=wait_seconds, clock=clock)

    def __init__(
        self, path: Path, writer: Writer, lock: int, *, wait_seconds: float, clock: Callable[[], datetime]
    ) -> None:
        self.path = path
        self.log_id = writer.log_id
        self._writer = writer
        self._lock_descriptor = lock
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._turn = threading.Lock()
        self._changed = threading.Condition(self._turn)
        self._main = threading.main_thread().ident
        self._writing: int | None = None  # the thread that has the connection
        self._closed: AuditError | None = None  # why nothing more is accepted
        self._callbacks: list[Callback] = []
        self._thread = threading.Thread(target=self._work, name="audit-writer", daemon=True)
        self._thread.start()

    def append(
        self, drafts: Sequence[Draft], *, id: str | None = None, expect: Mapping[str, int] | None = None
    ) -> list[Event]:
        """Records the events of one act and returns them when they are durable.

        An id that the log knows is answered with the act as it was first recorded, if kinds, streams and actors are
        the same; else IdConflict. `expect` maps streams to the last place that the caller saw (0: none); Conflict
        when one has moved on. Raises LogBusy (nothing was done) when its turn does not come in time, BadEvent,
        LogUnavailable, LogDamaged.
        """
        return self._record(self._act(drafts, id=id, expect=expect))

    def transact(self, decide: Decide, *, id: str | None = None, actor: str | None = None) -> list[Event]:
        """Reads, decides and records in one transaction: `decide` gets a View of the log as it stands and returns
        the drafts to record, or none. Nobody else writes in between.

        Everybody waits for `decide`, so it computes and does nothing else; it runs in any thread, perhaps twice. What
        it raises comes out here, and nothing is recorded. An id that the log knows is answered as first recorded,
        without deciding again; with `actor`, only if that act was theirs, else IdConflict.
        """
        return self._record(self._act(decide, id=id, actor=actor))

    def submit(
        self,
        drafts: Sequence[Draft] | Decide,
        *,
        id: str | None = None,
        actor: str | None = None,
        expect: Mapping[str, int] | None = None,
    ) -> "Future[list[Event]]":
        """The same without waiting, for an event loop; whatever goes wrong is in the future. A future that could be
        cancelled was not begun and nothing of it is recorded."""
        job = _Job(act=self._act(drafts, id=id, actor=actor, expect=expect))
        try:
            check_id(job.act.id)
            self._hand_in(job)
        except AuditError as error:
            job.future.set_exception(error)
        return job.future

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Has a callback told of new events after each commit, in the thread that wrote them, so it hands them on and
        returns; what it raises is logged. Returns what ends the subscription."""
        with self._changed:
            self._callbacks = [*self._callbacks, callback]

        def unsubscribe() -> None:
            with self._changed:
                self._callbacks = [kept for kept in self._callbacks if kept is not callback]

        return unsubscribe

    def close(self) -> None:
        """Records what was handed in, then gives the log up. Closing twice is fine."""
        if self._writing == threading.get_ident():
            raise self._would_wait_for_itself()
        with self._changed:
            self._closed = self._closed or LogUnavailable(f"The log {self.path} is closed; nothing was done.")
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _act(
        self,
        drafts: Sequence[Draft] | Decide,
        *,
        id: str | None = None,
        actor: str | None = None,
        expect: Mapping[str, int] | None = None,
    ) -> Act:
        return Act(
            id=uuid7(self._clock()) if id is None else id,
            is_new=id is None,
            drafts=None if callable(drafts) else tuple(drafts),
            decide=drafts if callable(drafts) else None,
            actor=actor,
            expect=dict(expect) if expect else {},
        )

    def _record(self, act: Act) -> list[Event]:
        """Has an act recorded, and waits for it: by this thread, where the writer's is idle, since two changes of
        thread cost as much as the disk does; else by the writer's."""
        thread = threading.get_ident()
        if self._writing == thread:
            raise self._would_wait_for_itself()
        if not act.is_new:
            check_id(act.id)
        if not self._leads(thread):
            job = _Job(act=act)
            self._hand_in(job)
            return self._wait(job.future)
        try:
            return self._alone(act)
        finally:
            with self._turn:
                self._writing = None
                if self._waiting or self._closed is not None:
                    self._changed.notify()

    def _leads(self, thread: int) -> bool:
        """Gives this thread the connection when nobody has it or waits for it, and says so."""
        if thread == self._main:  # Ctrl-C may come down there, and in a transaction nobody would know its outcome
            return False
        with self._turn:
            if self._writing is None and not self._waiting and self._closed is None:
                self._writing = thread
                return True
            return False

    def _hand_in(self, job: _Job) -> None:
        """Puts a job into the queue. Raises LogBusy when that is full, and why the log is closed."""
        with self._changed:
            if self._closed is not None:
                raise copy.copy(self._closed)  # a traceback of its own
            if len(self._waiting) >= MAX_WAITING:
                raise LogBusy(
                    f"The log is busy: {MAX_WAITING} acts are waiting. Nothing was done.", "Try again in a moment."
                )
            self._waiting.append(job)
            self._changed.notify()

    def _wait(self, future: "Future[list[Event]]") -> list[Event]:
        try:
            return future.result(self._wait_seconds)
        except FutureTimeoutError:
            if future.cancel():
                raise LogBusy("The log is busy; nothing was done.", "Try again in a moment.") from None
            return future.result()  # it has begun, so only its end can say what was recorded

    @staticmethod
    def _would_wait_for_itself() -> RuntimeError:
        return RuntimeError("the log's writer would wait for itself; use submit")

    # from here on, in the thread that has the connection

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._handle(batch)
        finally:
            with suppress(sqlite3.Error):
                self._writer.close()
            os.close(self._lock_descriptor)

    def _take(self) -> list[_Job]:
        """The jobs that wait, at most a batch; empty when the log is closed and nothing waits any more."""
        with self._changed:
            self._writing = None
            while True:
                while self._writing is not None or (not self._waiting and self._closed is None):
                    self._changed.wait()
                if not self._waiting:
                    return []
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                if batch := [job for job in taken if job.future.set_running_or_notify_cancel()]:
                    self._writing = threading.get_ident()
                    return batch

    def _alone(self, act: Act) -> list[Event]:
        """What `_handle` does, for the one act of this thread: nobody else waits for it, so it needs no future."""
        try:
            [outcome] = self._writer.run([act])
        except BaseException as error:
            job = _Job(act=act)
            self._recover([job], error)
            return job.future.result()
        if not isinstance(outcome, Done):
            raise outcome
        if outcome.new:
            self._tell(outcome.events)
        return outcome.events

    def _handle(self, batch: list[_Job]) -> None:
        try:
            outcomes = self._writer.run([job.act for job in batch])
        except BaseException as error:
            self._recover(batch, error)
            return
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Done):
                job.future.set_result(outcome.events)
            else:
                job.future.set_exception(outcome)
        self._tell([event for done in outcomes if isinstance(done, Done) and done.new for event in done.events])

    def _recover(self, batch: list[_Job], error: BaseException) -> None:
        """After a transaction that did not come through: everybody gets an answer that is true."""
        self._writer.roll_back()
        commit_failed = isinstance(error, CommitError)
        cause = error.__cause__ if commit_failed and error.__cause__ else error
        certain = primary_code(cause) in CERTAINLY_NOT_WRITTEN
        if primary_code(cause) == sqlite3.SQLITE_FULL and len(batch) > 1:  # perhaps only one of them is too large
            for job in batch:
                self._handle([job])
            return
        reason = self._reason(cause, certain or not commit_failed)
        if not certain:
            self._break(reason)
        for job in batch:
            done = self._found_in_the_file(job.act) if commit_failed else None
            if done is None:
                job.future.set_exception(copy.copy(reason))
            else:
                job.future.set_result(done.events)

    def _reason(self, cause: BaseException, nothing_recorded: bool) -> AuditError:
        if isinstance(cause, AuditError):
            return cause
        if not isinstance(cause, DATABASE_ERRORS):
            logger.error("the log's writer failed", exc_info=cause)
            return LogUnavailable(f"The log's writer failed ({type(cause).__name__}); nothing was recorded.")
        if nothing_recorded:
            return translated(cause, self.path)
        return LogUnavailable(
            f"The log {self.path} failed while it wrote ({cause}); nobody knows yet whether this was recorded.",
            "Start again and ask with the same id: what was recorded is then answered as recorded.",
        )

    def _found_in_the_file(self, act: Act) -> Done | None:
        """A commit that failed may still have happened; what the file holds decides."""
        try:
            return self._writer.look_up(act)
        except (*DATABASE_ERRORS, AuditError):
            return None

    def _break(self, reason: AuditError) -> None:
        """Stops accepting acts. What waits was not begun."""
        with self._changed:
            self._closed = reason
            waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(copy.copy(reason))

    def _tell(self, events: Sequence[Event]) -> None:
        if not events:
            return
        for callback in self._callbacks:
            try:
                callback(events)
            except Exception:
                logger.exception("a subscriber of the log failed")

"""A file that runs in batches: each its own transaction over the next rows of a table, in the order of its primary key.

The log has each batch's place and transaction before its COMMIT, so after a crash the server is asked about the newest
alone, and the next one begins exactly behind what is there. Between two batches nothing is held, and nobody is kept.
"""

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn

import psycopg

from ops.apply_history import question
from ops.apply_journal import Finished
from ops.apply_journal import Manners
from ops.apply_journal import Outcome
from ops.apply_journal import Work
from ops.apply_journal import ended
from ops.apply_recovery import settle
from ops.apply_recovery import transaction_outcome
from ops.apply_session import Session
from ops.apply_session import session_failed
from ops.apply_transaction import LockUnavailableError
from ops.apply_transaction import sql_failed
from ops.batch_log import BatchIntent
from ops.batch_log import Place
from ops.batch_pace import Steps
from ops.batch_pace import read_standbys
from ops.batch_place import FILE
from ops.batch_place import OtherSecretError
from ops.batch_place import Places
from ops.batch_table import KeyNotReadAgainError
from ops.batch_table import Next
from ops.batch_table import Rows
from ops.batch_table import Table
from ops.batch_table import find_table
from ops.batches import batched
from ops.database import is_lost
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import migrating_lock
from ops.history import read_versions
from ops.queueing import count_behind
from ops.sql_errors import describe
from ops.sql_errors import outcome_unknown

Tries = Callable[[Callable[[Manners], None], str], None]
"""Carries out a try, and again with patience where a lock was not to be had; the sentence says what stays meanwhile."""

_SLICE_SECONDS = 0.1
_LOOKED_AT_STANDBYS_SECONDS = 0.5
_TRY_AGAIN = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


class _TooLongError(Exception):
    """A batch lasted too long and was rolled back; with fewer rows it may go."""


class InBatches:
    """The statement of a marked file on its way. `segment` is the file's only one."""

    def __init__(self, work: Work, session: Session, segment: int) -> None:
        migration = work.migration
        self.work = work
        self.session = session
        self.segment = segment
        self.batched = batched(migration)
        self.sha256 = hashlib.sha256(self.batched.text.encode()).hexdigest()
        self.statements = migration.segments[segment].statements
        self.index = next(index for index in self.statements if not migration.statements[index].is_comment)
        self.done = 0
        """So many batches are committed."""
        self._total = 0
        self._seen = 0
        self._key: tuple[str, ...] | None = None
        self._is_over = False
        self._sent: BatchIntent | None = None
        self._shift = 0  # so many characters of ours stand in the statement in front of its condition
        self._began = time.monotonic()
        self._steps = Steps(work.patience.pace, migration.batches)

    @property
    def remains(self) -> str:
        if not self.done:
            return ""
        batches = "The first batch" if self.done == 1 else f"The first {self.done} batches"
        verb = "stays" if self.done == 1 else "stay"
        return f"{batches} of this file ({_rows(self._total)}) {verb} on the target."

    def run(self, tries: Tries) -> None:
        """Every batch that is not on the target yet. Raises OpsError: SQL_FAILED, STOPPED, LOCK_TIMEOUT, STANDBY_BEHIND,
        PLAN_CHANGED, PLAN_BLOCKED (these rows cannot be gone through), CONNECTION_LOST, OUTCOME_UNKNOWN."""
        work = self.work
        try:
            self._prepare()
        except psycopg.Error as error:
            raise session_failed(work, error, self.remains) from None
        work.journal.statement_intended(
            self.session.intent(
                work.migration.version, self.segment, self.statements, [self.batched.text], batches=self.done
            )
        )
        try:
            self._run(tries)
        except OpsError as error:
            outcome = Outcome.FAILED if self.done else Outcome.ROLLED_BACK
            unknown = error.reason is Reason.OUTCOME_UNKNOWN
            self._finished(Outcome.UNKNOWN if unknown else outcome, error.reason.value)
            raise
        self._finished(Outcome.DONE)

    def run_together(self) -> None:
        """The same batches in the transaction that is open, where nobody else is. Raises psycopg.Error, OpsError."""
        self._table = self._find_table()
        self._rows = Rows(self.session.connection, self._table, self.batched)
        try:
            until = self._rows.last()
            while until is not None and (following := self._rows.next(self._key, until, self._steps.rows)):
                self._send(following)
                self.session.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                self._key = following.key
                if following.rows < self._steps.rows:
                    break
        except KeyNotReadAgainError as found:
            raise self._blocked(str(found), _WITHOUT_MARK) from None

    def described(self, error: psycopg.Error) -> OpsError:
        """An error of the statement's, at its place in the file."""
        place = int(error.diag.statement_position or 0)
        is_behind = self.batched.where is not None and place > self.batched.where
        found = describe(error, self.work.migration, self.index, self._shift if is_behind else 0)
        return sql_failed(found, self.remains)

    def _prepare(self) -> None:
        """Everything that may say no before a row is touched, and where to begin."""
        work, connection = self.work, self.session.connection
        work.guard.check()
        migrating_lock(connection, work.guard.target_name)
        work.check_stop(self.remains)
        work.check_history(read_versions(connection))
        self._table = self._find_table()
        self._rows = Rows(connection, self._table, self.batched)
        self._places = Places(connection, self._table, work.journal.place_secret)
        hidden = next((one for one in read_standbys(connection) if one.hidden), None)
        if hidden is not None and work.patience.pace.looks_at_standbys:
            raise self._blocked(
                "this server has standbys, and our role may not see how far behind they are",
                "GRANT pg_monitor TO the role of the database URL, or look at none: standby_lag and standby_lag_bytes.",
            )
        self._go_on()

    def _find_table(self) -> Table:
        found = find_table(self.session.connection, self.batched)
        if isinstance(found, str):
            raise self._blocked(found, _WITHOUT_MARK)
        return found

    def _blocked(self, why: str, hint: str) -> OpsError:
        said = f"{self.work.migration.filename} cannot run in batches: {why}."
        return ended(Reason.PLAN_BLOCKED, said, self.remains, hint, exit_code=3)

    def _go_on(self) -> None:
        """Begin behind the last batch that is on the target, whoever ran it."""
        begun = self.work.journal.batches_begun(self.work.migration)
        if begun is None or begun.batch.table != self._table.identity:
            return  # nothing of it, or of it on another table that had the name
        batch = begun.batch
        if batch.sha256 != self.sha256 or begun.undone_by is not None:
            why = f"{begun.undone_by} may have taken them back" if begun.undone_by else "it said something else then"
            raise self._blocked(
                f"{begun.request} ran batches of it already, and {why}",
                _LEFT_TO_DO,
            )
        committed = begun.committed
        if committed is None:
            outcome = transaction_outcome(self.session.connection, batch.xid)
            if outcome is Outcome.UNKNOWN:
                raise outcome_unknown(self.work.migration, f"batch {batch.number} was committed by {begun.request}")
            committed = outcome is Outcome.DONE
        self.done = batch.number if committed else batch.number - 1
        self._total = batch.total if committed else batch.total - batch.rows
        self._seen = batch.seen
        self._is_over = committed and batch.is_last
        self._key = self._key_at(batch.through if committed else batch.after, begun.request)
        if self.done:
            self._tell(f"goes on behind batch {self.done} of {begun.request}")

    def _key_at(self, place: Place, request: str) -> tuple[str, ...] | None:
        try:
            key = self._places.key_at(place)
        except OtherSecretError:
            raise self._blocked(
                f"the log tells where {request} stopped by a keyed hash alone, and the secret it was made with is gone",
                f"Is there a copy of the file {FILE} that was beside the state then? Put it back and ask again. If not, "
                "look on the target which rows are left to do, and give what does them a file with a version of its own.",
            ) from None
        # What is deleted is not met a second time, so a DELETE that lost its place may look at all rows again.
        if key is None and place != Place() and self.batched.sets:
            raise self._blocked(
                f"the row is gone behind which {request} stopped, and with it the place",
                _LEFT_TO_DO,
            )
        return key

    def _run(self, tries: Tries) -> None:
        try:
            until = None if self._is_over else self._rows.last()
            while until is not None and not self._is_over:
                tries(partial(self._try, until=until), self.remains)
                self._make_room()
        except KeyNotReadAgainError as found:
            raise self._blocked(str(found), _LEFT_TO_DO if self.done else _WITHOUT_MARK) from None
        except psycopg.Error as error:
            raise session_failed(self.work, error, self.remains) from None

    def _try(self, manners: Manners, until: tuple[str, ...]) -> None:
        """One batch, with fewer rows each time that it lasts too long."""
        self.session.limit(manners.lock_timeout_seconds)
        while True:
            self._check_stop()
            if self.work.guard.is_lost:
                self.work.guard.check()
            self.session.watch.begin(give_way_seconds=manners.give_way_seconds)
            self._sent = None
            try:
                self._batch(until)
                return
            except psycopg.Error as error:
                with suppress(_TooLongError):
                    self._fail(error)
            except BaseException:
                self.session.roll_back()
                raise

    def _batch(self, until: tuple[str, ...]) -> None:
        work, connection = self.work, self.session.connection
        began = time.monotonic()
        connection.execute("BEGIN")
        row = connection.execute(question(work.migration.version).encode()).fetchone()
        self.session.history.check(connection, work, row)
        following = self._rows.next(self._key, until, self._steps.rows)
        if following is None:
            connection.execute("ROLLBACK")
            self._is_over = True
            return
        if self._steps.rows > 1:
            longest = min(work.patience.pace.longest_seconds, work.patience.statement_timeout_seconds or math.inf)
            connection.execute(f"SET LOCAL statement_timeout = {max(round(longest * 1000), 1)}".encode())
        rows = self._send(following)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self.session.restore_role()
        behind = work.guard.ask(lambda session: count_behind(session, self.session.pid))
        sent = self._intent(following, rows)
        if self.session.watch.cancelled:
            raise self._stopped()
        self._check_stop()
        wait_until_durable = work.journal.batch_intended(sent)
        work.guard.check()
        wait_until_durable()
        self._sent = sent
        connection.execute("COMMIT")
        self._committed(sent, following.key)
        self._steps.took(time.monotonic() - began, behind)

    def _send(self, following: Next) -> int:
        """How many rows it wrote. Raises psycopg.Error."""
        text = self.batched.over(following.condition)
        self._shift = len(text) - len(self.batched.text) - len("\n)")
        return int(self.session.run(text).rowcount)

    def _intent(self, following: Next, rows: int) -> BatchIntent:
        row = self.session.connection.execute("SELECT pg_catalog.pg_current_xact_id()::text").fetchone()
        return BatchIntent(
            version=self.work.migration.version,
            number=self.done + 1,
            sha256=self.sha256,
            table=self._table.identity,
            xid=str(row[0]) if row else "",
            backend_pid=self.session.pid,
            backend_start=self.session.started_at,
            rows=rows,
            total=self._total + rows,
            seen=self._seen + following.rows,
            after=self._places.of(self._key),
            through=self._places.of(following.key),
            is_last=following.rows < self._steps.rows,
        )

    def _committed(self, batch: BatchIntent, key: tuple[str, ...]) -> None:
        self.done, self._total, self._seen = batch.number, batch.total, batch.seen
        self._key, self._is_over = key, batch.is_last
        self._tell(f"batch {self.done}: {_rows(self._total)} of {self._table.name} written")

    def _tell(self, words: str) -> None:
        """How far it is, by what the server believes the table to hold."""
        share = min(self._seen / self._table.rows, 0.99) if self._table.rows else None
        share = 1.0 if self._is_over else share
        said = words if share is None else f"{words}, {share:.0%} gone through"
        self.work.journal.progressed(self.work.migration.version, said, share)

    def _make_room(self) -> None:
        """Rest where others waited for our rows, and until no standby is too far behind. We hold nothing meanwhile."""
        self._pause(self._steps.rest_seconds)
        pace = self.work.patience.pace
        deadline = time.monotonic() + pace.patience_seconds
        while not self._is_over and pace.looks_at_standbys:
            far = next((one for one in read_standbys(self.session.connection) if one.is_too_far(pace)), None)
            if far is None:
                return
            if time.monotonic() >= deadline:
                raise ended(
                    Reason.STANDBY_BEHIND,
                    f"{self.work.migration.filename} waited for a standby and gave up: {far}.",
                    self.remains,
                    f"Look why it does not catch up. {_GOES_ON}",
                    exit_code=5,
                )
            self._tell(f"batch {self.done}: waits, as {far}")
            self._pause(_LOOKED_AT_STANDBYS_SECONDS)
            self.work.guard.check()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(left, _SLICE_SECONDS))

    def _check_stop(self) -> None:
        if self.work.stop():
            raise self._stopped()

    def _stopped(self, words: str = "was stopped between two batches") -> OpsError:
        return ended(Reason.STOPPED, f"{self.work.migration.filename} {words}.", self.remains, _GOES_ON)

    def _fail(self, error: psycopg.Error) -> NoReturn:
        """Roll back and say it in our words. Raises _TooLongError or LockUnavailableError where it may be tried again."""
        session = self.session
        if is_lost(session.connection):
            self._settle()
            raise self._lost() from None
        session.roll_back()
        is_cancelled = isinstance(error, psycopg.errors.QueryCanceled)
        if isinstance(error, _TRY_AGAIN) or (is_cancelled and session.watch.gave_way):
            self._steps.failed()
            raise LockUnavailableError(session.watch.blockers, session.watch.gave_way) from None
        if is_cancelled and session.watch.cancelled:
            raise self._stopped("was stopped: a batch was cancelled and rolled back") from None
        if is_cancelled and self._steps.failed():
            raise _TooLongError from None
        raise self.described(error) from None

    def _settle(self) -> None:
        """The connection ended. If COMMIT was on its way, ask the server in a new session what became of it."""
        if self._sent is None:
            return
        sent = self._sent
        outcome = settle(self.work.connect, sent.backend_pid, sent.backend_start, sent.xid)
        if outcome is Outcome.UNKNOWN:
            raise outcome_unknown(self.work.migration, f"COMMIT of batch {sent.number} ran") from None
        if outcome is Outcome.DONE:
            self.done, self._total = sent.number, sent.total

    def _lost(self) -> OpsError:
        return ended(
            Reason.CONNECTION_LOST,
            f"{self.work.migration.filename}: the connection to the target was lost in batch {self.done + 1}.",
            self.remains,
            f"Look whether the target is up. {_GOES_ON}",
        )

    def _finished(self, outcome: Outcome, detail: str = "") -> None:
        seconds = round(time.monotonic() - self._began, 3)
        version = self.work.migration.version
        self.work.journal.segment_finished(
            Finished(version, self.segment, self.statements, outcome, seconds, detail, batches=self.done)
        )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


_WITHOUT_MARK = "Take the mark out of its first line: then the file is one transaction."
_LEFT_TO_DO = "Look which rows are left to do, and give what does them a file with a version of its own."
_GOES_ON = "Asked for again, it goes on behind the last batch, and no row comes twice."

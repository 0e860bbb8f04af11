"""Statements that cannot be in a transaction: one at a time, looked at before and after, in doubt tried once only."""

import time
from functools import partial
from typing import NoReturn

import psycopg

from ops.apply_indexes import drop_first
from ops.apply_indexes import find_indexes
from ops.apply_indexes import invalid_indexes
from ops.apply_indexes import refuse_hidden_index
from ops.apply_journal import Finished
from ops.apply_journal import Outcome
from ops.apply_journal import Work
from ops.apply_journal import ended
from ops.apply_session import Session
from ops.apply_statements import Index
from ops.apply_statements import Meaning
from ops.apply_statements import meaning_of
from ops.apply_transaction import LockUnavailableError
from ops.apply_transaction import sql_failed
from ops.database import is_lost
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import migrating_lock
from ops.history import read_versions
from ops.sql_errors import describe
from ops.sql_errors import outcome_unknown


class Alone:
    """One try of one statement outside a transaction. `remains` is what people read of the file's parts before it."""

    def __init__(self, work: Work, session: Session, segment: int, index: int, *, remains: str) -> None:
        self.work = work
        self.session = session
        self.segment = segment
        self.index = index
        self.remains = remains
        self.text = work.migration.statements[index].text
        self.meaning = meaning_of(self.text)
        self._began = time.monotonic()

    def run(self) -> None:
        """Raises LockUnavailableError (it may be tried again), or OpsError: SQL_FAILED, STOPPED, LOCK_TIMEOUT,
        PLAN_CHANGED, PLAN_BLOCKED (an INVALID index has the name), OUTCOME_UNKNOWN."""
        work, session = self.work, self.session
        invalid_before = self._check_before()
        intent = session.intent(work.migration.version, self.segment, (self.index,), (self.text,))
        session.watch.forget()
        work.journal.statement_intended(intent)
        try:
            work.carry_out(session.connection, self.index, partial(session.run, self.text))
            left = self._left(invalid_before)
        except psycopg.Error as error:
            self._fail(error, invalid_before)
        if left:
            self._finished(Outcome.FAILED, f"left INVALID: {', '.join(left)}")
            raise self._left_behind(left)
        self._finished(Outcome.DONE)

    def _check_before(self) -> tuple[str, ...]:
        """Everything that may say no while nothing was sent. Returns the indexes that are INVALID already."""
        work, connection = self.work, self.session.connection
        work.guard.check()
        migrating_lock(connection, work.guard.target_name)  # DISCARD ALL, or the file itself, may have let go of it
        work.check_stop(self.remains)
        work.check_history(read_versions(connection))
        refuse_hidden_index(connection, self.meaning.builds, work.migration.filename)
        patience = work.patience
        if self.meaning.waits_quietly:
            self.session.limit(patience.seconds)
        else:
            self.session.limit(
                patience.lock_timeout_seconds if self.meaning.leaves_nothing else patience.once_lock_timeout_seconds
            )
        return self._invalid_now()

    def _invalid_now(self) -> tuple[str, ...]:
        touched = _touched(self.meaning)
        return tuple(name for index in touched for name in invalid_indexes(self.session.connection, index))

    def _left(self, invalid_before: tuple[str, ...]) -> tuple[str, ...]:
        """What is not as the statement should have made it: new INVALID indexes, one not rebuilt, one not dropped."""
        connection = self.session.connection
        left = set(self._invalid_now()) - set(invalid_before)
        if self.meaning.rebuilds:
            left |= set(invalid_indexes(connection, self.meaning.rebuilds))
        for index in self.meaning.drops:
            left |= {found.name for found in find_indexes(connection, index) if not found.valid}
        return tuple(sorted(left))

    def _fail(self, error: psycopg.Error, invalid_before: tuple[str, ...]) -> NoReturn:
        """Look at what was left, write it down, and say it in our words (`from None`: the text may quote rows)."""
        work, session = self.work, self.session
        if is_lost(session.connection):
            self._finished(Outcome.UNKNOWN, "the connection was lost")
            raise outcome_unknown(work.migration, f"statement {self.index + 1} ran outside a transaction") from None
        no_lock = isinstance(error, psycopg.errors.LockNotAvailable)
        try:
            left = self._left(invalid_before)
        except psycopg.Error:
            self._finished(Outcome.UNKNOWN, "it failed, and the target could not be looked at")
            raise outcome_unknown(work.migration, "the target was looked at after an error") from None
        builds_named = self.meaning.builds is not None and bool(self.meaning.builds.name)
        if self.meaning.leaves_nothing or (builds_named and not left):  # a failed build that left no index left nothing
            self._finished(Outcome.ROLLED_BACK, f"SQLSTATE {error.sqlstate or 'unknown'}")
            if no_lock and self.meaning.leaves_nothing:
                raise LockUnavailableError(session.watch.blockers) from None
        else:
            said = f"left INVALID: {', '.join(left)}" if left else f"SQLSTATE {error.sqlstate or 'unknown'}"
            self._finished(Outcome.FAILED, said)
        remains = f"{_left_sentence(left)} {self.remains}".strip()
        if session.watch.cancelled and isinstance(error, psycopg.errors.QueryCanceled):
            raise work.stopped(remains, self.index, drop_first(left)) from None
        if no_lock:
            raise lock_timeout(work, remains, session.watch.blockers) from None
        raise sql_failed(describe(error, work.migration, self.index), remains, drop_first(left)) from None

    def _left_behind(self, left: tuple[str, ...]) -> OpsError:
        return ended(
            Reason.SQL_FAILED,
            f"{self.work.migration.filename}: statement {self.index + 1} ended, but did not do all of it.",
            f"{_left_sentence(left)} {self.remains}".strip(),
            drop_first(left),
        )

    def _finished(self, outcome: Outcome, detail: str = "") -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self.work.journal.segment_finished(
            Finished(self.work.migration.version, self.segment, (self.index,), outcome, seconds, detail)
        )


def lock_timeout(work: Work, remains: str, blockers: tuple[object, ...]) -> OpsError:
    """The patience is used up: who was in the way when it was last seen."""
    who = "; ".join(str(blocker) for blocker in blockers) or "nobody that could be seen"
    return ended(
        Reason.LOCK_TIMEOUT,
        f"{work.migration.filename} waited for a lock and gave up. In the way: {who}.",
        remains,
        "Wait until they are done, or ask them to end their transaction; then push again.",
        exit_code=5,
    )


def _touched(meaning: Meaning) -> tuple[Index, ...]:
    """What to look through for INVALID indexes: the table that one is built on (whatever its name), or those named."""
    if meaning.builds:
        return (Index(None, meaning.builds.table, None),)
    return ((meaning.rebuilds,) if meaning.rebuilds else ()) + meaning.drops


def _left_sentence(left: tuple[str, ...]) -> str:
    return f"Index {', '.join(left)} is INVALID: it costs writes and helps nobody." if left else ""

"""Applying one migration file to a target: under the guard, and written down before anything of it is sent.

A file that is one transaction goes into a fresh session for every try. A file with statements that cannot be in a
transaction goes through its segments in order, in one session, and its history row comes last, in a transaction of
its own. The row is byte for byte what the Supabase CLI writes.
"""

import secrets
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import TypeVar

import psycopg

from ops.apply_alone import Alone
from ops.apply_alone import lock_timeout
from ops.apply_batches import InBatches
from ops.apply_journal import CarryOut
from ops.apply_journal import Journal
from ops.apply_journal import Manners
from ops.apply_journal import Patience
from ops.apply_journal import Work
from ops.apply_session import Session
from ops.apply_session import Sessions
from ops.apply_session import open_session
from ops.apply_session import session_failed
from ops.apply_statements import meaning
from ops.apply_transaction import LockUnavailableError
from ops.apply_transaction import Transaction
from ops.catalog import catalog_hash
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.migration import Effect
from ops.migrations import Migration

Result = TypeVar("Result")

_PAUSE_GROWTH = 1.5
_LOCK_TIMEOUT_GROWTH = 1.5
_GROWS = 20
"""So many times; then any limit is reached."""
_GIVE_WAY_GROWTH_SECONDS = 0.02
_RANDOM = secrets.SystemRandom()
_PAUSE_SLICE_SECONDS = 0.1


@dataclass(frozen=True)
class Applied:
    """A file that is on the target with its history row, and the schema that it left."""

    version: str
    statements: int
    seconds: float
    catalog_sha256: str


def apply_migration(
    migration: Migration,
    *,
    connect: Callable[[], Connection],
    guard: Guard,
    patience: Patience,
    journal: Journal,
    stop: Callable[[], bool],
    expect_history: Sequence[str],
    sessions: Sessions | None = None,
    following: Migration | None = None,
    check_catalog: Callable[[str], None] | None = None,
    check_first: Callable[[Connection], None] | None = None,
    carry_out: CarryOut | None = None,
    batches_together: bool = False,
) -> Applied:
    """Run one file and write its history row. `connect` opens a session of the target; `stop` is asked from any thread.

    The history table must be there (`ensure_history`), and hold exactly the versions `expect_history`. Raises OpsError:
    SQL_FAILED, STOPPED, LOCK_TIMEOUT (who is in the way), PLAN_CHANGED (the history is another), PLAN_BLOCKED (the file
    cannot be run, nothing was sent), CONNECTION_LOST (guard or session; what ran was rolled back), OUTCOME_UNKNOWN, and
    what `connect` raises. The sentence says what of the file remains, and `details["remains"]` too (empty: nothing).
    What the journal raises comes through, after a rollback. `sessions` passes a session that a plain file left like
    new on to the next file of a run; without it every file has a new one. `following` is that next file, whose intent
    may be written down while this one runs: whoever keeps `sessions` closes them, which takes it back. `check_catalog`
    is given the catalog hash of a file that is one transaction before its COMMIT; what it raises comes after a rollback.
    `check_first` is given the session of such a file, or of one that begins with a transaction, before its first statement.
    `carry_out` is called for each statement of the file instead of sending it, and sends it or does what is as good;
    for batches only with `batches_together`, which has them in one transaction, as is good for a copy.
    """
    refuse_unrunnable(migration)
    history = tuple(sorted(expect_history))
    kept = sessions or Sessions()
    work = Work(
        migration, connect, guard, patience, journal, stop, history, kept, following, check_catalog, check_first
    )
    if carry_out is not None:
        work = replace(work, carry_out=carry_out, batches_together=batches_together)
    began = time.monotonic()
    try:
        catalog_sha256 = _in_one_transaction(work) if work.is_one_transaction else _in_parts(work)
    finally:
        if sessions is None:
            work.sessions.close()
    seconds = round(time.monotonic() - began, 3)
    journal.file_applied(migration.version, catalog_sha256, seconds)
    return Applied(migration.version, len(migration.statements), seconds, catalog_sha256)


def finish_migration(
    migration: Migration,
    *,
    connect: Callable[[], Connection],
    guard: Guard,
    patience: Patience,
    journal: Journal,
    stop: Callable[[], bool],
    expect_history: Sequence[str],
) -> Applied:
    """Write the history row of a file whose every statement is on the target, after a crash just before it. As above."""
    history = tuple(sorted(expect_history))
    work = Work(migration, connect, guard, patience, journal, stop, history, Sessions())
    began = time.monotonic()
    with open_session(work, work.patience.lock_timeout_seconds) as session:
        catalog_sha256 = _row_alone(work, session, _LockWaits(work), len(migration.statements))
    seconds = round(time.monotonic() - began, 3)
    journal.file_applied(migration.version, catalog_sha256, seconds)
    return Applied(migration.version, len(migration.statements), seconds, catalog_sha256)


def refuse_unrunnable(migration: Migration) -> None:
    """Raises OpsError(PLAN_BLOCKED) for a file that cannot be run as its segments say. Pure; nothing is sent."""
    if migration.refusals:
        first = migration.refusals[0]
        raise _blocked(migration, first.line, first.message, first.hint)
    for segment in migration.segments:
        meanings = [(index, meaning(migration.statements[index])) for index in segment.statements]
        for index, means in meanings:
            if means.commands is not None and means.commands > 1:
                line = migration.statements[index].line
                raise _blocked(migration, line, "this is sent as one statement, but holds several commands")
        steering = [(index, means.steers) for index, means in meanings if means.commands != 0]
        # A block of the file's own is BEGIN first and COMMIT last, with nothing of that kind between.
        if segment.transactional and len(steering) > 1 and (steering[0][1], steering[-1][1]) == ("begins", "commits"):
            steering = steering[1:-1]
        for index, steers in steering:
            if steers:
                line = migration.statements[index].line
                raise _blocked(migration, line, "a transaction begins or ends here, which cannot be followed")


def _blocked(migration: Migration, line: int, message: str, hint: str = "") -> OpsError:
    return OpsError(
        Reason.PLAN_BLOCKED,
        f"{migration.filename}, line {line}: {message.rstrip('.')}.",
        hint or "Split the file, or leave BEGIN and COMMIT away: every file is a transaction already.",
        exit_code=3,
    )


def _in_one_transaction(work: Work) -> str:
    def attempt(manners: Manners) -> str:
        # A session per try: what a rollback does not undo (PREPARE, LISTEN, advisory locks) is not there the next time.
        with open_session(work, manners.lock_timeout_seconds) as session:
            return Transaction(work, session, 0, with_row=True, remains=remains).run(manners)

    remains = _remains(work.migration, work.migration.done)
    return _LockWaits(work).until_done(attempt, remains)


def _in_parts(work: Work) -> str:
    """Segment after segment in one session, as SET and temporary tables of a part are meant for the parts after it."""
    waits = _LockWaits(work)
    migration = work.migration
    done = migration.done
    with open_session(work, work.patience.lock_timeout_seconds) as session:
        for number, segment in enumerate(migration.segments):
            if segment.transactional:
                remains = _remains(migration, done)
                part = Transaction(work, session, number, with_row=False, remains=remains)
                waits.until_done(_limited(session, part), remains)
                done += len(segment.statements)
                continue
            if migration.batches is not None:
                _in_batches(work, session, number)
                done += len(segment.statements)
                continue
            for index in segment.statements:
                remains = _remains(migration, done)
                waits.until_done(Alone(work, session, number, index, remains=remains).run, remains)
                done += 1
        return _row_alone(work, session, waits, done)


def _in_batches(work: Work, session: Session, segment: int) -> None:
    batches = InBatches(work, session, segment)
    if not work.batches_together:
        # Patience begins anew with each: what was committed need not wait for it.
        batches.run(lambda attempt, remains: _LockWaits(work).until_done(attempt, remains))
        return
    try:
        work.carry_out(session, batches.index, batches.run_together)
    except psycopg.Error as error:
        raise batches.described(error) from None


def _row_alone(work: Work, session: Session, waits: "_LockWaits", done: int) -> str:
    if work.migration.effect is Effect.KEEPS:
        return catalog_hash(session.connection)
    session.watch.let_finish()  # a stop that left a whole file without its row would have the next push run it again
    remains = _remains(work.migration, done)
    finishing = replace(work, stop=lambda: False)
    row_alone = Transaction(finishing, session, len(work.migration.segments), with_row=True, remains=remains)
    return waits.until_done(_limited(session, row_alone), remains)


def _limited(session: Session, part: Transaction) -> Callable[[Manners], str]:
    """A try of a part in a session that other parts had before."""

    def attempt(manners: Manners) -> str:
        session.limit(manners.lock_timeout_seconds)
        return part.run(manners)

    return attempt


def _remains(migration: Migration, done: int) -> str:
    if not done:
        return ""
    if done == len(migration.statements):
        return "All of this file's statements stay on the target, but it has no history row."
    return f"The first {done} of this file's {len(migration.statements)} statements stay on the target."


class _LockWaits:
    """Tries again what was rolled back for want of a lock, until the patience for this file is used up.

    The first try waits for a lock as briefly as it may. While nobody waits behind it, later ones wait longer, so that
    they get in where the lock is free for a moment only; as soon as somebody does, it is brief again, and gives way at
    once. Where somebody always does, that would never get in, so each time they are let wait a little longer.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._deadline = time.monotonic() + work.patience.seconds
        self._pause_seconds = work.patience.first_pause_seconds
        self._undisturbed = 0
        """So many tries on end waited their whole time with nobody behind them."""
        self._disturbed = 0

    def until_done(self, attempt: Callable[[Manners], Result], remains: str) -> Result:
        while True:
            try:
                return attempt(self._manners())
            except LockUnavailableError as wait:
                self._undisturbed = 0 if wait.behind else self._undisturbed + 1
                self._disturbed += 1 if wait.behind else 0
                self._pause(wait, f"{wait.stays} {remains}".strip())
            except psycopg.Error as error:
                # Between two statements: none of the file's was on its way.
                raise session_failed(self.work, error, remains) from None

    def _manners(self) -> Manners:
        patience = self.work.patience
        seconds = patience.lock_timeout_seconds * _LOCK_TIMEOUT_GROWTH ** min(self._undisturbed, _GROWS)
        if self._undisturbed:
            seconds *= _RANDOM.uniform(0.8, 1.2)
        return Manners(
            lock_timeout_seconds=max(
                patience.lock_timeout_seconds, min(seconds, patience.longest_lock_timeout_seconds)
            ),
            give_way_seconds=min(self._disturbed * _GIVE_WAY_GROWTH_SECONDS, patience.give_way_seconds),
        )

    def _pause(self, wait: LockUnavailableError, remains: str) -> None:
        """Wait unevenly, so that two who wait do not meet again and again. Raises OpsError: LOCK_TIMEOUT, STOPPED."""
        seconds = self._pause_seconds * _RANDOM.uniform(0.5, 1.5)
        self._pause_seconds = min(self._pause_seconds * _PAUSE_GROWTH, self.work.patience.longest_pause_seconds)
        until = time.monotonic() + seconds
        if until >= self._deadline:
            raise lock_timeout(self.work, remains, wait.blockers, wait.hint)
        self.work.journal.waiting(self.work.migration.version, wait.blockers)
        while (left := until - time.monotonic()) > 0:
            self.work.check_stop(remains)
            time.sleep(min(left, _PAUSE_SLICE_SECONDS))

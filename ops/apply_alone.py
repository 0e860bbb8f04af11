"""Statements that cannot be in a transaction: one at a time, looked at before and after, in doubt tried once only."""

import time
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import psycopg

from ops.apply_cleanup import drop_again
from ops.apply_cleanup import made_by
from ops.apply_indexes import FoundIndex
from ops.apply_indexes import drop_first
from ops.apply_indexes import find_copies
from ops.apply_indexes import find_indexes
from ops.apply_indexes import refuse_hidden_index
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Manners
from ops.apply_journal import Outcome
from ops.apply_journal import Work
from ops.apply_journal import ended
from ops.apply_partitions import Attached
from ops.apply_partitions import find_attached
from ops.apply_recovery import settle_alone
from ops.apply_session import Session
from ops.apply_statements import Index
from ops.apply_statements import meaning_of
from ops.apply_transaction import LockUnavailableError
from ops.apply_transaction import gave_way_words
from ops.apply_transaction import has_given_way
from ops.apply_transaction import sql_failed
from ops.blockers import Blocker
from ops.blockers import pid_text
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
        self._before: tuple[FoundIndex, ...] = ()
        self._sends = self.text

    def run(self, manners: Manners) -> None:
        """Raises LockUnavailableError (it may be tried again), or OpsError: SQL_FAILED, STOPPED, LOCK_TIMEOUT,
        PLAN_CHANGED, PLAN_BLOCKED (an INVALID index has the name), OUTCOME_UNKNOWN."""
        work, session = self.work, self.session
        self._before = self._check_before(manners)
        pending = self._pending()
        self._sends = pending.finalize if pending else self.text
        intent = session.intent(work.migration.version, self.segment, (self.index,), (self._sends,))
        tell = partial(work.journal.progressed, work.migration.version)
        session.watch.begin(give_way_seconds=self._give_way_seconds(manners), tell=tell)
        work.journal.statement_intended(intent)
        try:
            work.carry_out(session, self.index, partial(session.run, self._sends))
            left = self._left()
        except psycopg.Error as error:
            self._fail(error, intent)
        if left:
            names = _names(left)
            self._finished(Outcome.FAILED, f"left INVALID: {', '.join(names)}")
            raise self._left_behind(names)
        self._finished(Outcome.DONE)

    def _check_before(self, manners: Manners) -> tuple[FoundIndex, ...]:
        """Everything that may say no while nothing was sent. Returns the indexes that are there already."""
        work, connection = self.work, self.session.connection
        work.guard.check()
        migrating_lock(connection, work.guard.target_name)  # DISCARD ALL, or the file itself, may have let go of it
        work.check_stop(self.remains)
        work.check_history(read_versions(connection))
        refuse_hidden_index(connection, self.meaning.builds, work.migration.filename)
        self.session.limit(self._lock_timeout_seconds(manners))
        return self._touched()

    def _lock_timeout_seconds(self, manners: Manners) -> float:
        if self.meaning.waits_quietly:
            return self.work.patience.seconds
        return manners.lock_timeout_seconds if self.meaning.may_repeat else self.work.patience.once_lock_timeout_seconds

    def _give_way_seconds(self, manners: Manners) -> float | None:
        may_give_way = self.meaning.may_repeat and not self.meaning.waits_quietly
        return manners.give_way_seconds if may_give_way else None

    def _touched(self) -> tuple[FoundIndex, ...]:
        """What the statement may leave INVALID: on the table that one is built on (whatever its name), or those named."""
        connection, builds = self.session.connection, self.meaning.builds
        found = find_indexes(connection, Index(None, builds.table, None)) if builds else self._named()
        return (*found, *(find_copies(connection) if self.meaning.leaves_copies else ()))

    def _pending(self) -> Attached | None:
        """The partition that this statement began to detach, in an earlier try or run, and did not."""
        if self.meaning.detaches is None:
            return None
        found = find_attached(self.session.connection, self.meaning.detaches)
        return found[0] if len(found) == 1 and found[0].pending else None

    def _named(self) -> tuple[FoundIndex, ...]:
        """The indexes that it names to rebuild or drop them."""
        wanted = ((self.meaning.rebuilds,) if self.meaning.rebuilds else ()) + self.meaning.drops
        return tuple(index for one in wanted for index in find_indexes(self.session.connection, one))

    def _left(self) -> tuple[FoundIndex, ...]:
        """What is not as the statement should have made it: new INVALID indexes, one not rebuilt, one not dropped."""
        invalid_before = {index.oid for index in self._before if not index.valid}
        if self.meaning.rebuilds or self.meaning.drops:
            # Such a statement was to mend or drop what it names, also what was INVALID before.
            invalid_before -= {index.oid for index in self._named()}
        found = {
            index.oid: index
            for index in self._touched()
            if not index.valid and not index.others_build and index.oid not in invalid_before
        }
        return tuple(sorted(found.values(), key=lambda index: index.name))

    def _fail(self, error: psycopg.Error, intent: Intent) -> NoReturn:
        """Look at what was left, write it down, and say it in our words (`from None`: the text may quote rows)."""
        work, session, watch = self.work, self.session, self.session.watch
        if is_lost(session.connection):
            raise self._lost(intent) from None
        stopped = watch.cancelled and isinstance(error, psycopg.errors.QueryCanceled)
        gave_way = gave_way_words(watch) if has_given_way(watch, error) else ""
        no_lock = bool(gave_way) or isinstance(error, psycopg.errors.LockNotAvailable)
        # As it is seen now, for what is done next is watched too.
        blockers, behind = watch.blockers, watch.behind
        try:
            found, pending = self._left(), self._pending()
        except psycopg.Error:
            self._finished(Outcome.UNKNOWN, "it failed, and the target could not be looked at")
            raise outcome_unknown(work.migration, "the target was looked at after an error") from None
        ours = made_by(self.meaning, found, {index.oid for index in self._before}, watch.built)
        dropped = drop_again(work, session, intent, ours)
        left = tuple(name for name in _names(found) if name not in dropped)
        self._write_down(error, left, dropped, gave_way, pending)
        if no_lock and self.meaning.may_repeat:
            raise LockUnavailableError(blockers, behind, _pending_sentence(pending), _finish_first(pending)) from None
        remains = f"{_left_sentence(left)} {_pending_sentence(pending)} {self.remains}".strip()
        hint = f"{_dropped_sentence(dropped)} {drop_first(left)} {_finish_first(pending)}".strip()
        if stopped:
            raise work.stopped(remains, self.index, hint) from None
        if no_lock:
            raise lock_timeout(work, remains, blockers, hint) from None
        raise sql_failed(describe(error, work.migration, self.index), remains, hint) from None

    def _lost(self, intent: Intent) -> OpsError:
        """The connection ended meanwhile: the catalog may show what became of the statement, in a new session."""
        work, number = self.work, self.index + 1
        found = settle_alone(work.connect, work.migration, intent)
        self._finished(found.outcome, f"the connection was lost; {found.why}")
        if found.outcome is Outcome.UNKNOWN:
            return outcome_unknown(work.migration, f"statement {number} ran outside a transaction")
        is_done = found.outcome is Outcome.DONE
        stays = (
            f"{number} of this file's {len(work.migration.statements)} statements stay on the target, without its row."
        )
        return ended(
            Reason.CONNECTION_LOST,
            f"{work.migration.filename}: the connection was lost while statement {number} ran outside a transaction. "
            f"{'It is done' if is_done else 'Nothing of it remains'}: {found.why}.",
            stays if is_done else self.remains,
            "Look whether the target is up, then go on with what is left.",
        )

    def _write_down(
        self,
        error: psycopg.Error,
        left: tuple[str, ...],
        dropped: tuple[str, ...],
        gave_way: str,
        pending: Attached | None,
    ) -> None:
        # A failed build that left no index, or whose index is gone again, left nothing.
        builds_named = self.meaning.builds is not None and bool(self.meaning.builds.name)
        nothing = self.meaning.leaves_nothing or ((builds_named or bool(dropped)) and not left)
        nothing = nothing or (self.meaning.detaches is not None and pending is None)
        said = gave_way or f"SQLSTATE {error.sqlstate or 'unknown'}"
        said = f"left INVALID: {', '.join(left)}" if left else said
        said += f"; {pending.name} stays between attached and detached" if pending else ""
        said += f"; dropped again: {', '.join(dropped)}" if dropped else ""
        self._finished(Outcome.ROLLED_BACK if nothing else Outcome.FAILED, said)

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


def lock_timeout(work: Work, remains: str, blockers: tuple[Blocker, ...], hint: str = "") -> OpsError:
    """The patience is used up: who was in the way when it was last seen."""
    who = "; ".join(str(blocker) for blocker in blockers) or "nobody that could be seen"
    pid = next((blocker.pid for blocker in blockers if blocker.pid), None)
    environment = work.guard.target_name.rpartition("/")[2]
    ending = f" That it is ended can be asked for: `terminate {environment} {pid_text(pid)}`." if pid else ""
    asking = f"Wait until they are done, or ask them to end their transaction; then push again.{ending}"
    return ended(
        Reason.LOCK_TIMEOUT,
        f"{work.migration.filename} waited for a lock and gave up. In the way: {who}.",
        remains,
        f"{hint} {asking}".strip(),
        exit_code=5,
        details={"blockers": [blocker.to_json() for blocker in blockers]},
    )


def _names(indexes: Sequence[FoundIndex]) -> tuple[str, ...]:
    return tuple(index.name for index in indexes)


def _left_sentence(left: tuple[str, ...]) -> str:
    return f"Index {', '.join(left)} is INVALID: it costs writes and helps nobody." if left else ""


def _pending_sentence(pending: Attached | None) -> str:
    return (
        f"Partition {pending.name} is detached for new queries of {pending.parent}, but not to the end."
        if pending
        else ""
    )


def _finish_first(pending: Attached | None) -> str:
    return f"Run again, it is finished: {pending.finalize}." if pending else ""


def _dropped_sentence(dropped: tuple[str, ...]) -> str:
    return f"Index {', '.join(dropped)}, which it left INVALID, was dropped again." if dropped else ""

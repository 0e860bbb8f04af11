"""Statements in one transaction, with the history row where it belongs to them: all of it or nothing."""

import time
from functools import partial
from typing import NoReturn

import psycopg

from ops.apply_history import LOCKED
from ops.apply_history import question
from ops.apply_indexes import refuse_hidden_index
from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Manners
from ops.apply_journal import Outcome
from ops.apply_journal import Work
from ops.apply_journal import ended
from ops.apply_recovery import settle
from ops.apply_session import Session
from ops.apply_statements import meaning
from ops.apply_together import Message
from ops.apply_together import compose
from ops.apply_watch import Watch
from ops.blockers import Blocker
from ops.catalog import KnownCatalog
from ops.catalog import catalog_hash
from ops.catalog import prepare_to_look_again
from ops.catalog import remains_of_a_session
from ops.database import is_lost
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import write_row
from ops.sql_errors import SqlError
from ops.sql_errors import describe
from ops.sql_errors import outcome_unknown


class LockUnavailableError(Exception):
    """A lock was not to be had, and everything of this try was rolled back: it may be tried again.

    `behind`: so many sessions were seen to wait behind it. `stays` is what was not rolled back after all, `hint` what to
    do about that where it is not tried again.
    """

    def __init__(self, blockers: tuple[Blocker, ...], behind: int, stays: str = "", hint: str = "") -> None:
        super().__init__(f"{len(blockers)} in the way")
        self.blockers = blockers
        self.behind = behind
        self.stays = stays
        self.hint = hint


class Transaction:
    """One try of one segment. A segment number behind the last is the history row alone.

    `remains` is the sentence that people read about the file when this try came to nothing.
    """

    def __init__(self, work: Work, session: Session, segment: int, *, with_row: bool, remains: str) -> None:
        self.work = work
        self.session = session
        self.segment = segment
        self.with_row = with_row
        self.remains = remains
        migration = work.migration
        self.statements = migration.segments[segment].statements if segment < len(migration.segments) else ()
        self._touched = work.sessions.touched(migration) if with_row else None
        self._running: int | None = None
        self._before_it = 0  # how many characters were sent in front of the statement that runs
        self._commit: CommitIntent | None = None
        self._following: Intent | None = None
        self._began = 0.0
        self._each_seconds: list[float] = []
        self._remains = 0

    def run(self, manners: Manners) -> str:
        """Returns the catalog hash that it left. Raises LockUnavailableError, or OpsError: SQL_FAILED, STOPPED,
        PLAN_CHANGED, CONNECTION_LOST (rolled back), OUTCOME_UNKNOWN (only: the connection ended during COMMIT), and what
        the check of the catalog hash raises (rolled back)."""
        migration = self.work.migration
        if not self.session.is_like_new:  # else it was asked a moment ago, before the last COMMIT
            self.work.guard.check()
        self.session.is_like_new = False
        texts = [migration.statements[index].text for index in self.statements]
        intent = self.session.intent(migration.version, self.segment, self.statements, texts)
        tell = partial(self.work.journal.progressed, migration.version)
        self.session.watch.begin(give_way_seconds=manners.give_way_seconds, tell=tell)
        self.work.sessions.intend(intent, self.work.journal)
        self._began = time.monotonic()
        try:
            catalog_sha256 = self._run_together() or self._run()
        except psycopg.Error as error:
            if self._commit and is_lost(self.session.connection):
                return self._settle(self._commit, intent.backend_pid, intent.backend_start)
            self._fail(error)
        except OpsError as error:
            self.session.roll_back()
            unknown = error.reason is Reason.OUTCOME_UNKNOWN
            self._finished(Outcome.UNKNOWN if unknown else Outcome.ROLLED_BACK, error.reason.value)
            raise
        except BaseException:
            self.session.roll_back()
            raise
        self._finished(Outcome.DONE)
        if self.with_row:
            self.session.history.row_added()
        self.session.is_like_new = self._touched is not None and self._remains == 0
        return catalog_sha256

    def _run_together(self) -> str:
        """A plain file behind another one: all of it but COMMIT is one message. Returns "" where it has to be run
        statement by statement, and nothing of it is on the target then."""
        work, session = self.work, self.session
        if self._touched is None or session.catalog is None or work.builds_unless_exists or work.is_followed:
            return ""
        work.check_stop(self.remains)
        message = compose(
            work.migration, self.statements, self._touched, session.history, session.catalog, session.connection.pgconn
        )
        answers = session.run_together(message.text, meanwhile=self._look_ahead, later=work.journal.catch_up)
        done = len(answers.results)
        self._each_seconds = list(answers.each_seconds(message))
        if answers.error is not None:
            self._refuse_together(message, done, answers.error)
            return ""
        self._check_transaction()
        session.history.compared(int(answers.text(message.history)))
        self._remains = int(answers.text(message.remains))
        catalog_sha256, xid = session.catalog.learn(answers.lines())
        self._commit_if_nothing_is_in_the_way(catalog_sha256, xid)
        return catalog_sha256

    def _refuse_together(self, message: Message, done: int, error: psycopg.Error) -> None:
        """Raises the error of a message's part. Returns after a rollback where one by one they can be told better:
        another history, and what the server's grammar does not take (then it looked at nothing else)."""
        self._running = message.statements.get(done)
        self._before_it = message.begins[done]
        is_history = done == message.history and isinstance(error, psycopg.errors.DivisionByZero)
        if not is_history and not (done == 0 and isinstance(error, psycopg.errors.SyntaxError)):
            raise error
        self._running, self._before_it, self._each_seconds = None, 0, []
        self.session.connection.execute("ROLLBACK")

    def _look_ahead(self) -> None:
        """While the server is at work: make the next file's intent, if it is one for this session."""
        following = self.work.following
        if following is not None and self.work.sessions.touched(following) is not None:
            texts = [statement.text for statement in following.statements]
            statements = range(len(texts))
            self._following = self.session.intent(following.version, 0, statements, texts)

    def _run(self) -> str:
        work, session = self.work, self.session
        answers = session.run("; ".join((*LOCKED, question(work.migration.version))))
        while answers.nextset():
            pass  # on to the last
        session.history.check(session.connection, work, answers.fetchone())
        if work.check_first is not None and self.segment == 0:
            with session.watch.over():
                work.check_first(session.connection)

        for index in self.statements:
            text = work.migration.statements[index].text
            means = meaning(work.migration.statements[index])
            if means.steers:
                self._each_seconds.append(0.0)
                continue  # the file's own BEGIN and COMMIT are this transaction's
            if session.watch.cancelled:
                raise work.stopped(self.remains)
            work.check_stop(self.remains)
            if work.guard.is_lost:
                work.guard.check()
            refuse_hidden_index(session.connection, means.builds, work.migration.filename)
            self._running = index
            sent = time.monotonic()
            work.carry_out(session, index, partial(session.run, text))
            self._each_seconds.append(round(time.monotonic() - sent, 4))
            self._check_transaction()
        self._running = None

        catalog_sha256, xid = self._end_plainly() if self._touched is not None else self._end()
        self._commit_if_nothing_is_in_the_way(catalog_sha256, xid)
        return catalog_sha256

    def _commit_if_nothing_is_in_the_way(self, catalog_sha256: str, xid: str) -> None:
        if self.session.watch.cancelled:
            raise self.work.stopped(self.remains)
        self.work.check_stop(self.remains)
        if self.work.check_catalog is not None and self.work.is_one_transaction:
            self.work.check_catalog(catalog_sha256)
        commit = CommitIntent(self.work.migration.version, self.segment, xid, catalog_sha256)
        # The server answers while this thread writes: to have another one write costs more than both.
        self.work.guard.check(meanwhile=partial(self._intend_commit, commit))
        self._commit = commit
        self.session.commit()

    def _intend_commit(self, commit: CommitIntent) -> None:
        self.work.journal.commit_intended(commit, self._following)
        if self._following is not None:
            self.work.sessions.announce(self._following, self.work.journal)

    def _end(self) -> tuple[str, str]:
        """Behind the last statement: the schema's hash and the transaction's number."""
        session = self.session
        # What is deferred fails here, where it can be told, rather than in COMMIT.
        session.run("SET CONSTRAINTS ALL IMMEDIATE")
        session.restore_role()
        if self.with_row:
            write_row(session.connection, self.work.migration)
        catalog_sha256 = catalog_hash(session.connection)
        row = session.connection.execute("SELECT pg_catalog.pg_current_xact_id()::text").fetchone()
        return catalog_sha256, str(row[0]) if row else ""

    def _end_plainly(self) -> tuple[str, str]:
        """The same for a plain file: its role is what it was, and nobody but itself has touched what it touched."""
        session = self.session
        names = [(relation.schema, relation.name) for relation in self._touched or ()]
        with session.watch.over():
            session.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            write_row(session.connection, self.work.migration)
            row = session.connection.execute(remains_of_a_session().encode()).fetchone()
            self._remains = int(row[0]) if row else 1
            if session.catalog is None:
                session.catalog = KnownCatalog(session.connection)
                prepare_to_look_again(session.connection)
            return session.catalog.sha256_after(session.connection, names)

    def _check_transaction(self) -> None:
        """A statement that ended the transaction took the ground away: what is committed now is unknown."""
        if self.session.connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
            raise outcome_unknown(self.work.migration, "a statement ended the transaction that it ran in")

    def _settle(self, commit: CommitIntent, pid: int, backend_start: str) -> str:
        """The connection ended during COMMIT: ask the server, in a new session, what became of the transaction."""
        outcome = settle(self.work.connect, pid, backend_start, commit.xid)
        self._finished(outcome, "the connection was lost during COMMIT")
        if outcome is Outcome.DONE:
            return commit.catalog_sha256
        if outcome is Outcome.ROLLED_BACK:
            raise self._lost()
        raise outcome_unknown(self.work.migration, "COMMIT ran")

    def _fail(self, error: psycopg.Error) -> NoReturn:
        """Roll back, write down, and say it in our words. `from None`: the server's text may quote rows."""
        session = self.session
        if is_lost(session.connection):
            self._finished(Outcome.ROLLED_BACK, "the connection was lost before COMMIT")
            raise self._lost() from None
        session.roll_back()
        if isinstance(error, psycopg.errors.LockNotAvailable):
            self._finished(Outcome.ROLLED_BACK, "a lock was not available")
            raise LockUnavailableError(session.watch.blockers, session.watch.behind) from None
        if has_given_way(session.watch, error):
            self._finished(Outcome.ROLLED_BACK, gave_way_words(session.watch))
            raise LockUnavailableError(session.watch.blockers, session.watch.behind) from None
        self._finished(Outcome.ROLLED_BACK, f"SQLSTATE {error.sqlstate or 'unknown'}")
        if session.watch.cancelled and isinstance(error, psycopg.errors.QueryCanceled):
            raise self.work.stopped(self.remains, self._running) from None
        found = describe(error, self.work.migration, self._running, self._before_it)
        raise sql_failed(found, self.remains) from None

    def _lost(self) -> OpsError:
        return ended(
            Reason.CONNECTION_LOST,
            f"{self.work.migration.filename}: the connection to the target was lost before COMMIT.",
            self.remains,
            "Look whether the target is up, then push again.",
        )

    def _finished(self, outcome: Outcome, detail: str = "") -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self.work.journal.segment_finished(
            Finished(
                self.work.migration.version,
                self.segment,
                self.statements,
                outcome,
                seconds,
                detail,
                tuple(self._each_seconds),
            )
        )


def has_given_way(watch: Watch, error: psycopg.Error) -> bool:
    """Whether a statement ended because others waited behind it, and nobody said stop."""
    return isinstance(error, psycopg.errors.QueryCanceled) and watch.gave_way and not watch.cancelled


def gave_way_words(watch: Watch) -> str:
    return f"it gave way to {watch.behind} that waited behind it"


def sql_failed(found: SqlError, remains: str, hint: str = "") -> OpsError:
    """OpsError(SQL_FAILED) with the server's words; `details["sql"]` is all of `found`."""
    hints = " ".join(part for part in (found.detail, found.hint, hint) if part)
    return ended(Reason.SQL_FAILED, str(found), remains, hints, details={"sql": found.to_json()})

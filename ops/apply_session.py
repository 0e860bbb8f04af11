"""The session that sends a file's statements: fresh, fenced by the second lock, with limits that a file cannot drop."""

import hashlib
import re
import select
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from ops.apply_history import KnownHistory
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Journal
from ops.apply_journal import Outcome
from ops.apply_journal import Work
from ops.apply_journal import ended
from ops.apply_plain import Relation
from ops.apply_plain import touched_relations
from ops.apply_together import Answers
from ops.apply_together import read_answers
from ops.apply_watch import Watch
from ops.catalog import KnownCatalog
from ops.database import NOTICES_A_DEAD_CLIENT
from ops.database import Connection
from ops.database import is_lost
from ops.database import refused
from ops.database import restore_role
from ops.database import sent
from ops.database import use_migration_role
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import migrating_lock
from ops.migration import Effect
from ops.migrations import Migration

# Our own transactions wait for the log only; a process that froze must not keep locks for ever.
_IDLE_IN_TRANSACTION = "60s"

# Texts after which a limit may be switched off: every file that pg_dump made begins with SET lock_timeout = 0.
_MAY_DROP_LIMITS = re.compile(r"_timeout|\breset\b|\bdiscard\b", re.IGNORECASE)
_MAY_BUILD = re.compile(r"index\b|constraint\b|\bkey\b", re.IGNORECASE)
_MAY_RESET_ROLE = re.compile(r"\brole\b|\bdiscard\b|\bauthorization\b", re.IGNORECASE)


class Session:
    """One backend at work. `pid` and `started_at` (UTC text) name it for whoever comes after a crash."""

    def __init__(self, work: Work, connection: Connection) -> None:
        self.connection = connection
        self.history = KnownHistory()
        self.catalog: KnownCatalog | None = None
        self.is_like_new = False
        """After a plain file that succeeded: the next one may have this session."""
        self._limits: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        if work.patience.statement_timeout_seconds:
            self._wanted["statement_timeout"] = _milliseconds(work.patience.statement_timeout_seconds)
        self.pid, self.started_at = _itself(connection)
        self.watch = Watch(connection, self.pid, self.started_at, work.guard, work.stop)

    def run(self, text: str) -> "psycopg.Cursor[tuple[Any, ...]]":
        """Send one statement as it is (`%` means nothing), watched; then put back what it may have moved: limits, role.

        Returns its result, at the first of several. Raises psycopg.Error.
        """
        with self.watch.over(builds=_MAY_BUILD.search(text) is not None):
            cursor = self.connection.execute(text.encode(), prepare=False)
        if _MAY_DROP_LIMITS.search(text):
            self._keep_limits()
        if _MAY_RESET_ROLE.search(text):
            self._keep_role()
        return cursor

    def run_together(self, text: str, meanwhile: Callable[[], None], later: Callable[[], None]) -> Answers:
        """Send several statements of a plain file as one message, watched; `meanwhile` is called while they run, and
        `later` besides when that was not long enough for them.

        An error of the server's is among the answers. Raises psycopg.Error when the connection ends.
        """

        def until_answered() -> None:
            meanwhile()
            if not _is_readable(self.connection.pgconn.socket, 0):
                later()

        with self.watch.over(builds=_MAY_BUILD.search(text) is not None):
            return read_answers(sent(self.connection, text.encode(), until_answered))

    def commit(self) -> None:
        """Raises psycopg.Error; the connection may be lost then."""
        error = refused(sent(self.connection, b"COMMIT")[-1])
        if error is not None:
            raise error

    def limit(self, lock_timeout_seconds: float) -> None:
        """From now on, wait this long for a lock; a limit that the file set for itself stays."""
        wanted = _milliseconds(lock_timeout_seconds)
        if self.is_like_new and self._wanted.get("lock_timeout") == wanted:
            return  # nobody has touched it since
        self._wanted["lock_timeout"] = wanted
        self._keep_limits()

    def intent(
        self, version: str, segment: int, statements: Iterable[int], texts: Iterable[str], *, batches: int = 0
    ) -> Intent:
        """The entry to be made before these statements are sent."""
        sha256 = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        return Intent(version, segment, tuple(statements), sha256, self.pid, self.started_at, batches)

    def roll_back(self) -> None:
        """End the transaction if there is one; a session that cannot is closed, which ends it too."""
        try:
            self.connection.execute("ROLLBACK")
        except psycopg.Error:
            self.connection.close()

    def restore_role(self) -> None:
        restore_role(self.connection)

    def _keep_limits(self) -> None:
        """Set what is off or not of the file's own making: what the role or the URL says at first is overruled."""
        for name, value in self._wanted.items():
            now = self._setting("SELECT pg_catalog.current_setting(%s)", name)
            if now in ("0", self._limits.get(name, now)):
                self._limits[name] = self._setting("SELECT pg_catalog.set_config(%s, %s, false)", name, value)

    def _setting(self, query: str, *parameters: str) -> str:
        row = self.connection.execute(query.encode(), parameters).fetchone()
        return str(row[0]) if row else ""

    def _keep_role(self) -> None:
        """As the CLI: logins that act as postgres go on doing so after RESET ROLE; SET ROLE to somebody else stands."""
        if self._setting("SELECT pg_catalog.current_setting(%s)", "role") == "none":
            use_migration_role(self.connection)


def _is_readable(descriptor: int, seconds: float) -> bool:
    """Whether something comes in that time."""
    waiting = select.poll()  # unlike select, with any number of open files
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _itself(connection: Connection) -> tuple[int, str]:
    """The backend's number and start."""
    pid, started_at = _pid_and_start(connection)
    if started_at is None:
        # Who acts as postgres may not see the start of a backend whose login is another, even if it is its own.
        connection.execute("RESET ROLE")
        pid, started_at = _pid_and_start(connection)
        use_migration_role(connection)
    return pid, started_at or ""


def _pid_and_start(connection: Connection) -> tuple[int, str | None]:
    row = connection.execute(
        """
        SELECT pid, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()
        """
    ).fetchone()
    return (int(row[0]), row[1]) if row else (0, None)


def _milliseconds(seconds: float) -> str:
    return f"{max(round(seconds * 1000), 1)}ms"  # 0 would be no limit


@dataclass(frozen=True)
class _Announced:
    """An intent that was written down with the COMMIT of the file before it, and that nothing was sent of yet."""

    intent: Intent
    journal: Journal

    def withdraw(self) -> None:
        told = "nothing of it was sent"
        nothing = Finished(self.intent.version, 0, self.intent.statements, Outcome.ROLLED_BACK, 0.0, told)
        self.journal.segment_finished(nothing)


class Sessions:
    """What a run keeps from file to file: the session that a plain file left like new, and the next file's intent.

    To be closed at the end of the run, which takes back an intent that did not come to anything.
    """

    def __init__(self) -> None:
        self._kept: Session | None = None
        self._announced: _Announced | None = None
        self._touched: dict[str, tuple[Relation, ...] | None] = {}

    def touched(self, migration: Migration) -> tuple[Relation, ...] | None:
        """What a plain file touches; None for a file that is not plain, or not to be run as it is."""
        if migration.version not in self._touched:
            plain = migration.is_one_transaction and not migration.refusals
            plain = plain and migration.effect is Effect.ADDS and not migration.done
            self._touched[migration.version] = touched_relations(migration) if plain else None
        return self._touched[migration.version]

    def announce(self, intent: Intent, journal: Journal) -> None:
        """What comes next is written down."""
        self._announced = _Announced(intent, journal)

    def intend(self, intent: Intent, journal: Journal) -> None:
        """Have the intent in the journal, durably; another one that was announced is taken back."""
        announced, self._announced = self._announced, None
        if announced is not None and announced.intent == intent:
            return
        if announced is not None:
            announced.withdraw()
        journal.statement_intended(intent)

    def take(self) -> Session | None:
        kept, self._kept = self._kept, None
        return kept

    def keep(self, session: Session) -> None:
        self._kept = session

    def close(self) -> None:
        kept = self.take()
        if kept is not None:
            kept.watch.close()
            kept.connection.close()
        announced, self._announced = self._announced, None
        if announced is not None:
            announced.withdraw()


@contextmanager
def open_session(work: Work, lock_timeout_seconds: float) -> Iterator[Session]:
    """A session with the second lock that is new, or like new; closed at the end unless it still is like new.

    Raises OpsError as `connect` does, or TARGET_BUSY.
    """
    kept = work.sessions.take()
    session = kept or _new_session(work)
    try:
        if kept and not work.is_one_transaction:  # what is one transaction does so at its beginning
            session.connection.execute("DISCARD SEQUENCES")
        session.limit(lock_timeout_seconds)
        yield session
    finally:
        if session.is_like_new and not is_lost(session.connection):
            work.sessions.keep(session)
        else:
            session.watch.close()
            session.connection.close()


def _new_session(work: Work) -> Session:
    connection = work.connect()
    try:
        try:
            migrating_lock(connection, work.guard.target_name)
            _notice_dead_clients(connection)
            session = Session(work, connection)
        except psycopg.Error as error:
            raise session_failed(work, error, "") from None
    except BaseException:
        connection.close()
        raise
    return session


def session_failed(work: Work, error: psycopg.Error, remains: str) -> OpsError:
    """The server refused, or lost, something of ours while no statement of the file was on its way."""
    return ended(
        Reason.CONNECTION_LOST,
        f"{work.migration.filename}: the session of the target failed between two statements "
        f"({error.sqlstate or type(error).__name__}).",
        remains,
        "Look whether the target is up, then push again.",
    )


def _notice_dead_clients(connection: Connection) -> None:
    """Let the server end a statement whose sender died, and a transaction that nobody goes on with."""
    connection.execute(NOTICES_A_DEAD_CLIENT, ("idle_in_transaction_session_timeout", _IDLE_IN_TRANSACTION))
    # Not every system that Postgres runs on can do this; then it refuses.
    with suppress(psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        connection.execute("SET client_connection_check_interval = '1s'")

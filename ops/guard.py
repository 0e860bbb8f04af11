"""Who may migrate a target now: two session advisory locks of the target's own database.

The guard session holds `GUARD_KEY` for a whole run; every session that migrates holds `MIGRATING_KEY` besides, so
that a killed runner's statement, which the server carries on with, still keeps the next one out. The keys are
the first eight bytes of SHA-256 as a signed number, one bigint each:

    GUARD_KEY      "countersign guard"      -3850806289710898451
    MIGRATING_KEY  "countersign migrating"  2287431041882733622

Both are taken by trying, never by waiting inside the server: a session that waits there counts as a running
transaction, and CREATE INDEX CONCURRENTLY would wait for it for ever.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

import psycopg

from ops.database import NOTICES_A_DEAD_CLIENT
from ops.database import Connection
from ops.database import nothing
from ops.database import refused
from ops.database import sent
from ops.errors import OpsError
from ops.errors import Reason

Answer = TypeVar("Answer")


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


GUARD_KEY = _key("countersign guard")
MIGRATING_KEY = _key("countersign migrating")

_POLL_SECONDS = 0.05
_KEEPALIVE_SECONDS = 4.0

# One row for each session of this database that holds the key; `high` and `low` are its halves, as pg_locks shows it.
_HOLDERS = """
    SELECT locks.pid FROM pg_catalog.pg_locks AS locks
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
      AND locks.classid = %(high)s::bigint::oid AND locks.objid = %(low)s::bigint::oid
      AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""


def _halves(key: int) -> dict[str, int]:
    return {"high": (key >> 32) & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}


_HELD_HERE = f"""
    SELECT 1 FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'advisory' AND granted AND objsubid = 1
      AND classid = {_halves(GUARD_KEY)["high"]} AND objid = {_halves(GUARD_KEY)["low"]}
    """.encode()  # noqa: S608 (a constant of this module)
"""Whether this very session holds the guard's key, which can only be its own database's. Asked before each COMMIT."""


class Guard:
    """The session that holds a target for a run: `with Guard(connect, "shop/prod") as guard:`.

    `connect` opens a session in autocommit. Entering waits up to `patience_seconds` for the lock and raises
    OpsError(TARGET_BUSY) that names the holder. Threads may share a guard.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        target_name: str,
        *,
        patience_seconds: float = 5.0,
        keepalive_seconds: float = _KEEPALIVE_SECONDS,
    ) -> None:
        self.target_name = target_name
        self._connect = connect
        self._patience_seconds = patience_seconds
        self._keepalive_seconds = keepalive_seconds
        self._connection: Connection | None = None
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._lost = ""
        self._keeper = threading.Thread(target=self._keep_alive, name=f"guard {target_name}", daemon=True)

    def __enter__(self) -> "Guard":
        connection = self._connect()
        try:
            connection.execute(NOTICES_A_DEAD_CLIENT, ("idle_session_timeout", "0"))
            _take(connection, GUARD_KEY, self.target_name, self._patience_seconds)
        except psycopg.Error as error:
            connection.close()
            raise OpsError(
                Reason.TARGET_UNAVAILABLE,
                f"{self.target_name} could not be locked ({error.sqlstate or type(error).__name__}).",
                "Look whether the target is up, then try again.",
            ) from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._keeper.join(timeout=self._keepalive_seconds)
        if self._connection is not None:
            # Ending the session frees the lock; unlocking first frees it before a slow goodbye.
            with suppress(psycopg.Error):
                self._connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", (GUARD_KEY,))
            self._connection.close()

    @property
    def is_lost(self) -> bool:
        """Whether a check has found it lost; asks nobody."""
        return bool(self._lost)

    def check(self, meanwhile: Callable[[], None] = nothing) -> None:
        """Ask the server whether the lock is still ours. Raises OpsError(CONNECTION_LOST) for good when it is not.

        `meanwhile` is called while the question is on its way; what it raises comes out here, when that is answered.
        """
        raised: list[Exception] = []

        def do() -> None:
            try:
                meanwhile()
            except Exception as error:  # an answer that nobody reads would be the next question's
                raised.append(error)

        is_held = self.ask(lambda connection: _is_held_here(connection, do))
        if raised:
            raise raised[0]
        if not is_held:
            self._lost = "the lock is gone"
            raise self._loss()

    def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """A short read on the guard's session. Raises OpsError(CONNECTION_LOST) when the session is gone."""
        with self._mutex:
            if self._lost or self._connection is None:
                raise self._loss()
            try:
                return question(self._connection)
            except psycopg.Error as error:
                self._lost = f"its session ended ({error.sqlstate or type(error).__name__})"
                raise self._loss() from None

    def _loss(self) -> OpsError:
        return OpsError(
            Reason.CONNECTION_LOST,
            f"The guard of {self.target_name} is lost: {self._lost or 'it is not held'}.",
            "Nothing more is sent to the target; look at what was applied before you go on.",
            exit_code=1,
        )

    def _keep_alive(self) -> None:
        while not self._over.wait(self._keepalive_seconds):
            try:
                self.check()
            except OpsError:
                return  # kept in `_lost`: whoever asks next is told


def _is_held_here(connection: Connection, meanwhile: Callable[[], None]) -> bool:
    """Raises psycopg.Error."""
    answer = sent(connection, _HELD_HERE, meanwhile)[-1]
    error = refused(answer)
    if error is not None:
        raise error
    return answer.ntuples > 0


def migrating_lock(connection: Connection, target_name: str, *, patience_seconds: float = 5.0) -> None:
    """Take the second lock for this session, until it ends; holding it already is fine.

    Raises OpsError(TARGET_BUSY) that names the holder: often the statement of a runner that died.
    """
    _take(connection, MIGRATING_KEY, target_name, patience_seconds)


def try_guard(connection: Connection) -> bool:
    """Hold the target for as long as this very session lasts, without waiting. False: another session holds it."""
    row = connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (GUARD_KEY,)).fetchone()
    return bool(row and row[0])


def is_migrating_lock_free(connection: Connection) -> bool:
    """Whether no session of this database migrates. Reads only."""
    return connection.execute(_HOLDERS, _halves(MIGRATING_KEY)).fetchone() is None


def wait_until_gone(connection: Connection, pid: int, backend_start: str, *, timeout_seconds: float) -> bool:
    """Whether the backend can no longer change anything, after waiting for that as long as `timeout_seconds`.

    That is: it is gone, or nobody holds the second lock and it is in no transaction. `backend_start` tells it from a
    later one with the same number; where our role may not see it, the number alone counts.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        if is_settled(connection, pid, backend_start):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def is_settled(connection: Connection, pid: int, backend_start: str) -> bool:
    """What `wait_until_gone` waits for, asked once."""
    row = connection.execute(
        """
        SELECT state IS NOT NULL AND xact_start IS NULL FROM pg_catalog.pg_stat_activity
        WHERE pid = %s AND (backend_start IS NULL OR backend_start = %s::timestamptz)
        """,
        (pid, backend_start),
    ).fetchone()
    return row is None or (bool(row[0]) and is_migrating_lock_free(connection))


def cancel_statement(connection: Connection, pid: int, backend_start: str) -> bool:
    """Cancel what exactly this backend runs, whoever has its number later; its session goes on. False: it cannot be.

    Never to be called while the backend may be at its COMMIT.
    """
    try:
        row = connection.execute(
            """
            SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE pid = %s AND backend_start = %s::timestamptz
            """,
            (pid, backend_start),
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return False  # the login of the backend is above the role that this session acts as
    return row is not None and bool(row[0])


def _take(connection: Connection, key: int, target_name: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        row = connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (key,)).fetchone()
        if row and row[0]:
            return
        if time.monotonic() >= deadline:
            raise OpsError(
                Reason.TARGET_BUSY,
                f"{target_name} is being migrated by another session: {_holder(connection, key)}.",
                "Wait until it is done, then try again.",
                exit_code=5,
            )
        time.sleep(_POLL_SECONDS)


def _holder(connection: Connection, key: int) -> str:
    row = connection.execute(
        f"""
        SELECT pid, coalesce(application_name, ''), coalesce(usename, ''),
               to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        FROM ({_HOLDERS}) AS holder LEFT JOIN pg_catalog.pg_stat_activity USING (pid)
        LIMIT 1
        """,  # noqa: S608 (a constant of this module)
        _halves(key),
    ).fetchone()
    if row is None:
        return "it let go just now"
    pid, application, user, since = row
    return f"pid {pid}, {application or 'without a name'}, user {user or 'hidden'}, since {since or 'unknown'}"

"""What became of statements whose sender died or lost its connection, as far as the server can still say."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal
from typing import TypeVar

import psycopg

from ops.apply_indexes import find_indexes
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.apply_partitions import find_attached
from ops.apply_statements import Detached
from ops.apply_statements import Index
from ops.apply_statements import meaning_of
from ops.database import Connection
from ops.errors import OpsError
from ops.guard import is_settled
from ops.guard import wait_until_gone
from ops.history import file_sha256
from ops.history import read_history
from ops.history import statements_sha256
from ops.migration import Effect
from ops.migrations import Migration

Answer = TypeVar("Answer")

_SETTLE_SECONDS = 15.0
_RECONNECT_SECONDS = 0.5


@dataclass(frozen=True)
class Found:
    """What is on the target. `of` says what `outcome` speaks about: the whole file, or only the intent's segment.

    DONE (of a file: its history row is there with these statements), ROLLED_BACK (nothing of it remains) or UNKNOWN;
    `why` is the evidence in words. `left` names indexes that are INVALID now.
    """

    outcome: Outcome
    of: Literal["file", "segment"]
    why: str
    left: tuple[str, ...] = ()


def inspect_after_crash(
    connection: Connection, migration: Migration, intent: Intent, *, commit_xid: str | None = None
) -> Found:
    """What became of the last intent of a file that has no outcome. Reads only, and does not wait.

    `commit_xid` is the transaction of the intent's COMMIT, of batches the newest's; None: no COMMIT was sent.
    First wait until the backend is gone (`wait_until_gone`); while it works, everything is UNKNOWN.
    """
    if not is_settled(connection, intent.backend_pid, intent.backend_start):
        return Found(Outcome.UNKNOWN, "segment", f"backend {intent.backend_pid} is still at work")
    told = _told_by_history(connection, migration)
    if told is not None:
        return told

    is_row_alone = intent.segment >= len(migration.segments)
    if is_row_alone:
        return Found(Outcome.ROLLED_BACK, "segment", "every statement ran; only the history is not as it should be yet")
    if migration.batches is None and not migration.segments[intent.segment].transactional:
        return _inspect_alone(connection, migration, intent)
    if migration.is_one_transaction and migration.effect is not Effect.KEEPS:
        return Found(Outcome.ROLLED_BACK, "file", "its transaction left the history as it was")
    outcome = transaction_outcome(connection, commit_xid) if commit_xid else Outcome.ROLLED_BACK
    of: Literal["file", "segment"] = "file" if migration.is_one_transaction else "segment"
    return Found(outcome, of, f"transaction {commit_xid}" if commit_xid else "COMMIT was never sent")


def _told_by_history(connection: Connection, migration: Migration) -> Found | None:
    """What the history says of a file whose last transaction changes it; None where that was not committed."""
    row = next((row for row in read_history(connection) if row.version == migration.version), None)
    match migration.effect:
        case Effect.ADDS if row is not None:
            if row.sha256 == statements_sha256(statement.text for statement in migration.statements):
                return Found(Outcome.DONE, "file", "the history has the file with these statements")
            return Found(Outcome.UNKNOWN, "file", "the history has this version with other statements")
        case Effect.WRITES if row is not None and row.sha256 == file_sha256(migration):
            return Found(Outcome.DONE, "file", "the history has the file with these statements")
        case Effect.REMOVES if row is None:
            return Found(Outcome.DONE, "file", "the history has this version no more")
        case _:
            return None


def settle(
    connect: Callable[[], Connection],
    pid: int,
    backend_start: str,
    xid: str,
    *,
    patience_seconds: float = _SETTLE_SECONDS,
) -> Outcome:
    """What became of a transaction whose COMMIT was sent when the connection ended: DONE, ROLLED_BACK or UNKNOWN.

    Asks in a new session, once the old backend is gone; UNKNOWN when either does not happen within `patience_seconds`,
    which is enough for a server that starts again after a crash.
    """
    asked = _ask_when_gone(
        connect, pid, backend_start, lambda connection: transaction_outcome(connection, xid), patience_seconds
    )
    return asked or Outcome.UNKNOWN


def settle_alone(
    connect: Callable[[], Connection],
    migration: Migration,
    intent: Intent,
    *,
    patience_seconds: float = _SETTLE_SECONDS,
) -> Found:
    """The same for a statement outside a transaction: what the catalog shows of it, once its backend is gone."""
    asked = _ask_when_gone(
        connect,
        intent.backend_pid,
        intent.backend_start,
        lambda connection: inspect_after_crash(connection, migration, intent),
        patience_seconds,
    )
    if asked is None or asked.of == "file":
        return Found(Outcome.UNKNOWN, "segment", asked.why if asked else "the target could not be looked at")
    return asked


def _ask_when_gone(
    connect: Callable[[], Connection],
    pid: int,
    backend_start: str,
    question: Callable[[Connection], Answer],
    patience_seconds: float,
) -> Answer | None:
    """The answer in a new session, once the backend can change nothing any more; None where that takes too long."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            with closing(connect()) as connection:
                left_seconds = max(0.0, deadline - time.monotonic())
                if not wait_until_gone(connection, pid, backend_start, timeout_seconds=left_seconds):
                    return None
                return question(connection)
        except (OpsError, psycopg.Error):
            if time.monotonic() >= deadline:
                return None
        time.sleep(_RECONNECT_SECONDS)


def transaction_outcome(connection: Connection, xid: str) -> Outcome:
    """By the server's own record, which a crash of the server does not lose (nor a COMMIT that only it saw)."""
    try:
        row = connection.execute("SELECT pg_catalog.pg_xact_status(%s::xid8)", (xid,)).fetchone()
    except psycopg.Error:
        return Outcome.UNKNOWN  # a number from the future: this is another server, or an older copy of it
    return {"committed": Outcome.DONE, "aborted": Outcome.ROLLED_BACK}.get(str(row and row[0]), Outcome.UNKNOWN)


def _inspect_alone(connection: Connection, migration: Migration, intent: Intent) -> Found:
    if len(intent.statements) != 1:
        return Found(Outcome.UNKNOWN, "segment", "more than one statement ran outside a transaction")
    meaning = meaning_of(migration.statements[intent.statements[0]].text)
    if meaning.builds is not None and meaning.builds.name:
        return _inspect_built(connection, meaning.builds)
    if len(meaning.drops) == 1:
        return _inspect_dropped(connection, meaning.drops[0])
    if meaning.detaches is not None:
        return _inspect_detached(connection, meaning.detaches)
    return Found(Outcome.UNKNOWN, "segment", "the catalog does not show what such a statement did")


def _inspect_built(connection: Connection, wanted: Index) -> Found:
    found = find_indexes(connection, wanted)
    if not found:
        return Found(Outcome.ROLLED_BACK, "segment", f"index {wanted} is not there")
    if len(found) > 1:
        return Found(Outcome.UNKNOWN, "segment", f"several indexes are called {wanted}")
    if found[0].valid:
        return Found(Outcome.DONE, "segment", f"index {found[0].name} is there and valid")
    return Found(Outcome.UNKNOWN, "segment", f"index {found[0].name} is INVALID", (found[0].name,))


def _inspect_detached(connection: Connection, unwanted: Detached) -> Found:
    found = find_attached(connection, unwanted)
    if not found:
        return Found(Outcome.DONE, "segment", f"{unwanted.name} is no partition of {unwanted.parent} any more")
    if len(found) > 1 or found[0].pending:
        return Found(Outcome.UNKNOWN, "segment", f"partition {found[0].name} is neither attached nor detached")
    return Found(Outcome.ROLLED_BACK, "segment", f"{found[0].name} is still a partition of {found[0].parent}")


def _inspect_dropped(connection: Connection, unwanted: Index) -> Found:
    found = find_indexes(connection, unwanted)
    if not found:
        return Found(Outcome.DONE, "segment", f"index {unwanted} is gone")
    if len(found) > 1 or not found[0].valid:
        left = tuple(index.name for index in found if not index.valid)
        return Found(Outcome.UNKNOWN, "segment", f"index {unwanted} is there, but not as it was", left)
    return Found(Outcome.ROLLED_BACK, "segment", f"index {found[0].name} is still there and valid")

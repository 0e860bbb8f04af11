"""What a target says of itself when a plan is made."""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg

from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryProblem
from ops.history import HistoryRow
from ops.history import has_history
from ops.history import read_history
from ops.history import read_versions
from ops.history import with_statements
from ops.known_history import read_known_history
from ops.migration import Migration
from ops.targets import Target


@dataclass(frozen=True)
class State:
    """Its history and fingerprint, and the session that it was asked in, which is the caller's to close."""

    target: str
    connection: Connection
    rows: tuple[HistoryRow, ...]
    fingerprint: Fingerprint

    def rows_with_statements(self, files: Mapping[str, Migration]) -> tuple[HistoryRow, ...]:
        """The history with the stored statements of what differs from its file. Raises OpsError."""
        try:
            return with_statements(self.connection, self.rows, files)
        except psycopg.Error as error:
            raise target_failed(self.target, error) from error

    def hidden_indexes(self, pending: Sequence[Migration]) -> tuple[HistoryProblem, ...]:
        """The INVALID indexes that these files would take for good ones. Raises OpsError."""
        if not any("index" in text and "exists" in text for text in (one.text.lower() for one in pending)):
            return ()
        from ops.hidden_indexes import hidden_indexes  # with the grammar, which few plans need

        try:
            return hidden_indexes(self.connection, pending)
        except psycopg.Error as error:
            raise target_failed(self.target, error) from error


def read_target(target: Target) -> State:
    """The target as it is now. Reads only. Raises OpsError when it cannot be read."""
    connection = connect(target.database_url(), purpose=f"plan {target.name}")
    try:
        history = read_known_history(connection)
        fingerprint = read_fingerprint(
            connection, project_ref=target.settings.project_ref, history=history.rows, hashed=history.sha256
        )
    except psycopg.Error as error:
        connection.close()
        raise target_failed(target.name, error) from error
    return State(target.name, connection, history.rows, fingerprint)


def applied_versions(target: Target, *, seconds: int = 1) -> frozenset[str]:
    """The versions in the target's history, where it answers within so many seconds. Reads only. Raises OpsError."""
    connection = connect(target.database_url(), purpose=f"look at {target.name}", connect_timeout_seconds=seconds)
    with closing(connection):
        try:
            connection.execute(f"SET statement_timeout = '{seconds}s'")
            return frozenset(read_versions(connection)) if has_history(connection) else frozenset()
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error


ASKED_SECONDS = 3
"""So long another target than the one that is planned is waited for, to be reached and to answer."""


def stored_statements(target: Target) -> dict[str, str]:
    """The hash of the statements that the target's history holds, by version; those without any are left out. Reads only.

    Raises OpsError when the target does not answer within a few seconds.
    """
    connection = connect(target.database_url(), purpose=f"look at {target.name}", connect_timeout_seconds=ASKED_SECONDS)
    with closing(connection):
        try:
            connection.execute(f"SET statement_timeout = '{ASKED_SECONDS}s'")
            return {row.version: row.sha256 for row in read_history(connection) if row.sha256}
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error

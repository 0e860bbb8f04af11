"""Who queues up behind a backend that itself waits for a lock: they wait because of us, not because of the blocker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from ops.database import Connection


@dataclass(frozen=True)
class Queue:
    """`waits`: the backend waits for a lock. `behind`: so many sessions wait for it meanwhile. `cancelled`: its
    statement was told to end because of them."""

    waits: bool
    behind: int
    cancelled: bool


def count_behind(connection: "Connection", pid: int) -> int:
    """How many sessions wait for a lock that this backend has, or wants before them, at this moment."""
    row = connection.execute(
        """
        SELECT count(*) FROM pg_catalog.pg_stat_get_activity(NULL) AS other
        WHERE other.pid <> %(pid)s AND coalesce(other.wait_event_type, 'Lock') = 'Lock'
          AND %(pid)s = ANY (pg_catalog.pg_blocking_pids(other.pid))
        """,
        {"pid": pid},
    ).fetchone()
    return int(row[0]) if row else 0


def look_behind(connection: "Connection", pid: int, backend_start: str, *, give_way: bool) -> Queue:
    """How the backend stands in the queue for a lock, in one round trip; with `give_way`, its statement is cancelled at
    once where somebody waits behind it. Where our role may not cancel it, `cancelled` is false, whoever waits.

    With `give_way` never to be called while the backend may be at its COMMIT.
    """
    try:
        return _look(connection, pid, backend_start, give_way=give_way)
    except psycopg.errors.InsufficientPrivilege:
        return _look(connection, pid, backend_start, give_way=False)


def _look(connection: "Connection", pid: int, backend_start: str, *, give_way: bool) -> Queue:
    # A waiting state that our role may not see is as good as one: pg_blocking_pids itself tells everybody.
    row = connection.execute(
        """
        WITH queue AS MATERIALIZED (
            SELECT pg_catalog.cardinality(pg_catalog.pg_blocking_pids(%(pid)s)) > 0 AS waits
        ), behind AS MATERIALIZED (
            SELECT count(*) AS number
            FROM pg_catalog.pg_stat_get_activity(NULL) AS other
            WHERE (SELECT waits FROM queue) AND other.pid <> %(pid)s
              AND coalesce(other.wait_event_type, 'Lock') = 'Lock'
              AND %(pid)s = ANY (pg_catalog.pg_blocking_pids(other.pid))
        )
        SELECT queue.waits, behind.number, CASE WHEN %(give_way)s AND behind.number > 0 THEN (
            SELECT pg_catalog.pg_cancel_backend(us.pid) FROM pg_catalog.pg_stat_activity AS us
            WHERE us.pid = %(pid)s AND us.backend_start = %(backend_start)s::timestamptz
        ) END
        FROM queue, behind
        """,
        {"pid": pid, "backend_start": backend_start, "give_way": give_way},
    ).fetchone()
    waits, behind, cancelled = row or (False, 0, None)
    return Queue(bool(waits), int(behind), bool(cancelled))

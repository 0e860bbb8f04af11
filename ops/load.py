"""How much a target has to do at this moment: transactions, sessions, waits, slow queries, lag. Reads only."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from socket import SHUT_RDWR
from socket import socket

import psycopg
from psycopg import sql

from ops.blockers import query_shape
from ops.database import Connection

SLOW_SECONDS = 2.0
"""A query that runs longer counts as slow."""

WAITING_SECONDS = 1.0
"""Who waits for a lock for less is not counted: that is everyday life."""

SILENCE_SECONDS = 10.0
"""A server that does not answer a look for so long is taken for gone: a frozen one keeps its connections."""

OTHERS = "other people's sessions"
STANDBYS = "how far standbys are behind"
"""What our role may not see without pg_monitor."""

STATEMENTS_KEPT = 150
"""Of pg_stat_statements, those that took longest together, and as many that ran most often."""


@dataclass(frozen=True)
class Look:
    """One look. `committed`, `rolled_back` and `deadlocks` count since `counted_since`, when the server began to.

    Sessions of ours are in none of it but `taken`, which are all of the server's `limit` that are in use. `waiting` are
    the sessions that wait for a lock, `slow` those whose query runs long, each with the longest and its query without
    literals. Lag is that of the standby that is furthest behind; None without one, or where our role may not see it.
    `unseen` names what our role may not see, which is in none of the numbers.
    """

    committed: int
    rolled_back: int
    deadlocks: int
    counted_since: datetime | None
    connections: int
    taken: int
    limit: int
    waiting: int
    waiting_seconds: float
    waiting_query: str
    slow: int
    slow_seconds: float
    slow_query: str
    lag_seconds: float | None
    lag_bytes: int | None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """What the server counted of one query: how often it ran and how long that took together."""

    calls: int
    milliseconds: float


def look_at_load(connection: Connection) -> Look:
    """The load as it is now, in three short queries. Raises psycopg.Error."""
    counted = connection.execute(_COUNTED).fetchone()
    sessions = connection.execute(_BUSY_SESSIONS, {"slow": SLOW_SECONDS, "waiting": WAITING_SECONDS}).fetchall()
    lag = connection.execute(_LAG).fetchone()
    if counted is None or lag is None:
        raise psycopg.DataError("the server has no statistics of this database")
    waiting = [(seconds, query) for is_waiting, seconds, query in sessions if is_waiting]
    slow = [(seconds, query) for is_waiting, seconds, query in sessions if not is_waiting]
    longest_wait, longest = max(waiting, default=(0.0, "")), max(slow, default=(0.0, ""))
    committed, rolled_back, deadlocks, counted_since, connections, taken, limit, sees_all = counted
    hidden = () if sees_all else (OTHERS, STANDBYS) if lag[2] else (OTHERS,)
    return Look(
        committed=committed,
        rolled_back=rolled_back,
        deadlocks=deadlocks,
        counted_since=counted_since,
        connections=connections,
        taken=taken,
        limit=limit,
        waiting=len(waiting),
        waiting_seconds=round(longest_wait[0], 1),
        waiting_query=query_shape(longest_wait[1]),
        slow=len(slow),
        slow_seconds=round(longest[0], 1),
        slow_query=query_shape(longest[1]),
        lag_seconds=lag[0],
        lag_bytes=lag[1],
        unseen=hidden,
    )


_COUNTED = """
SELECT counted.xact_commit, counted.xact_rollback, counted.deadlocks, counted.stats_reset,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS activity
        WHERE activity.datid = counted.datid AND coalesce(activity.backend_type, 'client backend') = 'client backend'
          AND activity.application_name NOT LIKE 'countersign %'),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS activity
        WHERE activity.datid IS NOT NULL AND coalesce(activity.backend_type, 'client backend') = 'client backend'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
FROM pg_catalog.pg_stat_database AS counted
WHERE counted.datname = current_database()
"""

# What a session waits for is asked only of those that do: reading all locks holds up everybody who takes one.
_BUSY_SESSIONS = """
SELECT is_waiting, seconds, query
FROM (
    SELECT activity.wait_event_type IS NOT DISTINCT FROM 'Lock' AS is_waiting, left(activity.query, 1000) AS query,
           extract(epoch FROM clock_timestamp() - CASE
               WHEN activity.wait_event_type = 'Lock' THEN coalesce(
                   (SELECT min(held.waitstart) FROM pg_catalog.pg_locks AS held
                    WHERE held.pid = activity.pid AND NOT held.granted),
                   clock_timestamp())
               ELSE activity.query_start
           END)::float8 AS seconds
    FROM pg_catalog.pg_stat_activity AS activity
    WHERE activity.datname = current_database() AND activity.state = 'active'
      AND activity.backend_type = 'client backend' AND activity.pid <> pg_catalog.pg_backend_pid()
      AND activity.application_name NOT LIKE 'countersign %%'
) AS busy
WHERE seconds >= CASE WHEN is_waiting THEN %(waiting)s ELSE %(slow)s END
ORDER BY seconds DESC
LIMIT 500
"""

_LAG = """
SELECT max(extract(epoch FROM replay_lag))::float8,
       max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn))::bigint, count(*)
FROM pg_catalog.pg_stat_replication
"""


class Statements:
    """What pg_stat_statements has counted, where a target has it and lets us read it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._schema = self._find()

    def _find(self) -> sql.Identifier | None:
        row = self._connection.execute(
            "SELECT space.nspname FROM pg_catalog.pg_extension"
            " JOIN pg_catalog.pg_namespace AS space ON space.oid = extnamespace WHERE extname = 'pg_stat_statements'"
        ).fetchone()
        return sql.Identifier(row[0]) if row else None

    def counted(self) -> dict[int, Ran]:
        """Every query of this database by its id; empty where nothing counts them."""
        if self._schema is None:
            return {}
        query = sql.SQL(
            "SELECT queryid, sum(calls)::bigint, sum(total_exec_time)::float8 FROM {}.pg_stat_statements(false)"
            " WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            " AND queryid IS NOT NULL GROUP BY queryid"
        ).format(self._schema)
        try:
            return {queryid: Ran(calls, took) for queryid, calls, took in self._connection.execute(query)}
        except psycopg.errors.Error:
            if self._connection.closed or self._connection.broken:
                raise
            self._schema = None  # it is there, but not loaded, or not for our role
            return {}

    def query(self, queryid: int) -> str:
        """The query with this id without literals; empty where it cannot be told."""
        if self._schema is None:
            return ""
        query = sql.SQL("SELECT left(query, 1000) FROM {}.pg_stat_statements WHERE queryid = %s LIMIT 1")
        row = self._connection.execute(query.format(self._schema), (queryid,)).fetchone()
        return query_shape(row[0] or "") if row else ""


def usual_milliseconds(counted: dict[int, Ran]) -> dict[str, float]:
    """How long queries take on average, of those that matter most, by id."""
    ran = [(queryid, one) for queryid, one in counted.items() if one.calls]
    longest = sorted(ran, key=lambda each: each[1].milliseconds, reverse=True)[:STATEMENTS_KEPT]
    most = sorted(ran, key=lambda each: each[1].calls, reverse=True)[:STATEMENTS_KEPT]
    return {str(queryid): round(one.milliseconds / one.calls, 3) for queryid, one in [*longest, *most]}


@contextmanager
def given_up_after(connection: Connection, seconds: float = SILENCE_SECONDS) -> Iterator[None]:
    """Cut a connection whose server stays silent longer than this; the query then ends with psycopg.OperationalError."""

    def cut() -> None:
        with suppress(OSError, psycopg.Error), socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

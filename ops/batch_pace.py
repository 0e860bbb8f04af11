"""How large the next batch is and how long to rest before it: by how long the last one took, and by who suffers."""

from dataclasses import dataclass

from ops.database import Connection
from ops.migration import Batches

_FIRST_ROWS = 1_000
_MOST_ROWS = 20_000
_GROWTH = 2.0
_REST_SECONDS = 0.2
_LONGEST_REST_SECONDS = 5.0


@dataclass(frozen=True)
class Pace:
    """What a batch aims at, and what ends a pause. A batch that has lasted `longest_seconds` is given up and tried again
    with fewer rows. None: standbys are not looked at by that measure. `patience_seconds`: so long one is waited for."""

    batch_seconds: float = 0.5
    crowded_seconds: float = 0.1
    """What a batch aims at as long as others were seen to wait for its rows."""
    longest_seconds: float = 3.0
    lag_seconds: float | None = 10.0
    lag_bytes: int | None = 64 * 2**20
    patience_seconds: float = 1800.0

    @property
    def looks_at_standbys(self) -> bool:
        return self.lag_seconds is not None or self.lag_bytes is not None


class Steps:
    """The size of the next batch: what the file wants at most; where it says nothing, as many as go into the time."""

    def __init__(self, pace: Pace, asked: Batches | None) -> None:
        self._pace = pace
        wanted = asked.rows if asked else None
        self._most = wanted or _MOST_ROWS
        self.rows = wanted or _FIRST_ROWS
        self.rest_seconds = 0.0

    def took(self, seconds: float, behind: int) -> None:
        """A batch is committed; `behind`: so many sessions were seen to wait for its rows."""
        if behind:
            self.rows = self._within(min(self.rows * self._pace.crowded_seconds / seconds, self.rows / 2))
            self.rest_seconds = min(max(self.rest_seconds * _GROWTH, _REST_SECONDS), _LONGEST_REST_SECONDS)
            return
        self.rest_seconds = 0.0
        self.rows = self._within(self.rows * min(self._pace.batch_seconds / max(seconds, 0.001), _GROWTH))

    def failed(self) -> bool:
        """A batch lasted too long, or met somebody's lock: with fewer rows next. False: it was one row already."""
        was = self.rows
        self.rows = self._within(self.rows / 4)
        return was > 1

    def _within(self, rows: float) -> int:
        return max(1, min(int(rows), self._most))


@dataclass(frozen=True)
class Standby:
    """Someone who replays what this server writes, and how far behind. `hidden`: our role may not see that."""

    name: str
    seconds: float
    bytes: int
    hidden: bool

    def __str__(self) -> str:
        return f"standby {self.name or 'without a name'} is {self.bytes / 1e6:.0f} MB and {self.seconds:.0f} s behind"

    def is_too_far(self, pace: Pace) -> bool:
        seconds = pace.lag_seconds is not None and self.seconds > pace.lag_seconds
        return seconds or (pace.lag_bytes is not None and self.bytes > pace.lag_bytes)


def read_standbys(connection: Connection) -> tuple[Standby, ...]:
    """Those who are connected and replay, the farthest behind first. Who only keeps what is written replays nothing."""
    rows = connection.execute(
        """
        SELECT coalesce(application_name, ''), coalesce(extract(epoch FROM replay_lag), 0)::float8,
               greatest(coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn), 0), 0)::bigint,
               state IS NULL
        FROM pg_catalog.pg_stat_replication
        WHERE state IS NULL OR (state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL)
        ORDER BY 3 DESC, 2 DESC
        """
    ).fetchall()
    return tuple(Standby(name, seconds, size, hidden) for name, seconds, size, hidden in rows)

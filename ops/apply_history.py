"""The target's history inside a file's transaction: whether it is what the plan was made for, asked as cheaply as can be."""

from typing import Any

from ops.apply_journal import Work
from ops.database import Connection
from ops.history import read_versions


class KnownHistory:
    """What a session knows of the history: after a first look at every version, their number and a sum of hashes."""

    def __init__(self) -> None:
        self._rows = -1
        self._sum = 0

    def check(self, connection: Connection, work: Work, row: tuple[Any, ...] | None) -> None:
        """Raises OpsError(PLAN_CHANGED) unless the history is what the plan was made for. For after the lock.

        `row` is the answer to `question`. Both numbers as this session left them, under the lock that keeps others out,
        mean the same versions; any other number has all of them read and compared.
        """
        rows, total, own = (int(row[0]), int(row[1]), int(row[2])) if row else (-1, 0, 0)
        if rows < 0 or (rows, total) != (self._rows, self._sum):
            work.check_history(read_versions(connection))
        self._rows, self._sum = rows + 1, total + own


def question(version: str) -> str:
    """How many versions the history holds, a sum of their hashes, and the hash of this one, which is digits only."""
    if not version.isascii() or not version.isdigit():
        raise ValueError(version)
    return f"""
        SELECT count(*), coalesce(sum(pg_catalog.hashtextextended(version, 20260101)), 0),
               pg_catalog.hashtextextended('{version}', 20260101)
        FROM supabase_migrations.schema_migrations
        """  # noqa: S608 (digits)

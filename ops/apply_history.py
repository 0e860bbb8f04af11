"""The target's history inside a file's transaction: whether it is what the plan was made for, asked as cheaply as can be."""

from typing import Any

from ops.apply_journal import Work
from ops.database import Connection
from ops.history import read_versions

LOCKED = (
    "BEGIN",
    "DISCARD SEQUENCES",  # what an earlier file of this session took from a sequence is none of the next one's business
    "LOCK TABLE supabase_migrations.schema_migrations IN SHARE ROW EXCLUSIVE MODE",
)
"""A transaction that others cannot add history rows beside. A lock that is waited for is waited for in here."""


class KnownHistory:
    """What a session knows of the history: after a first look at every version, their number and a sum of hashes."""

    def __init__(self) -> None:
        self._rows = -1
        self._sum = 0
        self._own = 0

    def check(self, connection: Connection, work: Work, row: tuple[Any, ...] | None) -> None:
        """Raises OpsError(PLAN_CHANGED) unless the history is what the plan was made for. For after the lock.

        `row` is the answer to `question`. Both numbers as this session left them, under the lock that keeps others out,
        mean the same versions; any other number has all of them read and compared.
        """
        rows, total, self._own = (int(row[0]), int(row[1]), int(row[2])) if row else (-1, 0, 0)
        if rows < 0 or (rows, total) != (self._rows, self._sum):
            work.check_history(read_versions(connection))
        self._rows, self._sum = rows, total

    def comparison(self, version: str) -> str:
        """A query that fails with a division by zero unless the history is as this session left it."""
        return f"""
            SELECT {_hash_of(version)}, 1 / (count(*) = {self._rows} AND {_SUM} = {self._sum})::int
            FROM supabase_migrations.schema_migrations
            """  # noqa: S608 (numbers of ours)

    def compared(self, own: int) -> None:
        """The comparison held; `own` is the hash of the version that this transaction adds."""
        self._own = own

    def row_added(self) -> None:
        """The transaction that was looked at has committed, and the file's row with it. Nothing is taken as there before."""
        self._rows, self._sum = self._rows + 1, self._sum + self._own


_SUM = "coalesce(sum(pg_catalog.hashtextextended(version, 20260101)), 0)"


def question(version: str) -> str:
    """How many versions the history holds, a sum of their hashes, and the hash of this one, which is digits only."""
    return f"""
        SELECT count(*), {_SUM}, {_hash_of(version)} FROM supabase_migrations.schema_migrations
        """  # noqa: S608 (digits)


def _hash_of(version: str) -> str:
    if not version.isascii() or not version.isdigit():
        raise ValueError(version)
    return f"pg_catalog.hashtextextended('{version}', 20260101)"

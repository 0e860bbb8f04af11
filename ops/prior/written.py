"""What a transaction has written so far, by the server's own count: what a statement, its triggers and functions did."""

from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from ops.prior.sending import NotCopiedError
from ops.prior.sending import Sending


@dataclass(frozen=True)
class Rows:
    """How many were inserted, changed, deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)

    def __sub__(self, other: "Rows") -> "Rows":
        return Rows(self.inserted - other.inserted, self.updated - other.updated, self.deleted - other.deleted)


@dataclass(frozen=True)
class Written:
    """By table, partitions under the uppermost table. `locked` are those that nobody else may even read now: emptied or
    redefined ones."""

    rows: Mapping[int, Rows]
    names: Mapping[int, str]
    locked: frozenset[int]

    def since(self, before: "Written") -> dict[int, Rows]:
        """What came to what was there before, by table; a table to which nothing came is not in it."""
        numbers = self.rows.keys() | before.rows.keys()
        found = {one: self.rows.get(one, Rows()) - before.rows.get(one, Rows()) for one in numbers}
        return {one: rows for one, rows in found.items() if rows != Rows() and one in self.rows}

    def locked_since(self, before: "Written", known: Collection[int]) -> list[str]:
        """The names of the tables, but those known, that were emptied or redefined since."""
        return sorted(self.names[one] for one in self.locked - before.locked - set(known))


def written(sending: Sending) -> Written:
    """The count at this moment; our own copies are not in it. Raises NotCopiedError where the server does not count."""
    found = sending.run(_WRITTEN).fetchall()
    rows: dict[int, Rows] = {}
    names: dict[int, str] = {}
    locked = set()
    for number, name, inserted, updated, deleted, is_locked, counts in found:
        if not counts:
            raise NotCopiedError("the server does not count what is written (track_counts)")
        if number is None:
            continue
        names[number] = name
        rows[number] = rows.get(number, Rows()) + Rows(inserted, updated, deleted)
        if is_locked:
            locked.add(number)
    return Written(rows, names, frozenset(locked))


def root_of(sending: Sending, oid: int) -> int:
    """The uppermost table that this is a partition of; itself where it is none."""
    query = "SELECT coalesce(pg_catalog.pg_partition_root({}::pg_catalog.oid)::pg_catalog.oid, {})"
    return sending.number(sql.SQL(query).format(sql.Literal(oid), sql.Literal(oid)))


_WRITTEN = """
SELECT f.number::int8, n.nspname || '.' || r.relname, f.inserted, f.updated, f.deleted, f.is_locked,
  pg_catalog.current_setting('track_counts')::pg_catalog.bool
FROM (VALUES (1)) AS always
LEFT JOIN (
  SELECT coalesce(pg_catalog.pg_partition_root(c.oid), c.oid) AS number, s.inserted, s.updated, s.deleted, s.is_locked
  FROM (
    SELECT relid, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted, false AS is_locked
    FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
    UNION ALL
    SELECT relation, 0, 0, 0, true FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  ) AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.relid AND c.relkind IN ('r', 'p')
  JOIN pg_catalog.pg_namespace AS own ON own.oid = c.relnamespace AND own.nspname <> 'countersign_undo'
) AS f ON true
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = f.number LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
"""

"""How far the server is with building an index, by its own count. Reads only."""

from dataclasses import dataclass

from ops.database import Connection


@dataclass(frozen=True)
class Building:
    """One look at an index that a backend builds. `oid` 0 and `index` "": it has no name yet.

    `phase` is Postgres' word for what it does; `share` (0 to 1) how much of that phase is done, None where it does not
    count. https://www.postgresql.org/docs/18/progress-reporting.html (read 2026-11).
    """

    oid: int
    index: str
    table: str
    phase: str
    share: float | None

    @property
    def waits(self) -> bool:
        """It waits for the transactions of others to end, as building beside them takes."""
        return self.phase.startswith("waiting")

    def __str__(self) -> str:
        what = f"index {self.index}" if self.index else f"an index on {self.table}"
        phase = self.phase.removeprefix("building index: ").replace(": ", ", ")
        share = f", {self.share * 100:.0f} %" if self.share is not None and not self.waits else ""
        return f"building {what}: {phase}{share}"


def read_building(connection: Connection, pid: int) -> Building | None:
    """What the backend builds at this moment; None when it builds no index, or our role may not see it."""
    row = connection.execute(
        """
        SELECT coalesce(p.index_relid, 0)::bigint,
               CASE WHEN i.oid IS NULL THEN '' ELSE format('%%I.%%I', n.nspname, i.relname) END,
               CASE WHEN t.oid IS NULL THEN 'a table' ELSE format('%%I.%%I', tn.nspname, t.relname) END, p.phase,
               CASE WHEN p.phase LIKE 'waiting%%' THEN p.lockers_done::float8 / nullif(p.lockers_total, 0)
                    WHEN p.phase LIKE '%%loading tuples%%' THEN p.tuples_done::float8 / nullif(p.tuples_total, 0)
                    ELSE p.blocks_done::float8 / nullif(p.blocks_total, 0) END
        FROM pg_catalog.pg_stat_progress_create_index AS p
        LEFT JOIN pg_catalog.pg_class AS i ON i.oid = p.index_relid
        LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
        LEFT JOIN pg_catalog.pg_class AS t ON t.oid = p.relid
        LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
        WHERE p.pid = %s AND p.datname = pg_catalog.current_database() AND p.phase IS NOT NULL
        """,
        (pid,),
    ).fetchone()
    if row is None:
        return None
    oid, index, table, phase, share = row
    # While the server reads the first page of a table, it counts all of them as read.
    is_first = phase.endswith("scanning table") and share == 1
    return Building(oid, index, table, phase, None if share is None or is_first else min(share, 1.0))

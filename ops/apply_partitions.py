"""Partitions that somebody began to detach CONCURRENTLY, and did not finish: their names, and what ends it. Reads only."""

from dataclasses import dataclass

from ops.apply_statements import Detached
from ops.database import Connection


@dataclass(frozen=True)
class Attached:
    """A partition that its table still has. `name` and `parent` are quoted and with their schemas, `bare` is neither.

    `pending`: DETACH … CONCURRENTLY was begun. Queries of the table do not see it any more, and only FINALIZE ends that.
    """

    name: str
    bare: str
    parent: str
    pending: bool

    @property
    def finalize(self) -> str:
        """The statement that ends what was begun. Like any other it leaves nothing when it fails."""
        return f"ALTER TABLE {self.parent} DETACH PARTITION {self.name} FINALIZE"


def find_attached(connection: Connection, wanted: Detached) -> tuple[Attached, ...]:
    """Those that `wanted` may mean, whatever the search path; several where names without a schema are in use twice."""
    rows = connection.execute(
        _ATTACHED.encode()
        + b"""
        WHERE part.relname = %(name)s AND parent.relname = %(parent)s
          AND (%(schema)s::text IS NULL OR part_space.nspname = %(schema)s)
          AND (%(parent_schema)s::text IS NULL OR parent_space.nspname = %(parent_schema)s)
        ORDER BY 1, 3
        """,
        vars(wanted),
    ).fetchall()
    return tuple(Attached(*row) for row in rows)


def find_pending(connection: Connection) -> tuple[Attached, ...]:
    """Every partition of the database that is neither attached nor detached, by name."""
    rows = connection.execute(_ATTACHED.encode() + b" WHERE i.inhdetachpending ORDER BY 1, 3", {}).fetchall()
    return tuple(Attached(*row) for row in rows)


_ATTACHED = """
    SELECT format('%%I.%%I', part_space.nspname, part.relname), part.relname::text,
           format('%%I.%%I', parent_space.nspname, parent.relname), i.inhdetachpending
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS part ON part.oid = i.inhrelid
    JOIN pg_catalog.pg_namespace AS part_space ON part_space.oid = part.relnamespace
    JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent AND parent.relkind = 'p'
    JOIN pg_catalog.pg_namespace AS parent_space ON parent_space.oid = parent.relnamespace
"""

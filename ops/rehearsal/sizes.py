"""What a plan needs to know of the target itself, how large its relations are above all: short looks that wait for nobody."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from types import MappingProxyType
from typing import LiteralString

import psycopg

from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import StatementFacts

_COLUMN = "table column"
# Kinds whose name in a report is `schema.name`, so that it can be looked up.
_SIZED_DROPS = ("table", "materialized view", "index", "foreign table")


@dataclass(frozen=True)
class Size:
    """Bytes with what is held out of line, without indexes, and the estimate of rows; None: not known."""

    bytes: int | None
    rows: int | None


@dataclass(frozen=True)
class TargetFacts:
    """What the target says of itself. `sizes` by `schema.name`."""

    sizes: Mapping[str, Size] = field(default_factory=lambda: MappingProxyType({}))
    has_standby: bool = False


def read_target(database_url: str, names: Collection[str]) -> TargetFacts:
    """The sizes of these relations, partitions counted in. Reads only, for a few seconds at most.

    What cannot be read is not known; this is never a reason to fail.
    """
    found = TargetFacts()
    with suppress(OpsError, psycopg.Error), closing(connect(database_url, purpose="sizes")) as connection:
        connection.execute("BEGIN READ ONLY")
        connection.execute(_SETTINGS)
        row = connection.execute(_STANDBY).fetchone()
        found = TargetFacts(has_standby=row is not None)
        found = replace(found, sizes=_sizes(connection, _ESTIMATES, names))
        found = replace(found, sizes={**found.sizes, **_sizes(connection, _SIZES, names)})
    return found


def _sizes(connection: Connection, query: LiteralString, names: Collection[str]) -> dict[str, Size]:
    rows = connection.execute(query, (sorted(names),)).fetchall()
    return {name: Size(size, int(rows) if rows is not None and rows >= 0 else None) for name, size, rows in rows}


def unavailable_extensions(database_url: str, names: Collection[str]) -> frozenset[str]:
    """Those of these extensions that the target's server does not have; none where it could not be asked."""
    if not names:
        return frozenset()
    with suppress(OpsError, psycopg.Error), closing(connect(database_url, purpose="extensions")) as connection:
        connection.execute("BEGIN READ ONLY")
        connection.execute(_SETTINGS)
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
        return frozenset(names) - {str(row[0]) for row in rows}
    return frozenset()


_SETTINGS: LiteralString = """
    SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
      ('search_path', ''), ('statement_timeout', '3s'), ('lock_timeout', '300ms'), ('jit', 'off')
    ) AS setting(name, value)
"""
_STANDBY: LiteralString = "SELECT 1 FROM pg_stat_replication LIMIT 1"
# Without a lock on anything: what the statistics knew last.
_ESTIMATES: LiteralString = """
    SELECT n.nspname || '.' || c.relname, c.relpages::bigint * current_setting('block_size')::bigint, c.reltuples::float8
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname || '.' || c.relname = ANY (%s::text[]) AND c.relkind IN ('r', 'm', 'i')
"""
# A partitioned table is as large as its partitions; for anything else the family is itself.
_SIZES: LiteralString = """
    SELECT n.nspname || '.' || c.relname,
           sum(CASE WHEN part.relkind = 'i' THEN pg_relation_size(part.oid) ELSE pg_table_size(part.oid) END)::bigint,
           CASE WHEN bool_or(part.reltuples >= 0) THEN sum(greatest(part.reltuples, 0)) END::float8
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
      SELECT relid::oid AS number FROM pg_partition_tree(c.oid) WHERE isleaf
      UNION SELECT c.oid WHERE c.relkind IN ('r', 'm', 'i')
    ) AS family
    JOIN pg_class AS part ON part.oid = family.number
    WHERE n.nspname || '.' || c.relname = ANY (%s::text[]) AND c.relkind IN ('r', 'm', 'i', 'p', 'I')
    GROUP BY 1
"""


def touched(files: Collection[FileFacts]) -> frozenset[str]:
    """The relations of which a report has something to say, as `schema.name`."""
    return frozenset(name for one in files for facts in one.statements for name in _names(facts))


def _names(facts: StatementFacts) -> Iterator[str]:
    yield from (lock.relation for lock in facts.locks)
    yield from (rewrite.relation for rewrite in facts.rewrites)
    yield from (rows.relation for rows in facts.rows)
    for drop in facts.drops:
        if drop.kind in _SIZED_DROPS:
            yield drop.name
        elif drop.kind == _COLUMN:
            yield drop.name.rpartition(".")[0]


def with_sizes(files: Collection[FileFacts], sizes: Mapping[str, Size]) -> tuple[FileFacts, ...]:
    """The same reports with what the target says of the relations in them."""
    return tuple(replace(one, statements=tuple(_sized(facts, sizes) for facts in one.statements)) for one in files)


def _sized(facts: StatementFacts, sizes: Mapping[str, Size]) -> StatementFacts:
    unknown = Size(None, None)

    def size(name: str) -> Size:
        return sizes.get(name, unknown)

    return replace(
        facts,
        locks=tuple(replace(one, bytes=size(one.relation).bytes, rows=size(one.relation).rows) for one in facts.locks),
        rewrites=tuple(
            replace(one, bytes=size(one.relation).bytes, rows=size(one.relation).rows) for one in facts.rewrites
        ),
        drops=tuple(
            replace(one, rows=size(one.name.rpartition(".")[0]).rows)
            if one.kind == _COLUMN
            else replace(one, bytes=size(one.name).bytes, rows=size(one.name).rows)
            if one.kind in _SIZED_DROPS
            else one
            for one in facts.drops
        ),
    )

"""Indexes by the names that statements give them, and whether they are valid. Reads only."""

from dataclasses import dataclass
from dataclasses import replace

from ops.apply_statements import Index
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason


@dataclass(frozen=True)
class FoundIndex:
    """An index of the target. `name` is quoted and with its schema, ready to be typed; `bare` is neither.

    `others_build`: somebody else builds it at this moment, so that it is not valid yet.
    """

    oid: int
    name: str
    bare: str
    valid: bool
    others_build: bool = False


_FOUND = """
    SELECT i.indexrelid::bigint, format('%%I.%%I', n.nspname, c.relname), c.relname::text, i.indisvalid AND i.indisready,
           EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                   WHERE p.pid <> pg_catalog.pg_backend_pid() AND p.datname = pg_catalog.current_database()
                     AND coalesce(p.index_relid, i.indexrelid) = i.indexrelid)
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
"""
"""A build that our role may not see the name of counts as one of this very index."""


def find_indexes(connection: Connection, wanted: Index) -> tuple[FoundIndex, ...]:
    """Those that `wanted` may mean, whatever the search path: by name, schema and table as far as it says them.

    Without a name: all of the table. Several are found where a name without a schema is in use in more than one.
    """
    rows = connection.execute(
        _FOUND.encode()
        + b"""
        WHERE (%(name)s::text IS NULL OR c.relname = %(name)s)
          AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s)
          AND (%(table)s::text IS NULL OR t.relname = %(table)s)
          AND n.nspname NOT LIKE 'pg\\_toast%%' AND n.nspname <> 'pg_catalog'
        ORDER BY 2
        """,
        {"name": wanted.name, "schema": wanted.schema, "table": wanted.table},
    ).fetchall()
    return tuple(FoundIndex(*row) for row in rows)


def find_copies(connection: Connection) -> tuple[FoundIndex, ...]:
    """The INVALID indexes that REINDEX CONCURRENTLY left somewhere in the database: new ones that were not finished
    (`…_ccnew`), old ones that were not dropped (`…_ccold`)."""
    rows = connection.execute(
        _FOUND.encode() + b" WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' ORDER BY 2", {}
    ).fetchall()
    return tuple(FoundIndex(*row) for row in rows)


def invalid_indexes(connection: Connection, on: Index) -> tuple[str, ...]:
    """The INVALID indexes of the table that `on` names, or the one it names itself."""
    return tuple(index.name for index in find_indexes(connection, on) if not index.valid)


def refuse_hidden_index(connection: Connection, wanted: Index | None, filename: str) -> None:
    """CREATE INDEX IF NOT EXISTS takes an INVALID index for a good one; it is not sent: OpsError(PLAN_BLOCKED)."""
    if wanted is None or not wanted.unless_exists or not wanted.name:
        return
    hidden = invalid_indexes(connection, replace(wanted, table=None))
    if hidden:
        raise OpsError(
            Reason.PLAN_BLOCKED,
            f"{filename}: {hidden_index_words(hidden)}",
            drop_first(hidden),
            exit_code=1,
        )


def hidden_index_words(hidden: tuple[str, ...]) -> str:
    """Why such a statement is not sent."""
    return f"index {', '.join(hidden)} exists but is INVALID; CREATE INDEX IF NOT EXISTS would leave it so and call it done."


def drop_first(invalid: tuple[str, ...]) -> str:
    """What to do about INVALID indexes, as a hint."""
    if not invalid:
        return ""
    return "Drop it first: " + "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in invalid) + "."

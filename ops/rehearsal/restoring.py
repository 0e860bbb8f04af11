"""Sending a dump's statements to a copy as the restorer, who is no superuser: a dump is as hostile as a migration."""

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.masking import printable
from ops.rehearsal.target_state import Target
from ops.sql_errors import is_raised

_AT_ONCE = 200
_AT_ONCE_BYTES = 2**20
_VIEW_SECONDS = 60


@dataclass(frozen=True)
class Refused:
    """A statement of the dump that the copy does not have: its beginning, and what the server said."""

    statement: str
    said: str

    @property
    def matters(self) -> bool:
        """Whether an object may be missing for it; comments and grants are only words about objects."""
        return not self.statement.startswith(
            ("COMMENT ON ", "SET ", "GRANT ", "REVOKE ", "SELECT pg_catalog.set_config")
        )

    def __str__(self) -> str:
        return f"{self.statement} ({self.said})"


def restore(
    connection: Connection,
    statements: Sequence[str],
    *,
    progress: Callable[[str], None],
    stop: Callable[[], bool],
) -> tuple[Refused, ...]:
    """Run them in their order, each as if alone; those that were refused. Raises OpsError STOPPED, or UNEXPECTED when
    the copy's server went away."""
    refused: list[Refused] = []
    done = 0
    for portion in _portions(statements):
        if stop():
            raise OpsError(Reason.STOPPED, "The rehearsal was stopped on request.", exit_code=1)
        try:
            # One message is one transaction, four times as fast as one for each statement.
            connection.execute(";\n".join(portion).encode())
        except psycopg.Error:
            refused += _one_by_one(connection, portion)
        done += len(portion)
        progress(f"restoring the schema: {done} of {len(statements)} statements")
    return tuple(refused)


def said_in_short(error: psycopg.Error) -> str:
    """What the server said, fit for a sentence; the code alone where the words may hold rows, or are somebody else's."""
    state = error.sqlstate or "unknown"
    if state.startswith("22") or is_raised(error):
        return f"SQLSTATE {state}"
    return printable(error.diag.message_primary or type(error).__name__, 200)


def _one_by_one(connection: Connection, statements: Sequence[str]) -> Iterator[Refused]:
    for statement in statements:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed or connection.broken:
                raise OpsError(
                    Reason.UNEXPECTED, "The copy's server went away while the schema was restored.", exit_code=1
                ) from error
            yield Refused(" ".join(statement[:400].split())[:120], said_in_short(error))


def _portions(statements: Sequence[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for statement in statements:
        if portion and (len(portion) >= _AT_ONCE or size + len(statement) > _AT_ONCE_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(statement)
        size += len(statement)
    if portion:
        yield portion


def restore_history(connection: Connection, target: Target) -> tuple[str, ...]:
    """The rows of the history table, versions and names: the files run behind them, as on the target."""
    if not target.history:
        return ()
    named = any(name is not None for _, name in target.history)
    columns = "version, name" if named else "version"
    try:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY supabase_migrations.schema_migrations ({columns}) FROM STDIN".encode()) as copy,
        ):
            for version, written in target.history:
                copy.write_row((version, written) if named else (version,))
    except psycopg.errors.DatabaseError as error:
        return (f"The rows of the history table are not on the copy: {said_in_short(error)}.",)
    return ()


def fill_views(connection: Connection) -> tuple[str, ...]:
    """Compute the materialized views, which a dump leaves empty and closed to questions; sentences about failures."""
    failed = []
    # The dump has switched the limit off, and a view of it may never end.
    connection.execute(f"RESET ROLE; SET search_path = ''; SET statement_timeout = '{_VIEW_SECONDS}s'".encode())
    for schema, name in connection.execute(_UNFILLED).fetchall():
        view = sql.Identifier(schema, name)
        try:
            connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view))
        except psycopg.errors.DatabaseError as error:
            failed.append(f"The materialized view {schema}.{name} is empty on the copy: {said_in_short(error)}.")
    return tuple(failed)


def add_wrappers(superuser: Connection, target: Target, helpers: str) -> None:
    """Foreign data wrappers without a handler: servers and foreign tables can be made of them, and reach nothing."""
    for name in target.wrappers:
        with contextlib.suppress(psycopg.errors.DatabaseError):  # there with its extension
            superuser.execute(sql.SQL("CREATE FOREIGN DATA WRAPPER {}").format(sql.Identifier(name)))
        superuser.execute(
            sql.SQL("GRANT USAGE ON FOREIGN DATA WRAPPER {} TO {}").format(
                sql.Identifier(name), sql.Identifier(helpers)
            )
        )


def add_what_needs_a_superuser(superuser: Connection, target: Target, *, with_triggers: bool) -> tuple[str, ...]:
    """Publications of all tables and event triggers, from the target's catalog; sentences about those left out.

    `superuser` runs no event trigger itself. That takes a server of 17, and that nothing runs a script for foreign SQL
    as the superuser: `with_triggers` says whether both is so.
    """
    missing = []
    for name, words, by_root in target.publications:
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            superuser.execute(
                sql.SQL(
                    "CREATE PUBLICATION {} FOR ALL TABLES WITH (publish = {}, publish_via_partition_root = {})"
                ).format(sql.Identifier(name), sql.Literal(words), sql.Literal(by_root))
            )
    for trigger in target.event_triggers:
        if not with_triggers:
            missing.append(f"The event trigger {trigger.name} is not on the copy, whose server is too old for it.")
            continue
        named = sql.Identifier(trigger.name)
        tags = sql.SQL(" WHEN TAG IN ({})").format(sql.SQL(", ").join(map(sql.Literal, trigger.tags)))
        try:
            superuser.execute(
                sql.SQL("CREATE EVENT TRIGGER {} ON {}{} EXECUTE FUNCTION {}()").format(
                    named,
                    sql.Identifier(trigger.event),
                    tags if trigger.tags else sql.SQL(""),
                    sql.Identifier(trigger.schema, trigger.function),
                )
            )
            how = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(trigger.enabled, "ENABLE")
            superuser.execute(sql.SQL("ALTER EVENT TRIGGER {} {}").format(named, sql.SQL(how)))
        except psycopg.errors.DatabaseError as error:
            missing.append(f"The event trigger {trigger.name} is not on the copy: {said_in_short(error)}.")
    return tuple(missing)


_UNFILLED: LiteralString = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND NOT c.relispopulated ORDER BY c.oid
"""

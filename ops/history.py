"""The target's migration history as the Supabase CLI keeps it: read it, make its table, compare it with files."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING
from typing import Any
from typing import LiteralString
from typing import NamedTuple

from ops.errors import OpsError
from ops.errors import Reason
from ops.migration import Effect
from ops.migration import Migration

if TYPE_CHECKING:
    from ops.database import Connection

_MAX_CLI_VERSION = str(2**63 - 1)


class HistoryRow(NamedTuple):
    """One applied migration. `sha256` is of the stored statements, `stored` how many they are, None where none were.

    `statements` is there only when it was asked for (see `read_history`): histories are long, differences are rare.
    """

    version: str
    name: str | None
    sha256: str | None
    stored: int | None
    statements: tuple[str, ...] | None = None


@dataclass(frozen=True)
class HistoryProblem:
    """A difference between history and files, or between a file and what is on the target. `blocks`: nothing may be
    pushed before it is settled, as `repair` says.

    Codes: remote_only, out_of_order, edited, duplicate_version, invalid_index (these block), unknown, version_too_big; and of
    Supabase: function, restore_point.
    """

    code: str
    version: str
    message: str
    repair: str
    blocks: bool


@dataclass(frozen=True)
class Comparison:
    """What is left to do, in order, and what does not fit. `applied` counts the files that are in the history."""

    pending: tuple[Migration, ...]
    problems: tuple[HistoryProblem, ...]
    applied: int


# The table grew over the years; the API's rows have three columns more, which are nobody's business here.
# array_to_json writes strings as json.dumps does, so that both sides can hash the same text.
_SHAPES: tuple[LiteralString, ...] = (
    """
    SELECT version, name, encode(sha256(convert_to(array_to_json(statements)::text, 'UTF8')), 'hex'),
           cardinality(statements), NULL
    FROM supabase_migrations.schema_migrations
    """,
    """
    SELECT version, NULL, encode(sha256(convert_to(array_to_json(statements)::text, 'UTF8')), 'hex'),
           cardinality(statements), NULL
    FROM supabase_migrations.schema_migrations
    """,
    "SELECT version, NULL, NULL, NULL, NULL FROM supabase_migrations.schema_migrations",
)


def statements_sha256(statements: Iterable[str]) -> str:
    """The hash that a history row with exactly these statements has."""
    text = json.dumps(list(statements), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_history(connection: "Connection", migrations: Sequence[Migration] = ()) -> tuple[HistoryRow, ...]:
    """The applied versions in string order; empty when there is no history table. One query; writes nothing.

    For rows whose statements differ from those of the file in `migrations`, a second query fetches the statements.
    Any columns beside `version` may be missing. Raises psycopg.Error for what else the server refuses.
    """
    rows = tuple(sorted(_read(connection), key=itemgetter(0)))
    files = {migration.version: migration for migration in migrations}
    return with_statements(connection, rows, files)


def with_statements(
    connection: "Connection", rows: tuple[HistoryRow, ...], files: Mapping[str, Migration]
) -> tuple[HistoryRow, ...]:
    """The rows, with the stored statements of those that differ from their file (by version). At most one query."""
    different = {row.version for row, migration in _not_alike(rows, files) if row.sha256}
    if not different:
        return rows
    stored = _fetch_statements(connection, different)
    return tuple(row._replace(statements=stored.get(row.version)) for row in rows)


def history_sha256(rows: Sequence[HistoryRow]) -> str:
    """One hash for a whole history: the same for a missing table and an empty one."""
    text = json.dumps([[row.version, row.name, row.sha256] for row in rows], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# As `history_sha256` has it: to_json writes strings as json.dumps does, and Python sorts them as "C" does.
_HASH: LiteralString = """
    SELECT encode(sha256(convert_to('[' || coalesce(string_agg(
      '[' || to_json(version) || ',' || coalesce(to_json(name)::text, 'null') || ',' || coalesce(
        '"' || encode(sha256(convert_to(array_to_json(statements)::text, 'UTF8')), 'hex') || '"', 'null') || ']',
      ',' ORDER BY version COLLATE "C"), '') || ']', 'UTF8')), 'hex')
    FROM supabase_migrations.schema_migrations
    """


def hash_on_server(connection: "Connection") -> str | None:
    """`history_sha256` of the target's history, told by the server in one row; None where it cannot tell."""
    from psycopg import errors

    try:
        return str(_try(connection, _HASH)[0][0])
    except (errors.UndefinedColumn, errors.UndefinedTable, errors.InvalidSchemaName):
        return None


def read_versions(connection: "Connection") -> tuple[str, ...]:
    """The applied versions alone, in string order. The table must be there."""
    rows = connection.execute("SELECT version FROM supabase_migrations.schema_migrations").fetchall()
    return tuple(sorted(row[0] for row in rows))


def ensure_history(connection: "Connection") -> bool:
    """Make the history schema and table if they are missing or too old, as the CLI does. True if it did.

    Raises OpsError(LOCK_TIMEOUT) when the table is locked for more than 4 s.
    """
    from psycopg import errors

    if has_history(connection):
        return False
    try:
        with connection.transaction():
            for statement in _PROVISION:
                connection.execute(statement)
    except errors.LockNotAvailable:
        raise OpsError(
            Reason.LOCK_TIMEOUT,
            "The migration history table is locked by somebody else; after 4 s it was left as it is.",
            "Try again when the other migration is done.",
            exit_code=5,
        ) from None
    return True


_PROVISION: tuple[LiteralString, ...] = (
    "SET LOCAL lock_timeout = '4s'",
    "CREATE SCHEMA IF NOT EXISTS supabase_migrations",
    "CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY)",
    "ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]",
    "ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text",
)


def insert_row(connection: "Connection", migration: Migration) -> None:
    """Write the row that says a file was applied, byte for byte as the CLI writes it."""
    connection.execute(
        "INSERT INTO supabase_migrations.schema_migrations(version, name, statements) VALUES(%s, %s, %s::text[])",
        (migration.version, migration.name, [statement.text for statement in migration.statements]),
    )


def write_row(connection: "Connection", migration: Migration) -> None:
    """Do to the history what running this file does. Raises OpsError(PLAN_CHANGED) when the row to remove is not there."""
    if migration.effect is Effect.ADDS:
        insert_row(connection, migration)
    elif migration.effect is Effect.WRITES:
        connection.execute("DELETE FROM supabase_migrations.schema_migrations WHERE version = %s", (migration.version,))
        insert_row(connection, migration)
    elif migration.effect is Effect.REMOVES:
        found = connection.execute(
            "DELETE FROM supabase_migrations.schema_migrations WHERE version = %s", (migration.version,)
        )
        if found.rowcount != 1:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"The target's history has no row {migration.version} that could be removed.",
                "Somebody else removed it; make a new plan.",
                exit_code=3,
                details={"changed": ["the target's migration history"]},
            )


def versions_after(versions: tuple[str, ...], migration: Migration) -> tuple[str, ...]:
    """The history's versions, in string order as before, once this file has run."""
    match migration.effect:
        case Effect.ADDS | Effect.WRITES if migration.version not in versions:
            return tuple(sorted((*versions, migration.version)))
        case Effect.REMOVES:
            return tuple(version for version in versions if version != migration.version)
        case _:
            return versions


def compare(rows: Sequence[HistoryRow], migrations: Sequence[Migration]) -> Comparison:
    """What of the files (in their order) the history does not hold, and every problem, those that block first.

    Pure. An edited file is told apart from a row in another form only where the row carries its statements; give
    the files to `read_history` for that.
    """
    applied = {row.version: row for row in rows}
    files = {migration.version: migration for migration in reversed(migrations)}
    last = max(applied, default="")
    problems: list[HistoryProblem] = []

    if len(files) < len(migrations):
        for version, count in Counter(migration.version for migration in migrations).items():
            if count == 1:
                continue
            problems.append(_duplicate(version, [one.filename for one in migrations if one.version == version]))
    problems += [_remote_only(row) for row in rows if row.version not in files]
    pending = tuple(migration for migration in migrations if migration.version not in applied)
    problems += [_out_of_order(migration, last) for migration in pending if migration.version < last]
    problems += [
        problem for row, migration in _not_alike(rows, files) if (problem := _difference(row, migration)) is not None
    ]
    problems += [_too_big(migration) for migration in migrations if _is_too_big(migration.version)]

    done = sum(version in applied for version in files)
    return Comparison(pending, tuple(sorted(problems, key=lambda problem: not problem.blocks)), done)


def _not_alike(rows: Iterable[HistoryRow], files: Mapping[str, Migration]) -> list[tuple[HistoryRow, Migration]]:
    """Rows with their files, of those whose stored statements are not the file's, or not known."""
    both = [(row, files[row.version]) for row in rows if row.version in files]
    return [(row, file) for row, file in both if row.sha256 is None or row.sha256 != file_sha256(file)]


def _read(connection: "Connection") -> list[HistoryRow]:
    from psycopg import errors  # here, as whoever has a connection has it: it takes long to load

    for shape in _SHAPES:
        try:
            return list(map(HistoryRow._make, _try(connection, shape)))
        except errors.UndefinedColumn:
            continue
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            return []
    raise OpsError(
        Reason.TARGET_REFUSED,
        "The target's supabase_migrations.schema_migrations has no column version; it is not the CLI's history.",
        "Move that table out of the way, or name the right database.",
    )


def _try(connection: "Connection", query: LiteralString) -> list[tuple[Any, ...]]:
    """Run a query that may fail; inside a transaction it must not end that."""
    from psycopg.pq import TransactionStatus

    if connection.info.transaction_status == TransactionStatus.IDLE:
        return connection.execute(query).fetchall()
    with connection.transaction():
        return connection.execute(query).fetchall()


def _fetch_statements(connection: "Connection", versions: set[str]) -> dict[str, tuple[str, ...]]:
    rows = connection.execute(
        "SELECT version, statements FROM supabase_migrations.schema_migrations WHERE version = ANY(%s)",
        (sorted(versions),),
    ).fetchall()
    return {version: tuple(text or "" for text in statements) for version, statements in rows if statements is not None}


def has_history(connection: "Connection") -> bool:
    """Whether the history table is there with all of its columns. Reads only."""
    row = connection.execute(
        """
        SELECT count(*) = 3 FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
        WHERE a.attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations') AND c.relkind IN ('r', 'p')
          AND NOT a.attisdropped AND a.attname IN ('version', 'name', 'statements')
        """
    ).fetchone()
    return bool(row and row[0])


def file_sha256(migration: Migration) -> str:
    """The hash that the history row of this file has."""
    return migration.stored_sha256 or statements_sha256(statement.text for statement in migration.statements)


def _difference(row: HistoryRow, migration: Migration) -> HistoryProblem | None:
    """What stored statements that are not the file's say about it: None when they are its whole text as one."""
    if row.sha256 is None:
        return _unknown(migration, "its row holds no statements")
    if row.stored == 1 and row.statements is None and len(migration.statements) > 1:
        return _unknown(migration, "its row holds one text")
    if row.statements is not None and len(row.statements) == 1:
        script = row.statements[0]
        if _same_script(script, migration.text):
            return None
        if _is_script(script):
            return _unknown(migration, "its row holds a whole script as one text, which differs from the file")
    return _edited(migration)


def _same_script(one: str, other: str) -> bool:
    return one.strip().rstrip(";").rstrip() == other.strip().rstrip(";").rstrip()


def _is_script(text: str) -> bool:
    """Whether it is more than one statement: the CLI never stores that in one element, the API and MCP do."""
    import pglast  # rarely needed, and long to load

    try:
        return len(pglast.parse_sql(text)) > 1
    except pglast.parser.ParseError:
        return False


def _is_too_big(version: str) -> bool:
    digits = version.lstrip("0") if len(version) >= len(_MAX_CLI_VERSION) else ""
    return (len(digits), digits) > (len(_MAX_CLI_VERSION), _MAX_CLI_VERSION)


def _duplicate(version: str, filenames: list[str]) -> HistoryProblem:
    return HistoryProblem(
        "duplicate_version",
        version,
        f"Version {version} is taken by {len(filenames)} files: {', '.join(filenames)}.",
        "Give every file a version of its own: rename the one that was not applied.",
        blocks=True,
    )


def _remote_only(row: HistoryRow) -> HistoryProblem:
    called = f" ({row.name})" if row.name else ""
    return HistoryProblem(
        "remote_only",
        row.version,
        f"The target has version {row.version}{called}, but no file of this commit has it.",
        f"Commit its file. If its change is no longer in the database: "
        f"supabase migration repair --status reverted {row.version} --remote",
        blocks=True,
    )


def _out_of_order(migration: Migration, last: str) -> HistoryProblem:
    return HistoryProblem(
        "out_of_order",
        migration.version,
        f"{migration.filename} would come before {last}, which the target already has.",
        f"Rename it to a version after {last}. If its change is in the database already: "
        f"supabase migration repair --status applied {migration.version} --remote",
        blocks=True,
    )


def _edited(migration: Migration) -> HistoryProblem:
    return HistoryProblem(
        "edited",
        migration.version,
        f"{migration.filename} was changed after it was applied: the target ran other statements.",
        f"Bring the file back to what was applied and put the change into a new migration. If the database "
        f"has what the file says: supabase migration repair --status applied {migration.version} --remote",
        blocks=True,
    )


def _unknown(migration: Migration, why: str) -> HistoryProblem:
    return HistoryProblem(
        "unknown",
        migration.version,
        f"{migration.filename} is in the history, but {why}; whether it is what was applied cannot be told.",
        f"To store the file's statements: supabase migration repair --status applied {migration.version} --remote",
        blocks=False,
    )


def _too_big(migration: Migration) -> HistoryProblem:
    return HistoryProblem(
        "version_too_big",
        migration.version,
        f"{migration.filename}: version {migration.version} is over 64 bits, and `supabase migration list` hides it.",
        f"Name new files by time, like 20261122135201_{migration.name}.sql.",
        blocks=False,
    )

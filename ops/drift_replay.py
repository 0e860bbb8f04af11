"""What a target's history makes when it is replayed: every applied migration again, in order, on an empty copy."""

import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ops.applied_files import read_applied
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import ensure_history
from ops.migrations import Migration
from ops.migrations import Statement
from ops.migrations import read_migration
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_empty
from ops.rehearsal.files import run_files
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import StatementFacts
from ops.repository import Repository
from ops.schema.archive import read_archive
from ops.schema.model import Schema
from ops.schema.reading import with_left_out
from ops.targets import Target
from ops.tools import Tools

_BASELINE = (
    "Who is an overrider can make what is there the baseline, in Slack: /migrate adopt {environment}. From then on "
    "`history` tells what was changed outside."
)

Progress = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class History:
    """The applied migrations of a target as they can be run again, and sentences about those of which that is unsure."""

    commit: str
    migrations: tuple[Migration, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Replayed:
    """The schema that a history makes. `unlike` are sentences about how the copy differs from the platform; `tools` are
    those that it was read with."""

    schema: Schema
    tools: Tools
    unlike: tuple[str, ...]


def read_past(target: Target, repository: Repository) -> History:
    """What was applied, in order: the file where it is what ran, else what the history's row holds.

    Raises OpsError HISTORY_NOT_REPLAYED when neither says what a version did, and as a plan does.
    """
    applied = read_applied(target, repository)
    found = [applied.known.get(row.version) or _from_row(row, applied.stored.get(row.version)) for row in applied.rows]
    silent = [row.version for row, migration in zip(applied.rows, found, strict=True) if migration is None]
    if silent:
        raise OpsError(
            Reason.HISTORY_NOT_REPLAYED,
            f"The history of {target.name} cannot be replayed: it does not hold what {_some(silent)} ran, "
            "and no file of the repository is that.",
            _BASELINE.format(environment=target.environment),
            exit_code=1,
        )
    notes = _notes([row.version for row in applied.rows if row.version not in applied.known])
    return History(applied.commit, tuple(one for one in found if one), notes)


def replay(
    target: Target,
    history: History,
    *,
    cache: Path | None,
    progress: Progress = lambda _: None,
    stop: Stop = lambda: False,
) -> Replayed:
    """The schema that these migrations make on a copy that has the platform's own schemas, roles and extensions only.

    Raises OpsError: HISTORY_NOT_REPLAYED where a file does not run there (with the place and the server's words), and what
    making a copy raises.
    """
    with open_empty(
        target.database_url(),
        tools_bin=target.all_settings.postgres.bin,
        cache=cache,
        demand=target.settings.isolation,
        progress=progress,
        stop=stop,
    ) as copy:
        with closing(copy.connect()) as connection:
            ensure_history(connection)
        ran = run_files(copy, Unwatched(), history.migrations, limits=COPY_LIMITS, progress=progress, stop=stop)
        failed = next((one for one in ran if one.outcome != "passed"), None)
        if failed is not None:
            raise _not_replayed(target, failed)
        progress("reading the schema that the history makes")
        return Replayed(schema_of(copy), copy.scratch.tools, copy.notes)


def schema_of(copy: Copy) -> Schema:
    """The whole schema of a copy, as it is now."""
    with tempfile.TemporaryDirectory(prefix="countersign-drift-") as folder, closing(copy.ask()) as ask:
        archive = Path(folder, "schema.dump")
        copy.dump(archive)
        return with_left_out(read_archive(archive), ask)


class Unwatched:
    """Looks at nothing: what a statement of the past did is of no interest, only what all of them made."""

    def begin(self, connection: Connection) -> None: ...

    def look(self, connection: Connection, statement: Statement, index: int, seconds: float) -> StatementFacts:
        return StatementFacts(index, statement.line, seconds)

    def lasting(self, found: Iterable[StatementFacts]) -> list[StatementFacts]:
        return list(found)

    def alone(
        self, connection: Connection, send: Callable[[], object]
    ) -> Callable[[Statement, int, float], StatementFacts]:
        send()
        return lambda statement, index, seconds: StatementFacts(index, statement.line, seconds)


def _from_row(row: HistoryRow, statements: tuple[str, ...] | None) -> Migration | None:
    """The migration that a row of the history tells of. A statement may end in a comment, so each has its own line."""
    if not statements:
        return None
    content = "\n;\n".join(statements).encode()
    return read_migration(f"{row.version}_{row.name or ''}.sql", row.version, row.name or "", content)


def _notes(others: Sequence[str]) -> tuple[str, ...]:
    """About the versions of which no file is what ran."""
    if not others:
        return ()
    were = "was" if len(others) == 1 else "were"
    return (f"{_some(others)} {were} replayed from the history's own rows: no file of the repository is what ran.",)


def _some(versions: Sequence[str]) -> str:
    return ", ".join(versions[:5]) + (f" and {len(versions) - 5} more" if len(versions) > 5 else "")


def _not_replayed(target: Target, failed: FileFacts) -> OpsError:
    error = failed.error or {}
    line = f", line {error['line']}" if error.get("line") else ""
    said = str(error.get("message") or "it did not run").rstrip(".")
    return OpsError(
        Reason.HISTORY_NOT_REPLAYED,
        f"The history of {target.name} cannot be replayed: {failed.filename}{line}: {said}.",
        f"What it needs was made outside of the history. {_BASELINE.format(environment=target.environment)}",
        exit_code=1,
        details={"sql": dict(error)},
    )

"""What is applied on a target beside the files of its branch: the rows of the history, and the folder that they came from."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg

from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryProblem
from ops.history import HistoryRow
from ops.history import compare
from ops.history import read_history
from ops.migrations import Migration
from ops.migrations import read_folder
from ops.repository import Repository
from ops.targets import Target


@dataclass(frozen=True)
class Applied:
    """A target's history at one moment, beside the files of `commit`.

    `known` are the applied migrations of which the file is what ran, by version; `stored` the statements that the history
    holds of others, without those of which it holds none.
    """

    commit: str
    rows: tuple[HistoryRow, ...]
    problems: tuple[HistoryProblem, ...]
    known: Mapping[str, Migration]
    stored: Mapping[str, tuple[str, ...]]
    fingerprint: Fingerprint


def read_applied(target: Target, repository: Repository, commit: str | None = None) -> Applied:
    """The history beside the branch's newest files, or those of `commit`. Reads only; raises OpsError as a plan does."""
    if commit is None or not repository.has_commit(commit):
        repository.update()
    sha = repository.resolve(target.settings.branch, commit)
    files = repository.snapshot(sha).files
    folder = read_folder(
        {path.removeprefix("migrations/"): text for path, text in files.items() if path.startswith("migrations/")}
    )
    with closing(connect(target.database_url(), purpose=f"history {target.name}")) as connection:
        try:
            rows = read_history(connection, folder.migrations)
            fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref, history=rows)
            problems = compare(rows, folder.migrations).problems
            applied = {row.version for row in rows} - {problem.version for problem in problems}
            known = {one.version: one for one in folder.migrations if one.version in applied}
            stored = _stored(connection, [row.version for row in rows if row.version not in known])
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return Applied(sha, rows, problems, known, stored, fingerprint)


def _stored(connection: Connection, versions: list[str]) -> dict[str, tuple[str, ...]]:
    """The statements that the history holds of these versions; without those of which it holds none."""
    if not versions:
        return {}
    try:
        rows = connection.execute(
            "SELECT version, statements FROM supabase_migrations.schema_migrations WHERE version = ANY(%s)",
            (versions,),
        ).fetchall()
    except psycopg.errors.UndefinedColumn:
        return {}
    return {version: tuple(statements) for version, statements in rows if statements}

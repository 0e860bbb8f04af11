"""What a request runs: the files of a push, or the SQL of another kind of request, as it stands in its plan."""

import re
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.masking import mask_sql
from ops.migration import ADDING
from ops.migration import Effect
from ops.migration import Migration
from ops.migration import Segment
from ops.plan import pending_of
from ops.repository import Repository
from ops.requests import Request

if TYPE_CHECKING:
    from ops.layer import Ops

_VERSION = re.compile(r"[0-9]{1,40}")

NO_VERSION = "0"
"""The version of a script that is about no file; no history has it."""


@dataclass(frozen=True)
class Script:
    """SQL that a request of another kind than push runs. `version` is the history row that it is about, digits.

    Either `path` names a file below the Supabase folder at the request's commit (`migrations/…sql`), whose bytes have
    `sha256`; or `sql` is the text itself. `filename` is what people read. `done`: so many first statements are on the
    target already, and only the others run. `row`: the row that a REMOVES takes out of the history.
    """

    version: str
    name: str
    filename: str
    effect: Effect
    path: str = ""
    sha256: str = ""
    sql: str = ""
    done: int = 0
    row: HistoryRow | None = None

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise ValueError(self.version)
        if bool(self.path) != bool(self.sha256) or (self.path and self.sql):
            msg = "a script is a file with its hash, or a text"
            raise ValueError(msg)
        if mask_sql(self.sql) != self.sql:
            raise OpsError(
                Reason.PLAN_BLOCKED,
                f"{self.filename} has what looks like a secret in it, and the log would hold it.",
                "Put it into a file of the repository, or leave the secret out.",
                exit_code=3,
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "name": self.name,
            "filename": self.filename,
            "effect": self.effect.value,
            "path": self.path,
            "sha256": self.sha256,
            "sql": self.sql,
            "done": self.done,
            "row": list(self.row[:4]) if self.row else None,
        }

    def migration(self, content: bytes = b"") -> Migration:
        """The script cut and judged as any file; `content` is what stands at `path`."""
        from ops.migrations import read_migration  # with the grammar, which few readers of a request need

        read = read_migration(self.filename, self.version, self.name, content if self.path else self.sql.encode())
        segments = _left(read.segments, self.done)
        return replace(read, effect=self.effect, done=self.done, segments=segments, is_ours=not self.path)


def from_json(found: Mapping[str, Any]) -> Script:
    """A script as a plan keeps it."""
    row = found["row"]
    return Script(**{**found, "effect": Effect(found["effect"]), "row": HistoryRow(*row) if row else None})


def scripts_in(plan: Mapping[str, Any]) -> tuple[Script, ...]:
    """The scripts of a canonical plan; none for a push, whose files are the repository's."""
    return tuple(from_json(one) for one in plan.get("scripts") or ())


def removed_rows(plan: Mapping[str, Any]) -> tuple[HistoryRow, ...]:
    """The rows that the scripts of a canonical plan take out of the history, or write anew."""
    return tuple(one.row for one in scripts_in(plan) if one.row is not None)


def applied_by(request: Request, versions: Iterable[str]) -> list[str]:
    """Those of these versions of a request that it made applied, as its history rows say."""
    return _with_effects(request, versions, ADDING)


def removed_by(request: Request, versions: Iterable[str]) -> list[str]:
    """Those of these versions of a request that it took out of the history."""
    return _with_effects(request, versions, {Effect.REMOVES})


def _with_effects(request: Request, versions: Iterable[str], effects: Container[Effect]) -> list[str]:
    effect_of = {one["version"]: Effect(one["effect"]) for one in request.plan.get("scripts") or ()}
    return [one for one in versions if effect_of.get(one, Effect.ADDS) in effects]


def scripts_of(ops: "Ops", request: Request) -> tuple[Migration, ...]:
    """All that a request runs, in order. Raises OpsError(PLAN_CHANGED) when a file is not what was asked for."""
    target = ops.target_of(request)
    scripts = scripts_in(request.plan)
    if not scripts:
        return pending_of(ops.repository(target), request.commit, request.files) if request.files else ()
    return read_scripts(ops.repository(target), request.commit, scripts)


def read_scripts(repository: Repository, commit: str, scripts: Sequence[Script]) -> tuple[Migration, ...]:
    """The same for these scripts; the repository is asked only where one of them is a file."""
    paths = {one.path for one in scripts if one.path}
    contents: Mapping[str, bytes] = {}
    if paths:
        if not repository.has_commit(commit):
            repository.update()
        blobs = repository.listing(commit).blobs
        contents = repository.read({path: blobs[path] for path in paths if path in blobs})
    found = []
    for script in scripts:
        migration = script.migration(contents.get(script.path, b""))
        if script.path and migration.sha256 != script.sha256:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"{script.path} at {commit[:12]} is not the file that was asked for.",
                "Ask again.",
                exit_code=3,
                details={"changed": ["the files"]},
            )
        found.append(migration)
    return tuple(found)


def what_runs(migration: Migration) -> str:
    """What is run of a file of which some statements may be there already, in one sentence."""
    count, left = len(migration.statements), len(migration.statements) - migration.done
    if not left:
        return f"Writes the history row of {migration.filename}; all of its statements are there."
    if not migration.done:
        return f"Runs {migration.filename}, {count} statement{'' if count == 1 else 's'}."
    first = migration.statements[migration.done]
    return f"Runs {left} of the {count} statements of {migration.filename}, from line {first.word_line} on."


def _left(segments: Sequence[Segment], done: int) -> tuple[Segment, ...]:
    """The segments without the first statements of their file."""
    left = (replace(one, statements=tuple(index for index in one.statements if index >= done)) for one in segments)
    return tuple(one for one in left if one.statements)

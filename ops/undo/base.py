"""What a schema was before a request's files, object by object: replayed from the history, or from the run's backup."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ops.catalog import catalog_hash
from ops.drift_proof import BESIDE_HISTORY
from ops.drift_proof import Name
from ops.drift_proof import name_of
from ops.drift_proof import pairs
from ops.drift_replay import Unwatched
from ops.drift_replay import read_past
from ops.drift_replay import schema_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import ensure_history
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Migration
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_empty
from ops.rehearsal.files import run_files
from ops.rehearsing import note_start
from ops.schema.archive import read_archive
from ops.schema.comparing import change_of
from ops.schema.model import Schema
from ops.undo.past import Past


@dataclass(frozen=True)
class Base:
    """The schema before the files, and what they made of it; `after` is None where only the first is known.

    `source` says in words where it is from; `before_sha256` is the catalog hash of what was replayed, None of what was kept.
    """

    before: Schema
    after: Schema | None
    source: str
    before_sha256: str | None = None


def base_of(ops: Ops, past: Past, progress: Progress) -> Base:
    """The earlier schema, and where it is from a replay of the history also what the files made of it.

    The backup of the run says it best, as long as nobody has changed anything since: what came by another way cannot be
    told apart from its own changes. Raises OpsError HISTORY_NOT_REPLAYED where nothing says it, and what making a copy
    raises.
    """
    if past.is_as_left:
        in_backup = _in_backup(past)
        if in_backup is not None:
            return Base(in_backup, None, f"the backup from before {past.request.id}")
    return _replayed(ops, past, progress)


def differing(before: Schema, after: Schema) -> frozenset[Name]:
    """The names of what differs between two schemas, as far as a project's own goes."""
    return frozenset(name_of(change_of(pair)) for pair in pairs(before, after, BESIDE_HISTORY))


def _replayed(ops: Ops, past: Past, progress: Progress) -> Base:
    target = past.target
    mine = {row.version for row in past.rows}
    applied = read_past(target, ops.repository(target))
    history = applied.migrations
    note_start(ops, target, past.actor, applied.commit, history)
    with open_empty(
        target.database_url(),
        tools_bin=target.all_settings.postgres.bin,
        cache=cache_of(ops),
        demand=target.settings.isolation,
        progress=progress,
        stop=ops.rehearsals.is_over,
    ) as copy:
        with closing(copy.connect()) as connection:
            ensure_history(connection)
        progress("replaying the history without it")
        _run(ops, copy, past, [one for one in history if one.version not in mine], progress)
        before = schema_of(copy)
        with closing(copy.connect()) as connection:
            before_sha256 = catalog_hash(connection)
        progress("and with it")
        _run(ops, copy, past, [one for one in history if one.version in mine], progress)
        return Base(before, schema_of(copy), "the history, replayed without and with its files", before_sha256)


def _run(ops: Ops, copy: Copy, past: Past, files: Sequence[Migration], progress: Progress) -> None:
    ran = run_files(copy, Unwatched(), files, limits=COPY_LIMITS, progress=progress, stop=ops.rehearsals.is_over)
    failed = next((one for one in ran if one.outcome != "passed"), None)
    if failed is not None:
        said = str((failed.error or {}).get("message") or "it did not run").rstrip(".")
        raise OpsError(
            Reason.HISTORY_NOT_REPLAYED,
            f"The history of {past.target.name} cannot be replayed: {failed.filename}: {said}.",
            exit_code=1,
        )


def _in_backup(past: Past) -> Schema | None:
    """The schema in the backup of the first run, if it is one unsealed file and still what was proven."""
    proof = past.chain[-1].proof
    if proof is None or not proof.get("proven"):
        return None
    path = Path(str(proof["path"]))
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return read_archive(path) if sha256 == proof["sha256"] else None
    except (OSError, OpsError):
        return None


def cache_of(ops: Ops) -> Path:
    """Where definitions are kept that copies are made from."""
    return ops.settings.path(ops.settings.state.path).parent / "schemas"

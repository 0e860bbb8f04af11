"""The repository's own scripts that take migrations back: `<version>_<name>.down.sql`.

They belong into `supabase/rollbacks`. Beside the migrations they are found too, but there the Supabase CLI (3.1.0, tried)
takes them for migrations of their own.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from ops.layer import Ops
from ops.migration import REVERSE
from ops.migration import Effect
from ops.repository import Author
from ops.scripts import Script
from ops.undo.past import Past
from ops.undo.proving import NotProvenError

_FOLDERS = ("rollbacks", "migrations")


@dataclass(frozen=True)
class Found:
    """The scripts of the branch's newest commit, newest migration first, and who wrote them."""

    commit: str
    scripts: tuple[Script, ...]
    authors: tuple[Author, ...]


def find_scripts(ops: Ops, past: Past) -> Found:
    """A script for every file that stands. Raises NotProvenError where one is missing or there are two of it, and OpsError
    where the repository cannot be read."""
    repository = ops.repository(past.target)
    repository.update()
    commit = repository.resolve(past.target.settings.branch)
    blobs = repository.listing(commit).blobs
    filenames = {one.version: one.filename for one in past.files}
    folder = f"{repository.supabase}/" if repository.supabase else ""
    paths = {row.version: _path(filenames[row.version], blobs.keys(), folder) for row in past.rows}
    contents = repository.read({path: blobs[path] for path in paths.values()})
    scripts = tuple(
        Script(
            version=row.version,
            name=row.name or "",
            filename=paths[row.version].rpartition("/")[2],
            effect=Effect.REMOVES,
            path=paths[row.version],
            sha256=hashlib.sha256(contents[paths[row.version]]).hexdigest(),
            row=row,
        )
        for row in past.rows
    )
    return Found(commit, scripts, repository.authors(commit, None, paths.values()))


def _path(filename: str, there: Collection[str], folder: str) -> str:
    name = filename.removesuffix(".sql") + REVERSE
    found = [path for one in _FOLDERS if (path := f"{one}/{name}") in there]
    if not found:
        raise NotProvenError(f"The repository has no {folder}rollbacks/{name}.")
    if len(found) > 1:
        raise NotProvenError(f"The repository has {name} twice, in {' and in '.join(_FOLDERS)}.")
    return found[0]

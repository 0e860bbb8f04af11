"""The migrations of a commit as a plan needs them: read where they are not known, judged, compared with a history."""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ops.hazards import Hazard
from ops.history import Comparison
from ops.history import compare
from ops.history import file_sha256
from ops.known_files import KnownFiles
from ops.known_readings import KnownReadings
from ops.known_readings import Reading
from ops.known_readings import key_of
from ops.known_readings import linter
from ops.masking import mask_sql
from ops.migration import Folder
from ops.migration import Migration
from ops.repository import Listing
from ops.repository import Repository

if TYPE_CHECKING:
    from ops.target_reading import State

# Grammar and rules are loaded where they are needed: most plans are of files that are known, and take less time.


def judged(repository: Repository, listing: Listing, state: "State", project_ref: str) -> tuple[Reading, Comparison]:
    """The migrations of a commit, the hazards of those that are pending, and how they compare with the target's history.

    Pure: for the same files and the same history it is what this process found last, so that a plan that is made again
    does not cost what the history is long. Raises OpsError.
    """
    key = (repository.mirror, repository.supabase, listing.tree_sha, state.fingerprint.history_sha256, project_ref)
    last = _LAST.get(key)
    if last is not None and last.linter == linter():
        return last.reading, last.comparison
    used = linter()
    reading = _judged(repository, listing, {row.version: row.sha256 for row in state.rows}, project_ref)
    files = {migration.version: migration for migration in reading.folder.migrations}
    rows = state.rows_with_statements(files)
    comparison = compare(rows, reading.folder.migrations)
    # What had to be asked for afterwards may be of another moment than the history's hash.
    if rows is state.rows and _is_complete(reading):
        if len(_LAST) >= _MOST_LAST:
            _LAST.clear()
        _LAST[key] = _Last(used, reading, comparison)
    return reading, comparison


@dataclass(frozen=True)
class _Last:
    """What was found by a process of this linter."""

    linter: list[object]
    reading: Reading
    comparison: Comparison


_LAST: dict[tuple[Path, str, str, str, str], _Last] = {}
_MOST_LAST = 8


def read_files(repository: Repository, listing: Listing, wanted: Container[str]) -> Folder:
    """The migrations of a commit, those with these names read and parsed."""
    names, unread = _known(repository, listing, lambda filename, _: filename not in wanted)
    return _read(repository, listing, names, _contents(repository, listing, names, unread), unread)


def _is_complete(reading: Reading) -> bool:
    """Whether all that judges files did; else it may the next time."""
    from ops.hazards.finding import LINTER_FAILED

    return not any(hazard.rule == LINTER_FAILED.id for hazard in reading.hazards)


def _judged(repository: Repository, listing: Listing, stored: Mapping[str, str | None], project_ref: str) -> Reading:
    """The migrations of a commit and the hazards of those whose version is not in `stored`, the history's hashes.

    What is applied as it stands is not read again, so that a long history costs little; nor is anything worked out
    again for the very files of an earlier plan.
    """
    names, unread = _known(repository, listing, lambda name, sha256: stored.get(_version(name)) == sha256)
    pending = [name for name in names if _version(name) not in stored]
    blobs = {name: listing.blobs[path] for name, path in names.items()}
    key = key_of(blobs, unread, pending, project_ref)
    known = KnownReadings(repository.mirror.with_suffix(".readings"))
    contents = _contents(repository, listing, names, unread)
    found = known.find(key, contents, unread)
    if found is not None:
        return found
    folder = _read(repository, listing, names, contents, unread)
    hazards = _hazards(tuple(one for one in folder.migrations if one.version not in stored), project_ref)
    read = (one for one in folder.migrations if one.filename not in unread)
    clean = frozenset(one.filename for one in read if mask_sql(one.text) == one.text)
    reading = Reading(folder, hazards, clean)
    if _is_complete(reading):
        known.keep(key, reading)
    return reading


def _version(name: str) -> str:
    return name.partition("_")[0]


def _known(
    repository: Repository, listing: Listing, may_skip: Callable[[str, str], bool]
) -> tuple[dict[str, str], dict[str, str]]:
    """The names of a commit's migrations with their paths, and of those that need not be read, by `may_skip`, the hash of
    their statements. Only a file that was read before has a known hash."""
    known = KnownFiles(repository.mirror.with_suffix(".files"))
    names = {path.removeprefix(_FOLDER): path for path in listing.blobs if path.startswith(_FOLDER)}
    hashes = {name: known.statements_sha256(listing.blobs[path]) for name, path in names.items()}
    return names, {name: sha256 for name, sha256 in hashes.items() if sha256 and may_skip(name, sha256)}


def _contents(
    repository: Repository, listing: Listing, names: Mapping[str, str], unread: Mapping[str, str]
) -> dict[str, bytes]:
    """What is in the files that are to be read, by name."""
    read = repository.read({path: listing.blobs[path] for name, path in names.items() if name not in unread})
    return {path.removeprefix(_FOLDER): content for path, content in read.items()}


def _read(
    repository: Repository,
    listing: Listing,
    names: Mapping[str, str],
    contents: Mapping[str, bytes],
    unread: Mapping[str, str],
) -> Folder:
    """The files cut and parsed; their hashes are known from now on."""
    from ops.migrations import makes_procedures

    folder = _folder(tuple(contents.items()), tuple(unread.items()))
    read = [one for one in folder.migrations if one.filename not in unread and not makes_procedures(one)]
    known = KnownFiles(repository.mirror.with_suffix(".files"))
    known.learn({listing.blobs[names[one.filename]]: file_sha256(one) for one in read})
    known.save()
    return folder


_FOLDER = "migrations/"


@lru_cache(maxsize=16)
def _folder(files: tuple[tuple[str, bytes], ...], unread: tuple[tuple[str, str], ...]) -> Folder:
    """Parsing is pure: the same bytes are read once, however often the plan is computed again."""
    from ops.migrations import read_folder

    return read_folder(dict(files), dict(unread))


@lru_cache(maxsize=16)
def _hazards(pending: tuple[Migration, ...], project_ref: str) -> tuple[Hazard, ...]:
    from ops.hazards import find_hazards

    return find_hazards(pending, project_ref=project_ref)

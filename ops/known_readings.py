"""What was read in a set of files, and which hazards were found in it, so that the same plan is not worked out twice.

Rebuildable, kept beside the mirror in our own folder, one file per set: its name is the hash of everything that the
answer rests on (names and contents of the files, which of them are pending, the code that reads and judges, the linter).
A file that is not ours alone to write, or is damaged, is as good as none.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ops.hazards import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.squawk import SquawkTool
from ops.known_files import grammar_sha256
from ops.migration import Folder
from ops.migration import Migration
from ops.migration import Refusal
from ops.migration import Segment
from ops.migration import Skipped
from ops.migration import Statement
from ops.migration import unread_migrations

SETS = 8
"""So many are kept, the newest; each environment of a project has its own."""

_CODE = ("*.py", "hazards/*.py")


@dataclass(frozen=True)
class Reading:
    """A folder whose statements have no trees, the hazards of its pending files, and the names of files in whose
    statements nothing is to be masked."""

    folder: Folder
    hazards: tuple[Hazard, ...]
    clean: frozenset[str]


class KnownReadings:
    """Readings by key. Whatever cannot be read or written is not known."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str, contents: Mapping[str, bytes], unread: Mapping[str, str]) -> Reading | None:
        """The reading of these files, by name; `unread` has the hashes of those that are not read."""
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
            path = self._path / key
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                    return None
                checksum, _, text = file.read().partition(b"\n")
            if checksum.decode() != hashlib.sha256(key.encode() + text).hexdigest():
                return None
            return _reading(json.loads(text), contents, unread)
        return None

    def keep(self, key: str, reading: Reading) -> None:
        """Have it for the next process; whole or not at all."""
        text = json.dumps(_to_json(reading)).encode()
        checksum = hashlib.sha256(key.encode() + text).hexdigest().encode()
        with suppress(OSError):
            self._path.mkdir(mode=0o700, exist_ok=True)
            unfinished = self._path / f"{key}.{secrets.token_hex(4)}"
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(checksum + b"\n" + text)
            unfinished.rename(self._path / key)
            found = sorted(self._path.iterdir(), key=lambda one: one.stat().st_mtime_ns)
            for old in found[:-SETS]:
                old.unlink(missing_ok=True)


def key_of(blobs: Mapping[str, str], unread: Mapping[str, str], pending: Sequence[str], project_ref: str) -> str:
    """The name of a set: every file by its name and git's name of its content, those not read, those pending, and the
    Supabase project that they are for."""
    found = hashlib.sha256(json.dumps([_code_sha256(), linter(), project_ref, sorted(pending)]).encode())
    for files in (blobs, unread):  # neither a file's name nor a hash holds a NUL
        found.update("\0".join(["", *sorted(files), "", *map(files.__getitem__, sorted(files))]).encode())
    return found.hexdigest()


@cache
def _code_sha256() -> str:
    """Of the code that reads and judges files: what it said before another version of it is forgotten."""
    found = hashlib.sha256(f"readings 1, pglast {grammar_sha256()}".encode())
    here = Path(__file__).parent
    for pattern in _CODE:
        for path in sorted(here.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()


def linter() -> list[object]:
    """Which program judges files besides our own rules."""
    program = SquawkTool().program()
    with suppress(OSError, TypeError):
        status = os.stat(str(program))
        return [program, status.st_size, status.st_mtime_ns, status.st_ino]
    return [program]


def _to_json(reading: Reading) -> dict[str, Any]:
    read = [one for one in reading.folder.migrations if not one.stored_sha256]
    return {
        "files": [
            {
                "filename": one.filename,
                "statements": [
                    [len(each.text), each.line, each.offset, each.stands_alone, each.is_unread]
                    for each in one.statements
                ],
                "segments": [[each.statements, each.transactional] for each in one.segments],
                "refusals": [asdict(each) for each in one.refusals],
                "notes": one.notes,
                "version": one.version,
                "name": one.name,
                "sha256": one.sha256,
            }
            for one in read
        ],
        "skipped": [[one.filename, one.why] for one in reading.folder.skipped],
        "hazards": [asdict(one) for one in reading.hazards],
        "clean": sorted(reading.clean),
    }


def _reading(said: dict[str, Any], contents: Mapping[str, bytes], unread: Mapping[str, str]) -> Reading | None:
    read = [_migration(one, contents[one["filename"]]) for one in said["files"]]
    left_out = {name for name, _ in said["skipped"]}
    if {one.filename for one in read} != contents.keys() - left_out:
        return None
    others = unread_migrations({name: sha256 for name, sha256 in unread.items() if name not in left_out})
    migrations = sorted((*read, *others), key=lambda one: (one.version, one.filename))
    hazards = tuple(
        Hazard(**{**one, "hazard_class": HazardClass(one["hazard_class"]), "level": Level(one["level"])})
        for one in said["hazards"]
    )
    skipped = tuple(Skipped(name, why) for name, why in said["skipped"])
    return Reading(Folder(tuple(migrations), skipped), hazards, frozenset(said["clean"]))


def _migration(said: dict[str, Any], content: bytes) -> Migration:
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    return Migration(
        version=said["version"],
        name=said["name"],
        filename=said["filename"],
        content=content,
        sha256=said["sha256"],
        text=text,
        statements=tuple(
            Statement(text[offset : offset + length], line, offset, alone, is_unread=unread)
            for length, line, offset, alone, unread in said["statements"]
        ),
        segments=tuple(Segment(tuple(indexes), transactional) for indexes, transactional in said["segments"]),
        refusals=tuple(Refusal(**one) for one in said["refusals"]),
        notes=tuple(said["notes"]),
    )

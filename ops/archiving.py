"""Sealed segments in one file, to be kept elsewhere, and taken apart again: each checked, and that each begins where the one
before it ends."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from audit import Base
from audit import Draft
from audit import Reader
from audit import digest_of
from audit.checkpoint import origin_of
from audit.tree import Frontier
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.segments import Segment
from ops.segments import folder_of
from ops.segments import segment_problem
from ops.segments import segments_in

MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 16 * 2**20
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}\.db")
_EPOCH = 0
"""Members have no times of their own, so that two archives of the same segments are the same bytes."""


@dataclass(frozen=True)
class Archive:
    """An archive file, its SHA-256, and what is in it."""

    path: Path
    sha256: str
    segments: Sequence[Segment]


def archive(ops: Ops, target: Path, actor: Actor, before: str = "") -> Archive:
    """Put the sealed months into a file, `before` a month if that is given; then read it back. Raises OpsError and
    AuditError."""
    segments = [one for one in segments_in(ops.view) if not before or one.month < before]
    if not segments:
        raise OpsError(Reason.BAD_USAGE, "No such month is sealed.", "`audit segments` lists them, `audit seal` seals.")
    folder = folder_of(ops.settings)
    for one in segments:
        if problem := segment_problem(one, folder / one.name):
            raise _damaged(problem, "`audit seal` makes lost ones again; find out who changed the others.")
    if target.exists():
        raise OpsError(Reason.BAD_USAGE, f"There is something at {target}.", "An archive overwrites nothing.")
    unfinished = target.with_name(f"{target.name}.new")
    try:
        _write(unfinished, folder, segments, ops.view.log_id())
        with _opened(unfinished) as members:
            _check_members(members, segments)
            _read_to_its_end(members)
        found = Archive(target, digest_of(unfinished), segments)
        unfinished.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise OpsError(
            Reason.BAD_USAGE,
            f"The archive cannot be written to {target}: {error.strerror or error}.",
            "Name another place.",
        ) from error
    _record(
        ops, actor, "archived", {"file": str(target), "sha256": found.sha256, "months": [one.month for one in segments]}
    )
    return found


def restore_archive(ops: Ops, source: Path, folder: Path, actor: Actor) -> Archive:
    """Put an archive's segments into a folder that is empty or not there, when every one of them holds and they link.

    Nothing is left there where one does not. Raises OpsError, AuditError.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OpsError(Reason.BAD_USAGE, f"{folder} is not empty.", "Name a folder that is empty, or not there.")
    unfinished = _room_beside(folder)
    try:
        with _opened(source) as members:
            segments = _manifest(members, ops.view.log_id())
            _extract(members, segments, unfinished)
            _read_to_its_end(members)
        _check_segments(segments, unfinished, ops)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
        _sync(folder.parent)
        found = Archive(source, digest_of(source), segments)
    except (OSError, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
        raise _damaged(f"The archive {source} cannot be taken apart: {error}.", "Take another copy of it.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    data = {
        "file": str(source),
        "sha256": found.sha256,
        "months": [one.month for one in segments],
        "folder": str(folder),
    }
    _record(ops, actor, "archive_restored", data)
    return found


def _room_beside(folder: Path) -> Path:
    """A new folder, which is nobody else's. Raises OpsError."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(mkdtemp(prefix=f"{folder.name}.", suffix=".new", dir=folder.parent))
    except OSError as error:
        message = f"Nothing can be put beside {folder}: {error.strerror or error}."
        raise OpsError(Reason.BAD_USAGE, message, "Name another folder.") from error


def _record(ops: Ops, actor: Actor, kind: str, data: dict[str, Any]) -> None:
    ops.log.append([Draft(kind=kind, actor=actor.id, stream="all", data=data)])


def _write(path: Path, folder: Path, segments: Sequence[Segment], log_id: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with gzip.GzipFile("", "wb", 6, file, _EPOCH) as packed, tarfile.open(fileobj=packed, mode="w|") as members:
            said = {"format": 1, "origin": origin_of(log_id), "segments": [_said(one) for one in segments]}
            manifest = json.dumps(said, indent=1).encode()
            members.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
            for one in segments:
                with (folder / one.name).open("rb") as content:
                    members.addfile(_member(one.name, one.size), content)
        file.flush()
        os.fsync(file.fileno())


def _member(name: str, size: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode, found.mtime = size, 0o440, _EPOCH
    return found


def _said(segment: Segment) -> dict[str, Any]:
    return {
        "month": segment.month,
        "first": segment.first_seq,
        "last": segment.last_seq,
        "head": segment.end.hash,
        "at": segment.end.at,
        "tree": segment.end.tree.to_json(),
        "sha256": segment.sha256,
        "size": segment.size,
    }


def _opened(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, "r:gz")


def _manifest(members: tarfile.TarFile, log_id: str) -> list[Segment]:
    """What the archive says that is in it. Raises OpsError: another log's, or no archive of ours."""
    first = members.next()
    content = members.extractfile(first) if first and first.isreg() and first.name == MANIFEST else None
    try:
        if content is None:
            raise ValueError
        said = json.loads(content.read(MOST_MANIFEST_BYTES))
        found = [_segment(one) for one in said["segments"]]
        origin = said["origin"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged("This is no archive of segments.", "`audit archive` makes one.") from error
    if origin != origin_of(log_id):
        raise _damaged("This archive is of another log.", "Name the configuration that it belongs to.")
    return found


def _segment(said: dict[str, Any]) -> Segment:
    end = Base(said["last"], str(said["head"]), str(said["at"]), Frontier.from_json(said["tree"]))
    found = Segment(str(said["month"]), said["first"], end, str(said["sha256"]), said["size"])
    if not _NAME.fullmatch(found.name) or end.tree.size != end.seq or not isinstance(found.size, int):
        raise ValueError("this is no segment")
    return found


def _extract(members: tarfile.TarFile, segments: Sequence[Segment], folder: Path) -> None:
    """Each file by hand: names, kinds and sizes are only those that the manifest says."""
    for one in segments:
        member = members.next()
        content = members.extractfile(member) if member and member.isreg() else None
        if member is None or content is None or (member.name, member.size) != (one.name, one.size):
            raise _damaged(f"{one.name} is not in the archive as it says.", "Take another copy of it.")
        descriptor = os.open(folder / one.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o440)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())


def _check_members(members: tarfile.TarFile, segments: Sequence[Segment]) -> None:
    for name, sha256 in [(MANIFEST, ""), *((one.name, one.sha256) for one in segments)]:
        member = members.next()
        content = members.extractfile(member) if member else None
        if member is None or member.name != name or content is None:
            raise _damaged(f"{name} did not get into the archive.", "Look at the disk.")
        if sha256 and hashlib.file_digest(content, "sha256").hexdigest() != sha256:  # type: ignore[arg-type]  # it reads into, which typeshed does not say of it
            raise _damaged(f"{name} is not in the archive as it was.", "Look at the disk.")


def _read_to_its_end(members: tarfile.TarFile) -> None:
    """Only at the end of its stream gzip compares its sum of all bytes, those between the members too. Raises OSError."""
    if members.next() is not None:
        raise _damaged("There is more in the archive than it says.", "Take another copy of it.")
    stream = members.fileobj
    while stream is not None and stream.read(2**20):
        pass


def _check_segments(segments: Sequence[Segment], folder: Path, ops: Ops) -> None:
    """That each holds and goes on from the one before, and that the log knows them so, as far as it still does."""
    known = {one.month: one for one in segments_in(ops.view)}
    before: Segment | None = None
    for one in segments:
        path = folder / one.name
        if problem := segment_problem(one, path):
            raise _damaged(f"The archive does not hold: {problem}", "Take another copy of it.")
        base = Reader(path).base()
        if before is not None and base != before.end:
            raise _damaged(f"{one.name} does not begin where {before.name} ends.", "Take another copy of it.")
        in_log = known.get(one.month)
        if in_log is not None and (in_log.end, in_log.first_seq) != (one.end, one.first_seq):
            raise _damaged(f"The log knows {one.month} with other events.", "Find out which of the two was changed.")
        before = one


def _damaged(message: str, hint: str) -> OpsError:
    return OpsError(Reason.LOG_DAMAGED, message, hint, exit_code=1)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

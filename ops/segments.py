"""Sealed segments: the events of each month in a file of their own that nobody writes any more, each beginning where the one
before it ends.

They are copies: the log holds their events until old ones are dropped. A month is sealed when the log holds an event from
behind its end, since none can come into it then. What the log says of a segment is its newest `segment_sealed`.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path

from audit import SEALED
from audit import AuditError
from audit import Base
from audit import Draft
from audit import Event
from audit import Part
from audit import Query
from audit import View
from audit import digest_of
from audit import erased_in
from audit import unfinished_of
from audit import unwatched
from audit import verify
from audit import with_payload
from audit import write_part
from audit.tree import Frontier
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.settings import Settings

SEALER = Actor("system:sealer")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Segment:
    """What the log says of a sealed month: its first event, where it ends, and its file's SHA-256 and size in bytes."""

    month: str
    first_seq: int
    end: Base
    sha256: str
    size: int

    @property
    def last_seq(self) -> int:
        return self.end.seq

    @property
    def name(self) -> str:
        return f"{self.month}.db"


def folder_of(settings: Settings) -> Path:
    return settings.path(settings.audit.segments)


def check_month(text: str) -> str:
    """A month as segments are named. Raises OpsError(BAD_USAGE)."""
    if not _MONTH.fullmatch(text):
        raise OpsError(Reason.BAD_USAGE, f"{text[:40]!r} is no month.", "Say it as 2026-10.")
    return text


def segments_in(view: View) -> list[Segment]:
    """The sealed months that the log knows of, oldest first; the dropped ones are not among them."""
    found: dict[str, Segment] = {}
    for event in view.find(Query(kinds=("segment_sealed",))):
        if event.data is not None:
            segment = _segment(event)
            found[segment.month] = segment
    begin = view.base().seq
    return sorted((one for one in found.values() if one.last_seq > begin), key=lambda one: one.first_seq)


def _segment(event: Event) -> Segment:
    data = event.data or {}
    tree = Frontier.from_json({"size": data["last_seq"], "hashes": data["tree"]})
    end = Base(data["last_seq"], data["head"], data["at"], tree)
    return Segment(data["month"], data["first_seq"], end, data["sha256"], data["size"])


def seal_due(ops: Ops, crashpoint: Callable[[str], None] = unwatched) -> list[Segment]:
    """Seal every month that is over and is not sealed, and make again what is not as it was sealed or still holds what was
    erased since. Raises AuditError; what was sealed by then stays."""
    finish_drop(ops)
    done = mend(ops, crashpoint)
    known = segments_in(ops.view)
    end = known[-1].end if known else ops.view.base()
    while (found := _next_month(ops.view, end)) is not None:
        month, last = found
        part = Part(end, last, gone=_erased_between(ops.view, end.seq, last))
        done.append(_seal(ops, month, part, "month", crashpoint))
        end = done[-1].end
    return done


def finish_drop(ops: Ops) -> None:
    """Remove the files of months that were dropped from the log, and write down that they are gone; nothing where that was
    done, or the log still has them."""
    began = ops.view.last(kind="drop_began")
    base = ops.view.base()
    if began is None or began.data is None or began.data["last_seq"] != base.seq:
        return
    ended = ops.view.last(kind="dropped")
    if ended is not None and ended.seq > began.seq:
        return
    months = sorted(began.data["months"])
    for month in months:
        path = folder_of(ops.settings) / f"{month}.db"
        path.unlink(missing_ok=True)
        unfinished_of(path).unlink(missing_ok=True)
    data = {"last_seq": base.seq, "months": months, "carried": ops.view.carried()}
    ops.log.append([Draft(kind="dropped", actor=SEALER.id, stream="bot", data=data)])


def _next_month(view: View, end: Base) -> tuple[str, int] | None:
    """The first month behind an event that is over, and its last event; None: none is over."""
    after = view.since(end.seq, 1)
    head = view.find(Query(limit=1, newest_first=True))
    if not after or (head[0].at.year, head[0].at.month) == (after[0].at.year, after[0].at.month):
        return None
    first = after[0].at
    until = datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC)
    return f"{first:%Y-%m}", view.span(Query(until=until))[1] - 1


def mend(ops: Ops, crashpoint: Callable[[str], None] = unwatched) -> list[Segment]:
    """Segments that are lost, cannot be read, or hold what was erased since, made again from the log."""
    done = []
    known = segments_in(ops.view)
    for segment, begin in zip(known, [ops.view.base(), *(one.end for one in known)], strict=False):
        gone = _erased_between(ops.view, begin.seq, segment.last_seq)
        if because := _why_again(folder_of(ops.settings) / segment.name, gone):
            part = Part(begin, segment.last_seq, gone=gone)
            done.append(_seal(ops, segment.month, part, because, crashpoint))
    for unfinished in folder_of(ops.settings).glob("????-??.db.new*"):  # of a month that is not sealed yet
        unfinished.unlink(missing_ok=True)
    return done


def _why_again(path: Path, gone: Mapping[int, int]) -> str:
    if not path.exists() or unfinished_of(path).exists():
        return "again"
    try:
        return "erased" if gone and with_payload(path, gone.keys() - erased_in(path).keys()) else ""
    except AuditError:
        return "again"


def _erased_between(view: View, after: int, last: int) -> dict[int, int]:
    """The events whose text was erased by an event behind this part, with that event's number."""
    erasures = view.find(Query(kinds=("erased",), after_seq=after))
    named = {seq: one.seq for one in reversed(erasures) for seq in (one.data or {}).get("seqs", ())}
    return {seq: by for seq, by in named.items() if after < seq <= last and by > last}


def _seal(ops: Ops, month: str, part: Part, because: str, crashpoint: Callable[[str], None]) -> Segment:
    """The log says it first: a file that is not finished shows that the one in its place may be another than it says."""
    done: list[Segment] = []

    def say(end: Base, file: Path) -> None:
        segment = Segment(month, part.base.seq + 1, end, digest_of(file), file.stat().st_size)
        data = {
            "month": month,
            "first_seq": segment.first_seq,
            "last_seq": end.seq,
            "head": end.hash,
            "at": end.at,
            "root": end.tree.root().hex(),
            "tree": [one.hex() for one in end.tree.hashes],
            "sha256": segment.sha256,
            "size": segment.size,
            "because": because,
        }
        ops.log.append([Draft(kind="segment_sealed", actor=SEALER.id, stream="bot", data=data)])
        done.append(segment)

    path = folder_of(ops.settings) / f"{month}.db"
    write_part(ops.log.path, path, part, mode=SEALED, ready=say, crashpoint=crashpoint)
    return done[0]


def segment_problem(segment: Segment, path: Path) -> str:
    """What is wrong with a segment's file, in a sentence; empty: it is what was sealed, and it holds."""
    try:
        if not path.exists():
            return f"{path.name} is not there."
        if digest_of(path) != segment.sha256:
            return f"{path.name} is not the file that was sealed."
        found = verify(path, is_part=True)
    except (AuditError, OSError) as error:
        return f"{path.name} cannot be read: {error}"
    if found.problems:
        return f"{path.name}: {found.problems[0].message}"
    if found.end is None or (found.end.head, found.end.tree) != (segment.end.hash, segment.end.tree):
        return f"{path.name} ends elsewhere than the log says."
    return "" if found.base == segment.first_seq - 1 else f"{path.name} begins elsewhere than the log says."

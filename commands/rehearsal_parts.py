"""What a rehearsal showed, as parts of a page: the point first, what the plan did, how it was tried, what nobody saw."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from commands.changes_parts import changes_parts
from commands.page import Line
from commands.page import Listing
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Strong
from commands.page_words import plural
from commands.page_words import seconds_text
from commands.page_words import shortened
from ops.amounts import size_text
from ops.hazards.model import Level
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from ops.rehearsal.report import from_json
from ops.requests import Request

SLOW_SECONDS = 1.0
"""Quicker statements are not named: on a copy without rows nearly all are."""

NAME_LETTERS = 90
SENTENCE_LETTERS = 240
NAMES_SHOWN = 4

RULES_SAY_OFF = "the rules of this environment ask for no rehearsal."

KEPT_OUT = {
    "AccessExclusiveLock": "nobody can read or write",
    "ExclusiveLock": "nobody can write",
    "ShareRowExclusiveLock": "nobody can write",
    "ShareLock": "nobody can write",
}
"""Locks that keep somebody's work out, the strongest first, and what those can not do. The others only keep VACUUM and
other changes of the schema out (https://www.postgresql.org/docs/18/explicit-locking.html, read 2026-11-23)."""


@dataclass(frozen=True)
class Room:
    """How many lines there is room for, of each kind of finding and of what could not be seen; None: for all."""

    each: int | None
    slowest: int
    unseen: int | None


CARD = Room(each=4, slowest=2, unseen=3)
WHOLE = Room(each=None, slowest=10, unseen=None)

_BESIDE = "event"
"""What the log keeps of a rehearsal beside what it showed."""

Marked = tuple[str, Line]
"""A line with its mark."""


def rehearsal_of(request: Request) -> Rehearsal | None:
    """What the log keeps of a request's rehearsal, None where there was none; its longest lists are cut."""
    if request.rehearsal is None:
        return None
    return from_json({key: value for key, value in request.rehearsal.items() if key != _BESIDE})


def rehearsal_parts(found: Rehearsal | None, room: Room = CARD, *, why_none: str = "") -> list[Part]:
    """What a rehearsal showed. None where there was none: then `why_none` says why, and without it nothing is said."""
    if found is None:
        return [Paragraph((Strong("Not rehearsed: "), why_none))] if why_none else []
    if found.outcome is Outcome.IMPOSSIBLE:
        return [Paragraph((Strong("Not rehearsed: "), found.because))]
    did = list(done_lines(found, room))
    title = rehearsal_point(found)
    parts: list[Part] = list(_failure(found)) if found.outcome is Outcome.FAILED else []
    if did:
        before = "Before that it did this" if parts else title
        parts.append(Listing(before, [line for _, line in did], [mark for mark, _ in did]))
    elif not parts:
        parts.append(Paragraph((Strong(f"{title}. "), "It drops nothing, rewrites nothing and keeps nobody waiting.")))
    return [*parts, *_unseen(found, room), Paragraph((Strong("How it was tried: "), _how(found)))]


def rehearsed_parts(request: Request, room: Room) -> list[Part]:
    """What the request's rehearsal showed, or why there was none where people decide."""
    is_off = request.plan["policy"].get("rehearsal") == "off" and request.needed > 0
    why = RULES_SAY_OFF if is_off else ""
    return rehearsal_parts(rehearsal_of(request), room, why_none=why)


def has_failed(request: Request) -> bool:
    """Whether the plan failed on a copy, where the rules let it be asked for all the same."""
    return request.rehearsal is not None and request.rehearsal.get("outcome") == Outcome.FAILED


def changed_parts(request: Request, most: int | None, everything: Line) -> list[Part]:
    """What the plan changes in the schema, as its rehearsal saw it."""
    found = rehearsal_of(request)
    if found is None or found.outcome is not Outcome.PASSED:
        return []
    return changes_parts(found.changes, most, everything, found.changes_left_out)


def rehearsal_point(found: Rehearsal) -> str:
    """The point in one line: `Rehearsed on a copy: all 3 files ran, in 0.4 s`."""
    match found.outcome:
        case Outcome.IMPOSSIBLE:
            return f"Not rehearsed: {found.because}"
        case Outcome.FAILED:
            return f"The rehearsal failed{_failed_where(found)}"
        case Outcome.PASSED:
            copy = "a copy with its rows" if found.with_data else "a copy"
            files = "its one file" if len(found.files) == 1 else f"all {len(found.files):,} files"
            return f"Rehearsed on {copy}: {files} ran, in {seconds_text(sum(one.seconds for one in found.files))}"


def failed_file(found: Rehearsal) -> FileFacts | None:
    """The file at which a rehearsal failed; None when it failed at none of them."""
    return next((one for one in found.files if one.outcome == "failed"), None)


def _failed_where(found: Rehearsal) -> str:
    """Where and why, as a compiler says it."""
    failed = failed_file(found)
    if failed is None:
        return f": {found.because}"
    error: Mapping[str, Any] = failed.error or {}
    line = f", line {error['line']}" if error.get("line") else ""
    return f" at {shortened(failed.filename, NAME_LETTERS)}{line}: {error.get('message') or found.because}"


def _failure(found: Rehearsal) -> Iterator[Part]:
    """The error like a compiler's: the place, the excerpt with its caret, the server's hint, how far it came."""
    failed = failed_file(found)
    error: Mapping[str, Any] = (failed.error or {}) if failed is not None else {}
    yield Paragraph((Strong("The rehearsal failed"), _failed_where(found)))
    if failed is not None and error.get("caret"):
        place = ":".join(str(one) for one in (error.get("line"), error.get("column")) if one)
        state = f", SQLSTATE {error['sqlstate']}" if error.get("sqlstate") else ""
        yield Source(f"{shortened(failed.filename, NAME_LETTERS)}{':' if place else ''}{place}{state}", error["caret"])
    for title, key in _SAID_OF_AN_ERROR:
        if error.get(key):
            yield Paragraph((Strong(title), str(error[key])))
    ran = sum(1 for one in found.files if one.outcome == "passed")
    left = sum(1 for one in found.files if one.outcome == "not_run")
    not_tried = f"; {left:,} not tried" if left else ""
    before = f"{ran:,} of {plural(len(found.files), 'file')} ran before it" if ran else "Nothing ran before it"
    yield Paragraph((f"{before}{not_tried}.",))


_SAID_OF_AN_ERROR = (
    *(("Detail: ", "detail"), ("Hint of the database: ", "hint")),
    *(("About the copy: ", "about_copy"), ("To mend it: ", "to_mend")),
)
"""What is told of an error beside its message: the server's words, and apart from them our own."""


def done_lines(found: Rehearsal, room: Room) -> Iterator[Marked]:
    """What the statements did, the worst first: marks and lines."""
    done = [(file, statement) for file in found.files for statement in file.statements]
    drops = [one for _, statement in done for one in statement.drops]
    yield from _capped("drops", [_dropped(one) for one in drops if not one.cascaded], room.each)
    yield from _capped("drops too", [_dropped(one) for one in drops if one.cascaded], room.each)
    rewrites = [one for _, statement in done for one in statement.rewrites]
    yield from _capped("empties", list(_sized(one for one in rewrites if one.kind == "truncated")), room.each)
    yield from _capped("rewrites", list(_sized(one for one in rewrites if one.kind != "truncated")), room.each)
    yield from _capped("locks", list(_locked(done)), room.each)
    yield from _capped("writes", list(_written(statement for _, statement in done)), room.each)
    yield from _capped("mends", [(no_longer(one),) for one in mended(found)], room.each)
    left_out = sum(file.left_out for file in found.files) + sum(statement.more for _, statement in done)
    if left_out:
        yield "more", (f"{plural(left_out, 'lesser finding')}, too many to be kept",)
    slowest = sorted(done, key=lambda one: -one[1].seconds)[: room.slowest]
    for file, statement in slowest:
        if statement.seconds >= SLOW_SECONDS:
            yield "slow", (f"{seconds_text(statement.seconds)} for {_place(file, statement)}",)


def mended(found: Rehearsal) -> list[AccessChange]:
    """What was open before the plan and is not afterwards. Notes of no danger are left out: what ends there may as well
    be that nobody saw anything."""
    return [one for one in found.access_mended if one.level != Level.INFO]


def no_longer(one: AccessChange) -> str:
    """A state that the plan ends, told as such."""
    return f"no longer: {shortened(one.message, SENTENCE_LETTERS)}"


def _capped(mark: str, lines: Sequence[Line], most: int | None) -> Iterator[Marked]:
    shown = lines[:most]
    yield from ((mark, line) for line in shown)
    if len(lines) > len(shown):
        yield mark, (f"and {len(lines) - len(shown):,} more",)


def _dropped(one: Dropped) -> Line:
    # What is named by others stands last, since it may run from right to left.
    size = _size(one.bytes, one.rows)
    return (f"{one.kind}{f', {size}' if size else ''}: {shortened(one.name, NAME_LETTERS)}",)


def _size(bytes_there: int | None, rows: int | None) -> str:
    """How large something is on the target, as far as that is known."""
    if bytes_there == 0:
        return "empty on the target"
    known = size_text(bytes_there, rows)
    return f"{known} on the target" if known else ""


def _sized(rewrites: Iterable[Rewrite]) -> Iterator[Line]:
    """Every relation once, the largest first."""
    found: dict[str, Rewrite] = {one.relation: one for one in rewrites}
    for one in sorted(found.values(), key=lambda one: -(one.bytes or 0)):
        kind = "table" if one.kind == "truncated" else one.kind
        size = _size(one.bytes, one.rows) or "size not known"
        yield (f"{kind}, {size}: {shortened(one.relation, NAME_LETTERS)}",)


def _locked(done: Iterable[tuple[FileFacts, StatementFacts]]) -> Iterator[Line]:
    """The strongest lock of each relation that keeps somebody out, and from where it is held; the largest of them first."""
    order = list(KEPT_OUT)
    strongest: dict[str, tuple[int, HeldLock, str]] = {}
    for file, statement in done:
        for lock in statement.locks:
            rank = _rank(lock, order)
            if rank is not None and (lock.relation not in strongest or rank < strongest[lock.relation][0]):
                strongest[lock.relation] = (rank, lock, _place(file, statement))
    for rank, lock, place in sorted(
        strongest.values(), key=lambda one: (one[0], -(one[1].bytes or 0), one[1].relation)
    ):
        size = f" ({_size(lock.bytes, lock.rows)})" if _size(lock.bytes, lock.rows) else ""
        words = f"{lock.mode} from {place} until the file ends: {KEPT_OUT[order[rank]]} "
        yield (words, f"{shortened(lock.relation, NAME_LETTERS)}{size}")


def _rank(lock: HeldLock, order: Sequence[str]) -> int | None:
    """Where a lock stands among those that keep somebody out; one that only another version knows is the strongest."""
    if lock.mode in order:
        return order.index(lock.mode)
    return None if lock.mode in _LIGHT else 0


_LIGHT = frozenset({"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"})


def _written(statements: Iterable[StatementFacts]) -> Iterator[Line]:
    """The rows that were written, by relation."""
    found: dict[str, TouchedRows] = {}
    for statement in statements:
        for one in statement.rows:
            had = found.get(one.relation, TouchedRows(one.relation, 0, 0, 0))
            found[one.relation] = TouchedRows(
                one.relation, had.inserted + one.inserted, had.updated + one.updated, had.deleted + one.deleted
            )
    for relation, rows in found.items():
        counts = {"inserted": rows.inserted, "updated": rows.updated, "deleted": rows.deleted}
        words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        if words:
            yield (f"rows, {words}: {shortened(relation, NAME_LETTERS)}",)


def _place(file: FileFacts, statement: StatementFacts) -> str:
    return f"{shortened(file.filename, NAME_LETTERS)}, line {statement.line}"


def _unseen(found: Rehearsal, room: Room) -> Iterator[Part]:
    shown = found.unseen[: room.unseen]
    lines: list[Line] = [(shortened(one, SENTENCE_LETTERS),) for one in shown]
    if len(found.unseen) > len(shown):
        lines.append((f"and {len(found.unseen) - len(shown)} more",))
    if lines:
        yield Listing("What a rehearsal could not see", lines)


def _how(found: Rehearsal) -> str:
    """On which server, with what, how walled off, and whether the run is compared with it."""
    words = [_servers(found)]
    words.append("with the rows of the target" if found.with_data else "without rows")
    if found.isolation:
        words.append(f"isolation {found.isolation}")
    if found.stand_ins:
        more = len(found.stand_ins) - NAMES_SHOWN
        names = [shortened(one, NAME_LETTERS) for one in found.stand_ins[:NAMES_SHOWN]]
        words.append(f"stand-ins for {', '.join(names)}{f' and {more} more' if more > 0 else ''}")
    if found.outcome is Outcome.PASSED:
        words.append(_compared(found))
    return "; ".join(words) + "."


def _servers(found: Rehearsal) -> str:
    if found.server == found.target_server:
        return f"{found.server or 'a server of unknown version'}, as on the target"
    return f"{found.server}, while the target has {found.target_server or 'an unknown version'}"


def _compared(found: Rehearsal) -> str:
    if found.is_exact:
        return "the run stops where its schema becomes another than here"
    return f"the run is not compared with it, since {found.inexact_because or 'the copy was not exact'}".rstrip(".")

"""Finding out whether a log is what it was: chain, commitments, order, text, erasures, schema, structure.

The chain shows edits, deletions, swaps and reorderings. That somebody computed the whole chain anew or cut off its end is
shown by anchors only: signed checkpoints that were kept elsewhere.
"""

import sqlite3
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from audit import schema
from audit.anchored import Anchored
from audit.anchors import Anchors
from audit.anchors import anchors_in
from audit.base import Base
from audit.base import base_of
from audit.base import carried_digest
from audit.chain import BEFORE_ALL
from audit.chain import ROWS
from audit.chain import Chain
from audit.chain import Problem
from audit.checkpoint import VerifyKey
from audit.checkpoint import origin_of
from audit.errors import DATABASE_ERRORS
from audit.errors import AuditError
from audit.errors import no_log
from audit.event import FIRST_PREVIOUS
from audit.ranges import verified_by_parts
from audit.tree import Frontier

SLICE_EVENTS = 500


@dataclass(frozen=True)
class Seen:
    """Where a log ended when it was verified: its tree, and hash and time of its last event."""

    log_id: str
    tree: Frontier = field(default_factory=Frontier)
    head: str = FIRST_PREVIOUS
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification found: how many events were read, and the hash of the last (64 zeros in an empty log).
    After 1,000 problems the list ends with one that says so."""

    ok: bool
    events: int
    head: str
    problems: list[Problem]
    anchors: int = 0
    """So many anchors of this log were compared."""
    anchored: int = 0
    """Up to this event the log is proven to be what was signed; 0: none."""
    since: int = 0
    """So many events at the beginning were not read, since they had been before; their tree was taken as it was then."""
    base: int = 0
    """The events up to this one are not here, but for those that were carried over; 0: the log is whole."""
    end: "Seen | None" = None
    """Where the log ends, to go on from the next time; None where something does not hold."""


def verify(
    path: Path,
    *,
    anchors: Iterable[tuple[str, str]] = (),
    keys: Sequence[VerifyKey] = (),
    wants_anchor: bool = False,
    since: Seen | None = None,
    is_part: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verification:
    """Checks a whole log, in slices, through read-only connections; a log in use and a sealed copy will do.

    `anchors` are texts that hold signed checkpoints, each with the name of where it is from; `keys` whose signatures count.
    `wants_anchor`: that there is none is a problem. `since`: read only what came behind that, where an anchor is at least
    as large: its tree is believed then, since the one cannot be made to fit the other. `is_part`: a sealed segment, whose
    erasures may be named by events behind it, and where nothing says that what came before it was dropped. `progress` is
    told how many events of how many are done.
    Raises NoLog when there is no file; whatever else is wrong with it is reported.
    """
    if not path.exists():
        raise no_log(path)
    try:
        connection = schema.connect_reader(path)
    except DATABASE_ERRORS as error:
        problem = Problem(seq=None, code="unreadable", message=f"{path} cannot be read as a log: {error}.")
        return Verification(ok=False, events=0, head=FIRST_PREVIOUS, problems=[problem])
    beside = ThreadPoolExecutor(1, "structure")
    structure = beside.submit(_structure_of, path)  # SQLite looks by itself, while the events are read here
    try:
        connection.text_factory = _text
        problems = _schema_problems(connection)
        log_id = _log_id(connection, problems)
        known = anchors_in(anchors, origin_of(log_id), keys)
        base = _base(connection, problems)
        start = since if since is not None and since.log_id == log_id else Seen(log_id)
        largest = known.largest.checkpoint.size if known.largest else 0
        if start.tree.size <= base.seq or start.tree.size > largest:  # no anchor says that the tree was that
            start = Seen(log_id, base.tree, base.hash, base.at)
        anchored = Anchored(known.found, start.tree)
        last = 0 if problems or start.tree.size or base.seq else _last(connection)
        sizes = [one.checkpoint.size for one in known.found]
        whole = verified_by_parts(path, log_id, last, sizes, progress) if last else None
        if whole is not None:
            anchored.know(whole.events, whole.roots)
            events, end = whole.events, Seen(log_id, whole.tree, whole.head, whole.at)
        else:
            begins_there = start.tree.size == base.seq
            chain = Chain(log_id, seq=start.tree.size, hash=start.head, at=start.at, knows_places=begins_there)
            _carry(connection, chain, base, is_part=is_part) if begins_there else _check_start(
                connection, start, problems
            )
            _walk(connection, chain, anchored, problems)
            problems += chain.finish()
            if begins_there and base.seq and not is_part and (base.seq, base.tree.root().hex()) not in chain.dropped:
                message = f"The events up to {base.seq} are not here, and no event says that they were dropped."
                problems.append(Problem(seq=None, code="base", message=message))
            if begins_there and base.seq and not is_part:
                problems += _carried_problems(connection, chain.carried.get(base.seq))
            events, end = start.tree.size + chain.events, Seen(log_id, anchored.frontier, chain.hash, chain.at)
        problems += _anchor_problems(known, anchored, base, wants_anchor=wants_anchor)
        problems += structure.result()
        return Verification(
            ok=not problems,
            events=events,
            head=end.head,
            problems=problems,
            anchors=sum(one.checkpoint.size >= start.tree.size for one in known.found),
            anchored=anchored.held.checkpoint.size if anchored.held else 0,
            since=start.tree.size if start.tree.size > base.seq else 0,
            base=base.seq,
            end=None if problems else end,
        )
    finally:
        connection.close()
        beside.shutdown(cancel_futures=True)


def _structure_of(path: Path) -> list[Problem]:
    """What is wrong with the file's structure, through a connection of its own."""
    try:
        with closing(schema.connect_reader(path)) as connection:
            return _structure_problems(connection)
    except DATABASE_ERRORS as error:
        return [Problem(seq=None, code="structure", message=f"The file's structure: {error}.")]


def _check_start(connection: sqlite3.Connection, start: Seen, problems: list[Problem]) -> None:
    """That the last event which was seen before is there as it was."""
    if start.tree.size == 0:
        return
    try:
        found = connection.execute("SELECT hash FROM event WHERE seq = ?", (start.tree.size,)).fetchone()
    except DATABASE_ERRORS:
        found = None
    if found != (start.head,):
        what = "is not there any more" if found is None else "is another one"
        message = f"Event {start.tree.size}, at which the log ended when it was verified before, {what}."
        problems.append(Problem(seq=start.tree.size, code="seen", message=message))


def _base(connection: sqlite3.Connection, problems: list[Problem]) -> Base:
    """Behind which event the log begins; a base that cannot be read is a problem, and counts as none."""
    try:
        return base_of(connection)
    except (AuditError, *DATABASE_ERRORS) as error:
        problems.append(Problem(seq=None, code="base", message=f"What the log begins behind cannot be read: {error}"))
        return Base()


def _carry(connection: sqlite3.Connection, chain: Chain, base: Base, *, is_part: bool) -> None:
    """What is here from before the base: where the streams were, and events that were carried over, each by its proof."""
    try:
        for (seq,) in connection.execute("SELECT seq FROM gone").fetchall() if is_part else ():
            chain.erased_elsewhere(seq)
        if base.seq == 0:
            return
        for stream, place in connection.execute("SELECT stream, place FROM reached").fetchall():
            chain.reached(stream, place)
        proofs = dict(connection.execute("SELECT seq, path FROM proof").fetchall())
        after, at = BEFORE_ALL, ""
        while rows := schema.rows(connection, ROWS, {"after": after, "slice": SLICE_EVENTS}):
            for row in rows:
                if row["seq"] > base.seq:
                    return
                chain.carry(base, row, str(proofs.get(row["seq"], "")), at)
                after, at = row["seq"], str(row["at"])
    except DATABASE_ERRORS as error:
        chain.unreadable(f"Events before {base.seq} cannot be read: {error}.")


def _carried_problems(connection: sqlite3.Connection, said: str | None) -> list[Problem]:
    """That what was carried over is all here still. Nothing says so yet when the dropping has just been done."""
    try:
        if said is None or said == carried_digest(lambda sql: connection.execute(sql).fetchall()):
            return []
        message = "What was carried over when old events were dropped is not all here, or not as it was."
    except DATABASE_ERRORS as error:
        message = f"What was carried over when old events were dropped cannot be read: {error}."
    return [Problem(seq=None, code="carried", message=message)]


def _last(connection: sqlite3.Connection) -> int:
    """The number of the last event; 0 where it cannot be told, or numbers are not as they should be."""
    try:
        lowest, highest = connection.execute("SELECT min(seq), max(seq) FROM event").fetchone()
    except DATABASE_ERRORS:
        return 0
    return highest if lowest == 1 and isinstance(highest, int) else 0


def _anchor_problems(known: Anchors, anchored: Anchored, base: Base, *, wants_anchor: bool) -> list[Problem]:
    found = [("anchor_refused", f"An anchor is refused: {one}") for one in known.refused]
    if wants_anchor and not known.found:
        found.append(("anchor_missing", "There is no anchor of this log where anchors were looked for."))
    if known.largest is not None and known.largest.checkpoint.size < base.seq:
        newest = f"the newest is of {known.largest.checkpoint.size} events"
        found.append(("anchor_missing", f"The log begins behind event {base.seq}, which no anchor proves: {newest}."))
    return [Problem(seq=None, code=code, message=message) for code, message in [*found, *anchored.problems()]]


def _walk(connection: sqlite3.Connection, chain: Chain, anchored: Anchored, problems: list[Problem]) -> None:
    after = chain.seq or BEFORE_ALL
    try:
        while rows := schema.rows(connection, ROWS, {"after": after, "slice": SLICE_EVENTS}):
            for row in rows:
                chain.add(row)
            anchored.add([_leaf(row["hash"]) for row in rows])
            if (last := rows[-1]["seq"]) <= after:  # a damaged tree can lead in a circle
                raise sqlite3.DatabaseError("events are not in order")
            after = last
    except DATABASE_ERRORS as error:
        message = f"Events after {chain.seq} cannot be read: {error}."
        problems.append(Problem(seq=None, code="unreadable", message=message))


def _leaf(hash: object) -> bytes:
    """The leaf of the tree for an event's hash; for what is none, one that fits no anchor."""
    try:
        return bytes.fromhex(str(hash))
    except ValueError:
        return b""


def _schema_problems(connection: sqlite3.Connection) -> list[Problem]:
    try:
        found = schema.schema_problems(connection)
    except DATABASE_ERRORS as error:
        found = [f"it cannot be read ({error})"]
    return [Problem(seq=None, code="schema", message=f"The schema: {what}.") for what in found]


def _log_id(connection: sqlite3.Connection, problems: list[Problem]) -> str:
    """The log's id, or an empty text and a problem."""
    try:
        found = connection.execute("SELECT id FROM log LIMIT 2").fetchall()
    except DATABASE_ERRORS:
        found = []
    if len(found) == 1 and isinstance(found[0][0], str):
        return str(found[0][0])
    problems.append(Problem(seq=None, code="log", message="The log has no id, or several."))
    return ""


def _structure_problems(connection: sqlite3.Connection) -> list[Problem]:
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check").fetchall()]
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    except DATABASE_ERRORS as error:
        return [Problem(seq=None, code="structure", message=f"The file's structure: {error}.")]
    problems = [
        Problem(seq=None, code="structure", message=f"The file's structure: {what}.") for what in found if what != "ok"
    ]
    return problems + [
        Problem(seq=row[1], code="payload", message=f"Payload {row[1]} belongs to no event.") for row in orphans
    ]


def _text(encoded: bytes) -> str:
    """Text of a file that may hold anything; what is not UTF-8 becomes halves of surrogate pairs, which are odd."""
    return encoded.decode("utf-8", "surrogateescape")

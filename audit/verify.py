"""Finding out whether a log is what it was: chain, commitments, order, text, erasures, schema, structure.

The chain shows edits, deletions, swaps and reorderings. That somebody computed the whole chain anew or cut off its end is
shown by anchors only: signed checkpoints that were kept elsewhere.
"""

import json
import sqlite3
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import schema
from audit.anchored import Anchored
from audit.anchors import Anchors
from audit.anchors import anchors_in
from audit.checkpoint import VerifyKey
from audit.checkpoint import origin_of
from audit.errors import DATABASE_ERRORS
from audit.errors import no_log
from audit.event import FIRST_PREVIOUS
from audit.event import HASHED
from audit.event import commitment_of
from audit.event import has_escaped_nul
from audit.event import hash_of
from audit.event import is_odd_text
from audit.event import is_written_at
from audit.ranges import verified_by_parts

SLICE_EVENTS = 500
TAIL_EVENTS = 100
MAX_PROBLEMS = 1000

_BEFORE_ALL = -(2**63)
# Named one by one: in a damaged schema a column may be called `Place`, which SQLite takes for the same.
_NAMES = ", ".join(f"event.{name} AS {name}" for name in (*HASHED, "hash"))
_ROWS = f"""
SELECT {_NAMES}, payload.seq IS NOT NULL AS has_payload, payload.salt AS salt, payload.data AS data
FROM event LEFT JOIN payload ON payload.seq = event.seq
WHERE event.seq > :after ORDER BY event.seq LIMIT :slice
"""  # noqa: S608 (constants only)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that does not hold. `seq` is the event, None where it is about the file; `code` is stable."""

    seq: int | None
    code: str
    message: str


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


class Chain:
    """Walks events in order and collects what does not hold. Starts at the beginning, or after an event."""

    def __init__(self, log_id: str, *, seq: int = 0, hash: str = FIRST_PREVIOUS, at: str = "") -> None:
        self.log_id = log_id
        self.events = 0
        self.seq, self.hash, self.at = seq, hash, at
        self.problems: list[Problem] = []
        self._from_start = seq == 0
        self._places: dict[str, int] = {}
        self._without_payload: set[int] = set()
        self._erased: set[int] = set()

    def add(self, row: dict[str, Any]) -> None:
        """Checks the next row; whatever it holds, this only collects."""
        seq = row["seq"]
        self.events += 1
        for code, message in self._row_problems(row):
            self._problem(seq, code, message)
        self.seq, self.hash = seq, str(row["hash"])
        if isinstance(row["at"], str):
            self.at = max(self.at, row["at"])

    def finish(self) -> list[Problem]:
        """All problems, with the payloads that are gone though no erasure names them."""
        for seq in sorted(self._without_payload - self._erased):
            self._problem(seq, "payload_missing", f"Event {seq} has no payload, and no erased event names it.")
        return self.problems

    def _problem(self, seq: int | None, code: str, message: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(seq=seq, code=code, message=message))
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append(Problem(seq=None, code="more", message="There are more problems than are listed."))

    def _row_problems(self, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
        seq = row["seq"]
        if seq != self.seq + 1:
            yield "seq", f"Event {seq} follows event {self.seq}."
        if row["previous"] != self.hash:
            yield "previous", f"Event {seq} does not link to the hash of the event before it."
        try:
            if hash_of(self.log_id, row) != row["hash"]:
                yield "hash", f"Event {seq} is not what was hashed."
        except (ValueError, TypeError):
            yield "hash", f"Event {seq} cannot be hashed."
        if not (isinstance(row["at"], str) and is_written_at(row["at"])):
            yield "at", f"Event {seq} has no proper time."
        elif row["at"] < self.at:
            yield "at", f"Event {seq} is earlier than the event before it."
        if any(isinstance(value, str) and is_odd_text(value) for value in row.values()):
            yield "text", f"Event {seq} holds NUL or text that is not UTF-8."
        if self._from_start:
            yield from self._place_problems(row)
        yield from self._payload_problems(row)

    def _place_problems(self, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
        stream, place = str(row["stream"]), row["place"]
        last = self._places.get(stream, 0)
        if place != last + 1:
            yield "place", f"Event {row['seq']} is at place {place} of {stream} after place {last}."
        self._places[stream] = place if isinstance(place, int) else last

    def _payload_problems(self, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
        seq = row["seq"]
        if not row["has_payload"]:
            self._without_payload.add(seq)
            return
        try:
            if commitment_of(row["salt"], row["data"]) != row["commitment"]:
                yield "commitment", f"The payload of event {seq} is not the one it was recorded with."
            data = json.loads(row["data"])
            if not isinstance(data, dict):
                raise TypeError
            if has_escaped_nul(row["data"].encode()):
                yield "text", f"The payload of event {seq} holds NUL."
            if row["kind"] == "erased":
                self._erased.update(number for number in data["seqs"] if isinstance(number, int))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            yield "payload", f"The payload of event {seq} cannot be read."


def verify(
    path: Path,
    *,
    anchors: Iterable[tuple[str, str]] = (),
    keys: Sequence[VerifyKey] = (),
    wants_anchor: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verification:
    """Checks a whole log, in slices, through read-only connections; a log in use and a sealed copy will do.

    `anchors` are texts that hold signed checkpoints, each with the name of where it is from; `keys` whose signatures count.
    `wants_anchor`: that there is none is a problem. `progress` is told how many events of how many are done.
    Raises NoLog when there is no file; whatever else is wrong with it is reported.
    """
    if not path.exists():
        raise no_log(path)
    try:
        connection = schema.connect_reader(path)
    except DATABASE_ERRORS as error:
        problem = Problem(seq=None, code="unreadable", message=f"{path} cannot be read as a log: {error}.")
        return Verification(ok=False, events=0, head=FIRST_PREVIOUS, problems=[problem])
    try:
        connection.text_factory = _text
        problems = _schema_problems(connection)
        log_id = _log_id(connection, problems)
        known = anchors_in(anchors, origin_of(log_id), keys)
        anchored = Anchored(known.found)
        last = 0 if problems else _last(connection)
        sizes = [one.checkpoint.size for one in known.found]
        whole = verified_by_parts(path, log_id, last, sizes, progress) if last else None
        if whole is not None:
            anchored.know(whole.events, whole.roots)
            events, head = whole.events, whole.head
        else:
            chain = Chain(log_id)
            _walk(connection, chain, anchored, problems)
            problems += chain.finish()
            events, head = chain.events, chain.hash
        problems += _anchor_problems(known, anchored, wants_anchor=wants_anchor)
        problems += _structure_problems(connection)
        held = anchored.held.checkpoint.size if anchored.held else 0
        return Verification(
            ok=not problems, events=events, head=head, problems=problems, anchors=len(known.found), anchored=held
        )
    finally:
        connection.close()


def _last(connection: sqlite3.Connection) -> int:
    """The number of the last event; 0 where it cannot be told, or numbers are not as they should be."""
    try:
        lowest, highest = connection.execute("SELECT min(seq), max(seq) FROM event").fetchone()
    except DATABASE_ERRORS:
        return 0
    return highest if lowest == 1 and isinstance(highest, int) else 0


def _anchor_problems(known: Anchors, anchored: Anchored, *, wants_anchor: bool) -> list[Problem]:
    found = [("anchor_refused", f"An anchor is refused: {one}") for one in known.refused]
    if wants_anchor and not known.found:
        found.append(("anchor_missing", "There is no anchor of this log where anchors were looked for."))
    return [Problem(seq=None, code=code, message=message) for code, message in [*found, *anchored.problems()]]


def tail_problems(connection: sqlite3.Connection, log_id: str) -> list[Problem]:
    """The problems of the last 100 events; what opening a log can afford."""
    newest = connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
    before = connection.execute(
        "SELECT seq, hash, at FROM event WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (newest - TAIL_EVENTS,)
    ).fetchone()
    chain = Chain(log_id) if before is None else Chain(log_id, seq=before[0], hash=before[1], at=before[2])
    for row in schema.rows(connection, _ROWS, {"after": chain.seq or _BEFORE_ALL, "slice": TAIL_EVENTS}):
        chain.add(row)
    return chain.problems


def _walk(connection: sqlite3.Connection, chain: Chain, anchored: Anchored, problems: list[Problem]) -> None:
    after = _BEFORE_ALL
    try:
        while rows := schema.rows(connection, _ROWS, {"after": after, "slice": SLICE_EVENTS}):
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

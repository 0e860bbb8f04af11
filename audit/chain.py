"""Walking events one by one: what does not hold of each, in words. Exact; `audit.ranges` is quick and says only yes."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audit import schema
from audit.base import Base
from audit.base import base_of
from audit.event import FIRST_PREVIOUS
from audit.event import HASHED
from audit.event import commitment_of
from audit.event import has_escaped_nul
from audit.event import hash_of
from audit.event import is_odd_text
from audit.event import is_written_at

TAIL_EVENTS = 100
MAX_PROBLEMS = 1000

BEFORE_ALL = -(2**63)
# Named one by one: in a damaged schema a column may be called `Place`, which SQLite takes for the same.
_NAMES = ", ".join(f"event.{name} AS {name}" for name in (*HASHED, "hash"))
ROWS = f"""
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


class Chain:
    """Walks events in order and collects what does not hold. Starts at the beginning, or after an event."""

    def __init__(
        self, log_id: str, *, seq: int = 0, hash: str = FIRST_PREVIOUS, at: str = "", knows_places: bool = False
    ) -> None:
        """`knows_places`: behind an event all the same, but `reached` says where the streams were there."""
        self.log_id = log_id
        self.events = 0
        self.seq, self.hash, self.at = seq, hash, at
        self.problems: list[Problem] = []
        self.dropped: set[tuple[int, str]] = set()
        """Up to which events old ones were dropped, with the roots there, as the events say."""
        self.carried: dict[int, str] = {}
        """What was carried over then: digests, by the last event that was dropped."""
        self._from_start = seq == 0 or knows_places
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

    def carry(self, base: Base, row: dict[str, Any], proof: str, at: str) -> None:
        """Checks an event from before the base, of which its neighbours may be gone, by its proof. `at`: the time of the one
        before it that is here."""
        seq, stream = row["seq"], str(row["stream"])
        if not base.holds(seq, str(row["hash"]), proof):
            self._problem(seq, "proof", f"Event {seq} is not proven to be among the {base.seq} before the base.")
        for code, message in [*self._own_problems(row, at), *self._payload_problems(row)]:
            self._problem(seq, code, message)
        if isinstance(row["place"], int):
            self._places[stream] = max(row["place"], self._places.get(stream, 0))

    def reached(self, stream: str, place: int) -> None:
        """A stream was at this place, where the walk starts."""
        self._places[stream] = place

    def unreadable(self, message: str) -> None:
        self._problem(None, "unreadable", message)

    def erased_elsewhere(self, seq: int) -> None:
        """An erasure in a later part names this event."""
        self._erased.add(seq)

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
        yield from self._own_problems(row, self.at)
        if self._from_start:
            yield from self._place_problems(row)
        yield from self._payload_problems(row)

    def _own_problems(self, row: dict[str, Any], at: str) -> Iterator[tuple[str, str]]:
        seq = row["seq"]
        try:
            if hash_of(self.log_id, row) != row["hash"]:
                yield "hash", f"Event {seq} is not what was hashed."
        except (ValueError, TypeError):
            yield "hash", f"Event {seq} cannot be hashed."
        if not (isinstance(row["at"], str) and is_written_at(row["at"])):
            yield "at", f"Event {seq} has no proper time."
        elif row["at"] < at:
            yield "at", f"Event {seq} is earlier than the event before it."
        if any(isinstance(value, str) and is_odd_text(value) for value in row.values()):
            yield "text", f"Event {seq} holds NUL or text that is not UTF-8."

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
            if row["kind"] == "drop_began":
                self.dropped.add((data["last_seq"], data["root"]))
            if row["kind"] == "dropped":
                self.carried.setdefault(data["last_seq"], data["carried"])
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            yield "payload", f"The payload of event {seq} cannot be read."


def tail_problems(connection: sqlite3.Connection, log_id: str) -> list[Problem]:
    """The problems of the last 100 events; what opening a log can afford."""
    newest = connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
    base = base_of(connection)
    before: tuple[int, str, str] | None = connection.execute(
        "SELECT seq, hash, at FROM event WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (newest - TAIL_EVENTS,)
    ).fetchone()
    if base.seq and (before is None or before[0] <= base.seq):
        before = (base.seq, base.hash, base.at)
    chain = Chain(log_id) if before is None else Chain(log_id, seq=before[0], hash=before[1], at=before[2])
    for row in schema.rows(connection, ROWS, {"after": chain.seq or BEFORE_ALL, "slice": TAIL_EVENTS}):
        chain.add(row)
    return chain.problems

"""Signing what a log holds, and never two logs that differ: the signer remembers outside the log what it signed last.

What it remembers lies beside the key, not beside the log: size, last hash and frontier of the tree, in `<key>.signed`. A new
checkpoint continues that tree with the events behind it, so whatever is signed began as what was signed before. A log that
is shorter, or has another event at that place, is not signed: it was cut, put back from an older copy, or made anew.
"""

import json
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint
from audit.checkpoint import SigningKey
from audit.checkpoint import origin_of
from audit.checkpoint import sign
from audit.errors import AuditError
from audit.tree import Frontier
from audit.view import View

SLICE_EVENTS = 5000


class OtherLog(AuditError):
    """The log is not the one that was signed before, grown: nothing was signed."""


@dataclass(frozen=True)
class Signed:
    """A checkpoint, the note that says it, and the tree to go on from."""

    checkpoint: Checkpoint
    note: str
    frontier: Frontier


@dataclass(frozen=True)
class Memory:
    """What was signed last: of which log, its tree, and the hash of its last event."""

    log_id: str
    frontier: Frontier
    head: str


class Signer:
    """Signs one log's checkpoints. `memory` is the file in which it keeps what it signed last."""

    def __init__(
        self,
        log_id: str,
        keys: Sequence[SigningKey],
        memory: Path,
        known: Callable[[], Checkpoint | None] = lambda: None,
    ) -> None:
        """`known`: the largest checkpoint of this log that lies elsewhere; asked for where the memory is lost."""
        self.log_id = log_id
        self.keys = tuple(keys)
        self.memory = memory
        self._known = known

    def sign(self, view: View) -> Signed | None:
        """The checkpoint of all that the log holds; None for an empty log. Durable in the memory before it is returned.

        Raises OtherLog, and what reading raises.
        """
        before = self._before(view)
        self.check(view, before)
        frontier, head = before.frontier, before.head
        if frontier.size == 0:
            base = view.base()
            frontier, head = base.tree, base.hash
        for hashes in _slices(view, frontier.size):
            frontier = frontier.extended(bytes.fromhex(one) for one in hashes)
            head = hashes[-1]
        if frontier.size == 0:
            return None
        self._remember(Memory(self.log_id, frontier, head))
        checkpoint = Checkpoint(origin_of(self.log_id), frontier.size, frontier.root())
        return Signed(checkpoint, sign(checkpoint, self.keys), frontier)

    def check(self, view: View, before: Memory | None = None) -> None:
        """Raise OtherLog unless the log is the one that was signed last, or that one grown. Reads one event."""
        known = before or self._before(view)
        if known.frontier.size == 0:
            return
        base = view.base()
        found = next(iter(view.hashes(known.frontier.size - 1, 1)), None)
        if known.frontier.size <= base.seq:  # the event may be gone; the tree behind the base cannot go on from it
            found = base.hash if (known.frontier, known.head) == (base.tree, base.hash) else ""
        if found != known.head:
            what = "has fewer events" if found is None else f"has another event {known.frontier.size}"
            raise OtherLog(
                f"This log {what} than the one that was signed at {known.frontier.size} events: it was cut, put back from "
                "an older copy, or made anew.",
                "Keep this file as it is, find out what happened, and put the log back; `audit verify --anchors` tells more.",
            )

    def _before(self, view: View) -> Memory:
        """What was signed last. Where the memory is lost, a checkpoint from elsewhere takes its place, if the log begins as
        that one says: or a log that was put back would be signed as if there had never been another."""
        found = self._remembered()
        known = self._known() if found is None else None
        if found is not None or known is None or known.size == 0:
            return found or Memory(self.log_id, Frontier(), "")
        base = view.base()
        frontier, head = (base.tree, base.hash) if base.seq <= known.size else (Frontier(), "")
        for hashes in _slices(view, frontier.size, known.size):
            frontier = frontier.extended(bytes.fromhex(one) for one in hashes)
            head = hashes[-1]
        if (frontier.size, frontier.root()) != (known.size, known.root):
            raise OtherLog(
                f"What was signed last is not remembered ({self.memory} is gone), and this log is not the one that was "
                f"signed at {known.size} events: it was cut, put back from an older copy, or made anew.",
                "Keep this file as it is, find out what happened, and put the log back; `audit verify --anchors` tells more.",
            )
        return Memory(self.log_id, frontier, head)

    def _remembered(self) -> Memory | None:
        """What the memory says; None where there is none."""
        try:
            kept = json.loads(self.memory.read_text())
            found = Memory(str(kept["log"]), Frontier.from_json(kept["frontier"]), str(kept["head"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise OtherLog(
                f"What was signed last cannot be read from {self.memory}, so nothing is signed.",
                "Put that file back; without it nobody knows which log was signed.",
            ) from error
        if found.log_id != self.log_id:
            raise OtherLog(
                f"The key has signed another log ({found.log_id[:8]}…) before, and this is {self.log_id[:8]}….",
                "Give each log a key of its own: `countersign audit key`.",
            )
        return found

    def _remember(self, signed: Memory) -> None:
        kept = json.dumps({"log": signed.log_id, "frontier": signed.frontier.to_json(), "head": signed.head})
        unfinished = self.memory.with_name(f"{self.memory.name}.new")
        try:
            descriptor = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self.memory)
            folder = os.open(self.memory.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise OtherLog(
                f"What is signed cannot be written to {self.memory} ({error.strerror}), so nothing is signed.",
                "Look at the folder, its owner and the disk.",
            ) from error


def _slices(view: View, after: int, until: int | None = None) -> Iterator[list[str]]:
    """The hashes of the events behind number `after`, in order, slice by slice; none of what is appended meanwhile, and none
    behind `until`."""
    head = view.size() if until is None else min(until, view.size())
    while after < head:
        hashes = view.hashes(after, min(SLICE_EVENTS, head - after))
        if not hashes:
            return
        yield hashes
        after += len(hashes)

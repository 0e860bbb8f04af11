"""Deleting the text of events, for good: out of the log, its WAL and what was made of it. The events and their hashes stay.

What is deleted and the event that says so are one transaction, so the log never shows the one without the other.
"""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from audit.errors import LogUnavailable
from audit.event import Event
from audit.event import uuid7
from audit.kinds import KINDS
from audit.lock import log_held
from audit.writer import Act
from audit.writer import Decide
from audit.writer import Done
from audit.writer import Head
from audit.writer import Writer

EMPTY_SECONDS = 10.0
BESIDE = (".index", ".index-journal", ".new", ".new-wal", ".new-shm", ".new-journal")
"""What is made of a log beside it, and holds its texts or words of them: the search index, which is made anew when somebody
asks, and what a trimming left that did not come to its end."""


def erase(path: Path, decide: Decide, *, clock: Callable[[], datetime]) -> list[Event]:
    """Records what `decide` says, and deletes the payloads that its `erased` events name. The caller has the log closed.

    Whatever was decided, the WAL is empty and the search index gone afterwards. Raises NoLog, LogBusy, LogDamaged, what
    `decide` raises, and LogUnavailable: also when a reader keeps the old text in the WAL, where saying it again helps.
    """
    with log_held(path) as file:
        forget_beside(file)
        eraser = _Eraser(file, clock=clock, kinds=KINDS)
        try:
            [outcome] = eraser.run([Act(id=uuid7(clock()), is_new=True, decide=decide)])
            if not isinstance(outcome, Done):
                raise outcome
            eraser.empty_wal()
        finally:
            eraser.close()
        forget_beside(file)
        return outcome.events


def forget_beside(path: Path) -> None:
    """Removes what lies beside a log and holds its texts; the caller has the lock. Raises OSError."""
    for ending in BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


class _Eraser(Writer):
    """A writer whose acts take their payloads away as they are recorded."""

    def _perform(self, act: Act, head: Head) -> tuple[Done, Head]:
        done, head = super()._perform(act, head)
        for event in done.events:
            if event.kind == "erased" and event.data is not None:
                seqs = [(seq,) for seq in event.data["seqs"]]
                self._connection.executemany("DELETE FROM payload WHERE seq = ?", seqs)
        return done, head

    def empty_wal(self) -> None:
        """Puts the WAL into the file and cuts it to nothing, which waits until nobody reads."""
        deadline = time.monotonic() + EMPTY_SECONDS
        while True:
            try:
                is_busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError:
                is_busy = True
            if not is_busy:
                return
            if time.monotonic() > deadline:
                raise LogUnavailable(
                    "The text is deleted, but somebody reads the log, which keeps what it was in the WAL.",
                    "End whatever reads it, then say the same again.",
                )
            time.sleep(0.05)

"""What every action of `countersign audit` gets, and how it says in the log that somebody looked."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import TextIO

from audit import AuditError
from audit import Draft
from audit import Log
from audit import LogBusy
from commands.knock import HELLO_SECONDS as WAIT_SECONDS
from commands.knock import leave_note
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import terminal_actor
from ops.masking import mask_intake
from ops.settings import Settings

PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Asked:
    """An action that somebody asked for at the terminal; `uid` is whose process it is, `out` takes what is exported."""

    settings: Settings
    arguments: argparse.Namespace
    uid: int
    out: TextIO
    unrecorded: list[str] = field(default_factory=list)
    """Why it could not be written down that the log was read, where it was read all the same."""
    write_down: Callable[[str, dict[str, Any]], None] | None = None
    """How the process that has the log writes it down itself, of whoever asks there."""

    @property
    def path(self) -> Path:
        """The log, or the copy of one that was named instead."""
        return self.copy or self.settings.log_path

    @property
    def copy(self) -> Path | None:
        named: Path | None = getattr(self.arguments, "copy", None)
        return named if named is not None and not _is_one_file(named, self.settings.log_path) else None


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def note(asked: Asked, kind: str, data: dict[str, Any]) -> None:
    """Write down that somebody reads the log: here, or through the door of the process that has it.

    Raises OpsError(LOG_BUSY) where neither works: then nothing is to be shown. A log that nobody can write any more (damaged,
    a copy, a sealed one) must still be readable, above all by `verify`: that it is not written down is told in the answer.
    """
    data = {name: mask_intake(value) if isinstance(value, str) else value for name, value in data.items()}
    if asked.write_down is not None:
        asked.write_down(kind, data)
        return
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with Log.open(asked.path, lock_wait_seconds=0.0) as log:
                log.append([Draft(kind=kind, actor=terminal_actor(asked.uid).id, stream="all", data=data)])
            return
        except AuditError as error:
            why = error
        if leave_note(asked.path, kind, data):
            return
        if not isinstance(why, LogBusy):
            asked.unrecorded.append(why.message)
            return
        if time.monotonic() >= deadline:
            message = "The log is busy, so it cannot be written down that you read it; nothing was shown."
            raise OpsError(Reason.LOG_BUSY, message, "Try again in a moment.", exit_code=5)
        time.sleep(PAUSE_SECONDS)

"""What every action of `countersign audit` gets, and how it says in the log that somebody looked."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TextIO

from audit import AuditError
from audit import Draft
from audit import Log
from ops.layer import terminal_actor
from ops.settings import Settings


@dataclass(frozen=True)
class Asked:
    """An action that somebody asked for at the terminal; `uid` is whose process it is, `out` takes what is exported."""

    settings: Settings
    arguments: argparse.Namespace
    uid: int
    out: TextIO

    @property
    def path(self) -> Path:
        return self.settings.log_path


def note(asked: Asked, kind: str, data: dict[str, Any]) -> None:
    """Write down that somebody read the log. While another process has it, reading leaves no trace but its output."""
    try:
        with Log.open(asked.path, lock_wait_seconds=0.0) as log:
            log.append([Draft(kind=kind, actor=terminal_actor(asked.uid).id, stream="all", data=data)])
    except AuditError:
        return  # a damaged log must still be readable, and `verify` says what is wrong with it

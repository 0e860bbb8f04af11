"""What can go wrong with the log, each with a sentence for a person and a hint that can be followed."""

import sqlite3
from pathlib import Path

# After these codes SQLite has certainly written nothing of the transaction, and the same connection may go on.
CERTAINLY_NOT_WRITTEN = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY})
# Where SQLite's message quotes bytes of a damaged file, Python raises the second instead of the first.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
# These are the fault of one act; what else SQLite says concerns the whole transaction.
FAULT_OF_THE_ACT = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_FULL,
    }
)
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class AuditError(Exception):
    """Base of all errors of the log. `message` is a full sentence, `hint` says what to do (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoLog(AuditError):
    """There is no log at this path."""


class LogExists(AuditError):
    """A log, or something else, is already at the path where one should be made."""


class LogBusy(AuditError):
    """Somebody else has the log, or too much is waiting. Nothing was done."""


class LogUnavailable(AuditError):
    """The log cannot record now: disk full, read only, an I/O error, closed. The message says whether it is
    certain that nothing was recorded."""


class LogDamaged(AuditError):
    """The file is not the log that it should be: other schema, a link that does not verify, a second writer."""


class Conflict(AuditError):
    """Somebody else was first: a stream is not at the place that the caller expected. Nothing was recorded."""


class IdConflict(AuditError):
    """The id of this act already belongs to another act. Nothing was recorded."""


class BadEvent(AuditError):
    """A draft that the log refuses: unknown kind, data that its model does not allow, odd text, too large."""


def no_log(path: Path) -> NoLog:
    """The error for a log that is not there."""
    return NoLog(f"There is no log at {path}.", "Make one with `countersign audit create`.")


def broken_event(seq: object) -> LogDamaged:
    """The error for an event that is there and cannot be read."""
    return LogDamaged(f"Event {seq} of the log cannot be read.", "Look at it with `countersign audit verify`.")


def primary_code(error: BaseException) -> int | None:
    """SQLite's primary result code of an error, or None where it has none (not from SQLite)."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def translated(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> AuditError:
    """The error for people behind one of SQLite. Names SQLite's code, never the values that were bound."""
    code = primary_code(error)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return LogBusy(f"The log {path} is busy; nothing was done.", "Try again in a moment.")
    if code in DAMAGE or isinstance(error, UnicodeDecodeError):
        return LogDamaged(
            f"The log {path} cannot be read ({name}): {error}.",
            "Look at it with `countersign audit verify`; restore a copy if it is damaged.",
        )
    if code == sqlite3.SQLITE_FULL:
        return LogUnavailable(
            f"The disk of the log {path} is full; nothing was recorded.", "Free some space, then ask again."
        )
    return LogUnavailable(
        f"The log {path} cannot be used ({name}): {error}.",
        "Look at the disk, the mount and the file's permissions.",
    )


def unusable(path: Path, error: OSError) -> LogUnavailable:
    """The error for a log whose folder, file or lock the system refuses."""
    return LogUnavailable(
        f"The log {path} cannot be used: {error.strerror or error}.", "Look at the folder, its owner and permissions."
    )

"""The lock that makes one process the writer: flock on a file beside the log, never on the log itself, whose POSIX
locks are SQLite's."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.errors import DATABASE_ERRORS
from audit.errors import LogBusy
from audit.errors import LogUnavailable
from audit.errors import no_log
from audit.errors import translated
from audit.errors import unusable

WAIT_SECONDS = 1.5
POLL_SECONDS = 0.02


def lock_path(path: Path) -> Path:
    """Where the lock of a log is."""
    return path.with_name(path.name + ".lock")


def take_lock(path: Path, wait_seconds: float) -> int:
    """The descriptor that holds a log's lock; closing it, or the process's end, gives it up. Waits at most
    `wait_seconds`, then raises LogBusy; OSError and LogUnavailable where the lock's file cannot be used."""
    deadline = time.monotonic() + wait_seconds
    while True:
        descriptor = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if _is_taken(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise LogBusy(
                f"The log {path} is busy: another process has it. Nothing was done.",
                "Try again when the bot or the other command is done with it.",
            )
        time.sleep(POLL_SECONDS)


@contextmanager
def log_held(path: Path) -> Iterator[Path]:
    """A log that nobody has open for writing, by its one real name, for as long as this lasts.

    What the system and SQLite raise meanwhile becomes an AuditError. Raises NoLog, LogBusy, LogUnavailable.
    """
    try:
        path = path.resolve(strict=True)  # two names of one log must meet at one lock
    except OSError as error:
        raise no_log(path) from error
    try:
        lock = take_lock(path, WAIT_SECONDS)
        try:
            yield path
        finally:
            os.close(lock)
    except OSError as error:
        raise unusable(path, error) from error
    except DATABASE_ERRORS as error:
        raise translated(error, path) from error


def _is_taken(path: Path, descriptor: int) -> bool:
    held = os.fstat(descriptor)
    if not stat.S_ISREG(held.st_mode):
        raise LogUnavailable(f"{lock_path(path)} is not a plain file, so it cannot be the log's lock.")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.stat(lock_path(path), follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        return False
    # somebody may have deleted the file after it was opened; a lock on a file without a name keeps nobody out
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

"""A copy of a log that is in use, by SQLite's own means: of one moment, and whole."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from audit import schema
from audit.errors import DATABASE_ERRORS
from audit.errors import LogDamaged
from audit.errors import LogExists
from audit.errors import LogUnavailable
from audit.errors import no_log
from audit.errors import translated
from audit.errors import unusable
from audit.parts import LIVE
from audit.parts import clear
from audit.parts import make_private
from audit.parts import sync
from audit.verify import Seen
from audit.verify import verify


def back_up(path: Path, target: Path) -> Seen:
    """Copies a log, open or not, and gives the copy its name when it verifies; returns where it ends.

    Writers go on meanwhile; what they add is not in it. The WAL cannot begin anew until the copy is made. Raises NoLog,
    LogExists where something has that name (it is left alone), LogDamaged when the copy does not verify, LogUnavailable.
    """
    if not path.exists():
        raise no_log(path)
    if target.exists() and target.samefile(path):
        raise LogUnavailable(f"{target} is the log itself.", "Name another file, best on another disk.")
    _need_free(target)
    unfinished = target.with_name(f"{target.name}.new")
    try:
        clear(unfinished)
        make_private(unfinished)
        with closing(schema.connect_reader(path)) as reader, closing(sqlite3.connect(unfinished)) as copy:
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, which a read-only place can hold
        found = verify(unfinished)
        if found.end is None:
            message = f"The copy does not verify: {found.problems[0].message}"
            raise LogDamaged(message, "Look at the log with `countersign audit verify`.")
        unfinished.chmod(LIVE)
        sync(unfinished)
        _need_free(target)  # again: a long copy leaves others the time to put something there
        unfinished.rename(target)
        sync(target.parent)
    except LogExists:
        clear(unfinished)
        raise
    except OSError as error:
        raise unusable(target, error) from error
    except DATABASE_ERRORS as error:
        raise translated(error, target) from error
    return found.end


def _need_free(target: Path) -> None:
    if os.path.lexists(target):
        raise LogExists(
            f"There is already something at {target}; nothing was copied.",
            "A copy overwrites nothing: name another file, or move that one away first.",
        )

"""Dropping again at once what a statement of ours left INVALID when it failed, where it is ours for certain."""

import time
from collections.abc import Collection
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from ops.apply_indexes import FoundIndex
from ops.apply_journal import Intent
from ops.apply_journal import Work
from ops.apply_session import Session
from ops.apply_statements import Meaning
from ops.errors import OpsError

# Shorter than any deadlock_timeout in use: where somebody builds an index on the table too, each would wait for the
# other, and it must not be theirs that the server then ends.
_LOCK_SECONDS = 0.3
_PAUSE_SECONDS = 0.2


def made_by(
    meaning: Meaning, left: Sequence[FoundIndex], before: Collection[int], built: Collection[int]
) -> list[FoundIndex]:
    """Those of the INVALID indexes that the statement itself made: not there `before` (oids), and either the server
    showed them while it `built` them for us, or they have the name that the statement says. Pure."""
    names = set()
    if meaning.builds is not None and meaning.builds.name:
        names.add(meaning.builds.name)
    if meaning.leaves_copies and meaning.rebuilds is not None and meaning.rebuilds.name:
        names.add(f"{meaning.rebuilds.name}_ccnew")
    return [
        index
        for index in left
        if index.oid not in before and not index.others_build and (index.oid in built or index.bare in names)
    ]


def drop_again(work: Work, session: Session, intent: Intent, ours: Sequence[FoundIndex]) -> tuple[str, ...]:
    """Drop these indexes beside everybody's work, within bounds; what could be dropped, by name.

    A stop does not end it: less would be left to be done by hand. The session is at its end after that, whatever the
    file set in it. What the journal raises comes through, and nothing is dropped then.
    """
    if not ours or work.guard.is_lost:
        return ()
    try:
        work.guard.check()
    except OpsError:
        return ()
    work.journal.cleaning(intent, tuple(index.name for index in ours))
    session.watch.let_finish()
    session.watch.begin()
    deadline = time.monotonic() + work.patience.cleanup_seconds
    dropped: list[str] = []
    with suppress(psycopg.Error):
        session.restore_role()
        for name, seconds in (("lock_timeout", _LOCK_SECONDS), ("statement_timeout", work.patience.cleanup_seconds)):
            value = f"{max(1, round(seconds * 1000))}ms"
            session.connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))
        for index in ours:
            _drop(session, index, deadline)
            dropped.append(index.name)
    return tuple(dropped)


def _drop(session: Session, index: FoundIndex, deadline: float) -> None:
    """Raises psycopg.Error, LockNotAvailable where it could not be had until the deadline."""
    while True:
        try:
            session.run(f"DROP INDEX CONCURRENTLY {index.name}")
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() + _PAUSE_SECONDS >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)

"""INVALID indexes of a target that the files to be applied would take for good ones. Reads only.

A dump leaves them out, so a rehearsal on a copy cannot show them: there, the index is simply made.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace

from ops.apply_indexes import drop_first
from ops.apply_indexes import hidden_index_words
from ops.apply_indexes import invalid_indexes
from ops.apply_statements import Index
from ops.apply_statements import meaning
from ops.database import Connection
from ops.history import HistoryProblem
from ops.migration import Migration


def hidden_indexes(connection: Connection, pending: Sequence[Migration]) -> tuple[HistoryProblem, ...]:
    """One problem for each CREATE INDEX IF NOT EXISTS of these files whose index is there and INVALID.

    One that the files drop before is none.
    """
    found: list[HistoryProblem] = []
    for migration, line, wanted in _wanted(pending):
        hidden = invalid_indexes(connection, replace(wanted, table=None))
        if hidden:
            message = f"{migration.filename}, line {line}: {hidden_index_words(hidden)}"
            found.append(HistoryProblem("invalid_index", migration.version, message, drop_first(hidden), blocks=True))
    return tuple(found)


def _wanted(pending: Sequence[Migration]) -> Iterator[tuple[Migration, int, Index]]:
    """The indexes that the files make unless they exist, with their lines, but for those that they drop before."""
    dropping: list[str] = []
    for migration in pending:
        for statement in migration.statements:
            lower = statement.text.lower()
            if "drop" in lower:
                dropping.append(statement.text)
            wanted = meaning(statement).builds if "exists" in lower and "index" in lower else None
            if wanted is None or not wanted.unless_exists or wanted.name is None:
                continue
            if not any(wanted.name in text for text in dropping):
                yield migration, statement.word_line, wanted

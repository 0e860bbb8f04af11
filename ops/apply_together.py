"""A plain file as one message to the server: what is in it, and which of its answers is about what.

The server carries out the parts in order and stops at the first that fails, so nothing of a file runs before its
history was compared under the lock. COMMIT is no part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import psycopg
from psycopg.pq import Escaping
from psycopg.pq.abc import PGconn
from psycopg.pq.abc import PGresult

from ops.apply_history import LOCKED
from ops.apply_history import KnownHistory
from ops.apply_plain import Relation
from ops.catalog import REMAINS
from ops.catalog import KnownCatalog
from ops.database import refused
from ops.migrations import Migration

_BETWEEN = "\n;\n"  # a part may end in a comment
_CLOCK = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())"


@dataclass(frozen=True)
class Message:
    """`parts` each have one answer; `statements` are the indexes of the file's own, by their place among the parts."""

    parts: tuple[str, ...]
    statements: dict[int, int]
    history: int
    """The place of the part that fails (22012) when the history is not as this session left it."""
    remains: int
    """The place of the part that counts what may have left something behind in the session."""

    @property
    def text(self) -> str:
        return _BETWEEN.join(self.parts)

    @cached_property
    def begins(self) -> tuple[int, ...]:
        """Where each part begins in the text, in characters."""
        return (0, *accumulate(len(part) + len(_BETWEEN) for part in self.parts))


@dataclass(frozen=True)
class Answers:
    """What the server said to a message: a result for each part that succeeded, and the error of the one that did not."""

    results: tuple[PGresult, ...]
    error: psycopg.Error | None

    def text(self, place: int, column: int = 0) -> str:
        """The first row's value."""
        return (self.results[place].get_value(0, column) or b"").decode()

    def each_seconds(self, message: Message) -> tuple[float, ...]:
        """How long each statement of the file took that ended; there is a look at the clock around each."""
        return tuple(
            round(float(self.text(place + 1)) - float(self.text(place - 1)), 4)
            for place in message.statements
            if place + 1 < len(self.results)
        )

    def lines(self) -> list[tuple[str, str, str]]:
        """The last answer's rows: what the catalog says of the relations that the file touched."""
        last = self.results[-1]

        def text(row: int, column: int) -> str:
            return (last.get_value(row, column) or b"").decode()

        return [(text(row, 0), text(row, 1), text(row, 2)) for row in range(last.ntuples)]


def compose(
    migration: Migration,
    statements: Sequence[int],
    touched: Sequence[Relation],
    history: KnownHistory,
    catalog: KnownCatalog,
    pgconn: PGconn,
) -> Message:
    """Everything of a plain file but COMMIT."""
    parts = list(LOCKED)
    parts.append(history.comparison(migration.version))
    places: dict[int, int] = {}
    for index in statements:
        if not migration.statements[index].is_comment:
            places[len(parts) + 1] = index
            parts += [_CLOCK, migration.statements[index].text]
    parts += [_CLOCK, "SET CONSTRAINTS ALL IMMEDIATE", _row(migration, pgconn)]
    remains = len(parts)
    parts.append(REMAINS)
    parts += catalog.questions([(relation.schema, relation.name) for relation in touched], pgconn)
    return Message(tuple(parts), places, len(LOCKED), remains)


def read_answers(results: Sequence[PGresult]) -> Answers:
    """Results as libpq gives them, the last of which may be an error."""
    error = refused(results[-1]) if results else None
    return Answers(tuple(results[:-1] if error else results), error)


def _row(migration: Migration, pgconn: PGconn) -> str:
    """As `ops.history.insert_row`."""
    quoted = Escaping(pgconn)
    version, name, *texts = (
        quoted.escape_literal(text.encode()).decode()
        for text in (migration.version, migration.name, *(statement.text for statement in migration.statements))
    )
    return (
        "INSERT INTO supabase_migrations.schema_migrations(version, name, statements) "
        f"VALUES({version}, {name}, ARRAY[{', '.join(texts)}]::text[])"
    )

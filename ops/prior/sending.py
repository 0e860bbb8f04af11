"""How copies are taken in the session of the statement that they are for: watched as that is, and limited in time."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import contextmanager
from typing import Any
from typing import LiteralString

import psycopg
from psycopg import sql

from ops.apply_watch import Watch
from ops.database import Connection
from ops.database import is_lost

Query = sql.Composed

_SECONDS = 30
_PLAIN = (
    *(("search_path", ""), ("DateStyle", "ISO, YMD"), ("IntervalStyle", "postgres"), ("TimeZone", "UTC")),
    *(("extra_float_digits", "3"), ("bytea_output", "hex")),
)
PLAIN = tuple(f"SET LOCAL {name} = '{value}'" for name, value in _PLAIN)
"""Makes values read the same in every session, until the transaction ends: a hash of them depends on it."""


class NotCopiedError(Exception):
    """Why there is no copy, as the end of a sentence."""


class Sending:
    """Sends our own statements in somebody's transaction. While one waits for a lock and others wait behind it, it gives
    way as the file's own do, and it hears a stop; both end in psycopg.errors.QueryCanceled."""

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self.connection = connection
        self._watch = watch

    def run(self, query: sql.Composable | LiteralString) -> "psycopg.Cursor[tuple[Any, ...]]":
        text = query if isinstance(query, str) else query.as_string(self.connection)
        with self.watched():
            return self.connection.execute(text.encode(), prepare=False)

    def watched(self) -> AbstractContextManager[None]:
        """Around statements that are sent otherwise."""
        return self._watch.over()

    def number(self, query: Query) -> int:
        row = self.run(query).fetchone()
        return int(row[0]) if row else 0

    def lock(self, table: sql.Identifier) -> None:
        """Nobody writes between the copy and the statement, which takes a stronger lock anyway."""
        self.run(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """A savepoint and a limit in time around the body. Raises NotCopiedError for what only the copy failed of, and
        psycopg.Error where the statement's own try is over too."""
        try:
            with self.connection.transaction():
                (limit,) = self._settings(("statement_timeout",))
                self._set({"statement_timeout": f"{_SECONDS}s"})
                yield
                self._set({"statement_timeout": limit})
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            slow = isinstance(error, psycopg.errors.QueryCanceled)
            if is_lost(self.connection) or (slow and (self._watch.gave_way or self._watch.cancelled)):
                raise
            why = f"it took longer than {_SECONDS} seconds" if slow else f"SQLSTATE {error.sqlstate or 'unknown'}"
            raise NotCopiedError(why) from None

    @contextmanager
    def plainly(self) -> Iterator[None]:
        """Values read the same in every session; behind it the session's own settings are back."""
        names = [name for name, _ in _PLAIN]
        own = dict(zip(names, self._settings(names), strict=True))
        self._set(dict(_PLAIN))
        yield
        self._set(own)

    def reads_back(self) -> bool:
        """Whether what this session writes as text is read as the same value in every other one."""
        dates, intervals, digits = self._settings(("DateStyle", "IntervalStyle", "extra_float_digits"))
        return dates.startswith("ISO") and intervals == "postgres" and int(digits) > 0

    def _settings(self, names: Sequence[str]) -> list[str]:
        asked = (sql.SQL("pg_catalog.current_setting({})").format(sql.Literal(name)) for name in names)
        row = self.run(sql.SQL("SELECT {}").format(sql.SQL(", ").join(asked))).fetchone()
        return [str(value) for value in row or ()]

    def _set(self, values: Mapping[str, str]) -> None:
        """Until the transaction ends, all in one round trip: others may wait for it."""
        each = (
            sql.SQL("pg_catalog.set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
            for name, value in values.items()
        )
        self.run(sql.SQL("SELECT {}").format(sql.SQL(", ").join(each)))

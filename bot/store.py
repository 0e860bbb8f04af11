"""The card store: where each request's card is. Rebuildable: lost cards are posted anew, and old ones no longer count."""

import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

logger = logging.getLogger("countersign.store")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS card (
  request TEXT PRIMARY KEY,
  channel TEXT NOT NULL,
  message TEXT NOT NULL,
  rendered TEXT NOT NULL,
  file TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS card_place ON card (channel, message);
CREATE TABLE IF NOT EXISTS told (event TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS picture (request TEXT PRIMARY KEY, file TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS private_button (
  word TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  person TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS followed (reader TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS home (person TEXT PRIMARY KEY, opened_at TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Card:
    """The message that stands for a request. `rendered` is the hash of what it shows; `file` the uploaded SQL."""

    request: str
    channel: str
    message: str
    rendered: str
    file: str | None


class Store:
    """Cards, one-time words of private buttons, who looks at Home and how far the log was read.

    A small SQLite file of this process; any thread may ask.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self.is_new = not path.exists()
        """What was told before is not known."""
        try:
            self._lay_out()
        except sqlite3.DatabaseError as error:
            logger.warning("card_store_rebuilt path=%s error=%s", path, error)  # all of it can be made again
            self.is_new = True
            for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                part.unlink(missing_ok=True)
            self._lay_out()

    def _lay_out(self) -> None:
        self._path.touch(mode=0o600, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self._path, isolation_level=None, timeout=5)) as connection:
            yield connection

    def card(self, request: str) -> Card | None:
        """The card of a request, or None."""
        return self._one("SELECT * FROM card WHERE request = ?", request)

    def card_at(self, channel: str, message: str) -> Card | None:
        """The card that this message is, or None: then a click on it does not count."""
        return self._one("SELECT * FROM card WHERE channel = ? AND message = ?", channel, message)

    def keep(self, card: Card) -> None:
        """Write down where a request's card is; an earlier message of the same request stops counting."""
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO card (request, channel, message, rendered, file) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (request) DO UPDATE SET channel = excluded.channel, message = excluded.message, "
                "rendered = excluded.rendered, file = excluded.file",
                (card.request, card.channel, card.message, card.rendered, card.file),
            )

    def requests(self) -> list[str]:
        """The requests that have a card."""
        with self._connection() as connection:
            return [row[0] for row in connection.execute("SELECT request FROM card")]

    def was_told(self, event: str) -> bool:
        """Whether this event has been told in its thread."""
        with self._connection() as connection:
            return connection.execute("SELECT 1 FROM told WHERE event = ?", (event,)).fetchone() is not None

    def tell(self, event: str) -> None:
        """Write down that this event has been told."""
        with self._connection() as connection:
            connection.execute("INSERT OR IGNORE INTO told (event) VALUES (?)", (event,))

    def picture(self, request: str) -> str | None:
        """The file with the timeline of a request, or None."""
        with self._connection() as connection:
            row = connection.execute("SELECT file FROM picture WHERE request = ?", (request,)).fetchone()
        return str(row[0]) if row else None

    def keep_picture(self, request: str, file: str) -> None:
        """Write down which file shows the timeline of a request."""
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO picture (request, file) VALUES (?, ?)", (request, file))

    def give(self, value: str, person: str) -> str:
        """A one-time word that lets this person, and nobody else, use a private button with this value once."""
        word = secrets.token_hex(8)
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO private_button (word, value, person) VALUES (?, ?, ?)", (word, value, person)
            )
        return word

    def holds(self, word: str, value: str, person: str) -> bool:
        """Whether `take` would be True now; nothing is used up."""
        with self._connection() as connection:
            found = connection.execute(
                "SELECT 1 FROM private_button WHERE word = ? AND value = ? AND person = ?", (word, value, person)
            ).fetchone()
        return found is not None

    def value_of(self, word: str, person: str) -> str | None:
        """What a word that was given to this person stands for; it stays."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT value FROM private_button WHERE word = ? AND person = ?", (word, person)
            ).fetchone()
        return str(row[0]) if row else None

    def take(self, word: str, value: str, person: str) -> bool:
        """Use a one-time word up. False when it is unknown, used, for another value or for another person."""
        with self._connection() as connection:
            found = connection.execute(
                "DELETE FROM private_button WHERE word = ? AND value = ? AND person = ? RETURNING word",
                (word, value, person),
            ).fetchone()
        return found is not None

    def followed(self, reader: str) -> int | None:
        """The last event of the log that this reader is done with; None where it never read."""
        with self._connection() as connection:
            row = connection.execute("SELECT seq FROM followed WHERE reader = ?", (reader,)).fetchone()
        return int(row[0]) if row else None

    def follow(self, reader: str, seq: int) -> None:
        """Write down that this reader is done with all events up to this one."""
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO followed (reader, seq) VALUES (?, ?)", (reader, seq))

    def note_home(self, person: str, at: datetime) -> None:
        """Write down that this person opened Home."""
        with self._connection() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO home (person, opened_at) VALUES (?, ?)", (person, at.isoformat())
            )

    def homes(self, *, since: datetime) -> dict[str, datetime]:
        """Who opened Home since then, and when they last did; those before are forgotten."""
        with self._connection() as connection:
            found = connection.execute("SELECT person, opened_at FROM home").fetchall()
            opened = {person: datetime.fromisoformat(at) for person, at in found}
            old = [(person,) for person, at in opened.items() if at < since]
            connection.executemany("DELETE FROM home WHERE person = ?", old)
        return {person: at for person, at in opened.items() if at >= since}

    def _one(self, sql: str, *parameters: str) -> Card | None:
        with self._connection() as connection:
            row = connection.execute(sql, parameters).fetchone()
        return Card(*row) if row else None

"""A migration file once it is read, as values. `ops.migrations` makes them; who only looks at one needs no grammar."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.grammar import Tree

FILE_NAME = re.compile(r"([0-9]+)_([^\n\r\u2028\u2029]*)\.sql")
REVERSE = ".down.sql"
"""What the name of a script that takes a migration back ends in, instead of `.sql`."""
IN_BATCHES = "-- countersign: in batches"
"""The first line of a file that runs in batches (`ops.batches`)."""
MOST_ROWS = 100_000
"""No batch may ask for more rows."""

_MARK = re.compile(
    r"--[ \t]*countersign[ \t]*:[ \t]*in batches(?:[ \t]+of[ \t]+([0-9]{1,9})[ \t]+rows?)?[ \t]*\r?(?:\n|$)"
)


@dataclass(frozen=True)
class Refusal:
    """One reason: a stable code, the line it stands on (from 1), one sentence, and what to do."""

    code: str
    line: int
    message: str
    hint: str


@dataclass(frozen=True)
class Statement:
    """`text` as stored in the history row; `line` (from 1) and `offset` (characters) of its first character.

    `tree` is Postgres' reading of it; its places count in the migration's text. None for comments alone, and for
    what the grammar does not take (then `is_unread`).
    """

    text: str
    line: int
    offset: int
    stands_alone: bool
    tree: "Tree | None" = field(default=None, compare=False, repr=False)
    is_unread: bool = field(default=False, compare=False, repr=False)

    @property
    def word_line(self) -> int:
        """The line of its first word, behind the comments that stand before it."""
        if self.tree is None:
            return self.line
        return self.line + self.text.count("\n", 0, self.tree.start - self.offset)

    @property
    def is_comment(self) -> bool:
        """Nothing but comments."""
        return self.tree is None and not self.is_unread


@dataclass(frozen=True)
class Segment:
    """Statements (indexes into the migration's) that run in one transaction, or one by one in autocommit."""

    statements: tuple[int, ...]
    transactional: bool


@dataclass(frozen=True)
class Batches:
    """A file's wish to be run in batches, of `rows` at most; None: as many as go into the time for one."""

    rows: int | None


def batches_of(text: str) -> Batches | None:
    """What the first line of a file wishes; None where it is no mark."""
    found = _MARK.match(text)
    return None if found is None else Batches(int(found[1]) if found[1] else None)


class Effect(StrEnum):
    """What running a file does to its row in the target's history."""

    ADDS = "adds"
    REMOVES = "removes"
    WRITES = "writes"
    """The row is made as the file stands, whatever it was; nothing of the file is run."""
    KEEPS = "keeps"


ADDING = frozenset({Effect.ADDS, Effect.WRITES})
"""The effects behind which the history says that the file is applied."""


@dataclass(frozen=True)
class Migration:
    """One file. `text` is its content without a byte order mark; `refusals` are reasons why it cannot be run."""

    version: str
    name: str
    filename: str
    content: bytes
    sha256: str
    text: str
    statements: tuple[Statement, ...]
    segments: tuple[Segment, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    stored_sha256: str = ""
    """Not empty: the file was not read, since it is known to hold the statements that have this hash in the history."""
    effect: Effect = Effect.ADDS
    done: int = 0
    """So many of its first statements are on the target already; `segments` has only those that are left."""
    is_ours: bool = False
    """We wrote it, from what the log and the target hold; nobody's repository has it."""

    @property
    def batches(self) -> Batches | None:
        """Not None: it runs in batches, and its one segment is a transaction for each of them."""
        return batches_of(self.text)

    @property
    def is_one_transaction(self) -> bool:
        """Whether all of it is done or nothing."""
        return len(self.segments) == 1 and self.segments[0].transactional


@dataclass(frozen=True)
class Skipped:
    """A file that the CLI does not take for a migration, and why."""

    filename: str
    why: str


@dataclass(frozen=True)
class Folder:
    """The migrations in the order in which they run, and the files left out."""

    migrations: tuple[Migration, ...]
    skipped: tuple[Skipped, ...]


@lru_cache(maxsize=20_000)
def unread_migration(filename: str, version: str, name: str, stored_sha256: str) -> Migration:
    """A file that is known by the hash of its statements alone."""
    found = object.__new__(Migration)  # a call of its own for each field takes long where there are ten thousand
    found.__dict__.update(_UNREAD, version=version, name=name, filename=filename, stored_sha256=stored_sha256)
    return found


_UNREAD = vars(Migration("", "", "", b"", "", "", (), (), (), ()))


def unread_migrations(unread: Mapping[str, str]) -> tuple[Migration, ...]:
    """Such files, whatever else is in their folder."""
    named = ((filename, FILE_NAME.fullmatch(filename)) for filename in unread)
    return tuple(unread_migration(filename, found[1], found[2], unread[filename]) for filename, found in named if found)

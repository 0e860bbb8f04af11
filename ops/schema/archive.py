"""The table of contents of a pg_dump archive in custom format: what the archive would restore, object by object.

Written from PostgreSQL's description of the format. The comments in a plain dump are never read: the body of a
function can look like them. An archive may come from anywhere, so every length in it is held against what is left.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from ops.errors import OpsError
from ops.errors import Reason
from ops.schema.model import RELATIONS
from ops.schema.model import Entry
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.whole_views import with_whole_views

_MAGIC = b"PGDMP"
_CUSTOM, _DIRECTORY = 1, 3
_LISTED_IN = "toc.dat"  # of a directory
_OLDEST, _NEWEST = (1, 14), (1, 16)  # PostgreSQL 12 to 18
_COMPRESSION_BY_NAME = (1, 15)
_WITH_RELKIND = (1, 16)
_MOST_ENTRIES = 2_000_000
_MOST_BYTES = 1 << 30  # of text in the table of contents
_MOST_DEPENDENCIES = 100_000  # of one entry
# Session settings, rows, and the database itself, whose name is another on every target (see left_out.py).
_NO_OBJECTS = frozenset(
    (
        *("ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"),
        *("TABLE DATA", "SEQUENCE SET", "BLOB", "BLOBS", "BLOB DATA", "BLOB METADATA", "MATERIALIZED VIEW DATA"),
        *("STATISTICS DATA", "REFRESH"),
    )
)
# Tags of these begin with the name of the relation that they belong to.
_NAMED_AFTER_RELATION = frozenset(
    (
        *("CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "DEFAULT", "TRIGGER", "RULE", "POLICY"),
        *("ROW SECURITY", "PUBLICATION TABLE"),
    )
)
_OF_RELATION = _NAMED_AFTER_RELATION | {"INDEX", "STATISTICS", "TABLE ATTACH", "INDEX ATTACH", "SEQUENCE"}
_OF_ANYTHING = frozenset(("ACL", "COMMENT", "SECURITY LABEL", "SEQUENCE OWNED BY"))


@dataclass(frozen=True, slots=True)
class _Listed:
    """One entry as it stands in the file."""

    number: int
    tag: str
    kind: str
    definition: str
    drop: str
    schema: str
    tablespace: str
    access_method: str
    owner: str
    needs: tuple[int, ...]


def read_archive(path: Path) -> Schema:
    """The schema in an archive of format 1.14 to 1.16, a file or a directory, whether it holds rows or not.

    What dumps leave out (see `ops.schema.left_out`) is not in it. Raises OpsError: UNEXPECTED for a file that is
    damaged or no such archive, TOOLS_MISSING for a format that is not known here.
    """
    is_directory = path.is_dir()
    listing = path / _LISTED_IN if is_directory else path
    try:
        with listing.open("rb") as file:
            reader = _Reader(file, listing.stat().st_size)
            version = _read_version(reader, _DIRECTORY if is_directory else _CUSTOM)
            database, server = _read_head(reader, version)
            listed = list(_read_entries(reader, version, is_directory))
    except OSError as error:
        raise _damaged(f"{error.strerror}") from error
    return Schema(with_whole_views(_entries(listed)), server=server, database=database)


class _Reader:
    """Numbers and texts one after another, none of them longer than what is left of the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size
        self._texts_left = _MOST_BYTES
        self.integer_bytes = 4

    def bytes(self, count: int) -> bytes:
        if count > self.left:
            raise _damaged("it ends too early")
        self.left -= count
        found = self._file.read(count)
        if len(found) != count:
            raise _damaged("it ends too early")
        return found

    def byte(self) -> int:
        return self.bytes(1)[0]

    def integer(self) -> int:
        """A sign byte, then the lowest byte first."""
        found = self.bytes(1 + self.integer_bytes)
        value = int.from_bytes(found[1:], "little")
        return -value if found[0] else value

    def text(self) -> str | None:
        """A length, then as many bytes; -1 stands for nothing at all."""
        length = self.integer()
        if length < 0:
            return None
        self._texts_left -= length
        if self._texts_left < 0:
            raise _damaged("it is larger than any schema")
        # Bytes that are no UTF-8 stay apart from each other, and visible.
        return self.bytes(length).decode("utf-8", "backslashreplace")


def _read_version(reader: _Reader, form: int) -> tuple[int, int]:
    if reader.bytes(len(_MAGIC)) != _MAGIC:
        raise _damaged("it does not begin as one")
    version = (reader.byte(), reader.byte())
    reader.byte()
    if not _OLDEST <= version <= _NEWEST:
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"The archive has pg_dump's format {version[0]}.{version[1]}; known here are 1.14 to 1.16.",
            "Use a pg_dump of PostgreSQL 12 to 18.",
        )
    reader.integer_bytes, offset_bytes = reader.byte(), reader.byte()
    if not 4 <= reader.integer_bytes <= 8 or offset_bytes != 8:
        raise _damaged("its numbers have an unknown size")
    if reader.byte() != form:
        raise _damaged("it is in another format")
    return version


def _read_head(reader: _Reader, version: tuple[int, int]) -> tuple[str, str]:
    """The database's name and the server's version; between them and the top there is only when it was made."""
    if version >= _COMPRESSION_BY_NAME:
        reader.byte()
    else:
        reader.integer()
    for _ in range(7):
        reader.integer()
    database, server, _ = reader.text() or "", reader.text() or "", reader.text()
    return database, server


def _read_entries(reader: _Reader, version: tuple[int, int], is_directory: bool) -> Iterator[_Listed]:
    count = reader.integer()
    if not 0 <= count <= _MOST_ENTRIES or count > reader.left:
        raise _damaged("it claims an impossible number of entries")
    for _ in range(count):
        number = reader.integer()
        reader.integer()  # whether rows follow
        for _ in range(2):  # catalog numbers
            reader.text()
        tag, kind = reader.text() or "", reader.text() or ""
        reader.integer()  # section
        definition, drop = reader.text() or "", reader.text() or ""
        reader.text()  # COPY
        schema, tablespace, access_method = reader.text() or "", reader.text() or "", reader.text() or ""
        if version >= _WITH_RELKIND:
            reader.integer()
        owner = reader.text() or ""
        reader.text()  # WITH OIDS, of old
        needs = _dependencies(reader)
        if is_directory:
            reader.text()  # the file with its rows
        else:
            reader.bytes(9)  # where its rows are
        if kind not in _NO_OBJECTS and not (kind in _OF_ANYTHING and tag.startswith("DATABASE ")):
            yield _Listed(number, tag, kind, definition, drop, schema, tablespace, access_method, owner, needs)


def _dependencies(reader: _Reader) -> tuple[int, ...]:
    found: list[int] = []
    while (text := reader.text()) is not None:
        if len(found) == _MOST_DEPENDENCIES or not text.isascii() or not text.isdecimal() or len(text) > 10:
            raise _damaged("its dependencies cannot be read")
        found.append(int(text))
    return tuple(found)


def _entries(listed: list[_Listed]) -> Mapping[Key, Entry]:
    keys = _keys(listed)
    kinds = {one.number: one.kind.lower() for one in listed}
    entries: dict[Key, Entry] = {}
    for place, one in enumerate(listed):
        key = keys[one.number]
        entries[key] = Entry(
            key,
            one.owner,
            one.definition,
            one.drop,
            place,
            one.tablespace,
            one.access_method,
            _parent(one, keys, kinds),
            tuple(keys[number] for number in one.needs if number in keys and number != one.number),
        )
    return MappingProxyType(entries)


def _keys(listed: list[_Listed]) -> dict[int, Key]:
    """The key of each entry by its number in the archive; those that look the same are counted in a fixed order."""
    found: dict[int, Key] = {}
    used: dict[Key, int] = {}
    for one in sorted(listed, key=lambda one: (one.kind, one.schema, one.tag, one.owner, one.definition)):
        kind = one.kind.lower()
        key = Key(kind, one.schema, one.tag, one.owner if kind == "default acl" else "")
        number = used.get(key, 0)
        used[key] = number + 1
        if one.number in found:
            raise _damaged("two entries have the same number")
        found[one.number] = Key(key.kind, key.schema, key.name, key.owner, number) if number else key
    return found


def _parent(one: _Listed, keys: Mapping[int, Key], kinds: Mapping[int, str]) -> Key | None:
    """What it belongs to. A foreign key names two relations; its own is the one that its tag begins with."""
    if one.kind in _OF_ANYTHING:
        return next((keys[number] for number in one.needs if kinds.get(number, "acl") != "acl"), None)
    if one.kind not in _OF_RELATION or (one.kind == "SEQUENCE" and not one.definition.startswith("ALTER TABLE")):
        return None  # a sequence stands alone unless it is an identity column's
    relations = [keys[number] for number in one.needs if kinds.get(number) in RELATIONS]
    if one.kind in _NAMED_AFTER_RELATION:
        relations = [
            key
            for key in relations
            if key.schema == one.schema and (one.tag == key.name or one.tag.startswith(key.name + " "))
        ]
    return max(relations, key=lambda key: len(key.name)) if relations else None


def _damaged(what: str) -> OpsError:
    return OpsError(
        Reason.UNEXPECTED,
        f"The archive of the schema cannot be read: {what}.",
        "It is made anew at the next try.",
        exit_code=1,
    )

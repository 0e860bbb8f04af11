"""Import maps and deno.json: what names in imports stand for, read in time in proportion to the file."""

import json
import posixpath
import re
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

MOST_BYTES = 256 * 2**10

_HAS_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MARK = re.compile(r'["/,\]}]')
_TEXT_STOP = re.compile(r'["\\\n]')


class UnreadableError(Exception):
    """A function cannot be gathered: one sentence that says why."""


@dataclass(frozen=True)
class ImportMap:
    """What names stand for, with paths made absolute."""

    imports: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def tables_for(self, importer: str) -> tuple[Mapping[str, str], ...]:
        """The tables that hold for the names in this file, the one that comes first before the other."""
        scope = next((one for one in _beginnings(importer) if one in self.scopes), None)
        return (self.imports,) if scope is None else (self.scopes[scope], self.imports)

    @property
    def targets(self) -> Iterator[str]:
        """What it names that is a path, in its order."""
        for target in (*self.imports.values(), *(to for table in self.scopes.values() for to in table.values())):
            if target.startswith("/"):
                yield target


def resolve(tables: tuple[Mapping[str, str], ...], name: str) -> tuple[str, bool]:
    """What a name stands for, and whether one of the tables has it."""
    for table in tables:
        for key in _beginnings(name):
            target = table.get(key)
            if target is not None and (target.endswith("/") or not key.endswith("/")):
                return target + name[len(key) :], True
    return name, False


def _beginnings(name: str) -> Iterator[str]:
    """The name, and what of it ends with a slash, the longest first."""
    if name:
        yield name
    end = name.rfind("/", 0, -1) if name else -1
    while end >= 0:
        yield name[: end + 1]
        end = name.rfind("/", 0, end)


def parsed(content: bytes, name: str) -> Mapping[str, Any]:
    """The object that the file holds; an empty one where it is something else. Raises UnreadableError."""
    if len(content) > MOST_BYTES:
        raise UnreadableError(f"the import map {name} is larger than {MOST_BYTES // 2**10} KB")
    try:
        read = json.loads(without_comments(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"the import map {name} is no JSON") from error
    return read if isinstance(read, dict) else {}


def absolute(read: Mapping[str, Any], path: str, name: str) -> ImportMap:
    """What was read at this path, which is called so. Raises UnreadableError."""
    scopes = read.get("scopes", {})
    if not isinstance(scopes, dict):
        raise UnreadableError(f"the import map {name} has scopes that are no object")
    return ImportMap(
        _table(read.get("imports", {}), path, name),
        {_from(path, scope): _table(table, path, name) for scope, table in scopes.items()},
    )


def _table(table: object, path: str, name: str) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(one, str) for one in table.values()):
        raise UnreadableError(f"the import map {name} maps a name to something that is no text")
    return {key: _from(path, target) for key, target in table.items()}


def _from(path: str, target: str) -> str:
    """A target as it is meant from this import map: absolute for a path, as it is for what has a protocol."""
    if target.startswith("/") or _HAS_PROTOCOL.match(target):
        return target
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return f"{found}/" if target.endswith("/") else found


def without_comments(text: str) -> str:
    """JSON with comments and commas before a closing bracket, as Deno reads it, made plain JSON.

    Goes through it once. Raises ValueError for a text or a comment that does not end.
    """
    found: list[str] = []
    comma = -1  # where in `found` a comma stands that nothing followed so far
    place = 0
    while (mark := _MARK.search(text, place)) is not None:
        between, start, letter = text[place : mark.start()], mark.start(), mark[0]
        found.append(between)
        if between.strip():
            comma = -1
        is_comment = letter == "/" and text[start + 1 : start + 2] in ("/", "*")
        place = (
            _behind_comment(text, start) if is_comment else _behind_text(text, start) if letter == '"' else start + 1
        )
        if letter in "]}" and comma >= 0:
            found[comma] = " "
        if not is_comment:
            comma = len(found) if letter == "," else -1
        found.append(" " if is_comment else text[start:place])
    return "".join((*found, text[place:]))


def _behind_comment(text: str, start: int) -> int:
    is_line = text[start + 1] == "/"
    end = text.find("\n" if is_line else "*/", start + 2)
    if end < 0 and not is_line:
        raise ValueError("a comment has no end")
    return len(text) if end < 0 else end + (0 if is_line else 2)


def _behind_text(text: str, start: int) -> int:
    place = start + 1
    while (stop := _TEXT_STOP.search(text, place)) is not None and stop[0] != "\n":
        if stop[0] == '"':
            return stop.end()
        place = stop.end() + 1
    raise ValueError("a text has no end")

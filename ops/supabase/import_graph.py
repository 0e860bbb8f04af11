"""Which files a function takes with it: its import map, static files, and every module that is imported from its entry.

As the CLI 3.1.0 gathers them, in its order (read in its embedded sources and in its recorded uploads). Paths here are
absolute in a tree whose root is `ROOT`; nothing outside is ever read.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Protocol

ROOT = "/repository"
"""Where the repository's own root stands in these paths; what a file names by an absolute path lies outside of it."""

MOST_FILES = 2_000
MOST_BYTES = 20 * 2**20
"""Of one function, with everything that it takes along."""

_PLAIN = r"[^'\"\n\r\u2028\u2029]"
# The CLI's own pattern, written so that nothing is tried twice: no text before a quote has a quote in it. What stands there
# is bounded too, so that a hostile file costs time in proportion to its length.
_IMPORT = re.compile(
    rf"(?:import|export)\s+(?:type\s+)?(?:{{[^{{}}]++}}|{_PLAIN}{{0,1000}}+)\s*(?:from)?\s*['\"]({_PLAIN}*+)['\"]"
    r"|import\(\s*(?:\"([^\"\r\n]*)\"|'([^'\r\n]*)')\s*[,)]",
    re.IGNORECASE,
)
_SPACES = re.compile(r"\s{2,}")
_HAS_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class UnreadableError(Exception):
    """A function cannot be gathered: one sentence that says why."""


class Files(Protocol):
    """The files of a commit, by path from its root without a slash before it."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a plain file; None where there is none."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder."""

    def below(self, folder: str) -> list[str]:
        """Everything below a folder, files and folders, sorted."""


@dataclass(frozen=True)
class ImportMap:
    """What names stand for, with paths made absolute."""

    imports: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def resolve(self, importer: str, name: str) -> tuple[str, bool]:
        """What a name in this file stands for, and whether the map has it."""
        fitting = [one for one in self.scopes if one == importer or (one.endswith("/") and importer.startswith(one))]
        for table in [self.scopes[max(fitting, key=len)]] if fitting else []:
            found = _substituted(table, name)
            if found is not None:
                return found, True
        found = _substituted(self.imports, name)
        return (name, False) if found is None else (found, True)

    @property
    def targets(self) -> Iterator[str]:
        """What it names that is a path, in its order."""
        for target in (*self.imports.values(), *(to for table in self.scopes.values() for to in table.values())):
            if target.startswith("/"):
                yield target


def _substituted(table: Mapping[str, str], name: str) -> str | None:
    best = ""
    for key, target in table.items():
        fits = (target.endswith("/") and name.startswith(key)) if key.endswith("/") else name == key
        if key and fits and len(key) > len(best):
            best = key
    return table[best] + name[len(best) :] if best else None


@dataclass
class Gathering:
    """The files of one function as they are found; `files` by name from the project's root, in the CLI's order."""

    tree: Files
    project: str
    """The folder that holds the supabase folder, absolute; names count from it."""
    files: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    left_bytes: int = MOST_BYTES

    def gather(self, entrypoint: str, import_map: str, static: list[str]) -> None:
        """Everything that a function with this entry takes along. Raises UnreadableError."""
        known = self._import_map(import_map) if import_map else ImportMap()
        for pattern in static:
            for path in self._matching(pattern):
                self._take(path)
        if self._content(entrypoint) is None:
            raise UnreadableError(f"its entry {self.name(entrypoint)} is not there")
        self._walk(known, entrypoint)
        for target in known.targets:
            self._take_target(known, target)

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._content(path) is not None

    def name(self, path: str) -> str:
        """The path as it is uploaded. Raises UnreadableError for one above the project's folder, as the CLI does."""
        name = posixpath.relpath(path, self.project)
        if ".." in name.split("/"):
            raise UnreadableError(f"{name} is outside the project's folder, and is not uploaded by the CLI either")
        return name

    def _content(self, path: str) -> bytes | None:
        inside = _inside(path)
        return None if inside is None else self.tree.read(inside)

    def _take(self, path: str, content: bytes | None = None) -> None:
        content = self._content(path) if content is None else content
        name = self.name(path)
        if content is None or name in self.files:
            return
        self.left_bytes -= len(content)
        if self.left_bytes < 0 or len(self.files) >= MOST_FILES:
            raise UnreadableError(f"it takes along more than {MOST_FILES:,} files or {MOST_BYTES // 2**20} MB")
        self.files[name] = content

    def _import_map(self, path: str) -> ImportMap:
        seen: set[str] = set()
        while True:
            if path in seen:
                raise UnreadableError(f"the import map {self.name(path)} leads back to itself")
            seen.add(path)
            content = self._content(path)
            if content is None:
                raise UnreadableError(f"its import map {self.name(path)} is not there")
            self._take(path, content)
            read = _parsed(content, self.name(path))
            reference = read.get("importMap")
            is_deno = posixpath.basename(path).lower() in {"deno.json", "deno.jsonc"}
            if not (is_deno and isinstance(reference, str) and reference) or read.get("imports") or read.get("scopes"):
                return _absolute(read, path, self.name(path))
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), reference))

    def _walk(self, known: ImportMap, start: str) -> None:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            content = self._content(path)
            if content is None:
                self.warnings.append(f"{posixpath.relpath(path, self.project)} is imported, but is not there")
                continue
            self._take(path, content)
            waiting += self._imported(known, path, content)

    def _imported(self, known: ImportMap, path: str, content: bytes) -> Iterator[str]:
        for name in imported_names(content.decode(errors="replace")):
            target, is_mapped = known.resolve(path, name)
            if "." not in target.rsplit("/", 1)[-1] or not target.startswith(("./", "../", "/")):
                continue
            if not is_mapped and not target.startswith("/"):
                target = posixpath.join(posixpath.dirname(path), target)
            target = posixpath.normpath(target)
            if _inside(target) is None:
                self.warnings.append(f"{target.removeprefix(ROOT)} is imported, but lies outside the repository")
            else:
                yield target

    def _take_target(self, known: ImportMap, target: str) -> None:
        path = posixpath.normpath(target)
        inside = _inside(path)
        if inside is None:
            self.warnings.append(f"{target.removeprefix(ROOT)} is in the import map, but lies outside the repository")
        elif self.tree.is_folder(inside):
            for one in self.tree.below(inside):
                self._take(f"{ROOT}/{one}")
        elif (content := self.tree.read(inside)) is None:
            raise UnreadableError(f"its import map names {self.name(path)}, which is not there")
        else:
            self._take(path, content)
            self._walk(known, path)

    def _matching(self, pattern: str) -> list[str]:
        inside = _inside(pattern)
        if inside is None:
            raise UnreadableError(f"the static files {pattern.removeprefix(ROOT)} lie outside the repository")
        if not any(letter in pattern for letter in "*?["):
            found = [pattern] if self.tree.read(inside) is not None or self.tree.is_folder(inside) else []
        else:
            base = "/".join(_plain_part(inside.split("/")))
            fits = _glob(inside)
            found = [f"{ROOT}/{one}" for one in self.tree.below(base) if fits.fullmatch(one)]
        if not found:
            self.warnings.append(f"no static file is {posixpath.relpath(pattern, self.project)}")
        for one in found:
            if self.tree.is_folder(_inside(one) or ""):
                raise UnreadableError(f"the static files hold the folder {self.name(one)}, which the CLI refuses")
        return found


def imported_names(text: str) -> Iterator[str]:
    """What a module imports, as it is written there."""
    shorter = _SPACES.sub(lambda run: "\n" if "\n" in run[0] or "\r" in run[0] else " ", text)
    for match in _IMPORT.finditer(shorter):
        name = next((group for group in match.groups() if group is not None), "").strip()
        if name:
            yield name


def _inside(path: str) -> str | None:
    """The path from the repository's root; None for one that lies outside."""
    if path == ROOT:
        return ""
    return path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") else None


def _parsed(content: bytes, name: str) -> Mapping[str, Any]:
    try:
        read = json.loads(without_comments(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"the import map {name} is no JSON") from error
    return read if isinstance(read, dict) else {}


def _absolute(read: Mapping[str, Any], path: str, name: str) -> ImportMap:
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


def _plain_part(parts: list[str]) -> Iterator[str]:
    for part in parts:
        if any(letter in part for letter in "*?["):
            return
        yield part


def _glob(pattern: str) -> re.Pattern[str]:
    """As the CLI reads a pattern: `**` is anything, `*` and `?` stay within one folder."""
    found, place = "", 0
    while place < len(pattern):
        if pattern.startswith("**", place):
            found, place = f"{found}.*", place + 2
            continue
        letter = pattern[place]
        end = pattern.find("]", place + 1) if letter == "[" else -1
        if end > place + 1:
            inner = re.sub(r"([\\\[])", r"\\\1", pattern[place + 1 : end])
            found, place = f"{found}[{'^' + inner[1:] if inner.startswith('!') else inner}]", end + 1
            continue
        found, place = found + {"*": "[^/]*", "?": "[^/]"}.get(letter, re.escape(letter)), place + 1
    try:
        return re.compile(found, re.DOTALL)
    except re.error as error:
        raise UnreadableError(f"the pattern {pattern} of static files cannot be read") from error


def without_comments(text: str) -> str:
    """JSON with comments and commas before a closing bracket, as Deno reads it, made plain JSON."""
    plain = _JSONC.sub(lambda part: part[0] if part[0].startswith('"') else " ", text)
    return _COMMA.sub(lambda part: part[0] if part[0].startswith('"') else part[1], plain)


_STRING = r'"(?:[^"\\\n]|\\.)*+"'
_JSONC = re.compile(rf"{_STRING}|//[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/")
_COMMA = re.compile(rf"{_STRING}|,\s*([}}\]])")

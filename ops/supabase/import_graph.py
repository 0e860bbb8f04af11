"""Which files a function takes with it: its import map, static files, and every module that is imported from its entry.

The same files in the same order as the CLI 3.1.0 uploads, which a test asks. Paths here are absolute in a tree whose root is
`ROOT`; nothing outside is ever read.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Protocol
from urllib.parse import unquote

from ops.errors import OpsError
from ops.errors import Reason
from ops.supabase.import_map import ImportMap
from ops.supabase.import_map import UnreadableError
from ops.supabase.import_map import absolute
from ops.supabase.import_map import parsed
from ops.supabase.import_map import resolve
from ops.supabase.module_imports import Kind
from ops.supabase.module_imports import imports_in
from ops.supabase.static_patterns import BadPatternError
from ops.supabase.static_patterns import StaticPattern

ROOT = "/repository"
"""Where the repository's own root stands in these paths; what a file names by an absolute path lies outside of it."""

MOST_FILES = 2_000
MOST_BYTES = 20 * 2**20
MOST_IMPORTS = 10_000
"""Of one function, with everything that it takes along."""
MOST_CODE = 2**20
"""So much of a function's modules is read as code; in what is more, words alone are looked for, as in any text."""
MOST_PATTERNS = 20
MOST_PARTS = 100
"""Of a name that is imported."""

_MODULES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_REMOTE = ("https:", "http:", "npm:", "jsr:")


class Files(Protocol):
    """The files of a commit, by path from its root without a slash before it."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a plain file; None where there is none."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder."""

    def below(self, folder: str) -> list[str]:
        """Everything below a folder, files and folders, sorted."""


@dataclass
class Gathering:
    """The files of one function as they are found; `files` by name from the project's root, in the CLI's order."""

    tree: Files
    project: str
    """The folder that holds the supabase folder, absolute; names count from it."""
    files: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    remote: list[tuple[str, str]] = field(default_factory=list)
    """What is fetched from elsewhere: the file that imports it, by name, and what it imports."""
    left_bytes: int = MOST_BYTES
    left_imports: int = MOST_IMPORTS
    left_code: int = MOST_CODE
    needed: dict[str, list[str]] = field(default_factory=dict)
    """What a module does not start without, by the module's path."""

    def gather(self, entrypoint: str, import_map: str, static: list[str]) -> None:
        """Everything that a function with this entry takes along. Raises UnreadableError."""
        known = self._import_map(import_map) if import_map else ImportMap()
        if len(static) > MOST_PATTERNS:
            raise UnreadableError(f"it has more than {MOST_PATTERNS} patterns of static files")
        for pattern in static:
            for path in self._matching(pattern):
                self._take(path)
        if self._content(entrypoint) is None:
            raise UnreadableError(f"its entry {self.name(entrypoint)} is not there")
        self._walk(known, entrypoint)
        for target in known.targets:
            self._take_target(known, target)
        self._check_needed(entrypoint)

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
            read = parsed(content, self.name(path))
            reference = read.get("importMap")
            is_deno = posixpath.basename(path).lower() in {"deno.json", "deno.jsonc"}
            if not (is_deno and isinstance(reference, str) and reference) or read.get("imports") or read.get("scopes"):
                return absolute(read, path, self.name(path))
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), reference))

    def _walk(self, known: ImportMap, start: str) -> None:
        waiting = [start]
        while waiting:
            path = waiting.pop()
            content = None if path in self.needed else self._content(path)
            if content is not None:
                self.needed[path] = []
                self._take(path, content)
                waiting += self._imported(known, path, content)

    def _imported(self, known: ImportMap, path: str, content: bytes) -> Iterator[str]:
        """The files that it imports, as far as they are there."""
        tables = known.tables_for(path)
        is_module = path.lower().endswith(_MODULES)
        is_read = is_module and len(content) <= self.left_code
        self.left_code -= len(content) if is_read else 0
        if is_module and not is_read:
            self.warnings.append(
                f"{self.name(path)} is too large to be read: whether all that it imports is there, is not known"
            )
        for one in imports_in(content.decode(errors="replace"), is_code=is_read):
            self.left_imports -= 1
            if self.left_imports < 0:
                raise UnreadableError(f"it has more than {MOST_IMPORTS:,} imports")
            if one.name.count("/") > MOST_PARTS:
                if one.kind is Kind.STATIC:
                    raise UnreadableError(f"{self.name(path)} imports a name of more than {MOST_PARTS} parts")
                continue
            target, is_mapped = resolve(tables, one.name)
            is_used = one.kind in (Kind.STATIC, Kind.DYNAMIC) or (
                one.kind is Kind.MENTIONED and is_module and not is_read
            )
            if is_used and target.lower().startswith(_REMOTE):
                self.remote.append((self.name(path), target))
            if "." not in target.rsplit("/", 1)[-1] or not target.startswith(("./", "../", "/")):
                continue
            if not is_mapped and not target.startswith("/"):
                target = posixpath.join(posixpath.dirname(path), target)
            target = posixpath.normpath(target)
            if one.kind is Kind.STATIC:
                self.needed[path].append(target)
            if self._is_there(target, one.kind):
                yield target

    def _is_there(self, target: str, kind: Kind) -> bool:
        """Whether an imported file can be taken. What is only mentioned may be anything, and is never worth a word."""
        try:
            is_there = self.has(target)
            if is_there and kind is Kind.MENTIONED:
                self.name(target)
        except (OpsError, UnreadableError) as error:
            if kind is not Kind.MENTIONED or (
                isinstance(error, OpsError) and error.reason is not Reason.REPOSITORY_REFUSED
            ):
                raise
            return False
        if not is_there and kind is not Kind.MENTIONED:
            warning = self._not_there(target)
            if warning not in self.warnings:
                self.warnings.append(warning)
        return is_there

    def _not_there(self, target: str) -> str:
        if _inside(target) is None:
            return f"{target.removeprefix(ROOT)} is imported, but lies outside the repository"
        return f"{posixpath.relpath(target, self.project)} is imported, but is not there"

    def _check_needed(self, entrypoint: str) -> None:
        """Raises UnreadableError for a module without which the function does not start, and that it does not take along."""
        seen, waiting = {entrypoint}, [entrypoint]
        while waiting:
            for target in self.needed.get(waiting.pop(), ()):
                plain = unquote(target.partition("?")[0].partition("#")[0])
                if _inside(plain) is None or posixpath.relpath(plain, self.project) not in self.files:
                    raise UnreadableError(self._not_there(target))
                if plain not in seen:
                    seen.add(plain)
                    waiting.append(plain)

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
            try:
                fits = StaticPattern(inside).fits
            except BadPatternError as error:
                raise UnreadableError(str(error)) from error
            found = [f"{ROOT}/{one}" for one in self.tree.below(base) if fits(one)]
        if not found:
            self.warnings.append(f"no static file is {posixpath.relpath(pattern, self.project)}")
        for one in found:
            if self.tree.is_folder(_inside(one) or ""):
                raise UnreadableError(f"the static files hold the folder {self.name(one)}, which the CLI refuses")
        return found


def _inside(path: str) -> str | None:
    """The path from the repository's root; None for one that lies outside."""
    if path == ROOT:
        return ""
    return path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") else None


def _plain_part(parts: list[str]) -> Iterator[str]:
    for part in parts:
        if any(letter in part for letter in "*?["):
            return
        yield part

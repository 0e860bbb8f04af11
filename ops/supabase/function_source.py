"""The functions of a commit: what the CLI would deploy of it, read from git and the folder's config.toml. Nothing runs."""

import hashlib
import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from audit.event import canonical
from ops.errors import OpsError
from ops.errors import Reason
from ops.git_tree import CommitFiles
from ops.repository import Repository
from ops.supabase.import_graph import ROOT
from ops.supabase.import_graph import Gathering
from ops.supabase.import_map import UnreadableError
from ops.supabase.models import FunctionFile
from ops.supabase.models import FunctionMetadata
from ops.supabase.slug import LONGEST_SLUG
from ops.supabase.slug import SLUG

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*+")
FOLDER = "functions"


@dataclass(frozen=True)
class FunctionSource:
    """One function as a commit has it. Paths count from the project's folder, as the CLI uploads them.

    `verify_jwt` None: config.toml does not say it, so what runs stays as it is (new ones verify). `files` in the order in
    which the CLI uploads them. `problem` says why it cannot be deployed; empty: it can.
    """

    slug: str
    entrypoint: str
    import_map: str
    static_patterns: tuple[str, ...]
    verify_jwt: bool | None
    files: tuple[FunctionFile, ...]
    warnings: tuple[str, ...] = ()
    problem: str = ""
    remote: tuple[tuple[str, str], ...] = ()
    """What is fetched from elsewhere when it is put together: the file that imports it, and what it imports."""

    def metadata(self, running_verify_jwt: bool | None) -> FunctionMetadata:
        """What goes along with a deployment, where the one that runs verifies tokens or not (None: none runs)."""
        return FunctionMetadata(
            entrypoint_path=self.entrypoint,
            import_map_path=self.import_map,
            static_patterns=self.static_patterns,
            verify_jwt=running_verify_jwt if self.verify_jwt is None else self.verify_jwt,
            name=self.slug,
        )

    @cached_property
    def sha256(self) -> str:
        """Names what would be deployed: the files by place, and how they become one. Without `verify_jwt`."""
        content = {
            "slug": self.slug,
            "entrypoint": self.entrypoint,
            "import_map": self.import_map,
            "static_patterns": list(self.static_patterns),
            "files": shape_of(self.entrypoint, self.files),
        }
        return hashlib.sha256(canonical(content)).hexdigest()


def shape_of(entrypoint: str, files: tuple[FunctionFile, ...]) -> dict[str, str]:
    """The hash of each file by its place as seen from the entry: where they lie on a machine makes no difference."""
    base = posixpath.dirname(plain_path(entrypoint))
    return {
        posixpath.relpath(plain_path(one.path), base or "."): hashlib.sha256(one.content).hexdigest() for one in files
    }


def plain_path(path: str) -> str:
    """A path as the platform may give it back, as it is uploaded."""
    return posixpath.normpath(path.removeprefix("file://").lstrip("/"))


@dataclass(frozen=True)
class Functions:
    """The functions of a commit by name, and the names of those that config.toml switches off: nobody touches those."""

    sources: tuple[FunctionSource, ...]
    disabled: frozenset[str] = frozenset()


def functions_at(repository: Repository, commit: str, project_ref: str = "") -> tuple[FunctionSource, ...]:
    """The functions that a deployment of this commit to this project would have, by name; those that are not enabled are
    left out. Raises OpsError as `read_functions` does."""
    return read_functions(repository, commit, project_ref).sources


def read_functions(repository: Repository, commit: str, project_ref: str = "") -> Functions:
    """All functions of a commit. Raises OpsError when the commit or its config.toml cannot be read."""
    with repository.files_at(commit) as tree:
        supabase = repository.supabase
        config = _config(tree, _join(supabase, "config.toml"), project_ref)
        slugs = _slugs(tree, _join(supabase, FOLDER), config)
        disabled = frozenset(slug for slug in slugs if config.get(slug, {}).get("enabled", True) is False)
        found = (_source(tree, supabase, slug, config.get(slug, {})) for slug in slugs if slug not in disabled)
        return Functions(tuple(found), disabled)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _config(tree: CommitFiles, path: str, project_ref: str) -> dict[str, Mapping[str, Any]]:
    """The tables `[functions.*]`, with those of the `[remotes.*]` that is this project over them."""
    content = tree.read(path)
    try:
        read = tomllib.loads(content.decode("utf-8-sig")) if content is not None else {}
    except (ValueError, RecursionError) as error:
        raise OpsError(
            Reason.REPOSITORY_REFUSED,
            f"{path} is no TOML, so it does not say how functions are deployed.",
            "Mend the file in a commit.",
        ) from error
    found = dict(_tables(read))
    remotes = read.get("remotes")
    for remote in remotes.values() if isinstance(remotes, dict) else ():
        if isinstance(remote, dict) and project_ref and remote.get("project_id") == project_ref:
            for slug, table in _tables(remote).items():
                found[slug] = {**found.get(slug, {}), **table}
    return found


def _tables(read: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    functions = read.get("functions")
    if not isinstance(functions, dict):
        return {}
    return {slug: table for slug, table in functions.items() if isinstance(table, dict)}


def _slugs(tree: CommitFiles, folder: str, config: Mapping[str, Any]) -> list[str]:
    """Folders with an index.ts, and what config.toml names."""
    odd = next((slug for slug in config if not _NAME.fullmatch(slug) or not SLUG.fullmatch(slug)), None)
    if odd is not None:
        raise OpsError(
            Reason.REPOSITORY_REFUSED,
            f"config.toml names the function {odd[:60]!r}, which Supabase would not take.",
            f"A function's name begins with a letter and has letters, digits, - and _, {LONGEST_SLUG} at most.",
        )
    there = [name for name in tree.names(folder) if _NAME.fullmatch(name)]
    return sorted({*config, *(name for name in there if tree.read(f"{folder}/{name}/index.ts") is not None)})


def _source(tree: CommitFiles, supabase: str, slug: str, table: Mapping[str, Any]) -> FunctionSource:
    """Raises nothing for what is wrong with one function: that is its `problem`."""
    base = f"{ROOT}/{supabase or 'supabase'}"
    gathering = Gathering(_Seen(tree, supabase), posixpath.dirname(base))
    entrypoint, import_map = f"{base}/{FOLDER}/{slug}/index.ts", ""
    verify_jwt, problem = table.get("verify_jwt"), ""
    static: list[str] = []
    try:
        if not SLUG.fullmatch(slug):
            raise UnreadableError(f"its name is longer than {LONGEST_SLUG} letters")
        verify_jwt = _checked(table, "verify_jwt", bool, None)
        entrypoint = _path(base, _checked(table, "entrypoint", str, "")) or entrypoint
        import_map = _import_map(gathering, base, slug, entrypoint, _checked(table, "import_map", str, ""))
        static = [_path(base, one) for one in _checked(table, "static_files", list, []) if isinstance(one, str)]
        gathering.gather(entrypoint, import_map, static)
    except UnreadableError as error:
        problem = f"the function {slug} cannot be deployed: {error}"
    except OpsError as error:
        if error.reason is not Reason.REPOSITORY_REFUSED:
            raise
        problem = f"the function {slug} cannot be deployed: {error.message}"
    return FunctionSource(
        slug=slug,
        entrypoint=posixpath.relpath(entrypoint, gathering.project),
        import_map=posixpath.relpath(import_map, gathering.project) if import_map else "",
        static_patterns=tuple(posixpath.relpath(one, gathering.project) for one in static),
        verify_jwt=verify_jwt if isinstance(verify_jwt, bool) else None,
        files=tuple(FunctionFile(path, content) for path, content in gathering.files.items()),
        warnings=tuple(gathering.warnings),
        problem=problem,
        remote=tuple(gathering.remote),
    )


class _Seen:
    """The tree with the supabase folder under that name, where the repository is the folder itself."""

    def __init__(self, tree: CommitFiles, supabase: str) -> None:
        self._tree = tree
        self._is_root = not supabase

    def _path(self, path: str) -> str:
        return path.removeprefix("supabase").lstrip("/") if self._is_root else path

    def read(self, path: str) -> bytes | None:
        return self._tree.read(self._path(path))

    def is_folder(self, path: str) -> bool:
        return self._tree.is_folder(self._path(path))

    def below(self, folder: str) -> list[str]:
        found = self._tree.below(self._path(folder))
        return [f"supabase/{one}" for one in found] if self._is_root else found


def _checked(table: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if value is not default and not isinstance(value, kind):
        raise UnreadableError(f"config.toml says {key} = {str(value)[:60]!r}, which is not what belongs there")
    return value


def _path(base: str, said: str) -> str:
    """A path as config.toml means it: from the supabase folder. Empty stays empty."""
    if said.startswith("/"):
        raise UnreadableError(f"config.toml names {said[:120]!r}, which lies outside the repository")
    return posixpath.normpath(posixpath.join(base, said)) if said else ""


def _import_map(gathering: Gathering, base: str, slug: str, entrypoint: str, said: str) -> str:
    """The one that config.toml names, else the one beside the entry, else the one of all functions; empty: none."""
    if said:
        return _path(base, said)
    folder = posixpath.dirname(entrypoint)
    shared = f"{base}/{FOLDER}/import_map.json"
    for name in ("deno.json", "deno.jsonc"):
        if gathering.has(f"{folder}/{name}"):
            return f"{folder}/{name}"
    own = f"{folder}/import_map.json"
    if own != shared and gathering.has(own):
        raise UnreadableError(
            f"its import_map.json is no longer taken: rename it to deno.json, or set functions.{slug}.import_map"
        )
    return shared if gathering.has(shared) else ""

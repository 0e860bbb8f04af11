"""What functions ran, kept on this machine: so that one can be rolled back, compared and told apart without asking again.

Supabase keeps no older version of a function. A body may hold what nobody should read, so folders are 0700, files 0600.
"""

import base64
import binascii
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.supabase.models import Function
from ops.supabase.models import FunctionBody
from ops.supabase.models import FunctionFile
from ops.supabase.slug import SLUG
from ops.targets import Target


@dataclass(frozen=True)
class Kept:
    """A body as it ran. `sha256` names the file that holds it."""

    sha256: str
    version: int
    verify_jwt: bool | None
    body: FunctionBody
    entrypoint_path: str = ""
    """This and the next two: as the API says them of what runs; empty and None where it did not."""
    import_map_path: str = ""
    import_map: bool | None = None
    deployed: "Deployed | None" = None
    """None: somebody else deployed it."""


@dataclass(frozen=True)
class Recipe:
    """How the files of a function became one: what is uploaded along with them, and not all told again."""

    entrypoint: str
    import_map: str
    static_patterns: tuple[str, ...]


@dataclass(frozen=True)
class Deployed:
    """What we know of a version because we deployed it: the content, and the commit that it came from (may be empty)."""

    sha256: str
    commit: str
    recipe: Recipe | None = None
    """None: an older version of this program wrote it down."""


class KeptFunctions:
    """The bodies of one project's functions, by function and version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, target: Target) -> "KeptFunctions":
        """Beside the card store, by the project's reference."""
        settings = target.all_settings
        folder = settings.path(settings.state.path).parent / "kept" / "functions"
        return cls(folder / (target.settings.project_ref or "none"))

    def keep(self, function: Function, body: FunctionBody) -> Kept:
        """The same once it is on disk. What is there already stays."""
        found = self.find(function)
        if found is not None:
            return found
        files = [{"path": one.path, "base64": base64.b64encode(one.content).decode()} for one in body.files]
        about = {"slug": function.slug, "id": function.id, "version": function.version}
        about |= {"ezbr_sha256": function.ezbr_sha256, "verify_jwt": function.verify_jwt}
        about |= {"entrypoint_path": function.entrypoint_path, "import_map_path": function.import_map_path}
        about |= {"import_map": function.import_map}
        content = json.dumps({**about, "metadata": dict(body.metadata), "files": files}, sort_keys=True).encode()
        self._write(self._path(function, "json"), content)
        kept = self.find(function)
        if kept is None:
            message = f"What {function.slug} runs was written to {self.folder}, and could not be read back."
            raise OpsError(Reason.BACKUP_NOT_PROVEN, message, "Look at that disk, then ask again.", exit_code=1)
        return kept

    def find(self, function: Function) -> Kept | None:
        """What is kept of this version; None: nothing, or nothing that is whole."""
        return _read(self._path(function, "json"))

    def by_sha256(self, slug: str, sha256: str) -> Kept | None:
        """The kept body of this name; None where it is gone or is not the same any more."""
        return next((one for one in self.all_of(slug) if one.sha256 == sha256), None)

    def all_of(self, slug: str) -> list[Kept]:
        """Every body that is kept of a function, the newest version first."""
        paths = self._folder(slug).glob("*.json")
        found = [kept for path in paths if not path.name.endswith(".deployed.json") and (kept := _read(path))]
        return sorted(found, key=lambda one: -one.version)

    def note_deployed(self, function: Function, deployed: Deployed) -> None:
        """Remember that this version is what we deployed."""
        content: dict[str, Any] = {"sha256": deployed.sha256, "commit": deployed.commit}
        if deployed.recipe is not None:
            content["recipe"] = asdict(deployed.recipe)
        self._write(self._path(function, "deployed.json"), json.dumps(content).encode())

    def deployed(self, function: Function) -> Deployed | None:
        """What we know of this version; None: nothing, so what it runs must be looked at."""
        return _deployed(self._path(function, "deployed.json"))

    def _folder(self, slug: str) -> Path:
        if not SLUG.fullmatch(slug):
            raise OpsError(Reason.TARGET_REFUSED, f"{slug[:60]!r} is no name of a function.", exit_code=1)
        return self.folder / slug

    def _path(self, function: Function, ending: str) -> Path:
        mark = f"{function.id} {function.ezbr_sha256 or function.updated_at}"
        name = f"{function.version}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
        return self._folder(function.slug) / f"{name}.{ending}"

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all, and on disk when this returns."""
        folder = path.parent
        for one in (self.folder.parent.parent, self.folder.parent, self.folder, folder):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".")  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parsed(path: Path) -> tuple[bytes, Mapping[str, Any]] | None:
    try:
        content = path.read_bytes()
        read = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    return (content, read) if isinstance(read, dict) else None


def _read(path: Path) -> Kept | None:
    found = _parsed(path)
    if found is None:
        return None
    content, read = found
    try:
        files = tuple(FunctionFile(str(one["path"]), base64.b64decode(one["base64"])) for one in read["files"])
        body = FunctionBody(dict(read["metadata"]), files)
        return Kept(
            sha256=hashlib.sha256(content).hexdigest(),
            version=int(read["version"]),
            verify_jwt=read["verify_jwt"],
            body=body,
            entrypoint_path=str(read.get("entrypoint_path") or ""),
            import_map_path=str(read.get("import_map_path") or ""),
            import_map=read.get("import_map"),
            deployed=_deployed(path.with_name(f"{path.stem}.deployed.json")),
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def _deployed(path: Path) -> Deployed | None:
    read = _parsed(path)
    found = read[1] if read is not None else {}
    sha256, commit = found.get("sha256"), found.get("commit")
    if not (isinstance(sha256, str) and isinstance(commit, str)):
        return None
    try:
        recipe = found["recipe"]
        how = Recipe(str(recipe["entrypoint"]), str(recipe["import_map"]), tuple(map(str, recipe["static_patterns"])))
    except (KeyError, TypeError):
        return Deployed(sha256, commit)
    return Deployed(sha256, commit, how)

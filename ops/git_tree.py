"""All files of one commit, each folder and file read when it is asked for."""

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import FILE_LIMIT_BYTES
from ops.git import Objects
from ops.git import printable
from ops.git import read_tree
from ops.git_folder import FILES
from ops.git_folder import TREE
from ops.git_folder import odd_entry

MOST_BELOW = 20_000
MOST_PARTS = 100
"""Of a path: each folder around a file is asked for on the way to it."""


class CommitFiles:
    """The files of a commit by path from its root. A link, a submodule and a name that cannot be shown are refused where
    they are come upon, with OpsError(REPOSITORY_REFUSED)."""

    def __init__(self, objects: Objects, tree_sha: str) -> None:
        self._objects = objects
        self._folders: dict[str, dict[str, tuple[str, str]]] = {"": self._entries(tree_sha, "the root folder")}
        self._contents: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a plain file; None where there is none."""
        entry = self._entry(path)
        if entry is None or entry[0] == TREE:
            return None
        if entry[0] not in FILES:
            raise odd_entry(path, entry[0])
        if entry[1] not in self._contents:
            self._contents[entry[1]] = self._objects.read(entry[1], "blob", what=path, limit_bytes=FILE_LIMIT_BYTES)
        return self._contents[entry[1]]

    def is_folder(self, path: str) -> bool:
        entry = self._entry(path)
        return path == "" or (entry is not None and entry[0] == TREE)

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, sorted; nothing where there is none."""
        return sorted(self._folder(folder) or {})

    def below(self, folder: str) -> list[str]:
        """Everything below a folder, files and folders, sorted; nothing where there is none."""
        found: list[str] = []
        for name in self.names(folder):
            path = f"{folder}/{name}" if folder else name
            found.append(path)
            if self.is_folder(path):
                found += self.below(path)
            if len(found) > MOST_BELOW:
                raise OpsError(Reason.REPOSITORY_REFUSED, f"{folder} holds more than {MOST_BELOW:,} files.")
        return found

    def _entry(self, path: str) -> tuple[str, str] | None:
        if path.count("/") >= MOST_PARTS:
            raise OpsError(Reason.REPOSITORY_REFUSED, f"{printable(path, 120)} has more than {MOST_PARTS} parts.")
        folder, _, name = path.rpartition("/")
        return (self._folder(folder) or {}).get(name)

    def _folder(self, path: str) -> dict[str, tuple[str, str]] | None:
        if path not in self._folders:
            entry = self._entry(path)
            if entry is None or entry[0] != TREE:
                return None
            self._folders[path] = self._entries(entry[1], path)
        return self._folders[path]

    def _entries(self, sha: str, what: str) -> dict[str, tuple[str, str]]:
        found = {}
        for raw, entry in read_tree(self._objects, sha, what).items():
            name = raw.decode(errors="backslashreplace")
            found[name if name.isprintable() else printable(name, 120)] = entry
        return found

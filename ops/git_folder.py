"""What the folders that are read of a commit may hold: plain files in plain folders, with names that can be shown."""

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import Objects
from ops.git import printable
from ops.git import read_tree

TREE = "40000"
FILES = {"100644", "100755"}
_ODD = {"120000": "a symbolic link", "160000": "a submodule", TREE: "a folder"}


def files_in(objects: Objects, entry: tuple[str, str], folder: str, what: str) -> dict[str, tuple[str, str]]:
    """The entries of a folder of files by `<folder>/<name>`; what is in its sub-folders does not count."""
    mode, tree_sha = entry
    if mode != TREE:
        raise odd_entry(what, mode)
    found = {}
    for raw_name, (kind, sha) in read_tree(objects, tree_sha, what).items():
        name = raw_name.decode(errors="backslashreplace")
        if not name.isprintable() or "\\" in name:
            shown = name.encode("unicode_escape").decode()
            raise OpsError(
                Reason.REPOSITORY_REFUSED,
                f"{what} holds a file whose name has characters that cannot be shown: {printable(shown, 120)}",
                "Rename it with plain letters, digits and _.",
            )
        if kind != TREE:
            found[f"{folder}/{name}"] = (kind, sha)
    return found


def odd_entry(path: str, mode: str) -> OpsError:
    """For what is neither the plain file nor the plain folder that belongs there."""
    return OpsError(
        Reason.REPOSITORY_REFUSED,
        f"{path} is {_ODD.get(mode, 'a file' if mode in FILES else f'of mode {mode}')}, which is not read here.",
        "Commit plain files in plain folders.",
    )

"""Where a function's files lie: the platform may give paths below a folder of its own, and counts them as it likes."""

import posixpath
from collections.abc import Collection
from collections.abc import Sequence

from ops.supabase.function_source import plain_path
from ops.supabase.models import FunctionFile


def file_named(named: str, paths: Collection[str]) -> str:
    """The one of these paths that is meant, whatever folder is put before it, or them; empty where none is, or several."""
    plain = plain_path(named) if named else ""
    if not plain or plain in paths:
        return plain
    ends = [one for one in paths if f"/{plain}".endswith(f"/{one}") or f"/{one}".endswith(f"/{plain}")]
    return ends[0] if len(ends) == 1 else ""


def as_seen_from(entrypoint: str, path: str) -> str:
    """A path by its place as seen from the entry; empty for no path."""
    if not path:
        return ""
    return posixpath.relpath(plain_path(path), posixpath.dirname(plain_path(entrypoint)) or ".")


def moved(files: Sequence[FunctionFile], entry: str, to: str) -> tuple[FunctionFile, ...]:
    """The files with the entry at another place, and all others where they lie as seen from it."""
    folder = posixpath.dirname(to)
    return tuple(
        FunctionFile(posixpath.normpath(posixpath.join(folder, as_seen_from(entry, one.path))), one.content)
        for one in files
    )

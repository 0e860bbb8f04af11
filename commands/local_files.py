"""The migrations in the working tree of whoever types, and the versions that its branches have."""

import os
import re
import subprocess
from collections.abc import Collection
from datetime import datetime
from datetime import timedelta
from pathlib import Path

from ops.migration import FILE_NAME

STAMP = "%Y%m%d%H%M%S"
BRANCHES_LOOKED_AT = 100
_GIT_SECONDS = 10


def migrations_folder(start: Path) -> Path | None:
    """The nearest `supabase/migrations` of this folder or one above it; it need not be there yet, its `supabase` is. None:
    this is no project's folder. Looks no further than the top of a git working tree."""
    for folder in (start, *start.parents):
        if folder.name == "supabase" and (folder / "config.toml").is_file():
            return folder / "migrations"
        if (folder / "supabase").is_dir():
            return folder / "supabase" / "migrations"
        if (folder / ".git").exists():
            return None
    return None


def local_versions(folder: Path) -> set[str]:
    """The versions of the files in this folder, as a push would take them; none where it is not there yet."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return set()
    return {found.group(1) for name in names if (found := FILE_NAME.fullmatch(name))}


def branch_versions(folder: Path) -> set[str]:
    """The versions that the working tree's branches have, remote ones too as of the last fetch; none without git."""
    refs = _git(folder, "for-each-ref", "--format=%(refname)", "--sort=-committerdate", "refs/heads", "refs/remotes")
    prefix = _git(folder, "rev-parse", "--show-prefix").strip()
    found: set[str] = set()
    for ref in refs.split()[:BRANCHES_LOOKED_AT]:
        listed = _git(folder, "ls-tree", "-z", "--full-tree", "--name-only", ref, f"{prefix}migrations/")
        names = (path.rpartition("/")[2] for path in listed.split("\0"))
        found |= {match.group(1) for name in names if (match := FILE_NAME.fullmatch(name))}
    return found


def _git(folder: Path, *arguments: str) -> str:
    """What git says in the folder that holds `folder`; nothing where it cannot."""
    try:
        ran = subprocess.run(
            ["git", *arguments], cwd=folder.parent, capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.decode(errors="replace") if ran.returncode == 0 else ""


def next_version(now: datetime, taken: Collection[str]) -> tuple[str, str | None]:
    """A version that nobody has and that sorts behind every timestamp; then a version that sorts behind it all the same,
    because it is no timestamp, or None."""
    stamps = [stamp for stamp in map(_stamp, taken) if stamp is not None]
    moment = now.replace(microsecond=0, tzinfo=None)
    if stamps and max(stamps) >= moment:
        moment = max(stamps) + timedelta(seconds=1)
    version = moment.strftime(STAMP)
    return version, max((one for one in taken if one >= version), default=None)


def _stamp(version: str) -> datetime | None:
    """The moment that a version stands for; None where it is not one that another could follow."""
    if not re.fullmatch("[0-9]{14}", version) or version >= "9999":
        return None
    try:
        return datetime.strptime(version, STAMP)
    except ValueError:
        return None

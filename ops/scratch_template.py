"""Empty clusters, as initdb leaves them, kept to be copied: a copy takes a third of the time. Nothing ever ran in them."""

import hashlib
import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from ops.tools import Tools

_KEPT = 3


@dataclass(frozen=True)
class Superuser:
    """Who may log in to a fresh copy; whoever starts it gives it another password."""

    name: str
    password: str


def copy_template(folder: Path, tools: Tools, data: Path) -> Superuser | None:
    """Fill the empty folder `data` from what is kept for these programs. None, and `data` empty, where nothing is."""
    place = _place(folder, tools)
    if not _is_private(folder) or not place.is_dir():
        return None
    try:
        noted = json.loads((place / "superuser").read_text())
        shutil.copytree(place / "data", data, symlinks=True, dirs_exist_ok=True)
        data.chmod(0o700)
        os.utime(place)
        return Superuser(noted["name"], noted["password"])
    except (OSError, ValueError, KeyError, TypeError, shutil.Error):
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        return None


def keep_template(folder: Path, tools: Tools, data: Path, superuser: Superuser) -> None:
    """Keep a copy of a cluster that initdb has just made, whole or not at all."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            return
        half = folder / f"writing-{secrets.token_hex(8)}"
        try:
            half.mkdir(mode=0o700)
            shutil.copytree(data, half / "data", symlinks=True)
            descriptor = os.open(half / "superuser", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"name": superuser.name, "password": superuser.password}, file)
            half.rename(_place(folder, tools))
        finally:
            shutil.rmtree(half, ignore_errors=True)
        by_age = sorted(folder.glob("cluster-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in by_age[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, shutil.Error):
        return  # no room, or another process kept one at the same moment: it only saves time


def _place(folder: Path, tools: Tools) -> Path:
    program = tools.bin / "postgres"
    status = program.stat()
    basis = [str(program), status.st_size, status.st_mtime_ns, tools.version]
    return folder / f"cluster-{hashlib.sha256(json.dumps(basis).encode()).hexdigest()[:32]}"


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077

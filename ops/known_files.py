"""What is known of migrations that were read once, by git's name of their content: the hash of their statements.

Rebuildable, kept beside the mirror in our own folder. A wrong entry can only have a file read again, unless it says
exactly what the target's history says: then nobody but us could have written it.
"""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pglast

FORMAT = f"countersign files 1, pglast {pglast.__version__}"
"""Another way of reading files may cut them into other statements, so what was known is then forgotten."""

_LINE = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{64})")


class KnownFiles:
    """Hashes of statements by blob. `save` keeps what was learnt; whatever cannot be read or written is not known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._has_learnt = False
        with suppress(OSError, ValueError):
            first, *lines = path.read_text(encoding="ascii").splitlines()
            if first == FORMAT:
                self._known = {line[:40]: line[41:] for line in lines if _LINE.fullmatch(line)}

    def statements_sha256(self, blob: str) -> str | None:
        """The hash that a history row of the file with this content has; None when it was not read yet."""
        return self._known.get(blob)

    def learn(self, hashes: Mapping[str, str]) -> None:
        """Know these, by blob, from now on."""
        if any(self._known.get(blob) != sha256 for blob, sha256 in hashes.items()):
            self._known |= hashes
            self._has_learnt = True

    def save(self) -> None:
        """Write down what was learnt, for the next process; whole or not at all."""
        if not self._has_learnt:
            return
        unfinished = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        text = "\n".join([FORMAT, *(f"{blob} {sha256}" for blob, sha256 in self._known.items())]) + "\n"
        with suppress(OSError):
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
            unfinished.rename(self._path)
            self._has_learnt = False

"""What is known of migrations that were read once, by git's name of their content: the hash of their statements.

Rebuildable, kept beside the mirror in our own folder. A wrong entry can only have a file read again, unless it says
exactly what the target's history says: then nobody but us could have written it.
"""

import hashlib
import importlib.util
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

_LINE = re.compile(r"^([0-9a-f]{40}) ([0-9a-f]{64})$", re.MULTILINE)


@cache
def grammar_sha256() -> str:
    """Of what says which grammar is installed (its package's own first file, with the version), without loading it:
    that takes longer than a plan of known files."""
    found = importlib.util.find_spec("pglast")
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest() if found and found.origin else ""


def _format() -> str:
    """Another way of reading files may cut them into other statements, so what was known is then forgotten."""
    return f"countersign files 2, pglast {grammar_sha256()}"


class KnownFiles:
    """Hashes of statements by blob. `save` keeps what was learnt; whatever cannot be read or written is not known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._has_learnt = False
        with suppress(OSError, ValueError):
            first, _, lines = path.read_text(encoding="ascii").partition("\n")
            if first == _format():
                self._known = dict(_LINE.findall(lines))

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
        text = "\n".join([_format(), *(f"{blob} {sha256}" for blob, sha256 in self._known.items())]) + "\n"
        with suppress(OSError):
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
            unfinished.rename(self._path)
            self._has_learnt = False

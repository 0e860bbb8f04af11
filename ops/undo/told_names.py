"""Names that may be told to people: what a script makes on a copy with rows may be called after one of them.

Told is what stands in the files that run, or what a schema had before they ran.
"""

import re
from collections.abc import Collection
from collections.abc import Iterable
from dataclasses import dataclass

from ops.drift_proof import Name
from ops.masking import printable
from ops.migration import Migration
from ops.schema.model import Schema
from ops.sql_errors import MASKED

_NAMED = 5
_WORD = re.compile(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)')
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Names:
    """Names of single objects, as they are after folding, and as a schema calls what belongs to another: `read on orders`."""

    words: frozenset[str]

    def some(self, names: Collection[Name]) -> str:
        """A few of these objects, each by its name where that may be told."""
        shown = sorted({self._said(*name) for name in names})
        more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        return ", ".join(shown[:_NAMED]) + more

    def covered(self, message: str) -> str:
        """A message of the server without the names in quotes that may not be told."""
        return _QUOTED.sub(lambda found: found[0] if self._is_known(found[1]) else f'"{MASKED}"', message)

    def _said(self, kind: str, schema: str, name: str) -> str:
        if self._is_known(schema) and self._is_known(name):
            return f"{kind} {'.'.join(part for part in (schema, name) if part)}"
        return f"a {kind} whose name stands in no file"

    def _is_known(self, name: str) -> bool:
        if not name or name in self.words:
            return True
        own, on, relation = name.rpartition(" on ")  # a policy, a constraint
        if not on:
            own, _, relation = name.partition("(")  # a function, whose arguments are types
            return bool(relation) and own in self.words and set(re.findall(r"[\w$]+", relation)) <= self.words
        return own in self.words and relation in self.words


def names_in(files: Iterable[Migration], *schemas: Schema | None) -> Names:
    """The names that stand in these files, and those of these schemas."""
    words: set[str] = set()
    for file in files:
        for quoted, plain in _WORD.findall(file.text):
            words.add(printable(quoted.replace('""', '"') if quoted else plain.lower()))
    for schema in schemas:
        for key, entry in schema.entries.items() if schema is not None else ():
            found = {key.schema, key.name, entry.own_name, *([entry.parent.name] if entry.parent is not None else [])}
            if entry.parent is not None:
                found.add(f"{entry.own_name} on {entry.parent.name}")
            kind, space, rest = key.name.partition(" ")
            words |= {printable(one) for one in (*found, kind.lower() + space + rest)}
    return Names(frozenset(words))

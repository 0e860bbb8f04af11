"""A schema as values: its objects by key, each with the definition that pg_dump would restore it from."""

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from types import MappingProxyType

RELATIONS = ("table", "foreign table", "view", "materialized view")
"""Kinds that other objects belong to: a constraint, a policy, an index."""


@dataclass(frozen=True, slots=True)
class Key:
    """What makes an object the same one in two schemas.

    `kind` is pg_dump's word in small letters. `name` is its tag: a function's carries the arguments, a policy's and a
    constraint's the table. `owner` is set for default privileges alone, which every role has of its own. `number` is 0
    unless hostile names make two objects look the same.
    """

    kind: str
    schema: str
    name: str
    owner: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One object. `definition` and `drop` are statements, `drop` is empty where pg_dump has none.

    `parent` is the relation that it belongs to, None for an object of its own. `needs` are the objects that have to
    be there first. `place` counts the objects in the order in which they can be made.
    """

    key: Key
    owner: str
    definition: str
    drop: str
    place: int
    tablespace: str = ""
    access_method: str = ""
    parent: Key | None = None
    needs: tuple[Key, ...] = ()

    @property
    def own_name(self) -> str:
        """The name without the relation's, where the tag has both: policy `read` of tag `orders read`."""
        if self.parent is not None and self.key.name.startswith(self.parent.name + " "):
            return self.key.name[len(self.parent.name) + 1 :]
        return self.key.name


@dataclass(frozen=True)
class Schema:
    """All objects of one database. `server` is its version as it says itself, `database` its name.

    `not_read` are tables that the login may not read, so that nothing is known of them: `auth.users`.
    """

    entries: Mapping[Key, Entry]
    server: str = ""
    database: str = ""
    not_read: tuple[str, ...] = ()
    has_left_out: bool = field(default=False, kw_only=True)
    """Whether what dumps leave out was asked for too."""

    def with_entries(self, more: Iterable[Entry]) -> "Schema":
        """The same schema with these objects beside its own: what dumps leave out."""
        entries = {**self.entries, **{entry.key: entry for entry in more}}
        return replace(self, entries=MappingProxyType(entries), has_left_out=True)

"""What is found about access to a database, one thing at a time, so that two states can be compared."""

from dataclasses import dataclass
from enum import StrEnum

from ops.hazards.model import Level

MAY = "\0"
"""Stands in a finding's words for what may be done; no name in Postgres holds it."""

PLATFORM_SCHEMAS = frozenset(
    {
        *("auth", "storage", "vault", "realtime", "extensions", "graphql", "graphql_public", "pgbouncer"),
        *("pgsodium", "pgsodium_masks", "supabase_functions", "supabase_migrations", "net", "cron", "_realtime"),
        *("_analytics", "_supavisor"),
    }
)
"""Schemas that the platform makes, changes and restores by itself."""


class Kind(StrEnum):
    """What a finding's coming and going means.

    OPEN is a danger in itself. USUAL is what every new object has: only where the object was there before does its
    coming open anything. GUARD keeps people out: its going opens, while the object stays. THERE says that an object is
    there. PLATFORM is something of the platform's; any difference counts.
    """

    OPEN = "open"
    USUAL = "usual"
    GUARD = "guard"
    THERE = "there"
    PLATFORM = "platform"


@dataclass(frozen=True)
class Finding:
    """One thing about who may read or change what. `key` tells it apart from all others of the same database.

    `may` is one of the things that `who` may do: findings that differ in it alone are told as one. `on` is the object
    whose being there counts for USUAL and GUARD; empty: it is always there. `definition` is a hash.
    """

    rule: str
    level: Level
    object: str
    words: str
    key: str
    who: str = ""
    may: str = ""
    kind: Kind = Kind.OPEN
    on: str = ""
    definition: str = ""

    @property
    def message(self) -> str:
        """One sentence for people; names in it are harmless to print."""
        return self.words.replace(MAY, self.may)


def there(name: str) -> Finding:
    """That an object is there."""
    return Finding("there", Level.INFO, name, name, f"there:{name}", kind=Kind.THERE)

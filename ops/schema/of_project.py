"""What a project made itself of what no dump has: roles, memberships and settings, without those of the platform."""

import re
from dataclasses import replace
from types import MappingProxyType

from ops.schema.model import Entry
from ops.schema.model import Schema

COMPARED_BETWEEN_TARGETS = frozenset(("invalid index", "role", "membership", "role setting", "database setting"))
"""Kinds that no dump has, and that say something when two live targets are compared `of_project`.

A copy of a target takes these over from it, invalid indexes apart, so that beside a copy they never differ.
"""

PLATFORM_ROLES = (
    *("anon", "authenticated", "authenticator", "cli_login_*", "dashboard_user", "pg_*", "pgbouncer", "pgsodium_key*"),
    *("pgtle_admin", "postgres", "service_role", "supabase_*"),
)
"""Roles that the platform makes; `*` stands for any ending."""

_ROLES = "|".join(re.escape(role).replace(r"\*", ".*") for role in PLATFORM_ROLES)
# A project sets how long these may take; what the others are set to is the platform's own affair.
_SET_BY_PROJECTS = "anon|authenticated|authenticator|postgres|service_role"
_PLATFORMS = {
    "role": re.compile(_ROLES, re.DOTALL),
    "membership": re.compile(f"(?:{_ROLES}) to (?:{_ROLES})", re.DOTALL),
    "role setting": re.compile(
        f"(?!(?:{_SET_BY_PROJECTS})(?:: | in this database: ))(?:{_ROLES})(?: in this database)?: [^ ]+"
        r"|.*: pgrst\.jwt_.*",
        re.DOTALL,
    ),
    # These hold what every project has another of.
    "database setting": re.compile(r"app\.settings\.jwt_.*|pgrst\.jwt_.*"),
}


def of_project(schema: Schema) -> Schema:
    """The same without the platform's roles, their memberships in each other, and what it sets for itself.

    Nothing of what is left names the database or the cluster, so that two targets can be compared wherever they are.
    """
    entries = {key: entry for key, entry in schema.entries.items() if not _is_platforms(entry)}
    return replace(schema, entries=MappingProxyType(entries))


def _is_platforms(entry: Entry) -> bool:
    known = _PLATFORMS.get(entry.key.kind)
    return known is not None and known.fullmatch(entry.key.name) is not None

"""What rows of the catalog mean for access: the rules of ops/access_state.py, one function per question."""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from ops.access_finding import MAY
from ops.access_finding import PLATFORM_SCHEMAS
from ops.access_finding import Finding
from ops.access_finding import Kind
from ops.access_finding import there
from ops.catalog import MANAGED_SCHEMAS
from ops.hazards.model import Level
from ops.masking import printable

Row = tuple[Any, ...]

_shown = lru_cache(maxsize=8192)(printable)  # the same table stands in dozens of rows

VISITORS = ("anon", "authenticated")
"""As whom the Data API lets people in: with the public key, and signed in."""

_SECRET_SCHEMAS = {"auth", "vault", "supabase_migrations", "pgsodium"}
"""Where no visitor has any business; elsewhere in the platform's schemas some grants are usual."""

_SERVED_BY_PLATFORM = {"storage", "realtime"}
"""Schemas of the platform whose tables visitors reach, so that policies on them count."""

_VERBS = {"SELECT": "read", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "TRUNCATE": "empty"}
_ALL = ("read", "insert", "update", "delete")
_COMMANDS = {"*": _ALL, "r": ("read",), "a": ("insert",), "w": ("update",), "d": ("delete",)}


@dataclass(frozen=True)
class World:
    """What the rules need to know of the whole database. `reach`: by table, the pairs of who and what they may."""

    exposed: frozenset[str]
    visitors: tuple[str, ...]
    reach: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)

    def may(self, relation: str, who: str, may: str) -> bool:
        return (who, may) in self.reach.get(relation, frozenset())


def is_managed(schema: str) -> bool:
    """Whether the platform or an extension looks after this schema."""
    return any(fnmatchcase(schema, pattern) for pattern in MANAGED_SCHEMAS)


def visitors_missing(world: World) -> Iterator[Finding]:
    """Without the roles nobody can be asked what visitors may, which must not look as if all were well."""
    missing = [name for name in VISITORS if name not in world.visitors]
    if missing:
        words = f"There is no role {' and no role '.join(missing)}; everything is counted as if they had every right."
        yield Finding("visitors-missing", Level.INFO, "roles", words, f"visitors-missing:{missing}")


def relations(rows: Iterable[Row], world: World) -> Iterator[Finding]:
    """Tables without row-level security, policies that do nothing, what is published and foreign tables. Fills `world`."""
    for name, schema, kind, is_on, is_extension, policies, may, is_published in rows:
        yield there(name)
        reach = _reach(may, world)
        world.reach[name] = reach
        if is_extension:
            continue
        shown, is_table, is_exposed = _shown(name), kind in "rp", schema in world.exposed
        if is_table and is_on:
            world.protected.add(name)
            words = f"Row-level security of {shown} is off now."
            if schema not in {"auth", "storage", "vault"}:
                yield Finding("rls-disabled", Level.CAUTION, name, words, f"rls-on:{name}", kind=Kind.GUARD, on=name)
        if is_table and not is_on and policies:
            level = Level.DANGER if is_exposed else Level.CAUTION
            words = f"{shown} has policies that do nothing, since its row-level security is off."
            yield Finding("policies-without-rls", level, name, words, f"policies-without-rls:{name}")
        if is_table and is_on and not policies and is_exposed and reach:
            words = f"{shown} has row-level security and no policy: no visitor sees a row."
            yield Finding("rls-without-policy", Level.INFO, name, words, f"rls-without-policy:{name}")
        if is_table and not is_on and is_published:
            words = f"Realtime sends every change of {shown} to whoever listens: it has no row-level security."
            for who in sorted({who for who, may in reach if may == "read"}):
                key = f"published-without-rls:{name}:{who}"
                yield Finding("published-without-rls", Level.DANGER, name, words, key, who)
        if is_exposed and (kind == "f" or (is_table and not is_on)):
            rule = "foreign-table-exposed" if kind == "f" else "table-without-rls"
            why = "is a foreign table and cannot have" if kind == "f" else "has no"
            for who, one in sorted(reach):
                words = f"{who} may {MAY} any row of {shown}, which {why} row-level security."
                level = Level.CAUTION if kind == "f" and who == "authenticated" else Level.DANGER
                yield Finding(rule, level, name, words, f"{rule}:{name}:{who}:{one}", who, one)


def _reach(may: Iterable[str], world: World) -> frozenset[tuple[str, str]]:
    """A role that is missing is counted as if it might do all."""
    known = [(who, one) for who, _, one in (pair.partition(" ") for pair in may)]
    assumed = [(who, one) for who in VISITORS if who not in world.visitors for one in _ALL]
    return frozenset([*known, *assumed])


# --- policies


@dataclass(frozen=True)
class _Policy:
    table: str
    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None
    check: str | None

    def opens_to(self, may: str) -> tuple[str, ...]:
        """Whom it lets do this to every row: nobody, PUBLIC, or roles."""
        if may not in _COMMANDS[self.command]:
            return ()
        conditions = [self.using] if may in ("read", "delete") else [self.using, self.check]
        if may == "insert":
            conditions = [self.check if self.check is not None else self.using]
        opened = {_opened(one) for one in conditions if one is not None}
        if "all" in opened:
            return self.roles
        is_for_all = not {"PUBLIC", "authenticated"}.isdisjoint(self.roles)
        return ("authenticated",) if "signed in" in opened and is_for_all else ()

    def restricts(self, may: str, who: str) -> bool:
        """Whether it takes rows away from what others give."""
        is_about = not self.permissive and may in _COMMANDS[self.command]
        return is_about and not {"PUBLIC", who}.isdisjoint(self.roles) and who not in self.opens_to(may)


_SIGNED_IN = {
    "auth.uidisnotnull",
    "selectauth.uidasuidisnotnull",
    "auth.role='authenticated'::text",
    "selectauth.roleasrole='authenticated'::text",
}


_SAME_CONSTANT = re.compile(r"(\d+|'[^']*'(?:::[a-z ]+)?)=\1")


def _opened(condition: str) -> str:
    """`all` for a condition that holds for every row, `signed in` where it holds for whoever signed in, else empty.

    The condition is in the server's words, which are the same however it was written.
    """
    bare = re.sub(r"[\s()]", "", condition)
    if bare == "true" or _SAME_CONSTANT.fullmatch(bare):
        return "all"
    return "signed in" if bare.lower() in _SIGNED_IN else ""


def policies(rows: Iterable[Row], world: World) -> Iterator[Finding]:
    """Policies that let everybody in, trust what people write about themselves, or take rows away."""
    by_table: dict[str, list[_Policy]] = {}
    for table, schema, name, command, permissive, roles, using, check in rows:
        policy = _Policy(table, name, command, permissive, tuple(roles), using, check)
        if schema in world.exposed | _SERVED_BY_PLATFORM:
            by_table.setdefault(table, []).append(policy)
        shown = f"{_shown(name)} of {_shown(table)}"
        if "user_meta" in f"{using} {check}" and re.search("user_meta_?data", f"{using} {check}"):
            words = f"Policy {shown} trusts the user metadata, which people write themselves."
            key = f"policy-trusts-user-metadata:{table}:{name}"
            yield Finding("policy-trusts-user-metadata", Level.DANGER, table, words, key)
        if not permissive and schema not in {"auth", "storage", "vault"}:
            words, key = f"Restrictive policy {shown} is gone.", f"restrictive:{table}:{name}"
            yield Finding("policy-dropped", Level.CAUTION, table, words, key, kind=Kind.GUARD, on=table)
    for table, listed in by_table.items():
        if table in world.protected:
            for may in _ALL:
                yield from _open_policies(table, listed, may, world)


def _open_policies(table: str, listed: list[_Policy], may: str, world: World) -> Iterator[Finding]:
    """Who may do this to every row, by whatever policy: its name may change, the door stays the same."""
    for who in VISITORS:
        opening = [one.name for one in listed if one.permissive and not {who, "PUBLIC"}.isdisjoint(one.opens_to(may))]
        if not opening or not world.may(table, who, may):
            continue
        is_restricted = any(one.restricts(may, who) for one in listed)
        level = Level.CAUTION if may == "read" or who == "authenticated" else Level.DANGER
        level = Level.INFO if is_restricted else level
        by = f"policy {_shown(sorted(opening)[0])}"
        so_far = ", as far as restrictive policies leave them" if is_restricted else ""
        words = f"{who} may {MAY} any row of {_shown(table)} by {by}{so_far}."
        key = f"policy-always-true:{table}:{who}:{may}"
        yield Finding("policy-always-true", level, table, words, key, who, may)


# --- grants


def grants(rows: Iterable[Row], world: World) -> Iterator[Finding]:
    """What everybody holds on tables, columns, schemas and on what is made later."""
    for kind, name, schema, who, privilege, is_protected, part in rows:
        if kind == "schema":
            yield from _schema_grant(name, schema, who, privilege, world)
        elif kind == "defaults":
            yield from _default_grant(name, schema, who, privilege, part, world)
        elif privilege in _VERBS:
            yield _table_grant(name, schema, who, _VERBS[privilege], is_protected, part, world)


def schemas(rows: Iterable[Row]) -> Iterator[Finding]:
    """That the schemas are there."""
    for (name,) in rows:
        yield there(name)


def _table_grant(table: str, schema: str, who: str, may: str, is_protected: bool, column: str, world: World) -> Finding:
    what = f"column {_shown(column)} of {_shown(table)}" if column else _shown(table)
    words = f"{who} holds the right to {MAY} {what}."
    key = f"grant-to-everybody:{table}:{column}:{who}:{may}"
    level, kind = Level.CAUTION, Kind.USUAL
    if schema in _SECRET_SCHEMAS:
        level, kind = Level.DANGER, Kind.OPEN
    elif schema in world.exposed and who != "PUBLIC":
        level = Level.CAUTION if is_protected or may == "read" else Level.DANGER
    elif schema in world.exposed or not is_managed(schema):
        level, kind = Level.INFO if who == "authenticated" else Level.CAUTION, Kind.OPEN
    return Finding("grant-to-everybody", level, table, words, key, who, may, kind, table)


def _schema_grant(name: str, schema: str, who: str, privilege: str, world: World) -> Iterator[Finding]:
    may = "use" if privilege == "USAGE" else "create objects in"
    words, key = f"{who} may {MAY} {_shown(name)}.", f"grant-to-everybody:{name}:{who}:{privilege}"
    level = Level.INFO if who == "authenticated" else Level.CAUTION
    level = Level.DANGER if privilege == "CREATE" or schema in _SECRET_SCHEMAS else level
    is_usual = privilege == "USAGE" and (schema in world.exposed or is_managed(schema))
    kind = Kind.USUAL if is_usual else Kind.OPEN
    yield Finding("grant-to-everybody", level, name, words, key, who, may, kind, name)


_BUILT_IN = {("f", "EXECUTE"), ("T", "USAGE")}


def _default_grant(name: str, schema: str, who: str, privilege: str, of: str, world: World) -> Iterator[Finding]:
    """Postgres lets PUBLIC call every new function by itself; Supabase gives visitors all of what `public` will hold."""
    if not schema and who == "PUBLIC" and (of, privilege) in _BUILT_IN:
        return
    may = _VERBS.get(privilege, {"EXECUTE": "call"}.get(privilege, privilege.lower()))
    words, key = (
        f"{who} gets the right to {MAY} whatever is made later, by the {_shown(name)}.",
        f"default:{name}:{who}:{may}",
    )
    is_usual = who != "PUBLIC" and (schema in world.exposed or (bool(schema) and is_managed(schema)))
    level = Level.CAUTION if who == "authenticated" else Level.DANGER
    kind = Kind.USUAL if is_usual else Kind.OPEN
    on = f"schema {schema}" if schema else ""
    yield Finding("default-privileges-to-everybody", level, name, words, key, who, may, kind, on)


# --- functions and views


def functions(rows: Iterable[Row], world: World) -> Iterator[Finding]:
    """Functions that run as their owner: who may call them, and whose search_path they use."""
    for name, schema, is_definer, has_path, is_triggers, callers, grantees in rows:
        yield there(name)
        shown = _shown(name)
        for who in grantees:
            words, key = f"{who} may call {shown}.", f"grant-to-everybody:{name}:{who}"
            yield Finding("grant-to-everybody", Level.CAUTION, name, words, key, who, "call", Kind.USUAL, name)
        if not is_definer or is_managed(schema):
            continue
        if not has_path:
            words = f"Function {shown} runs as its owner without a search_path of its own."
            key = f"definer-without-search-path:{name}"
            yield Finding("definer-without-search-path", Level.CAUTION, name, words, key)
        if schema in world.exposed and not is_triggers:
            missing = [who for who in VISITORS if who not in world.visitors]
            for who in [*callers, *missing]:
                words = f"{who} may call {shown}, which runs as its owner, past row-level security."
                level = Level.DANGER if who == "anon" else Level.CAUTION
                key = f"definer-callable:{name}:{who}"
                yield Finding("definer-callable", level, name, words, key, who, "call")


def views(rows: Iterable[Row], world: World) -> Iterator[Finding]:
    """Views of exposed schemas that read with their owner's rights, or show the platform's users."""
    for name, _, kind, is_invoker, reads_protected, reads_users in rows:
        shown = _shown(name)
        for who in VISITORS:
            if is_invoker or not world.may(name, who, "read"):
                continue
            if reads_users:
                words = f"{who} may read what {shown} shows of auth.users."
                key = f"view-over-auth-users:{name}:{who}"
                yield Finding("view-over-auth-users", Level.DANGER, name, words, key, who, "read")
            rule = "view-runs-as-owner" if kind == "v" else "materialized-view-exposed"
            past = "past the row-level security of what it reads" if reads_protected else "with its owner's rights"
            level = Level.DANGER if reads_protected and kind == "v" else Level.CAUTION
            words = f"{who} may read {shown}, {past}."
            yield Finding(rule, level, name, words, f"{rule}:{name}:{who}", who, "read")


# --- the platform and roles


def platform(rows: Iterable[Row]) -> Iterator[Finding]:
    """What the platform's schemas are made of. `may` is the kind; a trigger by which users get what the project keeps of
    them is a `callback`."""
    for kind, name, whole, calls, definition in rows:
        level = Level.CAUTION if kind in ("trigger", "policy") else Level.DANGER
        words, key = f"{kind} {_shown(name)}", f"platform-schema:{kind}:{name}"
        may = "callback" if kind == "trigger" and whole == "auth.users" and calls not in PLATFORM_SCHEMAS else kind
        yield Finding(
            "platform-schema", level, name, words, key, may=may, kind=Kind.PLATFORM, on=whole, definition=definition
        )


_PLATFORM_ROLE = re.compile(
    "supabase_.*|cli_login_.*|pg_.*|postgres|service_role|dashboard_user|pgbouncer|authenticator"
)
_POWERS = ("SUPERUSER", "BYPASSRLS", "CREATEROLE")
_POWERFUL = {"authenticator", "pg_read_all_data", "pg_write_all_data", "pg_execute_server_program"} | {
    *("pg_read_server_files", "pg_write_server_files", "postgres", "service_role")
}


def roles(rows: Iterable[Row]) -> Iterator[Finding]:
    """Roles that pass row-level security or may make such roles."""
    for name, *has in rows:
        yield there(f"role {name}")
        for power in (power for power, is_held in zip(_POWERS, has, strict=True) if is_held):
            level = Level.CAUTION if power == "CREATEROLE" else Level.DANGER
            words, key = f"Role {_shown(name)} has {power}.", f"powerful-role:{name}:{power}"
            is_usual = _PLATFORM_ROLE.fullmatch(name) and name != "authenticator"
            kind, on = Kind.USUAL if is_usual else Kind.OPEN, f"role {name}"
            yield Finding("powerful-role", level, f"role {name}", words, key, kind=kind, on=on)


def memberships(rows: Iterable[Row]) -> Iterator[Finding]:
    """Roles that are given to others: powerful ones, and any that a visitor is."""
    for given, member, is_unbound in rows:
        is_powerful = is_unbound or given in _POWERFUL or given.startswith("supabase_")
        if not is_powerful and member not in VISITORS:
            continue
        words = f"Role {_shown(member)} may do what {_shown(given)} may."
        key = f"powerful-role:{given}:{member}"
        is_usual = _PLATFORM_ROLE.fullmatch(member)
        kind, on = Kind.USUAL if is_usual else Kind.OPEN, f"role {given}"
        yield Finding("powerful-role", Level.DANGER, f"role {member}", words, key, kind=kind, on=on)


def by_key(findings: Iterable[Finding]) -> Mapping[str, Finding]:
    """The findings, each once."""
    return {one.key: one for one in findings}

"""Who may read and change what in a database, asked from its catalog, and what a change of it opens or mends.

Every question is about what a state is, not about how it came about: whatever statement, function or DO block brings
it about is seen. Reads the catalog alone, as any role; tables are neither opened nor locked.
"""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from ops import access_rules
from ops import access_sql
from ops.access_finding import MAY
from ops.access_finding import Finding
from ops.access_finding import Kind
from ops.access_rules import World
from ops.access_rules import by_key
from ops.database import Connection
from ops.hazards.model import Level
from ops.rehearsal.report import AccessChange

__all__ = ["Finding", "Kind", "changes", "read_access"]

ALWAYS_EXPOSED = frozenset({"public", "graphql_public"})
"""Schemas that the Data API serves unless it is told otherwise; a server's own settings may not be seen from here."""


def read_access(connection: Connection) -> frozenset[Finding]:
    """Everything about access that is worth comparing, as this session sees it: inside a transaction, with what that did.

    Beside dangers (Kind.OPEN) there are facts of other kinds, which only `changes` needs. Settings are given back.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(access_sql.SETTINGS)
        visitors = tuple(row[0] for row in connection.execute(access_sql.VISITORS))
        world = World(_exposed(connection), visitors)
        return frozenset(_findings(connection, world))


def _findings(connection: Connection, world: World) -> Iterator[Finding]:
    asked = {"visitors": list(world.visitors), "exposed": sorted(world.exposed)}
    yield from access_rules.visitors_missing(world)
    yield from access_rules.relations(connection.execute(access_sql.RELATIONS, asked), world)
    yield from access_rules.policies(connection.execute(access_sql.POLICIES, asked), world)
    yield from access_rules.schemas(connection.execute(access_sql.SCHEMAS))
    yield from access_rules.grants(connection.execute(access_sql.GRANTS, asked), world)
    yield from access_rules.functions(connection.execute(access_sql.FUNCTIONS, asked), world)
    yield from access_rules.views(connection.execute(access_sql.VIEWS, asked), world)
    yield from access_rules.platform(connection.execute(access_sql.PLATFORM))
    yield from access_rules.roles(connection.execute(access_sql.ROLES))
    yield from access_rules.memberships(connection.execute(access_sql.MEMBERSHIPS))


def _exposed(connection: Connection) -> frozenset[str]:
    listed = (str(row[0]).split(",") for row in connection.execute(access_sql.EXPOSED))
    return ALWAYS_EXPOSED | {name.strip().strip('"') for names in listed for name in names if name.strip()}


def changes(
    before: frozenset[Finding], after: frozenset[Finding]
) -> tuple[tuple[AccessChange, ...], tuple[AccessChange, ...]]:
    """What the way from one state to the other opened, and what it mended; the worst first.

    A danger whose level rises is opened, one whose level falls is mended. What went away with its object is mended;
    what a new object has as every new object has it is neither.
    """
    was, now = by_key(before), by_key(after)
    opened = [*_come(was, now), *_guards_gone(was, now), *_platform_changes(was, now)]
    return _told(opened), _told(_come(now, was))


def _come(was: Mapping[str, Finding], now: Mapping[str, Finding]) -> Iterator[Finding]:
    """The dangers of `now` that were not, or less, in `was`."""
    for key, one in now.items():
        is_new = key not in was or was[key].level < one.level
        is_given = key not in was and _is_there(one, was)
        if (one.kind is Kind.OPEN and is_new) or (one.kind is Kind.USUAL and is_given):
            yield one


def _is_there(one: Finding, findings: Mapping[str, Finding]) -> bool:
    return not one.on or f"there:{one.on}" in findings


def _guards_gone(was: Mapping[str, Finding], now: Mapping[str, Finding]) -> Iterator[Finding]:
    return (one for key, one in was.items() if one.kind is Kind.GUARD and key not in now and _is_there(one, now))


_OPEN_TABLES = ("storage.objects", "storage.buckets", "realtime.messages")


def _platform_changes(was: Mapping[str, Finding], now: Mapping[str, Finding]) -> Iterator[Finding]:
    """What was added to the platform's schemas, changed or dropped there; a table takes its parts along."""
    for key in was.keys() | now.keys():
        old, new = was.get(key), now.get(key)
        one = new or old
        if one is None or one.kind is not Kind.PLATFORM or (old and new and old.definition == new.definition):
            continue
        is_part = bool(one.on) and one.on != one.object
        tables = [found for found in (was, now) if f"there:{one.on}" in found]
        is_mine = one.may == "callback" or (one.may == "policy" and one.on in _OPEN_TABLES)
        is_everyday = is_mine and new is not None and (old is None or old.may == new.may)
        if is_everyday or (is_part and len(tables) < 2):
            continue
        verb = "Changes" if old and new else "Adds" if new else "Drops"
        words = f"{verb} {one.words}, which is the platform's."
        yield Finding(one.rule, one.level, one.object, words, f"{key}:{verb.lower()}")


# --- telling


_SAY_IT_BETTER = {
    "table-without-rls",
    "view-runs-as-owner",
    "materialized-view-exposed",
    "foreign-table-exposed",
    "definer-callable",
}
"""Rules that say of an object what a new grant on it, or its lost protection, comes to."""

_SAID_BETTER = {"grant-to-everybody", "rls-disabled"}


def _told(found: Iterable[Finding]) -> tuple[AccessChange, ...]:
    """Findings that differ only in what may be done become one; so do those of which one says all of the other."""
    groups: dict[tuple[str, Level, str, str, str], list[Finding]] = defaultdict(list)
    for one in found:
        groups[one.rule, one.level, one.object, one.who, one.words].append(one)
    better = {one[2] for one in groups if one[0] in _SAY_IT_BETTER}
    told = []
    for (rule, level, name, who, words), listed in groups.items():
        may = {one.may for one in listed}
        if (rule in _SAID_BETTER and name in better) or _is_covered(rule, name, who, may, groups):
            continue
        message = words.replace(MAY, _joined([verb for verb in _ORDER if verb in may] + sorted(may - set(_ORDER))))
        told.append(AccessChange(rule, level.value, name.replace(chr(34), ""), message, min(one.key for one in listed)))
    return tuple(sorted(told, key=lambda each: (-Level(each.level).rank, each.rule, each.object, each.message)))


_ORDER = ("read", "insert", "update", "delete", "empty")
_WIDER = {"authenticated": ("PUBLIC", "anon"), "anon": ("PUBLIC",)}


def _is_covered(
    rule: str,
    name: str,
    who: str,
    may: set[str],
    groups: dict[tuple[str, Level, str, str, str], list[Finding]],
) -> bool:
    """Whether the same is said of more people: who may do it without signing in may do it signed in as well."""
    return any(
        may <= {one.may for one in listed}
        for (other, _, other_name, wider, _), listed in groups.items()
        if other == rule and other_name == name and wider in _WIDER.get(who, ())
    )


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

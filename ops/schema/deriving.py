"""The statements that bring one schema to another, object by object, where two definitions are enough to tell them.

Nothing here is proven: whoever shows the statements to people runs them on a copy first, and compares again.
"""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from ops.rehearsal.report import ChangedObject
from ops.schema.altering import ALTERED
from ops.schema.altering import NotDerivedError
from ops.schema.altering import name_of
from ops.schema.altering import retyped_columns
from ops.schema.altering import table_clauses
from ops.schema.altering import taken_back
from ops.schema.comparing import Pair
from ops.schema.comparing import change_of
from ops.schema.comparing import different
from ops.schema.grants import OWNER
from ops.schema.grants import Grant
from ops.schema.grants import Grants
from ops.schema.grants import at_first
from ops.schema.grants import grant_statements
from ops.schema.grants import is_owners
from ops.schema.grants import quoted
from ops.schema.grants import read_grants
from ops.schema.lexing import statements
from ops.schema.model import Entry
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.versions import MAINTAIN_SINCE
from ops.schema.versions import levelled
from ops.schema.versions import version_of
from ops.schema.words import has_owner

SESSION = (
    "SET search_path = '';",
    "SET check_function_bodies = off;",
    "SET row_security = off;",
    "SET client_min_messages = warning;",
)
"""What is to be said in the session before the statements: the definitions are written for it, as pg_dump's are."""

_TABLES = ("table", "foreign table")
# Dropping one of these loses rows, or what only a person may give away.
_KEPT = frozenset(("table", "foreign table", "sequence", "schema", "extension", "role", "subscription", "server"))
_WITH_SECRETS = frozenset(("server", "user mapping", "foreign data wrapper", "subscription"))
_IN_THE_WAY_OF_TYPES = frozenset(("view", "materialized view", "policy", "rule", "trigger"))
_MANY_STATEMENTS = frozenset(
    (*_TABLES, "trigger", "index", "constraint", "fk constraint", "check constraint", "event trigger", "statistics")
)
_GRANTED = {
    **dict.fromkeys(("table", "foreign table", "view", "materialized view"), "TABLE"),
    **dict.fromkeys(("function", "aggregate"), "FUNCTION"),
    **dict.fromkeys(("type", "domain"), "TYPE"),
    "sequence": "SEQUENCE",
    "procedure": "PROCEDURE",
    "schema": "SCHEMA",
}


@dataclass(frozen=True)
class Derived:
    """What brings one object to its other definition. Without `reason` the statements do; they may be none, when
    another object's do it too (an index goes with its table). With a reason there are none.

    The statements may hold secrets that the schema holds: they are masked where people see them.
    """

    object: ChangedObject
    statements: tuple[str, ...]
    reason: str = ""


def derive(
    before: Schema, after: Schema, *, schemas_left_out: Sequence[str] = (), kinds_left_out: Collection[str] = ()
) -> tuple[Derived, ...]:
    """Statements that bring `before` to `after`, in an order that works, run one after another in autocommit behind
    `SESSION`: a new value of an enum cannot be used in the transaction that adds it.

    An object that is made anew comes twice: dropped early, made again later. One that only stands in another's way
    comes with the words "is made anew". What cannot be derived has a reason.
    """
    before, after = levelled(before, after)
    pairs = different(before, after, schemas_left_out=schemas_left_out, kinds_left_out=kinds_left_out)
    return _Derivation(before, after, pairs).all()


class _Derivation:
    def __init__(self, before: Schema, after: Schema, pairs: Sequence[Pair]) -> None:
        self._before, self._after = before, after
        self._pairs = {pair.entry.key: pair for pair in pairs}
        self._dependents = _dependents(before)
        self._owned_by = _owning_tables(before)
        self._child_of, self._whole_of = _attached(before)
        self._altered: dict[Key, list[str]] = {}
        self._reasons: dict[Key, str] = {}
        self._anew: set[Key] = set()
        self._acls = {
            entry.parent: entry
            for entry in after.entries.values()
            if entry.key.kind == "acl" and entry.parent and not entry.key.name.startswith("COLUMN ")
        }
        self._with_other_acl = {
            pair.entry.parent
            for pair in pairs
            if pair.entry.key.kind == "acl" and not pair.entry.key.name.startswith("COLUMN ")
        }
        self._default_acls = [
            (entry, grants)
            for entry in before.entries.values()
            if entry.key.kind == "default acl" and (grants := read_grants(entry.definition, entry.owner))
        ]

    def all(self) -> tuple[Derived, ...]:
        for key, pair in self._pairs.items():
            try:
                self._decide(key, pair)
            except NotDerivedError as error:
                self._reasons[key] = str(error)
        in_the_way = [key for key in self._anew if key not in self._pairs]
        self._pairs |= {key: Pair(self._before.entries[key], self._after.entries[key]) for key in in_the_way}
        drops = sorted((pair for pair in self._pairs.values() if pair.before), key=_place_before, reverse=True)
        makes = sorted((pair for pair in self._pairs.values() if pair.after), key=_place_after)
        return (*self._new_enum_values(), *self._dropped(drops), *self._made(makes))

    def _decide(self, key: Key, pair: Pair) -> None:
        """Whether a changed object is altered in place or made anew, with all that depends on it."""
        before, after = pair.before, pair.after
        if before is None or after is None or key.kind in ("acl", "default acl"):
            if key.kind == "invalid index" and after is not None:
                raise NotDerivedError("An invalid index is what a failed CREATE INDEX CONCURRENTLY left behind.")
            return
        if before.definition == after.definition and key.kind not in _TABLES:
            self._altered[key] = []  # another owner
            return
        if key.kind in _WITH_SECRETS:
            raise NotDerivedError("Its options may hold secrets that were not read.")
        if key.kind in _TABLES:
            found = table_clauses(before, after)
            found = [clause for clause in found if clause not in self._clauses_of_parent(key)]
            self._make_anew(self._in_the_way(key, before, after))
            self._altered[key] = [f"ALTER {key.kind.upper()} {name_of(after)} {clause};" for clause in found]
            return
        alter = ALTERED.get(key.kind)
        steps = alter(before, after) if alter else None
        if steps is None:
            self._make_anew([key])
        else:
            self._altered[key] = steps

    def _clauses_of_parent(self, key: Key) -> list[str]:
        """What is done to the partitioned table reaches its partitions."""
        attached = self._before.entries.get(Key("table attach", key.schema, key.name))
        parents = [need for need in attached.needs if need.kind == "table" and need != key] if attached else []
        pair = self._pairs.get(parents[0]) if parents else None
        if pair is None or pair.before is None or pair.after is None:
            return []
        return table_clauses(pair.before, pair.after)

    def _in_the_way(self, table: Key, before: Entry, after: Entry) -> list[Key]:
        """Views, policies and the like that speak of a column whose type changes."""
        columns = retyped_columns(before, after)
        dependents = [self._before.entries[key] for key in self._dependents.get(table, ())]
        return [
            entry.key
            for entry in dependents
            if entry.key.kind in _IN_THE_WAY_OF_TYPES
            and (entry.key.kind != "trigger" or " WHEN (" in entry.definition or " UPDATE OF " in entry.definition)
            and any(column in entry.definition for column in columns)
        ]

    def _make_anew(self, keys: Iterable[Key]) -> None:
        """These, and all that depends on them, are dropped and made again; nothing that holds rows may be among it."""
        found: set[Key] = set()
        waiting = [key for key in keys if key in self._after.entries]
        while waiting:
            key = waiting.pop()
            if key in found:
                continue
            if key.kind in _KEPT:
                raise NotDerivedError(f"The {key.kind} {key.schema}.{key.name} would have to be dropped for it.")
            found.add(key)
            waiting += [self._child_of[key]] if key in self._child_of else []
            waiting += [one for one in self._dependents.get(key, ()) if one in self._after.entries]
        self._anew |= found

    def _new_enum_values(self) -> Iterator[Derived]:
        """First of all, since what comes later may use them."""
        for key, steps in self._altered.items():
            if key.kind == "type" and key not in self._anew and " ADD VALUE " in "".join(steps):
                yield Derived(change_of(self._pairs[key]), tuple(self._filled(steps)))

    def _dropped(self, pairs: Sequence[Pair]) -> Iterator[Derived]:
        for pair in pairs:
            before = pair.before
            if before is None or (pair.after is not None and before.key not in self._anew):
                continue
            key = before.key
            if key.kind in ("acl", "default acl") or key in self._reasons:
                continue
            if self._goes_along(before):
                if pair.after is None:
                    yield Derived(change_of(pair), ())
                continue
            try:
                yield Derived(self._object(pair), tuple(self._filled(taken_back(before))))
            except NotDerivedError as error:
                self._reasons[key] = str(error)
                if pair.after is None:
                    yield Derived(change_of(pair), (), str(error))

    def _goes_along(self, entry: Entry) -> bool:
        """Whether it is gone already with what it belongs to, which is dropped as well."""
        owner: Key | None = self._owned_by.get(entry.key)
        if owner is not None and self._is_gone(owner):
            return True
        whole = self._whole_of.get(entry.key)
        if whole is not None and (self._is_gone(whole) or whole in self._anew):
            return True
        parent = entry.parent
        while parent is not None and parent != entry.key:
            if self._is_gone(parent) or parent in self._anew:
                return True
            above = self._before.entries.get(parent)
            parent = above.parent if above else None
        return False

    def _is_gone(self, key: Key) -> bool:
        pair = self._pairs.get(key)
        return pair is not None and pair.after is None

    def _made(self, pairs: Sequence[Pair]) -> Iterator[Derived]:
        seen = set()
        for pair in [*pairs, *(pair for pair in self._pairs.values() if pair.after is None)]:
            key = pair.entry.key
            seen.add(key)
            if key in self._reasons:
                if pair.after is not None:
                    yield Derived(change_of(pair), (), self._reasons[key])
            elif key.kind in ("acl", "default acl"):
                yield self._privileges(pair)
            elif pair.after is not None and (pair.before is None or key in self._anew):
                yield Derived(self._object(pair), tuple(self._filled(self._creation(pair.after))))
            elif pair.after is not None and pair.before is not None:
                steps = (
                    [] if key.kind == "type" and " ADD VALUE " in "".join(self._altered[key]) else self._altered[key]
                )
                steps = [*steps, *self._new_owner(pair.before, pair.after)]
                if steps:
                    yield Derived(change_of(pair), tuple(self._filled(steps)))

    def _object(self, pair: Pair) -> ChangedObject:
        found = change_of(pair)
        if pair.before is not None and pair.after is not None and pair.before.definition == pair.after.definition:
            return ChangedObject(
                "changed", found.kind, found.schema, found.name, "is made anew, since it is in the way"
            )
        return found

    def _creation(self, entry: Entry) -> list[str]:
        text = entry.definition.strip()
        found = [f"{one};" for one in statements(text)] if entry.key.kind in _MANY_STATEMENTS else [text]
        if has_owner(entry) and entry.owner and entry.key.kind != "extension":
            found.append(f"ALTER {entry.key.kind.upper()} {name_of(entry)} OWNER TO {quoted(entry.owner)};")
        if entry.key.kind == "materialized view":
            found.append(f"REFRESH MATERIALIZED VIEW {name_of(entry)};")
        acl = self._acl_of(entry)
        if entry.key not in self._with_other_acl and (acl is None or acl.key not in self._pairs):
            found += self._first_privileges(entry, acl)
        return found

    def _new_owner(self, before: Entry, after: Entry) -> list[str]:
        """A sequence that belongs to a column follows its table."""
        if before.owner == after.owner or not has_owner(after) or after.key in self._owned_by:
            return []
        return [f"ALTER {after.key.kind.upper()} {name_of(after)} OWNER TO {quoted(after.owner)};"]

    def _acl_of(self, entry: Entry) -> Entry | None:
        """The object's own privileges on the wanted side, where they are others than a new object's."""
        if entry.key.kind == "schema":
            return self._after.entries.get(Key("acl", "", f"SCHEMA {name_of(entry)}"))
        return self._acls.get(entry.key)

    def _first_privileges(self, entry: Entry, acl: Entry | None) -> list[str]:
        """From what default privileges give a new object to what it shall have."""
        kind = _GRANTED.get(entry.key.kind)
        if kind is None:
            return []
        grants = read_grants(acl.definition, acl.owner) if acl else None
        if grants is None:
            target = f"{kind} {name_of(entry)}"
            grants = Grants(kind, target, "", at_first(kind, target))
        most, least = self._given_at_first(grants, entry)
        return self._grant_statements(most, least, grants, entry.owner)

    def _grant_statements(
        self, most: frozenset[Grant], least: frozenset[Grant], wanted: Grants, owner: str
    ) -> list[str]:
        """Without MAINTAIN, which ALL stands for too, where the server is too old for it."""
        if (version_of(self._before) or 0) < MAINTAIN_SINCE:
            most, least, held = (
                frozenset(one for one in some if one.privilege != "MAINTAIN") for some in (most, least, wanted.held)
            )
            wanted = replace(wanted, held=held)
        return list(grant_statements(most, least, wanted, owner))

    def _given_at_first(self, grants: Grants, entry: Entry) -> tuple[frozenset[Grant], frozenset[Grant]]:
        """What a new object may have got and what it surely has: default privileges depend on who makes it."""
        most = least = at_first(grants.kind, grants.target)
        for acl, given in self._default_acls:
            if given.kind == grants.kind and acl.key.schema in ("", entry.key.schema):
                most |= {one for one in given.held if one.grantee != OWNER}
                if not acl.key.schema:  # those of one schema take nothing away
                    least &= given.held | {one for one in least if one.grantee == OWNER}
        return most, least

    def _privileges(self, pair: Pair) -> Derived:
        change = change_of(pair)
        before, after, entry = pair.before, pair.after, pair.entry
        old = read_grants(before.definition, before.owner) if before else None
        new = read_grants(after.definition, after.owner) if after else None
        known = new or old
        if known is None or (before and not old) or (after and not new):
            return Derived(change, (), "Its privileges cannot be read.")
        first = at_first(known.kind, known.target, known.prefix)
        is_new = entry.parent is not None and (
            entry.parent in self._anew or (entry.parent in self._pairs and self._pairs[entry.parent].before is None)
        )
        wanted = Grants(known.kind, known.target, known.prefix, new.held if new else first)
        most = least = old.held if old else first
        if is_new and entry.key.name.startswith("COLUMN "):
            most = least = first
        elif is_new:
            most, least = self._given_at_first(wanted, entry)
        if not is_owners(most ^ wanted.held):
            return Derived(change, (), "A role that is not the owner granted some of it, and only that role can.")
        return Derived(change, tuple(self._grant_statements(most, least, wanted, entry.owner)))

    def _filled(self, steps: Iterable[str]) -> list[str]:
        """With the database's name where a setting is this database's."""
        name = quoted(self._before.database)
        return [step.replace(" DATABASE this ", f" DATABASE {name} ", 1) for step in steps]


def _place_before(pair: Pair) -> int:
    return pair.before.place if pair.before else 0


def _place_after(pair: Pair) -> int:
    return pair.after.place if pair.after else 0


def _dependents(schema: Schema) -> dict[Key, list[Key]]:
    """What would have to go with each object."""
    found: dict[Key, list[Key]] = {}
    for entry in schema.entries.values():
        for need in {*entry.needs, *((entry.parent,) if entry.parent else ())}:
            found.setdefault(need, []).append(entry.key)
    return found


def _owning_tables(schema: Schema) -> dict[Key, Key]:
    """Sequences that belong to a column of a table and go with it."""
    found = {}
    for entry in schema.entries.values():
        if entry.key.kind == "sequence owned by":
            table = next((need for need in entry.needs if need.kind in _TABLES), None)
            sequence = Key("sequence", entry.key.schema, entry.key.name)
            if table is not None:
                found[sequence] = table
                found[entry.key] = table
    return found


def _attached(schema: Schema) -> tuple[dict[Key, Key], dict[Key, Key]]:
    """Of the attachments of partitions' indexes and constraints: what each attaches; and for these and those, what they
    are attached to, which takes them along when it is dropped."""
    child_of: dict[Key, Key] = {}
    whole_of: dict[Key, Key] = {}
    for entry in schema.entries.values():
        if entry.key.kind != "index attach":
            continue
        both = [schema.entries[need] for need in entry.needs if need.kind in ("index", "constraint")]
        child = next((one for one in both if one.own_name == entry.key.name), None)
        whole = next((one for one in both if one is not child), None)
        if child is not None and whole is not None:
            child_of[entry.key] = child.key
            whole_of |= {entry.key: whole.key, child.key: whole.key}
    return child_of, whole_of

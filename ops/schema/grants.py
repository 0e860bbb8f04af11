"""Privileges: what the GRANT and REVOKE statements of a dump add up to, and how two such states differ.

A dump writes an object's privileges as steps from what a new object has, in the order in which they were given. Only
the sum counts: the same grants given in another order are no change.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from ops.schema.lexing import Token
from ops.schema.lexing import statements
from ops.schema.lexing import tokens
from ops.schema.tables import shown

PUBLIC = "PUBLIC"
OWNER = ""
"""Whoever owns the object; so a new owner, who has what the old one had, is no change of privileges."""
_TABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
_COLUMN = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_ALL: Mapping[str, tuple[str, ...]] = {
    "TABLE": _TABLE,
    "SEQUENCE": ("SELECT", "UPDATE", "USAGE"),
    "SCHEMA": ("USAGE", "CREATE"),
    "DATABASE": ("CREATE", "CONNECT", "TEMPORARY"),
    "FUNCTION": ("EXECUTE",),
    "PROCEDURE": ("EXECUTE",),
    "ROUTINE": ("EXECUTE",),
    "PARAMETER": ("SET", "ALTER SYSTEM"),
    "LARGE OBJECT": ("SELECT", "UPDATE"),
}
_USAGE = ("USAGE",)  # types, languages, foreign servers and wrappers
_PUBLIC_HAS = {
    "FUNCTION": "EXECUTE",
    "PROCEDURE": "EXECUTE",
    "ROUTINE": "EXECUTE",
    "TYPE": "USAGE",
    "LANGUAGE": "USAGE",
}
_PLURALS = {
    "TABLES": "TABLE",
    "SEQUENCES": "SEQUENCE",
    "FUNCTIONS": "FUNCTION",
    "TYPES": "TYPE",
    "SCHEMAS": "SCHEMA",
    "LARGE OBJECTS": "LARGE OBJECT",
}


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One privilege of one role. `grantor` is empty for the owner, `column` for the whole object."""

    grantee: str
    column: str
    privilege: str
    grantable: bool = False
    grantor: str = ""


@dataclass(frozen=True)
class Grants:
    """The privileges on one object. `kind` is TABLE, FUNCTION…; `target` is what stands behind ON: `TABLE public.t`.

    `prefix` is what stands before each statement of default privileges, else empty.
    """

    kind: str
    target: str
    prefix: str
    held: frozenset[Grant]


def read_grants(text: str, owner: str) -> Grants | None:
    """What the statements add up to, from what a new object of this owner has. None where they cannot be read."""
    held: frozenset[Grant] | None = None
    kind = target = prefix = grantor = ""
    for statement in statements(text):
        words = tokens(statement)
        if not words:
            return None
        if words[0].text in ("SET", "RESET") and len(words) > 2:
            grantor = words[3].identifier.strip("'") if words[0].text == "SET" and len(words) > 3 else ""
            continue
        start = next((place for place, token in enumerate(words) if token.name in ("GRANT", "REVOKE")), None)
        step = None if start is None else _step(statement, words[start:])
        if start is None or step is None:
            return None
        kind, target, prefix = step.kind, step.target, statement[: words[start].start].strip()
        if held is None:
            held = at_first(kind, target, prefix)
        held = step.applied(held, grantor, owner)
    return None if held is None else Grants(kind, target, prefix, held)


def at_first(kind: str, target: str, prefix: str = "") -> frozenset[Grant]:
    """What is granted on a new object, or by default privileges of which none was ever changed."""
    if " IN SCHEMA " in prefix:  # those of one schema only add to the role's
        return frozenset()
    granted = {Grant(OWNER, "", privilege) for privilege in privileges_of(kind)}
    public = "USAGE" if target == "SCHEMA public" else _PUBLIC_HAS.get(kind)
    if kind == "DATABASE":
        granted |= {Grant(PUBLIC, "", "CONNECT"), Grant(PUBLIC, "", "TEMPORARY")}
    return frozenset(granted | ({Grant(PUBLIC, "", public)} if public else set()))


def privileges_of(kind: str, *, column: bool = False) -> Sequence[str]:
    """What ALL stands for."""
    return _COLUMN if column else _ALL.get(kind, _USAGE)


@dataclass(frozen=True)
class _Step:
    gives: bool
    kind: str
    target: str
    privileges: tuple[tuple[str, str], ...]
    grantees: tuple[str, ...]
    only_option: bool
    with_option: bool

    def applied(self, held: frozenset[Grant], grantor: str, owner: str) -> frozenset[Grant]:
        names = [OWNER if grantee == owner else grantee for grantee in self.grantees]
        pairs = {(grantee, *privilege) for grantee in names for privilege in self.privileges}
        named = {one for one in held if (one.grantee, one.privilege, one.column) in pairs and one.grantor == grantor}
        if self.gives:
            given = {Grant(who, column, what, self.with_option, grantor) for who, what, column in pairs}
            return frozenset((held - named) | given)
        if self.only_option:
            kept = {Grant(one.grantee, one.column, one.privilege, False, one.grantor) for one in named}
            return (held - named) | kept
        return held - named


def _step(statement: str, words: Sequence[Token]) -> _Step | None:
    depth = words[0].depth
    places = {token.name: place for place, token in reversed(list(enumerate(words))) if token.depth == depth}
    gives = words[0].name == "GRANT"
    on, to = places.get("ON"), places.get("TO" if gives else "FROM")
    if on is None or to is None or to < on:
        return None
    target = statement[words[on + 1].start : words[to].start].strip()
    kind = _kind(target)
    with_option = "WITH" in places and places["WITH"] > to
    until = places["WITH"] if with_option else len(words)
    grantees = tuple(token.identifier for token in words[to + 1 : until] if token.text != ",")
    only_option = words[1].name == "GRANT"
    first = 4 if only_option else 1  # REVOKE GRANT OPTION FOR
    return _Step(gives, kind, target, tuple(_privileges(words[first:on], kind)), grantees, only_option, with_option)


def _kind(target: str) -> str:
    for name in ("LARGE OBJECTS", "LARGE OBJECT", "FOREIGN DATA WRAPPER", "FOREIGN SERVER"):
        if target.startswith(name):
            return _PLURALS.get(name, name)
    word = target.split(maxsplit=1)[0]
    return _PLURALS.get(word, word)


def _privileges(words: Sequence[Token], kind: str) -> Iterator[tuple[str, str]]:
    """(privilege, column); `SELECT(a,b)` gives two, ALL what it stands for."""
    name: list[str] = []
    columns: list[str] = []
    for token in [*words, None]:
        if token is None or (token.text == "," and token.depth == words[0].depth):
            said = " ".join(name)
            all_of_it = said in ("ALL", "ALL PRIVILEGES")
            for one in privileges_of(kind, column=bool(columns)) if all_of_it else (said,):
                yield from ((one, column) for column in columns or ("",))
            name, columns = [], []
        elif token.depth > words[0].depth:
            columns += [token.identifier] if token.text != "," else []
        elif token.text not in "()":
            name.append(token.text.upper())


def grant_words(before: Grants | None, after: Grants | None) -> Iterator[str]:
    """`anon may now SELECT, INSERT`, a role at a time. None stands for what a new object has."""
    known = after or before
    if known is None:
        return
    new = after.held if after else at_first(known.kind, known.target, known.prefix)
    old = before.held if before else at_first(known.kind, known.target, known.prefix)
    where = f"new {known.target.lower()}: " if known.prefix else ""
    for verb, grants in (("may now", new - old), ("may no longer", _gone(old, new))):
        for (grantee, grantable, grantor), some in _grouped(grants):
            role = _PEOPLE.get(grantee, shown(grantee))
            option = ", and pass it on" if grantable else ""
            by = f" (granted by {shown(grantor)})" if grantor else ""
            yield f"{where}{role} {verb} {_listed(some, known.kind)}{option}{by}"


_PEOPLE = {PUBLIC: "everybody", OWNER: "the owner"}


def _gone(old: frozenset[Grant], new: frozenset[Grant]) -> frozenset[Grant]:
    """What is held no more; a privilege that stays without its grant option is told as what it is now."""
    still = {(one.grantee, one.column, one.privilege, one.grantor) for one in new}
    return frozenset(one for one in old - new if (one.grantee, one.column, one.privilege, one.grantor) not in still)


def _grouped(grants: Iterable[Grant]) -> Iterator[tuple[tuple[str, bool, str], list[Grant]]]:
    same = attrgetter("grantee", "grantable", "grantor")
    for key, some in groupby(sorted(grants, key=lambda one: (same(one), one)), key=same):
        yield key, list(some)


def _listed(grants: Sequence[Grant], kind: str) -> str:
    """`SELECT, UPDATE(price)`; ALL when it is all of the object's."""
    whole = [one.privilege for one in grants if not one.column]
    order = privileges_of(kind)
    found = sorted(whole, key=lambda name: order.index(name) if name in order else len(order))
    if len(order) > 1 and set(order) - {"MAINTAIN"} <= set(whole):
        found = ["do ALL"]
    by_privilege: dict[str, list[str]] = {}
    for one in grants:
        if one.column:
            by_privilege.setdefault(one.privilege, []).append(shown(one.column))
    return ", ".join([*found, *(f"{name}({', '.join(columns)})" for name, columns in by_privilege.items())])


def grant_statements(most: frozenset[Grant], least: frozenset[Grant], after: Grants, owner: str) -> Iterator[str]:
    """Statements for the object's owner that bring its privileges to `after`.

    `most` is what may be granted now, `least` what surely is; both are the same unless default privileges decide. Grants
    that another role gave are left to that role; `is_owners` tells whether there are any.
    """
    prefix = f"{after.prefix} " if after.prefix else ""
    for (grantee, _, _), some in _grouped(most - after.held):
        yield f"{prefix}REVOKE {_clause(some)} ON {after.target} FROM {_role(grantee, owner)};"
    for (grantee, grantable, _), some in _grouped(after.held - least):
        option = " WITH GRANT OPTION" if grantable else ""
        yield f"{prefix}GRANT {_clause(some)} ON {after.target} TO {_role(grantee, owner)}{option};"


def is_owners(grants: Iterable[Grant]) -> bool:
    """Whether the owner alone has given all of them."""
    return not any(one.grantor for one in grants)


def _clause(grants: Sequence[Grant]) -> str:
    return ", ".join(
        f"{one.privilege}({quoted(one.column)})" if one.column else one.privilege for one in sorted(grants)
    )


def _role(name: str, owner: str) -> str:
    return PUBLIC if name == PUBLIC else quoted(name or owner)


def quoted(name: str) -> str:
    """A name as it stands in SQL."""
    return '"' + name.replace('"', '""') + '"'

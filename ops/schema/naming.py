"""What an object that changes is called where people read it: never by the word that an archive has for it."""

from ops.rehearsal.report import ChangedObject

_KINDS = {
    "acl": "privileges of",
    "check constraint": "constraint",
    "comment": "comment on",
    "database privileges": "privileges on the database of",
    "default": "default of",
    "default acl": "default privileges for",
    "extension version": "version of extension",
    "fk constraint": "foreign key",
    "index attach": "place in its partitioned index of",
    "membership": "membership of",
    "publication table": "published table",
    "publication tables in schema": "published schema",
    "role setting": "setting of role",
    "row security": "row level security of",
    "security label": "security label on",
    "sequence owned by": "column that owns sequence",
    "statistics": "statistics object",
    "table attach": "partition",
}
"""Kinds of pg_dump that people call otherwise."""

_OF_ANOTHER = frozenset(("acl", "comment", "security label"))
"""Kinds whose names begin with the kind of what they belong to: `table orders`."""

_OF_RELATION = frozenset(("check constraint", "constraint", "fk constraint", "policy", "rule", "trigger"))


def words_of(one: ChangedObject) -> str:
    """`table public.orders`, `comment on column public.orders.currency`, `policy read on public.orders`."""
    return f"{kind_words(one.kind)} {name_words(one)}"


def kind_words(kind: str) -> str:
    """What stands before the name: `privileges of`, `foreign key`."""
    return _KINDS.get(kind, kind)


def name_words(one: ChangedObject) -> str:
    """The name with its schema: `public.orders`, `read on public.orders`, `table public.orders`."""
    dot = f"{one.schema}." if one.schema else ""
    if one.kind in _OF_ANOTHER:
        kind, _, name = one.name.partition(" ")
        own, on, relation = (
            name.rpartition(" ON ") if kind in ("constraint", "policy", "rule", "trigger") else ("", "", name)
        )
        return f"{kind} {own}{on.lower()}{dot}{relation}"
    if one.kind == "default acl":
        return f"{one.name} in schema {one.schema}" if one.schema else one.name
    if one.kind == "default":
        column, _, relation = one.name.rpartition(" on ")
        return f"{dot}{relation}.{column}" if column else f"{dot}{relation}"
    if one.kind in _OF_RELATION:
        own, on, relation = one.name.rpartition(" on ")
        return f"{own}{on}{dot}{relation}"
    if one.kind == "membership":
        role, _, member = one.name.rpartition(" to ")
        return f"{member} in {role}"
    if one.kind.startswith("publication "):
        publication, _, published = one.name.partition(" ")
        return f"{dot if one.kind == 'publication table' else ''}{published} of {publication}"
    return f"{dot}{one.name}"

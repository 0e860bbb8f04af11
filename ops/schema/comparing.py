"""Two schemas beside each other: which objects are new, gone or different, in words and as a unified diff."""

import difflib
import re
import unicodedata
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from ops.masking import mask_sql
from ops.masking import printable
from ops.rehearsal.report import ChangedObject
from ops.schema.grants import read_grants
from ops.schema.lexing import tokens
from ops.schema.model import RELATIONS
from ops.schema.model import Entry
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.naming import words_of
from ops.schema.tables import read_table
from ops.schema.versions import levelled
from ops.schema.words import acl_words
from ops.schema.words import change_words
from ops.schema.words import creation_words
from ops.schema.words import has_owner

LEFT_OUT_KINDS = frozenset(
    (
        *("invalid index", "extension version", "role", "membership", "database setting", "role setting"),
        "database privileges",
    )
)
"""Kinds that no dump has; compared only when both sides were asked for them."""

_FIRST_KINDS = ("table", "foreign table", "view", "materialized view", "type", "domain", "function", "procedure")
_GRANTS = frozenset(("acl", "default acl"))
_WITH_OPTIONS = frozenset(("server", "user mapping", "foreign data wrapper", "subscription", "foreign table"))
_OPTION = re.compile(
    r"""\b(?!(?:user|host|port|dbname|fetch_size|schema_name|table_name) ')(\w+|"[^"]+") '(?:[^']|'')*'"""
)
_MOST_LINES = 4_000  # of one object, beyond which telling moved lines apart costs too much
_MOST_CHARACTERS = 8_000_000
_CHANGED = "changed"


@dataclass(frozen=True)
class SchemaDiff:
    """What differs; false when nothing does. `text` is a unified diff, an object at a time, secrets covered.

    `reordered` are tables whose columns only stand in another order, which counts as no difference: `public.orders`.
    """

    changes: tuple[ChangedObject, ...]
    text: str
    reordered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


@dataclass(frozen=True, slots=True)
class Pair:
    """One object on both sides, None where it is not there."""

    before: Entry | None
    after: Entry | None

    @property
    def entry(self) -> Entry:
        found = self.after or self.before
        if found is None:
            raise ValueError("an object is on one side at least")
        return found

    @property
    def covered(self) -> "Pair":
        """The same as people may see it, without secrets."""
        return Pair(_covered(self.before), _covered(self.after))


def compare(
    before: Schema, after: Schema, *, schemas_left_out: Sequence[str] = (), kinds_left_out: Collection[str] = ()
) -> SchemaDiff:
    """What `after` has otherwise than `before`: tables first, by schema and name, each followed by what belongs to it.

    Of `schemas_left_out` (`*` stands for any ending) only policies and triggers on their tables count, which a project
    hangs into them. What dumps leave out counts when both sides were asked for it; tables that one side may not read
    do not count. Nor does what only the versions of the two servers make.
    """
    before, after = levelled(before, after)
    told, texts, room = [], [], _MOST_CHARACTERS
    for pair in _different(before, after, schemas_left_out, kinds_left_out):
        shown = pair.covered
        told.append(_told(shown))
        text = _diff(shown, told[-1]) if room > 0 else ""
        room -= len(text)
        texts.append(text)
    text = "\n".join(text for text in texts if text)
    if room <= 0:
        text += "\n-- what follows is too long to be shown\n"
    return SchemaDiff(tuple(told), text, tuple(_reordered(before, after)))


def different(
    before: Schema, after: Schema, *, schemas_left_out: Sequence[str] = (), kinds_left_out: Collection[str] = ()
) -> list[Pair]:
    """The objects that differ, in the order in which they are told."""
    return _different(*levelled(before, after), schemas_left_out, kinds_left_out)


def _different(
    before: Schema, after: Schema, schemas_left_out: Sequence[str], kinds_left_out: Collection[str]
) -> list[Pair]:
    left_out = _left_out(schemas_left_out)
    skipped = set(kinds_left_out)
    if not (before.has_left_out and after.has_left_out):
        skipped |= LEFT_OUT_KINDS
    unknown = {*before.not_read, *after.not_read}
    found = []
    for key in {**before.entries, **after.entries}:
        pair = Pair(before.entries.get(key), after.entries.get(key))
        if key.kind in skipped or _is_same(pair) or _is_left_out(pair.entry, left_out):
            continue
        if not unknown or not _is_of(pair.entry, unknown):
            found.append(pair)
    gone = {pair.before.key for pair in found if pair.before and pair.after is None}
    found = [pair for pair in found if not (_is_told_with_its_extension(pair) or _goes_with_its_object(pair, gone))]
    return sorted(found, key=lambda pair: _order(pair, before, after))


def _is_of(entry: Entry, tables: Collection[str]) -> bool:
    """Whether it is one of these tables, which one side could not read, or belongs to one."""
    keys = (entry.key, entry.parent) if entry.parent else (entry.key,)
    return any(key.kind in RELATIONS and f"{key.schema}.{key.name}" in tables for key in keys)


def _is_told_with_its_extension(pair: Pair) -> bool:
    """The version and the comment of an extension that comes or goes."""
    if pair.before is not None and pair.after is not None:
        return False
    kind, name = pair.entry.key.kind, pair.entry.key.name
    return kind == "extension version" or (kind == "comment" and name.startswith("EXTENSION "))


def _goes_with_its_object(pair: Pair, gone: Collection[Key]) -> bool:
    """Privileges of an object that is dropped: nobody can use them any more."""
    return pair.after is None and pair.entry.key.kind == "acl" and pair.entry.parent in gone


def summary(changes: Iterable[ChangedObject]) -> str:
    """`creates 1 table, 2 indexes; changes 3 functions; drops 1 policy`, or "nothing changes"."""
    counts: dict[str, dict[str, int]] = {"created": {}, "changed": {}, "dropped": {}}
    for change in sorted(changes, key=lambda change: (_rank(change.kind), change.kind)):
        of_kind = counts[change.change]
        of_kind[change.kind] = of_kind.get(change.kind, 0) + 1
    verbs = {"created": "creates", "changed": "changes", "dropped": "drops"}
    parts = [
        f"{verbs[change]} {', '.join(_counted(*pair) for pair in kinds.items())}"
        for change, kinds in counts.items()
        if kinds
    ]
    return "; ".join(parts) or "nothing changes"


def _counted(kind: str, count: int) -> str:
    word = _PEOPLES_WORDS.get(kind, kind)
    if count == 1:
        return f"1 {word}"
    if word.endswith("privileges") or word in ("statistics", "row level security"):
        return f"{count} × {word}"
    if word.endswith("y"):
        return f"{count} {word[:-1]}ies"
    return f"{count} {word}{'es' if word.endswith(('x', 's')) else 's'}"


_PEOPLES_WORDS = {
    "acl": "privileges",
    "default acl": "default privileges",
    "fk constraint": "foreign key",
    "row security": "row level security",
    "table attach": "partition",
}


def _is_same(pair: Pair) -> bool:
    before, after = pair.before, pair.after
    if pair.entry.key.kind in _GRANTS:
        return _same_grants(before, after)
    if before is None or after is None:
        return False
    if before.tablespace != after.tablespace or before.access_method != after.access_method:
        return False
    if has_owner(after) and before.owner != after.owner:
        return False
    return before.definition == after.definition or _is_reordered(before, after)


def _same_grants(before: Entry | None, after: Entry | None) -> bool:
    if before is None or after is None:
        return False
    if before.definition == after.definition and before.owner == after.owner:
        return True
    old, new = (read_grants(entry.definition, entry.owner) for entry in (before, after))
    if old is None or new is None:
        return sorted(before.definition.splitlines()) == sorted(after.definition.splitlines())
    return old.held == new.held


def _is_reordered(before: Entry, after: Entry) -> bool:
    """Whether two tables are equal apart from the order of their columns."""
    if after.key.kind not in ("table", "foreign table") or len(before.definition) != len(after.definition):
        return False
    old, new = read_table(before.definition), read_table(after.definition)
    return old is not None and old == new


def _reordered(before: Schema, after: Schema) -> Iterator[str]:
    for key, entry in after.entries.items():
        old = before.entries.get(key)
        if old is not None and old.definition != entry.definition and _is_reordered(old, entry):
            yield printable(f"{key.schema}.{key.name}")


def _left_out(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns), re.DOTALL)


def _is_left_out(entry: Entry, schemas: re.Pattern[str] | None) -> bool:
    """Whether it is the platform's. A schema is named by itself, its privileges and its comment."""
    if schemas is None:
        return False
    key = entry.key
    schema = key.schema
    if not schema and (key.kind == "schema" or key.name.startswith("SCHEMA ")):
        schema = key.name.removeprefix("SCHEMA ").strip('"')
    if not schema or not schemas.fullmatch(schema):
        return False
    if key.kind == "trigger":
        return bool(schemas.fullmatch(_schema_of_function(entry.definition)))
    return key.kind != "policy"


def _schema_of_function(trigger: str) -> str:
    """The schema of the function that a trigger starts."""
    words = tokens(trigger)
    at = next((place for place, token in enumerate(words) if token.name == "EXECUTE"), None)
    return words[at + 2].identifier if at is not None and at + 3 < len(words) else ""


def _order(pair: Pair, before: Schema, after: Schema) -> tuple[int | str, ...]:
    """By the object that it belongs to in the end, tables first; behind that, by kind and name."""
    entry = pair.entry
    root: Key = entry.key
    parent = entry.parent
    for _ in range(8):  # an ACL of an identity column's sequence of a table is three steps away
        if parent is None:
            break
        root = parent
        above = after.entries.get(parent) or before.entries.get(parent)
        parent = above.parent if above else None
    key = entry.key
    behind = 0 if key == root else 1
    return (
        _rank(root.kind),
        root.kind,
        root.schema,
        root.name,
        behind,
        key.kind,
        key.schema,
        key.name,
        key.owner,
        key.number,
    )


def _rank(kind: str) -> int:
    return _FIRST_KINDS.index(kind) if kind in _FIRST_KINDS else len(_FIRST_KINDS)


def change_of(pair: Pair) -> ChangedObject:
    """What is told of one object, without secrets."""
    return _told(pair.covered)


def _told(pair: Pair) -> ChangedObject:
    before, after, entry = pair.before, pair.after, pair.entry
    kind = entry.key.kind
    change = "created" if before is None else "dropped" if after is None else _CHANGED
    if kind in _GRANTS:
        change, words = _CHANGED, acl_words(before, after)
    elif kind == "row security":
        change, words = _CHANGED, f"row level security is switched {'on' if after else 'off'}"
    elif before is not None and after is not None:
        words = change_words(before, after) if _is_visible(before, after) else "a covered value changes"
    else:
        words = creation_words(after) if after else ""
    return ChangedObject(change, kind, printable(entry.key.schema), _name(entry), words)


def _is_visible(before: Entry, after: Entry) -> bool:
    """Whether the difference is left when secrets are covered."""
    seen = [(entry.definition, entry.owner, entry.tablespace, entry.access_method) for entry in (before, after)]
    return seen[0] != seen[1]


def _name(entry: Entry) -> str:
    """`read on orders` for a policy; `table orders` for privileges and comments, whose tags are their subject's."""
    if entry.parent is not None and entry.own_name != entry.key.name:
        return printable(f"{entry.own_name} on {entry.parent.name}")
    if entry.key.kind in ("acl", "comment", "security label"):
        kind, space, name = entry.key.name.partition(" ")
        return printable(kind.lower() + space + name)
    if entry.key.kind == "default acl":
        return printable(f"{entry.key.name.removeprefix('DEFAULT PRIVILEGES FOR ').lower()} of {entry.key.owner}")
    return printable(entry.key.name)


def _covered(entry: Entry | None) -> Entry | None:
    """The entry as people may see it."""
    if entry is None:
        return None
    text = entry.definition
    if entry.key.kind in _WITH_OPTIONS and "OPTIONS" in text:
        text = _OPTION.sub(r"\1 '«masked: option»'", text)
    return replace(entry, definition=mask_sql(text))


def _diff(pair: Pair, told: ChangedObject) -> str:
    title = words_of(told)
    old, new = (_lines(one, pair) for one in (pair.before, pair.after))
    if not old or not new or max(len(old), len(new)) > _MOST_LINES:
        body = [f"@@ -{_range(old)} +{_range(new)} @@", *(f"-{line}" for line in old), *(f"+{line}" for line in new)]
    else:
        body = list(difflib.unified_diff(old, new, lineterm="", n=3))[2:] or ["-- what differs is covered"]
    return "\n".join([f"--- {title if old else '/dev/null'}", f"+++ {title if new else '/dev/null'}", *body, ""])


def _range(lines: Sequence[str]) -> str:
    return f"{1 if lines else 0},{len(lines)}"


def _lines(entry: Entry | None, pair: Pair) -> list[str]:
    """The definition line by line, with the owner and the place where those differ from the other side's."""
    if entry is None:
        return []
    lines = [_one_line(line) for line in entry.definition.strip().splitlines()]
    if entry.key.kind in _GRANTS and not any(line.startswith("SET SESSION") for line in lines):
        lines.sort()
    other = pair.before if entry is pair.after else pair.after
    if other is not None:
        for name, mine, theirs in (
            ("Owner", entry.owner, other.owner),
            ("Tablespace", entry.tablespace, other.tablespace),
            ("Access method", entry.access_method, other.access_method),
        ):
            if mine != theirs and (name != "Owner" or has_owner(entry)):
                lines.append(f"-- {name}: {printable(mine) or 'the default'}")
    return lines


def _one_line(line: str) -> str:
    """No control or direction characters but tabs."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(letter if letter == "\t" or unicodedata.category(letter)[0] != "C" else "�" for letter in line)

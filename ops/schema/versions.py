"""Two schemas from servers of different versions, brought to one wording: what only the version makes is no change."""

import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ops.schema.grants import at_first
from ops.schema.grants import read_grants
from ops.schema.lexing import statements
from ops.schema.lexing import tokens
from ops.schema.model import Entry
from ops.schema.model import Key
from ops.schema.model import Schema

MAINTAIN_SINCE = 17
_NAMED_NOT_NULL_SINCE = 18
_MEMBERSHIP_OPTIONS_SINCE = 16
_SHORT_COLUMNS_SINCE = 16

_NAME = r'(?:"(?:[^"]|"")*"|[^\s"]+)'
_GRANTED = re.compile(
    rf"(?:ALTER DEFAULT PRIVILEGES FOR ROLE {_NAME} (?:IN SCHEMA {_NAME} )?)?"
    r"(?:GRANT|REVOKE)(?: GRANT OPTION FOR)? (?P<privileges>[A-Z, ]+) ON TABLES? "
)
_ALL_OF_A_TABLE = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"))
_QUERIES = frozenset(("view", "materialized view"))

Pair = tuple[Entry | None, Entry | None]


def version_of(schema: Schema) -> int | None:
    """The major version of its server; None where that is not known."""
    major = schema.server.split(".")[0].split(" ")[0]
    return int(major) if major.isascii() and major.isdecimal() else None


def levelled(before: Schema, after: Schema) -> tuple[Schema, Schema]:
    """Both as the older server would have it. Servers of one version, or of one that is not known, are left alone."""
    versions = [version for schema in (before, after) if (version := version_of(schema)) is not None]
    if len(set(versions)) < 2:
        return before, after
    oldest = min(versions)
    old, new = dict(before.entries), dict(after.entries)
    for key in {**old, **new}:
        pair = (old.get(key), new.get(key))
        if pair[0] is None or pair[1] is None or pair[0].definition != pair[1].definition:
            for entries, entry in zip((old, new), _levelled(key, pair, oldest), strict=True):
                _put(entries, key, entry)
    return _with(before, old), _with(after, new)


def _levelled(key: Key, pair: Pair, oldest: int) -> Pair:
    if key.kind in ("acl", "default acl") and oldest < MAINTAIN_SINCE:
        old, new = _each(pair, _without_maintain)
        return (old, new) if old and new else (_if_it_says_more(old), _if_it_says_more(new))
    if key.kind in ("table", "foreign table") and oldest < _NAMED_NOT_NULL_SINCE:
        return _each(pair, _without_not_null_names)
    if key.kind == "membership" and oldest < _MEMBERSHIP_OPTIONS_SINCE:
        return _each(pair, _without_membership_options)
    if key.kind in _QUERIES and oldest < _SHORT_COLUMNS_SINCE and pair[0] and pair[1]:
        return _one_spelling(pair[0], pair[1])
    return pair


def _each(pair: Pair, change: Callable[[str], str]) -> Pair:
    old, new = (replace(entry, definition=change(entry.definition)) if entry else None for entry in pair)
    return old, new


def _if_it_says_more(entry: Entry | None) -> Entry | None:
    """Privileges, unless they are those of a new object: then the other side has no need to list them."""
    found = read_grants(entry.definition, entry.owner) if entry else None
    return None if found and found.held == at_first(found.kind, found.target, found.prefix) else entry


def _put(entries: dict[Key, Entry], key: Key, entry: Entry | None) -> None:
    """Set it; one of which nothing is left, as it granted MAINTAIN alone, is none."""
    if entry is not None and entry.definition:
        entries[key] = entry
    else:
        entries.pop(key, None)


def _with(schema: Schema, entries: Mapping[Key, Entry]) -> Schema:
    return replace(schema, entries=MappingProxyType(entries))


def _without_maintain(definition: str) -> str:
    """Privileges on tables as a server before 17 lists them: MAINTAIN is not there, and ALL is all but that."""
    return "".join(f"{step};\n" for step in _table_grants(definition))


def _table_grants(definition: str) -> Iterator[str]:
    for statement in statements(definition):
        found = _GRANTED.match(statement)
        if found is None:
            yield statement
            continue
        said = [one.strip() for one in found["privileges"].split(",")]
        left = [one for one in said if one != "MAINTAIN"]
        if left:
            words = "ALL" if set(left) >= _ALL_OF_A_TABLE else ",".join(left)
            yield f"{statement[: found.start('privileges')]}{words}{statement[found.end('privileges') :]}"


def _without_not_null_names(definition: str) -> str:
    """Since 18 NOT NULL is a constraint with a name, which stays when the table or the column gets another name."""
    words = tokens(definition)
    for first, name, no, null in reversed(list(zip(words, words[1:], words[2:], words[3:], strict=False))):
        if (first.name, no.name, null.name) == ("CONSTRAINT", "NOT", "NULL_P") and name.depth == first.depth:
            definition = definition[: first.start] + definition[no.start :]
    return definition


def _without_membership_options(definition: str) -> str:
    """Before 16 a membership could be passed on or not, and that was all."""
    head, _, options = definition.rstrip(";").partition(" WITH ADMIN ")
    return f"{head}{' WITH ADMIN OPTION' if options.startswith(('OPTION', 'TRUE')) else ''};"


def _one_spelling(old: Entry, new: Entry) -> Pair:
    """Since 16 the columns of a query over one relation stand without its name; such a name says nothing."""
    if _is_shorter(old.definition, new.definition) or _is_shorter(new.definition, old.definition):
        return old, replace(new, definition=old.definition)
    return old, new


def _is_shorter(long: str, short: str) -> bool:
    """Whether the one is the other with one and the same name before some of its columns."""
    words, names = iter(tokens(long)), set()
    for wanted in tokens(short):
        word = next(words, None)
        if word is None:
            return False
        if word.text != wanted.text:
            dot, behind = next(words, None), next(words, None)
            if dot is None or behind is None or dot.text != "." or behind.text != wanted.text:
                return False
            names.add(word.text)
    return len(names) == 1 and next(words, None) is None

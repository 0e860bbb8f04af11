"""Which events somebody asks for, and whether an event is one of them. Pure: the same judgement with an index and without."""

import json
import re
import unicodedata
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from typing import Literal

from audit.grammar import OUTCOMES
from audit.grammar import Asked

Field = Literal["actor", "target", "project", "kind", "request", "stream", "digest", "text"]

LONGEST_WORD = 100
"""A longer run of letters is no word: nobody types it."""
BEGINNING_LETTERS = 3
BEGINNING_DIGITS = 8
"""So many letters find the words that begin with them; with digits among them so many, for numbers are many and alike."""

_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Condition:
    """Of one field any of these values, or with `is_not` none of them.

    An `actor` is an id, or how one ends behind its last slash (`U0ANA`, a login). A `target` is `shop/prod`, or `prod` of any
    project. A `digest` is how the plan's begins. Of a `text` every word is in the event, or one that begins with it.
    """

    field: Field
    values: tuple[str, ...]
    is_not: bool = False


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which events somebody asks for; everything given must hold.

    `since` (inclusive) and `until` (exclusive) are aware datetimes. `text` is looked for in the data as it is
    stored, masked, whatever its letters' case (A to Z). `after_seq` and `before_seq` (both exclusive) page on
    from the last event seen. `limit` None means every event that matches.
    """

    actor: str | None = None
    project: str | None = None
    environment: str | None = None
    request: str | None = None
    stream: str | None = None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    conditions: tuple[Condition, ...] = ()
    after_seq: int | None = None
    before_seq: int | None = None
    limit: int | None = None
    newest_first: bool = False

    def own_fields(self) -> dict[str, str]:
        """The columns that have to hold one value."""
        named = {
            "actor": self.actor,
            "project": self.project,
            "environment": self.environment,
            "request": self.request,
            "stream": self.stream,
        }
        return {name: value for name, value in named.items() if value is not None}

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of the view `events` is one that is asked for, whatever its time, number and `text`. An erased event
        says nothing and has no digest."""
        return (
            all(row[name] == value for name, value in self.own_fields().items())
            and (not self.kinds or row["kind"] in self.kinds)
            and all(holds(one, row) is not one.is_not for one in self.conditions)
        )


_FIELDS: Mapping[str, Field] = {
    "actor": "actor",
    "env": "target",
    "project": "project",
    "kind": "kind",
    "outcome": "kind",
    "request": "request",
    "digest": "digest",
    "stream": "stream",
    "text": "text",
}


def query_of(asked: Asked, *, limit: int | None = None, newest_first: bool = False) -> Query:
    """The query that somebody typed; whom its names mean was looked up before."""
    return Query(
        conditions=tuple(
            Condition(_FIELDS[term.key], _values(term.key, term.values), term.is_not)
            for term in asked.terms
            if term.key in _FIELDS
        ),
        since=asked.since,
        until=asked.until,
        after_seq=None if asked.first is None else asked.first - 1,
        before_seq=None if asked.last is None else asked.last + 1,
        limit=limit,
        newest_first=newest_first,
    )


def _values(key: str, values: Sequence[str]) -> tuple[str, ...]:
    match key:
        case "outcome":
            return tuple(kind for value in values for kind in OUTCOMES[value])
        case "request":
            return tuple(value.upper() for value in values)
        case _:
            return tuple(values)


def holds(condition: Condition, row: Mapping[str, Any]) -> bool:
    """Whether a row has one of the values."""
    values = condition.values
    match condition.field:
        case "actor":
            return row["actor"] in values or row["actor"].rpartition("/")[2] in values
        case "target":
            return row["environment"] is not None and (
                row["environment"] in values or f"{row['project']}/{row['environment']}" in values
            )
        case "digest":
            found = _digest(row["data"])
            return found is not None and found.startswith(values)
        case "text":
            return has_words(words_of(row["data"], row["request"]), values[0])
        case field:
            return row[field] in values


def _digest(data: str | None) -> str | None:
    found = json.loads(data).get("digest") if data is not None and '"digest":"' in data else None
    return found if isinstance(found, str) else None


def words_of(data: str | None, request: str | None) -> frozenset[str]:
    """The words of an event: those of every value in its data, and of its request's number; in small letters."""
    told = [request] if request else []
    if data is not None:
        told += _told(json.loads(data))
    return frozenset(word for word in split_words(" ".join(told)) if len(word) <= LONGEST_WORD)


def _told(data: Any) -> Iterator[str]:
    """The texts and numbers in a value, at any depth; not the names of fields."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is str:
            yield value
        elif kind is dict:
            waiting.extend(value.values())
        elif kind is list:
            waiting.extend(value)
        elif kind is int or kind is float:
            yield repr(value)


def split_words(text: str) -> list[str]:
    """A text's words as they are compared: in small letters, the same letter always written the same way."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def has_words(words: frozenset[str], wanted: str) -> bool:
    """Whether every word that is wanted is there, or one that begins with it; letters begin words of letters only. Where
    none is wanted, nothing is found."""
    found = split_words(wanted)
    return bool(found) and all(one in words or (is_beginning(one) and _begins(one, words)) for one in found)


def _begins(beginning: str, words: frozenset[str]) -> bool:
    alike = [word for word in words if word.startswith(beginning)]
    return any(map(is_letters, alike)) if is_letters(beginning) else bool(alike)


def is_beginning(word: str) -> bool:
    """Whether a word finds those that begin with it as well."""
    return len(word) >= (BEGINNING_LETTERS if is_letters(word) else BEGINNING_DIGITS)


def is_letters(word: str) -> bool:
    return _LETTERS.fullmatch(word) is not None

"""A question as the side file understands it: an expression of words, some of which stand for who, what and where."""

from collections.abc import Iterable
from collections.abc import Sequence
from itertools import product
from typing import Protocol

from audit.query import Condition
from audit.query import Field
from audit.query import Query
from audit.query import is_beginning
from audit.query import is_letters
from audit.query import split_words

MARK = "§"
"""What a word begins with that stands for something; it is in no word of an event."""
EVERY = f"{MARK}e"
"""The word of every event."""
MOST_TOGETHER = 64
"""So many combinations of who, what and where are asked for by name; more of them by their parts."""
MOST_OTHERS = 200
"""Where there are no more values than these, `-kind:a` asks for all others: what is excluded may be nearly everything."""
MOST_BEGINNINGS = 100

_LETTER: dict[Field, str] = {"actor": "a", "kind": "k", "target": "t", "project": "t"}


class Known(Protocol):
    """What the side file knows of values and words."""

    def codes(self, field: str, value: str) -> list[int]: ...

    def others(self, field: str, most: int) -> dict[int, str] | None:
        """Every number of a field with its value, None where there are more than `most`."""

    def beginning_with(self, word: str, most: int) -> list[str] | None:
        """The words of letters that begin so, None where there are more than `most`."""


def expression_of(query: Query, known: Known) -> str | None:
    """What to look for, None where nothing can be found. It finds all that is asked for, and seldom anything else."""
    allowed: dict[str, set[int]] = {}
    must: list[str] = []
    never: list[str] = []
    for one in _conditions(query):
        if one.field in _LETTER:
            letter, codes = _LETTER[one.field], _codes(one, known)
            if one.is_not and (others := known.others(letter, MOST_OTHERS)) is None:
                never += [_word(f"{letter}{code}") for code in codes]
                continue
            codes = others.keys() - codes if one.is_not and others is not None else codes
            allowed[letter] = allowed[letter] & codes if letter in allowed else set(codes)
        elif one.is_not:
            never += _excluded(one, known)
        else:
            must.append(_any(_wanted(one, known)))
    must += _facets([[f"{letter}{code}" for code in sorted(allowed[letter])] for letter in "akt" if letter in allowed])
    if not all(must):
        return None
    found = " AND ".join(must) or f'"{EVERY}"'
    return f"({found}) NOT {_any(never)}" if never else found


def request_word(request: str) -> str:
    """The word, without its mark, of a request's events."""
    return f"r{request.encode().hex()}"


def _conditions(query: Query) -> list[Condition]:
    own: dict[Field, str | None] = {
        "actor": query.actor,
        "project": query.project,
        "target": query.environment,
        "request": query.request,
        "stream": query.stream,
    }
    named = [Condition(field, (value,)) for field, value in own.items() if value is not None]
    return [*named, *([Condition("kind", query.kinds)] if query.kinds else []), *query.conditions]


def _codes(condition: Condition, known: Known) -> set[int]:
    if condition.field in {"target", "project"}:
        targets = known.others("t", 1_000_000) or {}
        part = 0 if condition.field == "project" else 2
        return {
            code
            for code, name in targets.items()
            if name.partition("/")[part] in condition.values or (part and name in condition.values)
        } - set(known.codes("t", ""))
    fields = ("a", "user") if condition.field == "actor" else (_LETTER[condition.field],)
    return {code for field in fields for value in condition.values for code in known.codes(field, value)}


def _facets(sets: Sequence[Sequence[str]]) -> list[str]:
    """Who, what and where: every combination is a word of its own while there are few; so are their parts."""
    together = 1
    for one in sets:
        together *= len(one)
    if together <= MOST_TOGETHER:
        return [_any(_word("".join(parts)) for parts in product(*sets))] if sets else []
    return [_any(map(_word, one)) for one in sets]


def _wanted(condition: Condition, known: Known) -> list[str]:
    """What one of has to be there."""
    match condition.field:
        case "request":
            return [_word(request_word(value)) for value in condition.values]
        case "stream":
            own = [value.removeprefix("request:") for value in condition.values if value.startswith("request:")]
            return [*_streams(condition, known), *(_word(request_word(request)) for request in own)]
        case "digest":
            return [f'"{value}" *' for value in condition.values]
        case _:
            words = [_any(_beginning(word, known)) for word in split_words(condition.values[0])]
            return [f"({' AND '.join(words)})"] if words else []


def _excluded(condition: Condition, known: Known) -> list[str]:
    """What must not be there; only what says it exactly, for what is left out here nobody judges any more."""
    match condition.field:
        case "request":
            return _wanted(condition, known)
        case "stream":
            return _streams(condition, known)
        case "text":
            words = split_words(condition.values[0])
            is_exact = all(
                not (is_beginning(word) and is_letters(word)) or known.beginning_with(word, MOST_BEGINNINGS) is not None
                for word in words
            )
            return _wanted(condition, known) if is_exact else []
        case _:
            return []


def _streams(condition: Condition, known: Known) -> list[str]:
    return [_word(f"s{code}") for value in condition.values for code in known.codes("s", value)]


def _beginning(word: str, known: Known) -> list[str]:
    """A word, and those that begin with it. To list them is quicker than to have them merged, while they are few."""
    if not is_beginning(word):
        return [f'"{word}"']
    found = known.beginning_with(word, MOST_BEGINNINGS) if is_letters(word) else None
    return [f'"{word}" *'] if found is None else [f'"{one}"' for one in {word, *found}]


def _word(word: str) -> str:
    return f'"{MARK}{word}"'


def _any(words: Iterable[str]) -> str:
    """One of these; empty where there is none."""
    found = " OR ".join(words)
    return f"({found})" if found else ""

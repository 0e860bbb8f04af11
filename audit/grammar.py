"""What somebody types to find events: `actor:@ana env:prod kind:approved text:"orders"`. One grammar everywhere.

    query = term …         term = [-] key:value[,value…] | word | "several words"

A word by itself is looked for in the text. A `-` turns a term round. All terms must hold; of the values of one term, one.
Pure: names of people and environments stay as they are typed, for whoever knows them to look up.
"""

import difflib
import re
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from datetime import timedelta

from audit.errors import AuditError

LONGEST = 1000
MOST_TERMS = 20
MOST_VALUES = 50

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "succeeded": ("succeeded",),
    "failed": ("failed", "partially_applied", "interrupted"),
    "refused": ("refused",),
    "rejected": ("rejected", "cancelled", "expired", "superseded"),
}
"""How something ended, and the kinds of events that say so."""

KEYS: Mapping[str, str] = {
    "actor": "who did it: @name, U0ANA, os:host/login, system:part",
    "env": "prod or shop/prod",
    "project": "shop",
    "kind": "approved, refused… (`help audit` names the page of all kinds)",
    "outcome": "succeeded, failed, refused or rejected",
    "request": "R-7",
    "digest": "the plan's digest, or how it begins",
    "stream": "request:R-7, target:shop/prod, people, bot or all",
    "event": "its number, or 100..200",
    "since": "a day, month or moment, inclusive; or 7d for the last seven days",
    "until": "the same, exclusive",
    "during": "2026-11-22, 2026-11, 2026-Q4 or 2026: from its start to its end",
    "text": "what the event says, in any case of letters",
}
"""Every key, with what it takes."""

_TERM = re.compile(r'\s*(?P<not>-)?(?:(?P<key>[A-Za-z]+):)?(?P<value>"[^"]*"|[^\s"]+|(?<=:))(?=\s|$)', re.DOTALL)
_SPAN = re.compile(r"([1-9][0-9]{0,3})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_YEAR, _QUARTER, _MONTH = (re.compile(one) for one in ("[0-9]{4}", "([0-9]{4})-?[Qq]([1-4])", "([0-9]{4})-([0-9]{2})"))
_DIGEST = re.compile("[0-9a-f]{4,64}")
_NUMBERS = re.compile(r"([1-9][0-9]{0,17})(?:\.\.([1-9][0-9]{0,17}))?")
_TYPOGRAPHIC = str.maketrans("“”„«»‘’", '"""""\'\'')
"""What a telephone makes of quotes."""


class BadQuery(AuditError):
    """What was typed is no query; the message says which part, the hint what would be one."""


@dataclass(frozen=True)
class Term:
    """One condition: any of these values, or with `is_not` none of them."""

    key: str
    values: tuple[str, ...]
    is_not: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.is_not else ''}{self.key}:{','.join(map(_quoted, self.values))}"


@dataclass(frozen=True)
class Asked:
    """A query as it was typed: its terms, and the time that they leave. `text()` is the same query, written one way."""

    terms: tuple[Term, ...]
    since: datetime | None = None
    until: datetime | None = None
    first: int | None = None
    last: int | None = None

    def text(self) -> str:
        return " ".join(map(str, self.terms))

    def values(self, key: str, *, is_not: bool = False) -> list[tuple[str, ...]]:
        """The values of each term with this key."""
        return [term.values for term in self.terms if (term.key, term.is_not) == (key, is_not)]


def parse(text: str, now: datetime, kinds: Sequence[str]) -> Asked:
    """What was typed, checked. `now` is aware; `kinds` are those that there are. Raises BadQuery."""
    if len(text) > LONGEST:
        raise BadQuery(f"A question of {len(text)} characters is too long; {LONGEST} is the most.")
    terms: list[Term] = []
    place, text = 0, text.translate(_TYPOGRAPHIC).rstrip()
    while place < len(text):
        match = _TERM.match(text, place)
        if match is None:
            rest = text[place:].strip()
            why = "A quote is not closed" if rest.count('"') % 2 else "This cannot be read"
            raise BadQuery(f"{why}: {rest[:60]}", 'Several words go in quotes: text:"add orders".')
        terms.append(_term(match, kinds))
        place = match.end()
    if len(terms) > MOST_TERMS:
        raise BadQuery(f"{len(terms)} conditions are too many; {MOST_TERMS} are the most.")
    return _within(tuple(terms), now)


def _term(match: re.Match[str], kinds: Sequence[str]) -> Term:
    key, value = (match["key"] or "").lower(), match["value"]
    is_quoted = value.startswith('"')
    if not key:
        return Term("text", (value.strip('"'),), bool(match["not"]))
    if key not in KEYS:
        if not is_quoted and f"{key}:" in {"slack:", "os:", "system:", "ci:", "http:", "https:"}:
            return Term("text", (f"{key}:{value}",), bool(match["not"]))
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"Did you mean {near[0]}:?" if near else f"These are: {', '.join(KEYS)}."
        raise BadQuery(f"{key}: is nothing that can be asked for.", hint)
    values = (value.strip('"'),) if is_quoted or key == "text" else tuple(value.split(","))
    if not all(values):
        raise BadQuery(f"{key}: says nothing.", f"It takes {KEYS[key]}.")
    if len(values) > MOST_VALUES:
        raise BadQuery(f"{key}: has {len(values)} values; {MOST_VALUES} are the most.")
    term = Term(key, values, bool(match["not"]))
    _check(term, kinds)
    return term


def _check(term: Term, kinds: Sequence[str]) -> None:
    known: Mapping[str, Sequence[str]] = {"kind": kinds, "outcome": list(OUTCOMES)}
    forms = {"digest": _DIGEST, "event": _NUMBERS}
    for value in term.values:
        if term.key in known and value not in known[term.key]:
            near = difflib.get_close_matches(value, known[term.key], n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It takes {KEYS[term.key]}."
            raise BadQuery(f"There is no {term.key} {value!r}.", hint)
        if term.key in forms and not forms[term.key].fullmatch(value):
            raise BadQuery(f"{value!r} is no {term.key}.", f"It takes {KEYS[term.key]}.")
    if term.key in {"since", "until", "during", "event", "digest"} and (term.is_not or len(term.values) > 1):
        raise BadQuery(f"{term.key}: takes one value, and no `-` before it.", f"It takes {KEYS[term.key]}.")


def _within(terms: tuple[Term, ...], now: datetime) -> Asked:
    since: list[datetime] = []
    until: list[datetime] = []
    first: list[int] = []
    last: list[int] = []
    for term in terms:
        value = term.values[0]
        match term.key:
            case "since":
                since.append(_moment(value, now)[0])
            case "until":
                until.append(_moment(value, now)[0])
            case "during":
                start, end = _moment(value, now)
                since.append(start)
                until.append(end)
            case "event":
                numbers = _NUMBERS.fullmatch(value)
                if numbers is not None:
                    first.append(int(numbers[1]))
                    last.append(int(numbers[2] or numbers[1]))
    found = Asked(
        terms,
        since=max(since, default=None),
        until=min(until, default=None),
        first=max(first, default=None),
        last=min(last, default=None),
    )
    if found.since is not None and found.until is not None and found.since >= found.until:
        raise BadQuery("No time is left between since and until.", "since: must be before until:.")
    return found


def _moment(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Where a year, quarter, month, day or moment starts, and where it ends; a span counts back from now. UTC."""
    if span := _SPAN.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])}), now
        except OverflowError as error:
            raise _no_time(text) from error
    try:
        if _YEAR.fullmatch(text):
            return _months(int(text), 1, 12)
        if quarter := _QUARTER.fullmatch(text):
            return _months(int(quarter[1]), 3 * int(quarter[2]) - 2, 3)
        if month := _MONTH.fullmatch(text):
            return _months(int(month[1]), int(month[2]), 1)
        found = datetime.fromisoformat(text)
        at = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return at, at + (timedelta(days=1) if len(text) <= len("2026-11-22") else timedelta(microseconds=1))
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error


def _months(year: int, month: int, count: int) -> tuple[datetime, datetime]:
    end = month - 1 + count
    return datetime(year, month, 1, tzinfo=UTC), datetime(year + end // 12, end % 12 + 1, 1, tzinfo=UTC)


def _no_time(text: str) -> BadQuery:
    return BadQuery(f"{text!r} is no time.", "Write 2026-11-22, 2026-11, 2026-Q4, 2026-11-22T13:52Z, or 7d.")


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"[\s,]", value) else value

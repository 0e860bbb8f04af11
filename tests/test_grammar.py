"""What can be asked of the log: every key, what people mistype, and that nothing that comes in breaks it."""

import string
from contextlib import suppress
from datetime import UTC
from datetime import datetime

import pytest

from audit import KINDS
from audit.grammar import KEYS
from audit.grammar import Asked
from audit.grammar import BadQuery
from audit.grammar import Term
from audit.grammar import parse

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def asked(text: str) -> Asked:
    return parse(text, NOW, sorted(KINDS))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("  orders ", (Term("text", ("orders",)),)),
        ('"add orders"', (Term("text", ("add orders",)),)),
        ("actor:@ana", (Term("actor", ("@ana",)),)),
        ("-actor:@ana,@ben", (Term("actor", ("@ana", "@ben"), True),)),
        ("ENV:prod kind:approved,rejected", (Term("env", ("prod",)), Term("kind", ("approved", "rejected")))),
        ("outcome:failed request:R-7", (Term("outcome", ("failed",)), Term("request", ("R-7",)))),
        ('text:"a, b"', (Term("text", ("a, b",)),)),
        ("text:a,b", (Term("text", ("a,b",)),)),
        ("text:“add orders”", (Term("text", ("add orders",)),)),
        ("actor:os:host/ana", (Term("actor", ("os:host/ana",)),)),
        ("slack:T0/U0", (Term("text", ("slack:T0/U0",)),)),
        ("digest:80de6fdf", (Term("digest", ("80de6fdf",)),)),
        ("don't", (Term("text", ("don't",)),)),
    ],
)
def test_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert asked(text).terms == terms
    assert asked(asked(text).text()).terms == terms


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("since:2026-10", "2026-10-01", None),
        ("until:2026-10", None, "2026-10-01"),
        ("during:2026-10", "2026-10-01", "2026-11-01"),
        ("during:2026-12", "2026-12-01", "2027-01-01"),
        ("during:2026-Q4", "2026-10-01", "2027-01-01"),
        ("during:2026", "2026-01-01", "2027-01-01"),
        ("during:2026-11-22", "2026-11-22", "2026-11-23"),
        ("since:2026-11-22T13:00:00+01:00", "2026-11-22T12:00:00", None),
        ("since:7d", "2026-11-15T12:30:00", None),
        ("since:90m", "2026-11-22T11:00:00", None),
        ("since:2026-10 since:2026-11", "2026-11-01", None),
        ("during:2026-Q4 until:2026-11", "2026-10-01", "2026-11-01"),
    ],
)
def test_times(text: str, since: str | None, until: str | None) -> None:
    found = asked(text)
    assert found.since == (day(since) if since else None)
    assert found.until == (day(until) if until else None)


def test_numbers_of_events() -> None:
    assert (asked("event:7").first, asked("event:7").last) == (7, 7)
    assert (asked("event:100..200").first, asked("event:100..200").last) == (100, 200)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("kind:aproved", "There is no kind 'aproved'", "Did you mean approved?"),
        ("outcome:zzz", "There is no outcome 'zzz'", "succeeded, failed"),
        ("actr:@ana", "actr: is nothing that can be asked for", "Did you mean actor:?"),
        ("zzz:1", "zzz: is nothing", "These are: actor"),
        ("since:soon", "'soon' is no time", "2026-Q4"),
        ("since:2026-13", "'2026-13' is no time", "7d"),
        ("during:9999", "'9999' is no time", "7d"),
        ("actor:", "actor: says nothing", "@name"),
        ("actor:@ana,", "actor: says nothing", "@name"),
        ('text:"open', "A quote is not closed", "quotes"),
        ("digest:xyz", "'xyz' is no digest", "begins"),
        ("event:0", "'0' is no event", "100..200"),
        ("-since:2026", "takes one value", "inclusive"),
        ("since:2026-11 until:2026-10", "No time is left", "before"),
        ("a " * 21, "21 conditions are too many", ""),
        ("x" * 1001, "1001 characters is too long", ""),
        ("actor:" + ",".join("abcdefghij" * 6), "60 values", ""),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadQuery) as refused:
        asked(text)
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_every_key_is_read() -> None:
    values = {
        "kind": "approved", "outcome": "failed", "digest": "abcd", "event": "3", "since": "2026", "until": "2027",
        "during": "2026",
    }  # fmt: skip
    for key in KEYS:
        assert asked(f"{key}:{values.get(key, 'x')}").terms[0].key == key


def test_no_text_breaks_it() -> None:
    """Only BadQuery comes out, for every two printable characters behind each other and a few odd ones."""
    odd = [*string.printable, "\0", "\u202e", "é", "\ud800", "“"]
    for one in odd:
        for two in odd:
            for text in (f"{one}{two}", f"text:{one}{two}", f'kind:"{one}{two}', f"-{one}:{two}"):
                with suppress(BadQuery):
                    assert asked(text).text() is not None

"""Who is told what directly: pure, event by event."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from test_policy import ANA
from test_policy import BEN
from test_policy import NOW
from test_policy import a_request
from test_policy import yes

from audit import Event
from audit.kinds import KINDS
from commands.page import plain_page
from commands.told import TOLD
from commands.told import About
from commands.told import letters_of
from ops.people import Actor
from ops.status import Status

CLOCK = Actor("system:clock")


def happened(kind: str, by: Actor, data: Mapping[str, Any], stream: str = "request:R-7") -> Event:
    facts: dict[str, Any] = {"at": NOW, "actor": by.id, "kind": kind, "data": data, "stream": stream, "request": "R-7"}
    return Event(**{**dict.fromkeys(Event.__dataclass_fields__), **facts})


YES = {"number": 1, "needed": 2}
CASES = [
    pytest.param("approved", BEN, YES, ("approved, 1 of 2", "U0BEN approved R-7", "1 approval more"), id="a first yes"),
    pytest.param(
        "approved", BEN, {"number": 2, "needed": 2}, ("approved, 2 of 2", "it starts as soon as"), id="the last"
    ),
    pytest.param("rejected", BEN, {"because": "no index"}, ("rejected", "U0BEN rejected R-7: no index"), id="a no"),
    pytest.param("cancelled", BEN, {"because": "taken back"}, ("cancelled", "U0BEN cancelled R-7."), id="taken back"),
    pytest.param("cancelled", CLOCK, {"because": "no policy"}, ("cancelled R-7: no policy",), id="cancelled, why"),
    pytest.param("expired", CLOCK, {}, ("expired", "with 0 of 1 approval. Nothing was run."), id="expired"),
    pytest.param(
        "superseded",
        CLOCK,
        {"message": "It changed.", "changed": ["the commit"], "by": None},
        ("no longer holds", "It changed."),
        id="changed",
    ),
    pytest.param("succeeded", CLOCK, {}, ("R-7 for shop/prod: done",), id="done"),
    pytest.param("failed", CLOCK, {"message": "It failed."}, ("R-7: It failed.",), id="failed"),
]


@pytest.mark.parametrize(("kind", "by", "data", "words"), CASES)
def test_the_requester_is_told_what_others_decided(
    kind: str, by: Actor, data: Mapping[str, Any], words: tuple[str, ...]
) -> None:
    [letter] = letters_of(happened(kind, by, data), About(a_request(), "U0ANA", by.user))
    assert letter.to == "U0ANA"
    read = plain_page(letter.page)
    assert [one for one in words if one not in read] == []


@pytest.mark.parametrize(
    ("event", "about"),
    [
        pytest.param(
            happened("cancelled", ANA, {"because": "x"}), About(a_request(), "U0ANA", "U0ANA"), id="their own act"
        ),
        pytest.param(happened("approved", BEN, YES), About(a_request(), None, "U0BEN"), id="nobody whom Slack knows"),
        pytest.param(
            happened("succeeded", CLOCK, {}),
            About(a_request(policy={"approvals": 0, "approvers": []}), "U0ANA", None),
            id="nobody was asked",
        ),
        pytest.param(
            happened("failed", CLOCK, {"message": "x"}, "target:shop/prod"),
            About(a_request(), "U0ANA", None),
            id="told once",
        ),
        pytest.param(happened("requested", ANA, {}), About(a_request(), "U0BEN", "U0ANA"), id="no news"),
    ],
)
def test_nobody_is_told_what_is_no_news_to_them(event: Event, about: About) -> None:
    assert letters_of(event, about) == []


def test_nothing_is_told_of_what_was_erased() -> None:
    for kind in TOLD:
        event = replace(happened(kind, BEN, {}), data=None)
        assert letters_of(event, About(a_request(), "U0ANA", "U0BEN")) == []


DUE = (NOW + timedelta(days=3)).isoformat()
EMERGENCIES = [
    pytest.param(
        "overridden",
        {"to": ["U0BEN"], "review_within": 259_200.0},
        "U0BEN",
        ("R-7 on shop/prod runs without approvals", "must look at what it does within 3 days of its start: "),
        id="others, at once",
    ),
    pytest.param(
        "debt_owed",
        {"by": ANA.id, "needed": 2, "due_at": DUE},
        "U0ANA",
        (
            "You owe a review of R-7 for shop/prod",
            "2026-11-26 12:00 UTC",
            "2 other people have to review it",
            "review R-7",
        ),
        id="who owes, though it is their own act",
    ),
]


@pytest.mark.parametrize(("kind", "data", "to", "words"), EMERGENCIES)
def test_an_emergency_is_told_with_what_it_owes_and_until_when(
    kind: str, data: Mapping[str, Any], to: str, words: tuple[str, ...]
) -> None:
    request = a_request()
    request = replace(request, plan={**request.plan, "emergency": {"because": "INC-42"}})
    [letter] = letters_of(happened(kind, ANA, data), About(request, "U0ANA", "U0ANA"))
    assert letter.to == to
    read = " ".join(plain_page(letter.page).split())
    assert [one for one in words if one not in read] == []


def test_a_review_names_what_was_reviewed() -> None:
    event = happened("reviewed", BEN, {"number": 1, "needed": 3, "cleared": False, "note": ""})
    [letter] = letters_of(event, About(a_request(), "U0ANA", "U0BEN"))
    assert letter.page.headline == "R-7 for shop/prod: reviewed, 1 of 3"


def test_a_reminder_goes_to_those_who_can_still_act() -> None:
    event = happened("reminded", CLOCK, {"share": "half", "to": ["U0BEN", "U0CHI"]})
    request = a_request(approvals=(yes(BEN),), policy={"approvals": 2})
    assert [one.to for one in letters_of(event, About(request, "U0ANA", None))] == ["U0CHI"]
    for status in (Status.REJECTED, Status.EXPIRED, Status.RUNNING):
        assert letters_of(event, About(a_request(status=status), "U0ANA", None)) == []


def test_every_kind_that_is_told_is_a_kind_of_event() -> None:
    assert TOLD.keys() - KINDS.keys() == set()

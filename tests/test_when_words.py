"""What people read of when a run may begin: on the card, when they ask and approve, in letters. Pure functions of values."""

from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest
from test_policy import ANA
from test_policy import BEN
from test_policy import POLICY
from test_policy import a_request
from test_policy import yes
from test_told_directly import happened
from test_when_gates import INSIDE
from test_when_gates import OF_ALL
from test_when_gates import OF_PROD
from test_when_gates import OUTSIDE
from test_when_gates import by_clock
from test_when_gates import frozen_until

from commands.approve import approved_reply
from commands.doctor import _windows
from commands.freeze import _until_when
from commands.next_parts import card_line
from commands.page import Line
from commands.page import Page
from commands.page import Who
from commands.page import plain_line
from commands.page import plain_page
from commands.page_words import hint_line
from commands.push import _because
from commands.request_page import request_page
from commands.told import About
from commands.told import letters_of
from commands.when_parts import moment_words
from commands.when_parts import waits_next
from commands.words import Front
from commands.words import Said
from commands.words import parse
from ops.approving import Decided
from ops.clearance import is_overrider
from ops.errors import OpsError
from ops.gates import Verdict
from ops.locking import Lock
from ops.people import Actor
from ops.policy import Directory
from ops.requests import Request
from ops.said import Override
from ops.settings import read_settings
from ops.status import Status
from ops.windows import longest_wait

TUESDAY = datetime(2026, 11, 24, 9, tzinfo=UTC)
"""When the window opens next."""

LATER = {"requested_at": OUTSIDE, "expires_at": TUESDAY + timedelta(hours=8)}
TOO_LATE = {"requested_at": OUTSIDE, "expires_at": TUESDAY}
APPROVED = (yes(BEN),)
SHOWN = {"shown": {"digest": a_request().digest, "how": "file"}, "eligible": ("U0BEN",)}
EXPIRES = "it expires 2026-11-24 09:00 UTC, before it may start 2026-11-24 09:00 UTC; ask again nearer to that."
STARTS = "it starts by itself 2026-11-24 09:00 UTC."


def asked(**facts: object) -> Request:
    policy = {**POLICY, "approvals": 1, "hotfix": ["U0ANA", "@leads"]}
    return a_request(plan={"policy": policy, "files": []}, **{**SHOWN, **LATER, **facts})


def said(request: Request, waits: Verdict, now: datetime = OUTSIDE) -> str:
    """The card, what the last approver is told, and what the requester reads of that."""
    card = request_page(request, now, waits=waits)
    answer = approved_reply(Decided(request, 0, None, waits), now).page
    event = happened("approved", BEN, {"number": 1, "needed": 1})
    [letter] = letters_of(event, About(request, "U0ANA", "U0BEN", waits))
    return "\n".join(map(plain_page, (card, answer, letter.page)))


def test_what_expires_before_it_may_start_says_so_to_everybody_and_promises_nothing() -> None:
    request = asked(**TOO_LATE, approvals=APPROVED)
    read = said(request, by_clock(request, OUTSIDE))
    assert read.count(EXPIRES) == 3
    assert "Window: closed; opens 2026-11-24 09:00 UTC, after it expires" in read
    assert "R-7 · shop/prod: approved, expires before it may start" in read
    assert "It has all it needs, but expires before it may start." in read
    assert "starts by itself" not in read


def test_what_expires_too_early_says_so_when_it_is_asked_for() -> None:
    request = asked(**TOO_LATE)
    waits = by_clock(request, OUTSIDE)
    assert f"Next: {EXPIRES} 1 approval by" in plain_page(request_page(request, OUTSIDE, waits=waits))
    assert plain_line(card_line(request, waits)).startswith(f"{EXPIRES} Its card is in the channel. It waits for")
    event = happened("approved", BEN, {"number": 1, "needed": 2})
    [letter] = letters_of(event, About(request, "U0ANA", "U0BEN", waits))
    assert f"1 approval more; {EXPIRES}" in plain_page(letter.page)
    endless = by_clock(request, OUTSIDE, None, OF_PROD)
    assert plain_line(card_line(request, endless)).startswith(EXPIRES)  # whoever ends the freeze, the window is shut


def test_what_starts_by_itself_says_when_by_all_that_holds_it() -> None:
    request = asked(approvals=APPROVED)
    assert said(request, by_clock(request, OUTSIDE)).count(STARTS) == 3
    past = by_clock(request, INSIDE, None, frozen_until(23, 20))
    assert said(request, past).count(STARTS) == 3  # the freeze ends at 20:00, and the window is closed by then
    lock = Lock(BEN, INSIDE, INSIDE + timedelta(hours=5), "")
    held = by_clock(request, INSIDE, lock)
    card = plain_page(request_page(request, INSIDE, lock=lock, waits=held))
    assert "approved, waits for a lock to end" in card
    assert STARTS in card


def test_the_requester_is_not_promised_a_start_that_something_holds_back() -> None:
    request = asked()

    def told(waits: Verdict) -> str:
        event = happened("approved", BEN, {"number": 1, "needed": 2})
        [letter] = letters_of(event, About(request, "U0ANA", "U0BEN", waits))
        return plain_page(letter.page)

    assert "it starts by itself then." in told(by_clock(request, INSIDE))
    assert "it starts 2026-11-24 09:00 UTC at the earliest." in told(by_clock(request, OUTSIDE))
    assert "then it waits: shop/prod is frozen by U0BEN" in told(by_clock(request, INSIDE, None, OF_PROD))


def hint(request: Request, waits: Verdict) -> str:
    return plain_line(waits_next(request, waits))


def test_hint_names_what_ends_the_wait() -> None:
    request = asked(approvals=APPROVED)
    passes = "countersign push shop/prod --hotfix <why> passes it, for U0ANA, @leads."
    assert "countersign unfreeze shop/prod" in hint(request, by_clock(request, INSIDE, None, OF_PROD))
    both = hint(request, by_clock(request, INSIDE, None, OF_ALL, OF_PROD))
    assert "countersign unfreeze all" in both
    assert "countersign unfreeze shop/prod" in both
    assert "hotfix" not in both  # it passes nothing that somebody froze
    in_december = datetime(2026, 12, 21, 12, tzinfo=UTC)
    late = replace(request, expires_at=in_december + timedelta(days=30))
    configured = hint(late, by_clock(late, in_december))
    assert "unfreeze" not in configured  # nobody can end that
    assert passes in configured
    assert passes in hint(request, by_clock(request, OUTSIDE))
    assert "hotfix" not in hint(request, by_clock(request, OUTSIDE, None, frozen_until(23, 22)))
    assert "hotfix" not in hint(replace(request, kind="rollback"), by_clock(request, OUTSIDE))


@pytest.mark.parametrize(
    ("days", "words"), [(1, "Tue 12:00 UTC"), (5, "Sat 12:00 UTC"), (7, "Mon 2026-11-30 12:00 UTC")]
)
def test_a_day_of_the_week_alone_names_only_what_is_near(days: int, words: str) -> None:
    assert moment_words(INSIDE + timedelta(days=days), INSIDE) == words


def overridden() -> Request:
    plan = {"policy": {**POLICY, "overriders": ["U0ANA"]}, "files": [], "emergency": {"because": "INC-42"}}
    given = Override(ANA, INSIDE, a_request().digest, "INC-42", {})
    return a_request(plan=plan, override=given, **SHOWN, **LATER)


def test_an_overridden_emergency_that_waits_asks_nobody_for_a_yes() -> None:
    request = overridden()
    waits = by_clock(request, INSIDE, None, OF_PROD)
    page = request_page(request, INSIDE, waits=waits)
    assert page.headline == "R-7 · shop/prod: approvals overridden, waits for a freeze to end"
    assert [one.verb for one in page.buttons] == ["reject", "cancel"]
    read = plain_page(page)
    assert "Next: it waits. an approver can end it with countersign unfreeze shop/prod." in read
    assert "waiting for approval" not in read
    free: Page = request_page(request, INSIDE)
    assert free.headline == "R-7 · shop/prod: approvals overridden, starts when it can"
    assert request.status_at(INSIDE) is Status.WAITING
    assert (request.waits_for_people, asked().waits_for_people, asked(approvals=APPROVED).waits_for_people) == (
        False,
        True,
        False,
    )


def people(line: Line) -> list[str]:
    return [one.actor.rpartition("/")[2] for one in line if isinstance(one, Who)]


def test_people_in_hints_are_people() -> None:
    nobody = Directory({}, {})
    decision = is_overrider(["U0ANA", "@leads", "os:host/ops"], Actor("slack:T0/U0DEE"), nobody, "shop/prod")
    assert people(hint_line(decision.hint)) == ["U0ANA"]
    assert plain_line(hint_line(decision.hint)) == "Its overriders may: U0ANA, @leads, os:host/ops."
    none = is_overrider([], Actor("slack:T0/U0DEE"), nobody, "shop/prod")
    assert "ask for approvals" in none.hint


FRIDAY = datetime(2026, 11, 27, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "until", "because"),
    [
        ("until Fri 17:00 the audit", FRIDAY, "the audit"),
        ("until Fri 17:00 Europe/London sale", FRIDAY, "sale"),
        ("until Fri 17:00 UTC london sale", FRIDAY, "london sale"),
        ("until we know more", None, "until we know more"),
        ("until this is over", None, "until this is over"),
    ],
)
def test_until_is_read_or_is_a_reason(words: str, until: datetime | None, because: str) -> None:
    assert _until_when(tuple(words.split()), INSIDE) == (until, because)


@pytest.mark.parametrize(
    "words",
    [
        "until Friday the audit",
        "until this Friday",
        "until yesterday",
        "until noon",
        "until tomorrow, the audit",
        "until 17 the audit",
        "until Fri 17:00 London sale",
        "until 17:00 PST",
        "until tomorrow 09:00 Europe/Lndon sale",
    ],
)
def test_a_moment_that_cannot_be_read_makes_no_endless_freeze(words: str) -> None:
    with pytest.raises(OpsError, match=r"moment|time zone"):
        _until_when(tuple(words.split()), INSIDE)


SHOP = """
[projects.shop]
repository = "repository"
[projects.shop.environments.prod]
database_url = "$A"
branch = "main"
approvals = 1
approvers = ["U0BEN"]
windows = ["Mon-Thu 09:00-16:00 Europe/London"]
"""


@pytest.mark.parametrize(("expires", "is_warned"), [('expires = "24h"', True), ("", True), ('expires = "96h"', False)])
def test_doctor_warns_where_a_request_expires_between_two_windows(expires: str, is_warned: bool) -> None:
    settings = read_settings(f"{SHOP}{expires}\n".encode(), Path("/nowhere/countersign.toml"))
    found = [check.found for check in _windows(settings)]
    assert bool(found) is is_warned
    assert all("up to 89 hours lie between two windows, and a request expires after 24 hours" in one for one in found)


@pytest.mark.parametrize(
    ("windows", "hours"),
    [
        ([], 0),
        (["daily 00:00-24:00 UTC"], 0),
        (["Mon-Thu 09:00-16:00 UTC"], 89),
        (["Mon-Thu 09:00-16:00 UTC", "Sat 09:00-10:00 UTC"], 47),
    ],
)
def test_longest_time_between_two_windows(windows: list[str], hours: int) -> None:
    assert longest_wait(windows, INSIDE) == timedelta(hours=hours)


def test_why_of_a_hotfix_is_all_that_follows_without_quotes() -> None:
    for option in ("hotfix", "emergency"):
        parsed = parse(["push", "prod", f"--{option}", "orders", "fail", "badly"], Front.TERMINAL)
        said = Said(parsed.word, parsed.arguments, parsed.options, Front.TERMINAL, ANA, "act-1")
        assert _because(said, option) == "orders fail badly"
        assert _because(said, "hotfix" if option == "emergency" else "emergency") == ""

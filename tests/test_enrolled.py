"""Who has a second factor and who lacks one: what people are told of it, and a code while its form is open."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest
from test_second_factor import BEN
from test_second_factor import Clock
from test_second_factor import enrolled
from test_second_factor import kinds
from test_second_factor import opened
from test_second_factor import refused
from test_second_factor import request
from test_second_factor import wrong_for

from audit import Log
from commands.approve import _how_to_say_yes
from commands.page import plain_line
from commands.page import plain_page
from commands.request_page import request_page
from commands.who import run as who
from commands.words import Front
from commands.words import Said
from ops.enrolled import lacking
from ops.enrolled import waits_in_vain_for
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.second_factor import check_code
from ops.second_factor import prove


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    (tmp_path / "key.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    (tmp_path / "var").mkdir()
    Log.create(tmp_path / "var/audit.db")
    with opened(tmp_path, Clock()) as found:
        yield found


def asked_with_codes(number: str = "R-7", approvals: int = 1) -> Request:
    """A request that takes codes, and that Ben, Chi and Zoe may approve."""
    policy = {"approvals": approvals, "approvers": ["@owners"], "second_factor": True}
    who = ("U0BEN", "U0CHI", "U0ZOE", "os:host/root")
    asked = request(number)
    until = asked.requested_at + timedelta(days=1)
    plan = {"policy": policy, "files": []}
    return replace(asked, plan=plan, expires_at=until, eligible=who, may_fill={"approvers": who})


LACKING = [
    ("nobody has one", 1, set(), ("U0BEN", "U0CHI", "U0ZOE")),
    ("one is enough", 1, {"U0CHI"}, ()),
    ("one of two", 2, {"U0CHI"}, ("U0BEN", "U0ZOE")),
    ("two of two", 2, {"U0CHI", "U0ZOE", "U0DEE"}, ()),
    ("another one", 1, {"U0DEE"}, ("U0BEN", "U0CHI", "U0ZOE")),
]


@pytest.mark.parametrize(("needed", "have", "without"), [row[1:] for row in LACKING], ids=[row[0] for row in LACKING])
def test_where_too_few_have_one_it_is_said_who_lacks_it(needed: int, have: set[str], without: tuple[str, ...]) -> None:
    asked = asked_with_codes(approvals=needed)
    assert lacking(asked, have) == without
    read = " ".join(plain_page(request_page(asked, asked.requested_at, without_factor=without)).split())
    assert ("this waits in vain" in read) == bool(without)


def test_who_tells_who_has_no_second_factor_where_a_yes_takes_one(ops: Ops) -> None:
    enrolled(ops)
    reply = who(ops, Said("who", ("prod",), {}, BEN, Front.SLACK, "act"))
    assert (reply.data or {})["no_second_factor"] == ["U0CHI", "U0ZOE"]
    read = plain_page(reply.page)
    assert "Have no second factor, which a yes here takes" in read
    assert "May ask: every full member\n" in read
    assert "Override: nobody\n" in read
    assert waits_in_vain_for(ops.view, asked_with_codes()) == ()
    assert waits_in_vain_for(ops.view, asked_with_codes(approvals=2)) == ("U0CHI", "U0ZOE")


def test_a_code_that_is_told_to_be_right_while_the_form_is_open_is_not_used_up(ops: Ops) -> None:
    show = enrolled(ops)
    check_code(ops, BEN, "one", show(), "approve R-7", request())
    assert kinds(ops) == ["enrolled"]
    assert refused(lambda: check_code(ops, BEN, "two", wrong_for(show), "approve R-7", request())) is Reason.CODE_WRONG
    assert kinds(ops) == ["enrolled", "code_failed"], "one try"
    assert refused(lambda: prove(ops, BEN, "two", show(), "approve R-7", request())) is Reason.CODE_WRONG
    assert prove(ops, BEN, "one", show(), "approve R-7", request()).user == "U0BEN"
    check_code(ops, BEN, "one", show(), "approve R-7", request())  # the same act, delivered again
    assert refused(lambda: check_code(ops, BEN, "three", show(), "approve R-7", request())) is Reason.CODE_WRONG


@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("", "a form asks for a one-time code;"),
        ("prod", "a form asks for the environment's name, prod, and a one-time code;"),
    ],
    ids=["a code", "the name, too"],
)
def test_a_typed_approve_says_all_that_the_form_asks_for(name: str, asks: str) -> None:
    assert asks in plain_line(_how_to_say_yes(Front.SLACK, "approve R-7 0123456789abcdef", name, code=True))

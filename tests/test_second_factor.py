"""The second factor on a real log and real files: what is kept where, what counts once, and every doubt closing the door."""

import base64
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pyrage
import pytest
import segno

from audit import Log
from audit import Reader
from commands.enrol import qr_text
from ops.clearance import clearance
from ops.enrolling import enrol
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import utc_now
from ops.one_time_code import code_at
from ops.one_time_code import enrolment_url
from ops.one_time_code import step_at
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.policy import Directory
from ops.requests import Request
from ops.said import Approval
from ops.second_factor import check_enrolled
from ops.second_factor import prove
from ops.settings import read_settings

BEN, CHI, ZOE = (Actor(f"slack:T0ACME/{user}") for user in ("U0BEN", "U0CHI", "U0ZOE"))
ROOT, GUEST, DESK, STRAY = (Actor(f"os:host/{login}") for login in ("root", "guest", "desk", "stray"))
"""Root runs Countersign and is Zoe; desk, who is Dee, and stray, whom [people] does not know, may enrol, too."""

CONFIG = """
[slack]
channel = "C0DEPLOYS"
[second_factor]
key = "file:key.txt"
enrollers = ["os:host/desk", "os:host/stray"]
[people]
desk = "U0DEE"
root = "U0ZOE"
[projects.shop]
repository = "repository"
[projects.shop.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 1
approvers = ["@owners", "U0ZOE"]
second_factor = true
"""


class Everybody:
    """A directory in which everybody is a full member."""

    are_known = True

    def person(self, user: str) -> Person:
        return Person(user, user)

    def group(self, handle: str) -> Group:
        return Group("S0OWNERS", handle, frozenset({"U0BEN", "U0CHI"}))


class Clock:
    """A clock that stands still until a test moves it; a minute ahead of the log's own."""

    def __init__(self) -> None:
        self.at = utc_now() + timedelta(minutes=1)
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return self.at + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ops(tmp_path: Path, clock: Clock) -> Iterator[Ops]:
    prepare(tmp_path)
    with opened(tmp_path, clock) as found:
        yield found


def prepare(folder: Path) -> None:
    """A key and a log."""
    (folder / "key.txt").write_text(f"# made by a test\n{pyrage.x25519.Identity.generate()}\n")
    (folder / "var").mkdir()
    Log.create(folder / "var/audit.db")


@contextmanager
def opened(folder: Path, clock: Clock) -> Iterator[Ops]:
    settings = read_settings(CONFIG.encode(), folder / "countersign.toml")
    with Log.open(settings.log_path) as log:
        yield Ops(settings, log, people=Everybody(), now=clock, login=ROOT)


def request(number: str = "R-7") -> Request:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Request(number, "push", "shop", "prod", BEN, "d" * 64, "c" * 40, {}, (), (), (), at, at, 1)


def secret_of(url: str) -> bytes:
    text = parse_qs(urlsplit(url).query)["secret"][0]
    return base64.b32decode(text + "=" * (-len(text) % 8))


def enrolled(ops: Ops, act: str = "first") -> Callable[..., str]:
    """Ben has a second factor; what his app shows, so many steps from now."""
    secret = secret_of(enrol(ops, "U0BEN", ROOT, act).url)
    return lambda away=0: code_at(secret, step_at(ops.now()) + away)


def wrong_for(show: Callable[..., str]) -> str:
    """A code that his app shows neither now nor just before or after."""
    near = {show(away) for away in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(100)) if code not in near)


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(OpsError) as caught:
        work()
    assert caught.value.exit_code == 3 or caught.value.reason is Reason.NOT_AT_THIS_FRONT
    return caught.value.reason


def kinds(ops: Ops) -> list[str]:
    return [event.kind for event in Reader(ops.settings.log_path).events(stream="factor:U0BEN")]


def test_a_secret_is_sealed_in_a_file_of_its_owner_and_nowhere_else(ops: Ops) -> None:
    secret = secret_of(enrol(ops, "U0BEN", ROOT, "first").url)

    folder = ops.settings.folder / "var/second-factor"
    [file] = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    for path in ops.settings.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for shape in (secret, secret.hex().encode(), base64.b32encode(secret)):
            assert shape not in content, path
    [event] = ops.view.events(stream="factor:U0BEN")
    assert event.data is not None
    assert (event.kind, event.actor, event.data["agreed_by"]) == ("enrolled", "os:host/root", None)


def test_each_code_works_once_and_none_before_it_also_after_a_restart(ops: Ops, clock: Clock) -> None:
    show = enrolled(ops)
    older, now = show(-1), show()
    proof = prove(ops, BEN, "a1", f"{now[:3]} {now[3:]}", "approve R-7", request())
    assert proof.step == step_at(ops.now())
    assert prove(ops, BEN, "a1", now, "approve R-7", request()) == proof  # the same act, delivered again
    assert refused(lambda: prove(ops, BEN, "a2", now, "approve R-8", request("R-8"))) is Reason.CODE_WRONG
    ops.log.close()
    with opened(ops.settings.folder, clock) as again:
        assert refused(lambda: prove(again, BEN, "a3", now, "approve R-8", request("R-8"))) is Reason.CODE_WRONG
        assert refused(lambda: prove(again, BEN, "a4", older, "approve R-8", request("R-8"))) is Reason.CODE_WRONG
        assert refused(lambda: prove(again, BEN, "a1", now, "approve R-8", request("R-8"))) is Reason.CODE_WRONG
        assert kinds(again) == ["enrolled", "code_used", *["code_failed"] * 3]
        assert prove(again, BEN, "a5", show(1), "approve R-8", request("R-8")).step == proof.step + 1


def test_after_five_wrong_codes_not_even_the_right_one_is_looked_at(ops: Ops, clock: Clock) -> None:
    show = enrolled(ops)
    for act in ("w1", "w2", "w3", "w4", "w5"):
        with pytest.raises(OpsError) as caught:
            prove(ops, BEN, act, wrong_for(show), "p", request())
        assert caught.value.reason is Reason.CODE_WRONG
    assert refused(lambda: prove(ops, BEN, "right", show(), "p", request())) is Reason.FACTOR_LOCKED
    assert refused(lambda: check_enrolled(ops, BEN)) is Reason.FACTOR_LOCKED
    assert kinds(ops)[1:] == ["code_failed"] * 5  # while it is locked nothing is tried, so nothing counts
    assert not any(show() in str(event.data) for event in ops.view.events(stream="factor:U0BEN"))

    clock.ahead = timedelta(minutes=15, seconds=1)
    assert prove(ops, BEN, "later", show(), "p", request()).user == "U0BEN"
    clock.ahead += timedelta(minutes=1)
    assert refused(lambda: prove(ops, BEN, "w6", wrong_for(show), "p", request())) is Reason.CODE_WRONG
    check_enrolled(ops, BEN)  # a right code began the count anew


def test_doubt_closes_the_door(ops: Ops, clock: Clock) -> None:
    """No secret, no code, no proof of who it is, a clock that went back, a file that is gone, changed or for another key."""

    attempts = iter(range(100))

    def fails(code: str | None, actor: Actor = BEN, of: Ops = ops) -> Reason:
        return refused(lambda: prove(of, actor, f"d{next(attempts)}", code, "p", request()))

    assert fails("000000") is Reason.NOT_ENROLLED
    show = enrolled(ops)
    assert fails(None) is fails("  ") is fails(show(), actor=ROOT) is Reason.CODE_NEEDED
    assert fails(show(), actor=CHI) is Reason.NOT_ENROLLED  # somebody else's code proves nothing

    clock.ahead = -timedelta(minutes=5)
    assert fails(show()) is Reason.FACTOR_UNAVAILABLE
    clock.ahead = timedelta()

    keyless = replace(ops, settings=ops.settings.model_copy(update={"second_factor": None}))
    assert fails(show(), of=keyless) is Reason.FACTOR_UNAVAILABLE
    key = ops.settings.folder / "key.txt"
    kept = key.read_text()
    for text in ("", "no key", str(pyrage.x25519.Identity.generate())):
        key.write_text(text)
        assert fails(show()) is Reason.FACTOR_UNAVAILABLE
    key.write_text(kept)

    [file] = (ops.settings.folder / "var/second-factor").iterdir()
    sealed = file.read_bytes()
    recipient = pyrage.x25519.Identity.from_str(kept.splitlines()[1]).to_public()
    forged = pyrage.encrypt(b'{"user": "U0BEN", "secret": "00"}', [recipient])
    for content in (b"", sealed[:-1], forged):  # the last opens, but is not the one that the log knows
        file.write_bytes(content)
        assert fails(show()) is Reason.FACTOR_UNAVAILABLE
    file.unlink()
    assert fails(show()) is Reason.FACTOR_UNAVAILABLE
    assert kinds(ops) == ["enrolled"]  # nothing of this was a try

    file.write_bytes(sealed)
    assert prove(ops, BEN, "well", show(), "p", request()).user == "U0BEN"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("approvals = 0\nsecond_factor = true", "nobody approves here"),
        ("approvals = 0\nhazards = { access = { second_factor = true } }", "nobody approves this class"),
        ('approvals = 1\napprovers = ["U0BEN"]\nsecond_factor = true', "no key for their secrets is named"),
        (
            'approvals = 1\napprovers = ["U0BEN"]\nhazards = { access = { second_factor = true } }',
            "add [second_factor]",
        ),
    ],
)
def test_a_policy_that_nobody_could_keep_does_not_load(lines: str, words: str) -> None:
    config = CONFIG[CONFIG.index("[people]") : CONFIG.index("approvals = 1")] + lines
    with pytest.raises(OpsError) as caught:
        read_settings(config.encode(), Path("countersign.toml"))
    assert words in caught.value.message


def test_the_code_that_apps_scan_is_drawn_square_by_square() -> None:
    url = enrolment_url(b"12345678901234567890", "U0BEN")
    letters = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    drawn: list[tuple[int, ...]] = []
    for line in qr_text(url).splitlines():
        drawn += zip(*(letters[letter] for letter in line), strict=True)

    squares = [tuple(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    assert drawn[: len(squares)] == squares
    assert not any(any(row) for row in drawn[len(squares) :])
    assert len(drawn[0]) < 60  # it fits beside a shell's prompt


@pytest.mark.parametrize(
    ("policy", "hazard", "proved", "counts"),
    [
        ({"second_factor": True}, "index", True, True),
        ({"second_factor": True}, "index", False, False),
        ({}, "index", False, True),
        ({"hazards": {"access": {"approvals": 0, "approvers": [], "second_factor": True}}}, "access", False, False),
        ({"hazards": {"access": {"approvals": 0, "approvers": [], "second_factor": True}}}, "access", True, True),
        ({"hazards": {"access": {"approvals": 0, "approvers": [], "second_factor": True}}}, "index", False, True),
    ],
    ids=["with", "without", "not asked for", "class without", "class with", "other class"],
)
def test_an_approval_without_a_code_counts_only_where_none_is_asked_for(
    policy: dict[str, Any], hazard: str, proved: bool, counts: bool
) -> None:
    plan = {"policy": {"approvals": 1, "approvers": ["U0CHI"], "unknown_authors": "show", **policy}, "files": []}
    given = Approval(CHI, utc_now(), "d" * 64, "U0CHI", proved=proved)
    asked = replace(request(), plan=plan, hazards=({"class": hazard, "level": "danger"},), approvals=(given,))
    found = clearance(asked, Directory({"U0CHI": Person("U0CHI", "Chi")}, {}), "U0BEN")
    assert found.cleared is counts
    assert (found.void == {CHI.id: "it was given without a one-time code"}) is not counts

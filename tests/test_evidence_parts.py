"""The parts of evidence by themselves: what they make of hostile words, who may have it, when the log is signed for it."""

from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest
from audit_support import commanded
from evidence_support import HOSTILE
from evidence_support import is_harmless

from audit import Log
from audit import make_key
from commands.evidencing.chapters import flat
from commands.evidencing.html import report_html
from commands.evidencing.pdf import report_pdf
from commands.page import Code
from commands.page import Listing
from commands.page import Page
from commands.page import Source
from commands.page import Table
from ops.auditors import may_audit
from ops.checkpoints import FOR_EVIDENCE
from ops.checkpoints import Notary
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.policy import Directory
from ops.settings import load_settings

SIGNED = """
[audit]
key = "audit.key"
[projects.shop]
repository = "."
[projects.shop.environments.prod]
database_url = "$SHOP_DATABASE_URL"
branch = "main"
approvals = 0
"""
MOMENT = datetime(2026, 11, 23, tzinfo=UTC)


def test_hostile_words_in_every_part_of_a_page_break_neither_html_nor_pdf() -> None:
    page = Page(
        HOSTILE,
        facts=[(HOSTILE, (Code(HOSTILE),))],
        body=[
            Listing(HOSTILE, [(HOSTILE,)], [HOSTILE]),
            Source(HOSTILE, f"{HOSTILE}\n" * 3 + "x" * 4000),
            Table(HOSTILE, [HOSTILE, "b"], [[(HOSTILE,), ("y" * 4000,)]] * 3),
        ],
    )
    assert is_harmless(report_html(HOSTILE, [page]))
    made = report_pdf(HOSTILE, [page], MOMENT)
    assert made == report_pdf(HOSTILE, [page], MOMENT)
    assert b"/JavaScript" not in made
    assert b"/URI" not in made


def test_a_checkpoint_for_evidence_does_not_put_off_the_one_that_goes_elsewhere(tmp_path: Path) -> None:
    """Or whoever asks for evidence every hour would keep the log from ever being signed where it cannot be rewritten."""
    (tmp_path / "countersign.toml").write_text(SIGNED)
    settings = load_settings(tmp_path / "countersign.toml")
    make_key(tmp_path / "audit.key", "acme")
    Log.create(settings.log_path)
    clock = [MOMENT]
    with Log.open(settings.log_path, clock=lambda: clock[0]) as log:
        notary = Notary(Ops(settings, log, now=lambda: clock[0]))
        log.append([commanded("status")])
        notary.make("run")
        for minutes, due in ((0, ""), (50, ""), (61, "interval"), (90, "interval")):
            clock[0] = MOMENT + timedelta(minutes=minutes)
            log.append([commanded("status")])
            notary.make(FOR_EVIDENCE)
            assert notary.due() == due, minutes


READERS = ("@audit", "U0DEE")
IN_GROUP = {"@audit": Group("S1", "@audit", frozenset({"U0BEN"}))}


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        ("os:host/ann", None),
        ("slack:T0ACME/U0DEE", None),
        ("slack:T0ACME/U0BEN", None),
        ("slack:T0ACME/U0ANA", Reason.NOT_AN_AUDITOR),
        ("slack:T0ACME/U0GUS", Reason.NOT_A_MEMBER),
        ("slack:T0ACME/U0NEW", Reason.NOT_A_MEMBER),
        ("ci:github/1/2", Reason.IDENTITY_UNPROVEN),
    ],
)
def test_who_may_read_the_log(actor: str, reason: Reason | None) -> None:
    names = ("U0DEE", "U0BEN", "U0ANA")
    people = {one: Person(one, one) for one in names} | {"U0GUS": Person("U0GUS", "Gus", "you are a guest")}

    assert may_audit(READERS, Actor(actor), Directory(people, IN_GROUP)).reason is reason


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ({"a": {"b": 1}}, [("a.b", "1")]),
        ({"a": [1, 2], "b": [], "c": None, "d": ""}, [("a", "1, 2")]),
        ({"a": [{"b": True}, {"b": False}]}, [("a.1.b", "yes"), ("a.2.b", "no")]),
    ],
)
def test_json_becomes_lines(found: object, lines: list[tuple[str, str]]) -> None:
    assert flat(found) == lines

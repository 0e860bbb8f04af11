"""The small words of cards: sizes, plurals, whose words an error has, the safe way of a danger, how many said yes."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from test_largest_plans import AT
from test_rehearsal_cards import DROPS
from test_rehearsal_cards import ERROR
from test_rehearsal_cards import OPENS
from test_rehearsal_cards import asked
from test_rehearsal_cards import failed
from test_rehearsal_cards import file
from test_rehearsal_cards import question
from test_rehearsal_cards import rehearsed
from test_rehearsal_cards import statement
from test_rehearsal_cards import text_of_parts
from test_rehearsal_cards import with_rules

from audit import Event
from bot.thread_notes import note_of
from commands.changes_parts import changes_parts
from commands.page import plain_page
from commands.rehearsal_parts import rehearsal_parts
from commands.request_page import request_page
from ops.amounts import bytes_text
from ops.hazards.safe_ways import SAFE_WAYS
from ops.hazards.table import safe_ways_module
from ops.people import Actor
from ops.rehearsal.report import ChangedObject
from ops.rehearsal.report import Outcome
from ops.said import Approval

ROOT = Path(__file__).parent.parent


def test_sizes_are_told_as_psql_tells_them() -> None:
    told = {0: "0 bytes", 1536: "1.5 kB", 27 * 2**20: "27 MB", 5 * 2**30: "5.0 GB", 3 * 2**40: "3.0 TB"}
    assert [bytes_text(count) for count in told] == list(told.values())


def test_one_of_anything_is_no_plural() -> None:
    many = [ChangedObject("changed", "table", "public", f"t{number}", "adds a column") for number in range(9)]
    assert text_of_parts(changes_parts(many, 8)).splitlines()[-1] == "  - [more] 1 object"
    said = text_of_parts(rehearsal_parts(rehearsed(file(statement(more=1)))))
    assert "  - [more] 1 lesser finding, too many to be kept" in said
    wrong = file(outcome="failed", catalog_sha256=None, error=ERROR)
    said = text_of_parts(rehearsal_parts(rehearsed(wrong, outcome=Outcome.FAILED)))
    assert "Nothing ran before it." in said


def test_our_own_words_about_an_error_are_not_the_databases() -> None:
    ours = {"hint": "", "about_copy": "Only the outside of pg_net was there.", "to_mend": "Have it offered."}
    wrong = file(outcome="failed", catalog_sha256=None, error={**ERROR, **ours})
    said = text_of_parts(rehearsal_parts(rehearsed(wrong, outcome=Outcome.FAILED)))
    assert "Hint of the database" not in said
    assert "About the copy: Only the outside of pg_net was there." in said
    assert "To mend it: Have it offered." in said


def test_a_card_of_a_plan_that_failed_on_a_copy_begins_with_that() -> None:
    found = replace(asked(failed()), hazards=(DROPS,))
    page = request_page(found, AT)
    assert page.headline.endswith("waiting for approval, failed on a copy")
    said = plain_page(page)
    assert said.index("The rehearsal failed at") < said.index("drop-column at")
    assert "It failed on a copy." in question(found)


def test_the_safe_ways_of_cards_are_those_of_the_rules() -> None:
    """To renew it: python -c "from ops.hazards.table import safe_ways_module as m; print(m(), end='')" > …/safe_ways.py"""
    assert safe_ways_module() == (ROOT / "ops" / "hazards" / "safe_ways.py").read_text(encoding="utf-8")


def test_a_danger_stands_with_its_safe_way_once() -> None:
    dangers = [{**DROPS, "line": number} for number in range(1, 3)]
    text = {**DROPS, "rule": "drop-table", "message": "Drops public.orders."}
    said = plain_page(request_page(replace(asked(None), hazards=(*dangers, text, OPENS)), AT)).splitlines()
    at = next(number for number, line in enumerate(said) if "drop-column at 20260101000000:1" in line)
    assert said[at + 1] == f"  - [safe way] {SAFE_WAYS['drop-column']}"
    assert "\n".join(said).count("[safe way]") == 2
    many = [{**DROPS, "rule": rule} for rule in SAFE_WAYS]
    assert plain_page(request_page(replace(asked(None), hazards=tuple(many)), AT)).count("[safe way]") == 3


def test_card_and_thread_count_the_same_approvals() -> None:
    """Where a class still lacks its people, those who said yes are not all that it takes."""
    found = with_rules({"access": {"approvals": 0, "approvers": ["@security"]}})
    yes, also = (
        Approval(Actor(f"slack:T0ACME/{who}"), AT + timedelta(minutes=at), found.digest, who, covers=covers)
        for at, (who, covers) in enumerate((("U0BEN", ()), ("U0DEE", ("access",))))
    )
    counted = []
    for approvals in ((yes,), (yes, also)):
        request_now = replace(found, approvals=approvals)
        facts = dict(request_page(request_now, AT).facts)
        event = approved_event(approvals[-1], len(approvals))
        note = note_of(event, request_now)
        assert note is not None
        counted.append((str(facts["Approvals"][0]), note.headline))
    assert counted == [
        ("1 of 2", "Approved, 1 of 2, access still missing"),
        ("2 of 2", "Approved, 2 of 2"),
    ]


def approved_event(approval: Approval, number: int) -> Event:
    data = {"number": number, "needed": number, "facts": {"accepts": ["access"]}}
    return Event(
        **{
            **dict.fromkeys(Event.__dataclass_fields__),
            "at": approval.at,
            "actor": approval.by.id,
            "kind": "approved",
            "data": data,
        }
    )

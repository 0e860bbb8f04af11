"""What people read of a rehearsal: on the plan's page, on the card, in `show`, and in what an approver is asked."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from test_largest_plans import AT
from test_largest_plans import NAMES
from test_largest_plans import check
from test_largest_plans import hazards
from test_largest_plans import request

from commands.changes_parts import changes_parts
from commands.page import Page
from commands.page import Part
from commands.page import plain_page
from commands.rehearsal_parts import CARD
from commands.rehearsal_parts import WHOLE
from commands.rehearsal_parts import rehearsal_parts
from commands.rehearsal_parts import rehearsal_point
from commands.request_page import request_page
from commands.request_page import whole_body
from ops.amounts import rows_text
from ops.people import Actor
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import ChangedObject
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from ops.requests import Request
from ops.said import Approval
from ops.status import Status

CARET = "6 | alter table public.orders\n7 |   drop column emial;\n  |               ^"
ERROR = {
    "sqlstate": "42703",
    "message": 'column "emial" of relation "orders" does not exist',
    "hint": 'Perhaps you meant "orders.email".',
    "detail": "",
    "context": "",
    "filename": "20260102000000_more.sql",
    "line": 7,
    "column": 15,
    "statement": "",
    "caret": CARET,
}


def statement(line: int = 1, seconds: float = 0.001, **facts: Any) -> StatementFacts:
    return StatementFacts(line - 1, line, seconds, **facts)


def file(*statements: StatementFacts, name: str = "20260101000000_orders.sql", **facts: Any) -> FileFacts:
    values: dict[str, Any] = {"outcome": "passed", "seconds": 0.2, "catalog_sha256": "ab" * 32, **facts}
    return FileFacts(version=name.partition("_")[0], filename=name, statements=statements, **values)


def rehearsed(*files: FileFacts, **facts: Any) -> Rehearsal:
    values: dict[str, Any] = {
        "outcome": Outcome.PASSED,
        "seconds": 3.0,
        "server": "PostgreSQL 18.4",
        "target_server": "PostgreSQL 18.4",
        "isolation": "full",
        "is_exact": True,
        "files": files or (file(),),
    }
    return Rehearsal(**{**values, **facts})


def failed() -> Rehearsal:
    """The second of three files fails."""
    wrong = file(name="20260102000000_more.sql", outcome="failed", catalog_sha256=None, error=ERROR)
    left = file(name="20260103000000_rest.sql", outcome="not_run", catalog_sha256=None)
    return rehearsed(file(), wrong, left, outcome=Outcome.FAILED, is_exact=False)


def text_of_parts(parts: Sequence[Part]) -> str:
    return plain_page(Page("", body=parts))


def asked(found: Rehearsal | None, **changes: Any) -> Request:
    """A request with a rehearsal, as the log keeps it."""
    kept = None if found is None else {**json.loads(json.dumps(found.to_json())), "event": "ab" * 16}
    return request(1, **{"hazards": (), "rehearsal": kept, **changes})


ONE = file(seconds=0.4)
POINTS = {
    "one file": (rehearsed(ONE), "Rehearsed on a copy: its one file ran, in 0.4 s"),
    "three files": (rehearsed(file(), file(), file()), "Rehearsed on a copy: all 3 files ran, in 0.6 s"),
    "with rows": (rehearsed(ONE, with_data=True), "Rehearsed on a copy with its rows: its one file ran, in 0.4 s"),
    "failed": (failed(), f"The rehearsal failed at 20260102000000_more.sql, line 7: {ERROR['message']}"),
    "no file at fault": (
        rehearsed(outcome=Outcome.FAILED, because="it took longer than 5 min"),
        "The rehearsal failed: it took longer than 5 min",
    ),
    "impossible": (
        Rehearsal(Outcome.IMPOSSIBLE, because="this machine has no PostgreSQL 18"),
        "Not rehearsed: this machine has no PostgreSQL 18",
    ),
}


@pytest.mark.parametrize(("found", "point"), POINTS.values(), ids=POINTS)
def test_the_first_line_says_the_point(found: Rehearsal, point: str) -> None:
    assert rehearsal_point(found) == point
    first = text_of_parts(rehearsal_parts(found)).strip().splitlines()[0]
    assert first.startswith(point)


def test_a_failure_is_shown_as_a_compiler_shows_it() -> None:
    said = text_of_parts(rehearsal_parts(failed()))
    assert "20260102000000_more.sql:7:15, SQLSTATE 42703:" in said
    assert "\n".join(f"  | {line}" for line in CARET.splitlines()) in said
    assert 'Hint of the database: Perhaps you meant "orders.email".' in said
    assert "1 of 3 files ran before it; 1 not tried." in said
    assert "the run stops" not in said  # nothing will run


def test_what_the_plan_did_is_told_with_the_size_there() -> None:
    found = rehearsed(
        file(
            statement(
                3,
                drops=(
                    Dropped("table column", "public.orders.note", cascaded=False, rows=120_000_000),
                    Dropped("view", "public.notes", cascaded=True),
                    Dropped("table", "public.gone", cascaded=True, bytes=0, rows=0),
                ),
                rewrites=(
                    Rewrite("public.orders", "table", 41 * 2**30, 120_400_000),
                    Rewrite("public.old", "truncated", None, None),
                ),
                locks=(
                    HeldLock("public.orders", "AccessExclusiveLock", 41 * 2**30, 120_400_000),
                    HeldLock("public.items", "ShareUpdateExclusiveLock"),
                ),
            ),
            statement(
                9, 3.1, rows=(TouchedRows("public.items", 12, 3, 0),), locks=(HeldLock("public.items", "ShareLock"),)
            ),
            statement(12, 0.4, rows=(TouchedRows("public.items", 1, 0, 0),)),
        ),
        access_mended=(
            AccessChange("no-rls", "danger", "public.t", "public.t has no row-level security: all read it.", "k"),
            AccessChange("no-policy", "info", "public.u", "public.u has row-level security and no policy.", "l"),
        ),
    )
    lines = text_of_parts(rehearsal_parts(found)).splitlines()
    place = "20260101000000_orders.sql, line"
    assert lines[3:12] == [
        "  - [drops] table column, about 120 million rows on the target: public.orders.note",
        "  - [drops too] view: public.notes",
        "  - [drops too] table, empty on the target: public.gone",
        "  - [empties] table, size not known: public.old",
        "  - [rewrites] table, 41 GB, about 120 million rows on the target: public.orders",
        f"  - [locks] AccessExclusiveLock from {place} 3 until the file ends: nobody can read or write public.orders "
        "(41 GB, about 120 million rows on the target)",
        f"  - [locks] ShareLock from {place} 9 until the file ends: nobody can write public.items",
        "  - [writes] rows, 13 inserted, 3 updated: public.items",
        "  - [mends] no longer: public.t has no row-level security: all read it",
    ]
    assert "public.u" not in "\n".join(lines)  # that nobody saw anything is no danger that ends
    assert f"  - [slow] 3.1 s for {place} 9" in lines
    assert f"{place} 12" not in "\n".join(lines)  # too quick to matter


def test_a_harmless_plan_says_so() -> None:
    said = text_of_parts(rehearsal_parts(rehearsed(file(statement(locks=(HeldLock("public.a", "RowExclusiveLock"),))))))
    assert "It drops nothing, rewrites nothing and keeps nobody waiting." in said


def test_a_lock_that_only_another_version_knows_counts_as_the_strongest() -> None:
    [lock, *_] = [HeldLock("public.a", "UtterlyExclusiveLock")]
    said = text_of_parts(rehearsal_parts(rehearsed(file(statement(locks=(lock,))))))
    assert "UtterlyExclusiveLock from" in said
    assert "nobody can read or write public.a" in said


def test_how_it_was_tried_names_server_isolation_stand_ins_and_whether_the_run_is_compared() -> None:
    same = text_of_parts(rehearsal_parts(rehearsed(stand_ins=("pg_net", "pg_cron"))))
    assert (
        "How it was tried: PostgreSQL 18.4, as on the target; without rows; isolation full; stand-ins for pg_net, "
        "pg_cron; the run stops where its schema becomes another than here."
    ) in same
    other = rehearsed(
        target_server="PostgreSQL 17.2", is_exact=False, inexact_because="the servers differ", with_data=True
    )
    assert (
        "PostgreSQL 18.4, while the target has PostgreSQL 17.2; with the rows of the target; isolation full; the run is "
        "not compared with it, since the servers differ."
    ) in text_of_parts(rehearsal_parts(other))


def test_the_card_names_three_things_that_could_not_be_seen_and_show_names_all() -> None:
    found = rehearsed(unseen=tuple(f"Thing {number} could not be seen." for number in range(5)))
    card, whole = (text_of_parts(rehearsal_parts(found, room)) for room in (CARD, WHOLE))
    assert card.count("could not be seen") == 3
    assert "and 2 more" in card
    assert whole.count("could not be seen") == 5


CHANGES = [
    *(ChangedObject("created", "index", "public", f"i{number}", "") for number in range(5)),
    ChangedObject("created", "table", "public", "orders", "4 columns"),
    ChangedObject("changed", "table", "public", "items", "adds column note text"),
    ChangedObject("changed", "table", "public", "users", "drops column email"),
    ChangedObject("dropped", "view", "public", "old", ""),
    ChangedObject("changed", "acl", "public", "table orders", "anon may select"),
    ChangedObject("created", "policy", "public", "read on orders", "for ALL to PUBLIC"),
]


def test_changes_are_grouped_the_worst_first() -> None:
    assert text_of_parts(changes_parts(CHANGES, 8)).splitlines()[2:] == [
        "Schema changes: 1 dropped, 3 changed, 7 created:",
        "  - [drops] view public.old",
        "  - [changes] table public.items (adds column note text)",
        "  - [changes] table public.users (drops column email)",
        "  - [creates] table public.orders (4 columns)",
        "  - [creates] policy read on public.orders (for ALL to PUBLIC)",
        "  - [creates] 5 × index public.i0, public.i1, public.i2 and 2 more",
        "  - [changes] privileges of table public.orders (anon may select)",
    ]


def test_of_many_changes_the_rest_is_counted() -> None:
    many = [ChangedObject("changed", "table", "public", f"t{number}", "adds a column") for number in range(20)]
    lines = text_of_parts(changes_parts(many, 8, ("`diff` has all",), left_out=3)).splitlines()
    assert len(lines) == 2 + 1 + 8 + 1
    assert lines[2] == "Schema changes: 20 changed, 3 more:"
    assert lines[-1] == "  - [more] 15 objects; `diff` has all"


def test_rows_are_estimates_of_two_digits() -> None:
    told = {
        1: "1 row",
        99: "99 rows",
        119_999: "120,000 rows",
        1_240_000: "1.2 million rows",
        41 * 10**9: "41 billion rows",
    }
    assert [rows_text(count) for count in told] == [f"about {words}" for words in told.values()]


def large(name: str, files: int) -> Rehearsal:
    """As much of everything as there can be, with names of the longest kind."""
    each = statement(
        7,
        12.0,
        drops=tuple(Dropped("table", f"{name}{number}", cascaded=number > 25) for number in range(50)),
        rewrites=tuple(Rewrite(f"{name}{number}", "table", 10**12, 10**11) for number in range(50)),
        locks=tuple(HeldLock(f"{name}{number}", "AccessExclusiveLock", 10**12, 10**11) for number in range(50)),
        rows=tuple(TouchedRows(f"{name}{number}", 10**9, 10**9, 10**9) for number in range(50)),
        more=10_000,
    )
    return rehearsed(
        *(file(each if number < 3 else statement(), name=f"{number}_{name}.sql") for number in range(files)),
        stand_ins=(name,) * 50,
        unseen=(f"{name} " * 40,) * 50,
        is_exact=False,
        inexact_because=name * 3,
        changes=tuple(ChangedObject("changed", "table", name, f"{name}{number}", name * 9) for number in range(500)),
        changes_left_out=9_000,
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("files", [1, 10_000])
def test_the_largest_rehearsal_stays_within_slacks_limits(files: int, name: str) -> None:
    found = asked(large(name, files), hazards=tuple(hazards(200, name)))
    said = json.dumps(check(request_page(found, AT)), ensure_ascii=False)
    assert said.index("forbidden  ") < said.index("Rehearsed on a copy: ")  # the worst still comes first
    check(Page("R-99999", body=whole_body(found, Status.WAITING)))
    failure = replace(large(name, files), outcome=Outcome.FAILED)
    broken = replace(failure.files[0], outcome="failed", error={**ERROR, "caret": name * 500, "message": name * 100})
    failure = replace(failure, files=(broken, *failure.files[1:]))
    check(request_page(asked(failure), AT))
    check(Page("R-99999", body=rehearsal_parts(failure)))


def test_the_card_tells_the_rehearsal_and_the_changes() -> None:
    found = rehearsed(changes=tuple(CHANGES))
    said = plain_page(request_page(asked(found), AT))
    assert said.index("Rehearsed on a copy: its one file ran") < said.index(
        "Schema changes: 1 dropped, 3 changed, 7 created"
    )
    assert "isolation full" in said
    assert "Not rehearsed" not in said
    done = plain_page(request_page(asked(found, status=Status.SUCCEEDED), AT))
    assert "Rehearsed" not in done  # by then the run says it all


def test_a_card_without_a_rehearsal_says_why_where_people_decide() -> None:
    off = asked(None)
    policy = {**off.plan["policy"], "rehearsal": "off"}
    said = plain_page(request_page(replace(off, plan={**off.plan, "policy": policy}), AT))
    assert "Not rehearsed: the rules of this environment ask for no rehearsal." in said
    free = {**policy, "approvals": 0, "approvers": [], "unknown_authors": "show"}
    assert "Not rehearsed" not in plain_page(request_page(replace(off, plan={**off.plan, "policy": free}), AT))


DROPS = {
    "rule": "drop-column",
    "class": "data_loss",
    "level": "danger",
    "version": "20260101000000",
    "line": 1,
    "message": "Drops the column public.orders.note.",
}
OPENS = {**DROPS, "rule": "no-rls", "class": "access", "level": "caution", "message": "Opens public.t to anon."}
NOTE = {**DROPS, "rule": "note", "class": "locks", "level": "info", "message": "A note."}


def with_rules(rules: dict[str, Any], **changes: Any) -> Request:
    found = asked(None, hazards=(NOTE, OPENS, DROPS), unknown_authors=(), **changes)
    return replace(found, plan={**found.plan, "policy": {**found.plan["policy"], "hazards": rules}})


def question(found: Request) -> str:
    return next(one.confirm or "" for one in request_page(found, AT).buttons if one.verb == "approve")


def test_who_approves_accepts_the_classes_by_name() -> None:
    found = with_rules({})
    assert question(found).endswith(
        "Approving accepts: data_loss, access. Worst hazard, danger: Drops the column public.orders.note, and 2 more."
    )
    facts = dict(request_page(found, AT).facts)
    assert facts["A yes accepts"] == ("access, data_loss",)
    assert question(replace(found, hazards=(NOTE,))).endswith("Worst hazard, info: A note.")
    assert "A yes accepts" not in dict(request_page(replace(found, hazards=(NOTE,)), AT).facts)
    assert question(replace(found, hazards=())).endswith("No hazards.")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_the_question_fits_however_long_names_are(name: str) -> None:
    every = ("access", "data_loss", "encoding", "irreversible", "locks", "rewrite", "secrets", "size", "transaction")
    found = tuple({**DROPS, "class": one, "message": f"Drops {name} {name}."} for one in every)
    asks = question(request(10_000, name, hazards=found))
    assert len(asks) <= 300
    assert all(one in asks for one in every)


def test_the_card_says_what_each_class_needs_and_what_is_still_missing() -> None:
    rules = {
        "data_loss": {"approvals": 3, "approvers": []},
        "access": {"approvals": 0, "approvers": ["@security"]},
        "locks": {"approvals": 5, "approvers": []},  # of which there is only a note
    }
    found = with_rules(rules)
    assert found.plan["policy"]["approvals"] < 3
    said = plain_page(request_page(found, AT))
    assert "Approvals: 0 of 3" in said
    assert "data_loss needs: 3 approvals" in said
    assert "access needs: a yes of @security, still missing" in said
    assert "locks needs" not in said
    assert ", with @security for access; " in said.partition("Next: ")[2]

    yes = Approval(
        Actor("slack:T0ACME/U0BEN"), AT, found.digest, "U0BEN", accepts=("access", "data_loss"), covers=("access",)
    )
    said = plain_page(request_page(replace(found, approvals=(yes,)), AT))
    assert "accepted access, data_loss" in said
    assert "access needs: a yes of @security, given" in said
    assert "@security" not in said.partition("Next: ")[2]

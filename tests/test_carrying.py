"""What differs between two plans for who approved the first, and whether their yes counts for the second: a table."""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from test_policy import ANA
from test_policy import BEN
from test_policy import CHI
from test_policy import DIGEST
from test_policy import NOW
from test_policy import POLICY
from test_policy import a_directory
from test_policy import a_request
from test_policy import yes

from ops.carrying import Gathered
from ops.carrying import why_void
from ops.environment import Environment
from ops.errors import Reason
from ops.gates import BESIDE_PEOPLE
from ops.gates import Facts
from ops.gates import judge
from ops.gates.shown import shown_gate
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.landing import Landing
from ops.plan_difference import Texts
from ops.plan_difference import difference
from ops.rehearsal.report import ACCESS_KEPT
from ops.request_queue import ahead_of
from ops.requests import Request
from ops.status import Status

A, B, C = ({"version": f"{n}", "name": n, "filename": f"{n}_{n}.sql", "sha256": f"{n}" * 4} for n in "123")
OLD_ROWS = (HistoryRow("0", "old", "00", 1),)
ROW = {one["version"]: HistoryRow(one["version"], one["name"], one["sha256"], 1) for one in (A, B, C)}
DROP = {
    "rule": "drop-column",
    "class": "data_loss",
    "level": "danger",
    "version": "2",
    "line": 3,
    "message": "It drops 100 rows.",
}


def plan(
    *files: Mapping[str, Any], rows: tuple[HistoryRow, ...] = OLD_ROWS, schema: str = "s0", **more: Any
) -> dict[str, Any]:
    state = {"host": "db", "history_sha256": history_sha256(rows), "schema_sha256": schema}
    return {"commit": "c", "files": list(files), "fingerprint": state, "policy": dict(POLICY), "expected": None, **more}


PARTS = ("rows", "schema", "expected", "policy", "hotfix", "emergency", "functions", "another")


def asked(*files: Mapping[str, Any], hazards: tuple[Mapping[str, Any], ...] = (), **facts: Any) -> Request:
    """R-2, to which Ben said yes: he accepted the classes of its hazards."""
    about = {one: facts.pop(one) for one in PARTS if one in facts}
    accepts = tuple(sorted({str(one["class"]) for one in hazards}))
    approval = replace(yes(BEN), accepts=accepts)
    return a_request(plan=plan(*files, **about), hazards=hazards, approvals=(approval,), **{"id": "R-2", **facts})


def landing(*files: Mapping[str, Any], schema: str | None = "s1", ended: str = "succeeded", **facts: Any) -> Landing:
    """R-1, which ran these files meanwhile and began with the target as R-2 was planned for."""
    versions = tuple(one["version"] for one in files)
    return Landing(asked(*files, id="R-1", applied=versions, status=Status.SUCCEEDED, **facts), ended, schema)


def verdict(
    old: Request, new: Request, *landings: Landing, rows: tuple[HistoryRow, ...] = OLD_ROWS, **gathered: Any
) -> str:
    """Why Ben's yes to the old plan does not count for the new one; empty: it does."""
    facts = Gathered(**{"directory": a_directory(), "asked": frozenset({"U0BEN"}), "history": rows, **gathered})
    return why_void(old.approvals[0], old, new, difference(old, new, landings, rows), facts, "U0ANA")


ROWS_AFTER = (*OLD_ROWS, ROW["1"])
AFTER: dict[str, Any] = {"rows": ROWS_AFTER, "schema": "s1"}
WORSE = {**DROP, "level": "forbidden"}
MORE_ROWS = {**DROP, "message": "It drops 40,000,000 rows."}
MILDER = {**DROP, "level": "caution", "message": "It drops 120 rows."}

TABLE = {**DROP, "message": "It drops t##."}
OTHER_TABLE = {**DROP, "message": "It drops t#1."}

BY_OTHERS = "changed by something else"
UNCLEAR = "nobody can tell exactly"
OTHER_A = {**A, "sha256": "x"}
HELLO = {"slug": "hello", "change": "changed", "sha256": "f1", "running": {"version": 1}}
CHANGED = {**HELLO, "sha256": "f2"}
MOVED = {**HELLO, "running": {"version": 2}}

CASES: list[tuple[str, Request, Request, list[Landing], str]] = [
    ("the same files at another commit", asked(A, B), asked(A, B, commit="d"), [], ""),
    ("the first ran meanwhile", asked(A, B), asked(B, **AFTER), [landing(A)], ""),
    ("somebody else's file ran meanwhile", asked(B), asked(B, **AFTER), [landing(A)], ""),
    ("one was added", asked(A), asked(A, B), [], "2_2.sql was added"),
    ("one was taken out", asked(A, B), asked(A), [], "2_2.sql was taken out"),
    ("one was changed", asked(A, B), asked(A, {**B, "sha256": "x"}), [], "2_2.sql was changed"),
    ("another order", asked(A, B), asked(B, A), [], "another order"),
    ("it was changed, and the other bytes ran", asked(A, B), asked(B, **AFTER), [landing(OTHER_A)], "1_1.sql was taken out"),
    ("it ran and was undone", asked(A, B), asked(A, B), [landing(A)], "1_1.sql is to run again"),
    ("a hazard more", asked(B), asked(B, hazards=(DROP,)), [], "danger drop-column at 2:3 is new"),
    ("the same hazard twice", asked(B, hazards=(DROP,)), asked(B, hazards=(DROP, DROP)), [], "drop-column"),
    ("a hazard rose", asked(B, hazards=(DROP,)), asked(B, hazards=(WORSE,)), [], "forbidden drop-column at 2:3 is worse"),
    ("a hazard is about much more", asked(B, hazards=(DROP,)), asked(B, hazards=(MORE_ROWS,)), [], "is worse now"),
    ("a hazard fell", asked(B, hazards=(DROP,)), asked(B, hazards=(MILDER,)), [], ""),
    ("a hazard went", asked(A, B, hazards=(DROP,)), asked(A, B), [], ""),
    ("another policy", asked(A), asked(A, policy={**POLICY, "approvals": 2}), [], "The policy differs: approvals 1 → 2"),
    ("another author", asked(A), asked(A, authors=("U0CHI",)), [], "Commits by others are in it: U0CHI"),
    ("the same bytes by nobody we know", asked(A, authors=("U0CHI",)), asked(A), [], "no longer says who wrote it: U0CHI"),
    ("whose file is gone is gone", asked(A, B, authors=("U0CHI",)), asked(B, **AFTER), [landing(A)], ""),
    ("a hotfix", asked(A), asked(A, hotfix={"by": "x"}), [], "It passes windows and freezes (hotfix)"),
    ("an emergency no more", asked(A, emergency={"because": "x"}), asked(A), [], "It is no emergency any more"),
    ("another part", asked(A), asked(A, another=["x"]), [], "Another part of the plan differs: another"),
    ("a function more", asked(A), asked(A, functions=[HELLO]), [], "The function hello was added"),
    ("other bytes of a function", asked(A, functions=[HELLO]), asked(A, functions=[CHANGED]), [], "hello was changed"),
    ("a function deployed by others", asked(A, functions=[HELLO]), asked(A, functions=[MOVED]), [], "something else now"),
    ("another count of numbers", asked(B, hazards=(TABLE,)), asked(B, hazards=(OTHER_TABLE,)), [], "is worse now"),
    ("changed by hand", asked(A), asked(A, schema="s9"), [], BY_OTHERS),
    ("a row by hand", asked(A), asked(A, rows=(*OLD_ROWS, ROW["3"])), [], BY_OTHERS),
    ("changed by hand after the run", asked(A, B), asked(B, **{**AFTER, "schema": "s9"}), [landing(A)], BY_OTHERS),
    ("changed by hand before the run", asked(A, B), asked(B, **AFTER), [landing(A, schema="s8")], BY_OTHERS),
    ("a run that ended half-way", asked(A, B), asked(B, **AFTER), [landing(A, ended="partially_applied")], UNCLEAR),
    ("a rollback ran", asked(B), asked(B, **AFTER), [landing(A, kind="rollback")], UNCLEAR),
    ("another kind", asked(A), asked(A, kind="resume"), [], "kind or target"),
    ("somebody else's request", asked(A), asked(A, by=CHI), [], "somebody else's request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "landings", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_whether_a_yes_counts_on(old: Request, new: Request, landings: list[Landing], expected: str) -> None:
    rows = new.plan["fingerprint"]["history_sha256"]
    known = next(each for each in (OLD_ROWS, ROWS_AFTER, (*OLD_ROWS, ROW["3"])) if history_sha256(each) == rows)

    found = verdict(old, new, *landings, rows=known)

    assert expected in found
    assert bool(expected) == bool(found)


def no_longer_in_the_group(old: Request) -> tuple[Request, dict[str, Any]]:
    return old, {"directory": a_directory(owners=("S0OWNERS", {"U0CHI"}))}


def another_group(old: Request) -> tuple[Request, dict[str, Any]]:
    return old, {"directory": a_directory(owners=("S0NEW", {"U0BEN", "U0CHI"}))}


def a_closed_account(old: Request) -> tuple[Request, dict[str, Any]]:
    return old, {"directory": a_directory({"U0BEN": "the account is closed"})}


def nobody_could_be_asked(old: Request) -> tuple[Request, dict[str, Any]]:
    return old, {"asked": None}


def it_no_longer_stood(old: Request) -> tuple[Request, dict[str, Any]]:
    return replace(old, approvals=(replace(old.approvals[0], stands=False),)), {}


def it_was_of_another_digest(old: Request) -> tuple[Request, dict[str, Any]]:
    return replace(old, approvals=(yes(BEN, digest="b" * 64),)), {}


def it_was_over(old: Request) -> tuple[Request, dict[str, Any]]:
    return replace(old, status=Status.REJECTED), {}


PEOPLE = [
    (no_longer_in_the_group, "not_an_approver"),
    (another_group, "group_changed"),
    (a_closed_account, "not_a_member"),
    (nobody_could_be_asked, "Slack could not be asked"),
    (it_no_longer_stood, "no longer counted"),
    (it_was_of_another_digest, "not a yes to R-2"),
    (it_was_over, "not a yes to R-2"),
]


@pytest.mark.parametrize(("change", "expected"), PEOPLE, ids=[row[0].__name__ for row in PEOPLE])
def test_whose_yes_does_not_count_on_although_nothing_changed(
    change: Callable[[Request], tuple[Request, dict[str, Any]]], expected: str
) -> None:
    old, gathered = change(asked(A, B))
    assert expected in verdict(old, asked(A, B, id="R-3"), **gathered)


def test_a_class_that_was_not_accepted_voids() -> None:
    old = asked(B, hazards=(DROP,))
    careless = replace(old, approvals=(yes(BEN),))
    assert "did not accept data_loss" in verdict(careless, old)


REHEARSED = {
    "outcome": "passed",
    "with_data": False,
    "access_opened": [],
    "changes": [{"name": "notes"}],
    "changes_left_out": 0,
}
ENDS = [{"version": "1", "catalog_sha256": "s1"}, {"version": "2", "catalog_sha256": "s2"}]

MANY = [{"key": f"{number}"} for number in range(ACCESS_KEPT)]

REHEARSALS: list[tuple[str, dict[str, Any], list[dict[str, str]] | None, str]] = [
    ("it ends with the same schema", {"changes": [{"name": "other"}]}, ENDS[1:], ""),
    ("it ends with another one", {}, [{"version": "2", "catalog_sha256": "s7"}], "ends with another schema"),
    ("it is no longer exact", {}, None, "ends with another schema"),
    ("it failed", {"outcome": "failed"}, None, "The rehearsal showed: failed"),
    ("it opens something", {"access_opened": [{"key": "x"}]}, ENDS[1:], "who may read or change what"),
    (
        "it opens what was kept, and maybe more",
        {"access_opened": MANY},
        ENDS[1:],
        "more to read or change than is kept",
    ),
]


@pytest.mark.parametrize(
    ("change", "expected", "reason"), [row[1:] for row in REHEARSALS], ids=[row[0] for row in REHEARSALS]
)
def test_what_a_rehearsal_shows_beyond_the_earlier_one_voids(
    change: dict[str, Any], expected: list[dict[str, str]] | None, reason: str
) -> None:
    known = {"access_opened": MANY} if change.get("access_opened") is MANY else {}
    old = asked(A, B, expected=ENDS, rehearsal={**REHEARSED, **known})
    new = asked(B, expected=expected, rehearsal={**REHEARSED, **change}, **AFTER)
    found = verdict(old, new, landing(A), rows=ROWS_AFTER)

    assert (reason in found, bool(found)) == (True, bool(reason))


def test_the_difference_counts_lines_and_names_what_ran() -> None:
    texts = Texts({"2_2.sql": "a\nb\n"}, {"2_2.sql": "a\nc\nd\n", "3_3.sql": "x\n"})

    found = difference(asked(A, B), asked({**B, "sha256": "x"}, C, **AFTER), [landing(A)], ROWS_AFTER, texts)

    assert found.to_json() == {
        "files": ["2_2.sql was changed (+2 −1 lines)", "3_3.sql was added (+1 line)"],
        "landed": ["R-1"],
        "ran": ["1_1.sql"],
    }


def test_the_names_of_the_table_are_those_of_the_request() -> None:
    """The yes of the table is one to the digest and by the person that the request says, so no case passes by chance."""
    old = asked(A)
    assert (old.by, old.digest, old.approvals[0].digest) == (ANA, DIGEST, DIGEST)
    assert verdict(old, asked(A)) == ""


def test_the_queue_is_by_when_it_was_first_asked_for_and_holds_nobody_up_that_runs_beside() -> None:
    first, second, again = asked(A, id="R-1"), later(asked(B, id="R-2"), 5), later(asked(C, id="R-4"), 9)
    again = replace(again, queued_at=first.requested_at + timedelta(minutes=1))  # it was R-3, planned again
    beside = later(asked(id="R-5", kind="terminate"), 7)
    elsewhere = later(asked(A, id="R-6", environment="stage"), 8)
    found = [first, second, again, beside, elsewhere]

    assert [ahead_of(one, found) for one in found] == [(), ("R-1", "R-4"), ("R-1",), (), ()]


def later(request: Request, minutes: int) -> Request:
    return replace(request, requested_at=request.requested_at + timedelta(minutes=minutes))


def test_nothing_starts_before_it_stands_where_people_can_read_it() -> None:
    dev = Environment(database_url="$X", branch="main", approvals=0)
    facts = Facts(replace(asked(A), shown=None), dev, a_directory(), "U0ANA", NOW)

    [found] = [gate for gate in judge(facts).closed if gate.name == "shown"]

    assert (found.reason, shown_gate in BESIDE_PEOPLE) == (Reason.NOT_SHOWN_YET, True)
    assert not shown_gate(replace(facts, request=asked(A, shown={"digest": "b" * 64}))).is_open
    assert shown_gate(replace(facts, request=asked(A))).is_open
    nobody = asked(A, shown=None, policy={**POLICY, "approvals": 0})
    assert shown_gate(replace(facts, request=nobody)).is_open


def test_what_another_run_made_stale_does_not_start_however_many_agreed() -> None:
    dev = Environment(database_url="$X", branch="main", approvals=0)
    facts = Facts(asked(A), dev, a_directory(), "U0ANA", NOW, landed=("R-1",))

    found = {gate.name: gate for gate in judge(facts).closed}["landed"]

    assert (found.reason, found.facts) == (Reason.PLAN_CHANGED, {"landed": ["R-1"]})
    assert found.sentence == "R-1 ran on shop/prod since R-2 was planned, so it is planned again."
    assert "landed" not in {gate.name for gate in judge(replace(facts, landed=())).closed}

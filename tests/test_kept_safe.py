"""What is kept for an undo stays what it was: nobody's file gets at it, a change is noticed, nothing goes under a run."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from run_support import session
from undo_support import Undoing
from undo_support import look
from undo_support import run

from audit import Draft
from ops.guard import GUARD_KEY
from ops.hazards import find_hazards
from ops.migrations import read_migration
from ops.prior.kept import remove_old
from ops.status import Status
from ops.undo.offer import Way

Make = Callable[..., Undoing]

KEPT = 'approvals = 0\nbackup = "none"\nprior_copy = "1MB"\nprior_copy_keep = "1s"\n'


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("grant usage on schema countersign_undo to anon;", "opens-prior-copies"),
        ("grant select on all tables in schema countersign_undo to anon;", "opens-prior-copies"),
        ("alter default privileges in schema countersign_undo grant select on tables to anon;", "opens-prior-copies"),
        ("create view public.leak as select * from countersign_undo.r1_x;", "opens-prior-copies"),
        ('insert into public.leak select * from U&"countersign\\005fundo".r1_x;', "opens-prior-copies"),
        ("alter table countersign_undo.r1_x disable row level security;", "changes-prior-copies"),
        ("update countersign_undo.r1_x set name = 'evil';", "changes-prior-copies"),
        ("drop schema Countersign_Undo cascade;", "changes-prior-copies"),
        ("set search_path to countersign_undo; delete from r1_x;", "changes-prior-copies"),
        ("do $$ begin execute 'truncate countersign_undo.r1_x'; end $$;", "changes-prior-copies"),
    ],
)
def test_no_file_may_touch_what_is_kept(sql: str, rule: str) -> None:
    migration = read_migration("20260101000000_x.sql", "20260101000000", "x", sql.encode())
    found = [(one.rule, one.level.value) for one in find_hazards((migration,), squawk=None)]
    assert (rule, "forbidden") in found


@pytest.fixture
def changed(undoing: Make) -> tuple[Undoing, str, str]:
    """A push that deleted a row, its request, and the table in which the row is kept."""
    project = undoing(KEPT)
    project.push("create table orders (id int primary key, name text); insert into orders values (1, 'a'), (2, 'b');")
    request = project.push("delete from orders where id = 1;")
    return project, request, project.copies()[0]["table"]


def test_what_somebody_changed_in_a_copy_is_put_back_by_nobody(changed: tuple[Undoing, str, str]) -> None:
    project, request, table = changed
    change = f"update countersign_undo.{table} set name = 'evil'"
    with project.ops() as (ops, _):
        offer = look(ops, request, Way.PRIOR_COPY)
        assert offer.proposal is not None, offer.because

        project.sql(change)
        late = look(ops, request, Way.PRIOR_COPY)
        assert (
            late.because == "What was kept of public.orders is not what it was when it was taken: somebody changed it."
        )

        ended = run(ops, offer)

    assert ended.status is Status.SUPERSEDED
    assert f"what was kept to be put back (countersign_undo.{table})" in str(ended.ending)
    assert project.sql("select * from orders") == [(2, "b")]


def test_doctor_names_strangers_and_rights_beside_what_is_kept(changed: tuple[Undoing, str, str]) -> None:
    project, _, table = changed
    assert "no log of ours" not in project.stage.cli("doctor").out
    project.sql(
        "create table countersign_undo.mine (id int); create view countersign_undo.leak as select 1 as one;"
        "grant usage on schema countersign_undo to pg_monitor;"
        f"grant select, insert on countersign_undo.{table} to public; grant update (id) on countersign_undo.{table} to public"
    )
    said = project.stage.cli("doctor").out
    assert "the table mine is in the schema countersign_undo, and no log of ours tells of it" in said
    assert "the view leak is in the schema countersign_undo" in said
    assert "pg_monitor may usage on the schema countersign_undo" in said
    assert f"everybody may insert, select on countersign_undo.{table}" in said
    assert f"everybody may update on countersign_undo.{table}.id" in said


def test_nothing_old_goes_where_somebody_runs_waits_or_locked(changed: tuple[Undoing, str, str]) -> None:
    project, request, _ = changed
    tables = set(project.kept_tables())
    with project.ops() as (ops, target):
        project.sql("select pg_sleep(1.1)")

        def event(kind: str, **data: object) -> None:
            about = {"project": target.project, "environment": target.environment, "request": request}
            ops.log.append([Draft(kind=kind, actor="os:x/ana", stream=target.stream, data=data, **about)])

        def gone() -> set[str]:
            return tables - set(project.kept_tables()) | set(remove_old(ops, target))

        event("locked", because="", until=(ops.now() + timedelta(hours=1)).isoformat())
        assert gone() == set()
        event("unlocked", because="")
        event("interrupted", reason="outcome_unknown", message="", step="migrate", applied=[], unknown=[])
        assert gone() == set()
        event("recorded", because="looked", by="os:x/ana", versions=[])
        with session(project.stage, "prod", "a run of another bot") as other:
            other.execute(f"select pg_advisory_lock({GUARD_KEY})")
            assert gone() == set()
        assert set(remove_old(ops, target)) == tables
    assert project.kept_tables() == []

"""What was offered as proven although something of it was lost: shown on real targets, one project for all of it."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from apply_helpers import fresh_target
from undo_support import KEEPS
from undo_support import Undoing
from undo_support import run

from ops.catalog import catalog_hash
from ops.database import connect
from ops.layer import host_name
from ops.people import Actor
from ops.prior.tables import Kept
from ops.requests import find_request
from ops.schema.reading import read_schema
from ops.status import Status
from ops.undo.moved import moved_tables
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.offers import offers
from ops.undo.prior_copy import check_others_stay
from ops.undo.proving import NotProvenError
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage


@pytest.fixture(scope="module")
def project(local_postgres: LocalPostgres) -> Iterator[Undoing]:
    """Nobody approves, nothing is backed up, copies are taken. Every test pushes on from where the last one ended."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        Stage(postgres=local_postgres, rate_limits=False, empty=True, prod=KEEPS) as stage,
    ):
        yield Undoing(stage, monkeypatch)


def inverse(project: Undoing, request: str) -> Offer:
    with project.ops() as (ops, _):
        asked = find_request(ops.view, request)
        (offer,) = offers(ops, asked, Actor(f"os:{host_name()}/tests"), only=Way.INVERSE)
        return offer


def test_a_column_that_was_rebuilt_does_not_come_back_empty_as_proven(project: Undoing) -> None:
    project.push(
        """
        create table t (id int primary key, b int); insert into t values (1, 20), (2, 21);
        create function touch() returns trigger language plpgsql as $$ begin new.b = 7; return new; end $$;
        create table stamped (id int primary key, b int); insert into stamped values (1, 1);
        create trigger touch before update on stamped for each row execute function touch();
        """
    )
    rebuilt = "alter table t add b2 int; update t set b2 = 0; alter table t drop b; alter table t rename b2 to b;"

    because = inverse(project, project.push(rebuilt)).because

    assert because.endswith("it dropped column public.t.b, and what that held would not come back.")


def test_a_trigger_that_left_the_same_mark_twice_is_no_proof(project: Undoing) -> None:
    """Applied a second time it changes nothing more, so the rows do not tell."""
    request = project.push("alter table stamped add total int; update stamped set total = 1;")

    assert "writing stamped ran more than it says" in inverse(project, request).because


def test_what_was_written_between_offer_and_run_is_not_rounded(project: Undoing) -> None:
    project.push("create table prices (id int primary key, amount int); insert into prices values (1, 1);")
    offer = inverse(project, project.push("alter table prices alter amount type numeric;"))
    project.sql("insert into prices values (3, 1.5)")

    with project.ops() as (ops, _):
        undone = run(ops, offer)

    assert undone.status is Status.FAILED
    assert "does not fit into integer" in str(undone.ending)
    assert [str(amount) for (amount,) in project.sql("select amount from prices order by id")] == ["1", "1.5"]


def test_rows_that_nobody_copied_are_not_changed_by_putting_back() -> None:
    copies = [Kept("updated", "u1", "20260101000000", 0, 1, of=("public", "co"))]
    check_others_stay(copies, [("public", "co")])
    with pytest.raises(NotProvenError, match=r"changed rows that no copy is of: public\.ci\."):
        check_others_stay(copies, [("public", "co"), ("public", "ci")])


def test_one_copy_does_not_open_the_way_for_what_has_none(project: Undoing) -> None:
    project.sql("create schema s; create table s.t (v text); insert into s.t values ('gone')")
    project.sql("create table a (id int primary key); insert into a values (1)")
    request = project.push("delete from a; drop schema s cascade;")

    assert project.offer(request, Way.PRIOR_COPY).because == "It dropped table s.t, and its rows would not come back."


def test_columns_that_changed_places_are_not_taken_for_one_that_came_back() -> None:
    with fresh_target() as target:
        target.run("create table t (id int, a int, b int)")
        before, sha256 = read_schema(target.url), catalog_hash(target.connection)
        target.run("alter table t rename a to c; alter table t rename b to a; alter table t rename c to b")
        swapped = read_schema(target.url)
        with closing(connect(target.url, purpose="test")) as session:
            assert moved_tables(session, swapped, swapped, before, sha256) == ()
        target.run("drop table t; create table t (id int, a int, b int); alter table t drop a")
        dropped = read_schema(target.url)
        target.run("alter table t add a int")
        with closing(connect(target.url, purpose="test")) as session:
            assert moved_tables(session, dropped, read_schema(target.url), before, sha256) == ("public.t",)

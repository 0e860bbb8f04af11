"""What a prior copy takes beside one statement: exactly the rows that it reaches, or nothing, and then it says so."""

from functools import partial

import pytest
from apply_helpers import ListJournal
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import until
from undo_support import taken

from ops.apply_journal import Finished
from ops.apply_journal import Patience

LEFT = "public.{} was not copied: {}."
NO_KEY = "it has no primary key, by which a row could be found again"
WITH = "a WITH of it writes too"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("update plain set body = 'x'", LEFT.format("plain", NO_KEY)),
        ("update orders set id = id + 100", LEFT.format("orders", "its key is changed, so that no row could be found again")),
        (
            "update orders set body = 'x' where random() < 0.5",
            LEFT.format("orders", "each call of random(), which says which rows, may say or do something else"),
        ),
        ("alter table plain drop column body", LEFT.format("plain", NO_KEY)),
        ("with g as (delete from plain returning 1) update orders set id = id", LEFT.format("orders", WITH)),
        ("delete from ring", LEFT.format("ring", "rows that go along refer to each other in a ring")),
        ("delete from large", LEFT.format("large", "about 1 MB, and 0 MB are left of `prior_copy`")),
        ("drop table large", LEFT.format("large", "about 1 MB, and 0 MB are left of `prior_copy`")),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_exactly_is_left_out_and_said(sql: str, why: str) -> None:
    with fresh_target() as target:
        target.run("create table plain (body text); insert into plain select 'a' from generate_series(1, 50)")
        target.run("create table orders (id int primary key, body text)")
        target.run("insert into orders select i, 'a' from generate_series(1, 60) as i")
        target.run("create table ring (id int primary key, up int references ring (id) on delete cascade)")
        target.run("insert into ring values (1, null), (2, 1)")
        target.run("create table large (id int primary key, body text)")
        target.run("insert into large select i, repeat(md5(i::text), 20) from generate_series(1, 2000) as i")
        target.run("analyze")

        taking = taken(target, sql, limit=2**19)

        assert (taking.kept, taking.left_out) == ([], [why])
        assert target.rows(
            "select count(*) from pg_class where relnamespace = to_regnamespace('countersign_undo')"
        ) == [(0,)]


BESIDE = """
create table a (id int primary key, n int, code text unique not null); create table b (id int primary key, n int);
create table refers (id int primary key, code text references a (code) on update set null);
create table heir_of (id int primary key); create table heir (more text) inherits (heir_of);
insert into a values (1, 1, 'x'), (2, 2, 'y'); insert into b values (1, 1); insert into refers values (1, 'x');
insert into heir values (1, 'x');
create function wipe() returns int language sql as 'delete from b; select 1';
create function count_b() returns trigger language plpgsql as $$ begin update b set n = n + 1; return null; end $$;
create function empty_b() returns trigger language plpgsql as $$ begin truncate b; return null; end $$;
"""
TOO = "public.{} was written too, by a trigger or a function."


@pytest.mark.parametrize(
    ("trigger", "sql", "why"),
    [
        ("after insert on a for each row execute function count_b()", "insert into a values (3, 3, 'z')", TOO.format("b")),
        ("after delete on a for each statement execute function count_b()", "delete from a where id = 2", TOO.format("b")),
        ("after update on a for each row execute function empty_b()", "update a set n = 5", TOO.format("b")),
        ("after truncate on a for each statement execute function count_b()", "truncate a cascade", TOO.format("b")),
        ("", "update a set n = wipe()", TOO.format("b")),
        ("", "delete from a where id = 1 + (select wipe())", "wipe(), which says which rows"),
        ("", "update a set code = 'new' where id = 1", TOO.format("refers")),
        ("", "delete from heir_of", "other tables inherit from public.heir_of"),
        ("", "truncate heir_of", "other tables inherit from public.heir_of"),
        ("", "set datestyle = 'SQL, DMY'; delete from a where id = 2", ""),
    ],
)  # fmt: skip
def test_what_is_written_beside_the_statement_is_said_to_be_in_no_copy(trigger: str, sql: str, why: str) -> None:
    with fresh_target() as target:
        target.run(BESIDE)
        if trigger:
            target.run(f"create trigger beside {trigger}")

        taking = taken(target, sql)

        assert bool(taking.left_out) == bool(why), taking.left_out
        assert why in " ".join(taking.left_out)


@pytest.mark.parametrize(
    ("sql", "copied"),
    [
        ("delete from only orders where id in (select order_id from lines where id < 3)", [("orders", 2), ("lines", 2)]),
        ("with few as (select 3 as id) delete from orders using few where orders.id = few.id", [("orders", 1), ("lines", 1)]),
        ("update orders o set body = 'x' from lines l where l.order_id = o.id and o.id <= 4", [("orders", 4)]),
        ("truncate orders cascade", [("orders", 10), ("lines", 10)]),
        ("alter table orders drop column body, drop column other", [("orders", 10)]),
        ("drop table lines", [("lines", 10)]),
        ("update orders set body = 'x' where id > 100", []),
    ],
    ids=["subquery", "with", "join", "truncate cascade", "two columns", "drop", "no rows"],
)  # fmt: skip
def test_exactly_the_rows_that_a_statement_reaches_are_copied(sql: str, copied: list[tuple[str, int]]) -> None:
    with fresh_target() as target:
        target.run("create table orders (id int primary key, body text, other int)")
        target.run("create table lines (id int primary key, order_id int references orders on delete cascade)")
        target.run("insert into orders select i, 'a', i from generate_series(1, 10) as i")
        target.run("insert into lines select i, i from generate_series(1, 10) as i")

        taking = taken(target, sql)

        assert ([(one.of[1], one.rows) for one in taking.kept], taking.left_out) == (copied, [])


def test_a_row_that_somebody_writes_meanwhile_is_waited_for_and_gives_way_to_who_waits_behind() -> None:
    """A lock that is not to be had ends the try, so that it is tried again; it does not end in a copy of something else. And
    nobody waits long for what the file has locked before."""
    journal = ListJournal()
    patience = Patience(seconds=30, lock_timeout_seconds=60)
    with fresh_target() as target, target.connect() as other, target.connect("app") as app:
        target.run("create table locked (id int); create table orders (id int primary key, body text)")
        target.run("insert into orders values (1, 'a')")
        other.execute("begin; update orders set body = 'b'")
        file = "alter table locked add column note text; update orders set body = 'c'"
        with in_background(partial(taken, target, file, patience=patience, journal=journal)) as results:
            until(lambda: target.rows("select from pg_locks where not granted and locktype = 'transactionid'"))
            app.execute("set statement_timeout = '20s'; select count(*) from locked")
            until(lambda: journal.waits)
            other.execute("commit")
        kept = results[0].kept[0]
        assert target.rows(f"select body from countersign_undo.{kept.table}") == [("b",)]
    finished = [entry.detail for entry in journal.entries if isinstance(entry, Finished)]
    assert finished[0] == "it gave way to 1 that waited behind it"


def test_what_a_trigger_set_in_the_changed_rows_is_copied_too() -> None:
    with fresh_target() as target:
        target.run(
            """
            create table orders (id int primary key, n int, at text, body text);
            insert into orders values (1, 1, 'then', 'a');
            create function touch() returns trigger language plpgsql as $$ begin new.at = 'now'; return new; end $$;
            create trigger touches before update on orders for each row execute function touch();
            """
        )

        taking = taken(target, "update orders set n = 2")

        assert [(one.sets, [column.name for column in one.columns]) for one in taking.kept] == [
            (("n", "at"), ["id", "n", "at"])
        ]

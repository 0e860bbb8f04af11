"""Prior copies: taken in the transaction that takes something away, private, exact, and enough to undo it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until
from undo_support import Undoing
from undo_support import run

from ops.apply_journal import Finished
from ops.apply_journal import Patience
from ops.apply_session import Session
from ops.catalog import catalog_hash
from ops.prior.kept import remove_old
from ops.prior.taking import Taking
from ops.prior.taking import Where
from ops.prior.touching import touches
from ops.rehearsal.copy import open_copy
from ops.status import Status
from ops.undo.offer import Way

Make = Callable[..., Undoing]

SHOP = """
create type mood as enum ('sad', 'fine');
create table orders (at timestamptz not null default now(), id bigserial primary key, mood mood not null, body text);
create table lines (id int primary key, order_id bigint references orders (id) on delete cascade, note text);
create table notes (id int primary key, order_id bigint references orders (id) on delete set null);
create table gone (id int generated always as identity primary key, moods mood[], body text not null);
create index gone_body on gone (body);
alter table gone enable row level security;
create policy reading on gone for select using (id > 1);
"""

ROWS = """
insert into orders (mood, body) select 'sad', 'order ' || i from generate_series(1, 40) as i;
insert into lines select i, i, 'line ' || i from generate_series(1, 40) as i;
insert into notes select i, i from generate_series(1, 40) as i;
insert into gone (moods, body) select array['fine'::mood, null], 'row ' || i from generate_series(1, 20) as i;
"""

TABLES = {
    "orders": ("id", "mood", "body", "at"),
    "lines": ("id", "order_id", "note"),
    "notes": ("id", "order_id"),
    "gone": ("id", "moods", "body"),
}


def taken(target: Target, sql: str, *, limit: int = 2**20, **how: Any) -> Taking:
    """Apply one file as a run does; the copies of its last statement."""
    file = migration(sql)
    found = touches(file)
    all_taken: list[Taking] = []

    def carry_out(session: Session, index: int, send: Callable[[], object]) -> None:
        taking = Taking(session.connection, Where("R-7", "20260101000000", index, 1, limit), session.watch)
        for touch in found.get(index, ()):
            taking.before(touch)
        sent = send()
        taking.after(sent.rowcount if isinstance(sent, psycopg.Cursor) else None)
        all_taken.append(taking)

    apply(target, file, carry_out=carry_out, **how)
    return all_taken[-1]


def test_what_was_dropped_changed_and_deleted_comes_back_row_by_row(undoing: Make) -> None:
    project = undoing()
    project.push(SHOP)
    project.sql(ROWS)
    before = {table: project.rows(table, *columns) for table, columns in TABLES.items()}
    request = project.push(
        """
        update orders set body = upper(body) where id <= 10;
        update orders as o set body = 'joined' from lines as l where l.order_id = o.id and l.id > 35;
        delete from orders where id in (20, 21, 22);
        alter table orders drop column mood;
        truncate notes;
        drop table gone;
        drop type mood;
        create table fresh (id int);
        """
    )

    offer, undone = project.undo(request, Way.PRIOR_COPY)

    assert undone.status is Status.SUCCEEDED, undone.ending
    assert {table: project.rows(table, *columns) for table, columns in TABLES.items()} == before
    assert project.sql("select indexdef from pg_indexes where indexname = 'gone_body'")[0][0].endswith("(body)")
    assert project.sql("select polname from pg_policy where polrelid = 'gone'::regclass") == [("reading",)]
    assert project.sql("insert into gone (body) values ('next') returning id") == [(21,)]
    assert project.sql("select version from supabase_migrations.schema_migrations") == [("20260101000000",)]
    assert "Table public.fresh goes; it has no rows." in offer.loses
    assert any("held behind it, value by value" in said for said in offer.proof)
    again = project.stage.cli("push", "prod", "--json")
    assert (again.code, again.json["status"]) == (0, "succeeded")


def test_rows_changed_since_are_listed_and_left_as_they_are(undoing: Make) -> None:
    project = undoing()
    project.push("create table orders (id int primary key, body text);")
    project.sql("insert into orders select i, 'old' from generate_series(1, 10) as i")
    request = project.push("update orders set body = 'new' where id <= 6; delete from orders where id > 8;")
    project.sql("update orders set body = 'mine' where id = 1; delete from orders where id = 2")
    project.sql("insert into orders values (9, 'mine too'), (11, 'more')")

    offer, undone = project.undo(request, Way.PRIOR_COPY)

    assert offer.loses == (
        "public.orders: 1 row with the key of a deleted one written since; what is there now stays.",
        "public.orders: 1 row deleted since; they stay away.",
        "public.orders: 1 row changed since in body; what is there now stays.",
    )
    assert undone.status is Status.SUCCEEDED
    assert project.sql("select id, body from orders order by id") == [
        (1, "mine"), (3, "old"), (4, "old"), (5, "old"), (6, "old"), (7, "old"), (8, "old"),
        (9, "mine too"), (10, "old"), (11, "more"),
    ]  # fmt: skip


def test_what_is_written_between_offer_and_run_ends_it_with_nothing_done(undoing: Make) -> None:
    """One row fewer than people agreed to would come back: they are asked again instead."""
    project = undoing()
    project.push("create table orders (id int primary key, body text, mail text unique);")
    project.sql("insert into orders values (1, 'old', 'a'), (2, 'old', 'b'), (3, 'old', 'c')")
    request = project.push("update orders set body = 'new' where id < 3; delete from orders where id = 3;")
    offer = project.offer(request, Way.PRIOR_COPY)
    project.sql("insert into orders values (7, 'mine', 'c')")

    with project.ops() as (ops, _):
        undone = run(ops, offer)

    assert undone.status is Status.FAILED
    assert "public.orders: only 0 of 1 row could be put back, since somebody has written there meanwhile" in str(
        undone.ending["message"]
    )
    assert project.sql("select id, body from orders order by id") == [(1, "new"), (2, "new"), (7, "mine")]
    project.sql("update orders set body = 'mine'")
    project.sql("insert into orders values (3, 'mine', 'd')")
    assert "all of it was written again since" in project.offer(request, Way.PRIOR_COPY).because


def test_nothing_is_lost_by_defaults_numbers_references_and_triggers(undoing: Make) -> None:
    """Empty values stay empty, numbers are not given out twice, rows that somebody hung to inserted ones stay, triggers say
    nothing of what is put back and are what they were."""
    project = undoing()
    project.push(
        """
        create table defaults (id int primary key, a int default 5);
        create table numbers (id bigserial primary key, b text);
        create table firms (id serial primary key, name text);
        create table clerks (id int primary key, firm int references firms on delete cascade);
        create table touched (id int primary key, n int, at text, "countersign after" text);
        create table log (n int);
        create table parents (id int primary key);
        create table kids (id int primary key, parent int references parents);
        create function note() returns trigger language plpgsql as
          $$ begin insert into public.log values (1); return null; end $$;
        create trigger notes after insert on kids for each row execute function note();
        alter table kids enable always trigger notes;
        """
    )
    project.sql("insert into defaults values (1, null), (2, 5), (3, 7)")
    project.sql("insert into numbers (b) select 'x' from generate_series(1, 5)")
    project.sql("insert into touched values (1, 1, 'then', 'a')")
    project.sql("insert into parents values (1); insert into kids values (1, 1); truncate log")
    batched = project.push("-- countersign: in batches\nupdate defaults set a = 5 where a = 99;\n")
    assert "ran in batches: of what that takes away no copy is taken" in project.offer(batched, Way.PRIOR_COPY).because
    request = project.push(
        """
        alter table defaults drop column a;
        truncate numbers;
        insert into firms (name) values ('one'), ('two');
        update touched set n = 2, "countersign after" = 'b';
        truncate kids, parents;
        """
    )
    project.sql("insert into numbers (b) values ('six'), ('seven')")
    project.sql("insert into clerks values (10, 2)")

    offer, undone = project.undo(request, Way.PRIOR_COPY)

    assert undone.status is Status.SUCCEEDED, undone.ending
    assert "public.firms: 1 row that it inserted have rows in public.clerks now; they stay." in offer.loses
    assert project.sql("select id, a from defaults order by id") == [(1, None), (2, 5), (3, 7)]
    assert project.sql("insert into numbers (b) values ('next') returning id") == [(8,)]
    assert project.sql("select f.name, c.id from firms f join clerks c on c.firm = f.id") == [("two", 10)]
    assert project.sql("select * from touched") == [(1, 1, "then", "a")]
    assert project.sql("select id, (select count(*) from log) from kids") == [(1, 0)]
    assert project.sql("select tgenabled from pg_trigger where tgname = 'notes'") == [("A",)]


LEFT = "public.{} was not copied: {}."
WITH = "a WITH of it writes too"
NO_KEY = "it has no primary key, by which a row could be found again"

SEEDS = """
delete from countries where id = 1;
update countries set name = 'new';
insert into countries values (1, 'new'), (3, 'new');
insert into countries select i, 'more' from generate_series(4, 6) as i;
"""


def test_rows_that_a_file_inserted_go_again(undoing: Make) -> None:
    project = undoing()
    project.push(
        "create table countries (id int primary key, name text);\ninsert into countries values (1, 'old'), (2, 'two');"
    )
    request = project.push(SEEDS)

    offer, undone = project.undo(request, Way.PRIOR_COPY)

    assert "3 rows: inserted into public.countries, which go again." in offer.does
    assert undone.status is Status.SUCCEEDED, undone.ending
    assert project.sql("select id, name from countries order by id") == [(1, "old"), (2, "two")]


def test_an_inserted_row_that_somebody_changed_keeps_the_way_closed(undoing: Make) -> None:
    """It would have to stay, and then the file could not be applied again."""
    project = undoing()
    project.push(
        "create table countries (id int primary key, name text);\ninsert into countries values (1, 'old'), (2, 'two');"
    )
    request = project.push(SEEDS)
    project.sql("update countries set name = 'mine' where id = 4")

    assert "duplicate key value" in project.offer(request, Way.PRIOR_COPY).because


def test_a_file_that_takes_nothing_away_leaves_no_schema_of_ours(undoing: Make) -> None:
    project = undoing()
    project.push("create table orders (id int primary key); insert into orders values (1);")

    assert project.sql("select to_regnamespace('countersign_undo')") == [(None,)]
    assert project.stage.events("prior_copied") == []


def test_a_statement_that_fails_leaves_no_copy(undoing: Make) -> None:
    project = undoing()
    project.push("create table orders (id int primary key, body text not null); insert into orders values (1, 'a');")
    project.stage.migration("20260102000000_bad.sql", "delete from orders;\nselect 1 / 0;")

    ran = project.stage.cli("push", "prod", "--json")

    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert project.kept_tables() == []
    assert project.sql("select count(*) from orders") == [(1,)]


def test_copies_are_closed_to_everybody_else() -> None:
    with fresh_target() as target:
        target.run("create table orders (id int primary key); insert into orders values (1)")
        target.run("alter default privileges grant usage on schemas to clerk")
        target.run("alter default privileges grant all on tables to clerk, public")

        taking = taken(target, "delete from orders")

        (kept,) = taking.kept
        target.run("set role clerk")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            target.rows(f"select * from countersign_undo.{kept.table}")
        target.run("reset role")
        assert target.rows(f"select id from countersign_undo.{kept.table}") == [(1,)]
        acl = f"select relacl::text, relrowsecurity from pg_class where relname = '{kept.table}'"
        assert target.rows(acl) == [("{postgres=arwdDxtm/postgres}", True)]


def test_nothing_is_put_into_a_schema_of_somebody_else() -> None:
    with fresh_target() as target:
        target.run("create table orders (id int primary key); insert into orders values (1)")
        with psycopg.connect(target.admin_url, autocommit=True) as admin:
            admin.execute(
                "create schema countersign_undo authorization clerk; grant all on schema countersign_undo to public"
            )

        taking = taken(target, "delete from orders")

        assert (taking.kept, target.rows("select count(*) from orders")) == ([], [(0,)])
        assert taking.left_out == ["public.orders was not copied: the schema countersign_undo is somebody else's."]


def test_copies_are_no_part_of_the_schema() -> None:
    with fresh_target() as target:
        target.run("create table orders (id int primary key); insert into orders values (1)")
        before = catalog_hash(target.connection)

        taken(target, "delete from orders")

        assert catalog_hash(target.connection) == before
        with open_copy(target.url) as copy, copy.connect() as connection:
            assert copy.is_exact
            row = connection.execute("select to_regnamespace('countersign_undo')").fetchone()
            assert row == (None,)


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


def test_what_was_kept_long_enough_goes_and_the_way_is_closed(undoing: Make) -> None:
    project = undoing('approvals = 0\nbackup = "none"\nprior_copy = "1MB"\nprior_copy_keep = "1s"\n')
    project.push("create table orders (id int primary key); insert into orders values (1);")
    request = project.push("delete from orders;")
    assert len(project.kept_tables()) == 2
    assert "2 tables in the schema countersign_undo" in project.stage.cli("doctor").out

    with project.ops() as (ops, target):
        project.sql("select pg_sleep(1.1)")
        gone = remove_old(ops, target)
        again = remove_old(ops, target)

    assert (len(gone), again, project.kept_tables()) == (2, (), [])
    assert "is gone" in project.offer(request, Way.PRIOR_COPY).because
    (event,) = project.stage.events("prior_copies_removed")
    assert event.data == {"tables": list(gone)}


def test_off_takes_none_and_the_offer_says_so(undoing: Make) -> None:
    project = undoing('approvals = 0\nbackup = "none"\nprior_copy = "off"\n')
    project.push("create table orders (id int primary key); insert into orders values (1);")
    request = project.push("delete from orders;")

    assert project.stage.events("prior_copied") == []
    assert project.offer(request, Way.PRIOR_COPY).because.startswith(
        "No copy was taken of what 20260102000000_file2.sql"
    )

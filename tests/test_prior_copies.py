"""Prior copies: taken in the transaction that takes something away, private, exact, and enough to undo it."""

from collections.abc import Callable

import psycopg
import pytest
from apply_helpers import fresh_target
from undo_support import Undoing
from undo_support import run
from undo_support import taken

from ops.catalog import catalog_hash
from ops.prior.kept import remove_old
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

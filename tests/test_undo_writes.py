"""What files did that no definition brings back, read from their statements."""

import pytest

from ops.migrations import read_migration
from ops.undo.contents import Column
from ops.undo.contents import Columns
from ops.undo.judging import not_kept
from ops.undo.kept_rows import kept_by_copies
from ops.undo.met import UPDATES
from ops.undo.met import Met
from ops.undo.writes import what_is_not_brought_back

BEFORE: Columns = {("public", "orders"): {"id": Column("integer", "", False, True), "note": Column("text", "", False)}}
NEW = {("public", "orders"): {**BEFORE["public", "orders"], "total": Column("integer", "", False)}}
ROWS = "it changed rows of public.orders, which would stay as they are."


FUNCTION = "the function that it called may have changed rows."
BLOCK = "the block may have changed rows."
VIEW = "it read what may be a view, and that may have changed rows."
COUNTED = "and how far it had counted would not come back."
MET = Met(frozenset(("purge", "lower")), {("public", "stamped"): UPDATES})


def said(sql: str, before: Columns = BEFORE, after: Columns = NEW, met: Met | None = None) -> str:
    return what_is_not_brought_back([read_migration("1_x.sql", "1", "x", sql.encode())], before, after, met)


def renamed(what: str) -> str:
    return f"it renamed or moved {what}, so that by its name nobody can tell it from another."


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("update public.orders set note = 'x';", ROWS),
        ("update orders set total = 1, note = 'x';", ROWS),
        ("delete from orders where id = 1;", ROWS),
        ("insert into public.orders values (1);", ROWS),
        ("merge into orders using new on true when matched then delete;", ROWS),
        ("with gone as (delete from orders returning 1) select count(*) from gone;", ROWS),
        ("create table new as with gone as (delete from orders returning id) select * from gone;", ROWS),
        ("truncate orders;", "it emptied public.orders, whose rows would not come back."),
        ("alter table orders alter note type text using upper(note);", "it wrote values of public.orders anew"),
        ("update a_view set note = '';", "it changed rows of a_view"),
        ("insert into vault.secrets (name) values ('x');", "it changed rows of vault.secrets"),
        ("insert into auth.users default values;", "it changed rows of auth.users"),
        ("do $$ begin update orders set note = ''; end $$;", "the block may have changed rows."),
        ("do $$ begin execute 'drop ' || 'x'; end $$;", "the block may have changed rows."),
        ("call public.clean();", "what it called may have changed rows."),
        ("select public.clean();", "the function that it called may have changed rows."),
        ("select cron.schedule('x', '* * * * *', 'select 1');", "the function that it called may have changed rows."),
        ("alter role anon set statement_timeout = '9s';", "it is about roles, settings or the server"),
        ("create role sales;", "it is about roles, settings or the server"),
        ("alter database postgres set work_mem = '1MB';", "it is about roles, settings or the server"),
        ("create index on storage.objects (name);", "it changed storage, which the platform looks after."),
        (
            "alter table storage.objects enable row level security;",
            "it changed storage, which the platform looks after.",
        ),
        ("grant select on auth.users to anon;", "it changed auth, which the platform looks after."),
        ("create function auth.mine() returns int language sql as 'select 1';", "it changed auth, which the platform"),
        ("drop table auth.mine;", "it changed auth, which the platform looks after."),
        ("create subscription s connection 'x' publication p;", "it is about roles, settings or the server"),
        ("refresh materialized view sums;", "what it computed anew may have changed rows."),
    ],
)
def test_it_is_told_with_its_line(sql: str, words: str) -> None:
    assert said(f"select 1;\n{sql}").startswith(f"1_x.sql, line 2: {words}")


@pytest.mark.parametrize(
    "sql",
    [
        "alter table public.orders add column total int; update public.orders set total = id;",
        "create table public.new (id int); insert into public.new select id from orders; delete from new;",
        "create temp table t as select 1 as a; update t set a = 2; drop table t;",
        "create table a (id int); alter table a rename to b; insert into b values (1);",
        "select set_config('search_path', '', false); set lock_timeout = '1s'; select pg_catalog.now();",
        "create policy p on storage.objects using (true); create trigger t after insert on auth.users execute function f();",
        "create function f() returns trigger language plpgsql as $$ begin delete from orders; return null; end $$;",
        "create view v as select now(), upper(note) from orders;",
        "create rule r as on insert to orders do instead delete from orders;",
        "do $$ begin if not exists (select from pg_type) then create type mood as enum ('a'); end if; end $$;",
    ],
)
def test_definitions_and_what_is_new_are_brought_back_by_definitions(sql: str) -> None:
    assert said(sql) == ""


ANEW = "it dropped column public.orders.note, and what that held would not come back."


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("alter table orders add n text; alter table orders drop note; alter table orders rename n to note;", ANEW),
        ("create table o as select 1 as id; drop table orders; alter table o rename to orders;",
         "it dropped public.orders, whose rows would not come back."),
        ("alter table orders rename to old;", renamed("public.orders")),
        ("alter table orders rename note to n; alter table orders rename n to note;", renamed("public.orders.note")),
        ("alter table if exists public.orders set schema away;", renamed("public.orders")),
        ("alter schema public rename to p;", renamed("schema public")),
        ("drop schema s cascade;", "it dropped schema s, and what that held would not come back."),
        ("drop table if exists a_partition;", "it dropped a_partition, whose rows would not come back."),
        ("drop extension pg_cron;", "it dropped extension pg_cron, and what that held would not come back."),
        ("drop type mood cascade;", "columns may have gone with what it dropped."),
        ("alter type mood rename value 'sad' to 'glad';", "it renamed a value of type mood, so that rows may mean another."),
        ("alter type place drop attribute street;", "it changed what type place is made of"),
        ("alter type place rename attribute street to city;", renamed("place.street")),
        ("create table p (id int) partition by list (id); alter table p attach partition orders default; drop table p;",
         "it put public.orders under another table."),
        ("alter table orders alter id type numeric; alter table orders alter id type int;",
         "it changed the type of public.orders.id twice"),
        ("do $$ begin alter table orders drop column note; end $$;", ANEW),
        ("do $$ begin if true then alter table orders rename note to n; end if; end $$;", renamed("public.orders.note")),
    ],
)  # fmt: skip
def test_what_was_replaced_under_its_own_name_is_gone_all_the_same(sql: str, words: str) -> None:
    assert f": {words}" in said(sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select setval('order_no', 1);", FUNCTION),
        ("select pg_catalog.nextval('public.order_no'::regclass);", FUNCTION),
        ("drop sequence order_no;", f"it dropped the sequence order_no, {COUNTED}"),
        ("alter sequence order_no restart;", f"it restarted the sequence order_no, {COUNTED}"),
        ("alter sequence order_no rename to n;", renamed("order_no")),
        ("alter table orders alter id drop identity;", f"it dropped the sequence of public.orders.id, {COUNTED}"),
        ("alter table orders alter id restart with 7;", f"it restarted the sequence of public.orders.id, {COUNTED}"),
        (
            "create table new (n int default nextval('order_no')); insert into new default values;",
            "writing new ran more",
        ),
    ],
)
def test_how_far_a_sequence_had_counted_is_in_no_definition(sql: str, words: str) -> None:
    assert words in said(sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("create table report as select purge() as n;", FUNCTION),
        ("create table report (n int); insert into report select public.purge();", FUNCTION),
        ("create materialized view m as select purge();", FUNCTION),
        ("alter table orders add column total int default purge();", FUNCTION),
        ("alter table orders add column total int; update orders set total = purge();", FUNCTION),
        ("alter table orders add check (purge() > 0);", FUNCTION),
        ("create index on orders (purge(id));", FUNCTION),
        ("create domain d as int check (purge() > value);", FUNCTION),
        ("explain analyze select purge();", FUNCTION),
        ("select lower(5);", FUNCTION),  # another of this name is there
        ("create function upper(int) returns int language sql as 'select 1'; select upper(5);", FUNCTION),
        ("select query_to_xml('delete from orders', true, true, '');", FUNCTION),
        ("select pg_catalog.lo_unlink(1);", FUNCTION),
        ("select * from purge();", FUNCTION),
        ("create table report as select * from a_view;", VIEW),
        ("create view v as select purge(); create table report as select * from v;", VIEW),
        ("do $$ declare n int; begin n := purge(); end $$;", BLOCK),
        ("do $$ begin if public.purge() > 0 then null; end if; end $$;", BLOCK),
        ("do $$ declare n int; begin select x into n from public.a_view; end $$;", BLOCK),
        ("do $$ begin do 'begin null; end'; end $$;", BLOCK),
        ("create table new (id int); create trigger t after insert on new execute function f(); insert into new values (1);",
         "writing new ran more than it says, which may have changed other rows."),
        ("create table new (n int default purge()); insert into new values (1);", "writing new ran more than it says"),
        ("create table new (like orders including all); insert into new values (1);", "writing new ran more than it says"),
        ("create table new (id int primary key); alter table orders add column n int references new on delete cascade;"
         "delete from new;", "writing new ran more than it says"),
        ("create table public.users (id int); delete from auth.users;", "it changed rows of auth.users"),
        ("create table if not exists a_partition (id int); delete from a_partition;", "it changed rows of a_partition"),
    ],
)  # fmt: skip
def test_what_a_statement_runs_without_saying_so_closes_the_way(sql: str, words: str) -> None:
    assert words in said(sql, met=MET)


def test_filling_a_new_column_is_seen_by_a_trigger() -> None:
    tables: Columns = {("public", "stamped"): BEFORE["public", "orders"]}
    sql = "alter table stamped add column total int; update stamped set total = 1;"
    assert said(sql, tables, tables) == ""
    assert "writing stamped ran more than it says" in said(sql, tables, tables, MET)


@pytest.mark.parametrize(
    "sql",
    [
        "create sequence n; create table new (id int default nextval('n')); select setval('n', 5); drop sequence n;",
        "create table new (id uuid default gen_random_uuid(), at timestamptz default now(), who uuid default auth.uid());"
        "insert into new (at) values (clock_timestamp());",
        "alter table orders add column total int not null default 0, add column at timestamptz default now();",
        "alter table orders add column total int; alter table orders rename total to sum; alter table orders drop sum;",
        "create table total (id int); insert into total select id from public.orders join auth.users using (id);",
        "create table if not exists total (id int); insert into total values (1);",
        "create schema s; create table s.t (id int); drop schema s cascade;",
        "create table new (id int); alter table orders add column n int references new; insert into new values (1);",
        "create index on orders using gin (to_tsvector('english', note)); drop index if exists by_note;",
        "drop view if exists v cascade; drop function f(int) cascade; drop policy p on orders; alter index i rename to j;",
        "alter sequence order_no increment 5; alter table orders alter note type varchar; alter type mood add value 'x';",
        "do $$ begin if not exists (select from pg_constraint where conname = 'c') then "
        "alter table orders add constraint c foreign key (id) references orders (id); end if; end $$;",
        "do $$ begin create type mood as enum ('a'); exception when duplicate_object then null; end $$;",
        "do $$ begin if not exists (select 1 from information_schema.columns where table_name = lower('ORDERS')) then "
        "alter table orders add column total int; end if; end $$;",
    ],
)
def test_what_loses_nothing_stays_open(sql: str) -> None:
    total = {("public", "total"): {"id": Column("integer", "", False)}}
    assert said(sql, BEFORE, NEW | total if "total (" in sql else NEW) == ""


def test_what_went_with_its_rows_is_told_first() -> None:
    assert said("", NEW, BEFORE) == "It dropped column public.orders.total, and what that held would not come back."
    assert said("", NEW, {}) == "It dropped table public.orders, and its rows would not come back."
    computed = {("public", "orders"): {**BEFORE["public", "orders"], "total": Column("integer", "id + 1", True)}}
    assert said("", computed, BEFORE) == ""


def kept(sql: str, after: Columns = NEW, covered: int = 1) -> list[str]:
    """What of this is in no copy, where copies were taken for the first so many statements."""
    file = read_migration("1_x.sql", "1", "x", sql.encode())
    is_kept = kept_by_copies([file], {}, {("1", index) for index in range(covered)})
    return list(not_kept([file], BEFORE, after, Met(frozenset(), {("public", "orders"): UPDATES}), is_kept))


@pytest.mark.parametrize(
    ("sql", "after", "covered", "words"),
    [
        ("delete from orders; update orders set note = ''; insert into orders values (1);", NEW, 3, []),
        ("drop table orders;", {}, 1, []),
        ("alter table public.orders drop column note;", {("public", "orders"): {}}, 1, ["column public.orders.id"]),
        ("truncate orders; drop sequence inv;", NEW, 2, ["dropped the sequence inv"]),
        ("delete from orders; drop schema public cascade;", {}, 2, ["table public.orders", "dropped schema public"]),
        ("delete from orders; alter table orders alter note type int;",
         {("public", "orders"): {**BEFORE["public", "orders"], "note": Column("integer", "", False)}},
         2, ["from text to integer"]),
        ("delete from orders; do $$ begin delete from orders; end $$;", NEW, 2, [BLOCK]),
        ("delete from orders where id = purge();", NEW, 1, [FUNCTION]),
        ("with d as (delete from orders returning *) select count(*) from d;", NEW, 1, [ROWS]),
        ("delete from orders; delete from orders;", NEW, 1, [f"line 1: {ROWS}"]),
        ("update orders set note = '';", NEW, 0, [ROWS, "writing orders ran more than it says"]),
        ("delete from sales.orders;", NEW, 1, ["changed rows of sales.orders"]),
    ],
)  # fmt: skip
def test_a_copy_stands_for_what_it_is_of_and_nothing_else(
    sql: str, after: Columns, covered: int, words: list[str]
) -> None:
    found = kept(sql, after, covered)
    assert len(found) == len(words)
    assert all(word in one for word, one in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("old", "new", "is_safe"),
    [
        ("integer", "bigint", True),
        ("bigint", "integer", False),
        ("character varying(10)", "character varying(20)", True),
        ("character varying(20)", "character varying(10)", False),
        ("character varying(20)", "text", True),
        ("text", "character varying(20)", False),
        ("numeric(10,2)", "integer", False),
        ("timestamp with time zone", "date", False),
    ],
)
def test_a_type_that_holds_less_has_changed_values(old: str, new: str, is_safe: bool) -> None:
    sides = [{("public", "t"): {"a": Column(kind, "", False)}} for kind in (old, new)]
    words = f"It changed the type of public.t.a from {old} to {new}, and values as they were would not come back."
    assert said("alter table t alter a type x;", sides[0], sides[1]) == ("" if is_safe else words)

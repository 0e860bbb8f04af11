"""What files did that no definition brings back, read from their statements."""

import pytest

from ops.migrations import read_migration
from ops.undo.contents import Column
from ops.undo.contents import Columns
from ops.undo.writes import what_is_not_brought_back

BEFORE: Columns = {("public", "orders"): {"id": Column("integer", "", False, True), "note": Column("text", "", False)}}
NEW = {("public", "orders"): {**BEFORE["public", "orders"], "total": Column("integer", "", False)}}
ROWS = "it changed rows of public.orders, which would stay as they are."


def said(sql: str, before: Columns = BEFORE, after: Columns = NEW) -> str:
    return what_is_not_brought_back([read_migration("1_x.sql", "1", "x", sql.encode())], before, after)


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


def test_what_went_with_its_rows_is_told_first() -> None:
    assert said("", NEW, BEFORE) == "It dropped column public.orders.total, and what that held would not come back."
    assert said("", NEW, {}) == "It dropped table public.orders, and its rows would not come back."
    computed = {("public", "orders"): {**BEFORE["public", "orders"], "total": Column("integer", "id + 1", True)}}
    assert said("", computed, BEFORE) == ""


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
    assert said("alter table t alter a type x;", *sides) == ("" if is_safe else words)

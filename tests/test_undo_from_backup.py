"""Undoing out of the verified backup: single tables with all that belongs to them, and everything, with what that undoes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from undo_support import WITH_BACKUP
from undo_support import Undoing
from undo_support import run

from ops.backups import find_backup
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.status import Status
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo_data import restore_proposal

Make = Callable[..., Undoing]

SHOP = """
create table orders (at timestamptz not null default now(), id bigserial primary key, total int, body text);
create table lines (id int primary key, order_id bigint not null references orders (id), note text);
create table gone (id int generated always as identity primary key, order_id bigint references orders (id), body text,
  constraint body_is_short check (length(body) < 100));
create index gone_body on gone (body);
alter table gone enable row level security;
create policy reading on gone for select using (id > 1);
create function touch() returns trigger language plpgsql as $$ begin new.body := new.body || '!'; return new; end $$;
create trigger shouts before insert on gone for each row execute function touch();
"""

ROWS = """
insert into orders (total, body) select i, 'order ' || i from generate_series(1, 40) as i;
insert into lines select i, i, 'line ' || i from generate_series(1, 40) as i;
insert into gone (order_id, body) select i, 'row ' || i from generate_series(1, 20) as i;
"""

TABLES = {
    "orders": ("id", "at", "total", "body"),
    "lines": ("id", "order_id", "note"),
    "gone": ("id", "order_id", "body"),
}

BELONGING = """
select 'index', indexname || indexdef from pg_indexes where tablename = 'gone'
union all select 'constraint', conname || pg_get_constraintdef(oid) from pg_constraint where conrelid = 'gone'::regclass
union all select 'policy', polname || pg_get_expr(polqual, polrelid) from pg_policy where polrelid = 'gone'::regclass
union all select 'trigger', pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'gone'::regclass and not tgisinternal
union all select 'security', relrowsecurity::text || relacl::text from pg_class where oid = 'gone'::regclass
order by 1, 2
"""


@pytest.fixture
def shop(undoing: Make) -> Undoing:
    """A shop with rows, before anything is taken away."""
    project = undoing(WITH_BACKUP)
    project.sql(SHOP + ROWS)
    return project


def test_a_dropped_table_and_column_come_back_with_all_that_belongs_to_them(shop: Undoing) -> None:
    before = {table: shop.rows(table, *columns) for table, columns in TABLES.items()}
    belonging = shop.sql(BELONGING)
    request = shop.push(
        "drop table gone; alter table orders drop column body; update orders set total = 0 where id < 6;"
    )

    offer, undone = shop.undo(request, Way.TABLES)

    assert undone.status is Status.SUCCEEDED, undone.ending
    assert [step.name for step in undone.steps] == ["preflight", "backup", "load", "migrate", "health"]
    assert {table: shop.rows(table, *columns) for table, columns in TABLES.items()} == before
    assert shop.sql(BELONGING) == belonging
    assert shop.sql("insert into gone (body) values ('next') returning id, body") == [(21, "next!")]
    assert "public.orders: 5 rows hold something else in total than the backup, and are set back." in offer.does
    assert "public.gone: 20 rows come back, all of them." in offer.does
    assert any("held behind it, value by value" in said for said in offer.proof)
    acl = "select coalesce(relacl::text, 'owner'), relrowsecurity from pg_class where relname = '{}'"
    laid = {copy["table"] for copy in shop.copies()}  # the log tells of them, so that they are removed one day
    assert laid <= set(shop.kept_tables())
    assert {shop.sql(acl.format(table))[0] for table in laid} == {("owner", True)}


def test_what_a_merge_sets_back_of_others_is_said_before_anybody_agrees(shop: Undoing) -> None:
    request = shop.push("update orders set total = 0 where id < 6; delete from lines where id > 38;")
    shop.sql("update orders set total = 7 where id = 30; delete from lines where id = 1")

    offer, undone = shop.undo(request, Way.TABLES)

    assert undone.status is Status.SUCCEEDED, undone.ending
    assert [said.partition(" UTC")[0][:72] for said in offer.loses[:1]] == [
        "public.orders: 6 rows hold something else in total than the backup: whoe"
    ]
    assert any(
        said.startswith("public.lines: 3 rows of the backup are not there now, and come back") for said in offer.does
    )
    assert shop.sql("select total from orders where id in (1, 30) order by id") == [(1,), (30,)]
    assert shop.sql("select count(*) from lines") == [(40,)]


def test_going_back_to_the_whole_backup_says_what_was_written_since(shop: Undoing) -> None:
    before = {table: shop.rows(table, *columns) for table, columns in TABLES.items()}
    belonging = shop.sql(BELONGING)
    request = shop.push("drop table gone; create table fresh (id int primary key); insert into fresh values (1), (2);")
    shop.sql("insert into orders (total) values (1), (2), (3); update lines set note = 'mine' where id < 3")
    shop.sql("delete from lines where id = 40")

    offer, undone = shop.undo(request, Way.RESTORE)

    assert offer.loses == (
        "Since the backup 3 rows written, 2 changed, 1 deleted; all of that is undone.",
        "public.lines: 0 rows written, 2 changed, 1 deleted.",
        "public.orders: 3 rows written, 0 changed, 0 deleted.",
        "Table public.fresh goes with 2 rows.",
    )
    assert "All 3 tables held the backup's 100 rows there, by their hashes." in offer.proof
    assert undone.status is Status.SUCCEEDED, undone.ending
    assert {table: shop.rows(table, *columns) for table, columns in TABLES.items()} == before
    assert shop.sql(BELONGING) == belonging
    assert shop.sql("select to_regclass('fresh'), nextval('orders_id_seq')") == [(None, 41)]
    assert shop.sql("select version from supabase_migrations.schema_migrations") == []


def test_a_target_that_changed_since_is_left_alone_and_a_foreign_or_damaged_backup_offered_to_nobody(
    shop: Undoing,
) -> None:
    request = shop.push("update orders set total = 0 where id < 6;")
    offer = shop.offer(request, Way.TABLES)
    shop.sql("alter table orders add column more int")
    with shop.ops() as (ops, target):
        ended = run(ops, offer)
        elsewhere = replace(find_backup(ops.view, "R-1"), environment="dev")
        with pytest.raises(OpsError) as caught:
            restore_proposal(ops, target, elsewhere, Actor("os:tests/tests"), lambda _: None)
    assert ended.status is Status.SUPERSEDED
    assert shop.kept_tables() == []
    assert caught.value.reason is Reason.NOT_ALLOWED

    shop.sql("alter table orders drop column more")
    for event in shop.stage.events("backup_proven"):
        path = Path((event.data or {})["proof"]["path"])
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    offers: list[Offer] = [shop.offer(request, way) for way in (Way.TABLES, Way.RESTORE)]
    assert [offer.proposal for offer in offers] == [None, None]
    assert all("cannot be used" in offer.because for offer in offers)


def test_without_a_verified_backup_neither_way_is_open(undoing: Make) -> None:
    project = undoing('approvals = 0\nbackup = "intact"\n')
    project.push("create table orders (id int primary key);")
    request = project.push("drop table orders;")

    offers = [project.offer(request, way) for way in (Way.TABLES, Way.RESTORE)]

    assert [offer.because.startswith("No backup of shop/prod from before R-2 was proven") for offer in offers] == [
        True,
        True,
    ]

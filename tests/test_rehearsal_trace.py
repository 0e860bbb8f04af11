"""What is seen of each statement on a copy: locks, rewrites, rows, dropped objects; and what a file cannot hide."""

from contextlib import AbstractContextManager
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field

import pytest
from apply_helpers import Target
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.catalog import catalog_hash
from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.rehearsal.files import run_files
from ops.rehearsal.platform import Platform
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from ops.rehearsal.trace import Tracer
from ops.scratch import Limits

SCHEMA = """
    CREATE TABLE users (id bigint PRIMARY KEY, email varchar(50) UNIQUE, note text);
    CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint CONSTRAINT orders_user REFERENCES users,
                         total int NOT NULL DEFAULT 0, "Camel" text);
    CREATE INDEX orders_total ON orders (total);
    CREATE VIEW totals AS SELECT total FROM orders;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM users;
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON orders USING (exists (SELECT FROM users WHERE users.id = user_id));
    INSERT INTO users SELECT n, n::text FROM generate_series(1, 10) AS n;
    INSERT INTO orders SELECT n, n FROM generate_series(1, 10) AS n;
"""


@dataclass
class Place:
    """A database of the test server in the place of a copy; its migrating role is no superuser."""

    target: Target
    stand_ins: list[str] = field(default_factory=list)

    def connect(self) -> Connection:
        return connect(self.target.url, purpose="rehearse")

    def ask(self) -> Connection:
        connection = connect(self.target.admin_url, purpose="rehearsal asks")
        connection.execute("RESET ROLE")
        return connection

    platform = Platform()

    def lend_rights(self, table: tuple[str, str]) -> AbstractContextManager[None]:
        raise NotImplementedError

    def offer_extension(self, name: str) -> None:
        pass

    def create_extension(self, name: str, schema: str | None, cascade: bool) -> None:
        self.stand_ins.append(name)
        with closing(self.ask()) as ask:
            ask.execute(f"CREATE SCHEMA IF NOT EXISTS {schema or 'extensions'}".encode())


@pytest.fixture
def place():
    with fresh_target() as target:
        target.run(SCHEMA)
        yield Place(target)


@contextmanager
def traced(place: Place):
    with closing(place.ask()) as ask:
        tracer = Tracer(ask)
        yield tracer
        tracer.remove()


def run(place: Place, *texts: str, limits: Limits | None = None) -> tuple[FileFacts, ...]:
    """Rehearse these texts as files, in order."""
    files = [migration(text, f"2026010100000{number}_change.sql") for number, text in enumerate(texts)]
    with traced(place) as tracer:
        return run_files(place, tracer, files, limits=limits or Limits(60, 30))


def one(place: Place, text: str) -> StatementFacts:
    """The only statement with something to tell."""
    (file,) = run(place, text)
    assert file.error is None, file.error
    (facts,) = file.statements
    return facts


def locked(facts: StatementFacts) -> dict[str, str]:
    return {lock.relation: lock.mode for lock in facts.locks}


# --- locks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alter table orders add column c int", {"public.orders": "AccessExclusiveLock"}),
        ("create index on orders (user_id)", {"public.orders": "ShareLock"}),
        ("create trigger t before insert on orders for each row execute function suppress_redundant_updates_trigger()",
         {"public.orders": "ShareRowExclusiveLock"}),
        ("comment on table orders is 'x'", {"public.orders": "ShareUpdateExclusiveLock"}),
        ("alter table orders validate constraint orders_user", {"public.orders": "ShareUpdateExclusiveLock"}),
        ("lock table users in exclusive mode", {"public.users": "ExclusiveLock"}),
        ("create table lines (order_id bigint references orders)", {"public.orders": "ShareRowExclusiveLock"}),
        ("reindex index orders_total", {"public.orders": "ShareLock", "public.orders_total": "AccessExclusiveLock"}),
        ("do $$ begin execute 'alter table or' || 'ders add column c int'; end $$",
         {"public.orders": "AccessExclusiveLock"}),
    ],
)  # fmt: skip
def test_the_strongest_lock_of_each_relation_that_was_there(place, text, expected):
    (file,) = run(place, text)
    assert file.outcome == "passed", file.error
    assert {key: mode for facts in file.statements for key, mode in locked(facts).items()} == expected


def test_a_lock_is_told_once_by_the_statement_that_took_it(place):
    (file,) = run(place, "alter table orders add column a int;\nupdate orders set a = 1;\nlock users in share mode;")
    assert [(facts.line, locked(facts)) for facts in file.statements] == [
        (1, {"public.orders": "AccessExclusiveLock"}),
        (2, {}),
        (3, {"public.users": "ShareLock"}),
    ]
    assert file.ran == 3


def test_the_next_file_begins_without_locks(place):
    files = run(place, "alter table orders add column a int", "alter table orders add column b int")
    assert [locked(file.statements[0]) for file in files] == [{"public.orders": "AccessExclusiveLock"}] * 2


def test_what_runs_outside_a_transaction_is_looked_at_from_beside(place):
    place.target.run("INSERT INTO orders SELECT n FROM generate_series(11, 200000) AS n")
    facts = one(place, "create index concurrently on orders (user_id)")
    assert locked(facts) == {"public.orders": "ShareUpdateExclusiveLock"}


# --- rewrites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alter table orders alter total type bigint", [Rewrite("public.orders", "table", None, None)]),
        ("alter table users alter email type text", []),
        ("alter table orders add column c uuid default gen_random_uuid()",
         [Rewrite("public.orders", "table", None, None)]),
        ("alter table orders add column c int default 7", []),
        ("alter table orders set unlogged", [Rewrite("public.orders", "table", None, None)]),
        ("truncate orders", [Rewrite("public.orders", "truncated", None, None)]),
        ("do $$ begin execute 'trunc' || 'ate orders'; end $$", [Rewrite("public.orders", "truncated", None, None)]),
        ("cluster orders using orders_pkey", [Rewrite("public.orders", "table", None, None)]),
        ("vacuum full orders", [Rewrite("public.orders", "table", None, None)]),
        ("refresh materialized view counted", [Rewrite("public.counted", "materialized view", None, None)]),
        ("reindex index orders_total", [Rewrite("public.orders_total", "index", None, None)]),
        ("create function f() returns void language sql as 'truncate users cascade';\nselect f();",
         [Rewrite("public.orders", "truncated", None, None), Rewrite("public.users", "truncated", None, None)]),
    ],
)  # fmt: skip
def test_what_is_written_anew(place, text, expected):
    place.target.run("DROP VIEW totals")
    (file,) = run(place, text)
    assert file.outcome == "passed", file.error
    assert [rewrite for facts in file.statements for rewrite in facts.rewrites] == expected


# --- rows ----------------------------------------------------------------------------------------------------------


def test_rows_written_by_statements_functions_and_the_file_before(place):
    first = (
        "update orders set total = 1;\ndelete from orders where id > 8;\n"
        "create table t (i int);\ninsert into t values (1);"
    )
    second = "insert into users values (20, 'x');\ndo $$ begin update users set note = 'y'; end $$;"
    files = run(place, first, second)
    assert [(facts.line, facts.rows) for facts in files[0].statements] == [
        (1, (TouchedRows("public.orders", 0, 10, 0),)),
        (2, (TouchedRows("public.orders", 0, 0, 2),)),
        (4, (TouchedRows("public.t", 1, 0, 0),)),
    ]
    assert [(facts.line, facts.rows) for facts in files[1].statements] == [
        (1, (TouchedRows("public.users", 1, 0, 0),)),
        (2, (TouchedRows("public.users", 0, 11, 0),)),
    ]


def test_statements_that_run_one_by_one_are_seen_as_well(place):
    block = "do $$ begin update orders set total = 2; delete from orders where id = 1; end $$;"
    update_and_drop = "update users set note = 'n';\nalter table orders drop column total cascade;"
    text = f"-- pg-delta: transaction=false\n{block}\n{update_and_drop}"
    (file,) = run(place, text)
    assert file.error is None, file.error
    block_facts, update, drop = file.statements
    assert block_facts.rows == (TouchedRows("public.orders", 0, 10, 1),)
    assert (update.rows, locked(update)) == (
        (TouchedRows("public.users", 0, 10, 0),),
        {"public.users": "RowExclusiveLock"},
    )
    assert locked(drop)["public.orders"] == "AccessExclusiveLock"
    assert drop.drops[0] == Dropped("table column", "public.orders.total", cascaded=False)


def test_an_error_of_a_statement_that_runs_alone_keeps_what_was_before(place):
    (file,) = run(
        place, "-- pg-delta: transaction=false\nupdate users set note = 'n';\nalter table nowhere add column c int;"
    )
    assert (file.outcome, file.error["line"], file.error["sqlstate"], file.ran) == ("failed", 3, "42P01", 1)


# --- drops ---------------------------------------------------------------------------------------------------------


def test_a_cascade_is_told_with_everything_that_goes_along(place):
    assert one(place, "drop table users cascade").drops == (
        Dropped("table", "public.users", cascaded=False),
        Dropped("materialized view", "public.counted", cascaded=True),
        Dropped("policy", "own on public.orders", cascaded=True),
        Dropped("table constraint", "orders_user on public.orders", cascaded=True),
    )


def test_a_column_takes_its_index_and_the_view_along(place):
    assert one(place, "alter table orders drop column total cascade").drops == (
        Dropped("table column", "public.orders.total", cascaded=False),
        Dropped("index", "public.orders_total", cascaded=True),
        Dropped("view", "public.totals", cascaded=True),
    )


@pytest.mark.parametrize(
    "text",
    [
        "do $$ begin execute 'alter table orders dr' || 'op column \"Camel\"'; end $$",
        'create function f() returns void language plpgsql as $f$ begin alter table orders drop "Camel"; end $f$;select f();',
        'set session_replication_role = replica;\nalter table orders drop "Camel";',
    ],
)
def test_what_a_block_or_a_function_drops_is_seen(place, text):
    place.target.run("SELECT 1")
    with closing(place.ask()) as ask:
        ask.execute("GRANT SET ON PARAMETER session_replication_role TO postgres")
    assert one(place, text).drops == (Dropped("table column", "public.orders.Camel", cascaded=False),)


@pytest.mark.parametrize(
    "text",
    [
        "create table t (i int); drop table t;",
        "alter table orders add column tmp int; alter table orders drop column tmp;",
        "create temp table t (i int); drop table t;",
        "alter table orders alter total drop default",
        "savepoint s; drop view totals; rollback to s;",
        "alter table users alter email type text",
    ],
)
def test_what_was_not_there_before_or_is_there_still_was_not_dropped(place, text):
    (file,) = run(place, text)
    assert file.outcome == "passed", file.error
    assert [facts.drops for facts in file.statements if facts.drops] == []


def test_what_is_dropped_outside_a_transaction(place):
    assert one(place, "drop index concurrently orders_total").drops == (
        Dropped("index", "public.orders_total", cascaded=False),
    )


# --- hostile files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "drop event trigger countersign_dropped",
        "alter event trigger countersign_dropped disable",
        "drop table pg_catalog.countersign_event",
        "delete from pg_catalog.countersign_event",
        "create or replace function pg_catalog.countersign_seen(since bigint) returns text language sql as $$ select '' $$",
        "drop function pg_catalog.countersign_dropped() cascade",
        "select pg_catalog.countersign_dropped()",
    ],
)
def test_a_file_cannot_touch_what_watches_it(place, text):
    (file,) = run(place, text)
    assert file.outcome == "failed"
    assert file.error["sqlstate"] in ("42501", "0A000", "42P17"), file.error


HOSTILE_PATH = """
    create schema evil;
    create function evil.countersign_seen(bigint) returns text language sql as $$ select '' $$;
    create table evil.pg_locks (pid int); create table evil.pg_class (oid oid); create table evil.countersign_event (i int);
    create function evil.eq(oid, oid) returns boolean language sql as $$ select false $$;
    create operator evil.= (leftarg = oid, rightarg = oid, function = evil.eq);
    create function evil.json_agg(anyelement) returns json language sql as $$ select '[]'::json $$;
    create temp table pg_locks (pid int); create temp table countersign_event (i int);
    set search_path = evil, pg_temp, pg_catalog, public;
    set quote_all_identifiers = on; set standard_conforming_strings = off; set client_encoding = latin1;
    set role postgres;
"""


def test_no_search_path_setting_or_role_hides_anything(place):
    place.target.run('CREATE TABLE "dürfen 漢" (i int)')
    (file,) = run(place, HOSTILE_PATH + "drop view public.totals; alter table public.orders alter total type bigint;")
    assert file.outcome == "passed", file.error
    drop, change = file.statements
    assert drop.drops == (Dropped("view", "public.totals", cascaded=False),)
    assert change.rewrites == (Rewrite("public.orders", "table", None, None),)
    assert HeldLock("public.orders", "AccessExclusiveLock") in change.locks


def test_names_of_letters_that_the_sessions_encoding_lacks(place):
    place.target.run('CREATE TABLE "dürfen 漢\n\u202e" (i int)')
    (file,) = run(place, "set client_encoding = latin1; do $$ declare t text; begin "
                  "for t in select relname from pg_class where relname like 'd%rfen%' loop "
                  "execute format('drop table %I', t); end loop; end $$;")  # fmt: skip
    assert file.outcome == "passed", file.error
    assert [drop.name for facts in file.statements for drop in facts.drops] == ["public.dürfen 漢��"]


def test_the_watcher_leaves_no_trace_and_changes_no_hash(place):
    with closing(place.ask()) as ask:
        before = (catalog_hash(ask), ask.execute("SELECT count(*) FROM pg_proc").fetchone())
        tracer = Tracer(ask)
        assert catalog_hash(ask) == before[0]
        tracer.remove()
        assert (catalog_hash(ask), ask.execute("SELECT count(*) FROM pg_proc").fetchone()) == before
        assert ask.execute("SELECT FROM pg_event_trigger WHERE evtname LIKE 'countersign%'").fetchone() is None
        assert ask.execute("SELECT FROM pg_class WHERE relname LIKE 'countersign%'").fetchone() is None


# --- what does not pass --------------------------------------------------------------------------------------------


def test_an_error_is_shown_like_a_compilers_and_nothing_runs_behind_it(place):
    good, bad, never = run(
        place, "create table a (i int)", "select 1;\nalter table a\n  add column b intger;", "select 1"
    )
    assert (good.outcome, bad.outcome, never.outcome) == ("passed", "failed", "not_run")
    assert (bad.catalog_sha256, never.catalog_sha256) == (None, None)
    error = bad.error
    assert (error["sqlstate"], error["line"], error["column"]) == ("42704", 3, 16)
    assert error["message"] == 'type "intger" does not exist'
    assert error["caret"] == "3 |   add column b intger;\n  |                ^".replace(";", "")


def test_row_values_are_masked(place):
    (file,) = run(place, "insert into users values (30, 'secret@acme.example'), (31, 'secret@acme.example')")
    assert file.error["sqlstate"] == "23505"
    assert "secret@acme" not in file.error["detail"]


def test_an_endless_statement_is_ended_and_pointed_at(place):
    (file,) = run(place, "select 1;\nselect pg_sleep(60);", limits=Limits(30, 1))
    assert (file.outcome, file.error["line"]) == ("failed", 2)
    assert "1 s" in file.error["message"]


def test_a_statement_that_catches_its_own_cancellation_is_ended_too(place):
    text = "do $$ begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end $$"
    (file,) = run(place, text, limits=Limits(30, 1))
    assert (file.outcome, file.error["line"]) == ("failed", 1)
    assert "1 s" in file.error["message"]


def test_the_whole_has_a_limit_too(place):
    first, second = run(place, "select pg_sleep(60)", "select 1", limits=Limits(1, 60))
    assert (first.outcome, second.outcome) == ("failed", "not_run")
    assert "rehearsal took longer than 1 s" in first.error["message"]


def test_a_stop_ends_it(place):
    with traced(place) as tracer, pytest.raises(OpsError) as caught:
        run_files(place, tracer, [migration("select 1")], limits=Limits(60, 30), stop=lambda: True)
    assert caught.value.reason == "stopped"


def test_an_extension_that_the_role_may_not_create_is_made_for_it(place):
    (file,) = run(place, "create extension if not exists nowhere with schema extensions;\nselect no_such_function();")
    assert place.stand_ins == ["nowhere"]
    assert (file.outcome, file.error["line"]) == ("failed", 2)
    assert "nly the outside of nowhere was there" in file.error["about_copy"]
    assert "outside" not in file.error["hint"]

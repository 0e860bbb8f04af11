"""What a statement did on the copy beyond what it says: by a function that it calls, by a trigger, uncounted."""

from dataclasses import replace
from pathlib import Path

import pytest
from hazards_support import GB
from hazards_support import KB
from hazards_support import after
from hazards_support import files
from hazards_support import rehearsal
from hazards_support import saw
from postgres_fixtures import run_sql

from ops.hazards import HazardClass
from ops.hazards import Level
from ops.hazards import find_hazards
from ops.hazards.rehearsed import hazards_after
from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from sandbox.postgres import LocalPostgres

VICTIM = Dropped("table", "public.victim", cascaded=False, bytes=41 * GB, rows=5)
LOCKED = HeldLock("public.victim", "AccessExclusiveLock", 41 * GB, 5)
SEEN = ("drop-seen", HazardClass.DATA_LOSS, Level.DANGER)


def told(text: str, *facts: StatementFacts) -> list[tuple[str, HazardClass, Level]]:
    found = after(text, *facts)
    return [(one.rule, one.hazard_class, one.level) for one in found if one.rule != "calls-unread-function"]


# --- drops


@pytest.mark.parametrize(
    "text",
    [
        "select helper();",
        "call helper();",
        "insert into orders (id) values (1);",
        "update orders set note = '' where id = 1;",
        "explain analyze select helper();",
        "alter table orders add column note text default helper();",
        "grant select on orders to authenticated;",
        "alter table orders drop column note;",
        "do $$ begin perform helper(); end $$;",
        "drop table other;",
        "drop table victim_of_another_name, other;",
    ],
)
def test_a_table_that_a_statement_drops_unspoken_is_a_loss_by_itself(text: str) -> None:
    assert SEEN in told(text, saw(drops=[VICTIM], locks=[LOCKED]))


def test_a_drop_in_a_called_function_is_not_also_a_lock() -> None:
    assert told("select helper();", saw(drops=[VICTIM], locks=[LOCKED])) == [SEEN]


def test_a_policy_or_a_view_that_a_called_function_drops_is_told() -> None:
    drops = [
        Dropped("policy", "own on public.orders", cascaded=False),
        Dropped("view", "public.open_orders", cascaded=False),
    ]
    assert {rule for rule, *_ in told("select helper();", saw(drops=drops))} == {
        "policy-drop-seen",
        "dependent-drop-seen",
    }


@pytest.mark.parametrize(
    ("text", "drop"),
    [
        ("drop policy own on orders; create policy own on orders using (a);", ("policy", "own on public.orders")),
        (
            'drop policy if exists "own rows" on orders; create policy "own rows" on orders using (a);',
            ("policy", '"own rows" on public.orders'),
        ),
        (
            "do $$ begin drop policy own on orders; end $$; create policy own on orders using (a);",
            ("policy", "own on public.orders"),
        ),
        ("drop view internal.v; create view internal.v as select 1 as a;", ("view", "internal.v")),
        (
            "drop materialized view internal.m; create materialized view internal.m as select 1 as a;",
            ("materialized view", "internal.m"),
        ),
        ("drop function f(int); create function f(a int) returns int return 1;", ("function", "public.f(integer)")),
        (
            "drop trigger t on orders; create trigger t before insert on orders execute function f();",
            ("trigger", "t on public.orders"),
        ),
        (
            "alter table orders drop constraint c; alter table orders add constraint c check (a) not valid;",
            ("table constraint", "c on public.orders"),
        ),
        ("drop cast (text as integer);", ("cast", "(text AS integer)")),
        ("drop event trigger e;", ("event trigger", "e")),
        ("drop server s;", ("server", "s")),
        ("alter default privileges revoke all on tables from anon;", ("default acl", "for role postgres on tables")),
        ("drop index concurrently i;", ("index", "public.i")),
        ("drop operator class c using btree;", ("operator class", "public.c USING btree")),
    ],
)
def test_a_drop_that_was_read_and_judged_is_not_told_as_unspoken(text: str, drop: tuple[str, str]) -> None:
    found = told(text, saw(drops=[Dropped(*drop, cascaded=False)]))
    assert not [rule for rule, *_ in found if rule.endswith("-seen")]


def test_another_object_than_the_one_that_is_named_is_told() -> None:
    """An event trigger may drop more than the statement says."""
    text = "drop policy own on orders; create policy own on orders using (a);"
    drops = [Dropped("policy", f"{name} on public.orders", cascaded=False) for name in ("own", "other")]
    (hazard,) = after(text, saw(drops=drops))
    assert (hazard.rule, hazard.message) == (
        "policy-drop-seen",
        "In the rehearsal it dropped policy other on public.orders.",
    )


def test_a_loss_that_a_milder_rule_told_of_something_else_hides_no_cascade() -> None:
    text = "drop materialized view sales cascade;"
    drops = [
        Dropped("materialized view", "public.sales", cascaded=False, bytes=KB),
        Dropped("table column", "public.orders.sale", cascaded=True, rows=9),
    ]
    assert SEEN in told(text, saw(drops=drops))


def test_a_sequence_or_a_schema_that_was_read_is_told_once() -> None:
    text = "drop sequence numbers; drop schema billing;"
    found = told(
        text,
        saw(0, drops=[Dropped("sequence", "public.numbers", cascaded=False)]),
        saw(1, drops=[Dropped("schema", "billing", cascaded=False)]),
    )
    assert sorted(rule for rule, *_ in found) == ["drop-schema", "drop-sequence"]


# --- locks and rewrites


@pytest.mark.parametrize("text", ["select helper();", "call helper();", "insert into orders (id) values (1);"])
def test_a_lock_that_a_called_function_takes_is_told(text: str) -> None:
    assert told(text, saw(locks=[LOCKED])) == [("lock-seen", HazardClass.LOCKS, Level.CAUTION)]


@pytest.mark.parametrize(
    "text",
    [
        "alter table victim add column note text;",
        "alter table victim add column made_at timestamptz default now();",
        "do $$ begin alter table victim add column note text; end $$;",
        "create policy own on victim using (owner = auth.uid());",
        "create trigger t before insert on victim execute function f();",
    ],
)
def test_a_lock_that_goes_with_a_statement_that_was_read_is_not_told(text: str) -> None:
    assert "lock-seen" not in [rule for rule, *_ in told(text, saw(locks=[LOCKED]))]


def test_a_function_that_a_new_column_calls_may_lock_what_it_likes() -> None:
    text = "alter table orders add column note text default helper();"
    assert ("lock-seen", HazardClass.LOCKS, Level.CAUTION) in told(text, saw(locks=[LOCKED]))


def test_a_rewrite_beside_the_one_that_was_read_is_told() -> None:
    text = "do $$ begin alter table orders alter column id type bigint; execute format('%s', 1); end $$;"
    rewrites = [Rewrite("public.orders", "table", KB, 1), Rewrite("public.victim", "table", 41 * GB, 5)]
    found = after(text, saw(rewrites=rewrites))
    assert [(one.rule, one.relation) for one in found] == [
        ("rewrite-seen", "public.victim"),
        ("changing-column-type", "public.orders"),
    ]


def test_partitions_that_are_written_anew_with_their_table_are_told_with_it() -> None:
    rewrites = [Rewrite("public.part", "table", 41 * GB, 5)]
    (hazard,) = after("alter table orders alter column id type bigint;", saw(rewrites=rewrites))
    assert "it rewrote public.part (41 GB" in hazard.message


def test_a_table_that_a_called_function_empties_is_a_loss() -> None:
    assert told("select helper();", saw(rewrites=[Rewrite("public.victim", "truncated", GB, 1)])) == [SEEN]


def test_a_delete_that_is_told_of_one_table_hides_none_of_another() -> None:
    rows = [TouchedRows("public.orders", 0, 0, 1), TouchedRows("public.victim", 0, 0, 7)]
    found = after("delete from orders where id = 1;", saw(rows=rows, locks=[LOCKED]), with_data=True)
    assert ("rows-deleted-seen", "public.victim") in [(one.rule, one.relation) for one in found]


# --- what a small table does not make small


SMALL = HeldLock("public.settings", "AccessExclusiveLock", 48 * KB, 3)


@pytest.mark.parametrize(
    ("text", "rule", "index"),
    [
        ("lock table settings; update big set a = 1 where id > 5;", "lock-table", 0),
        ("lock table settings; update settings set a = 1 where id > 5;", "lock-held-over-work", 1),
        ("alter table big add column a int; insert into log select 1 from settings, big;", "lock-held-over-work", 1),
        ("refresh materialized view settings;", "refresh-blocks-readers", 0),
        ("drop index settings;", "require-concurrent-index-deletion", 0),
        ("alter table settings detach partition old;", "require-concurrent-partition-detach", 0),
    ],
)
def test_what_takes_long_for_other_reasons_is_not_made_milder(text: str, rule: str, index: int) -> None:
    before = [one for one in find_hazards(files(text), squawk=None) if one.rule == rule]
    found = [one for one in after(text, saw(index, locks=[SMALL])) if one.rule == rule]
    assert [one.level for one in found] == [one.level for one in before] != []


def test_a_small_index_of_a_large_table_is_not_small_work() -> None:
    table = HeldLock("public.big", "ShareLock", 41 * GB, 9)
    (hazard,) = [
        one
        for one in after("reindex index settings;", saw(locks=[SMALL, table]))
        if one.rule == "require-concurrent-reindex"
    ]
    assert hazard.level is Level.DANGER
    (small,) = after("reindex table settings;", saw(locks=[SMALL]))
    assert small.level is Level.INFO


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lock table a;\nupdate c set d = 1 where e;", "Keeps public.a locked while public.c is updated."),
        ("lock table a, b;\ncreate index on b (d);", "Keeps public.b locked while public.b is indexed."),
        ("lock table a;\nupdate a set d = 1 where e;", "Keeps public.a locked while public.a is updated."),
        ("lock table a in access share mode;\nupdate c set d = 1 where e;", ""),
        ("truncate a, b;\nupdate b set d = 1 where e;", "Updates public.b in the transaction that alters it"),
    ],
)
def test_a_table_that_is_locked_by_name_is_held(text: str, message: str) -> None:
    found = [one.message for one in find_hazards(files(text), squawk=None)]
    held = [one for one in found if one.startswith(("Keeps", "Updates"))]
    assert [message in one for one in held] == ([True] if message else [])


# --- facts that are not all there


def test_what_was_too_much_to_be_kept_is_a_loss_that_nobody_has_judged() -> None:
    found = after("select helper();", saw(more=1_234))
    assert [(one.rule, one.hazard_class, one.level) for one in found] == [
        ("more-than-listed", HazardClass.DATA_LOSS, Level.DANGER)
    ]
    assert (found[0].line, found[0].statement) == (1, 0)
    assert "1,234 things more than could be listed" in found[0].message


def test_statements_that_were_left_out_are_a_loss_that_nobody_has_judged() -> None:
    (hazard,) = after("select 1;", left_out=7)
    assert (hazard.rule, hazard.level, hazard.statement) == ("more-than-listed", Level.DANGER, None)
    assert "7 statements did more than could be listed" in hazard.message
    assert after("select 1;") == ()


# --- what ran before it ended


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.IMPOSSIBLE])
def test_what_ran_counts_however_the_rehearsal_ended(outcome: Outcome) -> None:
    pending = files("select helper(); select 1;", "select 2;")
    shown = rehearsal(pending, saw(drops=[VICTIM]))
    first = replace(shown.files[0], outcome="failed", ran=1, catalog_sha256=None)
    second = replace(shown.files[1], outcome="not_run", ran=0)
    found = hazards_after((), pending, replace(shown, outcome=outcome, files=(first, second)))
    assert [one.rule for one in found] == ["drop-seen"]


def test_a_rehearsal_that_was_impossible_makes_nothing_milder() -> None:
    pending = files("alter table orders alter column note type text;")
    hazards = find_hazards(pending, squawk=None)
    shown = replace(rehearsal(pending), outcome=Outcome.IMPOSSIBLE)
    assert hazards_after(hazards, pending, shown) == hazards
    assert hazards_after(hazards, pending, Rehearsal(Outcome.IMPOSSIBLE)) == hazards


# --- really rehearsed


def test_a_function_that_the_plan_calls_hides_nothing(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    name = database.rpartition("/")[2].partition("?")[0]
    run_sql(
        local_postgres,
        name,
        "CREATE TABLE public.victim (id int); ALTER TABLE public.victim OWNER TO postgres;"
        "CREATE TABLE public.other (id int); ALTER TABLE public.other OWNER TO postgres;"
        "CREATE TABLE public.third (id int); ALTER TABLE public.third OWNER TO postgres;",
    )
    body = "language plpgsql as $$ begin execute 'drop table public.victim'; return null; end $$;"
    texts = (
        "create function helper() returns int language plpgsql as"
        " $$ begin execute 'lock table public.third'; execute 'drop table public.other'; return 1; end $$;"
        " select helper();",
        f"create table internal_log (id int); create function act() returns trigger {body}"
        " create trigger act after insert on internal_log execute function act(); insert into internal_log values (1);",
    )
    pending = files(*texts)
    shown = rehearse_files(lambda: database, pending, cache=tmp_path)
    assert (shown.outcome, shown.because) == (Outcome.PASSED, "")
    found = {(one.rule, one.version, one.relation) for one in hazards_after((), pending, shown)}
    assert {
        ("drop-seen", "1", "public.other"),
        ("lock-seen", "1", "public.third"),
        ("drop-seen", "2", "public.victim"),
    } <= found


EVERYDAY_BASE = """
    CREATE TABLE public.orders (id int PRIMARY KEY, owner uuid, note text, state text CHECK (state <> ''));
    ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "own rows" ON public.orders USING (owner = auth.uid());
    CREATE TABLE public.events (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE public.events_2026 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
    ALTER TABLE public.events_2026 ENABLE ROW LEVEL SECURITY;
    CREATE INDEX orders_note ON public.orders (note);
    CREATE SCHEMA internal AUTHORIZATION postgres;
    CREATE VIEW internal."open orders" AS SELECT id FROM public.orders;
    CREATE MATERIALIZED VIEW internal.sales AS SELECT count(*) AS sold FROM public.orders;
    CREATE UNIQUE INDEX sales_sold ON internal.sales (sold);
    CREATE FUNCTION public.total(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER touch BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch();
    ALTER TABLE public.orders OWNER TO postgres;
    ALTER TABLE public.events OWNER TO postgres;
    ALTER TABLE public.events_2026 OWNER TO postgres;
    ALTER VIEW internal."open orders" OWNER TO postgres;
    ALTER MATERIALIZED VIEW internal.sales OWNER TO postgres;
    ALTER FUNCTION public.total(int) OWNER TO postgres;
    ALTER FUNCTION public.touch() OWNER TO postgres;
"""
EVERYDAY = (
    """drop policy "own rows" on orders;
       create policy "own rows" on orders using (owner = (select auth.uid())) with check (owner = (select auth.uid()));""",
    'drop view internal."open orders"; create view internal."open orders" as select id, note from public.orders;',
    """drop materialized view internal.sales;
       create materialized view internal.sales as select count(*) as sold, 1 as more from public.orders;
       create unique index sales_sold on internal.sales (sold);""",
    "drop function total(int); create function total(a int) returns bigint language sql as 'select a::bigint';",
    """drop trigger touch on orders;
       create trigger touch before update on orders for each row execute function touch();""",
    """alter table orders drop constraint orders_state_check;
       alter table orders add constraint orders_state_check check (state <> 'x') not valid;""",
    "drop index concurrently orders_note;",
    "create index concurrently orders_note on orders (note);",
    "refresh materialized view concurrently internal.sales;",
    "alter table events add column made_at timestamptz default now();",
    "do $$ begin drop policy if exists later on orders; alter table orders add column if not exists b int; end $$;",
    """create table profiles (id int primary key, order_id int references orders (id));
       alter table profiles enable row level security;
       create policy own on profiles using (id = 1);
       insert into profiles (id) values (1);
       create function welcome() returns trigger language plpgsql security definer set search_path = ''
         as 'begin return new; end';
       revoke execute on function welcome() from public, anon, authenticated;
       create trigger on_auth_user_created after insert on profiles for each row execute function public.welcome();""",
    "update orders set note = 'x' where state = 'y';",
)


def test_everyday_files_stay_silent_after_a_rehearsal(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    run_sql(local_postgres, database.rpartition("/")[2].partition("?")[0], EVERYDAY_BASE)
    pending = files(*EVERYDAY)
    shown = rehearse_files(lambda: database, pending, cache=tmp_path)
    assert (shown.outcome, shown.because) == (Outcome.PASSED, "")
    before = find_hazards(pending, squawk=None)
    found = hazards_after(before, pending, shown)
    new = {(one.version, one.rule, one.message) for one in found} - {
        (one.version, one.rule, one.message) for one in before
    }
    assert {one for one in new if one[1] not in {old.rule for old in before if old.version == one[0]}} == set()

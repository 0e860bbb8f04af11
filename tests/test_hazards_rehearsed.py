"""What a rehearsal shows overrules what was only read; what nobody read becomes a hazard of its own."""

from dataclasses import replace
from pathlib import Path

import pytest
from hazards_support import GB
from hazards_support import KB
from hazards_support import MB
from hazards_support import after
from hazards_support import files
from hazards_support import rehearsal
from hazards_support import saw
from postgres_fixtures import run_sql

from ops.amounts import size_text
from ops.hazards import Hazard
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.hazards import find_hazards
from ops.hazards.rehearsed import hazards_after
from ops.hazards.rehearsed_rules import ACCESS_OPENED
from ops.hazards.rehearsed_rules import DEPENDENT_DROP_SEEN
from ops.hazards.rehearsed_rules import DROP_SEEN
from ops.hazards.rehearsed_rules import LOCK_SEEN
from ops.hazards.rehearsed_rules import POLICY_DROP_SEEN
from ops.hazards.rehearsed_rules import REWRITE_SEEN
from ops.hazards.rehearsed_rules import ROWS_DELETED_SEEN
from ops.hazards.rehearsed_rules import ROWS_UPDATED_SEEN
from ops.hazards.rehearsed_rules import SEEN
from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from sandbox.postgres import LocalPostgres

DO = "do $$ begin execute format('select %s', 1); end $$;"


LOCKED = HeldLock("public.orders", "AccessExclusiveLock", 41 * GB, 1_200_000)
REWRITTEN = Rewrite("public.orders", "table", 41 * GB, 1_200_000)
SMALL = HeldLock("public.orders", "ShareLock", 48 * KB, 210)


# --- rewrites


def test_varchar_to_text_rewrites_nothing() -> None:
    (hazard,) = after("alter table orders alter column note type text;", saw(locks=[LOCKED]))
    assert (hazard.rule, hazard.level) == ("changing-column-type", Level.INFO)
    assert hazard.message.endswith("In the rehearsal it rewrote nothing.")


def test_a_rewrite_that_happened_is_told_with_the_size_on_the_target() -> None:
    (hazard,) = after("alter table orders alter column id type bigint;", saw(locks=[LOCKED], rewrites=[REWRITTEN]))
    assert (hazard.rule, hazard.level) == ("changing-column-type", Level.DANGER)
    assert hazard.message.endswith(
        "In the rehearsal it rewrote public.orders (41 GB, about 1.2 million rows on the target)."
    )


def test_an_index_that_alone_is_built_anew_makes_a_caution() -> None:
    index = Rewrite("public.orders_note", "index", 2 * GB, None)
    (hazard,) = after("alter table orders alter column note type uuid;", saw(locks=[LOCKED], rewrites=[index]))
    assert hazard.level is Level.CAUTION
    assert "only built anew public.orders_note (2.0 GB on the target)" in hazard.message


@pytest.mark.parametrize(
    ("text", "facts", "level"),
    [
        ("alter table orders alter column note type text;", saw(more=3), Level.CAUTION),
        ("do $$ begin alter table orders alter column id type bigint; end $$;", saw(), Level.DANGER),
        ("vacuum full orders;", saw(), Level.DANGER),
        ("alter table orders alter column id type bigint;", saw(locks=[SMALL]), Level.INFO),
        (
            "alter table orders set unlogged;",
            saw(locks=[SMALL], rewrites=[Rewrite("public.orders", "table", 48 * KB, 210)]),
            Level.INFO,
        ),
    ],
    ids=["facts were cut", "in a DO block", "outside a transaction", "small", "small and rewritten"],
)
def test_silence_about_a_rewrite_counts_only_where_it_is_evidence(
    text: str, facts: StatementFacts, level: Level
) -> None:
    assert [one.level for one in after(text, facts) if one.rule != "more-than-listed"] == [level]


def test_a_statement_that_did_not_run_is_judged_as_it_was_read() -> None:
    pending = files("select 1; alter table orders alter column note type text;")
    hazards = find_hazards(pending, squawk=None)
    passed = rehearsal(pending)
    failed = replace(passed, outcome=Outcome.FAILED, files=(replace(passed.files[0], outcome="failed", ran=1),))
    assert hazards_after(hazards, pending, failed) == hazards
    assert hazards_after(hazards, pending, replace(passed, files=())) == hazards
    assert hazards_after(hazards, pending, Rehearsal(Outcome.IMPOSSIBLE, because="no copy")) == hazards
    assert hazards_after(hazards, pending, passed) != hazards


def test_a_rewrite_that_nobody_read_is_a_hazard_of_its_own() -> None:
    (hazard,) = after(DO, saw(locks=[LOCKED], rewrites=[REWRITTEN]))
    assert (hazard.rule, hazard.hazard_class, hazard.level) == ("rewrite-seen", HazardClass.REWRITE, Level.DANGER)
    assert (hazard.version, hazard.line, hazard.relation) == ("1", 1, "public.orders")
    assert hazard.message == "In the rehearsal it rewrote public.orders (41 GB, about 1.2 million rows on the target)."


@pytest.mark.parametrize(
    ("size", "level"),
    [(None, Level.DANGER), (41 * GB, Level.DANGER), (200 * MB, Level.CAUTION), (48 * KB, Level.INFO)],
)
def test_a_rewrite_weighs_as_much_as_the_table_on_the_target(size: int | None, level: Level) -> None:
    assert [one.level for one in after(DO, saw(rewrites=[Rewrite("public.orders", "table", size, None)]))] == [level]


# --- locks


def test_locks_on_a_small_table_are_told_as_info() -> None:
    (hazard,) = after("create index orders_note on orders (note);", saw(locks=[SMALL]))
    assert (hazard.rule, hazard.level) == ("require-concurrent-index-creation", Level.INFO)
    assert hazard.message.endswith("public.orders is small on the target: 48 kB, about 210 rows.")


@pytest.mark.parametrize(
    "lock",
    [LOCKED, HeldLock("public.orders", "ShareLock", None, 3), HeldLock("public.people", "ShareLock", 0, 0)],
    ids=["large", "size not known", "another table"],
)
def test_locks_stay_as_they_are_where_the_table_is_not_known_to_be_small(lock: HeldLock) -> None:
    (hazard,) = after("create index orders_note on orders (note);", saw(locks=[lock]))
    assert hazard.level is Level.DANGER


def test_a_table_that_the_plan_perhaps_made_was_there_when_its_lock_is_seen() -> None:
    text = "create table if not exists internal.t (a int); create index t_a on internal.t (a);"
    (unseen,) = after(text)
    (seen,) = after(text, saw(1, locks=[HeldLock("internal.t", "ShareLock", 41 * GB, 5)]))
    assert (unseen.level, seen.level) == (Level.INFO, Level.DANGER)
    assert seen.message == "Nobody can write to internal.t while index t_a is built."


def test_a_lock_out_of_a_do_block_is_a_hazard_once_for_each_table() -> None:
    found = after(DO, saw(locks=[LOCKED, HeldLock("public.people", "RowExclusiveLock", GB, 1), LOCKED]))
    assert [(one.rule, one.level) for one in found] == [("lock-seen", Level.CAUTION)]
    assert found[0].message == (
        "In the rehearsal it locked public.orders (AccessExclusiveLock): 41 GB, about 1.2 million rows on the target."
    )
    assert [one.level for one in after(DO, saw(locks=[SMALL]))] == [Level.INFO]


def test_a_lock_that_was_read_is_not_told_again() -> None:
    assert after("alter table orders add column note text;", saw(locks=[LOCKED])) == ()


# --- drops


def test_what_a_drop_takes_along_is_told_by_kind() -> None:
    drops = [
        Dropped("table column", "public.orders.mood", cascaded=True, rows=1_200_000),
        Dropped("policy", "own on public.orders", cascaded=True),
        Dropped("view", "public.open_orders", cascaded=True),
    ]
    found = after(
        "drop function mood_of(int) cascade; create function mood_of(a int) returns int return 1;", saw(drops=drops)
    )
    assert [(one.rule, one.hazard_class, one.level) for one in found] == [
        ("drop-seen", HazardClass.DATA_LOSS, Level.DANGER),
        ("dependent-drop-seen", HazardClass.COMPATIBILITY, Level.CAUTION),
        ("policy-drop-seen", HazardClass.ACCESS, Level.CAUTION),
    ]
    assert (
        found[0].message
        == "In the rehearsal it dropped column public.orders.mood (about 1.2 million rows on the target)."
    )


def test_a_drop_that_was_read_is_told_once_with_its_size_and_company() -> None:
    drops = [
        Dropped("table", "public.orders", cascaded=False, bytes=41 * GB, rows=1_200_000),
        Dropped("materialized view", "public.sales", cascaded=True, bytes=3 * MB),
    ]
    (hazard,) = after("drop table orders cascade;", saw(drops=drops))
    assert (hazard.rule, hazard.level) == ("drop-table", Level.DANGER)
    assert hazard.message == (
        "Drops table public.orders with its rows and all that depends on it. "
        "It holds 41 GB, about 1.2 million rows on the target. "
        "In the rehearsal it took along materialized view public.sales (3.0 MB on the target)."
    )


def test_a_table_dropped_by_built_sql_is_a_loss_and_not_also_a_lock() -> None:
    dropped = Dropped("table", "public.orders", cascaded=False, bytes=41 * GB, rows=5)
    (hazard,) = after(DO, saw(locks=[LOCKED], drops=[dropped]))
    assert (hazard.rule, hazard.hazard_class, hazard.level) == ("drop-seen", HazardClass.DATA_LOSS, Level.DANGER)


def test_a_loss_of_data_is_never_made_milder() -> None:
    """The copy has no rows, and the table may be small today."""
    emptied = [Rewrite("public.orders", "truncated", 48 * KB, 210)]
    for text, lock, rewrites in (
        ("truncate orders;", "AccessExclusiveLock", emptied),
        ("delete from orders;", "RowExclusiveLock", []),
        ("drop table orders;", "AccessExclusiveLock", []),
        ("alter table orders drop column note;", "AccessExclusiveLock", []),
    ):
        (hazard,) = after(text, saw(locks=[replace(SMALL, mode=lock)], rewrites=rewrites))
        assert (hazard.hazard_class, hazard.level) == (HazardClass.DATA_LOSS, Level.DANGER), text


def test_a_table_emptied_by_built_sql_is_a_loss() -> None:
    (hazard,) = after(DO, saw(rewrites=[Rewrite("public.orders", "truncated", 41 * GB, 5)]))
    assert (hazard.rule, hazard.hazard_class) == ("drop-seen", HazardClass.DATA_LOSS)
    assert "emptied public.orders (41 GB, about 5 rows on the target)" in hazard.message


# --- rows


def test_rows_count_only_where_the_copy_has_the_data() -> None:
    facts = saw(rows=[TouchedRows("public.orders", 0, 20_000, 300)])
    assert after(DO, facts) == ()
    found = after(DO, facts, with_data=True)
    assert [(one.rule, one.hazard_class, one.level) for one in found] == [
        ("rows-deleted-seen", HazardClass.DATA_LOSS, Level.DANGER),
        ("rows-updated-seen", HazardClass.SIZE, Level.CAUTION),
    ]
    assert found[0].message == "In the rehearsal it deleted 300 rows of public.orders."


def test_rows_that_go_along_by_a_foreign_key_are_told() -> None:
    rows = [TouchedRows("public.people", 0, 0, 2), TouchedRows("public.orders", 0, 0, 700)]
    found = after("delete from people where id = 3;", saw(rows=rows), with_data=True)
    assert [(one.rule, one.relation) for one in found] == [
        ("rows-deleted-seen", "public.orders"),
        ("rows-deleted", "public.people"),
    ]
    assert found[1].message.endswith("In the rehearsal it deleted 2 rows.")


# --- access


def opened(text: str, *changes: AccessChange) -> tuple[Hazard, ...]:
    pending = files(text, "select 1;")
    hazards = [one for one in find_hazards(pending, squawk=None) if one.rule not in ("linter-failed", "cannot-be-read")]
    return hazards_after(hazards, pending, replace(rehearsal(pending), access_opened=changes))


def test_access_that_a_rule_told_already_is_told_once() -> None:
    change = AccessChange("table-without-rls", "danger", "public.notes", "Table public.notes has no RLS.", "k")
    assert [one.rule for one in opened("create table notes (id int);", change)] == ["table-without-rls"]
    definer = AccessChange(
        "definer-without-search-path", "caution", "public.f(integer)", "public.f runs as owner.", "k"
    )
    text = "create function f(a int) returns int language sql security definer as 'select 1';"
    assert [one.rule for one in opened(text, definer)] == ["definer-without-search-path"]


def test_access_that_nobody_read_is_told_where_the_object_is_named() -> None:
    text = "do $$ begin\nexecute 'create table ' || 'notes (id int)'; end $$;"
    change = AccessChange("table-without-rls", "danger", "public.notes", "Table public.notes has no RLS.", "k")
    (hazard,) = opened(text, change)
    assert (hazard.rule, hazard.hazard_class, hazard.level) == ("table-without-rls", HazardClass.ACCESS, Level.DANGER)
    assert (hazard.version, hazard.line) == ("1", 2)
    assert hazard.message == "Table public.notes has no RLS, as the rehearsal shows."
    other = AccessChange("published-without-rls", "caution", "public.elsewhere", "Is published.", "k")
    (unplaced,) = opened("select 1;", other)
    assert (unplaced.rule, unplaced.level, unplaced.version) == ("access-opened", Level.CAUTION, "2")


# --- words


@pytest.mark.parametrize(
    ("size", "rows", "expected"),
    [
        (None, None, ""),
        (0, 0, "0 bytes, about 0 rows"),
        (1536, None, "1.5 kB"),
        (41 * GB, 1_200_000, "41 GB, about 1.2 million rows"),
        (5 * 2**50, -1, "5120 TB"),
    ],
)
def test_sizes_are_words(size: int | None, rows: int | None, expected: str) -> None:
    assert size_text(size, rows) == expected


# --- really rehearsed

SHOP = """
    CREATE SCHEMA internal;
    CREATE TABLE public.orders (
      id int PRIMARY KEY, owner uuid, note varchar(200), code varchar(40), state text
    );
    ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.orders USING (owner IS NOT NULL);
    CREATE FUNCTION public.order_total(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE VIEW internal.totals AS SELECT public.order_total(1) AS total;
    INSERT INTO public.orders (id, note) SELECT n, 'x' FROM generate_series(1, 20000) AS n;
    ANALYZE public.orders;
    ALTER TABLE public.orders OWNER TO postgres;
    ALTER FUNCTION public.order_total(int) OWNER TO postgres;
    ALTER VIEW internal.totals OWNER TO postgres;
    ALTER SCHEMA internal OWNER TO postgres;
"""
# What a later example needs must not be gone by then.
IN_TURN = (LOCK_SEEN, ROWS_UPDATED_SEEN, REWRITE_SEEN, DEPENDENT_DROP_SEEN, ACCESS_OPENED)
AT_LAST = (ROWS_DELETED_SEEN, POLICY_DROP_SEEN, DROP_SEEN)


def rehearsed(local_postgres: LocalPostgres, database: str, tmp_path: Path, *texts: str) -> tuple[Hazard, ...]:
    """The hazards of these files after a rehearsal with data that ran them all."""
    pending = files(*texts)
    name = database.rpartition("/")[2].partition("?")[0]
    run_sql(local_postgres, name, SHOP)
    shown = rehearse_files(lambda: database, pending, cache=tmp_path, with_data=True)
    assert (shown.outcome, shown.because) == (Outcome.PASSED, "")
    return hazards_after(find_hazards(pending), pending, shown)


def test_the_rules_of_a_rehearsal_catch_their_examples(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    order = (*IN_TURN, *AT_LAST)
    assert set(order) == set(SEEN)
    found = rehearsed(local_postgres, database, tmp_path, *(rule.caught for rule in order))
    caught = {(one.version, one.rule) for one in found}
    # Opened access goes by the name of the rule that would have said it, where there is one.
    wanted = {(str(number), rule.id) for number, rule in enumerate(order, 1) if rule is not ACCESS_OPENED}
    assert wanted - caught == set()
    assert (str(order.index(ACCESS_OPENED) + 1), "table-without-rls") in caught


def test_the_rules_of_a_rehearsal_leave_the_others_alone(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    free = "alter table orders alter column code type text;"
    alone = [
        rule for rule in (*IN_TURN, *AT_LAST) if rule is not DEPENDENT_DROP_SEEN
    ]  # which would fail: a view is left
    found = rehearsed(local_postgres, database, tmp_path, free, *(rule.left_alone for rule in alone))
    told = {(one.version, one.rule) for one in found}
    assert told & {(str(number), rule.id) for number, rule in enumerate(alone, 2)} == set()
    assert not {"drop-seen", "rows-deleted-seen", "table-without-rls"} & {rule for _, rule in told}
    (first,) = [one for one in found if one.version == "1"]
    assert (first.rule, first.level) == ("changing-column-type", Level.INFO)
    assert "In the rehearsal it rewrote nothing." in first.message

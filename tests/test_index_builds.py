"""Indexes that are built beside everybody's work: how far they are, and that no INVALID one is left or hidden."""

import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import psycopg
import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until
from people_talk import card
from run_support import NO_BACKUP
from run_support import approve
from run_support import ask
from run_support import ended
from run_support import push_json

from ops.apply_indexes import invalid_indexes
from ops.apply_journal import Patience
from ops.apply_statements import Index
from ops.errors import OpsError
from ops.errors import Reason
from sandbox.stage import Stage

SLOW = """
    CREATE TABLE {table} (i int, filling char(4000) DEFAULT '');
    ALTER TABLE {table} ALTER filling SET STORAGE PLAIN;
    INSERT INTO {table} SELECT generate_series(1, {rows});
    CREATE FUNCTION slowly(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_catalog.pg_sleep({seconds}); RETURN $1; END';
"""
"""A table whose index on slowly(i) takes its time, a page of it for every two rows."""

BRIEF = Patience(seconds=2.0, first_pause_seconds=0.05, cleanup_seconds=0.5)


@pytest.fixture
def target() -> Iterator[Target]:
    with fresh_target() as fresh:
        yield fresh


def invalid(target: Target) -> tuple[str, ...]:
    return invalid_indexes(target.connection, Index(None, None, None))


# --- progress ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrently", ["concurrently", ""])
def test_a_build_tells_how_far_it_is_in_postgres_own_words(target: Target, concurrently: str) -> None:
    target.run(SLOW.format(table="old", rows=120, seconds=0.02))
    journal = ListJournal()
    apply(target, migration(f"create index {concurrently} old_i on old (slowly(i))"), journal=journal)
    words = [words for words, _ in journal.told]
    scanning = [one for one in journal.told if "scanning table" in one[0] and "validation" not in one[0]]
    shares = [share for _, share in scanning if share is not None]
    what = "index public.old_i" if concurrently else "an index on public.old"
    assert any(one.startswith(f"building {what}: scanning table, ") and one.endswith(" %") for one in words), words
    assert len(shares) >= 2
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1


def test_a_build_that_waits_for_others_says_for_whom(target: Target) -> None:
    target.run("CREATE TABLE old (i int)")
    journal = ListJournal()
    work = partial(apply, target, migration("create index concurrently old_i on old (i)"), journal=journal)
    with closing(target.connect("nightly import")) as writer:
        writer.execute("BEGIN; INSERT INTO old VALUES (4711)")
        with in_background(partial(work, patience=Patience(seconds=30))) as results:
            until(lambda: journal.told)
            writer.execute("COMMIT")
    assert results[0].version == "20260101000000"
    words, share = journal.told[0]
    assert words.startswith("building index public.old_i: waiting for writers before build for pid ")
    assert "countersign nightly import, user postgres, idle in transaction" in words
    assert "4711" not in words
    assert share == 0.0


def test_the_card_and_the_terminal_follow_a_build(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(prod=NO_BACKUP, empty=True)
    stage.sql("prod", SLOW.format(table="old", rows=200, seconds=0.02))
    stage.migration("20260101000000_index.sql", "create index concurrently old_i on public.old (public.slowly(i));")
    stage.start_bot()
    ask(stage)
    approve(stage)
    shown = card(stage, "building index public.old_i: ")
    assert "migrate" in shown
    assert ended(stage).status.value == "succeeded"
    told = [event.data or {} for event in stage.events("progressed")]
    assert 1 <= len(told) <= 4  # of some 8 s: kept every 5 s at most
    assert all(one["said"].startswith("building index public.old_i: ") for one in told)
    assert "building index" not in card(stage, "R-1 · shop/prod: done")


# --- what a failure leaves -----------------------------------------------------------------------------------------

DOUBLES = "CREATE TABLE old (i int); INSERT INTO old VALUES (1), (1)"


def test_an_index_without_a_name_is_dropped_where_the_server_showed_that_it_is_ours(target: Target) -> None:
    target.run(SLOW.format(table="old", rows=60, seconds=0.02) + "INSERT INTO old VALUES (1)")
    with pytest.raises(OpsError, match="SQLSTATE 23505") as caught:
        apply(target, migration("create unique index concurrently on old (slowly(i))"), patience=BRIEF)
    assert "was dropped again" in caught.value.hint
    assert caught.value.details["remains"] == ""
    assert invalid(target) == ()


def test_an_index_without_a_name_that_is_not_known_to_be_ours_is_named(target: Target) -> None:
    """Too fast to be seen in the making: it could be anybody's, so nobody drops it."""
    target.run(DOUBLES)
    with pytest.raises(OpsError, match="SQLSTATE 23505") as caught:
        apply(target, migration("create unique index concurrently on old (i)"), patience=BRIEF)
    assert "Index public.old_i_idx is INVALID" in caught.value.message
    assert "DROP INDEX CONCURRENTLY public.old_i_idx" in caught.value.hint
    assert invalid(target) == ("public.old_i_idx",)


def test_an_invalid_index_that_was_there_before_is_left_alone(target: Target) -> None:
    target.run(DOUBLES)
    with pytest.raises(psycopg.errors.UniqueViolation):
        target.run("CREATE UNIQUE INDEX CONCURRENTLY theirs ON old (i)")
    with pytest.raises(OpsError, match="SQLSTATE 23505"):
        apply(target, migration("create unique index concurrently ours on old (i)"), patience=BRIEF)
    assert invalid(target) == ("public.theirs",)


def test_a_build_of_somebody_else_is_not_taken_for_what_ours_left(target: Target) -> None:
    """It waits until ours has failed, and is INVALID while it is built: no word about it, and no hand on it."""
    target.run(SLOW.format(table="old", rows=60, seconds=0.02) + "INSERT INTO old VALUES (1)")
    ours = migration("create unique index concurrently ours on old (slowly(i))")
    work = partial(apply, target, ours, patience=Patience(cleanup_seconds=20))
    with closing(target.connect("somebody")) as somebody, in_background(work) as results:
        until(lambda: invalid(target) == ("public.ours",))
        somebody.execute("CREATE INDEX CONCURRENTLY theirs ON old (slowly(i))")
    assert results[0].reason is Reason.SQL_FAILED
    assert "theirs" not in results[0].message + results[0].hint
    assert target.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'theirs'::regclass") == [(True,)]
    assert not target.has("public.ours")


def test_a_stopped_build_is_dropped_too(target: Target) -> None:
    target.run(SLOW.format(table="old", rows=200, seconds=0.02))
    stop = threading.Event()
    journal = ListJournal()
    work = partial(apply, target, migration("create index concurrently old_i on old (slowly(i))"), journal=journal)
    with in_background(partial(work, stop=stop.is_set, patience=Patience())) as results:
        until(lambda: target.has("public.old_i"))
        stop.set()
    assert results[0].reason is Reason.STOPPED
    assert "Nothing of this file remains" in results[0].message
    assert "Index public.old_i, which it left INVALID, was dropped again." in results[0].hint
    assert journal.outcomes() == ["rolled_back"]
    assert invalid(target) == ()


def test_what_a_failed_rebuild_left_beside_the_index_is_dropped(target: Target) -> None:
    target.run(SLOW.format(table="old", rows=200, seconds=0.005))
    target.run("CREATE INDEX old_i ON old (slowly(i))")
    stop = threading.Event()
    work = partial(apply, target, migration("reindex index concurrently old_i"), stop=stop.is_set)
    with in_background(partial(work, patience=Patience())) as results:
        until(lambda: invalid(target))
        assert invalid(target) == ("public.old_i_ccnew",)
        stop.set()
    assert results[0].reason is Reason.STOPPED
    assert "Index public.old_i_ccnew, which it left INVALID, was dropped again." in results[0].hint
    assert invalid(target) == ()
    assert target.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'old_i'::regclass") == [(True,)]


def test_what_cannot_be_dropped_in_time_is_named(target: Target) -> None:
    """A transaction that the build waited for keeps it from being dropped as well."""
    target.run(DOUBLES)
    with closing(target.connect("writer")) as writer:
        writer.execute("BEGIN; UPDATE old SET i = 2")
        with pytest.raises(OpsError) as caught:
            apply(
                target,
                migration("create index concurrently old_i on old (i)"),
                patience=Patience(seconds=0.4, cleanup_seconds=0.3),
            )
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert "Index public.old_i is INVALID" in caught.value.message
    assert "DROP INDEX CONCURRENTLY public.old_i" in caught.value.hint


def test_nothing_is_dropped_that_the_log_does_not_hold(target: Target) -> None:
    def full_disk(entry: object) -> None:
        if isinstance(entry, tuple) and entry[0] == "cleaning":
            raise OSError("no space")

    target.run(DOUBLES)
    with pytest.raises(OSError, match="no space"):
        apply(
            target,
            migration("create unique index concurrently old_i on old (i)"),
            journal=ListJournal(before=full_disk),
            patience=BRIEF,
        )
    assert invalid(target) == ("public.old_i",)


# --- IF NOT EXISTS -------------------------------------------------------------------------------------------------


@pytest.fixture
def hidden(make_stage: Callable[..., Stage]) -> Stage:
    """An environment with an INVALID index, which a copy of it does not have, and a file that would hide it."""
    stage = make_stage(empty=True)
    stage.sql("dev", DOUBLES)
    with pytest.raises(psycopg.errors.UniqueViolation):
        stage.sql("dev", "CREATE UNIQUE INDEX CONCURRENTLY old_i ON old (i)")
    return stage


def test_the_plan_says_that_a_file_would_hide_an_invalid_index(hidden: Stage) -> None:
    hidden.migration("20260101000000_index.sql", "-- again\ncreate index concurrently if not exists old_i on old (i);")
    plan = hidden.cli("plan", "dev", "--json").json
    [problem] = plan["history"]
    assert "20260101000000_index.sql, line 2: index public.old_i exists but is INVALID" in str(problem)
    pushed = push_json(hidden)
    assert (pushed["reason"], pushed["ok"]) == ("plan_blocked", False)
    assert "DROP INDEX CONCURRENTLY public.old_i" in pushed["hint"]
    assert hidden.events("requested") == []


def test_a_file_that_drops_the_index_first_can_be_pushed(hidden: Stage) -> None:
    hidden.migration(
        "20260101000000_index.sql",
        "drop index concurrently if exists old_i;\ncreate index concurrently if not exists old_i on old (i);",
    )
    assert hidden.cli("plan", "dev", "--json").json["history"] == []
    assert push_json(hidden)["status"] == "succeeded"
    hidden.sql("dev", "set enable_seqscan = off; select * from old where i = 1")

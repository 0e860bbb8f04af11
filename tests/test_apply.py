"""Applying files to a real server: all or nothing, written down before, truthful about what happened."""

import re
import threading
import time
from contextlib import closing
from functools import partial

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import is_sleeping
from apply_helpers import migration
from apply_helpers import until

from ops.apply_journal import CommitIntent
from ops.apply_journal import Outcome
from ops.apply_journal import Patience
from ops.catalog import catalog_hash
from ops.errors import OpsError
from ops.errors import Reason


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


# --- the row -------------------------------------------------------------------------------------------------------


def test_the_history_row_is_byte_for_byte_the_clis(target):
    text = (
        "create table täble (v text); -- ende 100 %\n\n"
        "insert into täble values ('50 %s %(x)s \\n é 漢 🦆'), (E'a\\\\b'), (U&'\\0441');\r\n"
        "create function f() returns text language sql as $$ select 'x;y' $$;;\n-- the end"
    )
    file = migration(text, "20260101000000_größe 1.sql")
    apply(target, file)
    rows = target.rows("SELECT version, name, statements FROM supabase_migrations.schema_migrations")
    assert rows == [("20260101000000", "größe 1", [statement.text for statement in file.statements])]
    assert len(file.statements) == 4
    assert target.rows("SELECT v FROM täble")[0] == ("50 %s %(x)s \\n é 漢 🦆",)


def test_an_empty_file_gets_its_row_too(target):
    apply(target, migration("  \n"))
    assert target.rows("SELECT version, statements FROM supabase_migrations.schema_migrations") == [
        ("20260101000000", [])
    ]


def test_intents_come_before_and_the_catalog_hash_is_the_one_that_stays(target):
    journal = ListJournal()
    applied = apply(target, migration("create table a (i int); create index on a (i)"), journal=journal)
    intent, commit, finished, done = journal.entries
    assert (intent.statements, intent.segment) == ((0, 1), 0)
    assert intent.backend_start.endswith("Z")
    assert commit.catalog_sha256 == applied.catalog_sha256 == catalog_hash(target.connection)
    assert target.rows(f"SELECT pg_xact_status('{commit.xid}')") == [("committed",)]
    assert finished.outcome is Outcome.DONE
    assert done == ("applied", "20260101000000", applied.catalog_sha256)
    assert applied.statements == 2


# --- all or nothing ------------------------------------------------------------------------------------------------


def test_an_sql_error_rolls_the_file_back_and_points_at_the_place(target):
    journal = ListJournal()
    with pytest.raises(OpsError) as caught:
        apply(target, migration("create table a (i int);\n\nalter table a\n  add column b intger;\n"), journal=journal)
    error = caught.value
    assert (error.reason, error.exit_code) == (Reason.SQL_FAILED, 1)
    assert error.message == (
        '20260101000000_change.sql, line 4: type "intger" does not exist (SQLSTATE 42704). '
        "Nothing of this file remains on the target."
    )
    sql = error.details["sql"]
    assert (sql["line"], sql["column"]) == (4, 16)
    assert sql["caret"] == "4 |   add column b intger;"[:-1] + "\n  |                ^"
    assert error.details["remains"] == ""
    assert not target.has("public.a")
    assert journal.outcomes() == ["rolled_back"]
    assert target.rows("SELECT count(*) FROM supabase_migrations.schema_migrations") == [(0,)]


def test_a_deferred_check_fails_before_commit_and_rolls_back(target):
    journal = ListJournal()
    sql = (
        "create table a (i int primary key, b int references a deferrable initially deferred);"
        "insert into a values (1, 77)"
    )
    with pytest.raises(OpsError, match="SQLSTATE 23503") as caught:
        apply(target, migration(sql), journal=journal)
    assert "77" not in caught.value.message + caught.value.hint
    assert "«masked»" in caught.value.hint
    assert not any(isinstance(entry, CommitIntent) for entry in journal.entries)
    assert not target.has("public.a")


def test_a_journal_that_fails_before_a_statement_means_nothing_is_sent(target):
    def full_disk(entry: object) -> None:
        raise OSError(f"no space for {type(entry).__name__}")

    with pytest.raises(OSError, match="no space for Intent"):
        apply(target, migration("create table a (i int)"), journal=ListJournal(before=full_disk))
    assert not target.has("public.a")


def test_a_journal_that_fails_before_commit_rolls_back(target):
    def full_disk(entry: object) -> None:
        if isinstance(entry, CommitIntent):
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        apply(target, migration("create table a (i int)"), journal=ListJournal(before=full_disk))
    assert not target.has("public.a")
    assert target.rows("SELECT count(*) FROM supabase_migrations.schema_migrations") == [(0,)]


def test_a_row_added_by_somebody_else_is_noticed_and_nothing_runs(target):
    expected: tuple[str, ...] = ()
    target.run("INSERT INTO supabase_migrations.schema_migrations VALUES ('20251231000000')")
    with pytest.raises(OpsError, match="20251231000000 was added") as caught:
        apply(target, migration("create table a (i int)"), expect_history=expected)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.PLAN_CHANGED, 3)
    assert not target.has("public.a")


def test_a_row_that_somebody_adds_meanwhile_waits_for_us_and_then_collides(target):
    """The CLI in another terminal: its INSERT waits behind our lock on the history, and does not run the file twice."""
    journal = ListJournal()
    with in_background(lambda: apply(target, migration("select pg_sleep(0.7)"), journal=journal)) as results:
        until(lambda: is_sleeping(target))
        began = time.monotonic()
        with pytest.raises(Exception, match="duplicate key"):
            target.run("INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000000')")
        assert time.monotonic() - began > 0.3
    assert results[0].version == "20260101000000"


# --- sessions ------------------------------------------------------------------------------------------------------


def test_roles_settings_and_temporary_tables_do_not_leak_into_the_next_file(target):
    first = "create temp table t (i int); set search_path = ''; set role clerk; set lock_timeout = '7s'"
    second = (
        "create table proof as select current_user::text as who, current_setting('search_path') as path,"
        " to_regclass('t')::text as temp"
    )
    apply(target, migration(first, "20260101000000_first.sql"))
    apply(target, migration(second, "20260102000000_second.sql"))
    assert target.rows("SELECT * FROM proof") == [("postgres", '"$user", public', None)]


def test_a_superuser_login_makes_tables_for_postgres_even_after_reset_role(target):
    admin = Target(target.admin_url, target.admin_url, target.connection)
    target.run("GRANT ALL ON SCHEMA public TO postgres")
    apply(admin, migration("create table a (i int); set role clerk; reset role; create table b (i int)"))
    owners = target.rows("SELECT relname, relowner::regrole::text FROM pg_class WHERE relname IN ('a', 'b') ORDER BY 1")
    assert owners == [("a", "postgres"), ("b", "postgres")]


def test_a_file_may_change_its_role_to_one_that_cannot_write_the_history(target):
    apply(target, migration("set role clerk"))
    assert target.rows("SELECT version FROM supabase_migrations.schema_migrations") == [("20260101000000",)]


def test_limits_that_a_dump_switches_off_are_put_back_and_its_own_stay(target):
    sql = (
        "set statement_timeout = 0; set lock_timeout = 0; select set_config('lock_timeout', '0', false);"
        "create table a as select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as s;"
        "set lock_timeout = '3s'; insert into a select current_setting('lock_timeout'), ''"
    )
    apply(target, migration(sql), patience=Patience(seconds=1, statement_timeout_seconds=60))
    assert target.rows("SELECT * FROM a") == [("100ms", "1min"), ("3s", "")]


def test_what_the_role_or_the_url_says_of_lock_timeout_does_not_make_others_wait(target):
    slow = Target(f"{target.url}&options=-c%20lock_timeout%3D8s%20-c%20statement_timeout%3D50s", "", target.connection)
    sql = "create table a as select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as s"
    apply(slow, migration(sql))
    assert target.rows("SELECT * FROM a") == [("100ms", "50s")]


def test_a_files_own_begin_and_commit_are_the_transaction_but_are_stored(target):
    file = migration("begin;\ncreate table a as select 1 as i;\ncommit;\n-- end")
    journal = ListJournal()
    apply(target, file, journal=journal)
    rows = target.rows("SELECT statements FROM supabase_migrations.schema_migrations")
    assert rows == [
        (["begin", "create table a as select 1 as i", "commit", "-- end"],),
    ]
    assert len(journal.intents()) == 1


@pytest.mark.parametrize("sql", ["create table a (i int); rollback", "begin; create table a (i int); rollback;"])
def test_a_transaction_that_we_cannot_follow_is_not_begun(target, sql):
    with pytest.raises(OpsError) as caught:
        apply(target, migration(sql))
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert not target.has("public.a")


# --- waiting for locks ---------------------------------------------------------------------------------------------


def test_readers_hardly_wait_while_a_blocker_stands_in_front_of_an_alter(target):
    """The ALTER gives up its place in the queue after 100 ms, so that nobody behind it waits longer than that."""
    target.run("CREATE TABLE busy (i int)")
    slowest, over = 0.0, threading.Event()
    journal = ListJournal()
    file = migration("alter table busy add column j int")

    def read() -> None:
        nonlocal slowest
        with closing(target.connect("app")) as app:
            while not over.is_set():
                began = time.monotonic()
                app.execute("SELECT count(*) FROM busy")
                slowest = max(slowest, time.monotonic() - began)
                time.sleep(0.002)

    with closing(target.connect("blocker")) as blocker:
        blocker.execute("BEGIN; SELECT * FROM busy WHERE i = 4711")
        with in_background(read), in_background(partial(apply, target, file, journal=journal)) as results:
            until(lambda: len(journal.waits) >= 2)
            blocker.execute("COMMIT")
            until(lambda: results)
            over.set()
    assert results[0].version == file.version
    assert 0.03 < slowest < 0.25  # 100 ms and what a busy machine adds
    seen = [blocker for blockers in journal.waits for blocker in blockers]
    assert seen, "nobody was seen in the way"
    assert (seen[0].application, seen[0].user) == ("countersign blocker", "postgres")
    assert seen[0].query == "BEGIN; SELECT * FROM busy WHERE i = ?"
    assert journal.outcomes()[-2:] == ["rolled_back", "done"]


def test_patience_ends_and_names_who_is_in_the_way(target):
    target.run("CREATE TABLE busy (i int)")
    with closing(target.connect("psql of dana")) as blocker:
        blocker.execute("BEGIN; SELECT FROM busy")
        with pytest.raises(OpsError) as caught:
            apply(target, migration("alter table busy add column j int"), patience=Patience(seconds=0.5))
    error = caught.value
    assert (error.reason, error.exit_code) == (Reason.LOCK_TIMEOUT, 5)
    assert "countersign psql of dana, user postgres, idle in transaction" in error.message
    assert "Nothing of this file remains" in error.message


# --- stop ----------------------------------------------------------------------------------------------------------


def test_stop_cancels_the_running_statement_on_the_server(target):
    stop = threading.Event()
    journal = ListJournal()
    file = migration("create table a (i int); select pg_sleep(20)")
    with in_background(partial(apply, target, file, journal=journal, stop=stop.is_set)) as results:
        until(lambda: is_sleeping(target))
        stop.set()
        until(lambda: results, seconds=3)
    assert results[0].reason is Reason.STOPPED
    assert "Nothing of this file remains" in results[0].message
    assert not target.has("public.a")
    assert journal.outcomes() == ["rolled_back"]


def test_stop_reaches_the_session_of_a_login_above_our_role(target):
    """A login that acts as postgres may see and cancel nothing of another login, not even its own other session."""
    admin = Target(target.admin_url, target.admin_url, target.connection)
    stop = threading.Event()
    journal = ListJournal()
    file = migration("select pg_sleep(20)")
    with in_background(partial(apply, admin, file, journal=journal, stop=stop.is_set)) as results:
        until(journal.intents)
        stop.set()
        until(lambda: results, seconds=8)
    assert results[0].reason is Reason.STOPPED
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", journal.intents()[0].backend_start)


def test_stop_between_two_statements_rolls_back(target):
    with pytest.raises(OpsError) as caught:
        apply(target, migration("create table a (i int)"), stop=lambda: True)
    assert caught.value.reason is Reason.STOPPED
    assert not target.has("public.a")

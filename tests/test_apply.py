"""Applying files to a real server: all or nothing, written down before, truthful about what happened."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until

from ops.apply_journal import CommitIntent
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.apply_journal import Patience
from ops.apply_recovery import inspect_after_crash
from ops.apply_recovery import settle
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import catalog_hash
from ops.guard import Guard
from ops.guard import migrating_lock
from ops.guard import wait_until_gone


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


def _backends(target: Target, application: str) -> list[int]:
    return [
        row[0]
        for row in target.rows(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = 'countersign {application}' "
            "AND datname = current_database()"
        )
    ]


def _sleeps(target: Target) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    return bool(target.rows(query))


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
        until(lambda: _sleeps(target))
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


# --- statements that stand alone -----------------------------------------------------------------------------------

MIXED = "create table a (i int);\ncreate index concurrently a_i on a (i);\ninsert into a values (1);"


def test_a_mixed_file_runs_part_by_part_and_its_row_comes_last(target):
    journal = ListJournal()
    file = migration(MIXED)
    applied = apply(target, file, journal=journal)
    assert [(intent.segment, intent.statements) for intent in journal.intents()] == [
        (0, (0,)),
        (1, (1,)),
        (2, (2,)),
        (3, ()),
    ]
    assert journal.outcomes() == ["done"] * 4
    assert target.rows("SELECT statements FROM supabase_migrations.schema_migrations") == [
        ([statement.text for statement in file.statements],)
    ]
    assert applied.catalog_sha256 == catalog_hash(target.connection)


def test_a_failed_concurrent_index_is_named_with_what_stays(target):
    target.run("CREATE TABLE old (email text); INSERT INTO old VALUES ('ana@acme.example'), ('ana@acme.example')")
    journal = ListJournal()
    sql = "create table a (i int); create unique index concurrently old_email on old (email)"
    with pytest.raises(OpsError) as caught:
        apply(target, migration(sql), journal=journal)
    error = caught.value
    assert "Index public.old_email is INVALID" in error.message
    assert "The first 1 of this file's 2 statements stay on the target" in error.message
    assert "DROP INDEX CONCURRENTLY public.old_email" in error.hint
    assert "ana@" not in error.message + error.hint + str(error.details)
    assert journal.outcomes() == ["done", "failed"]
    assert journal.entries[-1].detail == "left INVALID: public.old_email"
    assert error.details["remains"]
    assert target.rows("SELECT count(*) FROM supabase_migrations.schema_migrations") == [(0,)]


@pytest.mark.parametrize("concurrently", ["concurrently", ""])
def test_if_not_exists_never_hides_an_invalid_index(target, concurrently):
    target.run("CREATE TABLE old (i int); INSERT INTO old VALUES (1), (1)")
    with pytest.raises(Exception, match="could not create unique index"):
        target.run("CREATE UNIQUE INDEX CONCURRENTLY old_i ON old (i)")
    with pytest.raises(OpsError, match=r"public.old_i exists but is INVALID") as caught:
        apply(target, migration(f"create index {concurrently} if not exists old_i on old (i)"))
    assert caught.value.reason is Reason.PLAN_BLOCKED


def test_dropping_concurrently_and_vacuum(target):
    target.run("CREATE TABLE old (i int); CREATE INDEX old_i ON old (i)")
    journal = ListJournal()
    apply(target, migration("drop index concurrently old_i; vacuum old;"), journal=journal)
    assert not target.has("public.old_i")
    assert journal.outcomes() == ["done"] * 3


def test_a_concurrent_index_waits_longer_than_a_lock_but_not_for_ever(target):
    target.run("CREATE TABLE old (i int)")
    with closing(target.connect("writer")) as writer:
        writer.execute("BEGIN; INSERT INTO old VALUES (1)")
        with pytest.raises(OpsError) as caught:
            apply(
                target,
                migration("create index concurrently old_i on old (i)"),
                patience=Patience(seconds=0.6, first_pause_seconds=0.05),
            )
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert "Index public.old_i is INVALID" in caught.value.message
    assert "countersign writer" in caught.value.message


def test_stopping_a_concurrent_index_names_what_it_leaves(target):
    target.run("CREATE TABLE old (i int)")
    stop = threading.Event()
    journal = ListJournal()
    work = partial(apply, target, migration("create index concurrently old_i on old (i)"), journal=journal)
    with closing(target.connect("writer")) as writer:
        writer.execute("BEGIN; INSERT INTO old VALUES (1)")
        with in_background(partial(work, stop=stop.is_set, patience=Patience())) as results:
            until(lambda: target.has("public.old_i"))
            stop.set()
    assert results[0].reason is Reason.STOPPED
    assert "Index public.old_i is INVALID" in results[0].message
    assert journal.outcomes() == ["failed"]


def test_a_file_in_autocommit_keeps_what_ran_before_the_error(target):
    sql = "-- pg-delta: transaction=false\ncreate table a (i int);\nselect nope;"
    journal = ListJournal()
    with pytest.raises(OpsError, match="The first 1 of this file's 2 statements stay") as caught:
        apply(target, migration(sql), journal=journal)
    assert caught.value.details["remains"]
    assert target.has("public.a")
    assert journal.outcomes() == ["done", "rolled_back"]


def test_a_statement_alone_that_leaves_nothing_waits_as_a_transaction_does(target):
    target.run("CREATE TABLE busy (i int)")
    journal = ListJournal()
    file = migration("-- pg-delta: transaction=false\nalter table busy add column j int")
    with closing(target.connect("blocker")) as blocker:
        blocker.execute("BEGIN; SELECT FROM busy")
        with in_background(partial(apply, target, file, journal=journal)) as results:
            until(lambda: journal.waits)
            blocker.execute("COMMIT")
    assert results[0].version == file.version
    assert journal.outcomes()[-3:] == ["rolled_back", "done", "done"]
    assert journal.waits[0][0].application == "countersign blocker"


def test_what_the_client_library_cannot_do_is_an_error_and_nothing_remains(target):
    with pytest.raises(OpsError) as caught:
        apply(target, migration("create table a (i int); copy a to stdout"))
    assert caught.value.reason in {Reason.SQL_FAILED, Reason.PLAN_BLOCKED}
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
        until(lambda: _sleeps(target))
        stop.set()
        until(lambda: results, seconds=3)
    assert results[0].reason is Reason.STOPPED
    assert "Nothing of this file remains" in results[0].message
    assert not target.has("public.a")
    assert journal.outcomes() == ["rolled_back"]


def test_stop_between_two_statements_rolls_back(target):
    with pytest.raises(OpsError) as caught:
        apply(target, migration("create table a (i int)"), stop=lambda: True)
    assert caught.value.reason is Reason.STOPPED
    assert not target.has("public.a")


# --- lost connections and killed processes -------------------------------------------------------------------------


def test_a_terminated_backend_leaves_nothing_and_says_so(target):
    journal = ListJournal()
    file = migration("create table a (i int); select pg_sleep(20)")
    with in_background(partial(apply, target, file, journal=journal)) as results:
        until(lambda: _sleeps(target))
        target.run(f"SELECT pg_terminate_backend({_backends(target, 'migrate')[0]})")
    assert results[0].reason is Reason.CONNECTION_LOST
    assert "Nothing of this file remains" in results[0].message
    assert journal.outcomes() == ["rolled_back"]
    assert not target.has("public.a")


def test_a_terminated_backend_outside_a_transaction_is_an_unknown_outcome(target):
    target.run("CREATE TABLE old (i int)")
    journal = ListJournal()
    file = migration("create index concurrently old_i on old (i)")
    with closing(target.connect("writer")) as writer:
        writer.execute("BEGIN; INSERT INTO old VALUES (1)")
        with in_background(partial(apply, target, file, journal=journal, patience=Patience())) as results:
            until(lambda: target.has("public.old_i"))
            target.run(f"SELECT pg_terminate_backend({_backends(target, 'migrate')[0]})")
    assert results[0].reason is Reason.OUTCOME_UNKNOWN
    assert journal.outcomes() == ["unknown"]
    found = inspect_after_crash(target.connection, file, journal.intents()[0])
    assert (found.outcome, found.left) == (Outcome.UNKNOWN, ("public.old_i",))


def test_a_lost_guard_stops_before_commit(target):
    def end_guard(entry: object) -> None:
        if isinstance(entry, Intent):
            target.run(f"SELECT pg_terminate_backend({_backends(target, 'guard')[0]}, 2000)")

    journal = ListJournal(before=end_guard)
    with pytest.raises(OpsError, match="guard of shop/prod is lost") as caught:
        apply(target, migration("create table a (i int)"), journal=journal)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert not target.has("public.a")


def test_a_connection_lost_during_commit_is_settled_by_asking_the_server(target):
    """The backend is ended between the entry for COMMIT and COMMIT itself: the server knows that nothing came of it."""

    def end_backend(entry: object) -> None:
        if isinstance(entry, CommitIntent):
            target.run(f"SELECT pg_terminate_backend({_backends(target, 'migrate')[0]}, 2000)")

    journal = ListJournal(before=end_backend)
    with pytest.raises(OpsError) as caught:
        apply(target, migration("create table a (i int)"), journal=journal)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert journal.outcomes() == ["rolled_back"]
    assert not target.has("public.a")


def test_a_commit_that_went_through_is_found_by_its_number(target):
    journal = ListJournal()
    apply(target, migration("create table a (i int)"), journal=journal)
    intent, commit = journal.entries[:2]
    assert settle(target.connect, intent.backend_pid, intent.backend_start, commit.xid) is Outcome.DONE


def test_a_target_that_does_not_answer_settles_nothing():
    def refuse() -> NoReturn:
        raise OpsError(Reason.TARGET_UNAVAILABLE, "no")

    assert settle(refuse, 1, "2026-01-01T00:00:00Z", "1") is Outcome.UNKNOWN


KILLED = """
import os, sys
from functools import partial
sys.path[:0] = sys.argv[3].split(os.pathsep)
from apply_helpers import ListJournal, apply, migration, QUICK
from ops.apply import apply_migration
from ops.apply_journal import CommitIntent, Intent
from ops.database import connect
from ops.guard import Guard

def say(entry):
    if isinstance(entry, Intent):
        print(f"intent {entry.backend_pid} {entry.backend_start} {entry.sha256}", flush=True)
    if isinstance(entry, CommitIntent):
        print(f"commit {entry.xid}", flush=True)
        if sys.argv[4] == "commit":
            os.kill(os.getpid(), 9)

opened = partial(connect, sys.argv[1], purpose="migrate")
with Guard(opened, "shop/prod") as guard:
    apply_migration(migration(sys.argv[2]), connect=opened, guard=guard, patience=QUICK,
                    journal=ListJournal(before=say), stop=lambda: False, expect_history=())
"""


def _killed(target: Target, sql: str, moment: str) -> tuple[Intent, str | None]:
    """Apply in a process that is killed -9 in the middle of a sleeping statement, or right before COMMIT."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, target.url, sql, os.pathsep.join(sys.path), moment],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    with process.stdout as said:
        _, pid, began, sha256 = said.readline().split()
        xid = said.readline().split()[1] if moment == "commit" else None
        if moment == "statement":
            until(lambda: _sleeps(target))
            process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
    file = migration(sql)
    return Intent(file.version, 0, file.segments[0].statements, sha256, int(pid), began), xid


def test_killed_in_the_middle_of_a_statement_recovery_waits_and_finds_nothing(target):
    """The server ends a dead client's statement after a second, and until then keeps others out."""
    sql = "create table a (i int); select pg_sleep(30)"
    intent, _ = _killed(target, sql, "statement")
    early = inspect_after_crash(target.connection, migration(sql), intent)
    assert (early.outcome, early.of) == (Outcome.UNKNOWN, "segment")
    with closing(target.connect("next")) as next_one, pytest.raises(OpsError, match="countersign migrate") as busy:
        migrating_lock(next_one, "shop/prod", patience_seconds=0)
    assert busy.value.reason is Reason.TARGET_BUSY

    assert wait_until_gone(target.connection, intent.backend_pid, intent.backend_start, timeout_seconds=10)
    found = inspect_after_crash(target.connection, migration(sql), intent)
    assert (found.outcome, found.of) == (Outcome.ROLLED_BACK, "file")
    assert not target.has("public.a")
    shorter = migration(sql.replace("30", "0"))
    apply(target, shorter)
    assert wait_until_gone(target.connection, intent.backend_pid, intent.backend_start, timeout_seconds=5)
    found = inspect_after_crash(target.connection, shorter, intent)
    assert (found.outcome, found.of) == (Outcome.DONE, "file")


def test_killed_right_before_commit_leaves_nothing(target):
    intent, xid = _killed(target, "create table a (i int)", "commit")
    assert wait_until_gone(target.connection, intent.backend_pid, intent.backend_start, timeout_seconds=10)
    found = inspect_after_crash(target.connection, migration("create table a (i int)"), intent, commit_xid=xid)
    assert (found.outcome, found.of) == (Outcome.ROLLED_BACK, "file")
    assert not target.has("public.a")


def test_after_a_crash_each_part_of_a_mixed_file_is_judged_by_the_server(target):
    file = migration(MIXED)
    journal = ListJournal()
    apply(target, file, journal=journal)
    target.run("DELETE FROM supabase_migrations.schema_migrations")
    intents = {intent.segment: intent for intent in journal.intents()}
    xids = {entry.segment: entry.xid for entry in journal.entries if isinstance(entry, CommitIntent)}
    assert wait_until_gone(target.connection, intents[0].backend_pid, intents[0].backend_start, timeout_seconds=5)

    def outcome(segment: int, **xid: str) -> str:
        found = inspect_after_crash(target.connection, file, intents[segment], **({"commit_xid": None} | xid))
        assert found.of == "segment"
        return found.outcome.value

    assert outcome(0, commit_xid=xids[0]) == "done"
    assert outcome(0) == "rolled_back"
    assert outcome(0, commit_xid="99999999") == "unknown"
    assert outcome(1) == "done"
    assert outcome(3) == "rolled_back"
    target.run("DROP INDEX a_i")
    assert outcome(1) == "rolled_back"


def test_a_row_with_other_statements_is_not_taken_for_ours(target):
    file = migration("create table a (i int)")
    journal = ListJournal()
    apply(target, file, journal=journal)
    target.run("UPDATE supabase_migrations.schema_migrations SET statements = '{other}'")
    found = inspect_after_crash(target.connection, file, journal.intents()[0])
    assert (found.outcome, found.of) == (Outcome.UNKNOWN, "file")


def test_a_second_runner_is_told_who_migrates(target):
    with (
        Guard(partial(connect, target.url, purpose="run R-7"), "shop/prod"),
        pytest.raises(OpsError, match="countersign run R-7") as caught,
        Guard(partial(connect, target.url, purpose="run R-8"), "shop/prod", patience_seconds=0.2),
    ):
        pass
    assert (caught.value.reason, caught.value.exit_code) == (Reason.TARGET_BUSY, 5)

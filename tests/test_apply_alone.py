"""Files with statements that cannot be in a transaction: part by part, and the truth about what stays."""

import threading
from contextlib import closing
from functools import partial

import pytest
from apply_helpers import MIXED
from apply_helpers import ListJournal
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until

from ops.apply_journal import Patience
from ops.catalog import catalog_hash
from ops.errors import OpsError
from ops.errors import Reason


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


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


def test_a_concurrent_index_that_failed_is_dropped_again_and_what_stays_is_said(target):
    target.run("CREATE TABLE old (email text); INSERT INTO old VALUES ('ana@acme.example'), ('ana@acme.example')")
    journal = ListJournal()
    sql = "create table a (i int); create unique index concurrently old_email on old (email)"
    with pytest.raises(OpsError) as caught:
        apply(target, migration(sql), journal=journal)
    error = caught.value
    assert "INVALID" not in error.message
    assert "The first 1 of this file's 2 statements stay on the target" in error.message
    assert "Index public.old_email, which it left INVALID, was dropped again." in error.hint
    assert "ana@" not in error.message + error.hint + str(error.details)
    assert journal.outcomes() == ["done", "rolled_back"]
    assert journal.entries[-2] == ("cleaning", (1,), ("public.old_email",))
    assert journal.entries[-1].detail == "SQLSTATE 23505; dropped again: public.old_email"
    assert error.details["remains"]
    assert not target.has("public.old_email")
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
                patience=Patience(seconds=0.6, first_pause_seconds=0.05, cleanup_seconds=0.3),
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
        with in_background(partial(work, stop=stop.is_set, patience=Patience(cleanup_seconds=0.3))) as results:
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

"""Lost connections, killed processes: what is told, and what can be found out afterwards."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from apply_helpers import MIXED
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import backends
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import is_sleeping
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
from ops.guard import Guard
from ops.guard import migrating_lock
from ops.guard import wait_until_gone


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


def test_a_terminated_backend_leaves_nothing_and_says_so(target):
    journal = ListJournal()
    file = migration("create table a (i int); select pg_sleep(20)")
    with in_background(partial(apply, target, file, journal=journal)) as results:
        until(lambda: is_sleeping(target))
        target.run(f"SELECT pg_terminate_backend({backends(target, 'migrate')[0]})")
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
            target.run(f"SELECT pg_terminate_backend({backends(target, 'migrate')[0]})")
    assert results[0].reason is Reason.OUTCOME_UNKNOWN
    assert journal.outcomes() == ["unknown"]
    found = inspect_after_crash(target.connection, file, journal.intents()[0])
    assert (found.outcome, found.left) == (Outcome.UNKNOWN, ("public.old_i",))


def test_a_lost_guard_stops_before_commit(target):
    def end_guard(entry: object) -> None:
        if isinstance(entry, Intent):
            target.run(f"SELECT pg_terminate_backend({backends(target, 'guard')[0]}, 2000)")

    journal = ListJournal(before=end_guard)
    with pytest.raises(OpsError, match="guard of shop/prod is lost") as caught:
        apply(target, migration("create table a (i int)"), journal=journal)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert not target.has("public.a")


def test_a_connection_lost_during_commit_is_settled_by_asking_the_server(target):
    """The backend is ended between the entry for COMMIT and COMMIT itself: the server knows that nothing came of it."""

    def end_backend(entry: object) -> None:
        if isinstance(entry, CommitIntent):
            target.run(f"SELECT pg_terminate_backend({backends(target, 'migrate')[0]}, 2000)")

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

    assert settle(refuse, 1, "2026-01-01T00:00:00Z", "1", patience_seconds=0.1) is Outcome.UNKNOWN


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
            until(lambda: is_sleeping(target))
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


def test_what_stands_alone_is_looked_at_again_when_its_connection_is_lost(target):
    """The answer is lost, but not what it was about: the catalog shows it to another session."""
    target.run("CREATE TABLE old (i int)")

    def lose(session, index, send):
        send()
        target.run(f"SELECT pg_terminate_backend({backends(target, 'migrate')[0]}, 2000)")
        session.connection.execute("SELECT 1")

    journal = ListJournal()
    file = migration("create index concurrently old_i on old (i)")
    with pytest.raises(OpsError) as caught:
        apply(target, file, journal=journal, carry_out=lose)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert "It is done: index public.old_i is there and valid" in caught.value.message
    assert journal.outcomes() == ["done"]


def test_what_stands_alone_and_was_never_sent_is_found_to_be_undone(target):
    target.run("CREATE TABLE old (i int)")

    def lose(session, index, send):
        target.run(f"SELECT pg_terminate_backend({backends(target, 'migrate')[0]}, 2000)")
        send()

    journal = ListJournal()
    file = migration("create index concurrently old_i on old (i)")
    with pytest.raises(OpsError) as caught:
        apply(target, file, journal=journal, carry_out=lose)
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert "Nothing of it remains: index old_i is not there" in caught.value.message
    assert journal.outcomes() == ["rolled_back"]

"""Locks are asked for politely: nobody waits long because of a migration, and it lands all the same."""

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from functools import partial

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import backends
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import never
from apply_helpers import until

from ops.apply import apply_migration
from ops.apply_journal import Finished
from ops.apply_journal import Outcome
from ops.apply_journal import Patience
from ops.apply_partitions import find_pending
from ops.apply_recovery import inspect_after_crash
from ops.apply_session import Session
from ops.blockers import pid_text
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.queueing import count_behind
from ops.queueing import look_behind

ALTER = "alter table busy add column j int"
BLOCKER_SECONDS = 6.0
LONGEST_WAIT_SECONDS = 0.15


@pytest.fixture
def target() -> Iterator[Target]:
    with fresh_target() as fresh:
        fresh.run("CREATE TABLE busy (i int)")
        yield fresh


@contextmanager
def blocker(target: Target, name: str = "nightly report") -> Iterator[Connection]:
    """A session that has read the table and forgot to end its transaction."""
    with closing(target.connect(name)) as connection:
        connection.execute("BEGIN; SELECT FROM busy")
        yield connection


@contextmanager
def readers(target: Target, query: str, count: int) -> Iterator[None]:
    """An application that reads all the time, in so many sessions."""
    over = threading.Event()

    def read() -> None:
        with closing(target.connect("app")) as app:
            while not over.is_set():
                app.execute(query.encode())
                time.sleep(0.002)

    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(in_background(read))
        try:
            yield
        finally:
            over.set()


def longest_wait_behind(target: Target, until_over: Callable[[], object]) -> float:
    """How long a reader waited behind the migration at most, in seconds of the server's own clock.

    Not the readers' clocks: what a busy machine adds to them is not of our making.
    """
    longest = 0.0
    while not until_over():
        rows = target.rows(
            """
            SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waiting.waitstart)), 0)::float8
            FROM pg_locks AS waiting JOIN pg_stat_activity AS app USING (pid)
            WHERE NOT waiting.granted AND app.application_name = 'countersign app'
            """
        )
        longest = max(longest, rows[0][0])
    return longest


def details(journal: ListJournal) -> list[str]:
    return [entry.detail for entry in journal.entries if isinstance(entry, Finished)]


# --- readers -------------------------------------------------------------------------------------------------------


def test_readers_behind_a_blocker_of_6_seconds_never_wait_long_and_the_migration_lands(target: Target) -> None:
    journal = ListJournal()
    patience = Patience(seconds=30)
    with blocker(target) as report, readers(target, "SELECT count(*) FROM busy", 2):
        began = time.monotonic()
        with in_background(partial(apply, target, migration(ALTER), journal=journal, patience=patience)) as results:
            longest = longest_wait_behind(target, lambda: time.monotonic() - began > BLOCKER_SECONDS)
            report.execute("COMMIT")
            longest = max(longest, longest_wait_behind(target, lambda: results))
    assert results[0].version == "20260101000000"
    assert target.rows("SELECT j FROM busy") == []
    assert 0 < longest <= LONGEST_WAIT_SECONDS
    assert len(journal.waits) >= 4
    assert journal.waits[-1][0].application == "countersign nightly report"


PARTITIONED = """
create table busy_days (i int, day int) partition by list (day);
create table busy partition of busy_days for values in (1); insert into busy_days values (1, 1);
"""
DETACH = "alter table busy_days detach partition busy concurrently"


def test_readers_of_a_partition_do_not_wait_while_it_is_detached_concurrently(target: Target) -> None:
    """They waited six seconds: in the end it waits for all who read the partition, and who comes then is behind it."""
    target.run(f"drop table busy; {PARTITIONED}")
    with blocker(target) as report, readers(target, "SELECT count(*) FROM busy", 2):
        began = time.monotonic()
        work = partial(apply, target, migration(DETACH), patience=Patience(seconds=30))
        with in_background(work) as results:
            longest = longest_wait_behind(target, lambda: time.monotonic() - began > 1.5)
            report.execute("COMMIT")
            longest = max(longest, longest_wait_behind(target, lambda: results))
    assert results[0].version == "20260101000000"
    assert target.rows("SELECT FROM pg_inherits") == []
    assert 0 < longest < 1


def test_a_partition_that_stays_half_detached_is_named_and_the_next_run_finishes_it(target: Target) -> None:
    target.run(f"drop table busy; {PARTITIONED}")
    journal = ListJournal()
    patience = Patience(seconds=0.6, first_pause_seconds=0.05)
    with blocker(target), pytest.raises(OpsError) as caught:
        apply(target, migration(DETACH), journal=journal, patience=patience)
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert "Partition public.busy is detached for new queries of public.busy_days, but not to the end." in (
        caught.value.message
    )
    assert "ALTER TABLE public.busy_days DETACH PARTITION public.busy FINALIZE" in caught.value.hint
    assert set(journal.outcomes()) == {"failed"}
    assert [one.name for one in find_pending(target.connection)] == ["public.busy"]
    intent = journal.intents()[-1]
    until(lambda: not target.rows(f"SELECT FROM pg_stat_activity WHERE pid = {intent.backend_pid}"))
    found = inspect_after_crash(target.connection, migration(DETACH), intent)
    assert (found.outcome, found.why) == (Outcome.UNKNOWN, "partition public.busy is neither attached nor detached")
    apply(target, migration(DETACH))
    assert find_pending(target.connection) == ()
    target.run("truncate supabase_migrations.schema_migrations")  # as if the row had not come any more
    assert inspect_after_crash(target.connection, migration(DETACH), intent).outcome is Outcome.DONE


@pytest.mark.parametrize("login", ["postgres", "supabase_admin"])
def test_a_long_wait_ends_as_soon_as_somebody_waits_behind_it(target: Target, login: str) -> None:
    """The wait could last a minute: what ends it is the reader that comes behind. Acting as postgres, nobody may cancel
    what a superuser runs, so the session's own key has to do it."""
    journal = ListJournal()
    migrated = target if login == "postgres" else Target(target.admin_url, target.admin_url, target.connection)
    work = partial(apply, migrated, migration(ALTER), journal=journal)
    patience = Patience(seconds=30, lock_timeout_seconds=60)
    with (
        blocker(target) as report,
        closing(target.connect("app")) as app,
        in_background(partial(work, patience=patience)) as results,
    ):
        until(lambda: target.rows("SELECT FROM pg_locks WHERE NOT granted AND relation = 'busy'::regclass"))
        time.sleep(0.3)
        assert journal.waits == []  # nobody came yet, and it waits
        app.execute("SET statement_timeout = '20s'; SELECT count(*) FROM busy")
        until(lambda: journal.waits)
        report.execute("COMMIT")
    assert results[0].version == "20260101000000"
    assert details(journal)[0] == "it gave way to 1 that waited behind it"
    assert journal.outcomes()[-1] == "done"


def test_a_table_that_is_never_free_is_altered_too(target: Target) -> None:
    """Readers whose queries overlap leave no moment without a lock: whoever gave way at once each time never got in."""
    journal = ListJournal()
    query = "SELECT count(*), pg_sleep(0.04) FROM busy"
    with readers(target, query, 4):
        until(lambda: len(backends(target, "app")) == 4)
        applied = apply(target, migration(ALTER), journal=journal, patience=Patience(seconds=40))
    assert applied.version == "20260101000000"


def test_a_message_of_several_statements_gives_way_too(target: Target) -> None:
    """Behind another plain file, a file goes out as one message; it waits in the middle of it."""
    from test_quick_pushes import numbered  # its helper for such runs
    from test_quick_pushes import push

    first, second = numbered("create table plain (i int);", ALTER + ";")
    with (
        blocker(target) as report,
        closing(target.connect("app")) as app,
        in_background(partial(push, target, first, second)) as results,
    ):
        until(lambda: target.rows("SELECT FROM pg_locks WHERE NOT granted AND relation = 'busy'::regclass"))
        app.execute("SET statement_timeout = '20s'; SELECT count(*) FROM busy")
        report.execute("COMMIT")
    assert isinstance(results[0], ListJournal), results
    assert target.rows("SELECT version FROM supabase_migrations.schema_migrations ORDER BY 1") == [
        (first.version,),
        (second.version,),
    ]


# --- patience ------------------------------------------------------------------------------------------------------


def lock_timeouts(target: Target, patience: Patience) -> tuple[list[int], OpsError]:
    """The lock_timeout of each try, in milliseconds, as the server had it, and how the file ended."""
    seen: list[int] = []

    def note(session: Session, index: int, send: Callable[[], object]) -> None:
        row = session.connection.execute("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'").fetchone()
        seen.append(int(row[0]) if row else 0)
        send()

    with Guard(partial(target.connect, "guard"), "shop/prod") as guard, pytest.raises(OpsError) as caught:
        apply_migration(
            migration(ALTER),
            connect=partial(target.connect, "migrate"),
            guard=guard,
            patience=patience,
            journal=ListJournal(),
            stop=never,
            expect_history=(),
            carry_out=note,
        )
    return seen, caught.value


def test_each_wait_is_longer_up_to_the_limit_and_never_without_one(target: Target) -> None:
    with blocker(target):
        seen, error = lock_timeouts(
            target,
            Patience(seconds=4, longest_lock_timeout_seconds=0.4, first_pause_seconds=0.02, longest_pause_seconds=0.05),
        )
    assert error.reason is Reason.LOCK_TIMEOUT
    assert seen[0] == 100
    assert seen[2] > 150
    assert max(seen) == seen[-1] == 400
    assert min(seen) == 100
    assert len(set(seen)) >= 4  # uneven: two who wait do not meet again and again


def test_who_gives_up_names_who_is_in_the_way_and_how_it_can_be_ended(target: Target) -> None:
    with blocker(target) as report, closing(target.connect("second")) as second:
        report.execute("SELECT 1 FROM busy WHERE i = 4711 -- of Ana")
        second.execute("BEGIN; LOCK TABLE busy IN ROW EXCLUSIVE MODE")
        with pytest.raises(OpsError) as caught:
            apply(target, migration(ALTER), patience=Patience(seconds=1.2))
        pids = {report.info.backend_pid, second.info.backend_pid}
    error = caught.value
    assert "countersign nightly report, user postgres, idle in transaction" in error.message
    assert "SELECT ? FROM busy WHERE i = ?" in error.message
    assert "countersign second" in error.message
    assert "4711" not in error.message + error.hint + str(error.details)
    assert {one["pid"] for one in error.details["blockers"]} == pids
    assert any(f"`terminate prod {pid_text(pid)}`" in error.hint for pid in pids)


def test_the_queue_is_told_by_the_server(target: Target) -> None:
    """Who waits, who waits behind them, and that the middle one is cancelled for those only when it is to give way."""
    with blocker(target), closing(target.connect("middle")) as middle, closing(target.connect("app")) as app:
        pid = middle.info.backend_pid
        [(started,)] = target.rows(f"SELECT backend_start::text FROM pg_stat_activity WHERE pid = {pid}")
        look = partial(look_behind, target.connection, pid, started)
        assert (look(give_way=True).waits, count_behind(target.connection, pid)) == (False, 0)
        with in_background(lambda: middle.execute(ALTER.encode())) as altered:
            until(lambda: look(give_way=True).waits)
            assert not look(give_way=True).cancelled  # nobody is behind it
            with in_background(lambda: app.execute("SELECT count(*) FROM busy").fetchone()) as read:
                found = until(lambda: found if (found := look(give_way=False)).behind else None)
                assert (found.behind, found.cancelled, count_behind(target.connection, pid)) == (1, False, 1)
                assert not altered
                assert look(give_way=True).cancelled
    assert "canceling statement due to user request" in str(altered[0])
    assert read == [(0,)]


def test_a_vacuum_that_rewrites_is_tried_again_like_a_transaction(target: Target) -> None:
    journal = ListJournal()
    with (
        blocker(target) as report,
        in_background(partial(apply, target, migration("vacuum full busy"), journal=journal)) as results,
    ):
        until(lambda: len(journal.waits) >= 2)
        report.execute("COMMIT")
    assert results[0].version == "20260101000000"
    assert journal.outcomes()[-2:] == ["done", "done"]


def test_what_may_have_committed_something_is_not_tried_again(target: Target) -> None:
    """A procedure with COMMIT in it: its first part is on the target, so a second try would do that twice."""
    file = migration("-- pg-delta: transaction=false\ncall in_two_parts()")
    target.run(
        "CREATE TABLE other (i int); CREATE PROCEDURE in_two_parts() LANGUAGE plpgsql AS "
        "$$ begin insert into other values (1); commit; lock table busy in access exclusive mode; end $$"
    )
    journal = ListJournal()
    with blocker(target), pytest.raises(OpsError) as caught:
        apply(target, file, journal=journal, patience=Patience(seconds=20, once_lock_timeout_seconds=0.2))
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert target.rows("SELECT * FROM other") == [(1,)]
    assert journal.waits == []
    assert journal.outcomes() == ["failed"]


# --- limits that nothing of a file moves ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "set statement_timeout = 0; "])
def test_a_statement_that_takes_too_long_is_ended_by_the_server(target: Target, before: str) -> None:
    journal = ListJournal()
    file = migration(f"{before}create table made (i int); select pg_sleep(20)")
    with pytest.raises(OpsError, match="SQLSTATE 57014") as caught:
        apply(target, file, journal=journal, patience=Patience(statement_timeout_seconds=0.3))
    assert caught.value.reason is Reason.SQL_FAILED
    assert journal.waits == []  # not for want of a lock
    assert not target.has("public.made")

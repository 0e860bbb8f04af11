"""Batches that are stopped, fail, are lost, or meet others: what is there stays, and goes on exactly behind it."""

import threading
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import backends
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until
from batches_support import COUNTED
from batches_support import MANY
from batches_support import MARK
from batches_support import ONCE
from batches_support import SLOW
from batches_support import TABLE
from batches_support import apply_until
from batches_support import last_end
from batches_support import sent
from batches_support import times

from ops.apply_journal import Finished
from ops.apply_journal import Outcome
from ops.apply_journal import Patience
from ops.batch_log import BatchIntent
from ops.batch_pace import Pace
from ops.errors import OpsError
from ops.errors import Reason


@pytest.fixture
def target():
    with fresh_target() as fresh:
        yield fresh


@pytest.fixture
def counted(target):
    """A table whose rows count how often they were met."""
    target.run(TABLE)
    return target


# --- stopped, failed, lost


def test_stopped_between_two_batches_it_goes_on_behind_the_last_one(counted: Target) -> None:
    journal = ListJournal()
    error = apply_until(counted, COUNTED, journal, batches=2)
    assert error.reason is Reason.STOPPED
    done = last_end(journal).batches
    assert times(counted) == [(0, MANY - done * 100), (1, done * 100)]
    assert f"The first {done} batches of this file ({done * 100} rows) stay on the target." in error.message
    assert (last_end(journal).outcome, done) == (Outcome.FAILED, 2)
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE
    assert last_end(journal).batches == 10


def test_stopped_before_the_first_batch_nothing_remains(counted: Target) -> None:
    journal = ListJournal()
    with pytest.raises(OpsError, match="Nothing of this file remains"):
        apply(counted, migration(COUNTED), journal=journal, stop=lambda: bool(journal.intents()))
    assert last_end(journal).outcome is Outcome.ROLLED_BACK
    assert times(counted) == [(0, MANY)]


def test_a_stop_inside_a_batch_cancels_and_rolls_back_that_batch_alone(counted: Target) -> None:
    counted.run(SLOW.format(row=250, seconds=20))
    said = threading.Event()
    journal = ListJournal()
    with in_background(partial(apply, counted, migration(COUNTED), journal=journal, stop=said.is_set)) as results:
        until(lambda: counted.rows("select from pg_stat_activity where wait_event = 'PgSleep'"))
        said.set()
    assert results[0].reason is Reason.STOPPED
    assert "cancelled and rolled back" in results[0].message
    assert times(counted) == [(0, MANY - 200), (1, 200)]


def test_a_row_that_fails_leaves_the_batches_before_it_and_names_the_place(counted: Target) -> None:
    counted.run("alter table counted add check (n < 1 or id <> 350)")
    journal = ListJournal()
    file = migration(COUNTED.replace(";", "\nwhere n = 0;"))
    with pytest.raises(OpsError, match="The first 3 batches of this file") as caught:
        apply(counted, file, journal=journal)
    assert (caught.value.reason, caught.value.details["sql"]["sqlstate"]) == (Reason.SQL_FAILED, "23514")
    assert times(counted) == [(0, 700), (1, 300)]
    counted.run("alter table counted drop constraint counted_check")
    apply(counted, file, journal=journal)
    assert times(counted) == ONCE


def test_an_error_is_shown_where_it_stands_in_the_file(counted: Target) -> None:
    for condition, line, column in (("\nwhere n = 0 and nonsense = 1", 3, 17), ("\nwhere missing", 3, 7), ("", 0, 0)):
        file = migration(f"{MARK}update counted set n = 1{condition}")
        if not condition:
            apply(counted, file)
            continue
        with pytest.raises(OpsError) as caught:
            apply(counted, file)
        found = caught.value.details["sql"]
        assert (found["sqlstate"], found["line"], found["column"]) == ("42703", line, column)


@pytest.mark.parametrize("moment", ["before", "behind"])
def test_a_connection_lost_around_commit_is_settled_and_nothing_comes_twice(counted: Target, moment: str) -> None:
    """Before COMMIT the backend is ended; behind it, what the server says of the transaction counts."""

    def end_backend(entry: object) -> None:
        if isinstance(entry, BatchIntent) and entry.number == 3 and moment == "before":
            counted.run(f"SELECT pg_terminate_backend({backends(counted, 'migrate')[0]}, 2000)")
        if isinstance(entry, BatchIntent) and entry.number == 4 and moment == "behind":
            counted.run(f"SELECT pg_terminate_backend({backends(counted, 'migrate')[0]}, 2000)")

    journal = ListJournal(before=end_backend)
    with pytest.raises(OpsError) as caught:
        apply(counted, migration(COUNTED), journal=journal)
    assert caught.value.reason is Reason.CONNECTION_LOST
    done = 2 if moment == "before" else 3
    assert f"The first {done} batches" in caught.value.message
    assert times(counted) == [(0, MANY - done * 100), (1, done * 100)]
    journal.before = lambda _: None
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE


def test_a_commit_that_went_through_unheard_is_not_done_again(counted: Target) -> None:
    """As after a kill -9 right behind COMMIT: the log has the batch, and only the server knows that it is there."""
    journal = ListJournal()
    apply_until(counted, COUNTED, journal, batches=3)
    heard = [one for one in journal.entries if not isinstance(one, Finished)]
    committed = max(one.number for one in sent(journal) if one.total <= times(counted)[-1][1])
    journal.entries = [one for one in heard if not isinstance(one, BatchIntent) or one.number <= committed]
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE


def test_what_the_server_cannot_tell_any_more_is_not_guessed(counted: Target) -> None:
    journal = ListJournal()
    apply_until(counted, COUNTED, journal, batches=1)
    journal.entries = [_with_xid(one, "4000000000") for one in journal.entries]
    with pytest.raises(OpsError, match="unknown") as caught:
        apply(counted, migration(COUNTED), journal=journal)
    assert caught.value.reason is Reason.OUTCOME_UNKNOWN
    assert times(counted) == [(0, 900), (1, 100)]


def _with_xid(entry: Any, xid: str) -> Any:
    return BatchIntent(**{**vars(entry), "xid": xid}) if isinstance(entry, BatchIntent) else entry


def test_another_text_of_a_half_done_file_is_refused(counted: Target) -> None:
    journal = ListJournal()
    apply_until(counted, COUNTED, journal, batches=1)
    with pytest.raises(OpsError, match="R-6 ran batches of it already, and it said something else then") as caught:
        apply(counted, migration(COUNTED.replace("+ 1", "+ 2")), journal=journal)
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert times(counted) == [(0, 900), (1, 100)]


def test_a_table_that_took_the_place_of_a_half_done_one_is_begun_anew(counted: Target) -> None:
    """A development database that was made anew has nothing of the batches in the log."""
    journal = ListJournal()
    apply_until(counted, COUNTED, journal, batches=1)
    counted.run("create table new (like counted including all); insert into new select id from counted;"
                "drop table counted; alter table new rename to counted")  # fmt: skip
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE


def test_a_place_whose_row_is_gone_is_not_guessed(target: Target) -> None:
    target.run("create table counted (id text primary key, n int not null default 0);"
               f"insert into counted select 'k' || i from generate_series(1, {MANY}) as i")  # fmt: skip
    journal = ListJournal()
    apply_until(target, COUNTED, journal, batches=1)
    target.run("delete from counted where id = (select max(id) from counted where n = 1)")
    with pytest.raises(OpsError, match="the row is gone behind which R-6 stopped") as caught:
        apply(target, migration(COUNTED), journal=journal)
    assert caught.value.reason is Reason.PLAN_BLOCKED


@pytest.mark.parametrize("sql", [COUNTED, f"{MARK}delete from counted"])
def test_where_the_secret_of_a_place_is_gone_a_person_is_asked(counted: Target, sql: str) -> None:
    journal = ListJournal()
    apply_until(counted, sql, journal, batches=2)
    before = times(counted)
    journal.secret = b"another secret, made anew since."
    with pytest.raises(OpsError) as caught:
        apply(counted, migration(sql), journal=journal)
    assert caught.value.reason is Reason.PLAN_BLOCKED
    assert "the secret it was made with is gone" in caught.value.message
    assert "Is there a copy of the file batches.key" in caught.value.hint
    assert times(counted) == before


def test_a_delete_that_took_its_own_place_away_looks_again_and_deletes_no_more(target: Target) -> None:
    target.run("create table counted (id text primary key, n int not null default 0);"
               f"insert into counted select 'k' || i from generate_series(1, {MANY}) as i")  # fmt: skip
    journal = ListJournal()
    deletes = f"{MARK}delete from counted where n = 0"
    apply_until(target, deletes, journal, batches=3)
    apply(target, migration(deletes), journal=journal)
    assert target.rows("select count(*) from counted") == [(0,)]


def test_a_row_that_the_cli_or_a_person_added_meanwhile_ends_it(counted: Target) -> None:
    def add(entry: object) -> None:
        if isinstance(entry, BatchIntent) and entry.number == 2:
            counted.run("insert into supabase_migrations.schema_migrations(version) values ('20260101000001')")

    with pytest.raises(OpsError, match="20260101000001 was added") as caught:
        apply(counted, migration(COUNTED), journal=ListJournal(before=add))
    assert caught.value.reason is Reason.PLAN_CHANGED
    assert times(counted) == [(0, 800), (1, 200)]


# --- others


def test_a_locked_row_is_waited_for_and_the_one_who_has_it_is_named(counted: Target) -> None:
    journal = ListJournal()
    with closing(counted.connect("clerk")) as clerk:
        clerk.execute("BEGIN; UPDATE counted SET n = n WHERE id = 450")
        with pytest.raises(OpsError, match="countersign clerk") as caught:
            apply(counted, migration(COUNTED), journal=journal, patience=Patience(seconds=1.0))
        clerk.execute("COMMIT")
    assert caught.value.reason is Reason.LOCK_TIMEOUT
    assert "batches of this file" in caught.value.message
    # With fewer rows at every try, it came as near to the row as it could.
    done = times(counted)[-1][1]
    assert 400 <= done < 450
    apply(counted, migration(COUNTED), journal=journal)
    assert times(counted) == ONCE


def test_a_batch_that_lasts_too_long_is_given_up_and_tried_with_fewer_rows(counted: Target) -> None:
    counted.run("create function slowly() returns trigger language plpgsql as "
                "$$ begin perform pg_sleep(0.004); return new; end $$;"
                "create trigger slowly before update on counted for each row execute function slowly()")  # fmt: skip
    journal = ListJournal()
    patience = Patience(pace=Pace(longest_seconds=0.2, batch_seconds=0.15))
    apply(counted, migration(COUNTED.replace("update counted set n = n + 1", "update counted set n = n + 1 where id < 101")),
          journal=journal, patience=patience)  # fmt: skip
    assert times(counted) == [(0, 900), (1, 100)]
    assert max(one.rows for one in sent(journal)) < 100


def test_while_others_wait_for_its_rows_batches_are_small(counted: Target) -> None:
    counted.run(SLOW.format(row=150, seconds=1))
    journal = ListJournal()
    with in_background(partial(apply, counted, migration(COUNTED), journal=journal)) as results:
        until(lambda: counted.rows("select from pg_stat_activity where wait_event = 'PgSleep'"))
        with closing(counted.connect("clerk")) as clerk:
            clerk.execute("UPDATE counted SET n = n WHERE id = 140")
    assert not isinstance(results[0], Exception), results
    rows = [one.rows for one in sent(journal)]
    assert rows[:2] == [100, 100]
    assert rows[2] <= 50
    assert times(counted) == ONCE


def test_two_who_wait_for_each_other_both_get_done(counted: Target) -> None:
    """The batch gives way before the server would have to end one of them."""
    counted.run(SLOW.format(row=20, seconds=0.5))
    with in_background(partial(apply, counted, migration(COUNTED))) as results:
        until(lambda: counted.rows("select from pg_stat_activity where wait_event = 'PgSleep'"))
        with closing(counted.connect("clerk")) as clerk, clerk.transaction():
            clerk.execute("UPDATE counted SET n = n WHERE id = 90")
            clerk.execute("UPDATE counted SET n = n WHERE id = 10")
    assert not isinstance(results[0], Exception), results
    assert times(counted) == ONCE

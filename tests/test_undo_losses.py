"""What is written between a yes and its run: counted once more under the lock, and never lost unless people were told."""

from collections.abc import Callable
from threading import Thread

import pytest
from people_talk import wait_for
from run_support import session
from undo_support import WITH_BACKUP
from undo_support import Undoing
from undo_support import run

from ops.status import Status
from ops.undo.offer import Way

Make = Callable[..., Undoing]


@pytest.fixture
def shop(undoing: Make) -> Undoing:
    """R-1 changed five rows and made a table, behind a verified backup."""
    project = undoing(WITH_BACKUP)
    project.sql(
        "create type kind as enum ('a', 'b');"
        "create table orders (id int primary key, total int, at timestamptz default now(), kind kind default 'a');"
        "insert into orders (id, total) select i, i from generate_series(1, 40) as i; create table plain (words text)"
    )
    project.push(
        "update orders set total = 0 where id < 6; create table fresh (id int primary key); insert into plain values ('x');"
    )
    return project


def test_rows_written_after_the_yes_are_not_lost_by_going_back_to_a_backup(shop: Undoing) -> None:
    """Somebody's transaction is still open when it begins, so that only a count under the lock can see their rows."""
    offer = shop.offer("R-1", Way.RESTORE)
    with shop.ops() as (ops, _), session(shop.stage, "prod", "psql") as writer:
        writer.execute("begin")
        writer.execute("insert into orders (id) select generate_series(100, 1099)")

        def commit() -> None:
            waiting = "select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock'"
            wait_for(lambda: shop.sql(waiting), 60)
            writer.execute("commit")

        committing = Thread(target=commit)
        committing.start()
        ended = run(ops, offer)
        committing.join()

    assert ended.status is Status.SUPERSEDED, ended.ending
    superseded = shop.stage.events("superseded")[-1]
    assert (superseded.data or {})["changed"] == [
        "what is undone in public.orders (1,000 rows written, 5 changed, 0 deleted since the backup, where people were told "
        "of 0 rows written, 5 changed, 0 deleted)"
    ]
    assert shop.sql("select count(*) from orders") == [(1040,)]

    told, undone = shop.undo("R-1", Way.RESTORE)  # asked again, they are told, and it is done

    assert "Since the backup 1,001 rows written, 5 changed, 0 deleted; all of that is undone." in told.loses
    assert undone.status is Status.SUCCEEDED, undone.ending
    assert shop.sql("select count(*), sum(total) from orders") == [(40, 820)]


def test_what_others_changed_after_the_yes_is_not_set_back(shop: Undoing) -> None:
    offer = shop.offer("R-1", Way.TABLES)
    shop.sql("update orders set total = 7 where id = 30; insert into fresh values (1)")

    with shop.ops() as (ops, _):
        ended = run(ops, offer)

    assert ended.status is Status.SUPERSEDED, ended.ending
    superseded = shop.stage.events("superseded")[-1]
    assert (superseded.data or {})["changed"] == [
        "what goes with public.fresh (1 rows, where people were told of 0)",
        "what is set back in public.orders (6 rows, where people were told of 5)",
    ]
    assert shop.sql("select total from orders where id in (1, 30) order by id") == [(0,), (7,)]

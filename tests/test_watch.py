"""Watching a target behind a run, under a small real load: what grows worse is told with numbers, calm stays calm."""

import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from run_support import push_json
from run_support import session
from run_support import wait_for

from audit import Log
from audit import Reader
from commands.page import plain_line
from commands.request_page import request_page
from ops.database import Connection
from ops.layer import Ops
from ops.requests import Request
from ops.requests import find_request
from ops.settings import load_settings
from ops.targets import find_target
from ops.watch import follow
from ops.watch import remember_load
from ops.watch import unfinished_watches
from sandbox.postgres import ADMIN
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]
TABLE = "create table public.orders (id int primary key, note text);\n"
TABLE += "insert into public.orders select generate_series(1, 50);"


def watching(make_stage: MakeStage, seconds: int, more: str = "", **settings: object) -> Stage:
    """A stage without the bot, whose dev is watched for so long behind a run."""
    stage = make_stage(empty=True, **settings)
    dev = f'backup = "none"\nwatch = "{seconds}s"\n{more}'
    stage.config.write_text(stage.config.read_text().replace('backup = "none"\n', dev, 1))
    stage.migration("20260101000001_orders.sql", TABLE)
    stage.sql("dev", "create table public.busy (id int primary key, n int); insert into public.busy values (1, 0)")
    return stage


@contextmanager
def ops_of(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ops]:
    """The ops layer of this process on the stage's log."""
    for name, value in stage.environment.items():
        if name.endswith("DATABASE_URL"):
            monkeypatch.setenv(name, value)
    with Log.open(stage.log_path) as log:
        yield Ops(load_settings(stage.config), log)


@contextmanager
def load(
    stage: Stage, act: Callable[[Connection, int], object], sessions: int = 2, user: str = "postgres"
) -> Iterator[None]:
    """So many programs at work on dev, each doing the same again and again, whatever becomes of it."""
    over = threading.Event()
    url = stage.postgres.url(stage.databases["dev"], user)

    def work() -> None:
        number = 0
        with closing(psycopg.connect(url, autocommit=True, application_name="shop")) as connection:
            while not over.wait(0.01) and not connection.closed:
                number += 1
                with suppress(psycopg.Error):
                    act(connection, number)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        stage.sql("dev", _END)  # what still waits for a lock or sleeps
        for thread in threads:
            thread.join(10)


_END = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
    " where application_name in ('shop', 'somebody') and datname = current_database()"
)


def reads(connection: Connection, number: int) -> None:
    connection.execute("select count(*) from public.orders where id > %s", (number % 50,))


def reads_and_errs(connection: Connection, number: int) -> None:
    """Every third transaction fails, for there is a row with this key. A session that touches no table reports nothing."""
    connection.execute("insert into public.busy values (%s, 0)" if number % 3 == 0 else _READ, (1,))


def works(connection: Connection, number: int) -> None:
    connection.execute(_READ, (1,))


_READ = "select n from public.busy where id = %s"


def followed(stage: Stage, monkeypatch: pytest.MonkeyPatch, request: str = "R-1") -> Request:
    """The request once its watch, which is followed here, is over."""
    with ops_of(stage, monkeypatch) as ops:
        follow(ops, request, threading.Event())
        assert unfinished_watches(ops.view, ops.now()) == []
        return find_request(ops.view, request)


def worse(request: Request) -> dict[str, dict[str, Any]]:
    """What is worse, by its name."""
    assert request.watch is not None
    assert request.watch["outcome"] == ("worse" if request.watch["worse"] else "nothing_worse"), request.watch
    return {one["what"]: one for one in request.watch["worse"]}


def pushed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migration is on dev; before, somebody looked at it a few times."""
    with ops_of(stage, monkeypatch) as ops:
        for _ in range(3):
            remember_load(ops, find_target(ops.settings, "dev"))
            threading.Event().wait(0.2)
    after = push_json(stage)
    assert after.get("status") == "succeeded", after


def test_an_idle_target_is_no_worse(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 4, _CHECK)
    pushed(stage, monkeypatch)
    request = followed(stage, monkeypatch)
    assert worse(request) == {}
    samples = stage.events("watch_sampled")
    assert len(samples) >= 15
    assert all(not one.data["sample"]["failed"] for one in samples if one.data)
    assert "watched 4 s, nothing worse than before" in stage.cli("show", "R-1").out


def test_a_busy_target_that_stays_as_it_is_is_no_worse(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a third of all transactions always failed, sessions wait for each other, and a report takes long."""
    stage = watching(make_stage, 5)
    stage.migration("20260101000002_more.sql", "alter table public.orders add column more text;")

    def changes(connection: Connection, number: int) -> None:
        connection.execute("begin; update public.busy set n = n + 1 where id = 1; select pg_sleep(0.05); commit")

    def reports(connection: Connection, number: int) -> None:
        connection.execute("select pg_sleep(2.8)")

    with load(stage, reads_and_errs), load(stage, changes, 3), load(stage, reports, 2):
        threading.Event().wait(2.5)
        pushed(stage, monkeypatch)
        assert worse(followed(stage, monkeypatch)) == {}


def test_errors_that_rise_are_told_with_their_share(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 6)
    with load(stage, works):
        threading.Event().wait(1.5)
        pushed(stage, monkeypatch)
    with load(stage, reads_and_errs):
        found = worse(followed(stage, monkeypatch))
    assert set(found) == {"errors"}
    assert "% of transactions rolled back" in found["errors"]["now"]
    assert float(found["errors"]["before"].removesuffix(" %")) < 5  # what our own run rolled back
    assert not found["errors"]["is_over"]


def test_a_slow_query_that_appears_is_told_without_its_literals(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = watching(make_stage, 6)
    pushed(stage, monkeypatch)
    with load(stage, lambda connection, _: connection.execute("select pg_sleep(60), 'sesame' as word"), 3):
        found = worse(followed(stage, monkeypatch))
    assert set(found) == {"slow queries"}
    assert found["slow queries"]["now"].startswith("3 queries at a time for up to ")
    assert found["slow queries"]["before"] == "none over 2 s"
    assert found["slow queries"]["query"] == "select pg_sleep(?), ? as word"


def test_locks_that_pile_up_are_told_with_who_waits(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 5)
    pushed(stage, monkeypatch)
    with session(stage, "dev") as holder:
        holder.execute("begin; lock table public.orders")
        with load(stage, reads, 4):
            found = worse(followed(stage, monkeypatch))
    assert set(found) == {"locks"}
    assert found["locks"]["now"].startswith("4 sessions wait at a time, for up to ")
    assert found["locks"]["before"] == "none"
    assert found["locks"]["query"] == "select count(*) from public.orders where id > $1"


def test_connections_that_climb_are_told(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 3)
    with load(stage, reads, 2):
        pushed(stage, monkeypatch)
        with load(stage, lambda connection, _: None, 16):
            found = worse(followed(stage, monkeypatch))
    assert found["connections"]["before"] == "at most 2"
    assert int(found["connections"]["now"]) >= 16
    assert set(found) == {"connections"}


_CHECK = """
[[projects.shop.environments.dev.health]]
name = "orders are there"
sql = "select coalesce((select count(*) > 0 from public.orders), true)"

[[projects.shop.environments.dev.health]]
name = "never held"
sql = "select false"
"""


def test_a_health_check_that_turns_bad_is_told_and_one_that_never_held_is_not(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = watching(make_stage, 3, _CHECK)
    stage.sql("dev", TABLE)
    stage.migration("20260101000001_orders.sql", "alter table public.orders add column more text")
    pushed(stage, monkeypatch)
    stage.sql("dev", "delete from public.orders")
    found = worse(followed(stage, monkeypatch))
    assert {one["now"] for one in found.values()} == {"orders are there: expected one row with one true, got 1 row"}
    assert set(found) == {"health check"}


def test_what_is_over_again_is_told_as_over(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 6)
    pushed(stage, monkeypatch)
    holder = psycopg.connect(stage.postgres.url(stage.databases["dev"]), application_name="somebody")
    holder.execute("lock table public.orders")
    free = threading.Timer(3.5, holder.close)
    with load(stage, reads, 3):
        free.start()
        found = worse(followed(stage, monkeypatch))
    assert found["locks"]["is_over"]
    assert "was worse" in stage.cli("show", "R-1").out


def test_deadlocks_are_counted(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 6)
    pushed(stage, monkeypatch)

    def crosses(first: int) -> Callable[[Connection, int], None]:
        def act(connection: Connection, number: int) -> None:
            with connection.transaction():
                connection.execute("update public.orders set note = 'x' where id = %s", (first,))
                connection.execute("select pg_sleep(0.02)")
                connection.execute("update public.orders set note = 'x' where id = %s", (3 - first,))

        return act

    with load(stage, crosses(1), 1), load(stage, crosses(2), 1):
        found = worse(followed(stage, monkeypatch))
    assert int(found["deadlocks"]["now"]) >= 2


def test_a_target_that_cannot_be_reached_is_worse(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = watching(make_stage, 4, _CHECK)
    pushed(stage, monkeypatch)
    name = stage.databases["dev"]
    with closing(psycopg.connect(stage.postgres.url("template1", ADMIN), autocommit=True)) as admin:
        closes = threading.Timer(1.0, lambda: _close(admin, name))
        closes.start()
        found = worse(followed(stage, monkeypatch))
        closes.join()
        admin.execute(f'alter database "{name}" allow_connections true'.encode())
    assert "is not currently accepting connections" in found["connection"]["now"]
    assert stage.postgres.password not in str([one.data for one in stage.events()])


def _close(admin: Connection, name: str) -> None:
    admin.execute(f'alter database "{name}" allow_connections false'.encode())
    admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))


def test_what_our_role_may_not_see_is_said_not_to_be_seen(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's sessions wait for locks all the time, and the card would have said that nothing is worse."""
    stage = watching(make_stage, 2)
    with closing(psycopg.connect(stage.postgres.url("template1", ADMIN), autocommit=True)) as admin:
        admin.execute("revoke pg_monitor from postgres")
        admin.execute(f"create role clerk login password '{stage.postgres.password}' in role service_role".encode())
        try:
            pushed(stage, monkeypatch)
            assert "nothing worse so far of what is seen (not seen: other people's sessions; grant pg_monitor)" in (
                plain_line(request_page(find_request(Reader(stage.log_path), "R-1"), datetime.now(UTC)).next)
            )
            with load(stage, reads, 4, user="clerk"), session(stage, "dev") as holder:
                holder.execute("begin; lock table public.orders")
                assert worse(followed(stage, monkeypatch)) == {}
        finally:
            admin.execute("grant pg_monitor to postgres; drop role clerk")
    assert stage.events("load_noted")[-1].data["unseen"] == ["other people's sessions"]  # type: ignore[index]
    assert (
        "watched 2 s, nothing worse than before of what is seen (not seen: other people's sessions; grant pg_monitor)"
        in " ".join(stage.cli("show", "R-1").out.split())
    )


def test_what_nobody_has_watched_is_not_called_calm(make_stage: MakeStage) -> None:
    stage = watching(make_stage, 1)
    assert push_json(stage)["status"] == "succeeded"
    assert ", nothing worse so far." in stage.cli("show", "R-1").out
    request = find_request(Reader(stage.log_path), "R-1")
    later = request_page(request, request.requested_at + timedelta(minutes=3))
    assert "the bot has not told yet how that went." in plain_line(later.next)


def test_nobody_watches_where_the_rules_do_not_say_so(small: Stage) -> None:
    assert push_json(small)["status"] == "succeeded"
    assert small.events("load_noted", "watch_began") == []
    page = small.cli("show", "R-1").out
    assert "watched" not in page
    wait_for(lambda: "nothing to do." in page)

"""The two locks of a target: who gets them, who is told what, and when they are free again."""

import time
from contextlib import closing
from functools import partial

import pytest
from apply_helpers import fresh_target
from apply_helpers import until

from ops.blockers import query_shape
from ops.blockers import read_blockers
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import GUARD_KEY
from ops.guard import MIGRATING_KEY
from ops.guard import Guard
from ops.guard import is_migrating_lock_free
from ops.guard import migrating_lock
from ops.guard import wait_until_gone


@pytest.fixture(scope="module")
def target():
    with fresh_target() as fresh:
        yield fresh


def _guard(target, **settings) -> Guard:
    return Guard(partial(target.connect, "run R-7"), "shop/prod", **settings)


def _guard_pid(target) -> int:
    query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = "
    return target.rows(query + "(SELECT oid FROM pg_database WHERE datname = current_database())")[0][0]


def test_the_documented_keys_are_the_ones_in_use():
    assert (GUARD_KEY, MIGRATING_KEY) == (-3850806289710898451, 2287431041882733622)


def test_the_lock_is_held_for_the_block_and_free_after_it(target):
    with _guard(target) as guard:
        guard.check()
        assert target.rows(f"SELECT pg_try_advisory_lock({GUARD_KEY})") == [(False,)]
    assert target.rows(f"SELECT pg_try_advisory_lock({GUARD_KEY}), pg_advisory_unlock({GUARD_KEY})") == [(True, True)]


def test_who_comes_second_is_told_who_was_first(target):
    with _guard(target):
        began = time.monotonic()
        with pytest.raises(OpsError) as caught, _guard(target, patience_seconds=0.3):
            pass
        assert 0.25 < time.monotonic() - began < 2
        pid = _guard_pid(target)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.TARGET_BUSY, 5)
    said = caught.value.message
    assert said.startswith("shop/prod is being migrated by another session")
    assert f"pid {pid}, countersign run R-7, user postgres, since 20" in said


def test_who_waits_long_enough_gets_it(target):
    first = _guard(target)
    first.__enter__()
    second = _guard(target, patience_seconds=5)
    try:
        with pytest.raises(OpsError), _guard(target, patience_seconds=0):
            pass
    finally:
        first.__exit__(None, None, None)
    with second:
        second.check()


def test_the_lock_of_another_database_is_another_lock(target):
    with fresh_target(history=False) as other, _guard(target), _guard(other, patience_seconds=0) as guard:
        guard.check()


def test_a_guard_whose_session_ended_is_lost_for_good(target):
    with _guard(target) as guard:
        target.run(f"SELECT pg_terminate_backend({_guard_pid(target)}, 2000)")
        for _ in range(2):
            with pytest.raises(OpsError, match="guard of shop/prod is lost") as caught:
                guard.check()
            assert (caught.value.reason, caught.value.exit_code) == (Reason.CONNECTION_LOST, 1)


def test_a_guard_whose_lock_was_given_away_is_lost(target):
    with _guard(target) as guard:
        guard.ask(lambda session: session.execute("SELECT pg_advisory_unlock_all()"))
        with pytest.raises(OpsError, match="the lock is gone"):
            guard.check()


def test_the_keepalive_notices_a_loss_by_itself(target):
    with _guard(target, keepalive_seconds=0.05) as guard:
        target.run(f"SELECT pg_terminate_backend({_guard_pid(target)}, 2000)")
        until(lambda: guard.is_lost, seconds=3)


def test_the_second_lock_lasts_as_long_as_its_session(target):
    with closing(target.connect("migrate R-7")) as migrating, closing(target.connect("migrate R-8")) as next_one:
        migrating_lock(migrating, "shop/prod")
        migrating_lock(migrating, "shop/prod")
        assert not is_migrating_lock_free(target.connection)
        with pytest.raises(OpsError, match="countersign migrate R-7"):
            migrating_lock(next_one, "shop/prod", patience_seconds=0.1)
    until(lambda: is_migrating_lock_free(target.connection))


START = "SELECT pg_backend_pid(), backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"


def test_a_backend_is_gone_when_it_ended_or_can_do_nothing_more(target):
    with closing(target.connect("old runner")) as old:
        pid, started = old.execute(START).fetchone()
        gone = partial(wait_until_gone, target.connection, pid, started, timeout_seconds=0.15)
        migrating_lock(old, "shop/prod")
        assert not gone()
        old.execute("SELECT pg_advisory_unlock_all()")
        assert gone()
        old.execute("BEGIN")
        assert not gone()
        assert wait_until_gone(target.connection, pid, "2020-01-01 00:00:00Z", timeout_seconds=0)
    assert wait_until_gone(target.connection, pid, started, timeout_seconds=5)


def test_a_backend_that_our_role_may_not_see_counts_as_there(target):
    with closing(target.connect("old runner")) as old:
        pid, started = old.execute(START).fetchone()
        with closing(target.connect("stranger")) as stranger:
            stranger.execute("SET ROLE clerk")
            assert not wait_until_gone(stranger, pid, started, timeout_seconds=0)


def test_blockers_are_named_without_the_data_in_their_queries(target):
    target.run("CREATE TABLE people (email text)")
    with closing(target.connect("psql")) as blocker, closing(target.connect("waiter")) as waiter:
        blocker.execute("BEGIN; LOCK TABLE people; SELECT * FROM people WHERE email = 'ana@acme.example'")
        pid = waiter.execute("SELECT pg_backend_pid()").fetchone()[0]
        waiter.pgconn.send_query(b"SELECT * FROM people")
        found = until(lambda: read_blockers(target.connection, pid))
        blocker.execute("ROLLBACK")
    assert [(one.application, one.user, one.state) for one in found] == [
        ("countersign psql", "postgres", "idle in transaction")
    ]
    assert found[0].query == "BEGIN; LOCK TABLE people; SELECT * FROM people WHERE email = ?"
    assert found[0].transaction_seconds is not None
    assert 0 <= found[0].transaction_seconds < 10


SHAPES = {
    "SELECT * FROM t WHERE a = 'it''s' AND b = 42.5e3 -- ana\n AND c": "SELECT * FROM t WHERE a = ? AND b = ? AND c",
    "UPDATE t1 SET x = E'a\\'b', y = $tag$ se'cret $tag$ /* card 4111 */": "UPDATE t1 SET x = ?, y = ?",
    'SELECT "it\'s a name" FROM "t2"': 'SELECT "it\'s a name" FROM "t2"',
    "SELECT $1, $2 WHERE u = U&'d\\0061t'": "SELECT $1, $2 WHERE u = ?",
    "SELECT a$1$b, $1$x$ 4111 $x$, N'ana', 0x1F FROM größe$2": "SELECT a$1$b, $1?, N?, ? FROM größe$2",
    f'SELECT "{"n" * 63}", "{"n" * 64}"': f'SELECT "{"n" * 63}", "{"n" * 63}…"',
}
DOUBTFUL = {
    "INSERT INTO t VALUES ('cut off by the ser": "INSERT INTO t VALUES (…",
    "DO $$ secret": "DO …",
    "DO $🔑$ secret $key$, '": "DO …",
    'SELECT "cut o': "SELECT …",
    "SELECT 1 /* cut off 4111": "SELECT ? …",
    "SELECT E'a\\'b secret": "SELECT E…",
    "SELECT 'it\\'s topsecret', 'x'": "SELECT …",
    "SELECT U&'it\\'s topsecret', 'x'": "SELECT U&…",
    "SELECT 'a'\n'it\\'s topsecret'": "SELECT ? …",
    "SELECT 1 \\ secret": "SELECT ? …",
}
NESTED = {
    "/* a /* nested secret */ hidden */ select 1": "select ?",
    "select a*/* x /* y */*/b //**/ c": "select a* b / c",
    "select 1 /* open /* closed */ secret": "select ? …",
    "select -- not /* open\n a": "select a",
}


@pytest.mark.parametrize(("query", "shape"), SHAPES.items())
def test_a_query_shape_has_no_literals(query, shape):
    assert query_shape(query) == shape


@pytest.mark.parametrize(("query", "shape"), DOUBTFUL.items())
def test_what_follows_a_doubtful_literal_is_not_shown(query, shape):
    """Where it ends depends on settings of the session that nobody sees, or on what the server cut off."""
    assert query_shape(query) == shape


@pytest.mark.parametrize(("query", "shape"), NESTED.items())
def test_a_comment_in_a_comment_is_not_shown(query, shape):
    assert query_shape(query) == shape


def test_a_long_query_shape_is_cut():
    assert len(query_shape("SELECT " + "a, " * 1000)) == 200

"""Batches beside a real standby: they wait while it is too far behind, and go on when it has caught up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import in_background
from apply_helpers import migration
from apply_helpers import until
from batches_support import COUNTED
from batches_support import ONCE
from batches_support import TABLE
from batches_support import sent
from batches_support import times
from postgres_fixtures import open_folder

from ops.apply_journal import Patience
from ops.batch_pace import Pace
from ops.batch_pace import read_standbys
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import ensure_history
from ops.tools import wheel_tools
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

ONE_BYTE = Pace(lag_bytes=1, lag_seconds=None)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LocalPostgres, LocalPostgres]]:
    """A primary, whose owner may see its standbys as on Supabase, and a standby that streams from it."""
    with open_folder() as folder, LocalPostgres(folder / "primary", fast=True) as primary:
        with psycopg.connect(primary.url("template1", ADMIN), autocommit=True) as admin:
            admin.execute("GRANT pg_monitor TO postgres")
        with _standby_of(primary, folder / "standby") as standby:
            yield primary, standby


def _standby_of(primary: LocalPostgres, folder: Path) -> LocalPostgres:
    tools = wheel_tools()
    assert tools is not None
    standby = LocalPostgres(folder, fast=True)
    shutil.copytree(primary.folder, standby.folder, ignore=lambda *_: ["data", "programs"])
    address = primary.url("template1", ADMIN, application_name="replica")
    subprocess.run(
        [*(tools.bin / "pg_basebackup", "-D", standby.data), *("-R", "-X", "stream", "-c", "fast", "-d", address)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    for mine in (standby.folder, *standby.folder.rglob("*")):
        like = primary.folder / mine.relative_to(standby.folder)
        status = (like if like.exists() else primary.data).stat()
        os.lchown(mine, status.st_uid, status.st_gid)
    return standby


@pytest.fixture
def target(pair: tuple[LocalPostgres, LocalPostgres]) -> Iterator[Target]:
    primary, _ = pair
    url = primary.create_database("beside", supabase=False)
    with closing(connect(url, purpose="test looks on")) as connection:
        ensure_history(connection)
        connection.execute(TABLE.encode())
        yield Target(url, primary.url("beside", ADMIN), connection)
    primary.drop_database("beside")


@pytest.fixture
def replay(pair: tuple[LocalPostgres, LocalPostgres]) -> Iterator[psycopg.Connection]:
    """The standby, to be told to stop replaying; it goes on afterwards."""
    with psycopg.connect(pair[1].url("template1", ADMIN), autocommit=True) as connection:
        yield connection
        connection.execute("SELECT pg_wal_replay_resume()")


def test_a_standby_is_read_with_its_name_and_how_far_it_is(target: Target, replay: psycopg.Connection) -> None:
    (caught_up,) = until(lambda: [one for one in read_standbys(target.connection) if one.bytes == 0])
    assert (caught_up.name, caught_up.hidden) == ("replica", False)
    replay.execute("SELECT pg_wal_replay_pause()")
    until(lambda: replay.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
    target.run("create table more as select generate_series(1, 10000) as i")
    (behind,) = until(lambda: [one for one in read_standbys(target.connection) if one.bytes > 100_000])
    assert behind.is_too_far(ONE_BYTE)
    assert not behind.is_too_far(Pace(lag_bytes=None, lag_seconds=None))


def test_batches_wait_for_a_standby_and_go_on_when_it_has_caught_up(target: Target, replay: psycopg.Connection) -> None:
    replay.execute("SELECT pg_wal_replay_pause()")
    journal = ListJournal()
    work = partial(apply, target, migration(COUNTED), journal=journal, patience=Patience(pace=ONE_BYTE))
    with in_background(work) as results:
        until(lambda: any("waits, as standby replica" in words for words, _ in journal.told))
        assert len(sent(journal)) == 1
        assert times(target) == [(0, 900), (1, 100)]
        replay.execute("SELECT pg_wal_replay_resume()")
    assert not isinstance(results[0], Exception), results
    assert times(target) == ONCE


def test_a_standby_that_never_catches_up_ends_it_between_two_batches(
    target: Target, replay: psycopg.Connection
) -> None:
    replay.execute("SELECT pg_wal_replay_pause()")
    journal = ListJournal()
    patience = Patience(pace=Pace(lag_bytes=1, patience_seconds=0.5))
    with pytest.raises(OpsError, match="waited for a standby and gave up: standby replica is") as caught:
        apply(target, migration(COUNTED), journal=journal, patience=patience)
    assert caught.value.reason is Reason.STANDBY_BEHIND
    assert "The first batch of this file (100 rows) stays on the target." in caught.value.message
    replay.execute("SELECT pg_wal_replay_resume()")
    apply(target, migration(COUNTED), journal=journal)
    assert times(target) == ONCE


def test_where_nobody_may_see_the_standbys_nothing_begins(target: Target) -> None:
    with psycopg.connect(target.admin_url, autocommit=True) as admin:
        admin.execute("REVOKE pg_monitor FROM postgres")
        try:
            with pytest.raises(OpsError, match="our role may not see how far behind they are") as caught:
                apply(target, migration(COUNTED))
            assert caught.value.reason is Reason.PLAN_BLOCKED
            apply(target, migration(COUNTED), patience=Patience(pace=Pace(lag_bytes=None, lag_seconds=None)))
        finally:
            admin.execute("GRANT pg_monitor TO postgres")
    assert times(target) == ONCE

"""What only some servers have: queries that are counted by pg_stat_statements, and standbys that lag behind."""

import os
import subprocess
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGCONT
from signal import SIGSTOP
from signal import Signals

import psycopg
import pytest
from postgres_fixtures import open_folder
from test_watch import followed
from test_watch import load
from test_watch import pushed
from test_watch import watching
from test_watch import worse

from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.load import Statements
from ops.load import given_up_after
from ops.load import look_at_load
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres
from sandbox.postgres import _children
from sandbox.postgres import tls_bin_folder
from sandbox.stage import Stage

MakeStage = Callable[..., Stage]


class CountingPostgres(TlsPostgres):
    """A server that counts queries, as Supabase's do."""

    def _prepare(self) -> None:
        super()._prepare()
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("shared_preload_libraries = 'pg_stat_statements'\n")


@pytest.fixture
def counting() -> Iterator[LocalPostgres]:
    programs = tls_bin_folder(17)
    if programs is None or not list(programs.parent.rglob("pg_stat_statements.control")):
        pytest.skip("no PostgreSQL 17 with pg_stat_statements: see tests/install_postgres_versions.sh")
    with open_folder() as folder, CountingPostgres(folder / "cluster", programs) as server:
        yield server


def test_a_query_that_became_slower_is_told_beside_its_own_past(
    counting: LocalPostgres, make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = watching(make_stage, 8, postgres=counting)
    with closing(psycopg.connect(counting.url(stage.databases["dev"], ADMIN), autocommit=True)) as admin:
        admin.execute("create schema if not exists extensions; create extension pg_stat_statements schema extensions")
        admin.execute("create table public.pace (seconds float8)")
        admin.execute("insert into public.pace values (0); grant all on public.pace to postgres")
        admin.execute("grant pg_monitor to postgres")

    def asks(connection: Connection, number: int) -> None:
        connection.execute("select pg_sleep(seconds), 'sesame' from public.pace")

    with load(stage, asks, 8):
        pushed(stage, monkeypatch)
        assert stage.events("load_noted")[-1].data["usual"]["milliseconds"]  # type: ignore[index]
        stage.sql("dev", "update public.pace set seconds = 0.3")
        found = worse(followed(stage, monkeypatch))
    assert set(found) == {"slower query"}
    slower = found["slower query"]
    assert slower["query"] == "select pg_sleep(seconds), $1 from public.pace"
    assert slower["now"].startswith("30")
    assert slower["now"].partition(" on average")[0].endswith(" ms")
    assert float(slower["before"].removesuffix(" ms")) < 60


def test_a_server_that_only_has_the_extension_installed_counts_nothing(counting: LocalPostgres) -> None:
    url = counting.create_database("plain")
    with closing(connect(url, purpose="test")) as connection:
        assert Statements(connection).counted() == {}


@pytest.fixture
def pair() -> Iterator[tuple[LocalPostgres, str]]:
    """A primary and the address of a standby that follows it."""
    with open_folder() as folder, LocalPostgres(folder / "primary", fast=True) as primary:
        with (primary.data / "pg_hba.conf").open("a") as file:
            file.write(f"host replication {ADMIN} 127.0.0.1/32 scram-sha-256\n")
        primary.stop()
        primary.start()
        standby = _standby_of(primary, folder / "standby")
        try:
            yield primary, standby.url("postgres", ADMIN)
        finally:
            standby.stop("immediate")


def _standby_of(primary: LocalPostgres, folder: Path) -> LocalPostgres:
    standby = LocalPostgres(folder, fast=True)
    folder.mkdir()
    command = [str(primary.bin / "pg_basebackup"), "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast"]
    subprocess.run([*command, "-d", primary.url("postgres", ADMIN)], check=True, capture_output=True, timeout=60)
    owner = primary.data.stat()
    for path in (folder, standby.data, *standby.data.rglob("*")):
        os.lchown(path, owner.st_uid, owner.st_gid)
    (folder / "password").write_text(primary.password)
    standby.start()
    return standby


def test_a_standby_that_falls_behind_is_told(
    pair: tuple[LocalPostgres, str], make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair
    monkeypatch.setattr("ops.watch_judging.LAG_BYTES", 2**20)
    stage = watching(make_stage, 5, postgres=primary)
    with closing(psycopg.connect(primary.url("postgres", ADMIN), autocommit=True)) as admin:
        admin.execute("grant pg_monitor to postgres")
    pushed(stage, monkeypatch)
    with closing(psycopg.connect(standby, autocommit=True)) as follower:
        follower.execute("select pg_wal_replay_pause()")
        stage.sql("dev", "create table public.much as select generate_series(1, 200000) as id")
        found = worse(followed(stage, monkeypatch))
        follower.execute("select pg_wal_replay_resume()")
    assert set(found) == {"replication lag"}
    assert found["replication lag"]["now"].endswith(" MB")


def test_a_server_that_freezes_is_told_and_keeps_nobody_waiting_for_ever(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.watch.given_up_after", lambda connection: given_up_after(connection, 1.0))
    monkeypatch.setattr("ops.watch.CONNECT_SECONDS", 2)
    with open_folder() as folder, LocalPostgres(folder / "cluster", fast=True) as server:
        stage = watching(make_stage, 12, postgres=server)
        pushed(stage, monkeypatch)
        postmaster = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        timers = [threading.Timer(after, _signal, (postmaster, how)) for after, how in ((2, SIGSTOP), (9, SIGCONT))]
        for timer in timers:
            timer.start()
        found = worse(followed(stage, monkeypatch))
        for timer in timers:
            timer.join()
    assert set(found) == {"connection"}
    assert "could not be looked at" in found["connection"]["now"]


def _signal(postmaster: int, how: Signals) -> None:
    for process in (postmaster, *_children(postmaster)):
        os.kill(process, how)


def test_a_role_that_may_not_look_into_others_sees_what_it_may(local_postgres: LocalPostgres, database: str) -> None:
    """Without pg_monitor the sessions of others are counted, and no more."""
    name = database.rpartition("/")[2].partition("?")[0]
    with (
        closing(psycopg.connect(local_postgres.url(name, ADMIN), autocommit=True)) as other,
        closing(connect(database, purpose="watch test")) as connection,
    ):
        before = look_at_load(connection)
        with closing(psycopg.connect(local_postgres.url(name, ADMIN), autocommit=True)):
            look = look_at_load(connection)
        other.execute("select 1")
    assert look.connections == before.connections + 1
    assert look.limit > look.taken >= look.connections
    assert (look.lag_seconds, look.lag_bytes) == (None, None)


def test_a_server_that_stays_silent_is_given_up(database: str) -> None:
    with (
        closing(connect(database, purpose="watch test")) as connection,
        pytest.raises(psycopg.OperationalError),
        given_up_after(connection, 0.3),
    ):
        connection.execute("select pg_sleep(20)")
    with pytest.raises(OpsError):
        connect(database.replace("/test_", "/none_"), purpose="watch test")

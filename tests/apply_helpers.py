"""What the tests of reading and migrating a target share: a real server, files from text, a journal that is a list."""

import atexit
import itertools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ops.apply import Applied
from ops.apply import apply_migration
from ops.apply_journal import CarryOut
from ops.apply_journal import CommitIntent
from ops.apply_journal import Finished
from ops.apply_journal import Intent
from ops.apply_journal import Patience
from ops.batch_log import BatchIntent
from ops.batch_log import Begun
from ops.blockers import Blocker
from ops.database import Connection
from ops.database import connect
from ops.guard import Guard
from ops.history import ensure_history
from ops.history import read_versions
from ops.migrations import Migration
from ops.migrations import read_folder
from sandbox.postgres import LocalPostgres
from sandbox.postgres import tls_bin_folder

MIXED = "create table a (i int);\ncreate index concurrently a_i on a (i);\ninsert into a values (1);"
"""A file of three parts: a transaction, a statement that stands alone, a transaction."""

_names = itertools.count(1)


@cache
def server(version: int = 18) -> LocalPostgres:
    """One cluster per version for the whole test run, removed at its end; skips where there is no such Postgres."""
    bin_folder = None if version in (16, 18) else tls_bin_folder(version)
    if version not in (16, 18) and bin_folder is None:
        pytest.skip(f"PostgreSQL {version} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="countersign-"))
    try:
        cluster = LocalPostgres(folder, version=16 if version == 16 else 18, bin_folder=bin_folder, fast=True)
        cluster.start()
    except FileNotFoundError as missing:
        pytest.skip(f"no Postgres: {missing}")
    with closing(connect(cluster.url(user="supabase_admin"), purpose="test prepares")) as admin:
        admin.execute("RESET ROLE; CREATE ROLE clerk; GRANT clerk TO postgres")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(cluster.stop, "immediate")
    return cluster


@dataclass
class Target:
    """A database of its own, with the history table, and the session that looks at it from outside."""

    url: str = field(repr=False)
    admin_url: str = field(repr=False)
    connection: Connection

    def connect(self, purpose: str = "test") -> Connection:
        return connect(self.url, purpose=purpose)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def run(self, query: str) -> None:
        self.connection.execute(query.encode())

    def has(self, relation: str) -> bool:
        return self.rows(f"SELECT to_regclass('{relation}') IS NOT NULL")[0][0] is True


@contextmanager
def fresh_target(*, version: int = 18, supabase: bool = False, history: bool = True) -> Iterator[Target]:
    name = f"target_{next(_names)}"
    cluster = server(version)
    url = cluster.create_database(name, supabase=supabase)
    with closing(connect(url, purpose="test looks on")) as connection:
        if history:
            ensure_history(connection)
        yield Target(url, cluster.url(name, "supabase_admin"), connection)
    cluster.drop_database(name)


def migration(sql: str, filename: str = "20260101000000_change.sql") -> Migration:
    return read_folder({filename: sql.encode()}).migrations[0]


@dataclass
class ListJournal:
    """Keeps every entry; `before` is called with each one first, and may raise as a full disk would."""

    entries: list[Any] = field(default_factory=list)
    before: Callable[[Any], None] = lambda _: None
    waits: list[tuple[Blocker, ...]] = field(default_factory=list)
    told: list[tuple[str, float | None]] = field(default_factory=list)
    caught_up: int = 0
    secret: bytes = b"a secret of thirty-two bytes, or so"

    def _keep(self, entry: Any) -> None:
        self.before(entry)
        self.entries.append(entry)

    def statement_intended(self, intent: Intent) -> None:
        self._keep(intent)

    def commit_intended(self, commit: CommitIntent, following: Intent | None) -> None:
        if following is not None:
            self._keep(following)
        self._keep(commit)

    def catch_up(self) -> None:
        self.caught_up += 1

    def batch_intended(self, batch: BatchIntent) -> Callable[[], None]:
        self._keep(batch)
        return lambda: None

    def batches_begun(self, migration: Migration) -> Begun | None:
        """The newest batch here; what became of it is the server's to say."""
        found = [one for one in self.entries if isinstance(one, BatchIntent) and one.version == migration.version]
        return Begun(found[-1], "R-6", None) if found else None

    def place_secret(self) -> bytes:
        return self.secret

    def segment_finished(self, finished: Finished) -> None:
        self._keep(finished)

    def file_applied(self, version: str, catalog_sha256: str, seconds: float) -> None:
        self._keep(("applied", version, catalog_sha256))

    def waiting(self, version: str, blockers: tuple[Blocker, ...]) -> None:
        self.waits.append(blockers)

    def cleaning(self, intent: Intent, indexes: tuple[str, ...]) -> None:
        self._keep(("cleaning", intent.statements, indexes))

    def progressed(self, version: str, words: str, share: float | None) -> None:
        self.told.append((words, share))

    def outcomes(self) -> list[str]:
        return [entry.outcome.value for entry in self.entries if isinstance(entry, Finished)]

    def intents(self) -> list[Intent]:
        return [entry for entry in self.entries if isinstance(entry, Intent)]


def never() -> bool:
    return False


QUICK = Patience(seconds=2.0, first_pause_seconds=0.05, longest_pause_seconds=0.2)


def apply(
    target: Target,
    file: Migration,
    *,
    journal: ListJournal | None = None,
    patience: Patience = QUICK,
    stop: Callable[[], bool] = never,
    expect_history: Sequence[str] | None = None,
    carry_out: CarryOut | None = None,
) -> Applied:
    """Apply one file under a guard of its own; the history is expected to be what it is, unless told otherwise."""
    expected = read_versions(target.connection) if expect_history is None else expect_history
    with Guard(partial(target.connect, "guard"), "shop/prod") as guard:
        return apply_migration(
            file,
            connect=partial(target.connect, "migrate"),
            guard=guard,
            patience=patience,
            journal=journal or ListJournal(),
            stop=stop,
            expect_history=expected,
            carry_out=carry_out,
        )


@contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run `work` in a thread; the yielded list gets its result or its exception, and is complete after the block."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield results
    thread.join(timeout=30)
    assert not thread.is_alive()


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait for a condition, bounded; returns what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def backends(target: Target, application: str) -> list[int]:
    return [
        row[0]
        for row in target.rows(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = 'countersign {application}' "
            "AND datname = current_database()"
        )
    ]


def is_sleeping(target: Target) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    return bool(target.rows(query))

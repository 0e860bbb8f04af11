"""Fixtures with real Postgres servers. conftest.py takes them in; a server starts with the first test that needs it."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres
from sandbox.postgres import tls_bin_folder

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def local_postgres() -> Iterator[LocalPostgres]:
    """PostgreSQL 18 from the wheel, on loopback, without TLS; for the whole session."""
    with open_folder() as folder, LocalPostgres(folder / "cluster", fast=True) as server:
        yield server


@pytest.fixture
def database(local_postgres: LocalPostgres) -> Iterator[str]:
    """The address of a fresh database as a new Supabase project has it; gone after the test."""
    name = f"test_{next(_numbers)}"
    yield local_postgres.create_database(name)
    local_postgres.drop_database(name)


@pytest.fixture(scope="session", params=[15, 16, 17])
def tls_postgres(request: pytest.FixtureRequest) -> Iterator[TlsPostgres]:
    """A server of each older version that accepts TLS only, with the contrib extensions."""
    programs = tls_bin_folder(request.param)
    if programs is None:
        pytest.skip(f"no PostgreSQL {request.param} with TLS: see tests/install_postgres_versions.sh")
    with open_folder() as folder, TlsPostgres(folder / "cluster", programs) as server:
        yield server


def run_sql(server: LocalPostgres, database: str, text: str, user: str = ADMIN) -> None:
    """Run several statements in autocommit, as the superuser unless told otherwise."""
    with psycopg.connect(server.url(database, user), autocommit=True) as connection:
        connection.execute(text.encode())


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that a server with a user id of its own can pass; gone afterwards.

    Not below tmp_path: pytest closes its folders to other users, again whenever another session starts.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder

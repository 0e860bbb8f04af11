"""Extensions on a rehearsal's copy: real ones where they are harmless, stand-ins otherwise, and always said."""

import contextlib
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from postgres_fixtures import run_sql

from ops.database import Connection
from ops.errors import OpsError
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.rehearsal.extensions import shipped_names
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres


@pytest.fixture(scope="module")
def copy(local_postgres: LocalPostgres) -> Iterator[Copy]:
    url = local_postgres.create_database("extended")
    try:
        with open_copy(url) as one:
            yield one
    finally:
        local_postgres.drop_database("extended")


@pytest.fixture
def session(copy: Copy) -> Iterator[Connection]:
    """A session of the migrating role whose work is undone."""
    with contextlib.closing(copy.connect()) as connection:
        connection.execute("BEGIN")
        yield connection


def test_an_older_target_with_real_extensions_is_copied_with_stand_ins(tls_postgres: TlsPostgres) -> None:
    url = tls_postgres.create_database("older")
    try:
        run_sql(
            tls_postgres,
            "older",
            "CREATE EXTENSION pgcrypto SCHEMA extensions; CREATE EXTENSION dblink SCHEMA extensions;"
            " CREATE EXTENSION postgres_fdw SCHEMA extensions; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO postgres",
        )
        run_sql(
            tls_postgres,
            "older",
            "CREATE TABLE public.a (id uuid DEFAULT extensions.gen_random_uuid(),"
            "  d bytea DEFAULT extensions.digest('x', 'sha256'));"
            " CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1');"
            " CREATE FOREIGN TABLE public.f (id int) SERVER far",
            "postgres",
        )
        with open_copy(url) as copy, contextlib.closing(copy.connect()) as connection:
            assert copy.stand_ins == ("dblink", "pgcrypto", "postgres_fdw")
            assert copy.refused == ()
            assert copy.is_exact, copy.inexact_because
            connection.execute("INSERT INTO public.a DEFAULT VALUES")
            assert _answer(connection, "SELECT d = sha256('x') FROM public.a") is True
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT * FROM public.f")
    finally:
        tls_postgres.drop_database("older")


def test_stand_ins_come_with_a_files_own_create_extension(copy: Copy, session: Connection) -> None:
    copy.offer_extension("pg_cron")
    session.execute("CREATE EXTENSION pg_cron WITH SCHEMA pg_catalog; CREATE EXTENSION pgcrypto SCHEMA extensions")
    assert _answer(session, "SELECT cron.schedule('nightly', '0 0 * * *', 'SELECT 1')") == 1
    assert _answer(session, "SELECT length(extensions.crypt('a', extensions.gen_salt('bf')))") == 32
    assert "pg_cron" in copy.stand_ins


def test_the_real_vector_is_made_by_the_copy_for_the_file(copy: Copy, session: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("CREATE EXTENSION vector SCHEMA extensions")
    session.rollback()
    copy.create_extension("vector", "extensions")
    assert _answer(session, "SELECT '[3,4]'::extensions.vector OPERATOR(extensions.<->) '[0,0]'") == 5.0
    assert "vector" not in copy.stand_ins


def test_an_extension_nobody_knows_is_an_empty_one(copy: Copy, session: Connection) -> None:
    copy.create_extension("no_such_thing", "extensions")
    assert _answer(session, "SELECT count(*) FROM pg_extension WHERE extname = 'no_such_thing'") == 1
    assert "no_such_thing" in copy.stand_ins
    with pytest.raises(OpsError):
        copy.offer_extension("../../etc/passwd")


@pytest.mark.parametrize("name", sorted(shipped_names()))
def test_every_stand_in_that_comes_along_can_be_made_by_the_migrating_role(
    copy: Copy, session: Connection, name: str
) -> None:
    if name == "supabase_vault":  # its schema is there, and the platform's
        session.rollback()
        copy.create_extension(name, "vault")
    else:
        session.execute(f'CREATE EXTENSION "{name}" SCHEMA extensions'.encode())
    row = session.execute("SELECT extversion FROM pg_extension WHERE extname = %s", (name,)).fetchone()
    assert row == ("0",)


def test_stand_ins_answer_with_values_of_the_right_kind(copy: Copy, session: Connection) -> None:
    copy.create_extension("supabase_vault", "vault")
    session.execute("CREATE EXTENSION pgmq; CREATE EXTENSION pg_net")
    session.execute("SELECT pgmq.create('jobs'); SELECT pgmq.send('jobs', '{}')")
    assert _answer(session, "SELECT count(*) FROM pgmq.read('jobs', 0, 5)") == 1
    session.execute("SELECT vault.create_secret('s', 'key')")
    assert _answer(session, "SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'key'") == "s"
    assert _answer(session, "SELECT net.http_get('http://127.0.0.1:1')") == 1


def _answer(connection: Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]

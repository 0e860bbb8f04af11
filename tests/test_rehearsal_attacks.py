"""SQL of migrations and dumps is hostile: on a copy it reaches nothing outside, and never our own session's powers."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from postgres_fixtures import open_folder
from postgres_fixtures import run_sql

from ops.database import Connection
from ops.errors import OpsError
from ops.isolation import reached_isolation
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.scratch import Limits
from sandbox.postgres import LocalPostgres

WITNESS = Path("/tmp/countersign-attack")  # noqa: S108 (where an attack that succeeds writes; nobody reads it)

# What a dump brings along, written by somebody who waits for a mightier role to stumble over it.
TRAPS = """
CREATE TABLE public.orders (id int);
CREATE TABLE public.caught (who text, super boolean, at timestamptz DEFAULT now());
GRANT ALL ON public.caught TO PUBLIC;
CREATE FUNCTION public.spring() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.caught VALUES (current_user, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user));
  BEGIN
    EXECUTE 'ALTER ROLE postgres SUPERUSER';
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  RETURN true;
END $$;
CREATE FUNCTION public.count(anyelement) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint WHERE public.spring()';
CREATE FUNCTION public.equal(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT public.spring()';
CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = name, RIGHTARG = text);
CREATE FUNCTION public.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS 'SELECT ''x''::name WHERE public.spring()';
CREATE VIEW public.pg_roles AS SELECT public.spring(), 'postgres'::name AS rolname, true AS rolsuper;
CREATE FUNCTION public.on_command() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.spring(); END';
CREATE FUNCTION public.mighty(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN EXECUTE command; END';
GRANT EXECUTE ON FUNCTION public.mighty TO PUBLIC;
ALTER DATABASE trapped SET search_path = public, pg_catalog;
CREATE ROLE "evil""; DROP TABLE public.orders; --" NOLOGIN;
GRANT "evil""; DROP TABLE public.orders; --" TO postgres;
CREATE SCHEMA "x; ALTER ROLE postgres SUPERUSER; --";
CREATE TABLE "x; ALTER ROLE postgres SUPERUSER; --"."$$; COPY (SELECT 1) TO PROGRAM 'touch /tmp/countersign-attack'; --"
  (id int);
"""
AS_ADMIN = """
CREATE EVENT TRIGGER trap_start ON ddl_command_start EXECUTE FUNCTION public.on_command();
CREATE EVENT TRIGGER trap_end ON ddl_command_end EXECUTE FUNCTION public.on_command();
CREATE EVENT TRIGGER trap_drop ON sql_drop EXECUTE FUNCTION public.on_command();
CREATE EVENT TRIGGER trap_login ON login EXECUTE FUNCTION public.on_command();
ALTER FUNCTION public.mighty(text) OWNER TO supabase_admin;
GRANT pg_execute_server_program, pg_read_server_files TO postgres;
GRANT supabase_admin TO postgres;
"""


@pytest.fixture(scope="module")
def trapped() -> Iterator[str]:
    """A target full of traps, whose role is in groups that reach files and programs; on a server of its own."""
    with open_folder() as folder, LocalPostgres(folder / "cluster", fast=True) as server:
        url = server.create_database("trapped")
        run_sql(server, "trapped", TRAPS, "postgres")
        run_sql(server, "trapped", AS_ADMIN)
        yield url


@pytest.fixture(scope="module")
def copy(trapped: str) -> Iterator[Copy]:
    with open_copy(trapped) as one:
        one.offer_extension("dblink")
        one.offer_extension("pg_net")
        one.offer_extension("http")
        yield one


@pytest.fixture
def session(copy: Copy) -> Iterator[Connection]:
    with contextlib.closing(copy.connect()) as connection:
        yield connection


@pytest.fixture(autouse=True)
def nothing_happens_outside() -> Iterator[None]:
    assert not WITNESS.exists()
    yield
    assert not WITNESS.exists()


def _nobody_was_caught(copy: Copy) -> bool:
    """Whether no trap ran as a superuser, and the foreign role is none."""
    with contextlib.closing(copy.connect()) as connection:
        mighty = connection.execute("SELECT who FROM public.caught WHERE super").fetchall()
        roles = connection.execute(
            "SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolname OPERATOR(pg_catalog.!~) '^countersign_'"
        ).fetchall()
    return mighty == [] and roles == []


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/countersign-attack'",
        "COPY public.caught FROM PROGRAM 'touch /tmp/countersign-attack'",
        "COPY (SELECT 1) TO '/tmp/countersign-attack'",
        "COPY public.caught FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/countersign-attack')",
        "SELECT * FROM pg_hba_file_rules",
        "CREATE FUNCTION public.c() RETURNS int LANGUAGE c AS 'libc.so.6', 'system'",
        "LOAD '$libdir/plpgsql'",
        "ALTER SYSTEM SET archive_command = 'touch /tmp/countersign-attack'",
        "ALTER ROLE postgres SUPERUSER",
        "CREATE ROLE mightier SUPERUSER",
        "GRANT pg_execute_server_program TO postgres",
        "SET ROLE pg_execute_server_program",
        "SET SESSION AUTHORIZATION supabase_storage_admin",
        "SELECT public.mighty('ALTER ROLE postgres SUPERUSER')",
        "SELECT public.mighty($$COPY (SELECT 1) TO PROGRAM 'touch /tmp/countersign-attack'$$)",
        "SET ROLE supabase_admin; COPY (SELECT 1) TO PROGRAM 'touch /tmp/countersign-attack'",
        "SET ROLE supabase_admin; ALTER ROLE postgres SUPERUSER",
        "CREATE EVENT TRIGGER t ON login EXECUTE FUNCTION public.on_command()",
        "CREATE SUBSCRIPTION s CONNECTION 'host=/tmp' PUBLICATION p",
        "CREATE TABLESPACE t LOCATION '/tmp'",
        "CREATE LANGUAGE plperlu",
        "CREATE EXTENSION vector",
        "SET session_preload_libraries = 'x'",
        "ALTER DATABASE trapped SET session_preload_libraries = 'x'",
        "SET event_triggers = off",
        "UPDATE pg_catalog.pg_database SET datname = 'x'",
        "CREATE FUNCTION pg_catalog.lower(json) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'",
        "SELECT pg_reload_conf()",
        "SELECT pg_rotate_logfile()",
    ],
)
def test_nothing_outside_the_copy_can_be_reached(copy: Copy, session: Connection, statement: LiteralString) -> None:
    with pytest.raises(psycopg.Error) as caught:
        session.execute(statement)
    assert caught.value.sqlstate in ("42501", "0A000", "58P01", "42704", "22023", "42710"), caught.value
    assert _nobody_was_caught(copy)


def test_the_superuser_of_a_copy_cannot_be_become(copy: Copy, session: Connection) -> None:
    superuser = psycopg.conninfo.conninfo_to_dict(copy.superuser_url)["user"]
    for statement in (
        "SET ROLE {}",
        "SET SESSION AUTHORIZATION {}",
        "GRANT {} TO postgres",
        "ALTER ROLE {} PASSWORD 'x'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(str(superuser))))
    parameters = psycopg.conninfo.make_conninfo(copy.superuser_url, password="", options="")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(parameters)


def test_stand_ins_for_what_calls_out_do_nothing(session: Connection) -> None:
    session.execute("CREATE EXTENSION dblink; CREATE EXTENSION pg_net; CREATE EXTENSION http")
    session.execute("SELECT * FROM dblink('host=/tmp', 'SELECT 1') AS t (n int)")
    session.execute("SELECT net.http_post('http://127.0.0.1:1/')")
    row = session.execute("SELECT (http_get('http://127.0.0.1:1/')).status").fetchone()
    assert row == (0,)


def test_our_own_session_steps_into_no_trap(copy: Copy) -> None:
    """Operators, functions, views, a search path and event triggers of the dump lie in its way."""
    with contextlib.closing(copy.connect()) as hostile:
        with contextlib.suppress(psycopg.Error):
            hostile.execute("ALTER DATABASE trapped SET search_path = public, pg_catalog")
        hostile.execute("ALTER DATABASE trapped SET role = 'anon'")
        hostile.execute("ALTER DATABASE trapped SET default_transaction_read_only = on")
    try:
        with contextlib.closing(copy.ask()) as ours:
            assert ours.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'postgres'::text").fetchone() == (1,)
            ours.execute("CREATE TABLE pg_temp.notes (id int)")
            ours.execute("DROP TABLE pg_temp.notes")
            assert ours.execute("SHOW search_path").fetchone() in (("",), ('""',))
            assert ours.execute("SHOW event_triggers").fetchone() == ("off",)
        copy.create_extension("vector", "public")
    finally:
        with psycopg.connect(copy.superuser_url, autocommit=True) as ours:
            for setting in ("role", "default_transaction_read_only"):
                ours.execute(f"ALTER DATABASE trapped RESET {setting}".encode())
    assert _nobody_was_caught(copy)


def test_the_traps_of_the_dump_ran_and_caught_no_superuser(copy: Copy, session: Connection) -> None:
    session.execute("CREATE TABLE public.more (id int)")
    row = session.execute("SELECT pg_catalog.count(*) FROM public.caught WHERE who = 'postgres'").fetchone()
    assert row is not None
    assert row[0] > 0
    assert _nobody_was_caught(copy)


def test_names_of_the_dump_stay_names(copy: Copy, session: Connection) -> None:
    role, schema = 'evil"; DROP TABLE public.orders; --', "x; ALTER ROLE postgres SUPERUSER; --"
    assert session.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s::pg_catalog.name", (role,)).fetchone()
    assert session.execute(
        "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s::pg_catalog.name", (schema,)
    ).fetchone()
    assert session.execute("SELECT pg_catalog.to_regclass('public.orders') IS NOT NULL").fetchone() == (True,)
    assert copy.refused == ()
    assert "On the copy postgres is no member of pg_execute_server_program." in copy.notes


def test_no_password_can_be_read_anywhere(copy: Copy, session: Connection) -> None:
    secrets = [str(psycopg.conninfo.conninfo_to_dict(url)["password"]) for url in (copy.url, copy.superuser_url)]
    with contextlib.closing(copy.ask()):
        seen = repr(session.execute("SELECT * FROM pg_catalog.pg_stat_activity").fetchall())
        seen += repr(session.execute("SELECT * FROM pg_catalog.pg_settings").fetchall())
        assert "SCRAM-SHA-256$" not in seen
        # pg_read_all_data, which Supabase's role has, reads what the server keeps of a password: that opens nothing.
        seen += repr(session.execute("SELECT rolpassword FROM pg_catalog.pg_authid").fetchall())
    seen += (copy.scratch.root / "log").read_text(errors="replace")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            seen += (process / "cmdline").read_text(errors="replace")
    assert not any(secret in seen for secret in secrets)
    assert (copy.scratch.root / "log").stat().st_mode & 0o777 == 0o600


def test_our_sessions_cannot_be_ended_by_theirs(copy: Copy, session: Connection) -> None:
    with contextlib.closing(copy.ask()) as ours:
        pid = ours.info.backend_pid
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT pg_catalog.{function}({pid})".encode())
        assert ours.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT pg_sleep(60)", id="sleep"),
        pytest.param("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$", id="loop"),
        pytest.param(
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", id="query"
        ),
        pytest.param("SET statement_timeout = 0; SELECT pg_sleep(60)", id="without a timeout of its own"),
    ],
)
def test_what_never_ends_is_ended(database: str, statement: LiteralString) -> None:
    started = time.monotonic()
    limits = Limits(seconds=6.0, statement_seconds=1.0)

    def work() -> None:
        with open_copy(database, limits=limits) as copy, contextlib.closing(copy.connect()) as connection:
            connection.execute(statement)

    with pytest.raises((OpsError, psycopg.errors.QueryCanceled)):
        work()
    assert time.monotonic() - started < 40


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("CREATE TABLE public.big AS SELECT repeat('x', 1000) FROM generate_series(1, 5000000)", id="rows"),
        pytest.param(
            "DO $$ BEGIN FOR i IN 1..10000000 LOOP RAISE LOG '%', repeat('x', 10000); END LOOP; END $$", id="the log"
        ),
    ],
)
def test_who_fills_the_disk_ends_the_copy(database: str, statement: LiteralString) -> None:
    limits = Limits(disk_bytes=200 * 2**20)

    def work() -> None:
        with open_copy(database, limits=limits) as copy, contextlib.closing(copy.connect()) as connection:
            connection.execute(statement)

    with pytest.raises(OpsError, match="bytes on disk, its limit"):
        work()


def test_memory_has_an_end(database: str) -> None:
    if not reached_isolation().memory_limit:
        pytest.skip("this system sets no limit on memory")
    statement: LiteralString = """
        DO $$ DECLARE hoard text[]; BEGIN
          FOR i IN 1..100 LOOP hoard[i] := repeat('x', 50000000 + i); END LOOP;
        END $$"""
    with open_copy(database, limits=Limits(memory_bytes=2**30)) as copy:
        with contextlib.closing(copy.connect()) as connection, pytest.raises(psycopg.errors.OutOfMemory):
            connection.execute(statement)
        with contextlib.closing(copy.connect()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notices_and_notifications_flood_nobody(copy: Copy, session: Connection) -> None:
    session.execute("DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; END $$")
    session.execute("LISTEN x; NOTIFY x, 'y'")
    with contextlib.closing(copy.ask()) as ours:
        assert ours.execute("SELECT 1").fetchone() == (1,)


def test_copy_from_stdin_confuses_only_its_own_session(copy: Copy, session: Connection) -> None:
    with pytest.raises(psycopg.Error):
        session.execute("COPY public.caught FROM STDIN")
    session.close()
    with contextlib.closing(copy.connect()) as another:
        assert another.execute("SELECT 1").fetchone() == (1,)


def test_all_connections_taken_still_leave_one_for_us(copy: Copy) -> None:
    with contextlib.ExitStack() as stack:
        taken = 0
        with contextlib.suppress(OpsError):
            for _ in range(60):
                stack.enter_context(contextlib.closing(copy.connect()))
                taken += 1
        assert taken < 60
        with contextlib.closing(copy.ask()) as ours:
            assert ours.execute("SELECT 1").fetchone() == (1,)


def test_a_copy_that_is_left_in_the_middle_of_a_statement_leaves_no_process(database: str) -> None:
    with open_copy(database) as copy:
        root, uid = copy.scratch.root, copy.scratch.uid
        busy = copy.connect()
        thread = threading.Thread(target=_ignore_the_end, args=(busy,), daemon=True)
        thread.start()
        time.sleep(0.3)
    thread.join(10)
    assert not thread.is_alive()
    assert not root.exists()
    if os.geteuid() == 0:
        assert not [process for process in Path("/proc").glob("[0-9]*") if _owner(process) == uid]


def _ignore_the_end(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT pg_sleep(60)")


def _owner(process: Path) -> int | None:
    try:
        return process.stat().st_uid
    except OSError:
        return None

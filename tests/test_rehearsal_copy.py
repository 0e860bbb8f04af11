"""The copy that a rehearsal runs on: as the target is, who may do what included, and gone afterwards."""

import contextlib
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from postgres_fixtures import run_sql

from ops.database import Connection
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.rehearsal.copy import open_empty
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

PROJECT = """
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);
INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000000', '{select 1}', 'first'), ('2', NULL, NULL);
CREATE TYPE public.state AS ENUM ('new', 'paid');
CREATE DOMAIN public.percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE public.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner uuid REFERENCES auth.users (id) ON DELETE CASCADE,
  state public.state NOT NULL DEFAULT 'new',
  share public.percent,
  total numeric(10, 2) CHECK (total >= 0),
  twice numeric GENERATED ALWAYS AS (total * 2) STORED
);
CREATE INDEX orders_owner ON public.orders (owner) WHERE state = 'new';
ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.orders FOR ALL TO authenticated USING (owner = auth.uid());
CREATE TABLE public.parts (day date NOT NULL, n int) PARTITION BY RANGE (day);
CREATE TABLE public.parts_2026 PARTITION OF public.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  -- Name: nothing; Type: TABLE; Schema: -; Owner: -
  RETURN new;
END $$;
CREATE TRIGGER touched BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER welcome AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE VIEW public.paid AS SELECT id, total FROM public.orders WHERE state = 'paid';
CREATE MATERIALIZED VIEW public.totals AS SELECT sum(total) AS total FROM public.orders;
CREATE PUBLICATION supabase_realtime FOR TABLE public.orders;
CREATE STATISTICS public.orders_stats ON owner, state FROM public.orders;
CREATE SCHEMA "odd ""schema""; -- café";
CREATE TABLE "odd ""schema""; -- café"."täble;'" ("cöl" text DEFAULT 'a;b''c');
CREATE SCHEMA team AUTHORIZATION postgres;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated;
GRANT SELECT (id) ON public.orders TO anon;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA team GRANT SELECT ON TABLES TO authenticated;
COMMENT ON TABLE public.orders IS 'All of them';
"""

AS_ADMIN = """
CREATE TABLE public.platform (id int);
CREATE POLICY mine ON storage.objects FOR SELECT TO authenticated USING (owner = auth.uid());
CREATE FUNCTION public.secure_new_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
  FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', made.object_identity);
  END LOOP;
END $$;
CREATE EVENT TRIGGER ensure_rls ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
  EXECUTE FUNCTION public.secure_new_tables();
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE FOREIGN DATA WRAPPER elsewhere;
GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO postgres;
ALTER TABLE public.platform OWNER TO supabase_storage_admin;
GRANT CREATE ON SCHEMA auth TO supabase_storage_admin WITH GRANT OPTION;
SET ROLE supabase_storage_admin;
GRANT CREATE ON SCHEMA auth TO authenticated;
"""


@pytest.fixture(scope="module")
def target(local_postgres: LocalPostgres) -> Iterator[str]:
    """A project's database with a bit of everything, roles and settings included."""
    url = local_postgres.create_database("copied")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(PROJECT.encode())
            connection.execute("ALTER ROLE authenticated IN DATABASE copied SET statement_timeout = '8s'")
            connection.execute('ALTER DATABASE copied SET search_path = "$user", public, extensions')
        run_sql(local_postgres, "copied", AS_ADMIN)
        run_sql(local_postgres, "copied", "ALTER DATABASE copied SET app.settings.flag = 'up, and \"down\"'")
        run_sql(
            local_postgres, "copied", "CREATE SERVER far FOREIGN DATA WRAPPER elsewhere OPTIONS (host 'x')", "postgres"
        )
        yield url
    finally:
        local_postgres.drop_database("copied")


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="countersign-test-") as name:
        yield Path(name) / "schemas"


@pytest.fixture(scope="module")
def copy(target: str, cache: Path) -> Iterator[Copy]:
    with open_copy(target, cache=cache) as one:
        yield one


@pytest.fixture
def session(copy: Copy) -> Iterator[Connection]:
    """A session of the migrating role whose work is undone."""
    with contextlib.closing(copy.connect()) as connection:
        connection.execute("BEGIN")
        yield connection


def _answer(connection: Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_the_copy_has_the_targets_schema_to_the_last_definition(copy: Copy) -> None:
    assert (copy.inexact_because, copy.refused, copy.notes) == ("", (), ())
    assert copy.is_exact
    assert copy.server == copy.target_server


def test_the_migrating_role_is_the_targets_and_no_superuser(copy: Copy, target: str, session: Connection) -> None:
    question: LiteralString = (
        "SELECT ROW(session_user, current_user, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolinherit)::text"
        " FROM pg_roles WHERE rolname = current_user"
    )
    with psycopg.connect(target) as there:
        assert _answer(session, question) == _answer(there, question)
    assert _answer(session, "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname !~ '^countersign_'") == 0


def test_memberships_ownership_and_settings_are_the_targets(target: str, session: Connection) -> None:
    questions: tuple[LiteralString, ...] = (
        "SELECT string_agg(ROW(r.rolname, m.rolname, admin_option, inherit_option, set_option)::text, ',' ORDER BY 1)"
        " FROM (SELECT * FROM pg_auth_members ORDER BY 1, 2) AS a JOIN pg_roles AS r ON r.oid = roleid"
        " JOIN pg_roles AS m ON m.oid = member WHERE 'postgres' IN (m.rolname, r.rolname) AND r.rolname NOT LIKE 'x%'",
        "SELECT ROW(current_database(), pg_get_userbyid(datdba),"
        " coalesce(datacl, acldefault('d', datdba)))::text FROM pg_database"
        " WHERE datname = current_database()",
        "SELECT string_agg(x, ',' ORDER BY x) FROM (SELECT ROW(coalesce(rolname, ''), setconfig)::text"
        " FROM pg_db_role_setting LEFT JOIN pg_roles AS r ON r.oid = setrole WHERE setdatabase ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())) AS s (x)",
        "SELECT current_setting('app.settings.flag') || current_setting('search_path')",
        "SELECT string_agg(ROW(nspname, pg_get_userbyid(nspowner))::text, ',' ORDER BY 1) FROM (SELECT * FROM pg_namespace"
        " WHERE nspname !~ '^(pg_|information_schema)' ORDER BY nspname) AS n",
    )
    with psycopg.connect(target) as there:
        for question in questions:
            assert _answer(session, question) == _answer(there, question), question


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("ALTER TABLE auth.users ADD COLUMN x int", id="must be owner of a platform's table"),
        pytest.param("ALTER TABLE public.platform ADD COLUMN x int", id="must be owner of somebody's table"),
        pytest.param("CREATE TABLE vault.x (id int)", id="no permission for a platform's schema"),
        pytest.param(
            "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION public.secure_new_tables()", id="event"
        ),
        pytest.param("ALTER ROLE anon SUPERUSER", id="role"),
        pytest.param("DROP PUBLICATION everything", id="publication of a superuser"),
    ],
)
def test_what_the_target_forbids_the_copy_forbids(target: str, session: Connection, statement: LiteralString) -> None:
    said = []
    with psycopg.connect(target) as there:
        for connection in (there, session):
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
                connection.execute(statement)
            said.append(caught.value.diag.message_primary)
            connection.rollback()
    assert said[0] == said[1]


def test_files_run_behind_the_history_of_the_target(session: Connection) -> None:
    rows = session.execute("SELECT version, name FROM supabase_migrations.schema_migrations ORDER BY 1").fetchall()
    assert rows == [("2", None), ("20260101000000", "first")]


def test_event_triggers_and_materialized_views_work_as_on_the_target(session: Connection) -> None:
    session.execute("CREATE TABLE public.later (id int)")
    assert _answer(session, "SELECT relrowsecurity FROM pg_class WHERE oid = 'public.later'::regclass") is True
    assert _answer(session, "SELECT count(*) FROM public.totals") == 1


def test_a_dump_of_the_copy_is_an_archive_for_us_alone(copy: Copy, tmp_path: Path) -> None:
    path = tmp_path / "copy.dump"
    copy.dump(path)
    assert path.read_bytes()[:5] == b"PGDMP"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_copy_takes_the_projects_own_sql_to_the_targets_schema(target: str, cache: Path) -> None:
    with open_empty(target, cache=cache) as empty, contextlib.closing(empty.connect()) as connection:
        assert _answer(connection, "SELECT count(*) FROM supabase_migrations.schema_migrations") == 0
        assert _answer(connection, "SELECT to_regclass('public.orders') IS NULL") is True
        assert _answer(connection, "SELECT to_regclass('auth.users') IS NOT NULL") is True
        assert _answer(connection, "SELECT count(*) FROM pg_policy") == 0
        connection.execute("CREATE TABLE public.orders (id int)")
        assert _answer(connection, "SELECT has_table_privilege('anon', 'public.orders', 'select')") is True


def test_a_dump_is_kept_in_private_and_serves_until_the_schema_changes(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    cache = tmp_path / "schemas"

    def kept() -> set[str]:
        with open_copy(database, cache=cache) as copy:
            assert copy.is_exact, copy.inexact_because
        return {path.name for path in cache.glob("*.dump.json")}

    run_sql(local_postgres, _name(database), "CREATE TABLE public.a (id int)", "postgres")
    first = kept()
    assert kept() == first
    assert len(first) == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in cache.glob("*.dump.json"))
    # A comment in a schema of the platform is in no hash of the schema, and is a change all the same.
    run_sql(local_postgres, _name(database), "COMMENT ON TABLE auth.users IS 'People'")
    assert len(kept()) == 2


def test_a_cache_that_others_can_write_to_is_not_believed(database: str, tmp_path: Path) -> None:
    cache = tmp_path / "open"
    cache.mkdir()
    cache.chmod(0o777)
    with open_copy(database, cache=cache) as copy:
        assert copy.is_exact
    assert list(cache.iterdir()) == []


def test_what_differs_is_named(local_postgres: LocalPostgres, database: str) -> None:
    name = _name(database)
    run_sql(
        local_postgres,
        name,
        "CREATE TABLE public.a (id int); CREATE FUNCTION public.leaks() RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT 1'",
    )
    with open_copy(database) as copy:
        assert not copy.is_exact
        assert f"The copy differs from {name} in function public.leaks()" in copy.inexact_because
        assert "only superuser can define a leakproof function" in copy.inexact_because


def test_a_table_behind_a_closed_schema_is_left_out(local_postgres: LocalPostgres) -> None:
    """SELECT on a table is not enough to dump it: pg_dump would give up at the schema."""
    run_sql(local_postgres, "template1", "CREATE ROLE narrow LOGIN")
    url = local_postgres.create_database("half_closed", supabase=False)
    try:
        with psycopg.connect(local_postgres.url("half_closed", ADMIN), autocommit=True) as admin:
            admin.execute(f"ALTER ROLE narrow PASSWORD '{local_postgres.password}'".encode())
            admin.execute("CREATE SCHEMA closed; CREATE TABLE closed.notes (id int); CREATE TABLE public.a (id int)")
            admin.execute("GRANT SELECT ON closed.notes, public.a TO narrow")
        with open_copy(url.replace("//postgres:", "//narrow:")) as copy:
            assert copy.target.unreadable == (("closed", "notes"),)
            with contextlib.closing(copy.connect()) as connection:
                assert _answer(connection, "SELECT to_regclass('public.a') IS NOT NULL") is True
    finally:
        local_postgres.drop_database("half_closed")
        run_sql(local_postgres, "template1", "DROP ROLE narrow")


def test_a_superuser_of_the_target_is_none_on_the_copy_and_that_is_said(local_postgres: LocalPostgres) -> None:
    run_sql(local_postgres, "template1", "CREATE ROLE mighty LOGIN SUPERUSER")
    url = local_postgres.create_database("ruled")
    try:
        with psycopg.connect(local_postgres.url("template1", ADMIN), autocommit=True) as admin:
            admin.execute(f"ALTER ROLE mighty PASSWORD '{local_postgres.password}'".encode())
        with open_copy(url.replace("//postgres:", "//mighty:")) as copy:
            assert copy.is_exact, copy.inexact_because
            assert any("mighty is a superuser on the target and not on the copy" in note for note in copy.notes)
            with contextlib.closing(copy.connect()) as connection:
                connection.execute("ALTER TABLE auth.users ADD COLUMN x int")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SELECT pg_read_file('/etc/passwd')")
    finally:
        local_postgres.drop_database("ruled")
        run_sql(local_postgres, "template1", "DROP ROLE mighty")


def test_a_database_in_another_encoding(local_postgres: LocalPostgres) -> None:
    run_sql(
        local_postgres,
        "template1",
        "CREATE DATABASE latin OWNER postgres TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'",
    )
    try:
        with psycopg.connect(local_postgres.url("latin"), autocommit=True) as connection:
            connection.execute("CREATE TABLE public.\"größe\" (x text DEFAULT 'ß')")
        with open_copy(local_postgres.url("latin")) as copy, contextlib.closing(copy.connect()) as connection:
            assert copy.is_exact, copy.inexact_because
            assert _answer(connection, "SHOW server_encoding") == "LATIN1"
    finally:
        local_postgres.drop_database("latin")


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])

"""Comparing two schemas on real servers: every kind of object, what dumps leave out, and what must not be told."""

import json
import os
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from schema_pairs import CHANGES
from schema_pairs import REORDERED
from schema_pairs import change
from schema_pairs import make_databases
from schema_pairs import run
from schema_pairs import told_by

from ops.catalog import MANAGED_SCHEMAS
from ops.errors import OpsError
from ops.errors import Reason
from ops.schema.comparing import SchemaDiff
from ops.schema.comparing import compare
from ops.schema.comparing import summary
from ops.schema.reading import read_schema
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres

Change = Callable[..., SchemaDiff]


@pytest.fixture(scope="module")
def databases(local_postgres: LocalPostgres) -> Iterator[list[str]]:
    """Two databases with the same schema; a test that changes the second takes the change back."""
    with make_databases(local_postgres, 2) as urls:
        yield urls


@pytest.fixture
def changed(local_postgres: LocalPostgres) -> Iterator[Change]:
    """Compare a fresh database before and after some statements of the superuser."""
    with make_databases(local_postgres, 1) as (url,):

        def compared(text: str, **options: tuple[str, ...]) -> SchemaDiff:
            before = read_schema(url)
            run(local_postgres, url, text)
            return compare(before, read_schema(url), **options)

        yield compared


def told(diff: SchemaDiff) -> list[tuple[str, str, str, str]]:
    return [(change.change, change.kind, change.name, change.words) for change in diff.changes]


def assert_all_is_told(server: LocalPostgres) -> None:
    with make_databases(server, 2) as (left, right):
        change(server, right)
        diff = compare(read_schema(left), read_schema(right))
    assert sorted(told(diff)) == sorted(told_by(CHANGES))


def test_every_kind_of_change_is_told_and_nothing_else(local_postgres: LocalPostgres) -> None:
    assert len(told_by(CHANGES)) >= 31
    assert_all_is_told(local_postgres)


def test_every_kind_of_change_is_told_of_older_servers(tls_postgres: TlsPostgres) -> None:
    assert_all_is_told(tls_postgres)


def test_an_extension_is_told_once(tls_postgres: TlsPostgres) -> None:
    with make_databases(tls_postgres, 1) as (url,):
        before = read_schema(url)
        run(tls_postgres, url, "CREATE EXTENSION citext SCHEMA public VERSION '1.4'")
        with_old = read_schema(url)
        run(tls_postgres, url, "ALTER EXTENSION citext UPDATE TO '1.5'")
        with_new = read_schema(url)
    assert told(compare(before, with_old)) == [("created", "extension", "citext", "")]
    ((_, kind, name, words),) = told(compare(with_old, with_new))
    assert (kind, name) == ("extension version", "citext")
    assert "1.4" in words
    assert "1.5" in words


def test_a_schema_does_not_differ_from_itself(databases: list[str]) -> None:
    first, again, other = read_schema(databases[0]), read_schema(databases[0]), read_schema(databases[1])
    for diff in (compare(first, again), compare(first, other)):
        assert (diff.changes, diff.text, diff.reordered) == ((), "", ())
        assert not diff
    assert summary(()) == "nothing changes"


def test_what_is_said_of_the_database_itself_does_not_depend_on_its_name(
    local_postgres: LocalPostgres, databases: list[str]
) -> None:
    """Archives hold comments, privileges and settings of the database under its name, which two targets never share."""
    with make_databases(local_postgres, 2) as urls:
        for url in urls:
            name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
            run(local_postgres, url, f"GRANT CREATE ON DATABASE {name} TO anon")
            run(local_postgres, url, f"COMMENT ON DATABASE {name} IS 'ours'")
            run(local_postgres, url, f"ALTER DATABASE {name} SET statement_timeout = '5s'")
        assert not compare(*(read_schema(url) for url in urls))


def test_grants_given_again_in_another_order_are_no_change(changed: Change) -> None:
    assert not changed("""
        REVOKE SELECT ON orders FROM anon; REVOKE SELECT ON orders FROM authenticated;
        GRANT SELECT ON orders TO authenticated; GRANT SELECT ON orders TO anon;
    """)


def test_columns_in_another_order_are_named_but_no_change(changed: Change) -> None:
    diff = changed("SET ROLE postgres;" + REORDERED + "REVOKE SELECT ON reordered FROM authenticated")
    assert not diff
    assert diff.reordered == ("app.reordered",)


def test_what_belongs_to_a_table_stands_behind_it(changed: Change) -> None:
    diff = changed("""
        CREATE FUNCTION aaa() RETURNS int LANGUAGE sql AS 'SELECT 1';
        ALTER TABLE orders ADD phone text;
        CREATE INDEX zzz ON orders (phone);
        CREATE POLICY first ON orders USING (true);
        ALTER TABLE customers ADD phone text;
        GRANT SELECT ON customers TO anon;
    """)
    assert [(change.kind, change.name) for change in diff.changes] == [
        ("table", "customers"),
        ("acl", "table customers"),
        ("table", "orders"),
        ("index", "zzz"),
        ("policy", "first on orders"),
        ("function", "aaa()"),
    ]
    assert summary(diff.changes) == ("creates 1 function, 1 index, 1 policy; changes 2 tables, 1 privileges")


def test_the_text_is_a_unified_diff_headed_by_kind_and_name(changed: Change) -> None:
    diff = changed("ALTER TABLE loose ADD note text; DROP TABLE gone; CREATE SCHEMA extra")
    assert diff.text == (
        "--- table app.gone\n+++ /dev/null\n@@ -1,4 +0,0 @@\n"
        "-CREATE TABLE app.gone (\n-    id integer,\n-    note text\n-);\n"
        "\n--- table app.loose\n+++ table app.loose\n@@ -1,3 +1,4 @@\n"
        " CREATE TABLE app.loose (\n-    id integer\n+    id integer,\n+    note text\n );\n"
        "\n--- /dev/null\n+++ schema extra\n@@ -0,0 +1,1 @@\n+CREATE SCHEMA extra;\n"
    )


def test_an_invalid_index_is_told_though_no_dump_has_it(changed: Change) -> None:
    diff = changed("""
        INSERT INTO counted VALUES (1), (1);
        CREATE UNIQUE INDEX broken ON counted (id) WHERE kind IS NOT NULL;
        UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'app.broken'::regclass;
    """)
    assert told(diff) == [("created", "invalid index", "broken", "unique, btree (id) where (kind IS NOT NULL)")]


def test_settings_of_the_database_and_of_roles_are_told(changed: Change) -> None:
    diff = changed("""
        DO $$ BEGIN
          EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''5s''', current_database());
          EXECUTE format('ALTER DATABASE %I SET search_path = "$user", public', current_database());
          EXECUTE format('ALTER ROLE anon IN DATABASE %I SET statement_timeout = ''3s''', current_database());
        END $$
    """)
    assert [(change.kind, change.name, change.words) for change in diff.changes] == [
        ("database setting", "search_path", "ALTER DATABASE this SET search_path TO '$user', 'public'"),
        ("database setting", "statement_timeout", "ALTER DATABASE this SET statement_timeout TO '5s'"),
        (
            "role setting",
            "anon in this database: statement_timeout",
            "ALTER ROLE \"anon\" IN DATABASE this SET statement_timeout TO '3s'",
        ),
    ]


def test_roles_memberships_and_database_privileges_are_told(local_postgres: LocalPostgres, changed: Change) -> None:
    try:
        diff = changed("""
            CREATE ROLE schema_reader NOLOGIN;
            GRANT schema_reader TO authenticator WITH ADMIN OPTION;
            DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO anon', current_database()); END $$;
        """)
    finally:
        with psycopg.connect(local_postgres.url("postgres", ADMIN), autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS schema_reader")
    told_kinds = {change.kind: (change.name, change.words) for change in diff.changes}
    assert sorted(told_kinds) == ["database privileges", "membership", "role"]
    assert told_kinds["membership"][0] == "schema_reader to authenticator"
    assert "ADMIN TRUE" in told_kinds["membership"][1]
    assert "NOLOGIN" in told_kinds["role"][1]
    assert told_kinds["database privileges"][0] == "anon"


def test_the_platforms_schemas_can_be_left_out_but_not_what_a_project_hangs_into_them(changed: Change) -> None:
    diff = changed(
        """
        CREATE TABLE auth.platforms_own (id int);
        CREATE FUNCTION auth.own_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER own AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION auth.own_trigger();
        CREATE TRIGGER ours AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION app.stamp();
        CREATE POLICY ours ON storage.objects USING (true);
        GRANT USAGE ON SCHEMA vault TO anon;
        """,
        schemas_left_out=MANAGED_SCHEMAS,
    )
    assert [(change.kind, change.schema, change.name) for change in diff.changes] == [
        ("trigger", "auth", "ours on users"),
        ("policy", "storage", "ours on objects"),
    ]


def test_secrets_are_in_neither_words_nor_text(changed: Change) -> None:
    diff = changed("""
        CREATE FUNCTION call() RETURNS text LANGUAGE sql AS $$ SELECT 'sb_secret_abcdefgh12345678'::text $$;
        CREATE FOREIGN DATA WRAPPER wrapper;
        CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper OPTIONS (host 'h.example', api_key 'k-hidden-1');
        CREATE USER MAPPING FOR postgres SERVER elsewhere OPTIONS (user 'u', password 'p-hidden-2');
        DO $$ BEGIN
          EXECUTE format('ALTER DATABASE %I SET "app.settings.jwt_secret" = ''j-hidden-3''', current_database());
        END $$;
    """)
    everything = diff.text + repr(diff.changes)
    assert "call()" in everything
    assert "h.example" in everything
    assert "sb_secret_" not in everything
    assert "hidden" not in everything
    again = changed("""
        CREATE OR REPLACE FUNCTION call() RETURNS text LANGUAGE sql
          AS $$ SELECT 'sb_secret_abcdefgh87654321'::text $$;
    """)
    assert told(again) == [("changed", "function", "call()", "a covered value changes")]
    assert "-- what differs is covered" in again.text


def test_hostile_names_reach_nobodys_terminal(changed: Change) -> None:
    diff = changed("""
        CREATE TABLE "evil\u202e\u0007 -- x" ("col\u0085umn" int, "a;b" text DEFAULT ');--');
        COMMENT ON TABLE loose IS E'\\x1b[2Jgone';
    """)
    everything = diff.text + repr([(change.name, change.words) for change in diff.changes])
    assert not [letter for letter in everything if not letter.isprintable() and letter != "\n"]
    assert sorted(change.kind for change in diff.changes) == ["comment", "table"]
    assert any("default ');--'::text" in change.words for change in diff.changes)


def test_a_table_that_the_login_may_not_read_is_left_out_and_named(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 1) as (url,):
        run(local_postgres, url, 'CREATE TABLE auth."Hidden" (id int PRIMARY KEY)')
        run(local_postgres, url, 'REVOKE ALL ON auth."Hidden" FROM PUBLIC, postgres')
        run(local_postgres, url, "REVOKE pg_read_all_data FROM postgres")
        try:
            schema = read_schema(url)
        finally:
            run(local_postgres, url, "GRANT pg_read_all_data TO postgres")
        whole = read_schema(url)
    assert "auth.Hidden" in schema.not_read
    assert not [key for key in schema.entries if "Hidden" in key.name]
    assert [key for key in whole.entries if "Hidden" in key.name]
    assert [change.kind for change in compare(schema, whole).changes] == ["membership"]


def test_a_stop_is_obeyed_while_a_table_is_locked(databases: list[str]) -> None:
    with psycopg.connect(databases[1]) as holder:
        holder.execute("LOCK TABLE app.orders IN ACCESS EXCLUSIVE MODE")
        asked = iter(range(10_000))
        with pytest.raises(OpsError) as stopped:
            read_schema(databases[1], stop=lambda: next(asked) > 4)
    assert stopped.value.reason is Reason.STOPPED


def test_the_password_is_in_no_process_list(local_postgres: LocalPostgres, databases: list[str]) -> None:
    seen: list[bytes] = []

    def look() -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue
            if b"pg_dump" in line:
                seen.append(line)
        return False

    read_schema(databases[0], stop=look)
    assert seen
    assert not [line for line in seen if local_postgres.password.encode() in line]


def test_nothing_stays_in_the_folder(databases: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    read_schema(databases[0], folder=folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "differs"),
    [
        ("SELECT 1", False),
        ("REVOKE SELECT ON app.orders FROM anon; GRANT SELECT ON app.orders TO anon", False),
        ("ALTER TABLE app.orders ADD phone text", True),
        ("CREATE POLICY p ON app.orders USING (true)", True),
        ("ALTER TABLE app.forced FORCE ROW LEVEL SECURITY", True),
        ("ALTER VIEW app.cheap SET (security_invoker = true)", True),
        ("COMMENT ON TABLE app.orders IS NULL", True),
    ],
)
def test_the_cli_finds_a_difference_exactly_when_we_do(
    local_postgres: LocalPostgres, statement: str, differs: bool, tmp_path: Path
) -> None:
    program = os.environ.get("COUNTERSIGN_TEST_SUPABASE")
    if not program:
        pytest.skip("the Supabase CLI is not here: set COUNTERSIGN_TEST_SUPABASE to its path")
    quiet = {name: os.environ[name] for name in ("PATH", "HOME")} | {"DO_NOT_TRACK": "1"}
    with make_databases(local_postgres, 2) as (left, right):
        run(local_postgres, right, statement)
        command = [program, "db", "diff", "--from", left, "--to", right, "--output-format", "json"]
        finished = subprocess.run(
            command, check=False, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=60
        )
        ours = compare(read_schema(left), read_schema(right))
    assert finished.returncode == 0, finished.stderr
    assert bool(json.loads(finished.stdout)["diff"].strip()) == differs
    assert bool(ours) == differs

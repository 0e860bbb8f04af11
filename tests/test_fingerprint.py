"""The fingerprint of a target: every change of the schema changes it, nothing else does, and it is quick."""

import time
from contextlib import closing

import psycopg
import pytest
from apply_helpers import fresh_target
from apply_helpers import server

from ops.catalog import catalog_hash
from ops.fingerprint import read_fingerprint

SCHEMA = """
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN shop.amount AS numeric(10, 2) DEFAULT 0 CHECK (VALUE >= 0);
CREATE TYPE shop.place AS (x int, y int);
CREATE SEQUENCE shop.numbers START 5;
CREATE TABLE shop.people (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email text NOT NULL UNIQUE,
  mood shop.mood DEFAULT 'ok',
  born timestamptz DEFAULT '2020-01-01 00:00:00+00',
  years interval DEFAULT '1 year 2 days',
  fee shop.amount,
  twice int GENERATED ALWAYS AS (1 + 1) STORED
);
CREATE TABLE shop.orders (id int PRIMARY KEY, person bigint REFERENCES shop.people ON DELETE CASCADE, total int);
CREATE INDEX orders_person ON shop.orders (person) WHERE total > 0;
CREATE TABLE shop.logs (at date NOT NULL, text text) PARTITION BY RANGE (at);
CREATE TABLE shop.logs_2026 PARTITION OF shop.logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE FUNCTION shop.twice(i int DEFAULT 2) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 * 2';
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER touched BEFORE UPDATE ON shop.people FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.people ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON shop.people FOR SELECT USING (email = current_user);
CREATE STATISTICS shop.together ON person, total FROM shop.orders;
GRANT ALL ON shop.orders TO pg_monitor;
GRANT SELECT (email) ON shop.people TO pg_monitor;
"""
VIEW = "CREATE VIEW shop.rich AS SELECT p.email FROM shop.people AS p JOIN shop.orders AS o ON o.person = p.id"

CHANGES = {
    "a schema": ("CREATE SCHEMA more", "DROP SCHEMA more"),
    "a table": ("CREATE TABLE shop.t (i int)", "DROP TABLE shop.t"),
    "a column": ("ALTER TABLE shop.orders ADD c int", "ALTER TABLE shop.orders DROP c"),
    "a type": ("ALTER TABLE shop.orders ALTER total TYPE bigint", "ALTER TABLE shop.orders ALTER total TYPE int"),
    "a default": (
        "ALTER TABLE shop.orders ALTER total SET DEFAULT 1",
        "ALTER TABLE shop.orders ALTER total DROP DEFAULT",
    ),
    "not null": (
        "ALTER TABLE shop.orders ALTER total SET NOT NULL",
        "ALTER TABLE shop.orders ALTER total DROP NOT NULL",
    ),
    "a check": (
        "ALTER TABLE shop.orders ADD CONSTRAINT c CHECK (total > 0)",
        "ALTER TABLE shop.orders DROP CONSTRAINT c",
    ),
    "a check not validated": (
        "ALTER TABLE shop.orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID",
        "ALTER TABLE shop.orders DROP CONSTRAINT c",
    ),
    "a domain's check": (
        "ALTER DOMAIN shop.amount ADD CONSTRAINT small CHECK (VALUE < 100)",
        "ALTER DOMAIN shop.amount DROP CONSTRAINT small",
    ),
    "an index": ("CREATE INDEX i ON shop.orders (total)", "DROP INDEX shop.i"),
    "a function's body": (
        "CREATE OR REPLACE FUNCTION shop.twice(i int DEFAULT 2) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 * 3'",
        "CREATE OR REPLACE FUNCTION shop.twice(i int DEFAULT 2) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 * 2'",
    ),
    "security definer": (
        "ALTER FUNCTION shop.twice SECURITY DEFINER",
        "ALTER FUNCTION shop.twice SECURITY INVOKER",
    ),
    "a trigger switched off": (
        "ALTER TABLE shop.people DISABLE TRIGGER touched",
        "ALTER TABLE shop.people ENABLE TRIGGER touched",
    ),
    "a policy": (
        "ALTER POLICY mine ON shop.people USING (true)",
        "ALTER POLICY mine ON shop.people USING (email = current_user)",
    ),
    "a policy's role": (
        "ALTER POLICY mine ON shop.people TO pg_monitor",
        "ALTER POLICY mine ON shop.people TO public",
    ),
    "row level security": (
        "ALTER TABLE shop.people DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.people ENABLE ROW LEVEL SECURITY",
    ),
    "a view": ("CREATE VIEW shop.v AS SELECT 1 AS one", "DROP VIEW shop.v"),
    "a view's options": (
        "ALTER VIEW shop.rich SET (security_invoker = true)",
        "ALTER VIEW shop.rich RESET (security_invoker)",
    ),
    "a sequence": ("ALTER SEQUENCE shop.numbers INCREMENT 2", "ALTER SEQUENCE shop.numbers INCREMENT 1"),
    "a grant": ("GRANT SELECT ON shop.people TO public", "REVOKE SELECT ON shop.people FROM public"),
    "a column's grant": (
        "GRANT UPDATE (mood) ON shop.people TO pg_monitor",
        "REVOKE UPDATE (mood) ON shop.people FROM pg_monitor",
    ),
    "one grant of all": ("REVOKE TRIGGER ON shop.orders FROM pg_monitor", "GRANT ALL ON shop.orders TO pg_monitor"),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO public",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop REVOKE SELECT ON TABLES FROM public",
    ),
    "an owner": ("ALTER TABLE shop.orders OWNER TO clerk", "ALTER TABLE shop.orders OWNER TO postgres"),
    "a publication": ("CREATE PUBLICATION p FOR TABLE shop.orders", "DROP PUBLICATION p"),
    "a rule": ("CREATE RULE r AS ON DELETE TO shop.orders DO INSTEAD NOTHING", "DROP RULE r ON shop.orders"),
    "a policy on storage": (
        "CREATE POLICY up ON storage.objects USING (false)",
        "DROP POLICY up ON storage.objects",
    ),
    "a trigger on auth.users": (
        "CREATE TRIGGER t AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION shop.touch()",
        "DROP TRIGGER t ON auth.users",
    ),
}

NO_CHANGES = {
    "rows": "INSERT INTO shop.people (email) VALUES ('a'); SELECT nextval('shop.numbers')",
    "a partition": "CREATE TABLE shop.more PARTITION OF shop.logs FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
    "a managed schema": "CREATE TABLE auth.t (i int); CREATE SCHEMA cron; CREATE TABLE cron.job (i int)",
    "the history": (
        "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text)"
    ),
    "a temporary table": "CREATE TEMP TABLE t (i int)",
    "a comment": "COMMENT ON TABLE shop.people IS 'people'",
    "statistics": "ANALYZE shop.people",
}


@pytest.fixture(scope="module")
def target():
    with fresh_target(supabase=True, history=False) as fresh, closing(_superuser(fresh)) as admin:
        admin.execute("SET ROLE postgres")
        admin.execute(SCHEMA)
        admin.execute(VIEW)
        admin.execute("RESET ROLE")
        fresh.admin = admin
        yield fresh


def _superuser(target) -> psycopg.Connection:
    return psycopg.connect(target.admin_url, autocommit=True)


@pytest.mark.parametrize(("change", "back"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen_and_its_undoing_too(target, change, back):
    before = catalog_hash(target.connection)
    target.admin.execute(change)
    changed = catalog_hash(target.connection)
    target.admin.execute(back)
    assert changed != before
    if "column" not in change and "ADD c int" not in change:
        assert catalog_hash(target.connection) == before


@pytest.mark.parametrize("what", NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_what_is_no_change_of_the_schema_is_not_seen(target, what):
    before = catalog_hash(target.connection)
    target.admin.execute(what)
    assert catalog_hash(target.connection) == before


def test_an_invalid_index_is_not_a_valid_one(target):
    target.admin.execute("CREATE TABLE shop.twins (i int); INSERT INTO shop.twins VALUES (1), (2)")
    target.admin.execute("CREATE UNIQUE INDEX CONCURRENTLY twins_i ON shop.twins (i)")
    valid = catalog_hash(target.connection)
    target.admin.execute("DROP INDEX shop.twins_i; INSERT INTO shop.twins VALUES (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        target.admin.execute("CREATE UNIQUE INDEX CONCURRENTLY twins_i ON shop.twins (i)")
    assert catalog_hash(target.connection) != valid
    target.admin.execute("DROP TABLE shop.twins")


def test_inside_a_transaction_it_is_what_the_commit_leaves_and_settings_stay(target):
    before = catalog_hash(target.connection)
    with closing(_superuser(target)) as working:
        working.execute("BEGIN; SET LOCAL search_path = shop; CREATE TABLE fresh (i int REFERENCES people (id))")
        inside = catalog_hash(working)
        assert working.execute("SHOW search_path").fetchone() == ("shop",)
        assert catalog_hash(target.connection) == before
        working.execute("COMMIT")
    assert catalog_hash(target.connection) == inside != before
    target.admin.execute("DROP TABLE shop.fresh")
    assert catalog_hash(target.connection) == before


def test_the_session_s_settings_do_not_matter(target):
    before = catalog_hash(target.connection)
    with closing(_superuser(target)) as odd:
        odd.execute(
            "SET search_path = shop, public; SET timezone = 'Asia/Tokyo'; SET datestyle = 'German';"
            "SET intervalstyle = 'iso_8601'; SET quote_all_identifiers = on; SET bytea_output = 'escape'"
        )
        assert catalog_hash(odd) == before


def test_two_databases_made_alike_hash_alike_and_so_do_servers_of_other_versions():
    """Without views, whose words differ: 16 leaves out table names where one table is read."""
    hashes = {}
    for version in (18, 16, 15):
        try:
            server(version)
        except pytest.skip.Exception as missing:
            print(f"not compared: {missing}")
            continue
        with fresh_target(version=version, history=False) as fresh, closing(_superuser(fresh)) as admin:
            admin.execute("CREATE TABLE public.moves_oids (i int); SET ROLE postgres")
            admin.execute("CREATE SCHEMA other; DROP SCHEMA other")
            admin.execute(SCHEMA)
            admin.execute("RESET ROLE; DROP TABLE public.moves_oids")
            hashes[version] = catalog_hash(fresh.connection)
    assert len(hashes) >= 2
    assert len(set(hashes.values())) == 1, hashes


def test_the_fingerprint_names_the_database_and_its_state(target):
    found = read_fingerprint(target.connection, project_ref="abcdefghijklmnopqrst")
    same = read_fingerprint(target.connection, project_ref="abcdefghijklmnopqrst")
    assert found == same
    assert found.schema_sha256 == catalog_hash(target.connection)
    assert (found.host, found.database) == ("127.0.0.1", target.connection.info.dbname)
    assert found.server_version // 10000 == 18
    identifier = target.admin.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()[0]
    assert found.system_identifier == identifier
    assert found.to_json()["project_ref"] == "abcdefghijklmnopqrst"
    assert set(found.to_json()) == {
        *("project_ref", "host", "database", "system_identifier"),
        *("server_version", "history_sha256", "schema_sha256"),
    }


def test_a_role_that_may_not_read_the_system_identifier_still_gets_a_fingerprint(target):
    target.admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    assert read_fingerprint(target.connection, project_ref=None).system_identifier is None
    target.admin.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def test_five_hundred_tables_are_quick():
    with fresh_target(history=False) as fresh:
        fresh.run(
            """
            DO $$ BEGIN FOR i IN 1..500 LOOP
              EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY, a text DEFAULT %L, b int, c jsonb)', i, 'x');
              EXECUTE format('CREATE INDEX ON t_%s (b) WHERE b > 0', i);
              EXECUTE format('ALTER TABLE t_%s ADD FOREIGN KEY (b) REFERENCES t_%s', i, greatest(i - 1, 1));
              EXECUTE format('ALTER TABLE t_%s ENABLE ROW LEVEL SECURITY', i);
              EXECUTE format('CREATE POLICY p ON t_%s USING (b > 0)', i);
              EXECUTE format('GRANT ALL ON t_%s TO pg_monitor, clerk', i);
            END LOOP; END $$
            """
        )
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            catalog_hash(fresh.connection)
            seconds.append(time.monotonic() - began)
        print(f"500 tables: {min(seconds):.3f} s")
        assert min(seconds) < 0.6

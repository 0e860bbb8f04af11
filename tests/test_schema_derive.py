"""Statements that bring one schema to another, proven by running them: the databases must not differ afterwards."""

from collections.abc import Iterable
from collections.abc import Iterator

import psycopg
import pytest
from schema_pairs import change
from schema_pairs import make_databases
from schema_pairs import run

from ops.schema.comparing import compare
from ops.schema.deriving import SESSION
from ops.schema.deriving import Derived
from ops.schema.deriving import derive
from ops.schema.reading import read_schema
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres


def carry_out(server: LocalPostgres, url: str, derived: Iterable[Derived], user: str = ADMIN) -> None:
    database = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    with psycopg.connect(server.url(database, user), autocommit=True) as connection:
        for statement in (*SESSION, *(statement for one in derived for statement in one.statements)):
            connection.execute(statement.encode())


def prove(server: LocalPostgres, source: str, wanted: str, user: str = ADMIN) -> tuple[Derived, ...]:
    """Run what is derived on `source`; whatever has no reason must be as wanted then, and nothing else may differ."""
    target = read_schema(wanted)
    derived = derive(read_schema(source), target)
    carry_out(server, source, derived, user)
    left = compare(read_schema(source), target)
    unknown = {(one.object.kind, one.object.name) for one in derived if one.reason}
    assert {(one.kind, one.name) for one in left.changes} == unknown, left.text
    return derived


def assert_both_ways(server: LocalPostgres) -> None:
    with make_databases(server, 3) as (first, second, third):
        change(server, second)
        forward = prove(server, first, second)
        assert not [one for one in forward if one.reason]
        back = prove(server, second, third)
    assert [(one.object.name, one.reason) for one in back if one.reason] == [
        ("status", "A value of an enum cannot be dropped or moved.")
    ]


def test_every_kind_of_change_is_derived_both_ways(local_postgres: LocalPostgres) -> None:
    assert_both_ways(local_postgres)


def test_every_kind_of_change_is_derived_on_older_servers(tls_postgres: TlsPostgres) -> None:
    assert_both_ways(tls_postgres)


@pytest.fixture
def pair(local_postgres: LocalPostgres) -> Iterator[tuple[str, str]]:
    with make_databases(local_postgres, 2) as (left, right):
        yield left, right


CASES = {
    "a column's type under a view, a policy and a trigger": """
        CREATE VIEW later AS SELECT id, price FROM orders; CREATE VIEW latest AS SELECT price FROM later;
        GRANT SELECT ON later TO anon; COMMENT ON VIEW later IS 'kept';
        CREATE POLICY dear ON orders USING (price > 3);
        CREATE TRIGGER dear BEFORE UPDATE OF price ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
        ALTER TABLE customers ALTER town TYPE varchar(9)
    """,
    "a default whose type changes with it": """
        ALTER TABLE customers ALTER vip DROP DEFAULT, ALTER vip TYPE text USING vip::text, ALTER vip SET DEFAULT 'no'
    """,
    "a serial column": "ALTER TABLE counted ADD number serial; ALTER TABLE counted ALTER number SET STATISTICS 5",
    "a table with a serial column that goes": "DROP TABLE gone; DROP TABLE sized",
    "a partitioned table gets a column and an index": """
        ALTER TABLE parted ADD note text, ALTER amount TYPE bigint; CREATE INDEX on_day ON parted (day);
        ALTER TABLE parted ADD PRIMARY KEY (day)
    """,
    "a partition leaves": "ALTER TABLE parted DETACH PARTITION parted_2025",
    "a function with another result, which a trigger uses": """
        DROP TRIGGER stamped ON orders; DROP FUNCTION stamp();
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN old; END $$;
        CREATE TRIGGER stamped AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp()
    """,
    "a function with other arguments": """
        DROP FUNCTION total(integer); CREATE FUNCTION total(b integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
        GRANT EXECUTE ON FUNCTION total TO anon; COMMENT ON FUNCTION total IS 'other'
    """,
    "constraints of every sort": """
        ALTER TABLE counted ADD CONSTRAINT small CHECK (id < 9), ADD CONSTRAINT one UNIQUE (id, kind);
        ALTER TABLE orders ADD CONSTRAINT ck CHECK (price > 0) NOT VALID
    """,
    "a domain": """
        ALTER DOMAIN positive SET DEFAULT 3; ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 9);
        ALTER DOMAIN positive DROP CONSTRAINT positive_check
    """,
    "a sequence's every option": """
        ALTER SEQUENCE tickets AS integer MINVALUE -5 MAXVALUE 900 START 6 CACHE 4 CYCLE INCREMENT 2
    """,
    "an identity column": """
        ALTER TABLE numbered ALTER id ADD GENERATED ALWAYS AS IDENTITY (INCREMENT 3)
    """,
    "grants that can be passed on": """
        GRANT SELECT, INSERT ON loose TO authenticated WITH GRANT OPTION; GRANT ALL ON sized TO anon;
        GRANT UPDATE (id) ON loose TO anon; GRANT USAGE ON SEQUENCE tickets TO anon; GRANT CREATE ON SCHEMA app TO anon;
        REVOKE SELECT ON orders FROM authenticated
    """,
    "default privileges": """
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA app REVOKE SELECT ON TABLES FROM authenticated
    """,
    "objects made under default privileges": """
        CREATE TABLE fresh (id int); CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 1';
        REVOKE ALL ON fresh FROM authenticated; GRANT DELETE ON fresh TO anon; REVOKE ALL ON FUNCTION fresh FROM PUBLIC
    """,
    "storage, identity and logging of a table": """
        ALTER TABLE counted ALTER kind SET STORAGE EXTERNAL, REPLICA IDENTITY FULL, SET UNLOGGED;
        ALTER TABLE counted ALTER id SET (n_distinct = 5)
    """,
    "a publication": """
        ALTER PUBLICATION changes SET (publish = 'insert'); ALTER PUBLICATION changes SET TABLE orders (id) WHERE (id > 3)
    """,
    "letters beyond ASCII and names that need quotes": """
        CREATE TABLE "Größe" ("Wert ""x"" y" text DEFAULT 'é;',
          CONSTRAINT "Ü" CHECK ("Wert ""x"" y" <> ''));
        CREATE POLICY "Alle dürfen" ON "Größe" USING ("Wert ""x"" y" = 'ß');
        COMMENT ON COLUMN "Größe"."Wert ""x"" y" IS 'ü''s'
    """,
    "settings of the database": """
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "$user", app', current_database()); END $$
    """,
}


@pytest.mark.parametrize("statements", [pytest.param(text, id=name) for name, text in CASES.items()])
def test_it_is_derived_and_what_comes_out_is_the_same(
    local_postgres: LocalPostgres, pair: tuple[str, str], statements: str
) -> None:
    left, right = pair
    run(local_postgres, right, "SET ROLE postgres;" + statements)
    derived = prove(local_postgres, left, right)
    assert any(one.statements for one in derived)
    assert not [one.reason for one in derived if one.reason]


BACK = {name: text for name, text in CASES.items() if "n_distinct" not in text and "search_path" not in text}


@pytest.mark.parametrize("statements", [pytest.param(text, id=name) for name, text in BACK.items()])
def test_the_way_back_is_derived_too(local_postgres: LocalPostgres, pair: tuple[str, str], statements: str) -> None:
    left, right = pair
    run(local_postgres, right, "SET ROLE postgres;" + statements)
    derived = prove(local_postgres, right, left)
    assert not [one.reason for one in derived if one.reason]


def test_what_stands_in_the_way_is_made_anew_with_all_that_belongs_to_it(
    local_postgres: LocalPostgres, pair: tuple[str, str]
) -> None:
    left, right = pair
    for url in pair:
        run(
            local_postgres,
            url,
            """
            SET ROLE postgres;
            CREATE VIEW later AS SELECT id, price FROM orders; CREATE VIEW latest AS SELECT price FROM later;
            GRANT SELECT ON later TO anon; GRANT SELECT (price) ON latest TO anon; COMMENT ON VIEW later IS 'kept';
            CREATE MATERIALIZED VIEW dear AS SELECT price FROM latest; CREATE INDEX on_dear ON dear (price);
            CREATE POLICY costly ON orders USING (price > 3); CREATE VIEW others AS SELECT note FROM orders;
            """,
        )
    run(
        local_postgres,
        right,
        """
        DROP VIEW later CASCADE; DROP POLICY costly ON orders; ALTER TABLE orders ALTER price TYPE numeric(14,2);
        SET ROLE postgres;
        CREATE VIEW later AS SELECT id, price FROM orders; CREATE VIEW latest AS SELECT price FROM later;
        GRANT SELECT ON later TO anon; GRANT SELECT (price) ON latest TO anon; COMMENT ON VIEW later IS 'kept';
        CREATE MATERIALIZED VIEW dear AS SELECT price FROM latest; CREATE INDEX on_dear ON dear (price);
        CREATE POLICY costly ON orders USING (price > 3);
        """,
    )
    derived = prove(local_postgres, left, right)
    anew = {one.object.name for one in derived if one.object.words.startswith("is made anew")}
    assert {"later", "latest", "dear", "costly on orders"} <= anew
    assert "others" not in anew


def test_a_table_is_never_dropped_to_change_what_it_uses(local_postgres: LocalPostgres, pair: tuple[str, str]) -> None:
    left, right = pair
    for url in pair:
        result = "integer" if url == left else "bigint"
        run(local_postgres, url, f"CREATE FUNCTION first() RETURNS {result} LANGUAGE sql AS 'SELECT 1'")
        run(local_postgres, url, "CREATE TABLE uses (id int DEFAULT first())")
    derived = prove(local_postgres, left, right)
    (refused,) = [one for one in derived if one.reason]
    assert refused.reason == "The table app.uses would have to be dropped for it."
    assert refused.statements == ()


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        ("CREATE TYPE e AS ENUM ('a', 'b')", "CREATE TYPE e AS ENUM ('b')", "A value of an enum cannot be dropped"),
        (
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) STORED)",
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
            "Column b is generated",
        ),
        ("CREATE TABLE t (a int) PARTITION BY RANGE (a)", "CREATE TABLE t (a int)", "How it is partitioned"),
        ("CREATE DOMAIN d AS int", "CREATE DOMAIN d AS text", "The type under a domain cannot be changed"),
        ("CREATE TYPE r AS RANGE (subtype = int4)", "CREATE TYPE r AS (a int)", "It is no enum or composite type"),
    ],
)
def test_what_cannot_be_derived_is_named_with_its_reason(
    local_postgres: LocalPostgres, pair: tuple[str, str], first: str, then: str, why: str
) -> None:
    left, right = pair
    run(local_postgres, left, first)
    run(local_postgres, right, then)
    derived = derive(read_schema(left), read_schema(right))
    assert any(one.reason.startswith(why) for one in derived)
    assert all(not one.statements for one in derived if one.reason)


def test_an_invalid_index_is_not_made_but_is_dropped(local_postgres: LocalPostgres, pair: tuple[str, str]) -> None:
    left, right = pair
    run(local_postgres, right, "CREATE INDEX broken ON counted (id)")
    run(local_postgres, right, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.broken'::regclass")
    (made,) = derive(read_schema(left), read_schema(right))
    assert (made.statements, made.object.kind) == ((), "invalid index")
    assert "CONCURRENTLY" in made.reason
    (dropped,) = prove(local_postgres, right, left)
    assert dropped.statements == ('DROP INDEX "app"."broken";',)


def test_a_role_that_is_no_superuser_can_carry_them_out(local_postgres: LocalPostgres, pair: tuple[str, str]) -> None:
    left, right = pair
    run(
        local_postgres,
        right,
        """
        SET ROLE postgres; ALTER TABLE orders ADD phone text; CREATE TABLE fresh (id int PRIMARY KEY);
        ALTER TABLE fresh ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON fresh USING (true); DROP VIEW cheap;
        """,
    )
    derived = prove(local_postgres, left, right, user="postgres")
    assert not [one.reason for one in derived if one.reason]

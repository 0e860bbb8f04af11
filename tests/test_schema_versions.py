"""The same schema on servers of different versions: nothing differs, and what does differ is still told."""

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from schema_pairs import change
from schema_pairs import make_databases
from schema_pairs import run

from ops.schema.comparing import compare
from ops.schema.deriving import SESSION
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.tools import find_tools
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres

MIGRATIONS = Path(__file__).parents[1] / "sandbox" / "project" / "supabase" / "migrations"

WORDED_OTHERWISE = """
SET ROLE postgres;
CREATE TABLE v_old (id int NOT NULL, "Old name" text NOT NULL, c int DEFAULT 1 NOT NULL);
ALTER TABLE v_old RENAME TO v_new; ALTER TABLE v_new RENAME "Old name" TO name;
CREATE TABLE v_pk (id int PRIMARY KEY, b int UNIQUE); ALTER TABLE v_pk DROP CONSTRAINT v_pk_pkey;
CREATE TABLE v_parent (a int NOT NULL, b text);
CREATE TABLE v_child (c int) INHERITS (v_parent); ALTER TABLE v_child ALTER b SET NOT NULL;
CREATE VIEW v_single AS SELECT id, name AS n, count(*) OVER (PARTITION BY id ORDER BY c) FROM v_new
  WHERE id > 3 AND EXISTS (SELECT 1 FROM v_pk p WHERE p.id = v_new.id) ORDER BY id;
CREATE VIEW v_alias AS SELECT x.id, (SELECT max(y.id) FROM v_pk y WHERE y.b = x.c) FROM v_new x;
CREATE VIEW v_union AS SELECT id FROM v_new UNION ALL SELECT id FROM v_pk;
CREATE VIEW v_whole AS SELECT v_new, v_new.* FROM v_new;
CREATE MATERIALIZED VIEW v_kept AS SELECT id FROM v_new WITH NO DATA;
CREATE FUNCTION v_atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT id FROM v_new WHERE id = a; END;
GRANT ALL ON v_new TO anon WITH GRANT OPTION; REVOKE DELETE ON v_pk FROM postgres;
GRANT ALL ON ALL TABLES IN SCHEMA app TO service_role; REVOKE INSERT ON v_parent FROM service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon; ALTER DEFAULT PRIVILEGES REVOKE UPDATE ON TABLES FROM postgres;
"""
"""What servers of different versions word differently."""


def read(url: str) -> Schema:
    """With the same pg_dump whatever the server."""
    return read_schema(url, tools=find_tools(18))


@pytest.fixture
def both(local_postgres: LocalPostgres, tls_postgres: TlsPostgres) -> Iterator[Callable[[str, str], tuple[str, str]]]:
    """Two databases, on an old server and on a new one, behind some statements each."""
    with make_databases(tls_postgres, 1) as (old,), make_databases(local_postgres, 1) as (new,):

        def made(on_old: str, on_new: str) -> tuple[str, str]:
            run(tls_postgres, old, on_old)
            run(local_postgres, new, on_new)
            return old, new

        yield made


def make_shop(server: LocalPostgres, name: str) -> str:
    """The example project on a database of Supabase's kind."""
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        for path in sorted(MIGRATIONS.glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            for part in text.split(";") if "CONCURRENTLY" in text.upper() else (text,):
                if part.strip():
                    connection.execute(part.encode())
    return url


def test_the_example_project_is_the_same_on_every_version(
    local_postgres: LocalPostgres, tls_postgres: TlsPostgres
) -> None:
    """GRANT ALL on a table holds MAINTAIN since 17, and a view over one table names its columns otherwise since 16."""
    try:
        old, new = (read(make_shop(server, "shop_of_versions")) for server in (tls_postgres, local_postgres))
    finally:
        for server in (tls_postgres, local_postgres):
            server.drop_database("shop_of_versions")
    for diff in (compare(old, new), compare(new, old)):
        assert (diff.changes, diff.text) == ((), "")
    assert derive(old, new) == derive(new, old) == ()


def test_what_versions_word_differently_is_no_change(
    local_postgres: LocalPostgres,
    tls_postgres: TlsPostgres,
    both: Callable[[str, str], tuple[str, str]],
) -> None:
    old, new = both(WORDED_OTHERWISE, WORDED_OTHERWISE)
    change(tls_postgres, old)
    change(local_postgres, new)
    for diff in (compare(read(old), read(new)), compare(read(new), read(old))):
        assert (diff.changes, diff.text) == ((), "")


def test_what_differs_beside_the_version_is_told_without_the_version(
    both: Callable[[str, str], tuple[str, str]],
) -> None:
    common = "SET ROLE postgres; CREATE TABLE two (id int NOT NULL, b int); "
    old, new = both(
        common
        + "GRANT ALL ON loose TO anon; GRANT ALL ON two TO anon; CREATE VIEW v AS SELECT id FROM two WHERE b > 1",
        common
        + "GRANT SELECT ON loose TO anon; GRANT ALL ON two TO anon; CREATE VIEW v AS SELECT id FROM two WHERE id > 1",
    )
    diff = compare(read(new), read(old))
    assert [(one.kind, one.name, one.words) for one in diff.changes] == [
        ("acl", "table loose", "anon may now INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN"),
        ("view", "v", "its query changes"),
    ]
    assert "MAINTAIN" not in diff.text
    assert "+GRANT ALL ON TABLE app.loose TO anon;" in diff.text


def test_maintain_counts_between_servers_that_know_it(local_postgres: LocalPostgres) -> None:
    with make_databases(local_postgres, 2) as (left, right):
        run(local_postgres, right, "GRANT MAINTAIN ON loose TO anon")
        diff = compare(read(left), read(right))
    assert [(one.kind, one.words) for one in diff.changes] == [("acl", "anon may now MAINTAIN")]


def test_maintain_alone_is_nothing_to_an_older_server(both: Callable[[str, str], tuple[str, str]]) -> None:
    granted = "GRANT SELECT ON sized TO anon; "
    old, new = both(granted, granted)
    if read(old).server.startswith("17"):
        pytest.skip("17 knows MAINTAIN")
    run_new = (
        "GRANT MAINTAIN ON loose TO anon; GRANT MAINTAIN ON sized TO anon; REVOKE MAINTAIN ON forced FROM postgres"
    )
    both("SELECT 1", run_new)
    assert compare(read(old), read(new)).changes == ()


def test_statements_for_an_older_server_run_there(
    tls_postgres: TlsPostgres, both: Callable[[str, str], tuple[str, str]]
) -> None:
    old, new = both(
        "GRANT SELECT ON sized TO anon",
        "SET ROLE postgres; GRANT ALL ON loose TO anon; CREATE TABLE fresh (id int NOT NULL, n int);"
        "ALTER TABLE fresh RENAME id TO number; GRANT ALL ON fresh TO service_role;"
        "CREATE VIEW v AS SELECT number FROM fresh GROUP BY number",
    )
    derived = derive(read(old), read(new))
    with psycopg.connect(
        tls_postgres.url(str(psycopg.conninfo.conninfo_to_dict(old)["dbname"]), "postgres")
    ) as connection:
        for statement in (*SESSION, *(statement for one in derived for statement in one.statements)):
            connection.execute(statement.encode())
    assert not [one.reason for one in derived if one.reason]
    assert compare(read(old), read(new)).changes == ()

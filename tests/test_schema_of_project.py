"""Two live targets beside each other, in what no dump has: what the project made counts, what the platform made not."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from schema_pairs import make_databases
from schema_pairs import run

from ops.rehearsal.report import ChangedObject
from ops.schema.comparing import LEFT_OUT_KINDS
from ops.schema.comparing import compare
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.of_project import COMPARED_BETWEEN_TARGETS
from ops.schema.of_project import of_project
from ops.schema.reading import read_schema
from ops.tools import find_tools
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres

NOT_COMPARED = LEFT_OUT_KINDS - COMPARED_BETWEEN_TARGETS

MADE_BY_THE_PROJECT = """
CREATE ROLE staff_of_project NOLOGIN; GRANT staff_of_project TO authenticator;
ALTER ROLE staff_of_project SET statement_timeout = '3s'; ALTER ROLE staff_of_project SET search_path = 'app';
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET lock_timeout = ''2s''', current_database());
  EXECUTE format('ALTER ROLE anon IN DATABASE %I SET statement_timeout = ''4s''', current_database());
END $$;
"""
TOLD = [
    ("database setting", "lock_timeout"),
    ("membership", "staff_of_project to authenticator"),
    ("role", "staff_of_project"),
    ("role setting", "anon in this database: statement_timeout"),
    ("role setting", "staff_of_project: search_path"),
    ("role setting", "staff_of_project: statement_timeout"),
]
MADE_BY_THE_PLATFORM = """
CREATE ROLE supabase_new_admin LOGIN; CREATE ROLE cli_login_1 LOGIN VALID UNTIL '2031-01-01';
GRANT supabase_new_admin TO postgres; ALTER ROLE supabase_new_admin SET search_path = 'auth';
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET "app.settings.jwt_secret" = ''k-%s''', current_database(), current_database());
  EXECUTE format('ALTER ROLE authenticator IN DATABASE %I SET pgrst.jwt_secret = ''%s''', current_database(), 1);
END $$;
"""


def between(before: Schema, after: Schema) -> tuple[ChangedObject, ...]:
    return compare(of_project(before), of_project(after), kinds_left_out=NOT_COMPARED).changes


def read(url: str) -> Schema:
    return read_schema(url, tools=find_tools(18))


@contextmanager
def roles_gone(*servers: LocalPostgres) -> Iterator[None]:
    """Without the roles of this file when it is over; a session has one server for all tests."""
    try:
        yield
    finally:
        for server in servers:
            with psycopg.connect(server.url("postgres", ADMIN), autocommit=True) as connection:
                connection.execute("DROP ROLE IF EXISTS staff_of_project, supabase_new_admin, cli_login_1")


def test_two_databases_of_one_cluster_share_roles_and_differ_in_their_settings(local_postgres: LocalPostgres) -> None:
    with roles_gone(local_postgres), make_databases(local_postgres, 2) as (left, right):
        run(local_postgres, right, MADE_BY_THE_PROJECT)
        told = [(one.kind, one.name) for one in between(read(left), read(right))]
    assert told == [one for one in TOLD if one[1].startswith("anon in") or one[0] == "database setting"]


def test_two_clusters_differ_in_what_the_project_made(local_postgres: LocalPostgres, tls_postgres: TlsPostgres) -> None:
    with (
        roles_gone(local_postgres, tls_postgres),
        make_databases(local_postgres, 1) as (new,),
        make_databases(tls_postgres, 1) as (old,),
    ):
        assert between(read(old), read(new)) == ()
        run(local_postgres, new, MADE_BY_THE_PLATFORM)
        assert between(read(old), read(new)) == ()
        run(local_postgres, new, MADE_BY_THE_PROJECT)
        assert [(one.kind, one.name) for one in between(read(old), read(new))] == TOLD
        run(tls_postgres, old, MADE_BY_THE_PROJECT)
        assert between(read(old), read(new)) == ()


def test_the_statements_make_them_alike(local_postgres: LocalPostgres, tls_postgres: TlsPostgres) -> None:
    with (
        roles_gone(local_postgres, tls_postgres),
        make_databases(local_postgres, 1) as (new,),
        make_databases(tls_postgres, 1) as (old,),
    ):
        run(local_postgres, new, MADE_BY_THE_PROJECT)
        derived = derive(of_project(read(old)), of_project(read(new)), kinds_left_out=NOT_COMPARED)
        for statement in (statement for one in derived for statement in one.statements):
            run(tls_postgres, old, statement)
        assert between(read(old), read(new)) == ()
        back = derive(of_project(read(new)), of_project(read(old)), kinds_left_out=NOT_COMPARED)
    assert back == ()


@pytest.mark.parametrize(
    ("setting", "counts"),
    [
        ("ALTER ROLE anon SET statement_timeout = '9s'", True),
        ("ALTER ROLE supabase_auth_admin SET statement_timeout = '9s'", False),
    ],
)
def test_settings_of_the_api_roles_count_though_the_platform_made_these(
    local_postgres: LocalPostgres, setting: str, counts: bool
) -> None:
    with make_databases(local_postgres, 1) as (url,):
        before = read(url)
        try:
            run(local_postgres, url, setting)
            assert bool(between(before, read(url))) == counts
        finally:
            run(local_postgres, url, setting.replace("SET statement_timeout = '9s'", "RESET statement_timeout"))

"""Reading access: a careful project stays silent, whoever reads, wherever, on whichever server."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from access_support import NO_RLS
from access_support import OWN
from access_support import PROTECTED
from access_support import TABLE
from access_support import said
from postgres_fixtures import open_folder
from postgres_fixtures import run_sql

from ops.access_state import Kind
from ops.access_state import changes
from ops.access_state import read_access
from ops.database import Connection
from ops.migrations import read_folder
from ops.rehearsal.report import AccessChange
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres

PROJECT = Path(__file__).parent.parent / "sandbox" / "project" / "supabase" / "migrations"


@pytest.fixture
def target(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


CAREFUL = """
create schema private;
create table public.profiles (id uuid primary key references auth.users, name text);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles to authenticated
  using (id = (select auth.uid())) with check (id = (select auth.uid()));
create table private.keys (id bigint generated always as identity primary key, secret text);
create view public.names with (security_invoker = true) as select name from public.profiles;
create function public.my_name() returns text language sql stable set search_path = ''
  as 'select name from public.profiles where id = auth.uid()';
create function private.new_user() returns trigger language plpgsql security definer set search_path = ''
  as 'begin return new; end';
create function public.touch() returns trigger language plpgsql security definer set search_path = ''
  as 'begin return new; end';
create trigger touch before update on public.profiles for each row execute function public.touch();
alter table public.profiles add column age int;
create index on public.profiles (name);
grant select, insert on public.profiles to anon, authenticated;
create role reporting nologin;
grant usage on schema public to reporting;
grant select on public.profiles to reporting;
"""
FILES = """
create policy "own files" on storage.objects for all to authenticated using (owner = (select auth.uid()));
"""


def test_careful_project_is_silent(local_postgres: LocalPostgres, target: Connection) -> None:
    before = read_access(target)
    target.execute(CAREFUL.encode())
    run_sql(local_postgres, target.info.dbname, FILES)

    try:
        assert changes(before, read_access(target)) == ((), ())
    finally:
        run_sql(local_postgres, target.info.dbname, "drop owned by reporting; drop role reporting")


def test_each_migration_of_the_example_opens_only_what_it_says(target: Connection) -> None:
    """The example project's tables have row-level security; what its functions and views open is meant, and named."""
    folder = read_folder({file.name: file.read_bytes() for file in PROJECT.glob("*.sql")})
    found: dict[str, list[AccessChange]] = {}
    for migration in folder.migrations:
        before = read_access(target)
        target.execute(migration.content)
        found[migration.filename] = list(changes(before, read_access(target))[0])

    worst = {name: said(each) for name, each in found.items() if any(one.level == "danger" for one in each)}
    assert worst == {}


def test_roles_that_are_missing_are_said_and_give_no_all_clear(local_postgres: LocalPostgres) -> None:
    """A server without Supabase's roles: nobody can be asked what anon may, so every table counts as reached."""
    with open_folder() as folder, LocalPostgres(folder / "bare", fast=True) as server:
        url = server.create_database("bare", supabase=False)
        with psycopg.connect(url, autocommit=True) as connection:
            before = read_access(connection)
            connection.execute(TABLE)
            after = read_access(connection)

    assert [one.message for one in before if one.rule == "visitors-missing"] == [
        "There is no role anon and no role authenticated; everything is counted as if they had every right."
    ]
    assert said(list(changes(before, after)[0])) == [NO_RLS]


def test_older_servers_tell_the_same(tls_postgres: TlsPostgres) -> None:
    name = "older_access"
    try:
        with psycopg.connect(tls_postgres.create_database(name), autocommit=True) as connection:
            connection.execute((PROTECTED + OWN).encode())
            before = read_access(connection)
            connection.execute(
                """
                alter table public.orders disable row level security;
                create view public.members as select id, email from auth.users;
                create function public.pay() returns int language sql security definer as 'select 1';
                """
            )
            found = said(list(changes(before, read_access(connection))[0]))
    finally:
        tls_postgres.drop_database(name)

    assert found == [
        ("definer-callable", "danger", "public.pay()"),
        ("policies-without-rls", "danger", "public.orders"),
        NO_RLS,
        ("view-over-auth-users", "danger", "public.members"),
        ("definer-without-search-path", "caution", "public.pay()"),
        ("view-runs-as-owner", "caution", "public.members"),
    ]


def test_schema_that_the_api_is_told_to_serve_counts(local_postgres: LocalPostgres, target: Connection) -> None:
    given = "create schema shop; grant usage on schema shop to anon, authenticated;"
    make = "create table shop.orders (id int); grant select on shop.orders to anon;"
    name = target.info.dbname
    run_sql(local_postgres, name, f"alter role authenticator in database {name} set pgrst.db_schemas = 'public, shop'")
    target.execute(given)
    before = read_access(target)
    target.execute(make)

    assert said(list(changes(before, read_access(target))[0])) == [("table-without-rls", "danger", "shop.orders")]


def test_search_path_and_temporary_tables_of_the_session_change_nothing(target: Connection) -> None:
    target.execute(TABLE)
    plain = read_access(target)
    target.execute("create schema trap; create table trap.pg_class (oid oid); create view trap.pg_policy as select 1")
    before = read_access(target)
    target.execute("create temporary table pg_class (oid oid); create temporary table pg_roles (rolname text)")
    target.execute("set search_path = trap, pg_catalog, public")

    assert read_access(target) == before
    assert before > plain or {one for one in plain if one.kind is Kind.OPEN} <= before
    assert target.execute("show search_path").fetchone() == ("trap, pg_catalog, public",)


def test_it_is_seen_inside_a_transaction_that_is_rolled_back(target: Connection) -> None:
    before = read_access(target)
    with target.transaction(force_rollback=True):
        target.execute(TABLE)
        inside = read_access(target)

    assert said(list(changes(before, inside)[0])) == [NO_RLS]
    assert read_access(target) == before


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_it_works_for_a_role_without_rights(local_postgres: LocalPostgres, target: Connection, role: str) -> None:
    target.execute(PROTECTED + OWN)
    expected = read_access(target)
    target.execute(f"set role {role}".encode())

    assert read_access(target) == expected


def test_what_supabases_advisors_call_errors_is_found_here_too(
    target: Connection, database: str, tmp_path: Path
) -> None:
    program = os.environ.get("COUNTERSIGN_TEST_SUPABASE")
    if not program:
        pytest.skip("the Supabase CLI is not here: set COUNTERSIGN_TEST_SUPABASE to its path")
    before = read_access(target)
    target.execute(f"""
        {TABLE} {OWN}
        create table public.open_table (id int);
        create view public.members as select id, email from auth.users;
        create view public.all_orders as select * from public.orders;
        create policy meta on public.orders using ((auth.jwt() -> 'user_metadata' ->> 'admin')::boolean);
        alter table public.open_table enable row level security;
        create table public.bare (id int, password text);
        """)
    opened, _ = changes(before, read_access(target))

    told = subprocess.run(
        [program, "db", "advisors", f"--remote={database}", "--output-format", "json"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "DO_NOT_TRACK": "1",
        },
    )
    errors = [one for one in _listed(json.loads(told.stdout)) if one["level"] == "ERROR"]

    ours = {(one.rule, one.object) for one in opened}
    assert errors
    for one in errors:
        names = _OURS[one["name"]]
        held = f"{one['metadata']['schema']}.{one['metadata']['name']}"
        assert any((name, held) in ours for name in names), f"{one['name']} of {held} is not among {ours}"


_OURS = {
    "rls_disabled_in_public": ["table-without-rls"],
    "policy_exists_rls_disabled": ["policies-without-rls"],
    "auth_users_exposed": ["view-over-auth-users"],
    "security_definer_view": ["view-runs-as-owner"],
    "rls_references_user_metadata": ["policy-trusts-user-metadata"],
    "sensitive_columns_exposed": ["table-without-rls"],
}


def _listed(told: Any) -> list[dict[str, Any]]:
    """The list itself, or the one that an object around it holds."""
    found: list[dict[str, Any]] = (
        told if isinstance(told, list) else next(value for value in told.values() if isinstance(value, list))
    )
    return found

"""Access as the catalog shows it: Supabase's classic mistakes are caught, and what they open is named."""

from collections.abc import Callable
from collections.abc import Iterator

import psycopg
import pytest
from access_support import NO_RLS
from access_support import OWN
from access_support import PROTECTED
from access_support import TABLE
from access_support import said
from postgres_fixtures import run_sql

from ops.access_state import changes
from ops.access_state import read_access
from ops.database import Connection
from ops.rehearsal.report import AccessChange
from sandbox.postgres import ADMIN
from sandbox.postgres import LocalPostgres

Opened = Callable[..., list[AccessChange]]


@pytest.fixture
def target(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def opened(target: Connection) -> Opened:
    """What a statement opens, after others that make the world; everything runs as `postgres`, as migrations do."""

    def run(sql: str, *, given: str = "") -> list[AccessChange]:
        target.execute(given.encode())
        before = read_access(target)
        target.execute(sql.encode())
        return list(changes(before, read_access(target))[0])

    return run


WELCOME = (
    "create function public.welcome() returns trigger language plpgsql security definer set search_path = ''"
    " as 'begin return new; end';"
)
ON_SIGN_UP = (
    "create trigger on_auth_user_created after insert on auth.users for each row execute function public.welcome()"
)
NO_POLICY = ("rls-without-policy", "info", "public.orders")


@pytest.mark.parametrize(
    ("given", "sql", "expected"),
    [
        pytest.param("", TABLE, [NO_RLS], id="new table without row-level security"),
        pytest.param(
            PROTECTED + OWN,
            "alter table public.orders disable row level security;",
            [("policies-without-rls", "danger", "public.orders"), NO_RLS],
            id="row-level security switched off",
        ),
        pytest.param(
            PROTECTED + OWN,
            "do $$ begin execute 'alter table orders ' || 'disable row level security'; end $$;",
            [("policies-without-rls", "danger", "public.orders"), NO_RLS],
            id="switched off where no reader of SQL sees it",
        ),
        pytest.param(
            PROTECTED,
            "create policy all_may on public.orders for update using (true);",
            [("policy-always-true", "danger", "public.orders")],
            id="policy that lets everybody change",
        ),
        pytest.param(PROTECTED + OWN, "drop policy own on public.orders;", [NO_POLICY], id="last policy dropped"),
        pytest.param(
            "",
            "create function public.pay() returns int language sql security definer as 'select 1';",
            [
                ("definer-callable", "danger", "public.pay()"),
                ("definer-without-search-path", "caution", "public.pay()"),
            ],
            id="function that runs as its owner",
        ),
        pytest.param(
            "",
            "create view public.members as select id, email from auth.users;",
            [("view-over-auth-users", "danger", "public.members"), ("view-runs-as-owner", "caution", "public.members")],
            id="view over auth.users",
        ),
        pytest.param(
            PROTECTED + OWN + "revoke all on public.orders from anon;",
            "grant all on public.orders to anon;",
            [("grant-to-everybody", "caution", "public.orders")],
            id="grant to anon on a table that was closed to it",
        ),
        pytest.param(
            "alter default privileges in schema public revoke all on tables from anon;",
            "alter default privileges in schema public grant all on tables to anon;",
            [("default-privileges-to-everybody", "danger", "default privileges of postgres for tables in public")],
            id="default privileges for anon",
        ),
    ],
)
def test_classic_mistake_is_caught(opened: Opened, given: str, sql: str, expected: list[tuple[str, str, str]]) -> None:
    assert said(opened(sql, given=given)) == expected


@pytest.mark.parametrize(
    ("given", "sql", "expected"),
    [
        pytest.param(
            PROTECTED,
            "create policy signed_in on public.orders for select using (auth.uid() is not null);",
            [("policy-always-true", "caution", "public.orders")],
            id="whoever signed in reads all",
        ),
        pytest.param(
            PROTECTED + "create policy p on public.orders for insert with check (true);",
            "drop policy p on public.orders; create policy q on public.orders using (true) with check (1 = 1);",
            [("policy-always-true", level, "public.orders") for level in ("danger", "caution", "caution")],
            id="insert for all widened to everything",
        ),
        pytest.param(
            PROTECTED,
            "create policy admins on public.orders using ((auth.jwt() -> 'user_metadata' ->> 'admin')::boolean);",
            [("policy-trusts-user-metadata", "danger", "public.orders")],
            id="policy by what people write about themselves",
        ),
        pytest.param(
            PROTECTED + OWN + "create policy paid on public.orders as restrictive using (note is not null);",
            "drop policy paid on public.orders;",
            [("policy-dropped", "caution", "public.orders")],
            id="restrictive policy dropped",
        ),
        pytest.param(
            PROTECTED + OWN,
            "create view public.all_orders as select * from public.orders;",
            [("view-runs-as-owner", "danger", "public.all_orders")],
            id="view past row-level security",
        ),
        pytest.param(
            PROTECTED + OWN + "create view public.open with (security_invoker = on) as select * from public.orders;",
            "alter view public.open reset (security_invoker);",
            [("view-runs-as-owner", "danger", "public.open")],
            id="security_invoker taken from a view",
        ),
        pytest.param(
            PROTECTED + OWN,
            "create materialized view public.totals as select count(*) from public.orders;",
            [("materialized-view-exposed", "caution", "public.totals")],
            id="materialized view",
        ),
        pytest.param(
            PROTECTED + OWN + "revoke all on public.orders from anon, authenticated;",
            "grant select (note) on public.orders to anon;",
            [("grant-to-everybody", "caution", "public.orders")],
            id="grant on a column",
        ),
        pytest.param(
            "create function public.pay() returns int language sql security definer set search_path = '' as 'select 1';"
            "revoke execute on function public.pay() from public, anon, authenticated;",
            "drop function public.pay(); create function public.pay() returns int language sql security definer"
            " set search_path = '' as 'select 2';",
            [("definer-callable", "danger", "public.pay()")],
            id="revoked right that came back with the function",
        ),
        pytest.param(
            "create schema inner_room; create table inner_room.keys (id int);",
            "grant usage on schema inner_room to anon; grant select on inner_room.keys to public;",
            [("grant-to-everybody", "caution", name) for name in ("inner_room.keys", "schema inner_room")],
            id="grants in a schema that is not served",
        ),
        pytest.param(
            "create schema inner_room; create table inner_room.keys (id int);"
            "alter table inner_room.keys enable row level security;",
            "alter table inner_room.keys disable row level security;",
            [("rls-disabled", "caution", "inner_room.keys")],
            id="row-level security switched off in a schema that is not served",
        ),
        pytest.param(
            PROTECTED + OWN,
            "grant create on schema public to anon;",
            [("grant-to-everybody", "danger", "schema public")],
            id="anon may make objects",
        ),
        pytest.param(
            "create publication supabase_realtime;" + TABLE,
            "alter publication supabase_realtime add table public.orders;",
            [("published-without-rls", "danger", "public.orders")],
            id="table without row-level security sent by Realtime",
        ),
    ],
)
def test_subtle_change_is_caught(opened: Opened, given: str, sql: str, expected: list[tuple[str, str, str]]) -> None:
    assert said(opened(sql, given=given)) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param(
            "create role reporting bypassrls", [("powerful-role", "danger", "role reporting")], id="new powerful role"
        ),
        pytest.param(
            "create role reporting; grant service_role to reporting",
            [("powerful-role", "danger", "role reporting")],
            id="membership",
        ),
        pytest.param(
            "grant select on auth.users to anon", [("grant-to-everybody", "danger", "auth.users")], id="auth.users"
        ),
        pytest.param(
            "alter table auth.users add column nickname text",
            [("platform-schema", "danger", "auth.users.nickname")],
            id="column of the platform",
        ),
        pytest.param(
            "create or replace function auth.uid() returns uuid language sql stable as 'select null::uuid'",
            [("platform-schema", "danger", "auth.uid()")],
            id="function of the platform",
        ),
        pytest.param(
            "create policy mine on storage.objects for select using (owner = auth.uid())", [], id="policy on storage"
        ),
        pytest.param(f"{WELCOME} {ON_SIGN_UP}", [], id="profile on sign up"),
        pytest.param(
            "create function auth.f() returns trigger language plpgsql as 'begin return new; end';"
            " create trigger t after insert on auth.users for each row execute function auth.f()",
            [("platform-schema", "danger", "auth.f()"), ("platform-schema", "caution", "t on auth.users")],
            id="trigger that calls a function among the platform's",
        ),
        pytest.param(
            f"{WELCOME} create trigger t after insert on storage.objects for each row execute function public.welcome()",
            [("platform-schema", "caution", "t on storage.objects")],
            id="trigger on another table of the platform",
        ),
        pytest.param(
            "create policy all_files on storage.objects for select using (true)",
            [("policy-always-true", "caution", "storage.objects")],
            id="all files for everybody",
        ),
    ],
)
def test_change_that_only_the_platform_may_make_is_caught(
    local_postgres: LocalPostgres, database: str, target: Connection, sql: str, expected: list[tuple[str, str, str]]
) -> None:
    before = read_access(target)
    try:
        run_sql(local_postgres, target.info.dbname, sql, ADMIN)

        assert said(list(changes(before, read_access(target))[0])) == expected
    finally:
        run_sql(local_postgres, target.info.dbname, "drop role if exists reporting", ADMIN)


def test_message_names_who_may_do_what(opened: Opened) -> None:
    (found,) = opened(TABLE)

    assert found.message == (
        "anon may read, insert, update and delete any row of public.orders, which has no row-level security."
    )


def test_more_rights_on_an_open_table_are_news(opened: Opened) -> None:
    (found,) = opened(
        "grant insert on public.orders to anon;",
        given=TABLE + "revoke all on public.orders from anon, authenticated; grant select on public.orders to anon;",
    )

    assert found.message == "anon may insert any row of public.orders, which has no row-level security."


def test_mended_is_told_apart_from_opened(target: Connection) -> None:
    target.execute(TABLE)
    before = read_access(target)
    target.execute(f"alter table public.orders enable row level security; {OWN}")

    opened, mended = changes(before, read_access(target))

    assert (said(list(opened)), said(list(mended))) == ([], [NO_RLS])


def test_level_that_rises_is_opened(opened: Opened) -> None:
    """A view over a table without row-level security is one thing; once the table has it, the view passes it."""
    given = f"{TABLE} create view public.everything as select * from public.orders;"

    found = opened(f"alter table public.orders enable row level security; {OWN}", given=given)

    assert said(found) == [("view-runs-as-owner", "danger", "public.everything")]


def test_state_is_the_same_after_a_change_and_its_inverse(target: Connection) -> None:
    target.execute(PROTECTED + OWN)
    before = read_access(target)

    target.execute("alter table public.orders disable row level security; grant select on public.orders to public;")
    changed = read_access(target)
    target.execute("alter table public.orders enable row level security; revoke select on public.orders from public;")

    assert changed != before
    assert read_access(target) == before


def test_hostile_names_are_harmless_to_print(opened: Opened) -> None:
    found = opened('create table public."a\u202eb\nc" (id int);')

    assert all(not set("\u202e\n\0") & set(one.message) for one in found)
    assert [one.rule for one in found] == ["table-without-rls"]

"""What Supabase lets the migrating role do though Postgres would refuse it, and what a copy says of that."""

import json

import psycopg
import pytest
from apply_helpers import fresh_target
from apply_helpers import migration

from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal

POLICY = 'create policy "read own" on storage.objects for select to authenticated using (auth.uid() = owner);'
UNLESS_THERE = """
do $$ begin
  if not exists (select from pg_policies where policyname = 'x') then
    create policy x on storage.objects for select using (true);
  end if;
end $$;
"""
FUNCTION = "create function public.f() returns event_trigger language plpgsql as 'begin end';\n"


@pytest.fixture(scope="module")
def hosted():
    """As hosted Supabase with settings that nobody may read."""
    with fresh_target(supabase=True) as target:
        yield target


@pytest.fixture(scope="module")
def telling():
    """As Supabase that says what it grants, which is not much."""
    with fresh_target(supabase=True) as target:
        name = target.connection.info.dbname
        said = {
            "policy_grants": json.dumps({"postgres": ["storage.objects"], "anon": ["auth.users"]}),
            "drop_trigger_grants": json.dumps({"postgres": ["storage.buckets"]}),
            "privileged_role": "supabase_privileged_role",
        }
        for setting, value in said.items():
            with psycopg.connect(target.admin_url, autocommit=True) as admin:
                admin.execute(f"ALTER DATABASE {name} SET supautils.{setting} = '{value}'".encode())
        yield target


def rehearsed(target, *texts: str) -> Rehearsal:
    files = [migration(text, f"202601010000{number:02}_change.sql") for number, text in enumerate(texts)]
    return rehearse_files(lambda: target.url, files)


def test_a_policy_on_storage_objects_is_made_as_supabase_makes_it(hosted):
    found = rehearsed(
        hosted,
        POLICY + 'alter policy "read own" on storage.objects using (true); set search_path = storage;'
        "create policy two on objects for insert with check (bucket_id = 'a'); drop policy if exists two on objects;",
        UNLESS_THERE,
    )
    assert found.outcome is Outcome.PASSED, [one.error for one in found.files]
    policies = {one.name for one in found.changes if one.kind == "policy"}
    assert policies == {"read own on objects", "x on objects"}
    assert found.expected() is not None
    assert [one for one in found.unseen if "storage.objects" in one and "supabase_storage_admin" in one]


def test_the_rights_are_gone_behind_the_statement(hosted):
    for act in ('drop policy "read own" on storage.objects; alter table', "alter table"):
        found = rehearsed(hosted, POLICY + f"\n{act} storage.objects add column more int;")
        assert (found.outcome, found.files[0].error["line"]) == (Outcome.FAILED, 2)
        assert "must be owner of table objects" in found.because


@pytest.mark.parametrize(
    "text",
    [
        "alter table storage.objects enable row level security;",
        "create policy x on storage.objects to nobody_there using (true);",
        "set role anon; create policy x on storage.objects using (true);",
        "do $$ begin alter table storage.objects disable row level security; end $$; -- policy",
        "drop table auth.users cascade;",
    ],
)
def test_what_supabase_refuses_fails(hosted, text):
    assert rehearsed(hosted, text).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (POLICY, Outcome.PASSED),
        ("create policy x on storage.buckets using (true);", Outcome.FAILED),
        ("create policy x on auth.users using (true);", Outcome.FAILED),
        ("create publication everything for all tables;", Outcome.FAILED),
    ],
    ids=["granted", "not granted", "granted to another role", "not the privileged role"],
)
def test_what_the_target_says_counts(telling, text, outcome):
    assert rehearsed(telling, text).outcome is outcome


def test_a_trigger_is_dropped_where_the_platform_lets_it(telling):
    made = "create function public.g() returns trigger language plpgsql as 'begin return new; end';"
    for table, outcome in (("storage.buckets", Outcome.PASSED), ("storage.objects", Outcome.FAILED)):
        on = f"create trigger t after insert on {table} for each row execute function g();"
        assert rehearsed(telling, f"{made} {on} drop trigger t on {table};").outcome is outcome


@pytest.mark.parametrize(
    "text",
    [
        FUNCTION + "create event trigger t on ddl_command_end execute function public.f();",
        FUNCTION + "do $$ begin create event trigger t on ddl_command_end execute function public.f(); end $$;",
        "create publication everything for all tables;",
        "set log_min_duration_statement = 0;",
    ],
)
def test_what_only_a_superuser_may_is_not_known_on_supabase(hosted, text):
    found = rehearsed(hosted, "create table public.before (i int);", text)
    assert found.outcome is Outcome.IMPOSSIBLE
    assert "On Supabase this may be allowed; a copy cannot show it." in found.because
    assert found.because.startswith("20260101000001_change.sql, line ")
    assert [one.outcome for one in found.files] == ["passed", "not_run"]


def test_triggers_can_be_switched_off_as_on_supabase(hosted):
    found = rehearsed(hosted, "set session_replication_role = replica; create table public.t (i int);")
    assert found.outcome is Outcome.PASSED, [one.error for one in found.files]


@pytest.mark.parametrize(
    "text",
    ["create publication everything for all tables;", "set session_replication_role = replica;"],
)
def test_plain_postgres_refuses_it_there_too(text):
    with fresh_target() as target:
        assert rehearsed(target, text).outcome is Outcome.FAILED

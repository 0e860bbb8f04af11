"""`health`, `tables`, `status` and the advisors of a whole Supabase project: real database, a Management API on this desk."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from people_talk import ANA
from people_talk import card
from people_talk import cards
from people_talk import told as told_in
from people_talk import wait_for
from supabase_support import managed

from audit import Log
from bot import health_looks
from ops.health_watch import look_at_health
from ops.layer import Ops
from ops.settings import load_settings
from ops.targets import find_target
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

PROD = """\
approvals = 0
backup = "none"
tables = ["public.notes"]
health_every = "30s"

[[projects.shop.environments.prod.health]]
name = "a note can be written"
insert = "public.notes"
row = { text = "from the health check", more = { tags = ["a"] } }
role = "authenticated"
claims = { sub = "7d0e9e4e-0000-4000-8000-000000000001" }
"""
NOTES = """\
create table public.notes (
  id bigint generated always as identity primary key,
  text text not null check (text <> 'forbidden'),
  more jsonb,
  author text not null default current_setting('request.jwt.claims', true)::json ->> 'sub'
);
alter table public.notes enable row level security;
create policy write on public.notes for insert to authenticated with check (author is not null);
"""
HELLO = 'Deno.serve(() => new Response(Deno.env.get("STRIPE_KEY")!))\n'
GOOD = {
    "a note can be written": "holds",
    "table public.notes": "holds",
    "row level security": "holds",
    "Management API": "holds",
    "REST": "holds",
    "Auth": "holds",
    "function hello": "holds",
}
LINT = {
    "name": "rls_disabled_in_public",
    "title": "RLS Disabled in Public",
    "level": "ERROR",
    "detail": "Table public.open is public",
    "cache_key": "rls_disabled_in_public_public_open",
}


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[tuple[Stage, SupabaseApi]]:
    """A project with a table and a function, both deployed once; no bot."""
    with (
        SupabaseApi() as api,
        Stage(**managed(api, PROD, empty=True, rate_limits=False, postgres=local_postgres)) as stage,
    ):
        stage.migration("20260101000001_notes.sql", NOTES)
        api.project.put_function("hello", HELLO)
        api.project.secrets["STRIPE_KEY"] = ("sk_live_of_the_test", "2026-11-01T00:00:00Z")
        assert stage.cli("push", "prod", "--json").json["status"] == "succeeded"
        yield stage, api


@pytest.fixture
def well(desk: tuple[Stage, SupabaseApi]) -> Iterator[tuple[Stage, SupabaseApi]]:
    """The same; what a test breaks of the project is whole again after it."""
    _, api = desk
    yield desk
    api.heal()
    with api.lock:
        project = api.project
        project.rest_status = project.auth_status = 200
        project.unhealthy.clear()
        project.functions["hello"].boots = True


def states(stage: Stage) -> tuple[int, dict[str, str], str]:
    ran = stage.cli("health", "prod", "--json")
    [found] = ran.json["targets"]
    return ran.code, {one["name"]: one["state"] for one in found["checks"]}, ran.out + ran.err


def test_health_looks_at_everything_and_leaves_nothing_behind(well: tuple[Stage, SupabaseApi]) -> None:
    stage, _ = well

    code, found, _ = states(stage)

    assert code == 0
    assert {name: state for name, state in found.items() if not name.startswith("service ")} == GOOD
    assert {"service db", "service rest", "service auth", "service storage"} <= found.keys()
    assert stage.sql("prod", "select count(*) from notes") == [(0,)]


def test_project_without_a_token_says_what_is_left_out(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    asked = len(api.requests)
    token = stage.environment.pop("SUPABASE_ACCESS_TOKEN")
    try:
        health = stage.cli("health", "prod")
        [status] = stage.cli("status", "prod", "--json").json["targets"]
        said = stage.cli("status", "prod").out
    finally:
        stage.environment["SUPABASE_ACCESS_TOKEN"] = token

    assert (health.code, len(api.requests)) == (0, asked)
    assert "the parts of its project are left out, for SUPABASE_ACCESS_TOKEN is not set" in health.out
    assert "the project of shop/prod is not looked at: SUPABASE_ACCESS_TOKEN is not set" in said
    assert (status["functions_behind"], status["secrets_missing"], status["unknown"]) == (None, None, {})


def test_health_says_what_fails_and_ends_with_exit_code_1(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    with api.lock:
        api.project.unhealthy["db"] = "out of disk"
        api.project.rest_status = 503
        api.project.functions["hello"].boots = False
    stage.sql("prod", "alter table notes disable row level security; alter table notes rename column text to body")

    try:
        code, found, out = states(stage)
    finally:
        stage.sql("prod", "alter table notes enable row level security; alter table notes rename column body to text")

    assert code == 1
    assert {name for name, state in found.items() if state == "fails"} == {
        *("a note can be written", "row level security", "service db", "REST", "function hello"),
    }
    assert "off for public.notes" in out
    assert "42703" in out
    for secret in (api.token, api.project.publishable_key, api.project.secret_key, "sk_live_of_the_test"):
        assert secret not in out


def test_table_that_is_gone_is_named(well: tuple[Stage, SupabaseApi]) -> None:
    stage, _ = well
    stage.sql("prod", "alter table notes rename to moved")

    try:
        code, found, out = states(stage)
    finally:
        stage.sql("prod", "alter table moved rename to notes")

    assert (code, found["table public.notes"]) == (1, "fails")
    assert "it does not exist" in out


@pytest.mark.parametrize("how", [403, 429, "half"])
def test_silent_management_api_is_unknown_and_not_bad(well: tuple[Stage, SupabaseApi], how: Any) -> None:
    stage, api = well
    headers = {"Retry-After": "30"} if how == 429 else None
    api.fail("GET /v1/projects/.*/health", how, times=9, headers=headers)

    code, found, out = states(stage)

    assert (code, found["Management API"]) == (0, "unknown")
    assert found["services"] == "unknown"  # not left out as if there were none
    assert not any(name.startswith("service ") for name in found)
    assert (found["REST"], found["function hello"], found["table public.notes"]) == ("holds",) * 3
    assert api.token not in out


def test_functions_that_cannot_be_listed_are_not_left_out(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    api.fail("GET /v1/projects/[^/]*/functions", 500, times=9)

    code, found, out = states(stage)

    assert (code, found["Management API"], found["functions"]) == (0, "unknown", "unknown")
    assert not any(name.startswith("function ") for name in found)
    assert "not checked: Supabase answered" in out


def test_status_tells_how_the_project_stands(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    deployed = stage.events("succeeded")[-1]
    stage.commit(
        {
            "supabase/migrations/20260101000009_later.sql": "select 1;\n",
            "supabase/functions/pay/index.ts": 'Deno.env.get("STRIPE_KEY"); Deno.env.get("MAIL_KEY")!\n',
        }
    )
    stage.cli("plan", "prod", "--json")
    with api.lock:
        api.project.rest_status = 503

    [found] = stage.cli("status", "prod", "--json").json["targets"]
    said = stage.cli("status", "prod").out

    assert found["unknown"] == {}
    assert found["pending"] == ["20260101000009"]
    assert found["functions_behind"] == ["pay"]
    assert found["secrets_missing"] == ["MAIL_KEY"]
    assert found["deployed_by"] == deployed.request
    assert [one["name"] for one in found["health"] if one["state"] == "fails"] == ["REST"]
    assert "shop/prod is not well" in said
    assert "REST: expected 200, got 503" in said
    assert "missing: MAIL_KEY" in said
    stage.commit({"supabase/migrations/20260101000009_later.sql": "select 2;\n"})


def test_status_does_not_wait_for_a_project_that_is_slow(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    api.fail("GET /v1/.*", "slow", times=20, seconds=60)

    [found] = stage.cli("status", "prod", "--json", seconds=20).json["targets"]

    assert found["unknown"].keys() == {"functions", "secrets", "health"}
    assert found["pending"] is not None
    assert found["commit"] is not None


def test_tables_are_listed_with_what_guards_them(well: tuple[Stage, SupabaseApi]) -> None:
    stage, _ = well
    hostile = 'evil <!channel> *x* "quoted"'
    stage.sql(
        "prod",
        f"""
        create table public."{hostile.replace('"', '""')}" (id int);
        create table public.parted (id int) partition by range (id);
        create table public.parted_1 partition of public.parted for values from (0) to (1000);
        insert into public.parted select generate_series(0, 499);
        analyze public.parted_1;
        create schema hidden;
        create table hidden.private (id int);
        """,
    )

    ran = stage.cli("tables", "prod", "--json")
    stage.sql(
        "prod", f'''drop table public."{hostile.replace('"', '""')}", public.parted; drop schema hidden cascade'''
    )

    found = {f"{one['schema']}.{one['name']}": one for one in ran.json["tables"]}
    assert ran.code == 0
    assert found.keys() == {"public.notes", f"public.{hostile}", "public.parted", "hidden.private"}
    assert (found["public.notes"]["rls"], found["public.notes"]["policies"]) == (True, 1)
    assert (found["public.parted"]["rows"], found["public.parted"]["partitions"]) == (500, 1)
    assert found["public.parted"]["bytes"] > 0
    assert found["public.notes"]["rows"] is None
    assert found[f"public.{hostile}"]["api_roles"] == ["anon", "authenticated"]
    assert found["hidden.private"]["api_roles"] == []


def test_new_findings_of_the_advisors_are_shown_after_a_run(well: tuple[Stage, SupabaseApi]) -> None:
    stage, api = well
    with api.lock:
        api.project.lints["security"].append(LINT)
    stage.migration("20260101000020_open.sql", "create table public.open (id int);\n")

    pushed = stage.cli("push", "prod", "--json").json
    again = stage.cli("status", "prod", "--json").json["targets"][0]

    event = stage.events("advisors_noted")[-1]
    assert event.data is not None
    [health] = [one for one in pushed["steps"] if one["step"] == "health"]
    assert pushed["status"] == "succeeded"
    assert [one["title"] for one in event.data["new"]] == ["RLS Disabled in Public"]
    assert "1 new finding of the advisors: error: RLS Disabled in Public" in json.dumps(health)
    assert again["advisors"] == {"ERROR": 1}

    api.fail("GET .*/advisors/security", 403)
    stage.migration("20260101000021_close.sql", "drop table public.open;\n")
    unasked = stage.cli("push", "prod", "--json").json

    assert unasked["status"] == "succeeded"
    assert "the advisors were not asked" in json.dumps(unasked["steps"])
    assert len(stage.events("advisors_noted")) == 2


def test_changed_health_is_told_once_in_the_channel(
    well: tuple[Stage, SupabaseApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks see it fail; the bot that comes up tells it, and after a restart does not tell it again."""
    stage, api = well
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    with api.lock:
        api.project.rest_status = 503
        api.project.unhealthy["db"] = "out of disk"
    with Log.open(stage.log_path) as log:
        ops = Ops(load_settings(stage.config), log)
        target = find_target(ops.settings, "prod")
        pending, first = look_at_health(ops, target, {})
        pending, event = look_at_health(ops, target, pending)
        _, third = look_at_health(ops, target, pending)
    assert (first, third) == (None, None)
    assert event is not None
    assert event.data is not None
    assert event.data["standing"] == {"service db": "fails", "REST": "fails"}

    stage.start_bot()
    shown = card(stage, "The health of shop/prod has changed; 2 checks do not hold now")
    stage.stop_bot()
    stage.start_bot()
    stage.sql("prod", 'create table public."<!channel> *x*" (id int)')
    answers = [stage.slack.say(ANA, f"/migrate {word} prod") for word in ("health", "tables", "status")]
    said = [told_in(answer) for answer in answers]
    told = [one for one in cards(stage) if "The health of shop/prod" in stage.slack.render(one)]
    stage.sql("prod", 'drop table public."<!channel> *x*"')
    stage.stop_bot()

    assert "REST does not hold: expected 200, got 503" in shown
    assert len(told) == 1
    assert "REST: expected 200, got 503" in said[0]
    assert "public.<!channel> *x*" in said[1]
    assert "shop/prod is not well" in said[2]


def test_run_after_which_a_table_cannot_be_read_ends_half_way(well: tuple[Stage, SupabaseApi]) -> None:
    stage, _ = well
    stage.migration("20260101000030_away.sql", "alter table public.notes rename to moved;\n")

    pushed = stage.cli("push", "prod", "--json")
    stage.sql("prod", "alter table moved rename to notes")

    assert (pushed.code, pushed.json["status"], pushed.json["reason"]) == (1, "partially_applied", "health_failed")
    assert "table public.notes (it does not exist)" in pushed.json["message"]


def test_bot_looks_by_itself(well: tuple[Stage, SupabaseApi], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each target that says how often; what it saw twice is in the log."""
    stage, api = well
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(health_looks, "FIRST_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(health_looks, "AGAIN_SECONDS", 0.05)
    api.project.auth_status = 500
    before = len(stage.events("health_changed"))
    with Log.open(stage.log_path) as log:
        looks = health_looks.HealthLooks(Ops(load_settings(stage.config), log))
        looks.start()
        wait_for(lambda: len(stage.events("health_changed")) > before)
        looks.stop()

    [event] = stage.events("health_changed")[before:]
    assert event.data is not None
    assert {"Auth": "fails"}.items() <= event.data["standing"].items()


def test_check_of_a_locked_table_gives_up_soon_and_tables_does_not_wait(well: tuple[Stage, SupabaseApi]) -> None:
    stage, _ = well
    with closing(psycopg.connect(stage.postgres.url(stage.databases["prod"]))) as holder:
        holder.execute("LOCK TABLE public.notes")
        code, found, out = states(stage)
        listed = stage.cli("tables", "prod", "--json")

    assert (code, found["table public.notes"], found["a note can be written"]) == (1, "fails", "fails")
    assert "somebody holds a lock on it" in out
    assert [one["name"] for one in listed.json["tables"]] == ["notes"]

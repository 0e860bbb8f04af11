"""Each class of hazards by degree: what is told, what is told more mildly, what is left alone."""

import base64
import json

import pytest

from ops.hazards import Hazard
from ops.hazards import find_hazards
from ops.migrations import read_folder

OURS = "abcdefghijklmnopqrst"
OTHER = "tsrqponmlkjihgfedcba"
UNASKED = {"linter-failed"}


def found_in(*texts: str, project_ref: str = "") -> list[Hazard]:
    files = {f"{number}_file.sql": text.encode() for number, text in enumerate(texts, 1)}
    hazards = find_hazards(read_folder(files).migrations, squawk=None, project_ref=project_ref)
    return [one for one in hazards if one.rule not in UNASKED]


def told(*texts: str, project_ref: str = "") -> list[tuple[str, str, int]]:
    return [(one.rule, one.level.value, one.line) for one in found_in(*texts, project_ref=project_ref)]


def key(role: str, ref: str) -> str:
    """A JWT as Supabase gives one to a project."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": "supabase", "ref": ref, "role": role})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


# --- transactions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set search_path = a;\nreset search_path;", []),
        ("set search_path = a;\nset search_path to default;", []),
        ("set search_path = a;\nreset all;", []),
        ("set role reporting;\nselect 1;\nset role none;", []),
        ("set work_mem = '64MB';", []),
        ("select set_config('search_path', 'a', true);", []),
        ("select set_config('search_path', 'a', false);", [("setting-leaks", "caution", 1)]),
        ("select 1;\nset session authorization reporting;", [("setting-leaks", "caution", 2)]),
        ("set timezone = 'Europe/London';\nselect 1;", [("setting-leaks", "caution", 1)]),
        ("create temp table a (b int);", [("temporary-table", "info", 1)]),
        ("create temp table a on commit drop as select 1 as b;", []),
        ("begin;\nselect 1;\ncommit;", []),
        ("begin;\nselect 1;", [("ends-transaction", "danger", 1)]),
        ("select 1;\nrollback;", [("ends-transaction", "danger", 2), ("not-atomic", "caution", 2)]),
        ("do $$ begin\n  perform 1;\n  commit;\nend $$;", [("ends-transaction", "danger", 3)]),
        (
            "create procedure p() language plpgsql as $$ begin commit; end $$;\ncall p();",
            [("ends-transaction", "danger", 2)],
        ),
        ("select 1;\nvacuum orders;", [("not-atomic", "caution", 2)]),
    ],
)
def test_transactions_and_sessions(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(
    ("use", "is_told"),
    [
        ("insert into people (mood) values ('calm');", True),
        ("alter table people alter column mood set default 'calm';", True),
        ("create policy p on people for select to authenticated using (mood = 'calm'::public.mood);", True),
        ("do $$ begin update people set mood = 'calm' where id = 1; end $$;", True),
        ("comment on type mood is 'calm';", False),
        ("create function f() returns text language plpgsql as $$ begin return 'calm'; end $$;", False),
        ("insert into people (mood) values ('calmer');", False),
    ],
)
def test_an_enum_value_that_is_used_at_once(use: str, is_told: bool) -> None:
    found = found_in(f"alter type public.mood add value 'calm';\n{use}")
    messages = [one.message for one in found if one.rule == "enum-value-used"]
    assert messages == ["Uses value calm of public.mood in the transaction that adds it."] * is_told
    assert "enum-value-used" not in [one.rule for one in found_in("alter type public.mood add value 'calm';", use)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alter table a add b int;\ncreate index on c (d);", "Keeps public.a locked while public.c is indexed."),
        ("alter table a add b int;\nupdate c set d = 1 where e;", "Keeps public.a locked while public.c is updated."),
        ("alter table a add b int;\ninsert into c select 1 from d;", "Keeps public.a locked while public.d is read."),
        (
            "create policy p on a for select to x using (b);\nrefresh materialized view m;",
            "while public.m is refreshed.",
        ),
        ("alter table a add constraint k check (b) not valid;\nalter table a validate constraint k;", "is validated."),
        ("alter table a add b int;\ninsert into c values (1);", ""),
        ("alter table a alter column b set statistics 9;\nupdate c set d = 1 where e;", ""),
        ("begin; alter table a add b int; commit;\nbegin; update c set d = 1 where e; commit;", ""),
        ("create table internal.a (b int); alter table internal.a add c int;\nupdate d set e = 1 where f;", ""),
    ],
)
def test_a_lock_that_is_held_while_others_work(text: str, expected: str) -> None:
    messages = [one.message for one in found_in(text) if one.rule == "lock-held-over-work"]
    assert [expected in message for message in messages] == ([True] if expected else [])


# --- projects and secrets


@pytest.mark.parametrize(
    "naming",
    [
        "select 'https://{}.supabase.co/rest/v1/'",
        "select 'wss://{}.supabase.co/realtime/v1'",
        "select 'https://{}.functions.supabase.co/send'",
        "select 'https://{}.storage.supabase.co/x'",
        "select dblink_connect('host=db.{}.supabase.co dbname=postgres')",
        "select dblink_connect('host=aws-0-eu-west-1.pooler.supabase.com user=postgres.{}')",
        "select 'postgresql://postgres.{}@aws-0-eu-west-1.pooler.supabase.com:5432/postgres'",
        "select 'https://supabase.com/dashboard/project/{}/editor'",
        "select 'https://api.supabase.com/v1/projects/{}/functions'",
    ],
)
def test_another_project_is_a_danger_and_the_targets_own_is_told(naming: str) -> None:
    def rules(ref: str, project_ref: str) -> list[tuple[str, str]]:
        found = found_in(f"{naming.format(ref)};", project_ref=project_ref)
        return [(one.rule, one.level.value) for one in found if one.hazard_class == "foreign_project"]

    assert rules(OTHER, OURS) == [("foreign-project", "danger")]
    assert rules(OURS, OURS) == [("project-url", "info")]
    assert rules(OURS, "") == [("project-url", "caution")]


def test_the_message_names_both_projects() -> None:
    (hazard,) = found_in(f"select 1;\nselect 'https://{OTHER}.supabase.co';", project_ref=OURS)
    assert hazard.line == 2
    assert hazard.message == f"Names an address of project {OTHER}, which is not the target's ({OURS})."


def test_two_projects_in_one_plan_are_a_danger_without_knowing_the_target() -> None:
    first, second = (f"select 'https://{ref}.supabase.co';" for ref in (OURS, OTHER))
    assert ("foreign-project", "danger", 1) in told(first, second)
    assert "foreign-project" not in [rule for rule, _, _ in told(first, first)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"-- made in https://supabase.com/dashboard/project/{OTHER}\nselect 1;", [("foreign-project", "info", 1)]),
        (f"select '{key('anon', OURS)}';", [("anon-key-in-file", "caution", 1)]),
        (f"select '{key('anon', OTHER)}';", [("foreign-project", "danger", 1)]),
        (
            f"select '{key('service_role', OTHER)}';",
            [("secret-in-file", "forbidden", 1), ("foreign-project", "danger", 1)],
        ),
        ("select 'https://example.supabase.com/docs', 'https://short.supabase.co';", []),
        ("select 'http://localhost:54321/functions/v1/x';", [("local-address", "caution", 1)]),
        ("-- http://localhost:54321\nselect 'https://acme.example';", []),
    ],
)
def test_projects_and_keys(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert told(text, project_ref=OURS) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("insert into s values ('stripe_api_key', 'q8Zr2LxV0bNw71TyPf5KcJ3h');", "looks-like-a-secret"),
        ("select net.x(jsonb_build_object('x-Api-Key', 'Q8Zr2LxV0bNw71TyPf5KcJ3h'));", "looks-like-a-secret"),
        ('İ --\nselect \'{"client_secret": "q8Zr2LxV0bNw71TyPf5KcJ3h"}\';', "looks-like-a-secret"),
        ("select extensions.crypt('hunter2', extensions.gen_salt('bf'));", "password-in-seed"),
        ("select '$2a$10$" + "abcdefghij" * 5 + "abc';", "password-in-seed"),
        ("insert into s values ('stripe_api_key_name', 'billing-api-key-production');", ""),
        ("insert into s values ('secret_id', '018f6d5e-7b3c-7c3a-9a43-0d2f6f1c2b3a');", ""),
        ("alter table accounts add column api_key text default 'none'; -- secret: see the vault", ""),
        ("create index concurrently password_resets_token_hash_idx on password_resets (token_hash);", ""),
        ("select vault.create_secret(current_setting('app.settings.mail_api_key_of_2026'), 'mail_key');", ""),
    ],
)
def test_what_looks_like_a_secret(text: str, rule: str) -> None:
    found = [one for one in found_in(text) if one.hazard_class == "secrets"]
    assert [one.rule for one in found] == ([rule] if rule else [])
    assert not any(word in one.message for one in found for word in ("q8Zr2", "Q8Zr2", "hunter2", "abcdefghij"))


# --- characters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- abc\u2066def\nselect 1;", [("hidden-direction", "danger", 1)]),
        (
            "create function f() returns int language sql as $$ select 1 /* \u202e */ $$;",
            [("hidden-direction", "danger", 1)],
        ),
        ("insert into a values ('שלום \u200f(abc)');", []),
        ("insert into a values ('abc\u200fdef');", [("hidden-direction", "caution", 1)]),
        ("insert into a values ('ab\u200bcd');", [("invisible-character", "caution", 1)]),
        ("insert into a values ('می\u200cخواهم 👩\u200d💻');", []),
        (
            "create function f() returns int language sql as $$ select\u200b1 $$;",
            [("invisible-character", "danger", 1)],
        ),
        ("insert into a values ('12\u202f€');\n-- 12\u00a0€", []),
        ("insert into a values ('сало sale');", []),
        ("select p\u0430ssword from a;", [("mixed-scripts", "danger", 1)]),
        ("select имя from a;", []),
        ("select 'µs', 5;", []),
        ("select 1;\n-- \x1b[2K", [("control-character", "danger", 2)]),
        ("select 1; -- drop\rselect 2;\n", [("control-character", "danger", 1)]),
        ("select 1;\r\nselect 2;\n", [("mixed-line-ends", "info", 1)]),
        ("select '日本語', 'ｆｕｌｌ　ｗｉｄｔｈ';", []),
        ("insert into a values ('tab\there');", []),
    ],
)
def test_characters(text: str, expected: list[tuple[str, str, int]]) -> None:
    encoding = [one for one in found_in(text) if one.hazard_class == "encoding"]
    assert [(one.rule, one.level.value, one.line) for one in encoding] == expected


@pytest.mark.parametrize("content", [b"select '\xff';", b"\xff\xfes\x00", b"select 1;\n\x00"])
def test_bytes_that_are_not_sql(content: bytes) -> None:
    found = find_hazards(read_folder({"1_file.sql": content}).migrations, squawk=None)
    assert "cannot-be-stored" in [one.rule for one in found]


# --- what the pending files make or mend themselves


@pytest.mark.parametrize(
    "text",
    [
        "create type t as enum ('a'); drop type t;",
        "create function f() returns int return 1; drop function f();",
        "drop function f(int); create function f(a bigint) returns int return 1;",
        "drop materialized view internal.m; create materialized view internal.m as select 1 as a;",
        "create materialized view m as select 1 as a; revoke select on m from anon, authenticated;",
        "create view v as select 1 as a; alter view v set (security_invoker = true);",
        "create function f() returns int security definer return 1; alter function f() set search_path = '';",
        "drop trigger a on auth.users; create trigger a after insert on auth.users execute function f();",
        "create sequence internal.s; alter sequence internal.s restart; drop sequence internal.s;",
        "create index concurrently i on t (a);\ndrop index concurrently i;",
        "alter table t drop constraint c, add constraint c check (a > 0) not valid;",
        (
            "alter table t add constraint n not null a not valid; alter table t validate constraint n;"
            " alter table t alter a set not null;"
        ),
    ],
)
def test_what_is_made_or_mended_in_the_same_plan_is_no_hazard(text: str) -> None:
    found = [one for one in found_in(text) if one.rule not in {"not-atomic", "lock-held-over-work"}]
    assert found == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("create or replace view v with (security_invoker = off) as select 1 as a;", "view-runs-as-owner"),
        ("alter view v reset (security_invoker);", "view-runs-as-owner"),
        ("create function f(int) returns int return 1; drop function g(int);", "ban-drop-function"),
        ("drop policy p on auth.users;", "platform-schema"),
        ("create trigger a after insert on auth.users execute function auth.f();", "platform-schema"),
        ("alter table internal.t set schema public;", "table-without-rls"),
        ("create policy p on t for all using ((select auth.uid()) is not null);", "policy-always-true"),
        ("alter policy p on t with check (auth.role() = 'authenticated');", "policy-always-true"),
        ("alter table t owner to reporting;", "owner-changed"),
        ("do $$ begin create index on t (a); end $$;", "require-concurrent-index-creation"),
        ("do $$ begin execute 'alter table t alter column a type bigint'; end $$;", "changing-column-type"),
        ("alter table t alter a set not null;", "adding-not-nullable-field"),
        ("alter table t add column a int references u (id) default 1;", "adding-foreign-key-constraint"),
        ("alter table t disable trigger all;", "dropping-trigger"),
        ("update storage.buckets set public = true where id = 'a';", "public-bucket"),
    ],
)
def test_what_only_looks_safe_is_told(text: str, rule: str) -> None:
    assert rule in [one.rule for one in found_in(text)]


@pytest.mark.parametrize(
    "text",
    [
        "create table if not exists internal.t (a int); alter table internal.t add primary key (a);",
        "create table if not exists internal.t (a int); create index on internal.t (a);",
        "create or replace view internal.v as select 1 as a; drop view internal.v;",
        "create or replace function f() returns int return 1; drop function f();",
    ],
)
def test_what_the_plan_perhaps_made_itself_is_told_as_info(text: str) -> None:
    """As in the files that `supabase db pull` writes."""
    (hazard,) = found_in(text)
    assert hazard.level == "info"
    assert hazard.message.endswith(" The plan itself may have made it.")


def test_rights_that_the_platform_gives_anyway_are_told_as_info() -> None:
    made = 'create table if not exists "public"."t" (a int); alter table "public"."t" enable row level security;'
    grant = 'grant all on table "public"."t" to "anon";'
    assert told(f"{made}\n{grant}") == [("grant-to-everybody", "info", 2)]
    assert told(grant) == [("grant-to-everybody", "danger", 1)]
    assert ("grant-to-everybody", "danger", 1) in told(f"create table public.t (a int); {grant}")

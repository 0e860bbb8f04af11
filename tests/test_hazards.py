"""Every rule catches its example and leaves the other alone; the pending files are judged together."""

import os
import stat
import time
from pathlib import Path

import pytest

from ops.hazards import Hazard
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.hazards import Rule
from ops.hazards import SquawkTool
from ops.hazards import all_rules
from ops.hazards import find_hazards
from ops.hazards import rules_page
from ops.hazards.linter_rules import LINTED
from ops.hazards.rehearsed_rules import SEEN
from ops.migrations import Migration
from ops.migrations import read_folder

ROOT = Path(__file__).resolve().parent.parent
NO_LINTER = "linter-failed"
WITH_EXAMPLES = [rule for rule in all_rules() if rule.caught and rule not in SEEN]  # those run in a rehearsal


def pending(*files: str) -> tuple[Migration, ...]:
    """Files in the order given, as versions 1, 2…"""
    return read_folder({f"{number}_file.sql": text.encode() for number, text in enumerate(files, 1)}).migrations


def by_our_rules(*files: str) -> list[Hazard]:
    """Without the linter, whose absence is a hazard of its own."""
    return [hazard for hazard in find_hazards(pending(*files), squawk=None) if hazard.rule != NO_LINTER]


def rules(hazards: list[Hazard] | tuple[Hazard, ...]) -> list[str]:
    return [hazard.rule for hazard in hazards]


# --- the rules and their page


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=lambda rule: rule.id)
def test_a_rule_catches_its_example(rule: Rule) -> None:
    (first, *_) = [hazard for hazard in find_hazards(pending(rule.caught)) if hazard.rule == rule.id]
    assert (rule.hazard_class, rule.level, rule.safe_way) == (first.hazard_class, first.level, first.safe_way)
    assert first.message[:1].isupper()


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=lambda rule: rule.id)
def test_a_rule_leaves_the_other_alone(rule: Rule) -> None:
    assert rule.id not in rules(find_hazards(pending(rule.left_alone)))


def test_the_page_of_hazards_is_printed_from_the_rules() -> None:
    """To renew it: python -c "from ops.hazards import rules_page; print(rules_page(), end='')" > docs/hazards.md"""
    assert rules_page() == (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")


def test_levels_rise() -> None:
    assert Level.INFO < Level.CAUTION < Level.DANGER < Level.FORBIDDEN
    assert Level.FORBIDDEN >= Level.FORBIDDEN > Level.INFO <= Level.INFO
    assert max(Level.CAUTION, Level.DANGER, Level.INFO) == Level.DANGER


def test_a_hazard_is_printed_with_the_keys_of_the_contract() -> None:
    (hazard,) = by_our_rules("select 1;\ndrop table app.orders cascade;")
    assert hazard.to_json() == {
        "rule": "drop-table",
        "class": "data_loss",
        "level": "danger",
        "version": "1",
        "line": 2,
        "message": "Drops table app.orders with its rows and all that depends on it.",
    }


def test_hazards_are_sorted_by_version_line_and_the_worst_first() -> None:
    found = by_our_rules(
        "refresh materialized view m; drop database x;\ndrop table a;", "drop table b; select 1;\nvacuum full c;"
    )
    places = [(each.version, each.line, -each.level.rank) for each in found]
    assert places == sorted(places)
    assert [each.version for each in found] == ["1", "1", "1", "1", "2", "2", "2"]


def test_nothing_pending_holds_no_hazard() -> None:
    assert find_hazards(()) == ()


# --- what the pending files made themselves


@pytest.mark.parametrize(
    "second",
    [
        "create index t_a on t (a);",
        "alter table t add column b int not null;",
        "alter table public.t drop column a;",
        "alter table t rename to u; drop table u;",
        "truncate t; delete from t; update t set a = 1;",
        "alter table t add constraint c check (a > 0); lock table t;",
    ],
)
def test_a_table_made_by_an_earlier_pending_file_is_nobodys_yet(second: str) -> None:
    first = "create table t (a int); alter table t enable row level security;"
    assert find_hazards(pending(first, second)) == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("create table if not exists t (a int);", "drop table t;"),
        ("create table app.t (a int);", "drop table t;"),
        ("create schema app create table t (a int);", "drop table t;"),
        ("create temp table t (a int);", "drop table t;"),
        ("create temp table t (a int);", "drop table public.t;"),
        ("set search_path = app; create table t (a int);", "drop table t;"),
        ("select set_config('search_path', 'app', false); create table t (a int);", "drop table t;"),
        ("do $$ begin if false then create table t (a int); end if; end $$;", "drop table t;"),
        ("create table t (a int); drop table t;", "drop table t;"),
    ],
    ids=["exists", "schema", "in schema", "temporary", "shadow", "path", "set_config", "condition", "dropped"],
)
def test_a_table_that_may_be_an_old_one_is_not_taken_for_new(first: str, second: str) -> None:
    assert ("drop-table", "2") in [(each.rule, each.version) for each in by_our_rules(first, second)]


def test_row_level_security_may_come_in_a_later_pending_file() -> None:
    create = "create table public.t (a int);"
    assert rules(by_our_rules(create)) == ["table-without-rls"]
    assert by_our_rules(create, "select 1;", "alter table t enable row level security;") == []


@pytest.mark.parametrize(
    "text",
    ["create table app.t (a int);", "set search_path = app; create table t (a int);", "create temp table t (a int);"],
)
def test_a_table_that_the_data_api_does_not_serve_needs_no_row_level_security(text: str) -> None:
    assert not {"table-without-rls"} & set(rules(by_our_rules(text)))


# --- what hides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("do $$ begin\n if true then\n  drop table t;\n end if;\nend $$;", [("drop-table", 3)]),
        ("do $$ begin\n execute 'truncate t';\nend $$;", [("truncate", 2)]),
        ("do $a$ begin\n execute $b$ delete from t $b$;\nend $a$;", [("delete-without-where", 2)]),
        ("do $$ declare n int; begin\n\n delete from t returning id into n;\nend $$;", [("delete-without-where", 3)]),
        ("do $$ begin\n execute 'drop table ' || 't';\nend $$;", [("cannot-be-read", 2)]),
        ("do $$ begin execute 'do ' || 'x'; end $$;", [("cannot-be-read", 1)]),
        ("do 'begin drop table t; end';", [("drop-table", 1)]),
        ("with x as (delete from t returning *) select * from x;", [("delete-without-where", 1)]),
        ("explain analyze delete from t;", [("delete-without-where", 1)]),
        ("prepare p as delete from t;", [("delete-without-where", 1)]),
        ("delete from t where 1 = 1;", [("delete-without-where", 1)]),
        ("-- é\n/* drop */ drop /* é */ table t;", [("drop-table", 2)]),
        ("frobnicate;\ndrop table t;", [("cannot-be-read", 1), ("drop-table", 2)]),
        ("create schema public2 create table t (a int); delete from t;", [("delete-without-where", 1)]),
    ],
)
def test_a_danger_that_hides_is_found(text: str, expected: list[tuple[str, int]]) -> None:
    assert expected == [(each.rule, each.line) for each in by_our_rules(text)]


@pytest.mark.parametrize(
    "text",
    [
        "explain delete from t;",
        "select 'drop table t';",
        "create function f() returns void language plpgsql as $$ begin delete from t; end $$;",
        "create function f() returns void begin atomic delete from t; end;",
        "do $$ begin raise notice 'drop table t;'; perform 1; end $$;",
    ],
)
def test_what_does_not_happen_is_no_danger(text: str) -> None:
    assert by_our_rules(text) == []


# --- who may read and write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create policy p on t for select using (true);", [("policy-always-true", "caution")]),
        ("create policy p on t for select to anon using (1 = 1);", [("policy-always-true", "caution")]),
        ("create policy p on t for insert with check (true);", [("policy-always-true", "danger")]),
        ("create policy p on t to authenticated using (true);", [("policy-always-true", "caution")]),
        ("create policy p on t to service_role using (true);", []),
        ("create policy p on t as restrictive using (true);", []),
        ("alter policy p on t using ('t'::boolean);", [("policy-always-true", "danger")]),
        ("grant select on t to anon;", [("grant-to-everybody", "caution")]),
        ("grant select, insert on t to anon, authenticated;", [("grant-to-everybody", "danger")]),
        ("grant all on all tables in schema public to public;", [("grant-to-everybody", "danger")]),
        ("revoke all on t from anon;", []),
        ("alter role r bypassrls;", [("powerful-role", "danger")]),
        ("create role r nobypassrls;", []),
        ("create trigger a after insert on auth.users execute function f();", []),
        ("create trigger a after insert on auth.users execute function auth.f();", [("platform-schema", "caution")]),
        ("alter table storage.objects enable row level security;", [("platform-schema", "caution")]),
        ("alter table storage.objects add column x int;", [("platform-schema", "danger")]),
        ("insert into storage.buckets (id) values ('a');", []),
        ("insert into auth.users (id) values (1);", [("platform-schema", "danger")]),
        (
            "update supabase_migrations.schema_migrations set name = '' where version = '1';",
            [("platform-schema", "danger")],
        ),
        ("create function auth.f() returns int language sql as 'select 1';", [("platform-schema", "danger")]),
        ("drop schema vault;", [("drop-schema", "danger"), ("platform-schema", "danger")]),
        ("select net.http_post('x');", [("reaches-outside", "danger")]),
        ("select dblink_exec('c', 'drop table t');", [("reaches-outside", "danger")]),
    ],
)
def test_who_may_read_and_write_is_judged_by_degree(text: str, expected: list[tuple[str, str]]) -> None:
    assert expected == [(each.rule, each.level) for each in by_our_rules(text)]


# --- secrets


def test_a_secret_is_forbidden_and_never_shown() -> None:
    token = "sbp_" + "0123456789abcdef" * 2 + "01234567"
    found = by_our_rules(f"-- {token}\nselect 1;\n\nalter role app password 'hunter2';\ndrop table \"{token}\";")
    forbidden = [(each.rule, each.line) for each in found if each.level == Level.FORBIDDEN]
    assert forbidden == [("secret-in-file", 1), ("secret-in-file", 4), ("secret-in-file", 5)]
    assert not any(token in each.message or "hunter2" in each.message for each in found)


def test_a_name_is_shown_without_control_and_direction_characters() -> None:
    (hazard,) = [each for each in by_our_rules('drop table "a\u202eb\x07";') if each.rule == "drop-table"]
    assert hazard.message == "Drops table public.a�b� with its rows."


# --- transactions


def test_a_file_in_several_parts_says_where_the_second_begins() -> None:
    found = by_our_rules("select 1;\n\nvacuum t;\nselect 2;")
    assert [(each.rule, each.line) for each in found] == [("not-atomic", 3)]


def test_an_enum_value_may_be_used_where_the_addition_is_committed() -> None:
    text = "begin; alter type mood add value 'calm'; commit; update t set mood = 'calm' where a = 1;"
    assert "enum-value-used" not in rules(by_our_rules(text))


# --- the linter


def test_the_linter_sees_through_comments_that_would_silence_it() -> None:
    text = "-- squawk-ignore-file\n-- squawk-ignore require-concurrent-index-creation\ncreate index i on t (a);"
    found = find_hazards(pending(text))
    assert [(each.rule, each.line) for each in found] == [
        ("linter-ignore-comment", 1),
        ("linter-ignore-comment", 2),
        ("require-concurrent-index-creation", 3),
    ]


def test_the_linter_is_asked_file_by_file_whether_in_a_transaction() -> None:
    """With one answer for all, it would either refuse CONCURRENTLY or miss what a transaction holds."""
    assert find_hazards(pending("create index concurrently i on t (a);")) == ()
    both = find_hazards(pending("create index concurrently i on t (a);", "create index j on t (a);"))
    assert [(each.version, each.rule) for each in both] == [("2", "require-concurrent-index-creation")]


def test_a_constraint_is_not_reported_twice() -> None:
    found = find_hazards(pending("alter table app.t add constraint f foreign key (a) references u (id);"))
    assert [each.message for each in found] == [
        "Nobody can write to app.t or public.u while every row is checked for foreign key f."
    ]


def test_a_linter_that_is_missing_is_a_hazard(tmp_path: Path) -> None:
    (hazard,) = find_hazards(pending("select 1;"), squawk=SquawkTool(tmp_path / "squawk"))
    assert (hazard.rule, hazard.hazard_class, hazard.level) == (NO_LINTER, HazardClass.UNCHECKED, Level.CAUTION)
    assert "not installed" in hazard.message


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "code 3"),
        ("kill -9 $$", "code -9"),
        ("echo oops", "not known"),
        ('echo \'[{"file": "other.sql"}]\'', "not known"),
        ("sleep 20", "0.5 seconds"),
    ],
    ids=["fails", "dies", "babbles", "lies", "hangs"],
)
def test_a_linter_that_fails_is_a_hazard(tmp_path: Path, script: str, said: str) -> None:
    program = tmp_path / "squawk"
    program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    program.chmod(stat.S_IRWXU)
    found = find_hazards(pending("drop table t;"), squawk=SquawkTool(program, timeout_seconds=0.5))
    assert rules(found) == ["drop-table", NO_LINTER]
    assert said in found[1].message


def test_the_linter_gets_no_environment_and_no_configuration_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE_URL", "postgres://x")
    program = tmp_path / "squawk"
    program.write_text(f"#!/bin/sh\n/usr/bin/env > {tmp_path}/seen; /bin/ls -a . >> {tmp_path}/seen; echo '[]'\n")
    program.chmod(stat.S_IRWXU)
    assert find_hazards(pending("select 1;"), squawk=SquawkTool(program)) == ()
    seen = (tmp_path / "seen").read_text()
    assert "SHOP_DATABASE_URL" not in seen
    assert {".", "..", "000000.sql", "squawk.toml"} == {line for line in seen.split("\n") if line and "=" not in line}


def test_every_rule_of_the_linter_is_known_to_it() -> None:
    """Each of the table's rules fired in its example, so none is misspelt; this one counts them."""
    assert {rule.id for rule in WITH_EXAMPLES} >= set(LINTED)


# --- speed


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="timing says nothing on one core")
def test_a_thousand_files_are_read_and_judged_in_seconds() -> None:
    text = (
        "-- a thing\ncreate table public.thing_{0} (id bigint primary key, é text);\n"
        "alter table public.thing_{0} enable row level security;\n"
        "create index thing_{0}_id on public.thing_{0} (id);\nalter table orders add column c{0} text;\n"
    )
    started = time.perf_counter()
    folder = read_folder({f"{20260101000000 + n}_m.sql": text.replace("{0}", str(n)).encode() for n in range(1000)})
    assert find_hazards(folder.migrations) == ()
    assert time.perf_counter() - started < 15

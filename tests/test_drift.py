"""Drift: a target beside what its history makes, two targets beside each other, and statements that are proven."""

from collections.abc import Callable
from typing import Any

import pytest
from people_talk import ANA
from people_talk import GUS
from people_talk import rules
from people_talk import small
from people_talk import told
from postgres_fixtures import run_sql

from sandbox.stage import Stage

Make = Callable[..., Stage]


@pytest.fixture
def shop(make_stage: Make) -> Stage:
    """The demo's world without the bot: dev has every migration, prod lacks three."""
    return make_stage()


def drift(stage: Stage, *words: str) -> dict[str, Any]:
    ran = stage.cli("drift", *words, "--json")
    assert ran.code == 0, ran.out + ran.err
    return ran.json


def names(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["change"], one["kind"], one["name"]) for one in found["differences"]]


def even_out(stage: Stage, database: str, found: dict[str, Any]) -> None:
    """Run the statements for real."""
    for statement in found["statements"]:
        stage.sql(database, statement)


def test_a_target_is_what_its_history_makes(shop: Stage) -> None:
    found = drift(shop, "prod")
    assert (found["differences"], found["diff"], found["statements"]) == ([], "", [])
    assert found["against"] == "what its 14 migrations make"


def test_what_was_changed_by_hand_is_named_and_its_statements_take_it_back(shop: Stage) -> None:
    shop.sql(
        "prod",
        """
        alter table public.orders add column by_hand text default 'x';
        create index by_hand_idx on public.orders (by_hand);
        create table public.extra (id int primary key);
        drop policy "customers read themselves" on public.customers;
        """,
    )

    found = drift(shop, "prod")

    assert [one for one in names(found) if one[1] in {"table", "index", "policy"}] == [
        ("dropped", "policy", "customers read themselves on customers"),
        ("created", "table", "extra"),
        ("changed", "table", "orders"),
        ("created", "index", "by_hand_idx"),
    ]
    assert all(one["proven"] for one in found["differences"])
    assert "+    by_hand text DEFAULT 'x'::text," in found["diff"]
    even_out(shop, "prod", found)
    assert drift(shop, "prod")["differences"] == []


def test_a_publication_is_somebodys_own_doing(make_stage: Make) -> None:
    """One that a migration makes is replayed; one that was made by hand is told, and goes with its tables."""
    stage = small(make_stage, start=False)
    stage.migration("20260101000002_publish.sql", "create publication ours for table public.notes;\n")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    assert drift(stage, "dev")["differences"] == []
    stage.sql("dev", "create publication by_hand for table public.notes")

    found = drift(stage, "dev")

    assert ("created", "publication", "by_hand") in names(found)
    even_out(stage, "dev", found)
    assert drift(stage, "dev")["differences"] == []


def test_two_targets_differ_by_what_one_of_them_lacks(shop: Stage) -> None:
    found = drift(shop, "dev", "prod")
    assert found["target"] == "shop/prod"
    assert ("changed", "table", "orders") in names(found)
    assert all(one["proven"] for one in found["differences"])

    even_out(shop, "prod", found)

    assert drift(shop, "dev", "prod")["differences"] == []
    assert drift(shop, "prod", "dev")["differences"] == []


def test_what_no_statement_can_bring_about_is_not_said_to_be_proven(shop: Stage) -> None:
    """On the copy of prod the rows are missing, but a server that is not there stays not there."""
    shop.sql("prod", "create type public.mood as enum ('good', 'odd', 'bad')")
    shop.sql("dev", "create type public.mood as enum ('good', 'bad')")  # a value of an enum cannot be taken out

    found = drift(shop, "dev", "prod")

    mood = next(one for one in found["differences"] if one["name"] == "mood")
    assert (mood["kind"], mood["change"]) == ("type", "changed")
    if not mood["proven"]:
        assert mood["reason"]
        assert not any("mood" in one for one in found["statements"])


def test_a_definition_with_a_secret_is_never_printed_with_the_secret_cut_out_of_it(shop: Stage) -> None:
    """Running that would put the mask into a working function."""
    body = "create function public.send() returns text language sql set search_path = '' as "
    shop.sql("prod", body + "$$ select 'postgres://app:tr0ub4dor-and-3@db.example/x' $$")
    shop.sql("dev", body + "$$ select 'postgres://app:correct-horse-9@db.example/x' $$")

    found = drift(shop, "dev", "prod")

    send = next(one for one in found["differences"] if one["name"] == "send()")
    assert (send["proven"], send["reason"]) == (False, "its definition holds a secret, which is not shown")
    assert not any("public.send" in one for one in found["statements"])
    assert "tr0ub4dor" not in str(found)
    assert "correct-horse" not in str(found)


def test_what_is_proven_does_not_need_what_is_not(shop: Stage) -> None:
    """The table would have to belong to a role that the migrating one may not give things to."""
    run_sql(shop.postgres, shop.databases["dev"], "create table public.theirs (id int primary key, note text)")
    run_sql(shop.postgres, shop.databases["dev"], "create index theirs_note on public.theirs (note)")
    shop.sql("dev", "create table public.ours (id int primary key)")

    found = drift(shop, "dev", "prod")

    proven = {
        one["name"]: one["proven"] for one in found["differences"] if one["kind"] in {"table", "index", "constraint"}
    }
    assert proven["ours"]
    assert not proven["theirs"]
    assert not any("theirs" in one for one in found["statements"])
    even_out(shop, "prod", found)  # as printed, and nothing else
    assert "ours" not in {one["name"] for one in drift(shop, "dev", "prod")["differences"]}


def test_check_ends_with_one_when_something_differs(shop: Stage) -> None:
    assert shop.cli("drift", "prod", "--check").code == 0
    shop.sql("prod", "create table public.extra (id int primary key)")
    ran = shop.cli("drift", "prod", "--check", "--json")
    assert (ran.code, ran.json["ok"], ran.json["reason"]) == (1, False, "drift_found")
    assert "shop/prod differs from what its 14 migrations make" in ran.json["message"]


def test_a_file_that_was_edited_later_is_replayed_as_it_ran(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    assert stage.cli("push", "dev", "--json").code == 0
    stage.migration("20260101000001_add_notes.sql", "create table public.notes (id bigint primary key);\n")
    found = drift(stage, "dev")
    assert found["differences"] == []
    assert found["notes"] == [
        "20260101000001 was replayed from the history's own rows: no file of the repository is what ran."
    ]


def test_a_history_that_does_not_say_what_ran_cannot_be_replayed(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    assert stage.cli("push", "dev", "--json").code == 0
    stage.sql("dev", "insert into supabase_migrations.schema_migrations(version) values ('20250101000000')")
    ran = stage.cli("drift", "dev", "--json")
    assert (ran.code, ran.json["reason"]) == (1, "history_not_replayed")
    assert "does not hold what 20250101000000 ran" in ran.json["message"]
    assert "/migrate adopt dev" in ran.json["hint"]


def test_a_history_that_needs_what_it_never_made_is_told_with_its_place(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    stage.sql("dev", "create table public.by_hand (id int primary key)")
    stage.migration("20260101000002_use.sql", "-- uses it\nalter table public.by_hand add column note text;\n")
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    ran = stage.cli("drift", "dev", "--json")
    assert (ran.code, ran.json["reason"]) == (1, "history_not_replayed")
    assert "20260101000002_use.sql, line 2" in ran.json["message"]
    assert 'relation "public.by_hand" does not exist' in ran.json["message"]


def test_what_loses_rows_is_said_before_the_statements(shop: Stage) -> None:
    shop.sql("prod", "create table public.extra (id int primary key); insert into public.extra values (1)")
    shown = shop.cli("drift", "prod").out
    assert "only on shop/prod" in shown
    assert shown.index("lose what is in there") < shown.index("To make shop/prod what its 14 migrations make")
    assert "has no rows" in shown


def test_nothing_is_left_behind_and_nothing_is_written(shop: Stage) -> None:
    shop.sql("prod", "create table public.extra (id int primary key)")
    written = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_all_tables where schemaname <> 'pg_toast'"
    before = shop.sql("prod", written)
    drift(shop, "dev", "prod")
    assert shop.sql("prod", written) == before
    assert shop.sql("prod", "select count(*) from pg_stat_activity where application_name like 'countersign%'") == [
        (0,)
    ]


def test_in_slack_the_statements_come_as_a_file_to_who_asked(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules())
    assert stage.cli("push", "dev", "--json").code == 0
    answer = stage.slack.say(ANA, "/migrate drift dev prod")
    assert answer.says("shop/prod differs from shop/dev", 40)
    shown = answer.text()
    assert "To make shop/prod like shop/dev, proven on a copy" in shown
    assert "missing on shop/prod" in shown
    assert "Applied on shop/dev and not on shop/prod: 20260101000001." in shown
    assert "CREATE TABLE public.notes" in shown


def test_a_guest_is_refused(make_stage: Make) -> None:
    stage = small(make_stage)
    assert "guest" in told(stage.slack.say(GUS, "/migrate drift prod"))


@pytest.mark.parametrize("words", [[], ["dev", "prod", "dev"], ["dev", "dev"], ["staging"]])
def test_other_words_are_refused_in_a_sentence(shop: Stage, words: list[str]) -> None:
    ran = shop.cli("drift", *words, "--json")
    assert ran.code == 2
    assert ran.json["message"]

"""Rules, the order of environments, CI jobs and a changed policy, as people meet them: one world, the real bot."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import rules
from people_talk import told
from people_talk import wait_for

from sandbox.postgres import LocalPostgres
from sandbox.slack_workspace import UserGroup
from sandbox.stage import Stage

SECOND = 'rules = [{ name = "second", approvers = ["@seconds"] }]'


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """Prod comes after dev, and takes an owner and one of @seconds: Ben, who is both, or Dee."""
    prod = rules(1, 'after = ["dev"]', SECOND)
    with Stage(postgres=local_postgres, rate_limits=False, empty=True, prod=prod) as stage:
        stage.slack.workspace.groups["S0SECONDS"] = UserGroup("S0SECONDS", "seconds", (BEN, "U0DEE"))
        known = stage.config.read_text().replace("[people]\n", '[people]\n"ben-of-acme" = "U0BEN"\n')
        stage.config.write_text(known)
        stage.start_bot()
        yield stage


def a_migration(shop: Stage, number: int) -> str:
    """One more file; its version. Nothing of it is on dev."""
    version = f"2026010100000{number}"
    shop.migration(f"{version}_t{number}.sql", f"create table public.t{number} (id int primary key);\n")
    return version


def stand_on_dev(shop: Stage, number: int, statement: str | None = None) -> None:
    """The file's row in dev's own history, as somebody's CLI wrote it past us."""
    text = statement or f"create table public.t{number} (id int primary key)"
    shop.sql("dev", "create schema if not exists supabase_migrations; select 1")
    shop.sql(
        "dev",
        "create table if not exists supabase_migrations.schema_migrations "
        "(version text primary key, statements text[], name text); "
        f"insert into supabase_migrations.schema_migrations values ('2026010100000{number}', array['{text}'], 't{number}') "
        "on conflict (version) do update set statements = excluded.statements returning version",
    )


def test_what_stands_on_the_earlier_environment_word_for_word_came_first(shop: Stage) -> None:
    a_migration(shop, 1)
    assert "has not been applied to dev" in told(shop.slack.say(ANA, "/migrate push prod"))

    stand_on_dev(shop, 1, "create table public.t1 (id bigint primary key)")
    assert "has not been applied to dev" in told(shop.slack.say(ANA, "/migrate push prod"))
    assert shop.events("requested") == []

    stand_on_dev(shop, 1)
    assert shop.slack.say(ANA, "/migrate push prod").says("R-1 is asked for", 30)


def test_the_card_says_who_fills_which_rule_and_people_move_for_others(shop: Stage) -> None:
    """Ben alone could fill either place, and fills one; with Chi, who is only an owner, he fills the other."""
    assert "Rule second: 0 of 1; 1 more yes, of @seconds" in plain(card(shop, "[Approve for prod]"))

    approve(shop, BEN)
    shown = plain(card(shop, "Rule approvers: 1 of 1: @Ben"))
    assert "Approvals: 1 of 2" in shown
    assert "Rule second: 0 of 1; 1 more yes, of @seconds" in shown

    approve(shop, CHI)
    wait_for(lambda: bool(shop.events("succeeded")))
    started, *_ = shop.events("started")
    assert started.data is not None
    assert started.data["facts"]["filled"] == {"approvers": [CHI], "second": [BEN]}
    told_json = shop.cli("show", "R-1", "--json").json
    assert [(one["name"], one["people"], one["missing"]) for one in told_json["rules"]] == [
        ("approvers", [CHI], 0),
        ("second", [BEN], 0),
    ]


def test_who_started_the_job_decides_nothing_on_what_it_asked_for(shop: Stage) -> None:
    a_migration(shop, 2)
    stand_on_dev(shop, 2)
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ben-of-acme", "GITHUB_TRIGGERING_ACTOR": "zoe-gh"}
    shop.environment.update(job)
    try:
        assert shop.cli("push", "prod", "--json").json["request"] == "R-2"
    finally:
        for name in job:
            del shop.environment[name]

    requested = shop.events("requested")[-1]
    assert requested.data is not None
    assert requested.data["behind"] == [BEN]
    assert "zoe-gh" in requested.data["unknown_authors"]
    card(shop, "[Approve for prod]")
    assert "The CI job that requested R-2 was started by you" in approve(shop, BEN, "R-2")


def test_a_changed_policy_ends_what_waits_and_says_what_changed(shop: Stage) -> None:
    shop.stop_bot()
    shop.config.write_text(shop.config.read_text().replace("approvals = 1\n", "approvals = 2\n"))
    shop.start_bot()

    [superseded] = shop.events("superseded")
    assert superseded.request == "R-2"
    assert superseded.data is not None
    assert "the policy (approvals 1 → 2)" in superseded.data["message"]
    assert "the policy (approvals 1 → 2)" in card(shop, "the policy (approvals")

    first, second = shop.events("configured")
    assert first.data is not None
    assert second.data is not None
    assert (first.data["changed"], second.data["changed"]) == (
        {},
        {"shop/prod": [{"rule": "approvals", "old": 1, "new": 2}]},
    )
    by = second.data["by"]
    assert re.fullmatch(r"os:[^/]+/.+", by["process"])
    assert by["owner"]
    assert by["modified_at"] > first.data["by"]["modified_at"]

    ask(shop)
    assert "Rule approvers: 0 of 2" in plain(card(shop, "R-3 · "))


def doctors_words(shop: Stage, what: str) -> str:
    return "\n".join(one["found"] for one in shop.cli("doctor", "--json").json["checks"] if one["what"] == what)


def test_doctor_proposes_who_wrote_the_migrations(shop: Stage) -> None:
    """Dee is found by her address where Slack may be asked; whoever is not there is named all the same."""
    shop.migration("20260301000001_a.sql", "select 1;\n", author="Dee")
    shop.migration("20260301000002_b.sql", "select 1;\n", author="Zoe")

    proposed = doctors_words(shop, "[people]")
    shop.slack.scopes.discard("users:read.email")

    assert 'if it is Dee, add "dee@acme.example" = "U0DEE"' in proposed
    assert "Zoe wrote a migration and is not in it, so could approve their own work; if it is somebody here" in proposed
    assert 'add "dee@acme.example" = "U…" (with the scope users:read.email' in doctors_words(shop, "[people]")


def test_doctor_warns_where_members_can_make_themselves_approvers(shop: Stage) -> None:
    """Slack tells who changed a group last; a member who is no admin could not have, had it not been left to all."""
    workspace = shop.slack.workspace
    assert "does not say who may edit user groups" in doctors_words(shop, "who may edit groups")

    workspace.groups["S0OWNERS"] = replace(workspace.groups["S0OWNERS"], updated_by="U0DEE")
    assert "changed last by U0DEE, who is no admin" in doctors_words(shop, "group @database-owners")

    workspace.change_person("Dee", is_admin=True)
    assert "who is no admin" not in doctors_words(shop, "group @database-owners")


def plain(text: str) -> str:
    return text.replace("*", "")

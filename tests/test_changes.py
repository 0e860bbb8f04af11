"""What changes while a request waits: the target, the branch, the plan, the time; and what is refused at once."""

from collections.abc import Callable

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import applied
from people_talk import approve
from people_talk import ask
from people_talk import at_once
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import small
from people_talk import told
from people_talk import value_of
from people_talk import wait_for

from sandbox.stage import Stage
from sandbox.stage import git

Make = Callable[..., Stage]


def a_changed_schema(stage: Stage) -> None:
    stage.sql("prod", "create table public.by_hand (id int)")


def a_row_in_the_history(stage: Stage) -> None:
    stage.sql("prod", "create schema if not exists supabase_migrations")
    stage.sql(
        "prod",
        "create table if not exists supabase_migrations.schema_migrations"
        " (version text primary key, statements text[], name text)",
    )
    stage.sql("prod", "insert into supabase_migrations.schema_migrations (version) values ('20250101000000')")


def a_forced_branch(stage: Stage) -> None:
    git(stage.repository, "reset", "--quiet", "--hard", "HEAD~1")
    stage.commit({"other.txt": "x"}, "Something else")


CHANGES = [
    (a_changed_schema, "the target's schema", "plan_changed"),
    (a_row_in_the_history, "the target's migration history", "plan_changed"),
    (a_forced_branch, "the branch main, which no longer holds the commit", "plan_changed"),
]


@pytest.mark.parametrize(("change", "part", "reason"), CHANGES, ids=[row[0].__name__ for row in CHANGES])
def test_what_changed_meanwhile_supersedes_the_request(
    make_stage: Make, change: Callable[[Stage], None], part: str, reason: str
) -> None:
    stage = small(make_stage)
    ask(stage)
    change(stage)

    answer = approve(stage, BEN)

    assert "Since R-1 was made, this changed: " in answer
    assert part in answer
    assert "push prod" in answer
    shown = card(stage, "R-1 · shop/prod: no longer holds, nothing was run")
    assert part in shown
    assert "[Approve" not in shown
    assert kinds(stage) == ["requested", "superseded"]
    assert refusals(stage) == [reason]
    assert not applied(stage)
    in_order(stage)


def test_a_change_between_the_click_and_the_first_statement_stops_the_run(make_stage: Make) -> None:
    """Another session holds the target's lock while the schema is changed by hand; the run looks again under the lock."""
    stage = small(make_stage)
    ask(stage)
    stage.slack.slow("usergroups.list", 0.6)
    clicked = stage.slack.click(BEN, "Approve", about="R-1")
    told(clicked)
    a_changed_schema(stage)  # the foreman still asks Slack who Ben is

    shown = card(stage, "no longer holds, nothing was run")
    assert "the target's schema" in shown
    assert kinds(stage) == ["requested", "approved", "started", "superseded"]
    assert not applied(stage)
    in_order(stage)


def test_a_branch_that_moves_on_changes_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.migration("20260101000002_later.sql", "create table public.later (id int);")

    assert "It has all it needs" in approve(stage, BEN)

    card(stage, "R-1 · shop/prod: done")
    assert stage.sql("prod", "select version from supabase_migrations.schema_migrations") == [("20260101000001",)]
    in_order(stage)


def test_a_newer_plan_supersedes_the_older_request_of_the_same_person_and_its_card(make_stage: Make) -> None:
    stage = small(make_stage)
    first = ask(stage)
    stage.migration("20260101000002_later.sql", "create table public.later (id int);")
    told(stage.slack.say(ANA, "/migrate push prod"))
    card(stage, "R-2 · shop/prod: waiting")
    wait_for(lambda: "[Approve for prod]" in stage.slack.render(cards(stage)[-1]))

    stale = stage.slack.forge(BEN, value=value_of(first, "approve"), action_id="approve", message_ts=first.ts)

    assert "R-1 stopped being valid at" in told(stale)
    assert "It has all it needs" in approve(stage, BEN, "R-2")
    card(stage, "R-2 · shop/prod: done")
    in_order(stage)


def test_a_request_expires_to_the_click_and_over_a_restart(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, 'expires = "2s"'))
    message = ask(stage)
    value = value_of(message, "approve")
    wait_for(lambda: kinds(stage)[-1:] == ["expired"], 5)
    late = told(stage.slack.forge(BEN, value=value, action_id="approve", message_ts=message.ts))
    assert "R-1 expired at" in late
    assert "0 of 1 approvals. Nothing was run." in late
    shown = card(stage, "R-1 · shop/prod: expired, nothing was run")
    assert "[Approve" not in shown

    told(stage.slack.say(ANA, "/migrate push prod"))
    wait_for(lambda: stage.events("shown")[1:])
    stage.stop_bot()
    wait_for(lambda: False is (stage.cli("show", "R-2", "--json").json["status"] == "waiting"), 5)
    assert kinds(stage, "R-2") == ["requested"]  # no row says so yet, and it is expired all the same
    stage.start_bot()
    card(stage, "R-2 · shop/prod: expired")
    assert kinds(stage, "R-2") == ["requested", "expired"]
    assert refusals(stage) == ["expired"]
    assert not applied(stage)
    in_order(stage)


def test_a_request_that_nobody_could_clear_is_refused_at_once(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    stage.slack.workspace.change_person("Chi", is_restricted=True)

    answer = told(stage.slack.say(ANA, "/migrate push prod"))

    assert "shop/prod needs 2 approvals, but only 1 of @database-owners could give one" in answer
    assert "Add approvers in the configuration" in answer
    assert stage.events("requested") == []
    assert refusals(stage) == ["policy_unsatisfiable"]
    through_the_door = stage.cli("push", "prod", "--json")
    assert (through_the_door.code, through_the_door.json["reason"]) == (3, "policy_unsatisfiable")
    in_order(stage)


def test_a_request_from_the_terminal_that_nobody_could_clear_ends_when_the_bot_picks_it_up(make_stage: Make) -> None:
    stage = small(make_stage, rules(3), start=False)
    assert stage.cli("push", "prod", "--json").json["status"] == "waiting"
    stage.start_bot()

    shown = card(stage, "R-1 · shop/prod: cancelled, nothing was run")

    assert "policy_unsatisfiable: shop/prod needs 3 approvals, but only 2" in shown
    assert kinds(stage) == ["requested", "cancelled"]
    in_order(stage)


@pytest.mark.parametrize("mode", ["show", "extra", "refuse"])
def test_authors_nobody_knows(make_stage: Make, mode: str) -> None:
    stage = small(make_stage, rules(1, f'unknown_authors = "{mode}"'))
    answer = told(stage.slack.say(ANA, "/migrate push prod"))
    if mode == "refuse":
        assert "are by people nobody knows here: Mia." in answer
        assert "[people]" in answer
        assert stage.events("requested") == []
    else:
        shown = card(stage, "[Approve for prod]")
        assert "Unknown author: Mia (not in [people], so perhaps an approver)" in shown
        assert f"Approvals: 0 of {1 if mode == 'show' else 2}" in shown
    in_order(stage)


def test_files_must_have_run_with_the_same_bytes_where_the_policy_says_so(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, 'after = ["dev"]'))
    refused = told(stage.slack.say(ANA, "/migrate push prod"))
    assert "20260101000001_add_notes.sql has not been applied to dev with these bytes" in refused
    assert "push dev" in refused

    assert "R-1 · shop/dev: done" in told(stage.slack.say(ANA, "/migrate push dev"))
    ask(stage)
    assert refusals(stage) == ["not_allowed"]
    stage.migration("20260101000001_add_notes.sql", "create table public.notes (id bigint primary key);\n")
    assert "with these bytes" in told(stage.slack.say(ANA, "/migrate push prod"))
    in_order(stage)


def test_the_same_plan_asked_twice_is_one_request(make_stage: Make) -> None:
    stage = small(make_stage)
    answers = at_once(*(lambda who=who: stage.slack.say(who, "/migrate push prod") for who in (ANA, DEE, ANA)))
    assert all("R-1 is asked for" in one or "R-1 stands already" in one for one in answers)
    assert [one.request for one in stage.events("requested")] == ["R-1"]
    card(stage, "[Approve for prod]")
    assert len(cards(stage)) == 1
    in_order(stage)

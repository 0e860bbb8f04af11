"""Adopting a target: who may ask, what people read, what counts afterwards, and that nothing is changed."""

from collections.abc import Callable
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import GUS
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import thread
from people_talk import told
from people_talk import wait_for
from run_support import at_start

from sandbox.stage import Stage

Make = Callable[..., Stage]

OVERRIDERS = 'overriders = ["U0ANA"]'


@pytest.fixture
def shop(make_stage: Make) -> Stage:
    """A project that was deployed before: prod has 14 migrations that nobody here ran; Ana may ask to adopt it."""
    stage = make_stage(prod=rules(1, OVERRIDERS))
    stage.start_bot()
    return stage


def ask(stage: Stage, who: str = ANA) -> str:
    """Ask and wait for the card with its button."""
    assert stage.slack.say(who, "/migrate adopt prod").says("R-1 is asked for: adopt shop/prod as it is", 60)
    shown = card(stage, "[Approve for prod]", 40)
    assert "adopt shop/prod: waiting for approval" in shown
    return shown


def adopted(stage: Stage) -> dict[str, Any]:
    wait_for(lambda: stage.events("succeeded", "failed", "superseded"), 30)
    [event, _] = stage.events("adopted")  # in the request's stream and in the target's
    return event.data or {}


def test_what_is_there_becomes_the_baseline_that_people_approved(shop: Stage) -> None:
    before = shop.sql("prod", "select version, statements from supabase_migrations.schema_migrations order by 1")

    shown = ask(shop)

    assert "Applied there: 14 migrations" in shown
    assert "Known byte for byte: 14 migrations" in shown
    assert "Last backup" not in shown
    assert "Who ran the 14 applied migrations, when, and who allowed it is not known." in shown
    approve(shop, BEN)
    data = adopted(shop)
    assert len(data["versions"]) == 14
    assert data["differences"] == []
    assert (
        shop.sql("prod", "select version, statements from supabase_migrations.schema_migrations order by 1") == before
    )
    done = card(shop, "adopt shop/prod: done")
    assert "preflight" in done
    assert "not run" not in done  # it has no other step
    assert [event.kind for event in shop.events("started", "backup_proven", "statement_sent")] == ["started", "started"]
    assert shop.cli("show", "R-1", "--json").json["kind"] == "adopt"
    assert "adopt what is there" in shop.cli("history", "prod").out
    in_order(shop)


def test_what_nobody_can_say_is_said_plainly(shop: Stage) -> None:
    shop.sql("prod", "create table public.by_hand (id int primary key)")
    shop.sql(
        "prod", "insert into supabase_migrations.schema_migrations(version, name) values ('20240101000000', 'lost')"
    )
    edited = next(path for path in sorted((shop.repository / "supabase/migrations").iterdir()))
    shop.commit({f"supabase/migrations/{edited.name}": edited.read_text() + "\nselect 1;\n"}, "Edit what ran")

    shown = ask(shop)

    assert "In the history, and no file of the repository: 20240101000000." in shown
    assert f"Edited after it was applied, so the file is not what ran: {edited.name[:14]}." in shown
    assert "cannot be said" in shown  # one row does not say what ran, so nothing can be replayed
    assert "Known byte for byte: 13 migrations" in shown


def test_objects_that_no_migration_made_are_adopted_by_name_and_definition(shop: Stage) -> None:
    shop.sql("prod", "create table public.by_hand (id int primary key)")
    assert "table public.by_hand" in ask(shop)
    approve(shop, BEN)
    assert {one["name"] for one in adopted(shop)["differences"]} >= {"by_hand"}

    found = shop.cli("drift", "prod", "--check", "--json")
    assert found.code == 0, found.out
    assert {one["adopted_by"] for one in found.json["differences"]} == {"R-1"}
    assert found.json["statements"] == []
    assert "that R-1 adopted" in shop.cli("drift", "prod").out
    shop.sql("prod", "alter table public.by_hand add column more text")
    found = shop.cli("drift", "prod", "--check", "--json")
    assert (found.code, found.json["reason"]) == (1, "drift_found")
    later = {one["name"]: one["adopted_by"] for one in found.json["differences"]}
    assert later["by_hand"] is None


def test_what_was_adopted_stands_in_nobodys_way_any_more(shop: Stage) -> None:
    shop.sql(
        "prod", "insert into supabase_migrations.schema_migrations(version, name) values ('20240101000000', 'lost')"
    )
    assert "20240101000000" in told(shop.slack.say(ANA, "/migrate push prod"))
    assert shop.events("requested") == []
    ask(shop)
    approve(shop, BEN)
    assert "20240101000000" in adopted(shop)["rows"]
    assert "It was adopted as it is." in shop.cli("plan", "prod").out
    assert shop.slack.say(ANA, "/migrate push prod").says("R-2 is asked for", 30)


def test_the_same_state_is_not_adopted_twice(shop: Stage) -> None:
    ask(shop)
    approve(shop, BEN)
    adopted(shop)
    assert shop.slack.say(ANA, "/migrate adopt prod").says("nothing has changed there since", 30)


def test_what_we_ran_ourselves_is_not_said_to_be_unknown(make_stage: Make) -> None:
    stage = make_stage(prod=f'approvals = 0\nbackup = "none"\n{OVERRIDERS}')
    assert stage.cli("push", "prod", "--json").json["status"] == "succeeded"
    stage.start_bot()
    assert stage.slack.say(ANA, "/migrate adopt prod").says("adopt shop/prod: done", 60)
    [event, _] = stage.events("adopted")
    assert "Who ran the 14 applied migrations that this log did not see run" in str((event.data or {})["unknown"])


def test_the_whole_of_it_is_in_the_thread_before_anybody_may_approve(shop: Stage) -> None:
    ask(shop)
    root = next(one for one in shop.slack.channel("deploys").messages if "adopt" in shop.slack.render(one))
    assert "All that R-1 stands for" in thread(shop, root)
    [file] = shop.slack.channel("deploys").files
    assert file.name == "R-1.txt"
    content = (file.content or b"").decode()
    assert "From now on these count as known, byte for byte:" in content
    assert content.count("  sha256 ") == 14


def test_a_change_between_the_question_and_the_yes_voids_it(shop: Stage) -> None:
    ask(shop)
    shop.sql("prod", "create table public.meanwhile (id int primary key)")
    answer = approve(shop, BEN)
    assert "this changed: the target's schema" in answer
    assert shop.events("adopted") == []


def test_only_overriders_may_ask(shop: Stage) -> None:
    assert "You may not adopt shop/prod" in told(shop.slack.say(BEN, "/migrate adopt prod"))
    assert "You may not adopt shop/prod" in told(shop.slack.say(DEE, "/migrate adopt prod"))
    assert told(shop.slack.say(GUS, "/migrate adopt prod"))
    assert "names no overriders" in told(shop.slack.say(ANA, "/migrate adopt dev"))
    assert shop.events("requested") == []


def test_who_asks_does_not_decide(shop: Stage) -> None:
    ask(shop)
    assert "cannot decide" in approve(shop, ANA)


def test_the_terminal_does_not_adopt(shop: Stage) -> None:
    ran = shop.cli("adopt", "prod", "--json")
    assert (ran.code, ran.json["reason"]) == (2, "not_at_this_front")


def test_what_was_adopted_counts_as_having_been_there_first(make_stage: Make) -> None:
    """`after` counts what our log adopted there, also where the history itself no longer tells what was run."""
    stage = make_stage(prod=rules(1, OVERRIDERS, 'after = ["dev"]'))
    config = stage.config.read_text().replace("approvals = 0\n", 'approvals = 0\noverriders = ["U0ANA"]\n')
    stage.config.write_text(config)
    stage.start_bot()
    assert stage.slack.say(ANA, "/migrate adopt dev").says("adopt shop/dev: done", 60)
    stage.sql("dev", "update supabase_migrations.schema_migrations set statements = null returning version")
    assert stage.slack.say(ANA, "/migrate push prod").says("R-2 is asked for", 30)


def test_what_somebody_stopped_is_not_adopted_after_its_bot_died(make_stage: Make) -> None:
    stage = make_stage(empty=True, prod=rules(1, OVERRIDERS))
    at_start(stage, "from chaos import crash_at", "crash_at('after step_started 1')")
    stage.start_bot()
    ask(stage)
    stage.slack.click(BEN, "Approve", about="R-1")
    assert stage.bot is not None
    stage.bot.wait(20)
    at_start(stage)

    assert stage.cli("stop", "R-1", "wrong target", "--json").json["status"] == "failed"
    assert stage.events("adopted") == []

"""Undoing in Slack: asked for, approved, run by the bot; and a target that changed between the question and the yes."""

from collections.abc import Callable

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import GUS
from people_talk import approve
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import told
from people_talk import wait_for

from sandbox.stage import Stage

Make = Callable[..., Stage]
FILE = "20260101000001_add_notes.sql"
DOWN = "20260101000001_add_notes.down.sql"


@pytest.fixture
def shop(make_stage: Make) -> Stage:
    """R-1 was pushed and approved: one table is there, with three rows, and the bot runs."""
    stage = make_stage(prod=rules(1, 'rehearsal = "off"'), empty=True)
    stage.migration(FILE, "create table public.notes (id int primary key);\n")
    config = stage.config.read_text()
    stage.config.write_text(config.replace("[people]\n", '[people]\n"ben@acme.example" = "U0BEN"\n'))
    stage.start_bot()
    ask(stage, "push prod", "R-1")
    approve(stage, BEN)
    wait_for(lambda: stage.events("succeeded"), 60, "R-1 did not succeed")
    stage.sql("prod", "insert into public.notes values (1), (2), (3)")
    return stage


def ask(stage: Stage, words: str, number: str, who: str = ANA) -> str:
    """Ask for something and wait for its card with the button; what the card says."""
    answer = stage.slack.say(who, f"/migrate {words}")
    assert answer.says(f"{number} is asked for", 120), answer.texts()
    wait_for(lambda: [one for one in stage.events("shown") if one.request == number], 40)
    wait_for(lambda: "[Approve for prod]" in card(stage, f"{number} · "), 40)
    return card(stage, f"{number} · ")


def is_there(stage: Stage) -> bool:
    return bool(stage.sql("prod", "select to_regclass('public.notes') is not null")[0][0])


def history(stage: Stage) -> int:
    return int(stage.sql("prod", "select count(*) from supabase_migrations.schema_migrations")[0][0])


def test_people_see_the_loss_before_anybody_clicks_and_the_history_follows(shop: Stage) -> None:
    shown = shop.slack.say(ANA, "/migrate rollback R-1")
    assert shown.says("R-1 on shop/prod can be undone in 1 way", 120), shown.texts()
    text = "\n".join(shown.texts())
    assert "Table public.notes goes with 3 rows." in text
    assert "DROP TABLE public.notes" in text
    assert "rollback R-1 --with inverse" in text
    assert [one.request for one in shop.events("requested")] == ["R-1"]  # looking asks for nothing

    asked = ask(shop, "rollback R-1 --with inverse", "R-2")

    assert "undo R-1 on shop/prod" in asked
    assert "Table public.notes goes with 3 rows." in asked
    assert "the very hash that R-1 found" in asked
    assert f"drop-table in {FILE.removesuffix('.sql')}.undo.sql, line 5: Drops table public.notes" in asked
    assert "safe way" not in asked  # which is advice for whoever writes a migration
    assert "cannot" in approve(shop, ANA, "R-2")
    assert is_there(shop)
    approve(shop, BEN, "R-2")
    wait_for(lambda: len(shop.events("succeeded")) == 4, 60, "R-2 did not succeed")  # in two streams each
    assert (is_there(shop), history(shop)) == (False, 0)
    [undone] = shop.events("migration_undone")
    assert (undone.request, (undone.data or {})["version"]) == ("R-2", FILE[:14])
    assert "undo R-1 on shop/prod: done" in card(shop, "undo R-1 on shop/prod: done", 40)

    ask(shop, "push prod", "R-3")
    approve(shop, BEN, "R-3")
    wait_for(lambda: len(shop.events("succeeded")) == 6, 60, "R-3 did not succeed")
    assert (is_there(shop), history(shop)) == (True, 1)
    in_order(shop)


def test_one_way_to_undo_a_request_waits_at_a_time_whoever_asked(shop: Stage) -> None:
    ask(shop, "rollback R-1 --with inverse", "R-2")
    shop.commit({f"supabase/rollbacks/{DOWN}": "drop table public.notes;"}, "Down", author="Chi")
    ask(shop, "rollback R-1 --with script", "R-3", BEN)
    assert "R-3 was asked for instead, which undoes R-1 too" in card(shop, "no longer holds")
    assert [one.request for one in shop.events("superseded")] == ["R-2"]


def test_a_change_between_the_question_and_the_yes_voids_it(shop: Stage) -> None:
    ask(shop, "rollback R-1 --with inverse", "R-2")
    shop.sql("prod", "alter table public.notes add column body text")
    assert "this changed: the target's schema" in approve(shop, BEN, "R-2")
    assert (is_there(shop), history(shop)) == (True, 1)


def test_rows_written_between_the_question_and_the_yes_are_not_lost(shop: Stage) -> None:
    """The card said three rows; whoever agreed, agreed to those."""
    assert "Table public.notes goes with 3 rows." in ask(shop, "rollback R-1 --with inverse", "R-2")
    shop.sql("prod", "insert into public.notes select generate_series(100, 1099)")
    approve(shop, BEN, "R-2")
    wait_for(lambda: shop.events("superseded"), 60, "R-2 was not given up")
    assert shop.sql("prod", "select count(*) from public.notes") == [(1003,)]
    changed = (shop.events("superseded")[-1].data or {})["changed"]
    assert changed == ["what goes with public.notes (1,003 rows, where people were told of 3)"]
    in_order(shop)


def test_who_wrote_the_reverse_script_does_not_approve_it(shop: Stage) -> None:
    shop.commit({f"supabase/rollbacks/{DOWN}": "drop table public.notes;"}, "Down", author="Ben")
    asked = ask(shop, "rollback R-1 --with script", "R-2")
    assert DOWN in asked
    assert "You wrote a commit that R-2 runs" in approve(shop, BEN, "R-2")
    assert is_there(shop)


def test_who_may_not_ask_for_a_push_is_shown_nothing(shop: Stage) -> None:
    assert "can be undone" not in told(shop.slack.say(GUS, "/migrate rollback R-1"))

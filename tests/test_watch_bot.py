"""The watch as people see it: on the card, in the thread, across a bot that dies, and beside the next push."""

import signal
import time
from collections.abc import Callable

from people_talk import BEN
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import rules
from people_talk import small
from people_talk import thread
from people_talk import wait_for
from run_support import session

from audit import Reader
from ops.requests import Request
from ops.requests import find_request
from sandbox.stage import Stage

Make = Callable[..., Stage]
CHECK = """
[[projects.shop.environments.prod.health]]
name = "no alarm rings"
sql = "select count(*) = 0 from public.alarms"
"""


def pushed(make_stage: Make, lasts: str, more: str = "") -> Stage:
    """A stage on whose prod R-1 has just ended, and which is watched for so long."""
    stage = small(make_stage, prod=rules(1, f'watch = "{lasts}"') + "\n" + more)
    stage.sql("prod", "create table public.alarms (id int primary key)")
    ask(stage)
    approve(stage, BEN)
    wait_for(lambda: request_of(stage).is_over, 30)
    return stage


def request_of(stage: Stage, number: int = 1) -> Request:
    return find_request(Reader(stage.log_path), f"R-{number}")


def outcome(stage: Stage, number: int = 1) -> dict[str, object]:
    """How the watch ended, once it has."""
    wait_for(lambda: "outcome" in (request_of(stage, number).watch or {}), 40, "the watch did not end")
    return dict(request_of(stage, number).watch or {})


def test_a_calm_watch_ends_on_the_card(make_stage: Make) -> None:
    stage = pushed(make_stage, "4s")
    assert "nothing worse so far." in card(stage, "watched until")
    assert outcome(stage)["outcome"] == "nothing_worse"
    shown = card(stage, "watched 4 s")
    assert shown.splitlines()[0] == "== R-1 · shop/prod: done =="
    assert "Next: nothing to do; watched 4 s, nothing worse than before." in shown
    assert "Rollback" not in shown
    assert "worse than before" not in thread(stage, cards(stage)[0])
    in_order(stage)


def test_what_is_worse_is_on_the_card_and_in_the_thread_before_the_watch_ends(make_stage: Make) -> None:
    stage = pushed(make_stage, "60s", CHECK)
    stage.sql("prod", "insert into public.alarms values (1)")
    shown = card(stage, "R-1 · shop/prod: done, and worse than before")
    assert "health check: no alarm rings: expected one row with one true, got 1 row; before: it held" in shown
    assert (
        "Next: look at the application. /migrate rollback R-1 shows the ways back, and what each would lose." in shown
    )
    assert "[Rollback: see the ways back]" in shown
    assert stage.events("watched") == []
    wait_for(lambda: "Since R-1, shop/prod is worse than before" in thread(stage, cards(stage)[0]))
    assert len(stage.events("watch_worsened")) == 1
    in_order(stage)


def test_a_killed_bot_goes_on_watching_for_the_rest_of_the_time(make_stage: Make) -> None:
    stage = pushed(make_stage, "10s")
    wait_for(lambda: len(stage.events("watch_sampled")) >= 4)
    stage.stop_bot(signal.SIGKILL)
    before = len(stage.events("watch_sampled"))
    stage.start_bot()
    found = outcome(stage)
    assert (found["outcome"], found["watched_seconds"]) == ("nothing_worse", 10)
    assert len(stage.events("watch_sampled")) >= before + 4
    assert [event.kind for event in stage.events("watch_began", "watched")] == ["watch_began", "watched"]
    in_order(stage)


def test_what_began_before_the_bot_was_killed_counts_afterwards(make_stage: Make) -> None:
    stage = pushed(make_stage, "12s", CHECK)
    wait_for(lambda: stage.events("watch_sampled"))
    stage.stop_bot(signal.SIGTERM)
    stage.sql("prod", "insert into public.alarms values (1)")
    stage.start_bot()
    assert outcome(stage)["outcome"] == "worse"
    assert "[worse] " in stage.cli("show", "R-1").out
    in_order(stage)


def test_a_bot_that_comes_back_too_late_says_that_the_watch_was_cut_short(make_stage: Make) -> None:
    stage = small(make_stage, prod=rules(1, 'watch = "60s"'), movable_clock=True)
    ask(stage)
    approve(stage, BEN)
    wait_for(lambda: len(stage.events("watch_sampled")) >= 2, 30)
    stage.stop_bot(signal.SIGKILL)
    assert stage.clock is not None
    stage.clock.forward(3 * 3600)
    stage.start_bot()
    found = outcome(stage)
    assert (found["outcome"], found["because"]) == ("cut_short", "the bot was not up")
    shown = card(stage, "the bot was not up")
    assert " s of 1 min, nothing worse than before in that time; then the bot was not up" in shown
    in_order(stage)


def test_the_next_push_does_not_wait_and_ends_the_watch_of_the_one_before(make_stage: Make) -> None:
    stage = pushed(make_stage, "10m")
    wait_for(lambda: stage.events("watch_sampled"))
    stage.migration("20260101000002_more.sql", "create table public.more (id int primary key);\n")
    began = time.monotonic()
    ask(stage)
    approve(stage, BEN, "R-2")
    wait_for(lambda: request_of(stage, 2).is_over, 30)
    assert time.monotonic() - began < 60
    assert request_of(stage, 2).status.value == "succeeded"
    found = outcome(stage)
    assert (found["outcome"], found["because"]) == ("cut_short", "R-2 began there")
    assert " of 10 min, nothing worse than before in that time; then R-2 began there." in card(stage, "then R-2 began")
    assert "watched until" in card(stage, "R-2 · shop/prod: done")
    in_order(stage)


def test_a_watch_holds_no_lock_and_no_transaction_on_its_target(make_stage: Make) -> None:
    stage = pushed(make_stage, "60s")
    wait_for(lambda: len(stage.events("watch_sampled")) >= 2)
    held = stage.sql("prod", "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from "
                             "pg_database where datname = current_database())")  # fmt: skip
    assert held == [(0,)]
    ours = stage.sql("prod", "select count(*) from pg_stat_activity where application_name like 'countersign watch%' "
                             "and state like 'idle in transaction%'")  # fmt: skip
    assert ours == [(0,)]
    with session(stage, "prod") as other:
        other.execute("set lock_timeout = '200ms'")
        other.execute("alter table public.notes add column quick int")

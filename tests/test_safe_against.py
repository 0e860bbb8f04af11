"""What must not let anything through: groups that change after the yes, an id of another workspace, storms, floods."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import applied
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import told
from people_talk import value_of
from people_talk import wait_for
from slack_rules import unsaid

from audit import Log
from audit import Reader
from bot.floods import MOST
from bot.floods import Entry
from bot.floods import Floods
from ops.people import Actor
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import Answer
from sandbox.slack_workspace import UserGroup
from sandbox.stage import Stage

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A bot, one pending migration that no test of this module lets run, and one person who has to say yes."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True, prod=rules(1)) as stage:
        stage.migration("20260101000001_add_notes.sql", "create table public.notes (id int primary key);\n")
        stage.start_bot()
        yield stage
        assert not applied(stage)
        in_order(stage)
        assert unsaid(stage.slack.posts()) == []


def number_of(stage: Stage) -> str:
    return str(stage.events("requested")[-1].request)


def cancel(stage: Stage) -> None:
    number = number_of(stage)
    assert stage.cli("cancel", number, "--json").code == 0
    card(stage, f"{number} · shop/prod: cancelled")


def approved_and_locked(stage: Stage) -> str:
    """A request with its yes, which waits for a lock to end; its number."""
    ask(stage)
    told(stage.slack.say(DEE, "/migrate lock prod 1h a look at the disks"))
    approve(stage, BEN, number_of(stage))
    return number_of(stage)


def test_who_leaves_the_group_between_the_click_and_the_run_starts_nothing(world: Stage) -> None:
    number = approved_and_locked(world)
    world.slack.workspace.leave_group("Ben", "database-owners")
    told(world.slack.say(DEE, "/migrate unlock prod"))

    card(world, "(no longer counts)")
    settled(world)

    assert kinds(world, number) == ["requested", "approved"]
    assert not applied(world)
    world.slack.workspace.join_group("Ben", "database-owners")
    cancel(world)


def test_a_handle_that_another_group_took_between_the_click_and_the_run_starts_nothing(world: Stage) -> None:
    """Ben is in both groups: only the id of the group tells them apart."""
    number = approved_and_locked(world)
    workspace = world.slack.workspace
    workspace.rename_group("database-owners", "old-owners")
    workspace.groups["S0NEW"] = UserGroup("S0NEW", "database-owners", (BEN, CHI))
    told(world.slack.say(DEE, "/migrate unlock prod"))

    wait_for(lambda: f"request_paused request={number}" in world.bot_log.read_text())
    settled(world)

    assert kinds(world, number) == ["requested", "approved"]
    assert not applied(world)
    del workspace.groups["S0NEW"]
    told(world.slack.say(DEE, "/migrate lock prod 1h"))
    workspace.rename_group("old-owners", "database-owners")
    cancel(world)
    told(world.slack.say(DEE, "/migrate unlock prod"))


def from_elsewhere(stage: Stage, answer: Answer, **more: Any) -> Answer:
    """The same act as a second workspace would send it in which somebody has the same id."""
    payload: dict[str, Any] = {**answer.payload, "trigger_id": f"{time.monotonic_ns()}.2.second", **more}
    return stage.slack.again(replace(answer, payload=payload))


def test_the_same_user_id_in_a_second_workspace_is_somebody_else(world: Stage) -> None:
    message = ask(world)
    number = number_of(world)
    before = len(world.events("approved"))
    value = value_of(message, "approve")
    stale = f"approve {number} {'0' * 16}"
    click = world.slack.forge(BEN, value=stale, action_id="approve", message_ts=message.ts)
    assert "That is not the plan" in told(click)
    action = {**click.payload["actions"][0], "value": value}
    team = {"id": "T0SECOND", "domain": "second"}
    user = {**click.payload["user"], "team_id": "T0SECOND"}

    clicked = from_elsewhere(world, click, user=user, team=team, actions=[action])
    typed = world.slack.say(BEN, f"/migrate show {number}")
    assert number in told(typed)
    said = from_elsewhere(world, typed, team_id="T0SECOND", text=f"reject {number} because")

    for _ in (clicked, said):
        wait_for(lambda: refusals(world)[-2:] == ["not_a_member", "not_a_member"])
    refused = world.events("refused")[-2:]
    assert {one.actor for one in refused} == {"slack:T0SECOND/U0BEN"}
    assert {(one.data or {})["message"] for one in refused} == {
        "You cannot use Countersign here: you belong to another workspace."
    }
    assert len(world.events("approved")) == before
    assert kinds(world, number) == ["requested"]
    cancel(world)


def test_a_card_that_somebody_edited_counts_for_nothing_but_the_plan_it_was_made_for(world: Stage) -> None:
    message = ask(world)
    number, before = number_of(world), len(refusals(world))
    value = value_of(message, "approve")
    for changed in (
        f"approve {number} {'0' * 16}",
        value.replace(number, "R-1"),
        "approve",
        value.replace("approve", "stop"),
    ):
        blocks = json.loads(json.dumps(message.blocks).replace(value, changed))
        edited = world.slack.state.put(replace(message, blocks=tuple(blocks)))
        told(world.slack.click_message(BEN, edited, "Approve"))
    assert refusals(world)[before:] == ["stale_card", "stale_card", "forged_value", "forged_value"]
    assert kinds(world, number) == ["requested"]
    assert number != "R-1"
    cancel(world)


def test_a_storm_of_rate_limits_loses_nothing_and_does_not_ask_all_the_time(world: Stage) -> None:
    message = ask(world)
    number = number_of(world)
    before = len(world.slack.calls)
    world.slack.faults.always = 429
    began = time.monotonic()
    clicks = [world.slack.click_message(BEN, message, "Approve")]
    assert world.cli("cancel", number, "--json").code == 0
    clicks += [world.slack.click_message(who, message, "Approve") for who in (CHI, DEE, CHI, DEE)]
    assert [one.error for one in clicks] == [None] * 5  # the acknowledgement needs nothing of Slack
    time.sleep(2.0)
    world.slack.faults.always = None
    seconds = time.monotonic() - began
    asked = len(world.slack.calls) - before

    card(world, f"{number} · shop/prod: cancelled", 40)
    assert asked / seconds < 40
    assert kinds(world, number) == ["requested", "cancelled"]
    wait_for(lambda: world.slack.say(ANA, "/migrate status").error is None)


def test_a_flood_of_refused_clicks_is_counted_in_one_event_and_others_are_served(world: Stage) -> None:
    message = ask(world)
    value = value_of(message, "approve")
    wait_for(lambda: not unanswered(world))
    before = len(world.events())

    def press(_: int) -> Answer:
        return world.slack.forge(DEE, value=value, action_id="approve", message_ts=message.ts)

    with ThreadPoolExecutor(4) as pool:
        flood = list(pool.map(press, range(150)))
    assert [one.error for one in flood] == [None] * 150
    wait_for(lambda: not unanswered(world))
    assert len(world.events()) - before <= 3 * MOST
    hers = [one for one in world.events("clicked") if one.actor.endswith(DEE)]
    assert len(hers) <= MOST + 5  # those of the storm above
    read = [one for answer in flood for one in answer.texts()]
    assert sum("Your clicks are not looked at for a minute" in one for one in read) == 1
    assert "That is not the plan" in told(
        world.slack.forge(
            CHI, value=f"approve {number_of(world)} {'0' * 16}", action_id="approve", message_ts=message.ts
        )
    )

    world.stop_bot()
    counted = [one for one in world.events("refused") if (one.data or {})["reason"] == "flooded"]
    assert [one.actor for one in counted] == [f"slack:T0ACME/{DEE}"]
    facts = (counted[0].data or {})["facts"]
    assert facts["count"] + len([one for one in hers if one.seq > before]) == 150
    world.start_bot()
    assert "may not" in told(press(0)) or "not one of those" in told(press(0))  # a new life looks at her clicks again


def unanswered(stage: Stage) -> set[str]:
    asked = {one.id for one in stage.events("commanded", "clicked") if one.actor.startswith("slack:")}
    return asked - {(one.data or {})["to"] for one in stage.events("answered")}


# --- the count of a flood ------------------------------------------------------------------------------


BEN_ACTS, DEE_ACTS = Actor("slack:T0ACME/U0BEN"), Actor("slack:T0ACME/U0DEE")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    Log.create(tmp_path / "audit.db")
    with Log.open(tmp_path / "audit.db") as found:
        yield found


def test_clicks_that_are_answered_well_never_fill_the_count(log: Log) -> None:
    floods = Floods(log, lambda: NOW)
    for number in range(10 * MOST):
        assert floods.take(f"{number}", BEN_ACTS) is Entry.TAKEN
        floods.answered(f"{number}", BEN_ACTS, refused=False)
    floods.close()


def test_refused_clicks_fill_it_for_one_person_until_the_flood_is_written_down(log: Log) -> None:
    floods = Floods(log, lambda: NOW, shut_seconds=0.2)
    for number in range(MOST):
        assert floods.take(f"{number}", DEE_ACTS) is Entry.TAKEN
        floods.answered(f"{number}", DEE_ACTS, refused=True)
    assert [floods.take(f"more {number}", DEE_ACTS) for number in range(3)] == [
        Entry.TOLD,
        Entry.COUNTED,
        Entry.COUNTED,
    ]
    assert floods.take("another", BEN_ACTS) is Entry.TAKEN

    written = threading.Event()
    log.subscribe(lambda _: written.set())
    assert written.wait(10)
    [event] = Reader(log.path).since(0, 10)
    facts = {"count": 3, "since": NOW.isoformat(), "until": NOW.isoformat()}
    assert (event.kind, event.actor, (event.data or {})["facts"]) == ("refused", DEE_ACTS.id, facts)
    assert floods.take("later", DEE_ACTS) is Entry.TAKEN


def test_clicks_that_nobody_has_answered_yet_count_as_well(log: Log) -> None:
    floods = Floods(log, lambda: NOW)
    taken = [floods.take(f"{number}", DEE_ACTS) for number in range(MOST + 1)]
    assert taken == [Entry.TAKEN] * MOST + [Entry.TOLD]
    floods.close()

"""What comes in from Slack and is not as Slack sends it: acknowledged, told, and nobody's word but who is proven."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people_talk import ANA
from people_talk import in_order
from people_talk import refusals
from people_talk import small
from people_talk import told
from people_talk import wait_for

from audit import Log
from audit import Query
from audit import Reader
from bot.floods import Floods
from bot.intake import Act
from bot.intake import Intake
from bot.intake import act_id
from bot.intake import actor_of
from ops.layer import utc_now
from ops.people import Actor
from sandbox.stage import Stage

Make = Callable[..., Stage]

NOBODIES = [
    ("T1", ""),
    ("T1", "U1/../x y"),
    ("T1", "U1\n"),
    ("T1", "u1"),
    ("T1", "B1"),
    ("T1", None),
    ("T1", ["U1"]),
    ("", "U1"),
    ("T1\n", "U1"),
    ("T1/U2", "U1"),
    (None, "U1"),
    (7, 7),
]


@pytest.mark.parametrize(("team", "user"), NOBODIES)
def test_who_has_no_proper_ids_is_nobody(team: Any, user: Any) -> None:
    assert actor_of(team, user) == Actor("system:nobody")


@pytest.mark.parametrize(("team", "user"), [("T0ACME", "U0ANA"), ("E1", "W1")])
def test_who_has_proper_ids_is_themselves(team: str, user: str) -> None:
    assert actor_of(team, user) == Actor(f"slack:{team}/{user}")


@pytest.mark.parametrize("given", [None, "", 7, {}, "x" * 300, "a b", "1.2.\ud800", "1.2/3"])
def test_an_odd_id_of_an_act_is_replaced_by_one_of_ours(given: Any) -> None:
    assert act_id("123.T0ACME.ab") == "slack:123.T0ACME.ab"
    assert act_id(given) != act_id(given)


@pytest.mark.parametrize(
    ("marks", "actor"),
    [
        ({}, "slack:T0ACME/U0BEN"),
        ({"bot_id": "B0ZAP"}, "system:nobody"),
        ({"app_id": "A0ZAP"}, "system:nobody"),
        ({"subtype": "bot_message"}, "system:nobody"),
    ],
    ids=["typed", "by a bot", "by an app with his token", "of another kind"],
)
def test_what_an_app_posts_in_somebodys_name_is_nobodys(tmp_path: Path, marks: dict[str, str], actor: str) -> None:
    event = {"user": "U0BEN", "team": "T0ACME", "text": "<@U0BOT> approve R-7", "channel": "C1", **marks}
    handed: list[Act] = []

    async def ack(**_: Any) -> None:
        pass

    Log.create(tmp_path / "audit.db")
    with Log.open(tmp_path / "audit.db") as log:
        intake = Intake(log, handed.append, lambda _: None, lambda _: {}, Floods(log, utc_now))
        asyncio.run(intake.on_mention(ack, {"event_id": "Ev1", "team_id": "T0ACME"}, event))
        [kept] = Reader(log.path).find(Query(kinds=("commanded",)))
    assert [act.actor.id for act in handed] == [kept.actor] == [actor]


def test_a_command_that_is_no_object_is_acknowledged_with_a_sentence(make_stage: Make) -> None:
    stage = small(make_stage)
    sent: list[Any] = ["push prod", ["push"], None, 7, {}, {"text": "push prod"}]
    for payload in sent:
        delivery = stage.slack.deliver("slash_commands", payload)
        assert delivery.error is None
        assert delivery.payload["text"].startswith("What Slack sent is not a command that Countersign can read")
    assert stage.events("commanded") == []
    assert stage.bot_log.read_text().count("command_malformed") == len(sent)
    in_order(stage)


def test_a_command_of_nobody_does_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    payload = {**stage.slack.say(ANA, "/migrate status").payload, "user_id": "U0ANA/../x y", "trigger_id": "1.2.3"}
    delivery = stage.slack.deliver("slash_commands", {**payload, "text": "push prod"})
    assert delivery.error is None
    wait_for(lambda: refusals(stage) == ["identity_unproven"])
    assert stage.events("commanded")[-1].actor == "system:nobody"

    # nor does a mention that an app posted with somebody's token
    channel = stage.slack.workspace.channel("deploys").id
    mention = {"type": "app_mention", "user": ANA, "text": "<@U0COUNTER> push prod", "ts": "1.1", "channel": channel}
    stage.slack.event({**mention, "team": "T0ACME", "bot_id": "B0ZAP", "app_id": "A0ZAP"}, ANA)
    wait_for(lambda: refusals(stage) == ["identity_unproven"] * 2)
    assert stage.events("commanded")[-1].actor == "system:nobody"
    assert stage.events("requested") == []


def test_half_a_character_is_no_alarm_about_the_log(make_stage: Make) -> None:
    stage = small(make_stage)
    answer = told(stage.slack.say(ANA, "/migrate psuh \ud83d"))
    assert "Did you mean `push`?" in answer
    assert (stage.events("commanded")[-1].data or {})["text"] == "psuh \N{REPLACEMENT CHARACTER}"
    in_order(stage)

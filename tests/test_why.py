"""`why` and `simulate`: the rules of a run, met or missing, and what would be so; threads, forms and typed confirmation."""

from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import approve
from people_talk import ask
from people_talk import in_order
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for

from ops.errors import OpsError
from ops.moments import moment_of
from sandbox.stage import Stage

Make = Callable[..., Stage]
NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)  # a Monday

MOMENTS = {
    "17:00": "2026-11-23 17:00",
    "16:00": "2026-11-24 16:00",
    "Fri 17:00": "2026-11-27 17:00",
    "friday 9:05": "2026-11-27 09:05",
    "Mon 16:00": "2026-11-30 16:00",
    "mon 17:00": "2026-11-23 17:00",
    "tomorrow 09:00": "2026-11-24 09:00",
    "tomorrow 00:30 Pacific/Auckland": "2026-11-24 11:30",
    "Sat 09:00 America/New_York": "2026-11-28 14:00",
    "2027-07-01 12:00 Europe/London": "2027-07-01 11:00",
    "2026-11-27T17:00 utc": "2026-11-27 17:00",
    "in 2h": "2026-11-23 18:30",
}
NO_MOMENTS = [
    "",
    "soon",
    "Fri",
    "25:00",
    "Fri 17:60",
    "2026-02-30 10:00",
    "today 09:00",
    "2020-01-01 10:00",
    "17:00 EST",
    "17:00 ../../etc/passwd",
    "in a while",
    "in 99999999d",
    "2027-03-28 01:30 Europe/London",  # never comes
    "2027-10-31 01:30 Europe/London",  # comes twice
]


@pytest.mark.parametrize("said", MOMENTS)
def test_a_moment_is_the_next_one_that_is_meant(said: str) -> None:
    assert f"{moment_of(said, NOW):%Y-%m-%d %H:%M}" == MOMENTS[said]


@pytest.mark.parametrize("said", NO_MOMENTS)
def test_what_is_no_moment_to_come_is_refused_with_an_example(said: str) -> None:
    with pytest.raises(OpsError, match=r"moment|length of time|is past") as caught:
        moment_of(said, NOW)
    assert "Fri 17:00" in caught.value.hint


def json_of(stage: Stage, *words: str) -> dict[str, Any]:
    """What a program reads at the terminal."""
    found = stage.cli(*words, "--json").json
    assert found["ok"] is True, found
    return found


def test_why_and_simulate_say_what_the_click_and_the_run_then_do(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    ask(stage)
    slack, hour = stage.slack, f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:%M}"

    said = told(slack.say(DEE, "/migrate why R-1"))
    assert "R-1 on shop/prod does not run yet: 1 rule not met" in said
    assert "missing  approvals: R-1 has 0 of 2 approvals that count now.\n" in said
    assert "approvers: 0 of 2." in said
    assert "2 more yeses, of @Ben, @Chi." in said, "who could still say yes is named"
    assert "Nobody has locked shop/prod." in said

    before = len(stage.events())
    enough = json_of(stage, "simulate", "R-1", "--approve", BEN, CHI, "--at", hour)
    assert enough["may_start"] is True
    assert [one["counts"] for one in enough["supposed"]] == [True, True]
    written = {one.kind for one in stage.events()[before:]}
    assert written <= {"commanded", "answered"}, "a simulation decides nothing"

    text = told(slack.say(DEE, "/migrate simulate R-1 --approve @ben @Ana @Dee --at “in 1h”"))
    assert "Supposed only: R-1 on shop/prod would not start" in text
    assert "@Ben: the yes would count." in text
    assert "@Ana: would be told: You requested R-1, so you cannot decide on it." in text
    assert "@Dee: would be told: You are not one of those who may approve R-1." in text
    assert "1 more yes, of @Chi." in text
    assert "Nothing was decided or written." in text
    late = told(slack.say(DEE, "/migrate simulate R-1 @ben @chi --at “in 3d”"))
    assert "R-1 expired at" in late
    friday = told(slack.say(DEE, "/migrate simulate R-1 --at Fri 17:00 Europe/London @ben"))
    assert "@Ben: " in friday
    nobody = told(slack.say(DEE, "/migrate simulate R-1 --approve @nobody"))
    assert "Nobody of those who may approve R-1 is called '@nobody'." in nobody
    for group in ("@database-owners", "<!subteam^S0OWNERS>"):
        team = told(slack.say(DEE, f"/migrate simulate R-1 --approve {group}"))
        assert "@database-owners is a group, and it is people who say yes." in team
        assert "Name those who would: " in team

    approve(stage, BEN)
    half = json_of(stage, "why", "R-1")
    assert (half["may_start"], half["status"]) == (False, "waiting")
    gates = {gate["name"]: gate for gate in half["gates"]}
    assert [gates[name]["open"] for name in ("waiting", "approvals", "target", "lock")] == [True, False, True, True]
    assert gates["approvals"]["parts"][0]["facts"]["people"] == [BEN]
    slack.fail("usergroups.list", "internal_error")
    unasked = told(slack.say(DEE, "/migrate why R-1"))
    assert "missing  approvals: The log has 1 of 2 people's yes, but whether they count now is not known" in unasked
    assert "@Ben: would be told: You approved R-1 at" in told(slack.say(DEE, "/migrate simulate R-1 @ben"))
    told(slack.say(ANA, "/migrate lock prod for 2h an import"))
    locked = json_of(stage, "simulate", "R-1", "--approve", CHI)
    assert (locked["may_start"], locked["opens_at"] is not None) == (False, True)
    assert json_of(stage, "simulate", "R-1", "--approve", CHI, "--at", "in 3h")["may_start"] is True
    told(slack.say(ANA, "/migrate unlock prod"))
    told(slack.click(CHI, "Approve", about="R-1"))
    wait_for(lambda: stage.events("succeeded"))
    done = told(slack.say(DEE, "/migrate why R-1"))
    assert "R-1 was done at" in done
    assert "@Chi at" in done
    in_order(stage)


def test_in_a_thread_by_shortcut_and_by_form_people_get_what_typing_gives(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, 'confirm = "type"'))
    card, slack = ask(stage), stage.slack

    for words, expected in {
        "why": "R-1 on shop/prod does not run yet",
        "show": "Main events",
        "status": "1 request",
    }.items():
        answer = slack.mention(DEE, "deploys", words, thread_ts=card.ts)
        assert expected in told(answer)
        assert {(one.only_for, one.thread_ts) for one in answer.messages()} == {(DEE, card.ts)}
    assert "`why` needs a request" in told(slack.mention(DEE, "deploys", "why"))
    assert [(one.data or {})["thread"] for one in stage.events("commanded")][-4:] == [card.ts] * 3 + [None]

    reply = slack.channel("deploys").thread(card.ts)[0]
    for message in (card, reply):
        shown = slack.shortcut(DEE, message)
        assert "Main events" in told(shown)
        assert all(one.only_for == DEE for one in shown.messages())

    assert slack.say(DEE, "/migrate").error is None
    wait_for(lambda: slack.modal(DEE))
    form = slack.modal(DEE)
    assert form is not None
    answer = slack.submit(DEE, form, {"environment": "shop/prod", "word": "plan"})
    assert "Plan for shop/prod: 1 migration pending" in told(answer)
    assert (stage.events("commanded")[-1].data or {})["text"] == "plan shop/prod"
    slack.fail("views.open", "internal_error")
    assert "Countersign: what people approve is what runs" in told(slack.say(DEE, "/migrate"))
    in_order(stage)


def test_with_confirm_type_a_yes_takes_the_environments_name(make_stage: Make) -> None:
    stage = small(make_stage, rules(2, 'confirm = "type"'))
    card, slack = ask(stage), stage.slack
    value = next(one for block in card.blocks for one in block.get("elements", []) if one.get("action_id") == "approve")

    told_dee = told(slack.click(DEE, "Approve", about="R-1"))
    assert "You are not one of those who may approve R-1." in told_dee
    assert slack.modal(DEE) is None, "no form for whose yes cannot count"
    slack.click(BEN, "Approve", about="R-1")
    wait_for(lambda: slack.modal(BEN))
    form = slack.modal(BEN)
    assert form is not None
    assert form.body["callback_id"] == "approve"
    assert form.body["private_metadata"] == value["value"]
    assert "R-1: Run 1 migration on shop/prod?" in slack.render(form)
    assert "confirm" not in value, "one question is enough"
    for wrong in ("dev", "shop", "prod; dev", "   "):
        answer = slack.submit(BEN, form, {"environment": wrong})
        assert "environment" in answer.errors, wrong
    assert slack.modal(BEN) is not None
    assert stage.events("approved") == []
    again = slack.again(slack.submit(BEN, form, {"environment": " Prod "}))
    assert again.error is None
    wait_for(lambda: stage.events("approved"))
    assert (stage.events("approved")[0].data or {})["facts"]["typed"] == "prod"
    prefix = value["value"].split()[-1]
    assert "takes the name of its environment, typed: prod." in told(slack.say(CHI, f"/migrate approve R-1 {prefix}"))
    assert "It has all it needs" in told(slack.say(CHI, f"/migrate approve R-1 {prefix} prod"))
    wait_for(lambda: stage.events("succeeded"))
    settled(stage)
    assert refusals(stage) == ["not_an_approver", *["not_confirmed"] * 4]
    assert len(stage.events("approved")) == 2
    in_order(stage)


def test_what_opens_after_the_request_has_expired_is_not_promised(make_stage: Make) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=3):%a}"
    stage = small(make_stage, rules(1, f'windows = ["{day} 09:00-10:00 UTC"]'))
    ask(stage)
    said = told(stage.slack.say(DEE, "/migrate simulate R-1 @ben"))
    assert "Next: it expires" in said
    assert "before it may start" in said
    assert "starts by itself" not in said

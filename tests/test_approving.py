"""Approvals: who decides, on what, when, how often; two people at one instant; what changed meanwhile; time's end."""

from collections.abc import Callable
from dataclasses import replace

from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import applied
from people_talk import approve
from people_talk import ask
from people_talk import at_once
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import value_of
from people_talk import wait_for

from audit import Draft
from audit import Log
from sandbox.stage import Stage

Make = Callable[..., Stage]


def test_two_different_people_have_to_agree(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    ask(stage)

    assert "Your approval of R-1 is recorded. 1 more needed." in approve(stage, BEN)
    card(stage, "Approvals: 1 of 2 · @Ben")
    again = approve(stage, BEN)
    assert "You approved R-1 at" in again
    assert "1 more needed." in again
    assert not applied(stage)
    assert "It has all it needs and starts." in approve(stage, CHI)

    card(stage, "R-1 · shop/prod: done")
    assert applied(stage)
    assert kinds(stage) == ["requested", "approved", "approved", "started", "succeeded"]
    assert [(one.data or {})["number"] for one in stage.events("approved")] == [1, 2]
    assert refusals(stage) == ["already_approved"]
    in_order(stage)


def test_of_two_approvers_at_one_instant_one_is_enough_and_both_are_answered(make_stage: Make) -> None:
    stage = small(make_stage)
    message = ask(stage)

    answers = at_once(*(lambda who=who: stage.slack.click_message(who, message, "Approve") for who in (BEN, CHI)))

    assert sorted("is recorded. It has all it needs and starts." in one for one in answers) == [False, True]
    assert any("so yours is not needed" in one or "R-1 is " in one for one in answers)
    card(stage, ": done")
    assert kinds(stage) == ["requested", "approved", "started", "succeeded"]
    assert refusals(stage) == ["already_decided"]
    in_order(stage)


def test_of_two_approvers_at_one_instant_both_count_where_two_are_needed(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    message = ask(stage)

    answers = at_once(*(lambda who=who: stage.slack.click_message(who, message, "Approve") for who in (BEN, CHI)))

    assert all("Your approval of R-1 is recorded." in one for one in answers)
    card(stage, ": done")
    assert kinds(stage) == ["requested", "approved", "approved", "started", "succeeded"]
    in_order(stage)


def test_double_clicks_replays_and_late_clicks_have_one_outcome(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    message = ask(stage)
    stage.slack.deliver_twice = True
    first = stage.slack.click(BEN, "Approve", about="R-1")
    assert "1 more needed." in told(first)
    stage.slack.deliver_twice = False
    stage.slack.again(first)
    settled(stage)
    assert len(first.messages()) == 1

    answers = at_once(*[lambda: stage.slack.click_message(CHI, message, "Approve")] * 3)
    assert sum("is recorded" in one for one in answers) == 1
    card(stage, ": done")
    late = stage.slack.forge(CHI, value=value_of(message, "approve"), action_id="approve", message_ts=message.ts)
    assert "R-1 was done at" in told(late)

    assert kinds(stage) == ["requested", "approved", "approved", "started", "succeeded"]
    in_order(stage)


def test_the_requester_at_a_terminal_is_the_slack_person_that_the_configuration_names(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    login = stage.cli("push", "prod", "--json").json["by"].rpartition("/")[2]
    text = stage.config.read_text()
    stage.config.write_text(text.replace("[people]\n", f'[people]\n"{login}" = "U0BEN"\n'))
    stage.start_bot()
    card(stage, "[Approve for prod]")

    assert "You requested R-1, so you cannot decide on it." in approve(stage, BEN)
    assert "It has all it needs" in approve(stage, CHI)
    card(stage, ": done")
    again = stage.migration("20260101000002_more.sql", "create table public.more (id int);")
    assert stage.cli("push", "prod", "--json").json["commit"] == again
    assert "R-2 is cancelled. Nothing was run." in told(stage.slack.say(BEN, "/migrate cancel R-2"))
    assert kinds(stage, "R-2") == ["requested", "cancelled"]
    in_order(stage)


def test_an_approver_who_leaves_the_group_before_the_run_no_longer_counts(make_stage: Make) -> None:
    stage = small(make_stage, rules(2, approvers='"@database-owners", "U0DEE"'))
    ask(stage)
    approve(stage, BEN)
    stage.slack.workspace.leave_group("Ben", "database-owners")

    assert "Your approval of R-1 is recorded. 1 more needed." in approve(stage, CHI)

    shown = card(stage, "(no longer counts)")
    assert "Approvals: 1 of 2 · @Ben" in shown
    assert "[Approve for prod]" in shown
    assert not applied(stage)
    assert "It has all it needs and starts." in approve(stage, DEE)
    card(stage, ": done")
    started = stage.events("started")[0].data or {}
    assert started["facts"]["counting"] == [f"slack:T0ACME/{who}" for who in (CHI, DEE)]
    assert list(started["facts"]["void"]) == ["slack:T0ACME/U0BEN"]
    in_order(stage)


def test_an_account_that_is_closed_before_the_run_no_longer_counts(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    ask(stage)
    approve(stage, BEN)
    stage.slack.workspace.deactivate("Ben")

    assert "1 more needed." in approve(stage, CHI)

    card(stage, "(no longer counts)")
    assert kinds(stage) == ["requested", "approved", "approved"]
    in_order(stage)


def test_a_handle_that_means_another_group_lets_nobody_approve(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    ask(stage)
    approve(stage, BEN)
    workspace = stage.slack.workspace
    workspace.rename_group("database-owners", "old-owners")
    assert "Slack has no user group @database-owners" in approve(stage, CHI)
    workspace.groups["S0NEW"] = type(workspace.groups["S0OWNERS"])("S0NEW", "database-owners", (CHI, DEE))

    answer = approve(stage, CHI)

    assert "@database-owners is not the group that it was when R-1 was made." in answer
    assert "Cancel the request and make a new one." in answer
    assert "@database-owners is not the group" in approve(stage, DEE)
    assert refusals(stage) == ["identity_unproven", "group_changed", "group_changed"]
    assert kinds(stage) == ["requested", "approved"]
    in_order(stage)


def test_a_request_from_the_terminal_is_approved_in_slack(make_stage: Make) -> None:
    stage = small(make_stage)
    asked = stage.cli("push", "prod", "--json")
    assert (asked.code, asked.json["status"], asked.json["request"]) == (0, "waiting", "R-1")
    card(stage, "[Approve for prod]")

    approve(stage, BEN)

    waited = stage.cli("push", "prod", "--wait", "90s", "--json")
    assert (waited.code, waited.json["status"]) in {(0, "succeeded"), (0, "nothing_to_do")}
    assert [one.request for one in stage.events("requested")] == ["R-1"]  # asked again while it runs, it is the same
    card(stage, ": done")
    in_order(stage)


def test_a_typed_approval_shows_the_plan_and_a_button_that_works_once_for_one_person(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    ask(stage)

    answer = stage.slack.say(BEN, "/migrate approve r-1")
    shown = told(answer)
    assert "add_notes.sql" in shown
    assert "[Approve for prod]" in shown
    button = answer.messages()[-1]
    assert button.only_for == BEN
    value = value_of(button, "approve")
    assert len(value.split()) == 4
    assert stage.events("approved") == []

    stolen = stage.slack.forge(CHI, value=value, action_id="approve", message_ts=button.ts)
    assert "was used already or was given to somebody else" in told(stolen)
    without = stage.slack.forge(BEN, value=" ".join(value.split()[:3]), action_id="approve", message_ts=button.ts)
    assert "That message is not the card of R-1." in told(without)
    assert "1 more needed." in told(stage.slack.click_message(BEN, button, "Approve"))
    used = told(stage.slack.forge(BEN, value=value, action_id="approve", message_ts=button.ts))
    assert "was used already" in used
    assert "approve R-1" in used
    digest = str((stage.events("requested")[0].data or {})["digest"])
    assert "It has all it needs" in told(stage.slack.say(CHI, f"/migrate approve R-1 {digest}"))
    card(stage, ": done")
    assert kinds(stage) == ["requested", "approved", "approved", "started", "succeeded"]
    assert refusals(stage) == ["stale_card"] * 3
    in_order(stage)


def test_a_no_asks_for_a_reason_and_ends_the_request(make_stage: Make) -> None:
    stage = small(make_stage)
    message = ask(stage)
    refused = told(stage.slack.click(DEE, "Reject", about="R-1"))
    assert "You are not one of those who may approve R-1." in refused
    assert "These may: @database-owners" in refused
    assert stage.slack.modal(DEE) is None

    view = stage.slack.click(BEN, "Reject", about="R-1").modal(10)
    assert view is not None
    assert view.body["callback_id"] == "reject"
    assert view.body["private_metadata"] == value_of(message, "reject")
    empty = stage.slack.submit(BEN, view, {"reason": "    "})
    assert empty.errors == {"reason": "Say why, in a sentence."}
    assert stage.slack.modal(BEN) is not None
    done = stage.slack.submit(BEN, view, {"reason": "not on a Friday; token sbp_0123456789abcdef0123456789abcdef"})

    assert done.error is None
    shown = card(stage, "R-1 · shop/prod: rejected, nothing was run")
    assert "@Ben: not on a Friday; token «masked: Supabase token»" in shown
    wait_for(lambda: "R-1 is rejected. Nothing was run." in told(done))
    assert kinds(stage) == ["requested", "rejected"]
    late = stage.slack.forge(CHI, value=value_of(message, "approve"), action_id="approve", message_ts=message.ts)
    assert "R-1 was rejected at" in told(late)
    in_order(stage, "sbp_0123456789abcdef0123456789abcdef")


def test_the_requester_alone_takes_a_request_back(make_stage: Make) -> None:
    stage = small(make_stage)
    message = ask(stage)
    no = told(stage.slack.click(BEN, "Cancel", about="R-1"))
    assert "R-1 was requested by somebody else, and only they may take it back." in no
    assert "An approver can reject it." in no
    assert "requested by somebody else" in told(stage.slack.say(DEE, "/migrate cancel R-1"))

    assert "R-1 is cancelled. Nothing was run." in told(stage.slack.click(ANA, "Cancel", about="R-1"))

    card(stage, "cancelled, nothing was run")
    late = stage.slack.forge(BEN, value=value_of(message, "approve"), action_id="approve", message_ts=message.ts)
    assert "R-1 was cancelled at" in told(late)
    assert refusals(stage) == ["not_allowed", "not_allowed", "already_decided"]
    in_order(stage)


def interrupt(stage: Stage) -> None:
    """The log of a runner that died in the middle of R-1, and of one who could not find out what became of it."""
    digest = (stage.events("requested")[0].data or {})["digest"]
    started = {"digest": digest, "attempt": 1, "runner": "host/1", "facts": {}}
    why = {"reason": "outcome_unknown", "message": "Nobody knows.", "step": "migrate"}
    unknown = {**why, "applied": [], "unknown": ["20260101000001"]}
    with Log.open(stage.log_path) as log:
        for kind, data in (("started", started), ("interrupted", unknown)):
            draft = Draft(
                kind=kind,
                actor="system:runner",
                stream="request:R-1",
                data=data,
                project="shop",
                environment="prod",
                request="R-1",
            )
            log.append([draft, replace(draft, stream="target:shop/prod")])


def test_an_interrupted_run_blocks_its_target_until_somebody_says_what_became_of_it(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.stop_bot()
    interrupt(stage)
    stage.start_bot()
    assert "cancel R-1 <what you found>" in card(stage, "interrupted, a person must decide")
    ask(stage)
    assert "It has all it needs" in approve(stage, BEN, "R-2")
    wait_for(lambda: "target_blocked" in stage.bot_log.read_text())

    say = stage.slack.say
    assert "You are not one of those who may approve R-1." in told(say(DEE, "/migrate cancel R-1 all is well"))
    assert "say what you found on shop/prod" in told(say(CHI, "/migrate cancel R-1"))
    assert not applied(stage)
    assert "R-1 is settled. shop/prod is free again." in told(say(CHI, "/migrate cancel R-1 none of it is there"))

    card(stage, "R-2 · shop/prod: done", 5)
    assert ": none of it is there" in card(stage, "R-1 · shop/prod")
    assert "R-1 was settled at" in told(say(CHI, "/migrate cancel R-1 again"))
    assert stage.cli("audit", "verify").code == 0
    in_order(stage)

"""Acknowledged at once, done off the loop, answered after all: slow work, crashes, a polite stop."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import answers
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for

from sandbox.stage import Stage

Make = Callable[..., Stage]


def test_acks_come_at_once_however_slow_the_work_is_and_all_are_answered(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.slow("users.info", 4.5)  # longer than Slack waits for an acknowledgement
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: stage.slack.say(ANA, "/migrate status"), range(24)))
    assert [answer.error for answer in answers] == [None] * 24
    assert stage.events("answered") == [], "all are acknowledged before any is answered"
    stage.slack.slow("users.info", 0)
    assert all("Nothing waits, nothing runs" in told(answer) for answer in answers)
    in_order(stage)


def test_slow_work_is_told_to_go_on_and_its_answer_comes_last(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.slow("users.info", 0.9)
    answer = stage.slack.say(ANA, "/migrate plan prod")
    assert answer.says("Plan for shop/prod", 10)
    assert "Working on it: " in answer.texts()[0]
    assert "Plan for shop/prod" in answer.texts()[-1]
    assert len(answer.texts()) == 2
    in_order(stage)


def test_first_click_after_a_start_asks_slack_nothing_before_its_ack(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.stop_bot()
    stage.start_bot()
    stage.slack.slow("auth.test", 4.0)
    assert "R-1" in told(stage.slack.click(BEN, "Approve", about="R-1"))
    in_order(stage)


def crash(stage: Stage) -> None:
    stage.stop_bot(signal.SIGKILL)


def test_what_was_acked_before_a_crash_is_done_once_and_answered_after_it(make_stage: Make) -> None:
    stage = small(make_stage)
    slack = stage.slack
    slack.slow("users.info", 20)
    acked = [
        slack.say(ANA, "/migrate push prod"),
        slack.say(DEE, "/migrate psuh prod"),
        slack.mention(CHI, "deploys", "status"),
    ]
    assert [answer.error for answer in acked] == [None] * 3
    crash(stage)
    slack.slow("users.info", 0)
    stage.start_bot()

    assert "R-1 is asked for" in told(acked[0]) or "R-1 stands already" in told(acked[0])
    assert "Did you mean `push`?" in told(acked[1])
    assert " open" in told(acked[2]) or "Nothing waits" in told(acked[2])
    card(stage, "[Approve for prod]")
    assert kinds(stage) == ["requested"]
    crash(stage)
    stage.start_bot()
    settled(stage)
    assert [len(answers(answer)) for answer in acked] == [1, 1, 1]
    assert len(stage.events("requested")) == 1
    in_order(stage)


def test_a_click_that_was_acked_before_a_crash_counts_once_after_it(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    slack = stage.slack
    message = ask(stage)
    typed = slack.say(CHI, "/migrate approve R-1")
    told(typed)
    slack.slow("usergroups.list", 20)
    acked = slack.click_message(BEN, message, "Approve")
    private = slack.click_message(CHI, typed.messages()[-1], "Approve")
    reject = slack.click_message(BEN, message, "Reject")
    wait_for(lambda: sum(one.method == "users.info" for one in slack.calls) >= 3)
    crash(stage)
    slack.slow("usergroups.list", 0)
    stage.start_bot()

    assert acked.says("Your approval of R-1 is recorded")
    assert reject.says("The bot was restarted before it could ask for a reason|R-1 is ")
    assert private.says("Your approval of R-1 is recorded|was used already")
    assert len([one for one in stage.events("approved") if one.actor.endswith(BEN)]) == 1
    in_order(stage)


def test_what_was_done_and_not_answered_before_a_crash_is_answered_as_done(make_stage: Make) -> None:
    """The approval is in the log; only its answer is lost: the log of the dead process is cut off just there."""
    stage = small(make_stage, rules(2))
    slack = stage.slack
    ask(stage)
    private = slack.say(BEN, "/migrate approve R-1")
    told(private)
    slack.slow("response_url", 20)
    clicked = slack.click_message(BEN, private.messages()[-1], "Approve")
    wait_for(lambda: stage.events("approved"))
    crash(stage)
    slack.slow("response_url", 0)
    stage.start_bot()
    card(stage, "Approvals: 1 of 2 · @Ben")
    assert clicked.error is None
    settled(stage)
    assert len(stage.events("approved")) == 1
    assert refusals(stage) == []
    in_order(stage)


def test_a_polite_stop_finishes_what_was_taken(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.slow("users.info", 0.5)
    answer = stage.slack.say(ANA, "/migrate push prod")
    stage.stop_bot()
    assert "R-1 is asked for: 1 migration on shop/prod" in told(answer)
    assert [one.kind for one in stage.events()][-1] == "bot_stopped"
    in_order(stage)

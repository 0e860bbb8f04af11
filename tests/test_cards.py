"""The card of a request: when it may be approved, how it follows the run, and how it becomes true again."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import kinds
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import thread
from people_talk import told
from people_talk import value_of
from people_talk import wait_for

from audit import Reader
from commands.plan_page import hazards_text
from commands.request_page import request_page
from ops.requests import find_request
from sandbox.slack_answer import until
from sandbox.slack_limits import Drop
from sandbox.slack_limits import Fault
from sandbox.slack_rules import walk
from sandbox.slack_state import Message
from sandbox.stage import Stage

Make = Callable[..., Stage]


def delete(stage: Stage, message: Message) -> None:
    """Somebody deletes a message in Slack."""
    with stage.slack.state.lock:
        del stage.slack.state.messages[message.ts]


def versions(stage: Stage, message: Message) -> list[str]:
    """Every state that a message was ever shown in, as people read it."""
    with stage.slack.state.lock:
        said = [one.message for one in stage.slack.state.said if one.message.ts == message.ts]
    return [stage.slack.render(one) for one in said]


def test_a_card_follows_the_run_in_place_and_tells_its_thread(stage: Stage) -> None:
    """The demo's own project, with a backup that is restored and a check of the database's health."""
    stage.migration("20261201000000_take_a_while.sql", "select pg_sleep(2);")
    message = ask(stage)
    before = stage.slack.render(message)
    assert "R-1 · shop/prod: waiting for approval" in before
    assert "[Approve for prod] [Reject…] [Cancel request]" in before
    approve(stage, BEN)
    card(stage, "R-1 · shop/prod: done", 60)

    assert len(cards(stage)) == 1
    seen = versions(stage, message)
    assert "[Approve" not in seen[0]  # the SQL was not in the thread yet
    assert len(seen) == len(set(seen))  # nothing is sent that changes nothing
    assert any(": running" in one and "running  migrate" in one for one in seen), "\n".join(seen)
    done = seen[-1]
    for step in ("preflight", "backup: restored and proven", "migrate: 4 of 4", "health: the check holds"):
        assert f"done  {step}" in done
    assert "[" not in done
    wait_for(lambda: "4 migrations are on shop/prod." in thread(stage, message))
    below = thread(stage, message)
    for note in ("The full SQL of R-1", "Approved, 1 of 1", "Backup proven before any statement", "R-1 is done"):
        assert below.count(note) == 1
    in_order(stage)


def test_the_file_in_the_thread_is_the_whole_sql_with_its_hash(make_stage: Make) -> None:
    stage = small(make_stage)
    more = "-- " + "x" * 5000 + "\ncreate table public.more (id int);\n"
    stage.migration("20260101000002_more.sql", more)
    message = ask(stage)

    [file] = stage.slack.channel("deploys").files
    shown = stage.events("shown")[0].data or {}
    content = (file.content or b"").decode()
    assert "create table public.notes (id int primary key);" in content
    assert more.strip() in content
    assert str(shown["digest"]) in content
    assert file.thread_ts == message.ts == shown["message"]
    assert f"sha256 {str(shown['sha256'])[:16]}" in thread(stage, message)
    in_order(stage)


DROPS = "drop table if exists public.customers;\n"


def question_of(message: Message) -> str:
    """What Slack asks whoever presses Approve."""
    [approve] = [one for one in walk(list(message.blocks)) if one.get("action_id") == "approve"]
    return str(approve["confirm"]["text"]["text"])


def test_who_approves_reads_the_danger_before_all_else_and_once_more_when_pressing(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    stage.migration("20260101000002_drop.sql", DROPS)
    stage.start_bot()
    message = ask(stage)

    shown = stage.slack.render(message)
    request = find_request(Reader(stage.log_path), "R-1")
    counted = f"Hazards: {hazards_text(request.hazards)}"
    assert "danger" in counted
    assert shown.index("waiting for approval") < shown.index(counted) < shown.index("Approvals: 0 of 1")
    question = question_of(message)
    asked = f"Run 2 migrations on shop/prod? Plan {request.digest[:16]}. Approving accepts: data_loss"
    assert question.startswith(asked)
    assert "Worst hazard, danger: Drops" in question
    assert "public.customers" in question
    assert len(question) <= 300
    assert request_page(request, request.requested_at).tone == "warning"
    in_order(stage)


def test_a_plan_without_danger_is_no_warning(make_stage: Make) -> None:
    stage = make_stage(prod=rules(), empty=True)
    stage.migration("20260101000001_nothing.sql", "select 1;\n")
    stage.start_bot()

    assert "Run 1 migration on shop/prod?" in (question := question_of(ask(stage)))
    assert question.endswith("No hazards.")
    request = find_request(Reader(stage.log_path), "R-1")
    page = request_page(request, request.requested_at)
    assert (page.tone, page.facts[0][0]) == ("plain", "Approvals")
    danger = {"rule": "drop-table", "class": "data_loss", "level": "danger", "version": "1", "line": 1}
    long = replace(request, hazards=({**danger, "message": "Drops the table " + "n" * 500},) * 3)
    [asks, *_] = request_page(long, request.requested_at).buttons
    assert asks.confirm is not None
    assert asks.confirm.endswith("n…, and 2 more.")
    assert len(asks.confirm) <= 300


def more(stage: Stage, number: int) -> str:
    """One more migration, so that the next push is another request than the one before."""
    return stage.migration(f"2026010100001{number}_more.sql", f"create table public.more_{number} (id int);")


def was_postponed(stage: Stage, number: int) -> bool:
    return f"card_postponed request=R-{number} " in stage.bot_log.read_text()


UPLOADS: list[tuple[str, list[Fault]]] = [
    ("files.getUploadURLExternal", ["internal_error"]),
    ("upload", [500] * 3),
    ("upload", [404]),
    ("files.completeUploadExternal", ["internal_error"]),
    ("files.completeUploadExternal", [Drop.BEFORE] * 2),
    ("files.info", ["file_not_found"]),
]


def test_without_the_sql_in_the_thread_there_is_no_approve_button(make_stage: Make) -> None:
    stage = small(make_stage)
    for number, (method, faults) in enumerate(UPLOADS, 1):
        more(stage, number)
        stage.slack.fail(method, *faults * 6)  # so that it is not made good before Ben presses
        told(stage.slack.say(ANA, "/migrate push prod"))
        shown = card(stage, f"R-{number} · shop/prod")
        message = cards(stage)[-1]
        assert "[Approve" not in shown
        assert "the full SQL goes into the thread; then the Approve button appears." in shown
        value = f"approve R-{number} {(stage.events('requested')[-1].data or {})['digest'][:16]}"
        early = stage.slack.forge(BEN, value=value, action_id="approve", message_ts=message.ts)
        assert "has not reached the thread yet" in told(early)
        wait_for(partial(was_postponed, stage, number))
        stage.slack.heal(method)
        card(stage, "[Approve for prod]")
        assert all("[Approve" not in one for one in versions(stage, message)[:-1])
    in_order(stage)


def test_a_file_that_slack_still_scans_is_not_there(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack._scan_seconds = 2.0
    told(stage.slack.say(ANA, "/migrate push prod"))
    wait_for(lambda: stage.slack.channel("deploys").files)
    assert "[Approve" not in card(stage, "waiting for approval")
    assert stage.events("shown") == []
    card(stage, "[Approve for prod]")
    assert len(stage.slack.channel("deploys").files) == 1
    in_order(stage)


def test_a_file_that_is_scanned_for_long_holds_up_no_other_card(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack._scan_seconds = 60.0
    told(stage.slack.say(ANA, "/migrate push prod"))
    wait_for(lambda: stage.slack.channel("deploys").files)
    told(stage.slack.say(DEE, "/migrate push dev"))
    card(stage, "R-2 · shop/dev: done", 8)
    assert "[Approve" not in card(stage, "R-1 · shop/prod")
    in_order(stage)


def test_only_the_hash_where_the_configuration_says_so(make_stage: Make) -> None:
    stage = small(make_stage, slack='sql = "hash"')
    shown = stage.slack.render(ask(stage))
    files = (stage.events("requested")[0].data or {})["plan"]["files"]
    assert files[0]["sha256"][:12] in shown
    assert stage.slack.channel("deploys").files == []
    assert "create table" not in stage.slack.everything_said()

    delete(stage, cards(stage)[0])
    told(stage.slack.say(BEN, "/migrate reject R-1 not like this"))
    card(stage, "rejected, nothing was run")
    in_order(stage)


@pytest.mark.parametrize("sql", ["file", "hash"])
def test_a_deleted_card_is_posted_anew_and_can_be_approved_again(make_stage: Make, sql: str) -> None:
    stage = small(make_stage, rules(2), slack=f'sql = "{sql}"')
    first = ask(stage)
    old = value_of(first, "approve")
    delete(stage, first)
    stage.slack.slow("files.completeUploadExternal", 0.5)
    told(stage.slack.say(BEN, f"/migrate {old}"))

    shown = card(stage, "Approvals: 1 of 2 · @Ben")
    second = cards(stage)[-1]
    if sql == "file":
        assert "[Approve" not in shown
        assert "[Approve" not in versions(stage, second)[0]
    card(stage, "[Approve for prod]")
    assert len(stage.slack.channel("deploys").files) == (2 if sql == "file" else 0)
    stale = stage.slack.forge("U0CHI", value=old, action_id="approve", message_ts=first.ts)
    assert "That message is not the card of R-1." in told(stale)
    assert "It has all it needs" in approve(stage, "U0CHI")
    card(stage, ": done")
    assert len(cards(stage)) == 1
    in_order(stage)


def test_a_new_card_has_no_approve_button_while_its_own_thread_lacks_the_sql(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    first = ask(stage)
    delete(stage, first)
    stage.slack.fail("files.completeUploadExternal", *["internal_error"] * 2)
    told(stage.slack.say(BEN, f"/migrate {value_of(first, 'approve')}"))
    card(stage, "Approvals: 1 of 2 · @Ben")
    second = cards(stage)[-1]
    wait_for(lambda: stage.bot_log.read_text().count("card_postponed") >= 2)
    assert not any("[Approve" in one for one in versions(stage, second))
    card(stage, "[Approve for prod]")
    in_order(stage)


def test_a_card_deleted_while_its_sql_is_uploaded_is_posted_anew(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.slow("upload", 1.0)
    told(stage.slack.say(ANA, "/migrate push prod"))
    card(stage, "waiting for approval")
    delete(stage, cards(stage)[0])
    stage.slack.slow("upload", 0)
    card(stage, "[Approve for prod]")
    assert len(cards(stage)) == 1
    in_order(stage)


def test_a_card_that_can_be_updated_no_more_is_posted_anew(make_stage: Make) -> None:
    stage = small(make_stage)
    for number, fault in enumerate(("message_not_found", "cant_update_message", "edit_window_closed"), 1):
        first = ask(stage)
        stage.slack.fail("chat.update", fault)
        told(stage.slack.click(ANA, "Cancel", about=f"R-{number}"))
        shown = card(stage, f"R-{number} · shop/prod: cancelled")
        assert "[" not in shown
        assert len(cards(stage)) == 2 * number
        stale = stage.slack.click_message(BEN, first, "Approve")
        assert f"That message is not the card of R-{number}." in told(stale)
    in_order(stage)


def test_an_update_that_fails_is_made_good(make_stage: Make) -> None:
    stage = small(make_stage)
    faults: tuple[Fault, ...] = ("internal_error", 503, 429, Drop.AFTER)
    for number, fault in enumerate(faults, 1):
        ask(stage)
        stage.slack.fail("chat.update", fault)
        told(stage.slack.click(ANA, "Cancel", about=f"R-{number}"))
        card(stage, f"R-{number} · shop/prod: cancelled")
        assert len(cards(stage)) == number
    in_order(stage)


def test_a_card_becomes_true_again_when_slack_comes_back(make_stage: Make) -> None:
    """Slack goes down right after the yes; the run goes on, and the card shows its end once Slack is back."""
    stage = small(make_stage)
    message = ask(stage)
    stage.slack.slow("chat.update", 0.3)
    approve(stage, BEN)
    wait_for(lambda: stage.events("started"))
    stage.slack.down = True
    wait_for(lambda: kinds(stage)[-1:] == ["succeeded"])
    assert ": done" not in stage.slack.render(stage.slack.state.messages[message.ts])
    stage.slack.slow("chat.update", 0)
    stage.slack.down = False

    card(stage, ": done", 30)
    wait_for(lambda: "R-1 is done" in thread(stage, message), 20)
    assert len(cards(stage)) == 1
    assert until(lambda: stage.slack.say(ANA, "/migrate status").error is None, 20)
    in_order(stage)


def test_a_card_becomes_true_again_after_a_restart(make_stage: Make) -> None:
    stage = small(make_stage)
    message = ask(stage)
    stage.stop_bot()
    assert stage.cli("cancel", "R-1", "--json").code == 0
    assert "[Approve" in stage.slack.render(cards(stage)[0])
    stage.start_bot()
    card(stage, "cancelled, nothing was run")
    assert [one.ts for one in cards(stage)] == [message.ts]
    in_order(stage)


def test_a_lost_card_store_makes_a_new_card_and_the_old_one_counts_no_more(make_stage: Make) -> None:
    stage = small(make_stage)
    first = ask(stage)
    stage.stop_bot()
    for path in stage.folder.glob("var/state.db*"):
        path.unlink()
    stage.start_bot()
    wait_for(lambda: len(cards(stage)) == 2 and "[Approve" in stage.slack.render(cards(stage)[1]))
    stale = stage.slack.click_message(BEN, first, "Approve")
    assert "Use the newest card" in told(stale)
    assert "It has all it needs" in approve(stage, BEN)
    card(stage, ": done")
    in_order(stage)


def test_many_cards_stay_within_slacks_limits(make_stage: Make) -> None:
    """Slack counts as it does in earnest: posts to one channel and updates of messages."""
    stage = small(make_stage, rate_limits=True)
    for number in range(2, 7):
        stage.migration(f"2026010100000{number}_more.sql", f"create table public.more_{number} (id int);")
        told(stage.slack.say(ANA, "/migrate push prod"))
    card(stage, "R-5 · shop/prod: waiting", 30)
    wait_for(lambda: "[Approve" in card(stage, "R-5"), 30)
    wait_for(lambda: sum("no longer holds" in stage.slack.render(one) for one in cards(stage)) == 4, 30)
    assert [len(re.findall(r"R-\d", stage.slack.render(one).split("\n")[0])) for one in cards(stage)] == [1] * 5
    per_minute = Counter(one.method for one in stage.slack.calls)
    assert per_minute["chat.update"] <= 50
    in_order(stage)


def test_no_card_goes_to_a_channel_that_another_company_reads(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.workspace.share_channel("deploys", "Otto")
    told(stage.slack.say(ANA, "/migrate push prod"))
    wait_for(lambda: "shared with another company" in stage.bot_log.read_text())
    settled(stage)
    assert cards(stage) == []
    stage.slack.workspace.change_channel("deploys", is_ext_shared=False)
    card(stage, "[Approve for prod]")
    in_order(stage)

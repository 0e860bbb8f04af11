"""`diff prod`: what a push would change in the schema, at the terminal, in Slack and for programs; and its file."""

import hashlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import GUS
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import thread
from people_talk import told
from people_talk import wait_for
from processes import read_until

from sandbox.slack_state import Message
from sandbox.stage import Stage

Make = Callable[..., Stage]

ORDERS = "create table public.orders (id int primary key, note text);\nalter table public.orders enable row level security;\n"
NEXT = """\
alter table public.orders drop column note;
alter table public.orders add column total numeric;
create table public.items (id int primary key, "order" int references public.orders (id));
"""
REQUIRED = rules(1, 'rehearsal = "required"')


def shop(make_stage: Make, prod: str = REQUIRED, sql: str = NEXT, **settings: object) -> Stage:
    """A stage with a table on prod and one pending migration; no bot."""
    stage = make_stage(prod=prod, empty=True, **settings)
    stage.sql("prod", ORDERS)
    stage.migration("20260101000001_next.sql", sql)
    return stage


def with_bot(make_stage: Make, prod: str = REQUIRED, sql: str = NEXT, **settings: object) -> Stage:
    stage = shop(make_stage, prod, sql, **settings)
    stage.start_bot()
    return stage


def the_file(stage: Stage, name: str) -> tuple[str, str]:
    """The text of an uploaded file, and the channel in which it is."""
    [found] = [one for one in stage.slack.state.files.values() if one.name == name]
    return (found.content or b"").decode(), found.channel or ""


def test_terminal_shows_the_summary_and_the_whole_diff(make_stage: Make) -> None:
    stage = shop(make_stage, rules(1, 'rehearsal = "off"'))  # asked for, so it is tried all the same
    ran = stage.cli("diff", "prod")
    assert ran.code == 0, ran.err
    assert "shop/prod: a push would change the schema: " in ran.out.splitlines()[0]
    assert "[creates] table public.items" in ran.out
    assert "[changes] table public.orders" in ran.out
    assert "  | +++ table public.orders" in ran.out
    assert [line for line in ran.out.splitlines() if line.startswith("  | -") and "note" in line]
    assert [line for line in ran.out.splitlines() if line.startswith("  | +") and "total numeric" in line]

    coloured = stage.cli("diff", "prod", "--color", "always").out
    assert "\x1b[32m+" in coloured
    assert "\x1b[31m-" in coloured


def test_programs_get_target_digest_diff_and_changes(make_stage: Make) -> None:
    stage = shop(make_stage)
    said = stage.cli("diff", "prod", "--json").json
    plan = stage.cli("plan", "prod", "--json").json
    assert said.keys() == {"ok", "target", "digest", "diff", "changes"}
    assert (said["target"], said["digest"]) == ("shop/prod", plan["digest"])
    assert {(one["change"], one["kind"], one["name"]) for one in said["changes"]} >= {
        ("changed", "table", "orders"),
        ("created", "table", "items"),
    }
    assert said["changes"][0].keys() == {"change", "kind", "schema", "name", "words"}
    assert plan["diff"] == said["diff"]
    assert plan["rehearsal"]["outcome"] == "passed"
    assert len(stage.events("rehearsed")) == 1  # what was shown once is not tried again


def test_a_file_that_fails_is_shown_as_a_compiler_shows_it(make_stage: Make) -> None:
    stage = shop(make_stage, sql="select 1;\nalter table public.orders\n  drop column emial;\n")
    ran = stage.cli("diff", "prod")
    assert ran.code == 1
    assert 'The rehearsal failed at 20260101000001_next.sql, line 2: column "emial" of relation "orders"' in ran.err
    assert "SQLSTATE 42703" in ran.err
    assert stage.cli("diff", "prod", "--json").json["reason"] == "rehearsal_failed"

    planned = stage.cli("plan", "prod")
    assert planned.code == 0
    assert "a push would be refused" in planned.out
    assert planned.out.count('column "emial" of relation "orders" does not exist') == 1
    pushed = stage.cli("push", "prod")
    assert pushed.code == 3
    assert 'column "emial"' in pushed.err
    assert "Where:" in pushed.err
    assert stage.events("requested") == []


def test_nothing_pending_changes_nothing(make_stage: Make) -> None:
    stage = make_stage(prod=REQUIRED, empty=True)
    ran = stage.cli("diff", "prod")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "shop/prod: a push would change nothing, for nothing is pending")
    assert stage.events("rehearsal_started") == []


def test_in_slack_the_whole_diff_goes_to_whoever_asked_and_to_nobody_else(make_stage: Make) -> None:
    stage = with_bot(make_stage)
    answer = stage.slack.say(ANA, "/migrate diff prod")
    assert answer.says("a push would change the schema", 30)
    assert "All of it is in shop-prod.diff, which I sent to you directly." in answer.texts()[-1]
    text, channel = the_file(stage, "shop-prod.diff")
    assert channel == stage.slack.workspace.direct_channel(ANA).id
    assert "+++ table public.orders" in text
    assert stage.slack.channel("deploys").files == []
    in_order(stage)


def test_a_guest_sees_no_diff(make_stage: Make) -> None:
    stage = with_bot(make_stage)
    assert "Countersign" in told(stage.slack.say(GUS, "/migrate diff prod"))
    assert stage.events("rehearsal_started") == []
    assert not stage.slack.state.files


def test_with_hashes_only_no_text_leaves_for_slack(make_stage: Make) -> None:
    stage = with_bot(make_stage, slack='sql = "hash"')
    answer = stage.slack.say(ANA, "/migrate diff prod")
    assert answer.says("a push would change the schema", 30)
    sha256 = hashlib.sha256(stage.cli("diff", "prod", "--json").json["diff"].encode()).hexdigest()
    assert f"sha256 {sha256[:16]}" in answer.texts()[-1]
    assert "+++" not in answer.texts()[-1]

    message = ask(stage)
    wait_for(lambda: "What R-1 changes in the schema" in thread(stage, message))
    assert f"sha256 {sha256[:16]}" in thread(stage, message)
    assert not stage.slack.state.files
    in_order(stage)


def test_the_diff_is_in_the_thread_beside_the_sql_before_anybody_can_approve(make_stage: Make) -> None:
    stage = with_bot(make_stage)
    message = ask(stage)
    names = {one.name: one for one in stage.slack.channel("deploys").files}
    assert names.keys() == {"R-1.sql", "R-1-schema.diff"}
    assert {one.thread_ts for one in names.values()} == {message.ts}
    content = (names["R-1-schema.diff"].content or b"").decode()
    assert f"sha256 {hashlib.sha256(content.encode()).hexdigest()[:16]}" in thread(stage, message)
    shown = stage.slack.render(message)
    assert "Rehearsed on a copy: its one file ran" in shown
    assert "drops  table column" in shown
    assert "isolation " in shown
    assert "A yes accepts: " in shown
    assert "data_loss" in shown
    kept = stage.cli("show", "R-1", "--json").json
    assert kept["diff"] == content
    assert kept["rehearsal"]["outcome"] == "passed"
    in_order(stage)


def test_a_card_that_was_deleted_comes_back_with_both_files(make_stage: Make) -> None:
    stage = with_bot(make_stage)
    first = ask(stage)
    with stage.slack.state.lock:
        del stage.slack.state.messages[first.ts]
    stage.slack.say(DEE, "/migrate lock prod for 5m look")  # something that changes the card

    def again() -> Message | None:
        cards = [one for one in stage.slack.channel("deploys").messages if not one.thread_ts and one.ts != first.ts]
        return next((one for one in cards if "[Approve for prod]" in stage.slack.render(one)), None)

    wait_for(again, 30)
    second = again()
    assert second is not None
    names = sorted(one.name for one in stage.slack.channel("deploys").files if one.thread_ts == second.ts)
    assert names == ["R-1-schema.diff", "R-1.sql"]
    in_order(stage)


def test_who_approved_accepted_the_classes_by_name(make_stage: Make) -> None:
    stage = with_bot(make_stage, rules(2, 'rehearsal = "required"'))
    message = ask(stage)
    told(stage.slack.click(BEN, "Approve", about="R-1"))
    shown = card(stage, "1 of 2")
    accepted = stage.events("approved")[0].data
    assert accepted is not None
    assert "data_loss" in accepted["facts"]["accepts"]
    assert f"accepted {', '.join(accepted['facts']['accepts'])}" in shown
    wait_for(lambda: "approved this plan and accepted" in thread(stage, message))
    in_order(stage)


def test_whoever_waits_is_told_how_far_the_rehearsal_is(make_stage: Make) -> None:
    stage = with_bot(make_stage, sql="create table public.a (id int);\nselect pg_sleep(3);\n")
    answer = stage.slack.say(ANA, "/migrate plan prod")
    assert answer.says("Plan for shop/prod", 30)
    working = [text for text in answer.texts() if text.startswith("Working on it: ")]
    assert working
    assert len(working) <= 3
    assert any("rehearsal" in text for text in working)
    assert "Plan for shop/prod" in answer.texts()[-1]
    in_order(stage)


def test_terminal_follows_the_rehearsal_on_its_line(make_stage: Make) -> None:
    """The phases are drawn while it works, and nothing of the line is left."""
    stage = shop(make_stage, sql="create table public.a (id int);\nselect pg_sleep(2);\n")
    reading, writing = pty.openpty()
    try:
        going = subprocess.Popen(
            [sys.executable, "-m", "countersign", "plan", "prod"],
            cwd=stage.folder,
            env={**stage.environment, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=writing,
            text=True,
        )
        read_until(reading, "rehearsal: ")
        out, _ = going.communicate(timeout=60)
        shown = read_until(reading, "\r\x1b\\[K$")
    finally:
        os.close(writing)
        os.close(reading)
    assert going.returncode == 0, shown
    assert out.startswith("Plan for shop/prod")
    assert "rehearsal: " not in out


@pytest.mark.parametrize("line", ["diff", "diff prod dev"])
def test_one_environment_at_a_time(make_stage: Make, line: str) -> None:
    stage = make_stage(prod=REQUIRED, empty=True)
    assert stage.cli(*line.split()).code == 2

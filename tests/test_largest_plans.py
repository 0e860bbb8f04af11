"""The largest plans stay within Slack's limits, and an approver still reads the worst of them first."""

import json
import re
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import rules
from people_talk import told
from people_talk import wait_for
from slack_rules import problems

from bot.render import blocks_of
from bot.render import text_of
from commands.page import Page
from commands.page import plain_page
from commands.plan_page import hazards_part
from commands.plan_page import ranked_hazards
from commands.request_page import request_page
from commands.request_page import whole_body
from commands.request_parts import LastBackup
from commands.request_parts import all_facts_of
from ops.people import Actor
from ops.requests import Request
from ops.run_steps import Step
from ops.said import Approval
from ops.status import Status
from sandbox.slack_rules import visible_characters
from sandbox.stage import Stage

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = {
    "short": "add_notes",
    "of 300 characters": "n" * 300,
    "from right to left": "הוספת_טבלה_של_הזמנות" * 8,
    "astral": "\U0001f389" * 75,
}
LEVELS = ("info", "caution", "danger")


def hazards(count: int, name: str = "t") -> list[dict[str, Any]]:
    """So many hazards in the order of their files, the only forbidden one the last."""
    found = [
        {
            "rule": f"rule-{number % 7}",
            "class": "locks",
            "level": LEVELS[number % 3],
            "version": f"{20260101000000 + number}",
            "line": number + 1,
            "message": f"Something about {name} that waits for number {number}.",
        }
        for number in range(count - 1)
    ]
    last = {"rule": "drop-database", "class": "data_loss", "level": "forbidden", "version": "9", "line": 1}
    return [*found, {**last, "message": f"Drops all of {name}."}]


def request(files: int, name: str = "add_notes", **changes: Any) -> Request:
    """A request of so many files and 200 hazards, on names of the longest kind."""
    versions = [f"{20260101000000 + number}" for number in range(files)]
    plan = {
        "files": [
            {"version": version, "name": name, "filename": f"{version}_{name}.sql", "sha256": "ab" * 32}
            for version in versions
        ],
        "policy": {"approvals": 2, "approvers": ["@database-owners"], "backup": "restored", "unknown_authors": "extra"},
    }
    values: dict[str, Any] = {
        "id": "R-99999",
        "kind": "push",
        "project": "p" * 40,
        "environment": "e" * 40,
        "by": Actor("slack:T0ACME/U0ANA"),
        "digest": "0123456789abcdef" * 4,
        "commit": "c" * 40,
        "plan": plan,
        "hazards": tuple(hazards(200, name)),
        "authors": ("U0MIA",) * 30,
        "unknown_authors": (name,) * 30,
        "requested_at": AT,
        "expires_at": AT + timedelta(days=1),
        "place": 3,
        "eligible": ("U0BEN", "U0CHI"),
        "shown": {"how": "file", "channel": "C1", "message": "1"},
    }
    return Request(**{**values, **changes})


def ended(status: Status, files: int, name: str) -> Request:
    """The same after a run, with an error as long as one may be."""
    wanted = request(files, name)
    applied = tuple(str(one["version"]) for one in wanted.files[: files // 2])
    left = [str(one["version"]) for one in wanted.files[files // 2 :]]
    failed = {"message": name, "hint": name * 20, "sql": {"caret": f"1 | {name * 50}\n  | ^"}}
    ending = {"message": f"{name} " * 200, "because": "", "applied": list(applied), "not_applied": left}
    return request(
        files,
        name,
        status=status,
        applied=applied,
        approvals=(Approval(Actor("slack:T0ACME/U0BEN"), AT, wanted.digest, "U0BEN"),) * 20,
        steps=(Step("preflight", "done", AT, 1.0), Step("migrate", "failed", AT, 2.0, failed)),
        started_at=AT,
        ended_at=AT + timedelta(hours=3),
        ending={**ending, "unknown": left[:1], "changed": [name] * 20, "by": None},
    )


def check(page: Page) -> list[dict[str, Any]]:
    """The blocks of a page, once they and the text are what Slack takes."""
    blocks, top = blocks_of(page), text_of(page)
    assert problems([("chat.update", {"text": top, "blocks": blocks})]) == []
    assert visible_characters(blocks) < 13_000
    assert len(top) <= 4000
    return blocks


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("files", [1, 10_000])
def test_card_of_the_largest_plan_is_taken_and_shows_the_worst_first(files: int, name: str) -> None:
    wanted = request(files, name)
    page = request_page(wanted, AT, LastBackup(AT, {"level": "restored"}))
    blocks = check(page)
    said = json.dumps(blocks, ensure_ascii=False)

    levels = re.findall(r'"text": "(forbidden|danger|caution|info)  "', said)
    assert levels == ["forbidden", *["danger"] * 7]
    assert said.count("1 forbidden, 66 dangers, 66 cautions, 67 info") == 2  # the first fact, and the list's title
    assert "countersign show R-99999" in said  # where the other 192 are
    assert ("and 9990 more; " in said) == (files == 10_000)
    assert said.index("forbidden  ") < said.index("in this order" if files > 1 else '"1 migration"')
    assert [button["action_id"] for button in blocks[-2]["elements"]] == ["approve", "reject", "cancel"]
    assert "waiting for approval" in blocks[0]["text"]["text"]
    for words in ("Next: 3 approvals by ", "Buttons: Approve for"):
        assert words in text_of(page)


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.WAITING])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_card_of_the_largest_plan_is_taken_in_every_state(status: Status, name: str) -> None:
    found = ended(status, 10_000, name)
    page = request_page(found, AT)
    blocks = check(page)
    said = json.dumps(blocks, ensure_ascii=False)
    assert "Next: " in said
    assert page.headline in blocks[0]["text"]["text"]
    if status is Status.PARTIALLY_APPLIED:
        assert "5000 of 10000 migrations" in said
        assert "On the target (5000)" in said
        assert "and 4990 more" in said


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_show_has_everything_at_the_terminal_and_says_in_slack_what_is_left_out(name: str) -> None:
    wanted = request(10_000, name)
    body = whole_body(wanted, Status.WAITING)
    page = Page("R-99999", all_facts_of(wanted, Status.WAITING, None), body, next=("nothing.",))
    said = json.dumps(check(page), ensure_ascii=False)
    left_out = [int(found) for found in re.findall(r"and (\d+) more, which the terminal shows", said)]
    assert len(left_out) == 2
    assert left_out[1] > 9_900

    whole = plain_page(page)
    assert whole.count("[forbidden] ") == 1
    assert whole.count(".sql") >= 10_000
    assert all(f"number {number}." in whole for number in range(199))


def test_many_hazards_of_one_rule_hide_none_of_another() -> None:
    many = [one for one in hazards(200) if one["level"] == "danger" and one["rule"] == "rule-1"] * 50
    rare = {**many[0], "rule": "drop-table", "class": "data_loss", "message": "Drops orders."}
    ranked = ranked_hazards([*many, rare])
    assert [one["rule"] for one in ranked[:3]] == ["drop-table", "rule-1", "rule-1"]
    [part] = hazards_part([*many, rare], 2, ("`show` has all",))
    assert plain_page(Page("", body=[part])).splitlines()[-1].endswith(f"{len(many) - 1} rule-1; `show` has all")


def flood() -> str:
    """1 MB of SQL with 200 hazards."""
    filler = "-- " + "x" * 5_000 + "\n"
    drops = [f'{filler}drop table if exists public."{"t" * 40}{number}";' for number in range(200)]
    return "create table public.flood (id int primary key);\n" + "\n".join(drops) + "\n"


def test_a_flood_of_sql_goes_the_whole_way(make_stage: Callable[..., Stage]) -> None:
    """One megabyte in one file, 200 hazards, a thousand more files, names as long as a file system takes them."""
    stage = make_stage(prod=rules(), empty=True)
    files = {f"supabase/migrations/{20260101000000 + number}_{'n' * 200}.sql": "select 1;\n" for number in range(1000)}
    flooded = f"supabase/migrations/20270101000000_{'שלום_' * 20}.sql"
    stage.commit({**files, flooded: flood()}, "כותרת " * 30)
    stage.start_bot()

    plan = told_at_last(stage, "plan prod", "Plan for shop/prod: 1001 migrations pending")
    assert "and 991 more; " in plan
    assert "drop-table" in plan
    ask(stage)
    shown = card(stage, "R-1 · shop/prod: waiting for approval")
    assert "Hazards: 201 dangers" in shown
    assert "more  193 drop-table; countersign show R-1 lists all" in shown
    assert "and 991 more; all are in the thread's file" in shown
    [file] = stage.slack.channel("deploys").files
    assert len(file.content or b"") > 1_000_000
    for words, wanted in (
        ("show R-1", "which the terminal shows"),
        ("history", "1001 migrations"),
        ("help", "/migrate help"),
    ):
        assert wanted in told_at_last(stage, words, wanted)
    told(stage.slack.say(BEN, "/migrate approve R-1"))
    in_order(stage)


def told_at_last(stage: Stage, words: str, wanted: str) -> str:
    """The answer that holds these words; before it may come that the bot works on it."""
    answer = stage.slack.say(ANA, f"/migrate {words}")
    wait_for(lambda: any(wanted in stage.slack.render(one) for one in answer.messages()), 60, str(answer.texts()))
    return stage.slack.render(answer.messages()[-1])

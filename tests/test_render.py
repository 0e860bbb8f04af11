"""Text from outside can break out of nothing: what is sent to Slack says what was written, letter by letter."""

import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import small
from people_talk import told
from slack_rules import problems

from bot.letters import clean
from bot.letters import escape
from bot.modals import approve_form
from bot.modals import choice_form
from bot.modals import reject_form
from bot.render import blocks_of
from bot.render import text_of
from commands.page import Button
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Source
from commands.page import Strong
from commands.page import Table
from commands.page import When
from commands.page import Who
from sandbox.slack_rules import visible_characters
from sandbox.slack_rules import walk
from sandbox.stage import Stage
from sandbox.stage import git

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOSTILE = {
    "a fence": "```\n*not code*\n```",
    "a mention of all": "<!channel> <!here> @channel",
    "a mention of one": "<@U0BEN> <@U0BEN|ana>",
    "a group": "<!subteam^S0OWNERS|owners>",
    "a link": "<https://evil.example|prod>",
    "a date": "<!date^1392734382^{date}|yesterday>",
    "entities": "&lt;!channel&gt; &amp;lt;",
    "markup": "*bold* _italic_ ~gone~ `code` > quote",
    "control": "a\x00b\x07c\x1b[31mred\x7f",
    "bidi": "user\u202etxt.exe \u2066isolated\u2069 \u200fright",
    "zero width": "dr\u200bop\u200c ta\u200dble\ufeff\u2060",
    "soft and blank": "a\u00adb\u3164c\u2800d\u034fe",
    "private and tags": "\ue000\U000e0041\ud7fb\u2028new line\u2029",
    "a lone return": "safe\rdrop table",
    "buttons": "[Approve for prod] Buttons: Approve",
}
HIDDEN = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u115f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\ue000\U000e0041]"
)


def everywhere(text: str) -> Page:
    """The same text in each place where a page may hold one."""
    spans = (text, Code(text), Strong(text), Command(text), When(AT), Who(text), Who("slack:T0ACME/U0BEN"))
    return Page(
        headline=text,
        facts=[("Commit", spans), (text, (text,))],
        body=[
            Paragraph(spans),
            Listing(text, [spans, (text,)], marks=[text, "done"]),
            Source(text, text),
            *[Table(text, [text, "By"], [[spans, (text,)]])] * 2,
        ],
        next=spans,
        buttons=[Button("approve", text, "approve R-1 0123456789abcdef", "primary", text)],
        small=spans,
    )


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text that people read, with the type of what holds it."""
    for thing in walk(value):
        for key in ("text", "fallback", "accessibility_label"):
            if isinstance(thing.get(key), str):
                yield str(thing.get("type")), thing[key]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_is_only_a_text(text: str) -> None:
    page = everywhere(text)
    blocks, top = blocks_of(page), text_of(page)

    assert problems([("chat.postMessage", {"text": top, "blocks": blocks})]) == []
    assert {kind for kind, _ in texts(blocks)} <= {"text", "plain_text", "raw_text", "date", "button"}  # never mrkdwn
    assert {thing["type"] for thing in walk(blocks) if "url" in thing} == set()
    assert {thing["user_id"] for thing in walk(blocks) if thing.get("type") == "user"} == {"U0BEN"}
    assert not any(thing.get("emoji") for thing in walk(blocks))
    assert [words for _, words in texts(blocks) if re.search(HIDDEN, words)] == []
    preformatted = [thing for thing in walk(blocks) if thing.get("type") == "rich_text_preformatted"]
    assert preformatted[0]["elements"][0]["text"] == clean(text)
    assert len(preformatted) == 2  # the source, and the second table, which Slack does not take as one

    assert not re.search(HIDDEN, top)
    ours = re.sub(r"<@U0BEN>|<!date\^1795435200\^\{date_short_pretty\} \{time\}\|2026-11-23 12:00 UTC>", "", top)
    assert not re.search("[<>]", ours)
    assert re.sub("&(amp|lt|gt);", "", ours).count("&") == 0
    assert escape(clean(text)) in top


def test_what_hides_is_shown_by_its_number() -> None:
    assert clean("a\u202eb\u200bc\x1bd") == r"a\u202eb\u200bc\u001bd"
    assert clean("two\nlines\tand a tab\r\nand Windows") == "two\nlines\tand a tab\nand Windows"
    assert clean("Jürgen Grüße 日本語 🎉 ‘quotes’ – dash") == "Jürgen Grüße 日本語 🎉 ‘quotes’ – dash"


LARGE = {
    "long words": "x" * 20_000,
    "hidden letters": "\u200b" * 10_000,
    "many lines": "line\n" * 3_000,
    "escapes": "<&>" * 5_000,
    "astral": "\U0001f389" * 5_000,
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("lines", [1, 40, 500])
def test_a_page_of_any_size_is_a_message_that_slack_takes(text: str, lines: int) -> None:
    spans = (text, Code(text), Who(text))
    page = Page(
        text,
        facts=[(f"Fact {number}", spans) for number in range(min(lines, 20))],
        body=[
            Listing("Migrations", [spans] * lines),
            Listing("Hazards", [spans] * lines, ["danger"] * lines),
            *[Paragraph(spans)] * 5,
            *[Source("SQL", text)] * 5,
        ],
        next=spans,
        buttons=[Button("approve", text, "approve R-1 0123456789abcdef", "primary", text)],
        small=spans,
    )
    blocks, top = blocks_of(page), text_of(page)
    assert problems([("chat.update", {"text": top, "blocks": blocks})]) == []
    assert visible_characters(blocks) < 13_000
    assert len(top) <= 4000
    assert any(thing.get("action_id") == "approve" for thing in walk(blocks))
    assert "more" in json.dumps(blocks).lower()


def test_an_empty_page_is_a_message_that_slack_takes() -> None:
    page = Page(
        "", facts=[("", ())], body=[Paragraph(()), Listing("", []), Source("", ""), Paragraph(("",))], next=("",)
    )
    assert problems([("chat.postMessage", {"text": text_of(page) or "x", "blocks": blocks_of(page)})]) == []


def test_the_text_tells_what_the_blocks_tell() -> None:
    page = Page(
        headline="head",
        facts=[("fact", ("one", Code("two"), Strong("three"), When(AT), Who("os:host/four")))],
        body=[
            Paragraph(("five",)),
            Listing("six", [("seven",)], ["eight"]),
            Source("nine", "ten"),
            Table("fourteen", ["fifteen"], [[("sixteen",)], [(Command("seventeen"),)]]),
        ],
        next=("eleven",),
        buttons=[Button("approve", "twelve", "approve R-1 0123456789abcdef")],
        small=("thirteen",),
    )
    kinds = {"text", "plain_text", "raw_text", "date"}
    said = {words.strip(": \n") for kind, words in texts(blocks_of(page)) if kind in kinds}
    assert len(said) == 21
    assert [words for words in said if words not in text_of(page)] == []


def test_a_text_that_is_too_long_keeps_its_end_and_says_what_is_left_out() -> None:
    lines = [(f"line {number} {'x' * 80}",) for number in range(200)]
    page = Page("head", body=[Listing("many", lines)], next=("press it",), buttons=[Button("approve", "Approve", "v")])
    told = text_of(page).splitlines()
    assert told[-2:] == ["Next: press it", "Buttons: Approve"]
    shown = sum(line.startswith("line ") for line in told)
    assert told[-3] == f"… {200 - shown} more lines, in the message itself"
    assert shown > 30


@pytest.mark.parametrize("rows", [1, 99, 100, 999])
def test_a_table_of_any_length_is_one_table_that_says_how_many_rows_are_left_out(rows: int) -> None:
    cells: list[list[Line]] = [[(Code(f"R-{number}"),), (Who("slack:T0ACME/U0BEN"),)] for number in range(rows)]
    page = Page("head", body=[Table("Requests", ["Request", "By"], cells)])
    blocks = blocks_of(page)
    assert problems([("chat.postMessage", {"text": text_of(page), "blocks": blocks})]) == []
    [table] = [block for block in blocks if block["type"] == "table"]
    left_out = f"and {rows - 99} more, which the terminal shows"
    assert len(table["rows"]) == min(rows, 99) + 1
    assert (left_out in json.dumps(blocks)) == (rows > 99)


def test_where_slack_takes_no_table_it_is_text_in_fixed_letters() -> None:
    page = Page("head", body=[Table("", ["Request", "Next"], [[("R-1",), (Command("show R-1"),)]])])
    blocks = blocks_of(page, tables=False)
    assert problems([("views.publish", {"view": {"type": "home", "blocks": blocks}})]) == []
    assert "R-1      /migrate show R-1" in json.dumps(blocks)


def test_a_short_list_loses_letters_and_not_the_line_that_says_how_many_more_there_are() -> None:
    page = Page("head", body=[Listing("Files", [*[("n" * 400,)] * 10, ("and 9990 more",)])])
    said = json.dumps(blocks_of(page))
    assert "and 9990 more" in said
    assert said.count("nnn\\u2026") == 10


def test_a_form_takes_any_value() -> None:
    for text in HOSTILE.values():
        value = "0123456789abcdef"
        forms = [
            reject_form("R-1", text[:40], f"reject R-1 {value}"),
            approve_form("R-1", text[:40], f"approve R-1 {value}", question=text, environment=True, code=True),
            choice_form([("plan", text[:300] or "plans")], [f"shop/{number}" for number in range(100)], "C0DEPLOYS"),
        ]
        assert problems([("views.open", {"view": view}) for view in forms]) == []


NAMES = "<!channel> <https:evil|prod>``` &lt;"
AUTHOR = "M\u200bia <@U0BEN> ```"


def hostile_stage(make_stage: Callable[..., Stage]) -> Stage:
    """A repository whose file, SQL, commit title and author try to break out."""
    stage = small(make_stage, start=False)
    sql = "-- ```\n-- <!channel> <@U0BEN> <https://evil.example|prod> &lt;b&gt; \u202eesrever\u202c ze\u200bro\x0b\n"
    path = stage.repository / "supabase" / "migrations" / f"20260101000002_{NAMES}.sql"
    path.write_text(sql + "create table public.hostile (id int);\n")
    git(stage.repository, "add", "--all")
    who = AUTHOR.replace("<", "(").replace(">", ")")
    git(
        stage.repository,
        *("-c", f"user.name={who}", "-c", "user.email=mia@acme.example", "commit", "--quiet"),
        *("-m", f"Title <!here> ``` <https://evil.example|x> \u202e {NAMES}"),
    )
    stage.start_bot()
    return stage


def test_a_hostile_repository_breaks_out_of_nothing(make_stage: Callable[..., Stage]) -> None:
    stage = hostile_stage(make_stage)
    slack = stage.slack
    plan = told(slack.say(ANA, "/migrate plan prod"))
    assert "<!channel>" in plan  # as letters
    ask(stage)
    for words in ("history", "show R-1", "status"):
        told(slack.say(ANA, f"/migrate {words}"))
    told(slack.say(ANA, "/migrate plan <!channel>"))
    told(slack.say(ANA, "/migrate push <https://evil.example|prod>"))
    told(slack.say(BEN, "/migrate reject R-1 <!channel> ``` <https://evil.example|prod> \u202e &lt;"))
    shown = card(stage, "rejected, nothing was run")
    assert "<!channel> ``` " in shown

    for method, body in slack.posts():
        assert not re.search(HIDDEN, json.dumps(body, ensure_ascii=False)), method
        assert not re.search(r"<!(channel|here|everyone|subteam)", str(body.get("text", ""))), method
        assert not re.search(r"<https?:", str(body.get("text", ""))), method
        assert all(kind != "mrkdwn" for kind, _ in texts(body)), method
        # The only links are to cards of our own, by Slack's own permalinks.
        links = {thing["url"] for thing in walk(body) if "url" in thing}
        assert all(link.startswith("https://acme.slack.com/archives/") for link in links), links
    users = {thing["user_id"] for _, body in slack.posts() for thing in walk(body) if thing.get("type") == "user"}
    assert users <= {ANA, BEN, CHI}
    [file] = slack.channel("deploys").files
    content = (file.content or b"").decode()
    assert r"\u202eesrever\u202c ze\u200bro\u000b" in content
    assert not re.search(HIDDEN, content)
    assert file.name == "R-1.sql"
    in_order(stage)


def test_an_error_of_the_database_breaks_out_of_nothing(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage, start=False)
    sql = 'select 1 as "<!channel>```<https://evil.example|x>\u202e" from public."<@U0BEN>```\u200b<!here>";\n'
    stage.migration("20260101000002_bad.sql", sql)
    stage.start_bot()
    ask(stage)
    approve(stage, BEN)
    shown = card(stage, "R-1 · shop/prod: failed half-way, 1 of 2 applied")
    assert r"<@U0BEN>```\u200b<!here>" in shown
    for method, body in stage.slack.posts():
        assert not re.search(HIDDEN, json.dumps(body, ensure_ascii=False)), method
        assert not re.search(r"<!(channel|here)|<https?:", str(body.get("text", ""))), method
    in_order(stage)

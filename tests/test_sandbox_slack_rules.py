"""The sandbox's hand-written rules and the generated schemas agree just inside and just outside each limit."""

import copy
import random
from typing import Any

import fastjsonschema
import pytest
from slack_minibot import button
from slack_minibot import reason_modal
from slack_rules import problems
from slack_rules import schema

from sandbox.slack_rules import SlackError
from sandbox.slack_rules import block_problems
from sandbox.slack_rules import check_message
from sandbox.slack_rules import check_view
from sandbox.slack_rules import walk

Block = dict[str, Any]


def text_of(kind: str, length: int) -> Block:
    return {"type": kind, "text": "x" * length}


def header(kind: str, length: int) -> Block:
    return {"type": "header", "text": text_of(kind, length)}


def section(length: int) -> Block:
    return {"type": "section", "text": text_of("mrkdwn", length)}


def fields(count: int, length: int = 1) -> Block:
    return {"type": "section", "fields": [text_of("mrkdwn", length)] * count}


def context(count: int) -> Block:
    return {"type": "context", "elements": [text_of("mrkdwn", 1)] * count}


def actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}


def numbered_buttons(count: int) -> Block:
    return actions(*(button(f"b{i}", "v") for i in range(count)))


def one_button(label: str = "b", value: str = "v", **more: Any) -> Block:
    return actions({**button(label, value), **more})


def rich(kind: str, **leaf: Any) -> Block:
    return {"type": "rich_text", "elements": [{"type": kind, "elements": [leaf]}]}


def table(rows: int, columns: int = 1) -> Block:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * columns for _ in range(rows)]}


def container(*children: Block) -> Block:
    return {"type": "container", "child_blocks": list(children)}


def named(block_id: str) -> Block:
    return {"type": "divider", "block_id": block_id}


def markdown(length: int) -> Block:
    return {"type": "markdown", "text": "x" * length}


DIVIDER = {"type": "divider"}
TASK = {"type": "task_card", "task_id": "1", "title": "Backup", "status": "complete"}
PLAN = {"type": "plan", "title": "Run", "tasks": [TASK]}
USER = {"type": "user", "user_id": "U1"}

BOUNDARIES: list[tuple[str, list[Block], list[Block]]] = [
    ("50 blocks", [DIVIDER] * 50, [DIVIDER] * 51),
    ("header of 150", [header("plain_text", 150)], [header("plain_text", 151)]),
    ("header in plain text", [header("plain_text", 1)], [header("mrkdwn", 1)]),
    ("section of 3000", [section(3_000)], [section(3_001)]),
    ("section not empty", [section(1)], [section(0)]),
    ("10 fields", [fields(10)], [fields(11)]),
    ("field of 2000", [fields(1, 2_000)], [fields(1, 2_001)]),
    ("25 buttons", [numbered_buttons(25)], [numbered_buttons(26)]),
    ("label of 75", [one_button("b" * 75)], [one_button("b" * 76)]),
    ("value of 2000", [one_button(value="v" * 2_000)], [one_button(value="v" * 2_001)]),
    ("style", [one_button(style="danger")], [one_button(style="red")]),
    ("action_id of 255", [one_button(action_id="a" * 255)], [one_button(action_id="a" * 256)]),
    ("action ids differ", [numbered_buttons(2)], [actions(button("a", "v"), button("a", "w"))]),
    ("block ids differ", [named("a"), named("b")], [named("a"), named("a")]),
    ("10 in a context", [context(10)], [context(11)]),
    ("100 rows", [table(100)], [table(101)]),
    ("20 columns", [table(1, 20)], [table(1, 21)]),
    ("one table", [table(1)], [table(1), table(1)]),
    ("one table, containers included", [container(table(1))], [container(table(1)), table(1)]),
    ("10 in a container", [container(*[DIVIDER] * 10)], [container(*[DIVIDER] * 11)]),
    ("no task in a container", [container(DIVIDER)], [container(TASK)]),
    ("preformatted has only text", [rich("rich_text_section", **USER)], [rich("rich_text_preformatted", **USER)]),
    ("a leaf has text", [rich("rich_text_section", type="text", text="x")], [rich("rich_text_section", type="text")]),
    ("plan has a title", [PLAN], [{"type": "plan", "tasks": [TASK]}]),
    ("task status", [TASK], [{**TASK, "status": "done"}]),
    ("markdown of 12000", [markdown(12_000)], [markdown(12_001)]),
    ("markdown of 12000 in all", [markdown(6_000)] * 2, [markdown(6_001)] * 2),
    ("known type", [DIVIDER], [{"type": "shout"}]),
    ("known key", [DIVIDER], [{**DIVIDER, "colour": "red"}]),
    ("13200 characters in all", [section(2_640)] * 5, [*[section(2_640)] * 5, section(1)]),
]

ALERT = {"type": "alert", "text": text_of("plain_text", 1), "level": "warning"}
HOME = {"type": "home", "blocks": [DIVIDER]}
MODAL = reason_modal("x")
VIEW_BOUNDARIES: list[tuple[str, Block, Block]] = [
    ("title of 24", MODAL, {**MODAL, "title": text_of("plain_text", 25)}),
    ("metadata of 3000", reason_modal("x" * 3_000), reason_modal("x" * 3_001)),
    ("100 blocks", {**MODAL, "blocks": [DIVIDER] * 100}, {**MODAL, "blocks": [DIVIDER] * 101}),
    ("no container in a modal", {**MODAL, "blocks": [ALERT]}, {**MODAL, "blocks": [container(DIVIDER)]}),
    ("an input needs submit", MODAL, {key: value for key, value in MODAL.items() if key != "submit"}),
    ("no task on home", HOME, {**HOME, "blocks": [TASK]}),
]


@pytest.mark.parametrize(
    ("inside", "outside"), [pytest.param(inside, outside, id=name) for name, inside, outside in BOUNDARIES]
)
def test_the_sandbox_and_the_validator_agree_on_messages(inside: list[Block], outside: list[Block]) -> None:
    check_message(inside)
    assert problems([("chat.postMessage", {"text": "x", "blocks": inside})]) == []
    with pytest.raises(SlackError):
        check_message(outside)
    assert problems([("chat.postMessage", {"text": "x", "blocks": outside})])


@pytest.mark.parametrize(
    ("inside", "outside"), [pytest.param(inside, outside, id=name) for name, inside, outside in VIEW_BOUNDARIES]
)
def test_the_sandbox_and_the_validator_agree_on_views(inside: Block, outside: Block) -> None:
    check_view(inside, inside["type"])
    assert problems([("views.open", {"view": inside})]) == []
    with pytest.raises(SlackError):
        check_view(outside, outside["type"])
    assert problems([("views.open", {"view": outside})])


WORD = {"type": "plain_text", "text": "x", "emoji": True}
OPTION = {"text": WORD, "value": "v"}
CONFIRM = {"title": WORD, "text": WORD, "confirm": WORD, "deny": WORD, "style": "danger"}
RICH = rich("rich_text_section", type="text", text="x", style={"bold": True})
EXAMPLES: list[Block] = [
    header("plain_text", 1),
    {**section(1), "accessory": {**button("b", "v"), "confirm": CONFIRM, "url": "https://a.example"}},
    fields(2),
    context(2),
    actions(
        {"type": "static_select", "options": [OPTION], "action_id": "s", "initial_option": OPTION},
        {"type": "overflow", "options": [OPTION, OPTION], "action_id": "o"},
        {"type": "checkboxes", "options": [OPTION], "initial_options": [OPTION], "action_id": "c"},
    ),
    {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "bullet", "elements": RICH["elements"]}]},
    {"type": "image", "alt_text": "x", "image_url": "https://a.example", "title": WORD},
    *MODAL["blocks"],
    {**table(2, 2), "column_settings": [{"align": "left", "is_wrapped": True}]},
    {**container(DIVIDER, section(1)), "title": WORD, "width": "wide", "is_collapsible": True},
    {**PLAN, "tasks": [{**TASK, "details": RICH}]},
]
LENGTHS = (0, 1, 25, 31, 76, 101, 151, 256, 301, 2_001, 3_001, 12_001)
INTRUDERS = (None, 1, True, "mrkdwn", [], {}, WORD, {"type": "mrkdwn", "text": "x"}, *EXAMPLES)


def spoiled(block: Block, chance: random.Random) -> Block:
    """The block with one thing taken away, stretched, repeated, replaced or added somewhere inside."""
    changed = copy.deepcopy(block)
    places = [(holder, key) for holder in walk(changed) for key in holder]
    holder, key = chance.choice(places)
    value = holder[key]
    match chance.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(value, str):
            holder[key] = "x" * chance.choice(LENGTHS)
        case 2 if isinstance(value, list):
            holder[key] = value * chance.choice((6, 11, 26))
        case 3:
            holder[chance.choice(("colour", "style", "emoji", "verbatim", "type"))] = chance.choice((1, "x", True))
        case _:
            holder[key] = copy.deepcopy(chance.choice(INTRUDERS))
    return changed


@pytest.mark.parametrize("surface", ["message", "modal", "home"])
def test_what_the_schema_refuses_the_sandbox_refuses(surface: str) -> None:
    chance = random.Random(7)  # noqa: S311 -- the same spoiled blocks in every run
    around = {"message": {"channel": "C1", "text": "x"}, "modal": MODAL, "home": HOME}[surface]
    refused = 0
    for _ in range(1_500):
        block = spoiled(chance.choice(EXAMPLES), chance)
        try:
            schema(surface)({**around, "blocks": [block]})
        except fastjsonschema.JsonSchemaException:
            refused += 1
            assert block_problems([block], surface), block
    assert refused > 500


@pytest.mark.parametrize(
    ("blocks", "metadata", "code"),
    [
        ([table(1), table(1)], None, "invalid_attachments"),
        ([section(3_000)] * 5, None, "msg_blocks_too_long"),
        ([header("plain_text", 151)], None, "invalid_blocks"),
        ("words", None, "invalid_blocks"),
        ([None], None, "invalid_blocks"),
        ([{"type": ["header"]}], None, "invalid_blocks"),
        ([], {"event_type": "card"}, "invalid_metadata_format"),
        ([], {"event_type": "card", "event_payload": "x"}, "invalid_metadata_schema"),
        ([], {"event_type": "card", "event_payload": {"x": "x" * 4_000}}, "metadata_too_large"),
    ],
)
def test_each_refusal_has_slacks_code(blocks: Any, metadata: Any, code: str) -> None:
    with pytest.raises(SlackError) as refused:
        check_message(blocks, metadata)
    assert refused.value.code == code


def test_the_validator_holds_the_rules_of_the_house() -> None:
    two_primary = [actions(button("a", "v", style="primary"), button("b", "v", style="primary"))]
    found = problems(
        [
            ("chat.postMessage", {"text": " "}),
            ("chat.update", {"text": "x" * 4_001}),
            ("response_url", {"text": "x", "blocks": two_primary}),
        ]
    )
    assert found == [
        "chat.postMessage: no top-level text",
        "chat.update: text of 4001 characters",
        "response_url: more than one primary button",
    ]

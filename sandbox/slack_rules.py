"""What Slack refuses in messages and views, by its published limits (docs.slack.dev and @slack/types, read 2026-11-22).

Kinds of blocks and elements that are not listed here are refused too: a card must not rest on what this
sandbox cannot check.
"""

import json
from collections.abc import Iterator
from typing import Any

from sandbox.slack_shapes import JSON
from sandbox.slack_shapes import Check
from sandbox.slack_shapes import Problem
from sandbox.slack_shapes import any_text
from sandbox.slack_shapes import by_type
from sandbox.slack_shapes import choice
from sandbox.slack_shapes import flag
from sandbox.slack_shapes import items
from sandbox.slack_shapes import number
from sandbox.slack_shapes import plain_text
from sandbox.slack_shapes import record
from sandbox.slack_shapes import string

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
UPDATE_TEXT_CHARACTERS = 4_000
POST_TEXT_CHARACTERS = 40_000
# Slack states no number; others measured about 13,200 characters over all blocks of one message.
MESSAGE_BLOCKS_CHARACTERS = 13_200
MARKDOWN_CHARACTERS = 12_000
TABLE_CHARACTERS = 10_000
METADATA_CHARACTERS = 4_000
VIEW_BYTES = 250_000
UNBOUNDED = 1_000_000
VISIBLE_TEXT_KEYS = ("text", "title", "label", "placeholder", "hint", "alt_text", "fallback")


class SlackError(Exception):
    """A refusal as the Web API words it: a code, and for payloads the places that are wrong."""

    def __init__(self, code: str, *messages: object) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.messages = tuple(str(message) for message in messages)


# --- elements -------------------------------------------------------------------------------------

ID = string(255)
COLOUR = choice("primary", "danger")
CONFIRM = record(
    {"text": any_text(300)},
    {"title": plain_text(100), "confirm": plain_text(30), "deny": plain_text(30), "style": COLOUR},
)
BUTTON = record(
    {"text": plain_text(75)},
    {
        "action_id": ID,
        "value": string(2_000),
        "url": string(3_000),
        "style": COLOUR,
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)
PLAIN_OPTION = record({"text": plain_text(75), "value": string(75)}, {"url": string(3_000)})
OPTION = record({"text": any_text(75), "value": string(75)})
STATIC_SELECT = record(
    {"options": items(PLAIN_OPTION, 100)},
    {
        "action_id": ID,
        "initial_option": PLAIN_OPTION,
        "placeholder": plain_text(150),
        "confirm": CONFIRM,
        "focus_on_load": flag,
    },
)
OVERFLOW = record({"options": items(PLAIN_OPTION, 5)}, {"action_id": ID, "confirm": CONFIRM})
RADIO_BUTTONS = record(
    {"options": items(OPTION, 10)},
    {"action_id": ID, "initial_option": OPTION, "confirm": CONFIRM, "focus_on_load": flag},
)
CHECKBOXES = record(
    {"options": items(OPTION, 10)},
    {"action_id": ID, "initial_options": items(OPTION, 10), "confirm": CONFIRM, "focus_on_load": flag},
)
PLAIN_TEXT_INPUT = record(
    {},
    {
        "action_id": ID,
        "initial_value": string(3_000, least=0),
        "max_length": number,
        "min_length": number,
        "multiline": flag,
        "placeholder": plain_text(150),
        "focus_on_load": flag,
    },
)
IMAGE = record({"alt_text": string(2_000), "image_url": string(3_000)})

CHOOSERS = {"static_select": STATIC_SELECT, "radio_buttons": RADIO_BUTTONS, "checkboxes": CHECKBOXES}
PRESSED = {"button": BUTTON, "overflow": OVERFLOW, **CHOOSERS}

# --- rich text ------------------------------------------------------------------------------------

STYLE = record({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline"), flag))
TEXT_LEAF = record({"text": string(UNBOUNDED)}, {"style": STYLE})
LINK_LEAF = record({"url": string(3_000)}, {"text": string(UNBOUNDED), "style": STYLE, "unsafe": flag})
LEAF = by_type(
    {
        "text": TEXT_LEAF,
        "link": LINK_LEAF,
        "user": record({"user_id": ID}, {"style": STYLE}),
        "usergroup": record({"usergroup_id": ID}, {"style": STYLE}),
        "channel": record({"channel_id": ID}, {"style": STYLE}),
        "emoji": record({"name": ID}, {"style": STYLE}),
        "date": record(
            {"timestamp": number, "format": ID}, {"fallback": string(3_000), "url": string(3_000), "style": STYLE}
        ),
    }
)
BORDER = choice(0, 1)
RICH_SECTION = record({"elements": items(LEAF, UNBOUNDED)})
RICH_PART = by_type(
    {
        "rich_text_section": RICH_SECTION,
        "rich_text_quote": record({"elements": items(LEAF, UNBOUNDED)}, {"border": BORDER}),
        "rich_text_preformatted": record(
            {"elements": items(by_type({"text": TEXT_LEAF, "link": LINK_LEAF}), UNBOUNDED)}, {"border": BORDER}
        ),
        "rich_text_list": record(
            {
                "elements": items(by_type({"rich_text_section": RICH_SECTION}), UNBOUNDED),
                "style": choice("bullet", "ordered"),
            },
            {"indent": number, "border": BORDER},
        ),
    }
)
RICH_TEXT = record({"elements": items(RICH_PART, UNBOUNDED)}, {"block_id": ID})
RICH_TEXT_OBJECT = by_type({"rich_text": RICH_TEXT})

# --- blocks ---------------------------------------------------------------------------------------


IMAGE_BLOCK = record(
    {"alt_text": string(2_000)},
    {"image_url": string(3_000), "slack_file": record({"id": ID}), "block_id": ID, "title": plain_text(2_000)},
)
SECTION = record(
    {},
    {
        "block_id": ID,
        "text": any_text(3_000),
        "fields": items(any_text(2_000), 10),
        "accessory": by_type({**PRESSED, "image": IMAGE}),
        "expand": flag,
    },
)
CELL = by_type({"raw_text": record({"text": string(TABLE_CHARACTERS)}), "rich_text": RICH_TEXT})
TABLE = record(
    {"rows": items(items(CELL, 20), 100)},
    {
        "block_id": ID,
        "column_settings": items(record({}, {"align": choice("left", "center", "right"), "is_wrapped": flag}), 20),
    },
)


def _section(value: JSON, at: str) -> list[Problem]:
    found = SECTION(value, at)
    if "text" not in value and "fields" not in value:
        found.append(Problem("missing required field: text or fields", at))
    return found


def _image(value: JSON, at: str) -> list[Problem]:
    found = IMAGE_BLOCK(value, at)
    if ("image_url" in value) == ("slack_file" in value):
        found.append(Problem("must have either image_url or slack_file", at))
    return found


def _table(value: JSON, at: str) -> list[Problem]:
    found = TABLE(value, at)
    if not found and visible_characters([value]) > TABLE_CHARACTERS:
        found.append(Problem(f"all cells must be less than {TABLE_CHARACTERS + 1} characters", at))
    return found


TASK_CARD = record(
    {"task_id": ID, "title": string(3_000), "status": choice("pending", "in_progress", "complete", "error")},
    {
        "block_id": ID,
        "details": RICH_TEXT_OBJECT,
        "output": RICH_TEXT_OBJECT,
        "sources": items(by_type({"url": record({"url": string(3_000), "text": string(3_000)})}), 100),
    },
)
CONTEXT_ELEMENT = by_type(
    {
        "plain_text": record({"text": string(3_000)}, {"emoji": flag}),
        "mrkdwn": record({"text": string(3_000)}, {"verbatim": flag}),
        "image": IMAGE,
    }
)
INPUT = record(
    {"label": plain_text(2_000), "element": by_type({"plain_text_input": PLAIN_TEXT_INPUT, **CHOOSERS})},
    {"block_id": ID, "hint": plain_text(2_000), "optional": flag, "dispatch_action": flag},
)
ANYWHERE: dict[str, Check] = {
    "header": record({"text": plain_text(150)}, {"block_id": ID}),
    "section": _section,
    "context": record({"elements": items(CONTEXT_ELEMENT, 10)}, {"block_id": ID}),
    "divider": record({}, {"block_id": ID}),
    "actions": record({"elements": items(by_type(PRESSED), 25)}, {"block_id": ID}),
    "rich_text": RICH_TEXT,
    "image": _image,
    "input": INPUT,
}
CONTAINER = record(
    {"child_blocks": items(by_type({**ANYWHERE, "table": _table}), 10)},
    {
        "block_id": ID,
        "title": plain_text(150),
        "subtitle": any_text(150),
        "rich_text_title": RICH_TEXT_OBJECT,
        "is_collapsible": flag,
        "default_collapsed": flag,
        "has_header_divider": flag,
        "width": choice("narrow", "standard", "wide", "full"),
    },
)
PLAN = record(
    {"title": string(3_000)}, {"block_id": ID, "tasks": items(by_type({"task_card": TASK_CARD}), MESSAGE_BLOCKS)}
)
ALERT = record(
    {"text": any_text(3_000)},
    {"block_id": ID, "level": choice("default", "info", "warning", "error", "success")},
)
SURFACES: dict[str, Check] = {
    "message": by_type(
        {
            **ANYWHERE,
            "table": _table,
            "container": CONTAINER,
            "plan": PLAN,
            "task_card": TASK_CARD,
            "markdown": record({"text": string(MARKDOWN_CHARACTERS)}, {"block_id": ID}),
        }
    ),
    "modal": by_type({**ANYWHERE, "alert": ALERT}),
    # Sources disagree about tables on Home: refused, so that nothing rests on them.
    "home": by_type(ANYWHERE),
}
VIEWS: dict[str, Check] = {
    "modal": record(
        {"title": plain_text(24), "blocks": items(SURFACES["modal"], VIEW_BLOCKS)},
        {
            "submit": plain_text(24),
            "close": plain_text(24),
            "callback_id": ID,
            "private_metadata": string(3_000, least=0),
            "external_id": ID,
            "clear_on_close": flag,
            "notify_on_close": flag,
        },
    ),
    "home": record(
        {"blocks": items(SURFACES["home"], VIEW_BLOCKS)},
        {"callback_id": ID, "private_metadata": string(3_000, least=0), "external_id": ID},
    ),
}


def block_problems(blocks: Any, surface: str, at: str = "/blocks") -> list[Problem]:
    """All that is wrong with the blocks of one message, modal or home; empty when Slack would take them."""
    most = MESSAGE_BLOCKS if surface == "message" else VIEW_BLOCKS
    found = items(SURFACES[surface], most, least=0)(blocks, at)
    return found or _unique_id_problems(blocks, at) + _markdown_problems(blocks, at)


def view_problems(view: Any) -> list[Problem]:
    """All that is wrong with a modal or a home tab."""
    found = by_type(VIEWS)(view, "/view")
    if found:
        return found
    if view["type"] == "modal" and "submit" not in view and any(b["type"] == "input" for b in view["blocks"]):
        found.append(Problem("missing required field: submit", "/view"))
    return found + _unique_id_problems(view["blocks"], "/view/blocks")


def check_message(blocks: Any, metadata: Any = None) -> None:
    """Return when Slack would take these blocks and metadata; raises `SlackError` with Slack's code otherwise."""
    problems = block_problems(blocks, "message")
    if problems:
        raise SlackError("invalid_blocks", *(f"[ERROR] {problem}" for problem in problems))
    if sum(1 for thing in walk(blocks) if thing.get("type") == "table") > 1:
        raise SlackError("invalid_attachments", "[ERROR] only_one_table_allowed")
    if visible_characters(blocks) > MESSAGE_BLOCKS_CHARACTERS:
        raise SlackError("msg_blocks_too_long")
    if metadata is not None:
        _check_metadata(metadata)


def check_view(view: Any, kind: str) -> None:
    """Return when Slack would take this view as a `kind` (modal or home); raises `SlackError` otherwise."""
    if len(json.dumps(view).encode()) > VIEW_BYTES:
        raise SlackError("view_too_large")
    problems = view_problems(view)
    if not problems and view["type"] != kind:
        problems = [Problem(f"must be one of: {kind}", "/view/type")]
    if problems:
        raise SlackError("invalid_arguments", *(f"[ERROR] {problem}" for problem in problems))


def walk(value: Any) -> Iterator[JSON]:
    """Every object inside a JSON value, outermost first."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def visible_characters(blocks: list[JSON]) -> int:
    """How many characters people can read in the blocks; ids, values and links do not count."""
    return sum(
        len(thing[key]) for thing in walk(blocks) for key in VISIBLE_TEXT_KEYS if isinstance(thing.get(key), str)
    )


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or set(metadata) != {"event_type", "event_payload"}:
        raise SlackError("invalid_metadata_format")
    if not isinstance(metadata["event_type"], str) or not isinstance(metadata["event_payload"], dict):
        raise SlackError("invalid_metadata_schema")
    if len(json.dumps(metadata)) > METADATA_CHARACTERS:
        raise SlackError("metadata_too_large")


def _unique_id_problems(blocks: list[JSON], at: str) -> list[Problem]:
    found: list[Problem] = []
    seen: set[str] = set()
    for i, block in enumerate(blocks):
        inner = block.get("child_blocks", [])
        for one in (block, *inner):
            if (block_id := one.get("block_id")) is not None:
                if block_id in seen:
                    found.append(Problem(f"block_id {block_id} already exists", f"{at}/{i}/block_id"))
                seen.add(block_id)
            actions = [e["action_id"] for e in one.get("elements", []) if "action_id" in e]
            found += [
                Problem(f"action_id {action_id} already exists", f"{at}/{i}/elements")
                for action_id in sorted({a for a in actions if actions.count(a) > 1})
            ]
    return found


def _markdown_problems(blocks: list[JSON], at: str) -> list[Problem]:
    total = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if total > MARKDOWN_CHARACTERS:
        return [Problem(f"all markdown blocks must be less than {MARKDOWN_CHARACTERS + 1} characters", at)]
    return []

"""Whether what was sent to Slack is in order: Slack's own shapes and limits, and the few rules of this project.

The JSON schemas in `schemas/` were generated from @slack/types 3.2.0, with the limits of its comments added.
"""

import html
import json
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from sandbox.slack_rules import METADATA_CHARACTERS
from sandbox.slack_rules import SlackError
from sandbox.slack_rules import check_message
from sandbox.slack_rules import check_view
from sandbox.slack_rules import walk

SCHEMAS = Path(__file__).parent / "schemas"
TEXT_CHARACTERS = 4_000
BLOCKS_JSON_CHARACTERS = 40_000
LEFT_OUT = " more lines, in the message itself"
SAYS_NOTHING = ("delete_original", "response_action")


@cache
def schema(surface: str) -> Callable[[Any], Any]:
    """The compiled schema of a message, modal or home; it raises JsonSchemaException on what does not fit."""
    text = (SCHEMAS / f"block-kit.{surface}.schema.json").read_text()
    compiled: Callable[[Any], Any] = fastjsonschema.compile(json.loads(text))
    return compiled


def problems(posts: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """What is wrong with these (method, body) pairs, one sentence each; empty when all is well.

    `FakeSlack.posts()` has them.
    """
    found: list[str] = []
    for method, body in posts:
        wrong = _view_problems(body["view"]) if "view" in body else _message_problems(body)
        found += [f"{method}: {problem}" for problem in wrong]
    return found


def _message_problems(body: dict[str, Any]) -> list[str]:
    if any(key in body for key in SAYS_NOTHING):
        return []
    text, blocks = body.get("text") or "", body.get("blocks") or []
    found = []
    if not text.strip():
        found.append("no top-level text")
    if len(text) > TEXT_CHARACTERS:
        found.append(f"text of {len(text)} characters")
    metadata = body.get("metadata")
    if metadata and len(json.dumps(metadata)) > METADATA_CHARACTERS:
        found.append("metadata too large")
    found += _schema_problems("message", {"channel": "C1", "text": "x"}, blocks)
    try:
        check_message(blocks)
    except SlackError as refused:
        found.append(f"{refused.code}: {', '.join(refused.messages)}")
    return found + _house_problems(blocks)


def unsaid(posts: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the blocks of messages show and a screen reader, which reads the text alone, does not say.

    A text that is too long says that it is cut.
    """
    found = []
    for method, body in posts:
        text = _words(html.unescape(body.get("text") or ""))
        if body.get("blocks") and LEFT_OUT not in text:
            found += [f"{method}: {one}" for one in map(_words, _shown(body["blocks"])) if one not in text]
    return found


def _words(text: str) -> str:
    return " ".join(text.replace("`", "").split()).strip(": ")


def _shown(found: Any) -> Iterator[str]:
    """All words of blocks that somebody sees without pressing anything, in their order."""
    if isinstance(found, dict):
        if found.get("type") in {"text", "plain_text", "raw_text"}:
            yield str(found["text"])
        for name, inside in found.items():
            if name != "confirm":
                yield from _shown(inside)
    elif isinstance(found, list):
        for one in found:
            yield from _shown(one)


def _view_problems(view: dict[str, Any]) -> list[str]:
    sent = {key: value for key, value in view.items() if key not in ("id", "hash")}
    surface = "home" if sent.get("type") == "home" else "modal"
    found = _schema_problems(surface, {**sent, "blocks": []}, sent.get("blocks", []))
    try:
        check_view(sent, surface)
    except SlackError as refused:
        found.append(f"{refused.code}: {', '.join(refused.messages)}")
    return found + _house_problems(sent.get("blocks", []))


def _schema_problems(surface: str, around: dict[str, Any], blocks: list[Any]) -> list[str]:
    """Block by block, since the schema's own errors name no block; then all together for their number."""
    checked = schema(surface)
    found = []
    for i, block in enumerate(blocks):
        try:
            checked({**around, "blocks": [block]})
        except fastjsonschema.JsonSchemaException as error:
            found.append(f"block {i} ({block.get('type')}) does not fit the {surface} schema: {str(error)[:100]}")
    if not found:
        try:
            checked({**around, "blocks": blocks})
        except fastjsonschema.JsonSchemaException as error:
            found.append(f"does not fit the {surface} schema: {str(error)[:100]}")
    return found


def _house_problems(blocks: list[Any]) -> list[str]:
    """Rules of ours: one primary button at most, and no payload near what Slack may cut."""
    found = []
    if sum(1 for thing in walk(blocks) if thing.get("style") == "primary" and thing.get("type") == "button") > 1:
        found.append("more than one primary button")
    if sum(1 for thing in walk(blocks) if thing.get("type") in ("table", "data_table")) > 1:
        found.append("more than one table")
    if len(json.dumps(blocks)) > BLOCKS_JSON_CHARACTERS:
        found.append("blocks too large")
    return found

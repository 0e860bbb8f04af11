"""Messages and views as plain text, for terminals and for tests that read what a person reads."""

import re
from collections.abc import Callable
from datetime import UTC
from datetime import datetime

from sandbox.slack_shapes import JSON

Names = Callable[[str], str]
"""What people read for an id, such as @Ben for U0BEN."""

RULE = "─" * 40
TASK_SIGNS = {"pending": "○", "in_progress": "●", "complete": "✔", "error": "✘"}


def render_blocks(blocks: list[JSON], names: Names) -> str:
    """All blocks, one below the other, buttons as [Approve]."""
    return "\n".join(_block(block, names) for block in blocks)


def render_mrkdwn(text: str, names: Names) -> str:
    """Slack's markup as people read it: names for ids, dates by their fallback, entities undone."""
    text = re.sub(r"<[@#]([A-Z0-9]+)(?:\|[^>]*)?>", lambda m: names(m[1]), text)
    text = re.sub(r"<!subteam\^([A-Z0-9]+)(?:\|[^>]*)?>", lambda m: names(m[1]), text)
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<!(here|channel|everyone)(?:\|[^>]*)?>", r"@\1", text)
    text = re.sub(r"<([a-z]+:[^|>]+)\|([^>]+)>", r"\2 (\1)", text)
    text = re.sub(r"<([a-z]+:[^|>]+)>", r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _block(block: JSON, names: Names) -> str:
    """One block; a kind that has no way of its own is shown by its text."""
    draw = DRAWN.get(block["type"])
    return draw(block, names) if draw else str(block.get("text", ""))


def _context(block: JSON, names: Names) -> str:
    return "· " + " · ".join(_element(element, names) for element in block["elements"])


def _actions(block: JSON, names: Names) -> str:
    return " ".join(_element(element, names) for element in block["elements"])


def _rich_text(block: JSON, names: Names) -> str:
    return "\n".join(_rich_part(part, names) for part in block["elements"])


def _plan(block: JSON, names: Names) -> str:
    return "\n".join([block["title"], *(_task(task, names) for task in block.get("tasks", []))])


def _container(block: JSON, names: Names) -> str:
    title = block.get("title", {}).get("text", "")
    return _indented(render_blocks(block["child_blocks"], names), first=f"▾ {title}")


def _section(block: JSON, names: Names) -> str:
    lines = [_text(block["text"], names)] if "text" in block else []
    lines += [_text(field, names) for field in block.get("fields", [])]
    if "accessory" in block:
        lines.append(_element(block["accessory"], names))
    return "\n".join(lines)


def _text(text: JSON, names: Names) -> str:
    words: str = text["text"]
    return render_mrkdwn(words, names) if text["type"] == "mrkdwn" else words


def _element(element: JSON, names: Names) -> str:
    match element["type"]:
        case "plain_text" | "mrkdwn":
            return _text(element, names)
        case "button":
            return f"[{element['text']['text']}]"
        case "image":
            return f"({element['alt_text']})"
        case "plain_text_input":
            return f"<{element.get('initial_value', '')}>"
        case _:
            return "[" + " | ".join(_text(option["text"], names) for option in element["options"]) + "]"


def _rich_part(part: JSON, names: Names) -> str:
    match part["type"]:
        case "rich_text_preformatted":
            return _indented(_leaves(part, names))
        case "rich_text_quote":
            return "\n".join(f"> {line}" for line in _leaves(part, names).splitlines())
        case "rich_text_list":
            ordered = part["style"] == "ordered"
            signs = (f"{i}." if ordered else "•" for i in range(1, len(part["elements"]) + 1))
            lines = zip(signs, part["elements"], strict=True)
            return "\n".join(f"{sign} {_leaves(item, names)}" for sign, item in lines)
        case _:
            return _leaves(part, names)


def _leaves(part: JSON, names: Names) -> str:
    return "".join(_leaf(leaf, names) for leaf in part["elements"])


def _leaf(leaf: JSON, names: Names) -> str:
    match leaf["type"]:
        case "user" | "usergroup" | "channel":
            return names(leaf[f"{leaf['type']}_id"])
        case "link":
            return f"{leaf['text']} ({leaf['url']})" if leaf.get("text") else str(leaf["url"])
        case "emoji":
            return f":{leaf['name']}:"
        case "date":
            at = datetime.fromtimestamp(leaf["timestamp"], UTC)
            return str(leaf.get("fallback") or f"{at:%Y-%m-%d %H:%M} UTC")
        case _:
            return str(leaf["text"])


def _task(task: JSON, names: Names) -> str:
    lines = [f"{TASK_SIGNS[task['status']]} {task['title']}"]
    lines += [_indented(_block(task[key], names)) for key in ("details", "output") if key in task]
    return "\n".join(lines)


def _table(block: JSON, names: Names) -> str:
    rows = [[_cell(cell, names) for cell in row] for row in block["rows"]]
    columns = max(len(row) for row in rows)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + " |" for row in rows
    )


def _cell(cell: JSON, names: Names) -> str:
    text = str(cell["text"]) if cell["type"] == "raw_text" else _block(cell, names)
    return text.replace("\n", " ")


def _indented(text: str, first: str | None = None) -> str:
    lines = [f"    {line}" for line in text.splitlines()]
    return "\n".join(lines if first is None else [first, *lines])


DRAWN: dict[str, Callable[[JSON, Names], str]] = {
    "header": lambda block, _names: f"== {block['text']['text']} ==",
    "divider": lambda _block, _names: RULE,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "rich_text": _rich_text,
    "table": _table,
    "plan": _plan,
    "task_card": _task,
    "container": _container,
    "input": lambda block, names: f"{block['label']['text']}: {_element(block['element'], names)}",
    "alert": lambda block, names: f"! {_text(block['text'], names)}",
    "image": lambda block, _names: f"({block['alt_text']})",
}

"""`types` at the terminal of whoever asks: printed, written into their working tree, or compared with what is there."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.knock import reply_json
from commands.page import Code
from commands.page import Page
from commands.page_json import page_json
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason

_NO_DIFFERENCE = re.compile(r"[\s;,'\"]+")


def finish(words: Sequence[str], answer: dict[str, Any], start: Path) -> dict[str, Any]:
    """The answer with the types as text, or with what became of the file. Raises OpsError(BAD_USAGE) outside a project."""
    reply = answer["reply"]
    if "--write" not in words and "--check" not in words:
        return {**answer, "text": reply["types"]}
    file = _root(start) / str(reply["path"])
    if "--write" in words:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.write_text(str(reply["types"]))
        draft.replace(file)
        page = Page(f"Wrote the types of {reply['target']}", [("File", (Code(str(reply["path"])),))], tone="good")
        return {**answer, "page": page_json(page)}
    try:
        there = file.read_text()
    except (OSError, UnicodeDecodeError):
        there = ""
    if same_types(there, str(reply["types"])):
        return {**answer, "page": page_json(Page(f"{reply['path']} is what {reply['target']} has", tone="good"))}
    message = f"{reply['path']} is not what {reply['target']} has." if there else f"{reply['path']} cannot be read."
    told = {
        "status": "failed",
        "reason": Reason.TYPES_STALE.value,
        "message": message,
        "hint": f"`types {str(reply['target']).partition('/')[2]} --write` makes it so; then commit it.",
    }
    data = {key: value for key, value in reply.items() if key != "ok"}
    return reply_json(Reply(Page(message, next=(told["hint"],), tone="bad"), {**data, **told}, ok=False, exit_code=1))


def same_types(one: str, other: str) -> bool:
    """Whether two files of types say the same, however they are laid out."""
    return _NO_DIFFERENCE.sub("", one) == _NO_DIFFERENCE.sub("", other)


def _root(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise OpsError(Reason.BAD_USAGE, "Here is no git repository whose types could be meant.", "Go into the repository.")

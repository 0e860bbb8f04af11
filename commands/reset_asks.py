"""Typing the name of what is to be reset, at the terminal of whoever asked, whoever answers."""

import sys
from collections.abc import Sequence
from typing import Any

from commands.page_json import read_page
from commands.screen import screen_of
from commands.screen import shown_page
from ops.approving import PREFIX_LENGTH


def typed_name(words: Sequence[str], answer: dict[str, Any], colour: Any = "auto") -> list[str] | None:
    """The line to say once the name was typed for what was shown; None where nobody can be asked, or nobody typed it."""
    if answer["reply"].get("status") != "shown" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print(shown_page(read_page(answer["page"]), screen_of(sys.stderr, colour)), file=sys.stderr)
    name = str(answer["reply"]["target"]).partition("/")[2]
    print(f"\nType {name} to do exactly this, or anything else to leave it: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip()
    if not typed:
        return None
    return [*words, "--name", typed, "--plan", str(answer["reply"]["digest"])[:PREFIX_LENGTH]]

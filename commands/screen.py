"""Where people read at the terminal: how wide it is, whether it shows colours, in which zone its reader lives.

Light on purpose: what goes into a pipe is plain text, and needs no library to be laid out.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from typing import TextIO

from commands.page import Page
from commands.page import plain_page

Colour = Literal["auto", "always", "never"]
COLOURS: tuple[Colour, ...] = ("auto", "always", "never")

NARROWEST = 20

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""What could move a terminal's cursor or turn its letters around; texts come from repositories and databases."""


def printable(text: str) -> str:
    """Text that moves nothing on the terminal: control characters are shown as `\\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@dataclass(frozen=True)
class Screen:
    """What a stream can show. `width` is in cells; `is_terminal` false: a pipe or a file, which programs read too."""

    is_terminal: bool
    has_colour: bool
    has_lines: bool
    width: int


def screen_of(stream: TextIO, colour: Colour = "auto", environment: Mapping[str, str] = os.environ) -> Screen:
    """What can be shown on a stream, as the reader wants it."""
    is_terminal = stream.isatty()
    return Screen(
        is_terminal=is_terminal,
        has_colour=_has_colour(colour, is_terminal, environment),
        has_lines=(stream.encoding or "").lower().replace("-", "") == "utf8",
        width=width_of(stream, environment),
    )


def width_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> int:
    """How many cells wide a stream is: COLUMNS, else what the terminal says, else 80."""
    said = environment.get("COLUMNS", "")
    if said.isdecimal() and 0 < int(said) < 10_000:
        return max(NARROWEST, int(said))
    try:
        return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns or 80)
    except (OSError, ValueError):
        return 80


def _has_colour(colour: Colour, is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """The option, then NO_COLOR (no-color.org), then the variables that force colour, then what the stream is."""
    if colour != "auto":
        return colour == "always"
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in {"", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and environment.get("TERM") != "dumb" and environment.get("CLICOLOR") != "0"


def shown_page(page: Page, screen: Screen) -> str:
    """A page as this screen shows it, without a line's end. A pipe gets plain text, and times in UTC."""
    if not screen.is_terminal and not screen.has_colour:
        return printable(plain_page(page))
    from commands.terminal_page import terminal_page  # takes its time to load, and a pipe does not need it

    return terminal_page(page, screen)

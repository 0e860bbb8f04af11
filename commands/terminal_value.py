"""The value of a secret at the terminal: asked for without being shown, or read from standard input, and said with the words.

It goes to the process that holds the log through the door, beside the words and never among them.
"""

import getpass
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from commands.knock import HELLO_SECONDS
from commands.knock import knock
from commands.progress_line import ProgressLine
from ops.errors import OpsError
from ops.errors import Reason
from ops.values import MOST_BYTES
from ops.values import checked_value

if TYPE_CHECKING:
    from ops.settings import Settings


def enter_value(
    settings: "Settings", words: Sequence[str], answer: dict[str, Any], *, is_quiet: bool
) -> dict[str, Any]:
    """What the same words answer once the value is said with them; the first answer where nobody can be asked for it.

    Raises OpsError(BAD_USAGE) for a value that cannot be one.
    """
    from_stdin = "--from-stdin" in words
    if not from_stdin and not sys.stdin.isatty():
        return answer
    value = checked_value(_read() if from_stdin else _typed())
    deadline = time.monotonic() + HELLO_SECONDS
    with ProgressLine(is_quiet=is_quiet) as progress:
        heard = knock(settings.log_path, words, progress, value=value)
        if heard is not None:
            return heard
        from commands.terminal import say_or_knock

        return say_or_knock(settings, words, progress, deadline, value=value)


def _typed() -> str:
    """What somebody types unseen; nothing where they end the input instead."""
    try:
        return getpass.getpass("The value (not shown): ")
    except EOFError:
        return ""


def _read() -> str:
    """Standard input to its end, or a little more than the longest value."""
    raw = sys.stdin.buffer.read(MOST_BYTES + 3)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise OpsError(Reason.BAD_USAGE, "That value is not UTF-8 text.", "Say it in another way.") from None

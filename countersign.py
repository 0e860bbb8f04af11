"""The entry: wires the rooms together and turns a command line into a reply, an exit code and nothing else.

What a word does not need is not loaded: Slack's libraries are the bot's, and the log and the ops layer are for the
process that works, which is another one while the bot runs.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from typing import Any
from typing import NoReturn

from commands.knock import HELLO_SECONDS
from commands.knock import knock
from commands.knock import reply_json
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Source
from commands.reply import Reply
from commands.reply import error_reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import Settings
from ops.settings import load_settings

logger = logging.getLogger("countersign")

TOOLS = {
    "init": "a first configuration and an empty log",
    "doctor": "what is wrong with the configuration, the log, tokens, databases, tools",
    "demo": "a Slack, a Postgres and an example project on your desk",
    "bot": "serve Slack: in Socket Mode, or with --http at /slack/events",
    "audit": "the log: create, verify, query, export",
}
"""The words for whoever has the shell; the others are modules of commands/."""

_HELP = {"-h", "--help"}
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""What could move a terminal's cursor or turn its letters around; texts come from repositories and databases."""


class _Helped(Exception):
    """Somebody asked a tool's parser for help; the text is the answer."""


class _Parser(argparse.ArgumentParser):
    """Answers as every word does, instead of printing and leaving."""

    def error(self, message: str) -> NoReturn:
        raise OpsError(Reason.BAD_USAGE, f"{self.prog}: {message}.", " ".join(self.format_usage().split()))

    def print_help(self, file: IO[str] | None = None) -> None:
        raise _Helped(self.format_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is the contract's."""
    given = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in given
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io_text):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _finish(_answer(given), as_json)
    except KeyboardInterrupt:
        return _finish(reply_json(_stopped()), as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1

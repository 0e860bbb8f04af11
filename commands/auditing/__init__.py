"""The actions of `countersign audit`: one module each, named in `ACTIONS`, imported when it is asked for.

A module has `run(asked: Asked) -> Reply`. What an action takes is said here, because who only asks what fits loads nothing
else. An action that writes the log or reads it says so in the log: `note`.
"""

import argparse
import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass

ROWS = 50
"""So many events `audit query` lists when nobody says how many."""


@dataclass(frozen=True)
class Action:
    """An action: what it does in a few words, and what it takes. `to_stdout`: what it writes is the answer itself."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None
    to_stdout: bool = False


def _question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actor", help="slack:T…/U…, os:HOST/LOGIN or system:PART")
    parser.add_argument("--target", help="prod or shop/prod")
    parser.add_argument("--request", help="R-7")
    parser.add_argument("--kind", action="append", default=[], help="approved, refused…; may be given again")
    parser.add_argument("--since", help="2026-11-22 or 2026-11-22T13:52:01Z, inclusive")
    parser.add_argument("--until", help="the same, exclusive")
    parser.add_argument("--text", help="text that the data holds")


def _query(parser: argparse.ArgumentParser) -> None:
    _question(parser)
    parser.add_argument("--limit", type=limit, default=ROWS, help=f"so many of the newest; {ROWS} if not said")


def _export(parser: argparse.ArgumentParser) -> None:
    _question(parser)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="jsonl", help="jsonl if not said")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--anchors",
        action="append",
        default=[],
        metavar="FILE|URL|git:REPOSITORY",
        help="where signed checkpoints lie; may be given again",
    )
    parser.add_argument("--key", action="append", default=[], help="a public key whose signature counts, or its file")
    parser.add_argument(
        "--since-checkpoint", action="store_true", help="read only what came after the last time that all of it held"
    )


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what the key is called; the host's name if not said")
    parser.add_argument("--rotate", action="store_true", help="make a new one; the one before signs too until --retire")
    parser.add_argument("--retire", action="store_true", help="have the key before this one sign no more")


def limit(text: str) -> int:
    """A number of rows, for a parser."""
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"it takes a number from 1 up, not {text!r}")
    return int(text)


ACTIONS: Mapping[str, Action] = {
    "create": Action("make a new, empty log; nothing else ever makes one"),
    "verify": Action("recompute every hash of the log and say what does not fit", _verify),
    "query": Action("list events", _query),
    "export": Action("write events to standard output", _export, to_stdout=True),
    "key": Action("make the key that signs checkpoints, change it, or print its public half", _key),
    "checkpoint": Action("sign what the log holds now, and put that where it is to be"),
    "anchors": Action("list the signed checkpoints and where they lie"),
}


def add_actions(parser: argparse.ArgumentParser) -> None:
    """What `countersign audit` takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, action in ACTIONS.items():
        action.add(actions.add_parser(name, help=action.summary))

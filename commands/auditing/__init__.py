"""The actions of `countersign audit`: one module each, named in `ACTIONS`, imported when it is asked for.

A module has `run(asked: Asked) -> Reply`. What an action takes is said here, because who only asks what fits loads nothing
else. An action that writes the log or reads it says so in the log: `note`.
"""

import argparse
import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROWS = 50
"""So many events `audit query` lists when nobody says how many."""


@dataclass(frozen=True)
class Action:
    """An action: what it does in a few words, and what it takes. `to_stdout`: what it writes is the answer itself."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None
    to_stdout: bool = False


def _question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "condition",
        nargs="*",
        help='actor:@ana env:prod kind:approved since:2026-10 outcome:failed "orders"; `help history` tells them all',
    )
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
    parser.add_argument("--before", type=limit, help="only events before the one with this number")
    parser.add_argument("--after", type=limit, help="the next ones after the one with this number")


def _export(parser: argparse.ArgumentParser) -> None:
    _question(parser)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="jsonl", help="jsonl if not said")


def _population(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", required=True, metavar="2026-07", help="a day, month, quarter or year: from its start"
    )
    parser.add_argument("--to", required=True, metavar="2026-Q3", help="the same: to its end")
    parser.add_argument("--env", help="of one environment, prod or shop/prod; else all where people approve")
    parser.add_argument("--sample", type=limit, metavar="NUMBER", help="draw so many of them")
    parser.add_argument("--seed", default="1", help="draws the same ones again; 1 if not said")
    parser.add_argument("--verify", action="store_true", help="compute every hash of the period again")
    parser.add_argument("--offline", action="store_true", help="do not ask the targets for their histories")
    parser.add_argument("--format", choices=["csv"], help="write them to standard output; else a page of them")


def _index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--anew", action="store_true", help="remove it first")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "copy",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a copy of it, which needs no configuration; else the log itself",
    )
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


def _seqs(text: str) -> list[int]:
    if not re.fullmatch("[1-9][0-9]{0,15}(,[1-9][0-9]{0,15})*", text):
        raise argparse.ArgumentTypeError(f"it takes numbers of events, such as 12,15, not {text!r}")
    return [int(one) for one in text.split(",")]


def _because(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--because", required=True, help="why, in a sentence; it goes into the log")


def _archive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, metavar="FILE.tar.gz", help="where to; nothing may be there yet")
    parser.add_argument("--before", metavar="2026-10", help="only the months before this one")


def _restore_archive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", metavar="FILE.tar.gz", help="what `audit archive` wrote")
    parser.add_argument("--to", required=True, metavar="FOLDER", help="where the segments go; it is made, or empty")


def _hold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="R-7|2026-10|all", help="a request, a month, or all of it")
    _because(parser)


def _erase(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--person", metavar="U0ANA", help="what this person typed and did: a Slack id, or a whole actor")
    what.add_argument("--request", metavar="R-7", help="all that was recorded of a request that is over")
    what.add_argument("--seqs", type=_seqs, metavar="12,15", help="these events")
    what.add_argument(
        "--agree", type=limit, metavar="NUMBER", help="to what somebody else asked for, by that event's number"
    )
    _because(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would go and what would stay")


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="where to; nothing may be there yet")


def _drop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--before", metavar="2024-01", help="the months before this one; keep_months says it if not said"
    )
    _because(parser)


def limit(text: str) -> int:
    """A number of rows, for a parser."""
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"it takes a number from 1 up, not {text!r}")
    return int(text)


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1 if not said; another only with --login and TLS")
    parser.add_argument("--port", type=int, default=8123, help="8123 if not said; 0: any")
    parser.add_argument("--login", action="store_true", help="ask for a name and password of [audit.readers]")
    parser.add_argument(
        "--origin", metavar="https://AUDIT.EXAMPLE", help="how browsers call it, behind a server for TLS"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="its certificate, in PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="the key of that")


ACTIONS: Mapping[str, Action] = {
    "create": Action("make a new, empty log; nothing else ever makes one"),
    "verify": Action("recompute every hash of the log and say what does not fit", _verify),
    "query": Action("list events", _query),
    "export": Action("write events to standard output", _export, to_stdout=True),
    "population": Action("list every production change of a period, none missing", _population, to_stdout=True),
    "index": Action("make the side file that answers questions quickly", _index),
    "serve": Action("show the log in a browser, read only", _serve),
    "password": Action("make of a password what [audit.readers] names"),
    "key": Action("make the key that signs checkpoints, change it, or print its public half", _key),
    "checkpoint": Action("sign what the log holds now, and put that where it is to be"),
    "anchors": Action("list the signed checkpoints and where they lie"),
    "seal": Action("put the months that are over into files of their own"),
    "segments": Action("list the sealed months, and check each file"),
    "archive": Action("put sealed months into one file", _archive),
    "restore-archive": Action("take an archive apart again, and check all of it", _restore_archive),
    "hold": Action("have nothing of a request or a month erased or dropped", _hold),
    "release": Action("end a hold", _hold),
    "erase": Action("delete the text of events; that they were stays proven", _erase),
    "backup": Action("copy the log while it is in use", _backup),
    "drop": Action("take old months out of the log; the rest stays proven", _drop),
}


def module_of(action: str) -> str:
    """The module of an action's name."""
    return action.replace("-", "_")


def add_actions(parser: argparse.ArgumentParser) -> None:
    """What `countersign audit` takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, action in ACTIONS.items():
        action.add(actions.add_parser(name, help=action.summary))

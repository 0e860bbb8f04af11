"""What the tools take at the command line. Light on purpose: who only asks what fits loads nothing else."""

import argparse
import re
from collections.abc import Mapping
from typing import NoReturn

from ops.errors import OpsError
from ops.errors import Reason

ROWS = 50
"""So many events `audit query` lists when nobody says how many."""

LEVELS = ("forbidden", "danger", "caution", "info")
"""The levels of hazards, the worst first."""

QUESTIONS: Mapping[str, tuple[str, str]] = {
    "channel": ("Slack channel for the cards (its id, such as C0DEPLOYS)", "C0DEPLOYS"),
    "project": ("Name of the project", "shop"),
    "repository": ("Its git repository (URL or path)", "."),
    "dev_branch": ("Branch that dev follows", "develop"),
    "prod_branch": ("Branch that prod follows", "main"),
    "approvers": ("Who approves prod (a Slack group such as @database-owners, or a person's id)", "@database-owners"),
}
"""What `init` asks, and what it takes where nobody answers."""


class Parser(argparse.ArgumentParser):
    """Answers as every word does, instead of printing and leaving. Pages of help are made elsewhere."""

    def __init__(self, prog: str, **_: object) -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        hint = f"See `{' '.join(self.prog.split()[:2])} --help`."
        raise OpsError(Reason.BAD_USAGE, f"{self.prog}: {message}.", hint)


def parser_of(tool: str) -> Parser:
    """The parser of one tool."""
    parser = Parser(f"countersign {tool}")
    match tool:
        case "audit":
            _add_audit(parser)
        case "init":
            for name, (question, default) in QUESTIONS.items():
                parser.add_argument(f"--{name.replace('_', '-')}", help=f"{question}; {default} if not said")
        case "bot":
            parser.add_argument("--http", action="store_true", help="let Slack post to /slack/events instead")
            parser.add_argument("--host", default="127.0.0.1", help="where to listen with --http")
            parser.add_argument("--port", type=_port, default=3000, help="where to listen; 3000 if not said")
        case "demo":
            parser.add_argument("--play", action="store_true", help="act one scene, print it, end")
            parser.add_argument("--port", type=_port, default=8800, help="where the page will be; 8800 if not said")
        case "lint":
            _add_lint(parser)
        case "new":
            parser.add_argument("name", nargs="+", help="what the migration does, such as add_status")
            parser.add_argument(
                "--from-stdin", action="store_true", help="write what standard input gives into the file"
            )
        case "completion":
            parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell that will read it")
    return parser


def _add_audit(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="create|verify|query|export")
    actions.add_parser("create", help="make a new, empty log; nothing else ever makes one")
    actions.add_parser("verify", help="recompute every hash of the log and say what does not fit")
    for name, words in (("query", "list events"), ("export", "write events to standard output")):
        action = actions.add_parser(name, help=words)
        action.add_argument("--actor", help="slack:T…/U…, os:HOST/LOGIN or system:PART")
        action.add_argument("--target", help="prod or shop/prod")
        action.add_argument("--request", help="R-7")
        action.add_argument("--kind", action="append", default=[], help="approved, refused…; may be given again")
        action.add_argument("--since", help="2026-11-22 or 2026-11-22T13:52:01Z, inclusive")
        action.add_argument("--until", help="the same, exclusive")
        action.add_argument("--text", help="text that the data holds")
        if name == "query":
            action.add_argument("--limit", type=_limit, default=ROWS, help=f"so many of the newest; {ROWS} if not said")
        else:
            action.add_argument("--format", choices=["csv", "jsonl"], default="jsonl", help="jsonl if not said")


def _add_lint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", help="SQL files, migrations folders, or a project's folder")
    parser.add_argument(
        "--fail-on", choices=LEVELS, default=LEVELS[0], help="end with 1 from here up; forbidden if not said"
    )
    parser.add_argument("--project-ref", type=_project_ref, help="the Supabase project that the files are for")
    parser.add_argument("--types", help="the file of TypeScript types that is committed beside them")
    parser.add_argument("--markdown", action="store_true", help="print it for a comment on a pull request")


def _project_ref(text: str) -> str:
    if not re.fullmatch("[a-z]{20}", text):
        raise argparse.ArgumentTypeError("it takes a project's ref: 20 of the letters a-z")
    return text


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"it takes a port from 0 to 65535, not {text!r}")
    return int(text)


def _limit(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"it takes a number from 1 up, not {text!r}")
    return int(text)

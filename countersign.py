"""The entry: wires the rooms together and turns a command line into a reply, an exit code and nothing else.

What a word does not need is not loaded: Slack's libraries are the bot's, and the log and the ops layer are for the
process that works, which is another one while the bot runs.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NoReturn

from commands.knock import HELLO_SECONDS
from commands.knock import check_log
from commands.knock import knock
from commands.knock import reply_json
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
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


class _HelpError(Exception):
    """Somebody asked a tool's parser for help; the text is the answer."""


class _Parser(argparse.ArgumentParser):
    """Answers as every word does, instead of printing and leaving."""

    def error(self, message: str) -> NoReturn:
        raise OpsError(Reason.BAD_USAGE, f"{self.prog}: {message}.", " ".join(self.format_usage().split()))

    def print_help(self, file: Any = None) -> None:
        raise _HelpError(self.format_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is the contract's."""
    given = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _finish(_told(given), "--json" in given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _told(given: list[str]) -> dict[str, Any]:
    """What a command line is answered, as `reply_json` makes it. Always answers, whatever happens."""
    try:
        return _answer(given)
    except OpsError as error:
        return reply_json(error_reply(error))
    except _HelpError as asked:
        return reply_json(Reply(Page(str(asked).rstrip()), {"usage": str(asked)}))
    except KeyboardInterrupt:
        message = "Stopped. What was asked for stands in the log."
        stopped = OpsError(Reason.STOPPED, message, "See `countersign status`.", exit_code=130)
        return reply_json(error_reply(stopped, "stopped"))
    except BrokenPipeError:
        raise
    except Exception:
        reference = uuid.uuid4().hex[:8]
        logger.exception("unexpected_error reference=%s", reference)
        message = f"Something went wrong that nobody foresaw (reference {reference})."
        return reply_json(error_reply(OpsError(Reason.UNEXPECTED, message, "See `countersign status`.", exit_code=1)))


def _answer(given: list[str]) -> dict[str, Any]:
    options, rest = _split_options(given)
    if options.version:
        return reply_json(_version())
    word = rest[0].lower() if rest else "help"
    if word in _HELP:
        return reply_json(_usage())
    if word in TOOLS:
        return _run_tool(word, options, rest[1:])
    if not _HELP.isdisjoint(rest[1:]):
        rest = ["help", word]
    return _run_word(load_settings(config_path(options.config)), rest or ["help"])


def _split_options(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """--config, --json and --version may stand anywhere; the rest is the word's own."""
    for word in given:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise OpsError(Reason.BAD_USAGE, f"{word!r} is not UTF-8 text.", "Type it again.") from None
    parser = _Parser(prog="countersign", add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--version", action="store_true")
    return parser.parse_known_args(given)


def config_path(given: str | None) -> Path:
    """The configuration file: --config, else $COUNTERSIGN_CONFIG, else countersign.toml."""
    return Path(given or os.environ.get("COUNTERSIGN_CONFIG") or "countersign.toml")


def _version() -> Reply:
    from importlib.metadata import version

    found = version("countersign")
    return Reply(Page(f"countersign {found}"), {"version": found})


def _usage() -> Reply:
    """How to begin; unlike `help` it needs no configuration and no log."""
    from commands.words import Front
    from commands.words import all_words

    said = {word.USAGE: word.SUMMARY for word in all_words().values() if Front.TERMINAL in word.FRONTS}
    lines: list[Line] = [(Code(f"countersign {usage}"), f"  {words}") for usage, words in {**TOOLS, **said}.items()]
    page = Page("countersign WORD … [--config PATH] [--json]", body=[Listing("Words", lines)])
    return Reply(page, {"words": {**TOOLS, **said}})


def _run_tool(word: str, options: argparse.Namespace, rest: list[str]) -> dict[str, Any]:
    """The words that are for whoever has the shell; they need no log, or make one, or serve."""
    parser = _Parser(prog=f"countersign {word}", allow_abbrev=False)
    path = config_path(options.config)
    match word:
        case "audit":
            return _audit(parser, path, rest, options.json)
        case "init":
            from commands.init import add_arguments
            from commands.init import run_init

            add_arguments(parser)
            return reply_json(run_init(path, parser.parse_args(rest)))
        case "doctor":
            from bot.checks import slack_checks
            from commands.doctor import run_doctor

            parser.parse_args(rest)
            return reply_json(run_doctor(path, slack_checks))
        case "bot":
            return reply_json(_bot(path, _bot_arguments(parser).parse_args(rest)))
        case _:
            return reply_json(_demo(_demo_arguments(parser).parse_args(rest), options.json))


def _audit(parser: argparse.ArgumentParser, path: Path, rest: list[str], as_json: bool) -> dict[str, Any]:
    """`audit export` writes events to standard output as they are; with --json they are in the one object, as text."""
    from commands.audit import add_arguments
    from commands.audit import run_audit

    add_arguments(parser)
    arguments = parser.parse_args(rest)
    kept = io.StringIO()
    told = reply_json(run_audit(load_settings(path), arguments, os.getuid(), kept if as_json else sys.stdout))
    if arguments.action == "export":
        told["reply"] |= {"text": kept.getvalue()} if told["ok"] else {}
        told["to_stderr"] = True
    return told


def _bot_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--http", action="store_true", help="let Slack post to /slack/events instead of Socket Mode")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen with --http")
    parser.add_argument("--port", type=_port, default=3000, help="where to listen; in Socket Mode for the probes only")
    return parser


def _demo_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--play", action="store_true", help="act one scene, print it, end")
    parser.add_argument("--port", type=_port, default=8800, help="where the page will be")
    return parser


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def _bot(path: Path, arguments: argparse.Namespace) -> Reply:
    """Serve Slack until told to stop."""
    from audit import AuditError
    from bot.app import Mode
    from bot.app import run_bot
    from commands.terminal import log_reply

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("slack_bolt").setLevel(logging.WARNING)
    settings = load_settings(path)
    check_log(settings.log_path)
    try:
        run_bot(settings, Mode(arguments.http, arguments.host, arguments.port))
    except AuditError as error:
        return log_reply(error)
    return Reply(Page("The bot has stopped"))


def _demo(arguments: argparse.Namespace, as_json: bool) -> Reply:
    from sandbox.demo import chat
    from sandbox.demo import play

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        code = play() if arguments.play else chat()
    return Reply(Page("The demo is over: nothing of it is left"), ok=code == 0, exit_code=code)


def _run_word(settings: Settings, words: list[str]) -> dict[str, Any]:
    """A word of commands/: through the door of whoever holds the log, else in this process, which then holds it."""
    check_log(settings.log_path)
    deadline = time.monotonic() + HELLO_SECONDS
    answer = knock(settings.log_path, words, _progress)
    if answer is None:
        from commands.terminal import say_or_knock

        answer = say_or_knock(settings, words, _progress, deadline)
    if not any(word.startswith("--wait") for word in map(str, words)):
        return answer
    from commands.terminal import follow

    return follow(settings, words, answer, _progress)


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K… {_printable(words)}", end="", file=sys.stderr, flush=True)


def _finish(told: dict[str, Any], as_json: bool) -> int:
    """Print the answer where it belongs: with --json one object on stdout; else the page. Returns the exit code."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps(told["reply"]), flush=True)
    else:
        for_people = sys.stdout if told["ok"] and not told.get("to_stderr") else sys.stderr
        print(_printable(told["page"]), file=for_people, flush=True)
    return int(told["exit_code"])


def _printable(text: str) -> str:
    """Text that moves nothing on the terminal: control characters are shown as `\\x1b`."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


if __name__ == "__main__":
    sys.exit(main())

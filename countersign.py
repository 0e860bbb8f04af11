"""The entry: wires the rooms together and turns a command line into a reply, an exit code and nothing else."""

import argparse
import json
import logging
import os
import shlex
import sys
import time
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import Log
from audit import LogBusy
from audit import NoLog
from commands import audit as audit_command
from commands import doctor as doctor_command
from commands import init as init_command
from commands.dispatch import say
from commands.door import HELLO_SECONDS
from commands.door import Door
from commands.door import knock
from commands.door import reply_json
from commands.door import terminal_actor
from commands.push import push_reply
from commands.reply import Reply
from commands.reply import error_reply
from commands.words import Front
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import utc_now
from ops.running import take_up_orphans
from ops.settings import Settings
from ops.settings import load_settings
from ops.settings import parse_duration
from ops.waiting import wait_for_end

TOOLS = ("bot", "demo", "init", "doctor", "audit")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is the contract's."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        options, rest = _split_options(given)
        if options.version:
            print(f"countersign {version('countersign')}")
            return 0
        return _run(options, rest)
    except KeyboardInterrupt:
        _tell("Stopped. What was asked for stands in the log; see `countersign status`.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _split_options(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """--config, --json and --version may stand anywhere; the rest is the word's own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--version", action="store_true")
    return parser.parse_known_args(given)


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    word = rest[0].lower() if rest else "help"
    if word in {"-h", "--help"}:
        word, rest = "help", ["help"]
    try:
        if word in TOOLS:
            return _run_tool(word, options, rest[1:])
        settings = load_settings(config_path(options.config))
        return _finish(_run_word(settings, rest or ["help"]), options.json)
    except OpsError as error:
        return _finish(error_reply(error), options.json)


def config_path(given: str | None) -> Path:
    """The configuration file: --config, else $COUNTERSIGN_CONFIG, else countersign.toml."""
    return Path(given or os.environ.get("COUNTERSIGN_CONFIG") or "countersign.toml")


def _run_tool(word: str, options: argparse.Namespace, rest: list[str]) -> int:
    """The words that are for whoever has the shell; they need no log, or make one, or serve."""
    parser = argparse.ArgumentParser(prog=f"countersign {word}", allow_abbrev=False)
    match word:
        case "audit":
            audit_command.add_arguments(parser)
            arguments = _parse(parser, rest)
            reply = audit_command.run_audit(load_settings(config_path(options.config)), arguments, os.getuid())
            exported = arguments.action == "export" and reply.ok
            return _finish(reply, options.json and not exported, quiet_stdout=exported)
        case "init":
            init_command.add_arguments(parser)
            return _finish(init_command.run_init(config_path(options.config), _parse(parser, rest)), options.json)
        case "doctor":
            return _finish(_doctor(config_path(options.config)), options.json)
        case "bot":
            return _bot(options, _parse(_bot_arguments(parser), rest))
        case _:
            return _demo(_parse(_demo_arguments(parser), rest))


def _parse(parser: argparse.ArgumentParser, rest: list[str]) -> argparse.Namespace:
    """argparse ends with 2 on bad usage, as the contract wants it."""
    return parser.parse_args(rest)


def _bot_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--http", action="store_true", help="let Slack post to /slack/events instead of Socket Mode")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000, help="where to listen; in Socket Mode for the probes only")
    return parser


def _demo_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--play", action="store_true", help="act one scene, print it, end")
    parser.add_argument("--port", type=int, default=8800, help="where the page will be")
    return parser


def _bot(options: argparse.Namespace, arguments: argparse.Namespace) -> int:
    """Serve Slack until told to stop. Slack's libraries are loaded only here, so that other words start quickly."""
    from bot.app import Mode
    from bot.app import run_bot

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("slack_bolt").setLevel(logging.WARNING)
    settings = load_settings(config_path(options.config))
    try:
        run_bot(settings, Mode(arguments.http, arguments.host, arguments.port))
    except AuditError as error:
        return _finish(_log_reply(error), options.json)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from sandbox.demo import chat
    from sandbox.demo import play

    return play() if arguments.play else chat()


def _doctor(path: Path) -> Reply:
    from bot.checks import slack_checks

    return doctor_command.run_doctor(path, slack_checks)


def _run_word(settings: Settings, words: list[str]) -> Reply | dict[str, Any]:
    """A word of commands/: through the door of whoever holds the log, else in this process, which then holds it."""
    if not settings.log_path.exists():
        raise _no_log(settings)
    text = shlex.join(words)
    act = str(uuid.uuid4())
    deadline = time.monotonic() + HELLO_SECONDS
    answer: Reply | dict[str, Any]
    while True:
        try:
            with Log.open(settings.log_path, lock_wait_seconds=0.0) as log:
                answer = _say_here(settings, log, text, act)
            break
        except LogBusy:
            heard = _knock(settings, text, act)
            if heard is not None:
                answer = heard
                break
        except AuditError as error:
            return _log_reply(error)
        if time.monotonic() >= deadline:
            raise OpsError(
                Reason.LOG_BUSY, "The log is busy; nothing was done.", "Try again in a moment.", exit_code=5
            )
        time.sleep(0.05)
    return _wait(settings, words, answer)


def _say_here(settings: Settings, log: Log, text: str, act: str) -> Reply:
    ops = Ops(settings, log)
    door = Door(ops)
    try:
        take_up_orphans(ops, _progress)
        return say(ops, text, actor=terminal_actor(os.getuid()), front=Front.TERMINAL, act=act, progress=_progress)
    finally:
        door.close()


def _knock(settings: Settings, text: str, act: str) -> dict[str, Any] | None:
    try:
        return knock(settings.log_path, text, act, _progress)
    except (ConnectionError, OSError, ValueError) as error:
        raise OpsError(
            Reason.OUTCOME_UNKNOWN,
            "The process that holds the log ended before it answered.",
            "See with `countersign status` and `countersign history` what was done.",
            exit_code=1,
        ) from error


def _wait(settings: Settings, words: list[str], answer: Reply | dict[str, Any]) -> Reply | dict[str, Any]:
    """`push … --wait [DURATION]`: follow the request by reading, until it ends, expires or the time is up."""
    request = answer.request if isinstance(answer, Reply) else answer["request"]
    data = answer.data if isinstance(answer, Reply) else answer["reply"]
    said = [word for word in words if word == "--wait" or word.startswith("--wait=")]
    if words[0] != "push" or not said or request is None or data.get("status") not in {"waiting", "running"}:
        return answer
    after = said[0].partition("=")[2] or next(iter(words[words.index(said[0]) + 1 :]), "")
    try:
        seconds = parse_duration(after).total_seconds()
    except ValueError:
        seconds = None
    found = wait_for_end(settings.log_path, str(request), seconds=seconds, now=utc_now, told=_progress)
    reply = push_reply(found, utc_now())
    if reply.data["status"] in {"waiting", "running"}:
        return Reply(reply.page, {**reply.data, "reason": "still_waiting"}, ok=False, exit_code=4, request=reply.request)
    return reply


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K… {words}", end="", file=sys.stderr, flush=True)


def _no_log(settings: Settings) -> OpsError:
    return OpsError(
        Reason.NO_LOG,
        f"There is no audit log at {settings.log_path}, and nothing is done without one.",
        "Make it once with `countersign audit create`; if there was one, find out where it went first.",
    )


def _log_reply(error: AuditError) -> Reply:
    match error:
        case NoLog():
            return error_reply(OpsError(Reason.NO_LOG, error.message, error.hint))
        case LogBusy():
            return error_reply(OpsError(Reason.LOG_BUSY, error.message, error.hint, exit_code=5))
        case _:
            return error_reply(OpsError(Reason.LOG_UNAVAILABLE, error.message, error.hint))


def _finish(answer: Reply | dict[str, Any], as_json: bool, *, quiet_stdout: bool = False) -> int:
    """Print the answer where it belongs: with --json one object on stdout; else the page. Returns the exit code."""
    told = reply_json(answer) if isinstance(answer, Reply) else answer
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps(told["reply"], ensure_ascii=False))
    elif quiet_stdout or not told["ok"]:
        _tell(told["page"])
    else:
        print(told["page"])
    return int(told["exit_code"])


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

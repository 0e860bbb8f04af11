"""The entry: wires the rooms together and turns a command line into a reply, an exit code and nothing else.

What a word does not need is not loaded: Slack's libraries are the bot's, and the log and the ops layer are for the
process that works, which is another one while the bot runs.
"""

import argparse
import contextlib
import gc
import io
import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from commands.knock import HELLO_SECONDS
from commands.knock import check_log
from commands.knock import knock
from commands.knock import reply_json
from commands.page import Page
from commands.page_json import read_page
from commands.progress_line import ProgressLine
from commands.reply import Reply
from commands.reply import error_reply
from commands.screen import COLOURS
from commands.screen import screen_of
from commands.screen import shown_page
from commands.tool_parsers import Parser
from commands.tool_parsers import parser_of
from commands.words import TOOLS
from commands.words import Front
from commands.words import declared_words
from commands.words import parse
from ops.errors import OpsError
from ops.errors import Reason

if TYPE_CHECKING:
    from ops.settings import Settings

logger = logging.getLogger("countersign")

_HELP = {"-h", "--help"}
_LOOKING = {
    *(
        "plan",
        "diff",
        "list",
        "new",
        "drift",
        "status",
        "show",
        "history",
        "evidence",
        "export",
        "help",
        "lint",
        "doctor",
    ),
}
"""Words that ask for nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is the contract's."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["__complete"]:
        return _complete(given[1:])
    is_brief = argv is None and {"bot", "demo"}.isdisjoint(given)
    if is_brief:  # most of a word's time goes into loading libraries, none of which is ever garbage; see `_loaded`
        gc.disable()
        # Plugins are looked for in every package that is installed; none is wanted where secrets are read.
        os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _finish(_told(given), "--json" in given, _colour(given))
        sys.stdout.flush()  # what `audit export` wrote may still be on its way to a reader who has left
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        if is_brief:
            gc.freeze()  # the interpreter looks through everything once more when it ends


def _told(given: list[str]) -> dict[str, Any]:
    """What a command line is answered, as `reply_json` makes it. Always answers, whatever happens."""
    try:
        return _answer(given)
    except OpsError as error:
        return reply_json(error_reply(error))
    except KeyboardInterrupt:
        return reply_json(error_reply(_stopped(given), "stopped"))
    except BrokenPipeError:
        raise
    except Exception:
        reference = uuid.uuid4().hex[:8]
        logger.exception("unexpected_error reference=%s", reference)
        message = f"Something went wrong that nobody foresaw (reference {reference})."
        return reply_json(error_reply(OpsError(Reason.UNEXPECTED, message, "See `countersign status`.", exit_code=1)))


def _stopped(given: list[str]) -> OpsError:
    """What Ctrl-C leaves behind: nothing that was asked for, where the word only looks."""
    _, rest = _split_options(given)
    if rest and rest[0].lower() in _LOOKING:
        message = "Stopped. Nothing was asked for, and every target is as it was."
        return OpsError(Reason.STOPPED, message, "Say it again whenever you like.", exit_code=130)
    message = "Stopped. What was asked for stands in the log."
    return OpsError(Reason.STOPPED, message, "See `countersign status`.", exit_code=130)


def _answer(given: list[str]) -> dict[str, Any]:
    options, rest = _split_options(given)
    if options.version:
        return reply_json(_version())
    word = rest[0].lower() if rest else "help"
    if word in _HELP:
        return reply_json(_overview())
    if not _HELP.isdisjoint(rest[1:]):
        return reply_json(_manual(word))
    if word == "help" and rest[1:2] and rest[1].lower() in TOOLS:
        return reply_json(_manual(rest[1].lower()))
    if word in TOOLS:
        return _run_tool(word, options, rest[1:])
    if any(said.partition("=")[0] == "--remote" for said in rest):
        return _ask_there(rest, is_quiet=options.json)
    try:
        settings = load_settings(config_path(options.config))
        if word == "help":
            check_log(settings.log_path)
    except OpsError:
        if word == "help" and rest[1:]:
            return reply_json(_manual(rest[1].lower()))
        parse([word], Front.TERMINAL)  # where there is no such word, that is the nearer mistake
        raise
    answer = _run_word(settings, rest or ["help"], is_quiet=options.json)
    if answer["reply"].get("status") == "shown" and not options.json:
        from commands.reset_asks import typed_name

        line = typed_name(rest, answer, _colour(given))
        return _run_word(settings, line, is_quiet=False) if line else answer
    if answer["reply"].get("value") != "needed":
        return answer
    from commands.terminal_value import enter_value

    return enter_value(settings, rest, answer, is_quiet=options.json)


def _split_options(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """--config, --json, --color and --version may stand anywhere; the rest is the word's own."""
    for word in given:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise OpsError(Reason.BAD_USAGE, f"{word!r} is not UTF-8 text.", "Type it again.") from None
    parser = Parser("countersign")
    parser.add_argument("--config")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--color", choices=COLOURS)
    parser.add_argument("--version", action="store_true")
    return parser.parse_known_args(given)


def config_path(given: str | None) -> Path:
    """The configuration file: --config, else $COUNTERSIGN_CONFIG, else countersign.toml."""
    return Path(given or os.environ.get("COUNTERSIGN_CONFIG") or "countersign.toml")


def load_settings(path: Path) -> "Settings":
    """The checked configuration. Raises OpsError. Loaded late: help, --version and completion do without it."""
    from ops.settings import load_settings as load

    return load(path)


def _version() -> Reply:
    from importlib.metadata import version

    found = version("countersign")
    return Reply(Page(f"countersign {found}"), {"version": found})


def _overview() -> Reply:
    """How to begin; unlike `help` it needs no configuration and no log."""
    from commands.manual import overview_page
    from commands.manual import usages

    return Reply(overview_page(), {"words": usages()})


def _manual(word: str) -> Reply:
    """The page of a word or a tool; it needs no configuration and no log either."""
    from commands.manual import manual_json
    from commands.manual import manual_page
    from commands.manual import tool_manual
    from commands.manual import word_manual

    if word in TOOLS:
        found = tool_manual(word, parser_of(word))
    else:
        # A word for Slack alone may be read about here; one that does not exist is refused as everywhere.
        found = word_manual(declared_words().get(word) or declared_words()[parse([word], Front.TERMINAL).word])
    return Reply(manual_page(found, Front.TERMINAL), {"words": [manual_json(found)]})


def _run_tool(word: str, options: argparse.Namespace, rest: list[str]) -> dict[str, Any]:
    """The words that are for whoever has the shell; they need no log, or make one, or serve."""
    _loaded()
    parser = parser_of(word)
    if word == "audit":  # `-kind:refused` is a condition; what has a space in it, a parser takes for no option
        rest = [f" {one}" if re.match("-[A-Za-z]+:", one) else one for one in rest]
    arguments = parser.parse_intermixed_args(rest) if word == "lint" else parser.parse_args(rest)
    path = config_path(options.config)
    match word:
        case "lint":
            from commands.lint import run_lint

            with ProgressLine(is_quiet=options.json) as progress:
                progress("reading the files")
                reply, text = run_lint(arguments)
            return {**reply_json(reply), "text": text}
        case "new":
            from commands.new import run_new

            return reply_json(run_new(arguments, lambda: _listed(path, is_quiet=options.json), Path.cwd()))
        case "audit":
            return _audit(path, arguments, options.json)
        case "init":
            from commands.init import run_init

            return reply_json(run_init(path, arguments))
        case "doctor":
            from bot.checks import slack_checks
            from commands.doctor import run_doctor

            with ProgressLine(is_quiet=options.json) as progress:
                return reply_json(run_doctor(path, slack_checks, progress))
        case "bot":
            return reply_json(_bot(path, arguments))
        case "completion":
            from commands.completion import script_reply

            reply = script_reply(arguments.shell)
            return {**reply_json(reply), "text": reply.data["script"]}
        case _:
            return reply_json(_demo(arguments, options.json))


def _audit(path: Path, arguments: argparse.Namespace, as_json: bool) -> dict[str, Any]:
    """`audit export` writes events to standard output as they are; with --json they are in the one object, as text."""
    from commands.audit import run_audit
    from commands.auditing import ACTIONS
    from ops.settings import no_settings

    kept = io.StringIO()
    with ProgressLine(is_quiet=as_json) as progress:
        progress(f"audit {arguments.action}")
        is_alone = getattr(arguments, "copy", None) is not None and not path.exists()
        settings = no_settings(path) if is_alone else load_settings(path)
        told = reply_json(run_audit(settings, arguments, os.getuid(), kept if as_json else sys.stdout))
    if ACTIONS[arguments.action].to_stdout and arguments.format:
        told["reply"] |= {"text": kept.getvalue()} if told["ok"] else {}
        told["to_stderr"] = True
    return told


def _bot(path: Path, arguments: argparse.Namespace) -> Reply:
    """Serve Slack until told to stop."""
    from audit import AuditError
    from bot.app import Mode
    from bot.app import run_bot
    from commands.terminal import log_reply

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for library in ("slack_bolt", "httpx", "fontTools", "fpdf"):
        logging.getLogger(library).setLevel(logging.WARNING)
    settings = load_settings(path)
    check_log(settings.log_path)
    try:
        run_bot(settings, Mode(arguments.http, arguments.host, arguments.port))
    except AuditError as error:
        return log_reply(error)
    return Reply(Page("The bot has stopped"))


def _demo(arguments: argparse.Namespace, as_json: bool) -> Reply:
    from sandbox.demo import play
    from sandbox.demo import serve

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        code = play() if arguments.play else serve(arguments.port)
    return Reply(Page("The demo is over: nothing of it is left"), ok=code == 0, exit_code=code)


def _run_word(settings: "Settings", words: list[str], *, is_quiet: bool) -> dict[str, Any]:
    """A word of commands/: through the door of whoever holds the log, else in this process, which then holds it."""
    check_log(settings.log_path)
    deadline = time.monotonic() + HELLO_SECONDS
    with ProgressLine(is_quiet=is_quiet) as progress:
        answer = knock(settings.log_path, words, progress)
        if answer is None:
            from commands.terminal import say_or_knock

            _loaded()
            answer = say_or_knock(settings, words, progress, deadline)
        if answer["ok"] and any(word.startswith("--picture") for word in words):
            from commands.terminal import draw

            draw(words, answer, progress)
        if "file" in answer:
            from commands.terminal import save

            save(words, answer)
        if answer["ok"] and words[0].lower() == "types":
            from commands.types_local import finish

            return finish(words, answer, Path.cwd())
        if answer["ok"] and words[0].lower() == "list":
            from commands.list_local import lay_beside

            lay_beside(answer, Path.cwd())
        if "markdown" in answer["reply"]:
            answer["text"] = answer["reply"]["markdown"]
        if not any(word.startswith("--wait") for word in words):
            return answer
        from commands.terminal import follow

        return follow(settings, words, answer, progress)


def _ask_there(words: list[str], *, is_quiet: bool) -> dict[str, Any]:
    """`--remote URL`: a bot elsewhere answers, and neither configuration nor log is here."""
    from commands.remote import say_there

    with ProgressLine(is_quiet=is_quiet) as progress:
        return say_there(words, progress)


def _listed(path: Path, *, is_quiet: bool) -> dict[str, Any]:
    """What `list` answers. Raises OpsError where nobody can be asked, or it is refused."""
    told: dict[str, Any] = _run_word(load_settings(path), ["list"], is_quiet=is_quiet)["reply"]
    if not told["ok"]:
        raise OpsError(Reason(told["reason"]), told["message"])
    return told


def _loaded() -> None:
    """What is there now stays; what is made from here on may become garbage. No-op where nobody switched that off."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000, 20, 20)


def _complete(words: list[str]) -> int:
    """What fits at the last of the words, one a line with what it stands for. An error would be shown amid what
    somebody types, so there is none."""
    from commands.completion import FILES
    from commands.completion import completions

    with contextlib.suppress(Exception):
        found = completions(words, parser_of, config_path)
        for fit in [(FILES,)] if isinstance(found, str) else found:
            print("\t".join(fit))
    return 0


def _colour(given: list[str]) -> Any:
    """What --color says, before anything is known to be right: an error is shown in the colours that were asked for."""
    said = [value for name, value in pairwise(given) if name == "--color"]
    said += [word.partition("=")[2] for word in given if word.startswith("--color=")]
    return said[-1] if said and said[-1] in COLOURS else "auto"


def _finish(told: dict[str, Any], as_json: bool, colour: Any) -> int:
    """Print the answer where it belongs: with --json one object on stdout; else the page. Returns the exit code."""
    if as_json:
        print(json.dumps(told["reply"]), flush=True)
    elif "text" in told:
        print(told["text"], end="", flush=True)
    else:
        for_people = sys.stdout if told["ok"] and not told.get("to_stderr") else sys.stderr
        print(shown_page(read_page(told["page"]), screen_of(for_people, colour)), file=for_people, flush=True)
    return int(told["exit_code"])


if __name__ == "__main__":
    sys.exit(main())

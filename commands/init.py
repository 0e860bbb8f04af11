"""`countersign init`: a first configuration and an empty log, asking for what it needs to know."""

import argparse
import json
import os
import re
import sys
from pathlib import Path

from audit import AuditError
from audit import Log
from commands.page import Code
from commands.page import Listing
from commands.page import Page
from commands.reply import Reply
from commands.tool_parsers import QUESTIONS
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import read_settings

_TEMPLATE = """\
[slack]
channel = {channel}

[people]
# A commit's e-mail, or a login of this host = a Slack id. Whoever is missing can approve what they wrote or asked for here.
# "ana@acme.example" = "U0ANA"

[projects.{project}]
repository = {repository}

[projects.{project}.environments.dev]
database_url = "${prefix}_DEV_DATABASE_URL"
branch = {dev_branch}
approvals = 0
backup = "none"

[projects.{project}.environments.prod]
database_url = "${prefix}_PROD_DATABASE_URL"
branch = {prod_branch}
approvals = 1
approvers = [{approvers}]
backup = "restored"
rehearsal = "required"
"""


def run_init(path: Path, arguments: argparse.Namespace) -> Reply:
    """Write the configuration and make the log. Never writes over either; a bad answer leaves nothing behind.

    Raises OpsError.
    """
    if os.path.lexists(path):
        message = f"{path} is there already."
        raise OpsError(Reason.BAD_USAGE, message, "Change it by hand, or name another with --config.")
    answers = {name: (getattr(arguments, name) or _ask(*question)).strip() for name, question in QUESTIONS.items()}
    prefix = re.sub("[^A-Z0-9]", "_", answers["project"].upper())
    prefix = prefix if prefix[:1].isalpha() else f"_{prefix}"  # a variable's name does not begin with a digit
    written = {name: _quoted(answer) for name, answer in answers.items()}
    if re.fullmatch("[A-Za-z0-9_-]+", answers["project"]):
        written["project"] = answers["project"]
    text = _TEMPLATE.format(prefix=prefix, **written)
    settings = read_settings(text.encode(), path)
    _write(path, text)
    try:
        if not settings.log_path.exists():
            Log.create(settings.log_path)
    except (AuditError, OSError) as error:
        path.unlink()
        message = error.message if isinstance(error, AuditError) else f"{settings.log_path}: {error.strerror}."
        raise OpsError(Reason.LOG_UNAVAILABLE, message, "Mend that, then run `countersign init` again.") from error
    steps = [
        ("set ", Code(f"{prefix}_DEV_DATABASE_URL"), " and ", Code(f"{prefix}_PROD_DATABASE_URL")),
        ("name your committers under [people], so that nobody approves what they wrote",),
        ("make the Slack app from manifest.yaml and set ", Code("SLACK_BOT_TOKEN"), " and ", Code("SLACK_APP_TOKEN")),
        ("see what is still missing: ", Code("countersign doctor")),
        ("start: ", Code("countersign bot")),
    ]
    page = Page(f"Made {path} and the log {settings.log_path}", body=[Listing("Next", steps)])
    return Reply(page, {"config": str(path), "log": str(settings.log_path)})


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:  # somebody else may have made it since we looked
            file.write(text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise OpsError(Reason.BAD_USAGE, message, "Choose another place with --config.") from error


def _quoted(answer: str) -> str:
    """An answer as a TOML string, or as the key of a table: JSON writes both in the same way."""
    return json.dumps(answer, ensure_ascii=False)


def _ask(question: str, default: str) -> str:
    """What somebody at a terminal answers; the default where nobody can be asked."""
    if not sys.stdin.isatty():
        return default
    print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default

"""`countersign init`: a first configuration and an empty log, asking for what it needs to know."""

import argparse
import os
import sys
from pathlib import Path

from audit import AuditError
from audit import Log
from commands.page import Code
from commands.page import Listing
from commands.page import Page
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import load_settings

_TEMPLATE = """\
[slack]
channel = "{channel}"

[projects.{project}]
repository = "{repository}"

[projects.{project}.environments.dev]
database_url = "${prefix}_DEV_DATABASE_URL"
branch = "{dev_branch}"
approvals = 0
backup = "none"

[projects.{project}.environments.prod]
database_url = "${prefix}_PROD_DATABASE_URL"
branch = "{prod_branch}"
approvals = 1
approvers = ["{approvers}"]
backup = "restored"
"""

_QUESTIONS = {
    "channel": ("Slack channel for the cards (its id, such as C0DEPLOYS)", "C0DEPLOYS"),
    "project": ("Name of the project", "shop"),
    "repository": ("Its git repository (URL or path)", "."),
    "dev_branch": ("Branch that dev follows", "develop"),
    "prod_branch": ("Branch that prod follows", "main"),
    "approvers": ("Who approves prod (a Slack group such as @database-owners, or a person's id)", "@database-owners"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every question can be answered on the command line instead."""
    for name, (question, default) in _QUESTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{question}; default {default}")


def run_init(path: Path, arguments: argparse.Namespace) -> Reply:
    """Write the configuration and make the log. Never writes over either. Raises OpsError."""
    if path.exists():
        raise OpsError(Reason.BAD_USAGE, f"{path} is there already.", "Change it by hand, or name another with --config.")
    answers = {name: getattr(arguments, name) or _ask(question, default) for name, (question, default) in _QUESTIONS.items()}
    quoted = {name: answer.replace("\\", "\\\\").replace('"', '\\"') for name, answer in answers.items()}
    prefix = "".join(letter if letter.isalnum() else "_" for letter in answers["project"].upper())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(_TEMPLATE.format(prefix=prefix, **quoted))
    try:
        settings = load_settings(draft)  # a bad answer is told now, and leaves nothing behind
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    try:
        if not settings.log_path.exists():
            Log.create(settings.log_path)
    except AuditError as error:
        raise OpsError(Reason.LOG_UNAVAILABLE, error.message, error.hint) from error
    steps = [
        ("set ", Code(f"{prefix}_DEV_DATABASE_URL"), " and ", Code(f"{prefix}_PROD_DATABASE_URL")),
        ("make the Slack app from manifest.yaml and set ", Code("SLACK_BOT_TOKEN"), " and ", Code("SLACK_APP_TOKEN")),
        ("see what is still missing: ", Code("countersign doctor")),
        ("start: ", Code("countersign bot")),
    ]
    page = Page(f"Made {path} and the log {settings.log_path}", body=[Listing("Next", steps)])
    return Reply(page, {"config": str(path), "log": str(settings.log_path)})


def _ask(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        return default
    print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default

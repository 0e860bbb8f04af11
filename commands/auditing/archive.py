"""`audit archive`: sealed months into one file."""

from pathlib import Path

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Code
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.archiving import archive
from ops.layer import Ops
from ops.layer import terminal_actor
from ops.segments import check_month


def run(asked: Asked) -> Reply:
    before = check_month(asked.arguments.before) if asked.arguments.before else ""
    with Log.open(asked.path) as log:
        found = archive(
            Ops(asked.settings, log),
            Path(asked.arguments.to).expanduser().absolute(),
            terminal_actor(asked.uid),
            before,
        )
    months = [one.month for one in found.segments]
    page = Page(
        f"{plural(len(months), 'month')} archived, and read back: {months[0]} to {months[-1]}",
        facts=[("File", (str(found.path),)), ("SHA-256", (Code(found.sha256),))],
    )
    return Reply(page, {"file": str(found.path), "sha256": found.sha256, "months": months})

"""`audit restore-archive`: an archive taken apart again, each segment of it checked."""

from pathlib import Path

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.archiving import restore_archive
from ops.layer import Ops
from ops.layer import terminal_actor


def run(asked: Asked) -> Reply:
    source, folder = (Path(one).expanduser().absolute() for one in (asked.arguments.archive, asked.arguments.to))
    with Log.open(asked.path) as log:
        found = restore_archive(Ops(asked.settings, log), source, folder, terminal_actor(asked.uid))
    months = [one.month for one in found.segments]
    headline = f"{plural(len(months), 'month')} restored, and all hold: {months[0]} to {months[-1]}"
    page = Page(
        headline, facts=[("Folder", (str(folder),)), ("Each", ("is a log of its own, which any SQLite reads",))]
    )
    return Reply(page, {"folder": str(folder), "sha256": found.sha256, "months": months})

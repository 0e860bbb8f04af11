"""`audit create`: a new, empty log. Nothing else makes one, but `init` and `demo`."""

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Page
from commands.reply import Reply


def run(asked: Asked) -> Reply:
    Log.create(asked.path)
    return Reply(Page(f"The log {asked.path} is made"), {"path": str(asked.path)})

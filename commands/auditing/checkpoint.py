"""`audit checkpoint`: sign what the log holds now, and put that where it is to be. The bot does it by itself."""

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.checkpoints import Notary
from ops.layer import Ops


def run(asked: Asked) -> Reply:
    with Log.open(asked.path) as log:
        made = Notary(Ops(asked.settings, log)).make("asked")
    if made is None:
        return Reply(Page("The log holds nothing yet, so nothing was signed"), {"size": 0})
    facts: list[tuple[str, Line]] = [("Root", (Code(made.root),))]
    facts += [("Put to", (f"{where}: {ref}",)) for where, ref in made.published.items()]
    facts += [("Not put to", (f"{where}: {why}",)) for where, why in made.unpublished.items()]
    page = Page(f"Signed: {plural(made.size, 'event')}", facts=facts)
    data = {"size": made.size, "root": made.root, "note": made.note}
    return Reply(page, data | {"published": made.published, "unpublished": made.unpublished})

"""`audit seal`: the months that are over, into files of their own. The bot does it by itself."""

from audit import Log
from commands.auditing.asked import Asked
from commands.page import Page
from commands.page import Table
from commands.page_words import plural
from commands.reply import Reply
from ops.layer import Ops
from ops.segments import folder_of
from ops.segments import seal_due


def run(asked: Asked) -> Reply:
    with Log.open(asked.path) as log:
        done = seal_due(Ops(asked.settings, log))
    found = [{"month": one.month, "first": one.first_seq, "last": one.last_seq, "sha256": one.sha256} for one in done]
    if not done:
        return Reply(Page("No month is to be sealed: those that are over are, and this one goes on"), {"sealed": []})
    rows = [((one.month,), (f"{one.first_seq} to {one.last_seq}",), (one.sha256[:16],)) for one in done]
    table = Table("", ("Month", "Events", "SHA-256"), rows)
    page = Page(f"{plural(len(done), 'month')} sealed in {folder_of(asked.settings)}", body=[table])
    return Reply(page, {"sealed": found})

"""`audit drop`: old months are taken out of the log; what stays proves as before."""

from commands.auditing.asked import Asked
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.dropping import drop
from ops.dropping import month_before
from ops.layer import terminal_actor
from ops.segments import check_month


def run(asked: Asked) -> Reply:
    before = check_month(asked.arguments.before) if asked.arguments.before else month_before(asked.settings)
    done = drop(asked.settings, before, asked.arguments.because, terminal_actor(asked.uid))
    page = Page(
        f"{plural(len(done.months), 'month')} dropped: events 1 to {done.last_seq}",
        facts=[("Stay", (f"{plural(done.carried, 'event')} of them that are needed on, each with its proof",))],
        next=("archives, backups and exports have them still, where you made any.",),
    )
    return Reply(page, {"months": list(done.months), "last": done.last_seq, "carried": done.carried})

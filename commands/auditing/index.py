"""`audit index`: make the side file that answers questions quickly, or bring it up to the log. The bot does it by itself."""

from audit import Reader
from audit.side_index import SideIndex
from audit.side_index import index_path
from commands.auditing.asked import Asked
from commands.page import Code
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason

MOST_SECONDS = 86_400.0


def run(asked: Asked) -> Reply:
    index = SideIndex(asked.path)
    if asked.arguments.anew:
        index.discard()
    with Reader(asked.path).together() as view:
        head = view.size()
        # where the old file does not serve, the first time only removes it
        for _ in range(2):
            index.catch_up(view, seconds=MOST_SECONDS, worth=0, behind=1)
        with index.opened(view) as opened:
            covered = opened.covered if opened else 0
    if head and covered < head:
        raise OpsError(
            Reason.LOG_UNAVAILABLE,
            f"The side file {index_path(asked.path)} knows {covered} of {plural(head, 'event')}.",
            "Somebody else may be making it, or this user may not write there; questions look through the rest.",
        )
    facts = [("File", (Code(str(index_path(asked.path))),))] if head else []
    return Reply(Page(f"The side file knows {plural(covered, 'event')}", facts=facts), {"events": covered})

"""`audit verify`: whether the log is what it was."""

from dataclasses import asdict

from audit import verify
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Listing
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply


def run(asked: Asked) -> Reply:
    found = verify(asked.path)
    note(asked, "queried", {"query": "verify", "rows": found.events})
    data = {
        "events": found.events,
        "head": found.head,
        "problems": [asdict(problem) for problem in found.problems],
    }
    if found.ok:
        return Reply(Page(f"The log holds: {plural(found.events, 'event')}, head {found.head[:16]}"), data)
    lines = [(f"{'event ' + str(one.seq) if one.seq else 'the file'}: {one.message}",) for one in found.problems]
    page = Page(f"The log does not hold: {plural(len(lines), 'problem')}", body=[Listing("Problems", lines)])
    return Reply(page, data, ok=False, exit_code=1)

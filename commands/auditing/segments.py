"""`audit segments`: the sealed months, whether each file is what was sealed, and what the log begins behind."""

from typing import Any

from audit import Reader
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Command
from commands.page import Page
from commands.page import Table
from commands.page_words import plural
from commands.reply import Reply
from ops.segments import folder_of
from ops.segments import segment_problem
from ops.segments import segments_in


def run(asked: Asked) -> Reply:
    view = Reader(asked.path)
    known, base = segments_in(view), view.base()
    problems = {one.month: segment_problem(one, folder_of(asked.settings) / one.name) for one in known}
    note(asked, "queried", {"query": "segments", "rows": len(known)})
    found: list[dict[str, Any]] = [
        {
            "month": one.month,
            "first": one.first_seq,
            "last": one.last_seq,
            "sha256": one.sha256,
            "problem": problems[one.month],
        }
        for one in known
    ]
    data = {"segments": found, "base": base.seq}
    before = f"; events 1 to {base.seq} were dropped" if base.seq else ""
    if not known:
        return Reply(
            Page(f"No month is sealed yet{before}", next=(Command("audit seal"), " seals those that are over.")), data
        )
    rows = [
        (
            (one.month,),
            (f"{one.first_seq} to {one.last_seq}",),
            (one.sha256[:16],),
            (problems[one.month] or "it holds",),
        )
        for one in known
    ]
    broken = sum(1 for one in problems.values() if one)
    table = Table("", ("Month", "Events", "SHA-256", "File"), rows)
    told = f", {plural(broken, 'file')} not as sealed" if broken else ", all of which hold"
    advice = (Command("audit seal"), " makes lost ones again from the log.") if broken else ()
    page = Page(f"{plural(len(known), 'sealed month')}{told}{before}", body=[table], next=advice)
    return Reply(page, data, ok=not broken, exit_code=1 if broken else 0)

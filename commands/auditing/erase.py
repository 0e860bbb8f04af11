"""`audit erase`: the text of events is deleted, the events stay. With `erase_needs_two` somebody else has to agree."""

from collections import Counter
from typing import Any

from audit import Log
from audit import Reader
from commands.auditing.asked import Asked
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply
from ops.erasing import Erasable
from ops.erasing import Erasure
from ops.erasing import Wanted
from ops.erasing import ask_erasure
from ops.erasing import erasable
from ops.erasing import erase_text
from ops.layer import Ops
from ops.layer import terminal_actor


def run(asked: Asked) -> Reply:
    said = asked.arguments
    wanted = Wanted(said.person or "", said.request or "", said.seqs or (), said.agree or 0)
    actor = terminal_actor(asked.uid)
    if said.dry_run:
        found = erasable(Reader(asked.path), wanted)
        return _reply(f"The text of {plural(len(found.seqs), 'event')} would be erased", Erasure(found, None), {})
    if asked.settings.audit.erase_needs_two and not wanted.agree:
        with Log.open(asked.path) as log:
            done = ask_erasure(Ops(asked.settings, log), wanted, said.because, actor)
        headline = f"Somebody else has to agree that the text of {plural(len(done.found.seqs), 'event')} is erased"
        return _reply(
            headline, done, {"asked": done.asked}, (Command(f"audit erase --agree {done.asked} --because …"),)
        )
    done = erase_text(asked.settings, wanted, said.because, actor)
    headline = f"The text of {plural(len(done.found.seqs), 'event')} is erased; the events stay, and prove as before"
    return _reply(headline, done, {"months": list(done.months), "copies": list(done.copies)}, _elsewhere(done))


def _elsewhere(done: Erasure) -> Line:
    slack = "messages in Slack are Slack's: delete them there."
    return (f"{', '.join(done.copies)} may hold it still: replace them. And {slack}",) if done.copies else (slack,)


def _reply(headline: str, done: Erasure, more: dict[str, Any], following: Line = ()) -> Reply:
    found: Erasable = done.found
    data = {"seqs": list(found.seqs), "kept": {str(seq): why for seq, why in found.kept.items()}} | more
    lines: list[Line] = [(f"{plural(count, 'event')}: {why}",) for why, count in Counter(found.kept.values()).items()]
    body = [Listing("What stays", lines)] if lines else []
    facts: list[tuple[str, Line]] = [("Made again without it", (", ".join(done.months),))] if done.months else []
    return Reply(Page(headline, facts=facts, body=body, next=following), data)

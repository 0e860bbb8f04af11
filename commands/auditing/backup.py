"""`audit backup`: a copy of the log, of one moment, while it is in use."""

from pathlib import Path

from audit import back_up
from audit import digest_of
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply


def run(asked: Asked) -> Reply:
    target = Path(asked.arguments.file).expanduser().absolute()
    end = back_up(asked.path, target)
    sha256 = digest_of(target)
    data = {"file": str(target), "sha256": sha256, "size": end.tree.size, "head": end.head}
    note(asked, "backed_up", data)
    facts: list[tuple[str, Line]] = [
        ("File", (str(target),)),
        ("SHA-256", (Code(sha256),)),
        ("Head", (Code(end.head[:16]),)),
    ]
    return Reply(Page(f"The log is copied, and the copy holds: {plural(end.tree.size, 'event')}", facts=facts), data)

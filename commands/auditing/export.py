"""`audit export`: all events that match, as they are, oldest first."""

from typing import Literal

from audit import export
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.auditing.question import query_of
from commands.auditing.question import words_of
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply


def run(asked: Asked) -> Reply:
    query = query_of(asked.settings, asked.arguments)
    form: Literal["csv", "jsonl"] = asked.arguments.format
    rows = export(asked.path, format=form, query=query, out=asked.out)
    note(asked, "exported", {"format": form, "query": words_of(query), "rows": rows})
    return Reply(Page(f"{plural(rows, 'event')} exported"), {"rows": rows, "format": form})

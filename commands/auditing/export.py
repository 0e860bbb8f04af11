"""`audit export`: all events that match, as they are, oldest first."""

from dataclasses import replace
from typing import Literal

from audit import Reader
from audit import export
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.auditing.question import question_of
from commands.page import Page
from commands.page_words import plural
from commands.reply import Reply


def run(asked: Asked) -> Reply:
    question = question_of(asked.settings, asked.arguments)
    form: Literal["csv", "jsonl"] = asked.arguments.format
    reader = Reader(asked.path)
    first = reader.size() + 1 if question.query.before_seq is None else question.query.before_seq
    query = replace(question.query, before_seq=first)
    # Counted first, so that it is written down before anything is out: a reader may leave, or the process be killed.
    note(asked, "exported", {"format": form, "query": question.text, "rows": sum(1 for _ in reader.rows(query))})
    rows = export(asked.path, format=form, query=query, out=asked.out)
    return Reply(Page(f"{plural(rows, 'event')} exported"), {"rows": rows, "format": form})

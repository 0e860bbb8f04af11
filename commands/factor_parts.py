"""What people read of second factors where too few have one."""

from collections.abc import Sequence

from commands.page import Code
from commands.page import Line
from commands.page import Who
from commands.page_words import joined

PEOPLE_NAMED = 10


def too_few_facts(without: Sequence[str]) -> list[tuple[str, Line]]:
    """That a request waits in vain, and what is to be done about it; nothing where nobody lacks a second factor.

    `without`: the Slack ids of those who may approve and have none.
    """
    if not without:
        return []
    more = f" and {len(without) - PEOPLE_NAMED} more" if len(without) > PEOPLE_NAMED else ""
    named = joined(map(Who, without[:PEOPLE_NAMED]))
    do: Line = ("; whoever runs Countersign types ", Code(f"countersign enrol {without[0]}"), " with each beside them")
    return [
        (
            "Second factor",
            ("too few of those who may approve have one, so this waits in vain: none has ", *named, more, *do),
        )
    ]

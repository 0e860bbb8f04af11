"""What is meant by a line in the thread of a card: there the number of its request may be left out."""

import re

from commands.words import declared_words

_NUMBER = re.compile(r"#?(r-?)?[0-9]{1,9}", re.IGNORECASE)


def line_about(text: str, request: str) -> str:
    """The line with the request's number where its word takes one and it was left out; any other line as it is."""
    words = text.split()
    declared = declared_words().get(words[0].lower().lstrip("/")) if words else None
    usage = declared.usage.split() if declared else []
    place = next((number for number, one in enumerate(usage) if "R-NUMBER" in one), None)
    if place is None or [one.lower() for one in words[1:place]] != usage[1:place]:
        return text
    if len(words) > place and _NUMBER.fullmatch(words[place]):
        return text
    before = re.match(rf"\s*(\S+\s+){{{place - 1}}}\S+", text)
    return f"{before[0]} {request}{text[before.end() :]}" if before else text

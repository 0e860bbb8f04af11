"""A typed line about secrets, without what may be a value: somebody types one with the name one day, and it is not kept."""

import re

_ABOUT_SECRETS = re.compile(r"\s*[/`'\"]*secrets?\b", re.IGNORECASE)
_PLAIN = re.compile(r"--[a-z][a-z-]{0,30}|[A-Z_][A-Z0-9_]{0,255}")
_WORDS = 3
"""The word, the environment, and `set` or `unset`; then follow a name in capital letters, and options."""

MASKED = "«masked: value»"


def without_value(text: str) -> str:
    """The line as it may be stored. Other lines are as they are."""
    if not _ABOUT_SECRETS.match(text):
        return text
    words = text.split()
    rest = words[_WORDS:]
    if all(map(_PLAIN.fullmatch, rest)) and sum(not word.startswith("--") for word in rest) <= 1:
        return text
    name = rest[0] if _PLAIN.fullmatch(rest[0]) else ""
    return " ".join([*words[:_WORDS], *([name] if name else []), MASKED])

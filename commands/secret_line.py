"""A typed line about secrets, without what may be a value: somebody types one with the name one day, and it is not kept."""

import re
from collections.abc import Collection

_ABOUT_SECRETS = re.compile(r"\s*[/`'\"]*secrets?\b", re.IGNORECASE)
_PLAIN = re.compile(r"--[a-z][a-z-]{0,30}|[A-Z_][A-Z0-9_]{0,255}")
_HOW = ("set", "unset")

MASKED = "«masked: value»"


def without_value(text: str, environments: Collection[str] = ()) -> str:
    """The line as it may be stored. Other lines are as they are.

    Of one about secrets is kept what has its place: the word, an environment that there is (one of `environments`, or
    none of them is believed), `set` or `unset`, one name in capital letters, options. The rest is covered.
    """
    if not _ABOUT_SECRETS.match(text):
        return text
    words = text.split()
    kept = words[:1]
    if len(words) > 1 and words[1].lower() in environments:
        kept = words[:2]
        if len(words) > 2 and words[2].lower() in _HOW:
            kept = words[:3]
    rest = words[len(kept) :]
    options = [word for word in rest if word.startswith("--")]
    if all(map(_PLAIN.fullmatch, rest)) and len(rest) - len(options) <= (len(kept) == 3):
        return text
    name = rest[0] if len(kept) == 3 and _PLAIN.fullmatch(rest[0]) else ""
    return " ".join([*kept, *([name] if name else []), MASKED])

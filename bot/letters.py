"""Letters as people see them: nothing hides, nothing is read as markup, nothing is longer than there is room for."""

import json
import re
import unicodedata


def escape(text: str) -> str:
    """Text that mrkdwn takes literally: no mention, link or entity can be made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Text in which nothing hides: control, bidi and zero-width characters are shown by their number."""
    return _PERHAPS_HIDDEN.sub(_shown, text.replace("\r\n", "\n"))


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    hides = character in _BLANK or unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    return f"\\u{ord(character):04x}" if hides else character


_PERHAPS_HIDDEN = re.compile(r"[^\x20-\x7e\n\t]")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are drawn as nothing, though Unicode does not count them among the format characters."""


def _cut(text: str, letters: int) -> str:
    if weight(text) <= letters:
        return text
    kept = text[: letters - 1]
    while weight(kept) > letters - 1:
        kept = kept[: len(kept) * 7 // 8]
    return kept + "…"


def weight(text: str) -> int:
    """The text's letters; those beyond ASCII count for more, since they are sent as escapes of six or twelve letters."""
    return max(len(text), len(json.dumps(text)) // 3)


def clean_cut(text: str, letters: int) -> str:
    """At most so many letters of a text of any length, counted as they are shown."""
    return _cut(clean(text[: 2 * letters + 2]), letters) or " "

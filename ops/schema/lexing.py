"""Taking a definition of pg_dump's apart into its clauses, with Postgres' own lexer. Nothing here builds trees: that
would take as long for a hundred tables as the dump itself."""

import functools
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from pglast import parser
from pglast.parser import ParseError

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_OPEN, _CLOSE = frozenset(("ASCII_40", "ASCII_91")), frozenset(("ASCII_41", "ASCII_93"))
_COMMA, _SEMICOLON = "ASCII_44", "ASCII_59"
_SHORT = 200  # characters
_COMMENTS = frozenset(("SQL_COMMENT", "C_COMMENT"))


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a definition. `depth` counts the brackets around it; a bracket itself has the depth outside."""

    name: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def identifier(self) -> str:
        """The name that the word stands for, unquoted."""
        if self.text.startswith('"'):
            return self.text[1:-1].replace('""', '"')
        return self.text


def tokens(text: str) -> Sequence[Token]:
    """The words of a text, comments left out. Empty where the lexer does not take it."""
    # Columns and options come again, on the other side and in other tables.
    return _known_tokens(text) if len(text) < _SHORT else _scanned(text)


@functools.lru_cache(maxsize=2048)
def _known_tokens(text: str) -> Sequence[Token]:
    return _scanned(text)


def _scanned(text: str) -> tuple[Token, ...]:
    try:
        # The lexer takes every letter beyond ASCII as "_", and counts places faster without them.
        scanned = parser.scan(_BEYOND_ASCII.sub("_", text))
    except (ParseError, ValueError):
        return ()
    found, depth = [], 0
    for one in scanned:
        if one.name in _COMMENTS:
            continue
        if one.name in _CLOSE:
            depth -= 1
        found.append(Token(one.name, text[one.start : one.end + 1], one.start, one.end + 1, depth))
        if one.name in _OPEN:
            depth += 1
    return tuple(found)


def statements(text: str) -> list[str]:
    """The statements of a definition, without their semicolons."""
    found, start = [], 0
    for token in tokens(text):
        if token.name == _SEMICOLON and token.depth == 0:
            found.append(text[start : token.start].strip())
            start = token.end
    return [statement for statement in (*found, text[start:].strip()) if statement]


def between(text: str, words: Sequence[Token], first: int) -> tuple[list[str], int]:
    """What stands in the brackets that word `first` opens, cut at its commas; and the word behind the brackets."""
    depth = words[first].depth
    parts, start = [], words[first].end
    for number in range(first + 1, len(words)):
        token = words[number]
        if token.name in _CLOSE and token.depth == depth:
            parts.append(text[start : token.start].strip())
            return [part for part in parts if part], number + 1
        if token.name == _COMMA and token.depth == depth + 1:
            parts.append(text[start : token.start].strip())
            start = token.end
    return parts, len(words)


def cut(text: str, words: Sequence[Token], openers: Collection[str]) -> Iterator[tuple[str, str]]:
    """The clauses of a text: (opening word in capitals, what follows it). What stands before the first has no word.

    Only words outside all brackets of `words` open a clause.
    """
    if not words:
        return
    depth = words[0].depth
    opener, start = "", words[0].start
    for token in words:
        word = token.text.upper()
        if token.depth == depth and word in openers and token.name not in ("IDENT", "SCONST"):
            yield opener, text[start : token.start].strip()
            opener, start = word, token.end
    yield opener, text[start : words[-1].end].strip()


def clauses(text: str, openers: Collection[str]) -> dict[str, str]:
    """The same by their opening words; one that comes twice is joined. Empty where the lexer does not take the text."""
    found: dict[str, str] = {}
    words = [token for token in tokens(text) if token.name != _SEMICOLON]
    for opener, body in cut(text, words, openers):
        found[opener] = f"{found[opener]} {body}".strip() if opener in found else body
    return found


def options(text: str) -> dict[str, str]:
    """`(security_invoker='true', fillfactor='70')` as name to value, values without quotes."""
    words = tokens(text)
    first = next((number for number, token in enumerate(words) if token.name == "ASCII_40"), None)
    if first is None:
        return {}
    found = {}
    for part in between(text, words, first)[0]:
        name, _, value = part.partition("=")
        found[name.strip()] = value.strip().strip("'")
    return found

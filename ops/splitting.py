"""Cutting a migration file into statements, exactly as the Supabase CLI 3.1.0 stores them in its history.

The rows of `supabase_migrations.schema_migrations` are compared with files byte for byte, so the CLI's oddities
are kept: nested parentheses close each other, a backslash outside quotes swallows a character, comments stay
with the statement that follows. What Postgres itself would make of the text is `ops.migrations`' business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What JavaScript's String.trim() removes; Python's strip() also takes \x1c-\x1f and \x85, which the CLI keeps.
_TRIMMED = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_IDENTIFIER = r"[A-Za-z0-9_$\u0080-\U0010ffff]"
_SPACE = r"[ \t\n\r\f\v]"

# Everything between two matches is plain text, which the regex engine jumps over.
_STOP = re.compile(r"""['"$\\;()]|--|/\*|[aA][tT][oO][mM][iI][cC]""")
_STOP_IN_BODY = re.compile(rf"{_STOP.pattern}|[eE][nN][dD]")

_ESCAPE_STRING = re.compile(r"(?:[^'\\]++|''|\\.)*+'", re.DOTALL)
# 'a'<newline>'b' is one literal to Postgres, and the second part keeps the E of the first.
_CONTINUATION = re.compile(rf"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:{_SPACE}|--[^\n\r]*+[\n\r])*+'")
_DOLLAR_TAG = re.compile(r"\$[A-Za-z0-9_\u0080-\U0010ffff]*+\$")
_LINE_COMMENT = re.compile(r"[^\n\r]*+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_IS_IDENTIFIER = re.compile(_IDENTIFIER).match


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement: its text as stored, and where its first character stands (characters; lines from 1)."""

    text: str
    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A text taken apart.

    `ends`: offsets just behind each semicolon that ends a piece, and the text's length. `backslashes`: offsets of
    backslashes outside quotes and comments, which only psql reads. `unfinished` names what the end of the text still
    stands inside of (a quote, a comment…), or is empty.
    """

    pieces: tuple[Piece, ...]
    ends: tuple[int, ...]
    backslashes: tuple[int, ...]
    unfinished: str


def split(text: str) -> list[str]:
    """The statements as the CLI stores them; comments are kept, final semicolons and outer white space are not."""
    return [piece.text for piece in cut(text).pieces]


def cut(text: str) -> Cut:
    """The statements with their places. Linear in the length of the text; never fails."""
    scanner = _Scanner(text)
    ends = scanner.ends()
    return Cut(tuple(pieces_between(text, ends)), tuple(ends), tuple(scanner.backslashes), scanner.unfinished)


def pieces_between(text: str, ends: list[int]) -> Iterator[Piece]:
    """The pieces of `text` that end at the given offsets (ascending, the last is the text's length), trimmed."""
    start, line, counted = 0, 1, 0
    for end in ends:
        raw = text[start:end].rstrip(";")
        body = raw.lstrip(_TRIMMED)
        offset = start + len(raw) - len(body)
        body = body.rstrip(_TRIMMED)
        if body:
            line += text.count("\n", counted, offset)
            counted = offset
            yield Piece(body, offset, line)
        start = end


class _Scanner:
    """One walk over a text. `_inside` is the stack of what a semicolon does not end: "(" or "atomic".

    A parenthesis inside a parenthesis is not stacked, since the CLI closes every open level with one ")".
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.backslashes: list[int] = []
        self.unfinished = ""
        self._inside: list[str] = []
        self._bodies = 0  # how many of `_inside` are "atomic"
        self._may_end_from: int | None = None  # where the body's current statement began; None behind its first word

    def ends(self) -> list[int]:
        """Offsets just behind each statement's semicolon, and the length of the text."""
        text, found, position, stop = self.text, [], 0, _STOP
        while match := stop.search(text, position):
            here, token = match.start(), match.group()
            position = match.end()
            if token == ";":
                if not self._inside:
                    found.append(position)
                elif self._inside[-1] == "atomic":
                    self._may_end_from = position
            elif token == "(":
                if not self._inside or self._inside[-1] != "(":
                    self._inside.append(token)
            elif token == ")":
                self._close_parenthesis()
            elif len(token) >= 3:
                self._word(token, here, position)
            else:
                position = self._skip(token, here, position)
            stop = _STOP_IN_BODY if self._bodies else _STOP
        found.append(len(text))
        if self._inside and not self.unfinished:
            self.unfinished = "parentheses" if self._inside[-1] == "(" else "BEGIN ATOMIC body"
        return found

    def _close_parenthesis(self) -> None:
        if self._inside and self._inside[-1] == "(":
            self._inside.pop()

    def _word(self, word: str, here: int, end: int) -> None:
        """ATOMIC may open a body, END may close it."""
        text = self.text
        if here and _IS_IDENTIFIER(text, here - 1):
            return
        if len(word) == len("atomic"):
            if _follows_begin(text, here):
                self._inside.append("atomic")
                self._bodies += 1
                self._may_end_from = end
        elif self._inside[-1] == "atomic" and self._may_end_from is not None and not _IS_IDENTIFIER(text, end):
            # END closes the body only as the first word of a statement in it; CASE … END does not.
            if _only_comments(text, self._may_end_from, here):
                self._inside.pop()
                self._bodies -= 1
            self._may_end_from = None

    def _skip(self, token: str, here: int, position: int) -> int:
        """Where the scan goes on behind a quote, a comment or a backslash that begins at `here`."""
        text = self.text
        if token == "'":
            end = self._string_end(here, position)
        elif token == '"':
            end = text.find('"', position) + 1
        elif token == "--":
            return _line_comment_end(text, position)
        elif token == "/*":
            end = _block_comment_end(text, position)
        elif token == "\\":
            self.backslashes.append(here)
            if text.startswith(")", position):
                self._close_parenthesis()
            return position + 1
        else:
            end = self._dollar_end(here, position)
        if end:
            return end
        self.unfinished = {"'": "quoted string", '"': "quoted name", "/*": "comment"}.get(token, "dollar quote")
        return len(text)

    def _string_end(self, here: int, position: int) -> int:
        text = self.text
        escapes = here > 0 and text[here - 1] in "eE" and not (here > 1 and _IS_IDENTIFIER(text, here - 2))
        if not escapes:
            return text.find("'", position) + 1
        while closed := _ESCAPE_STRING.match(text, position):
            position = closed.end()
            continued = _CONTINUATION.match(text, position)
            if not continued:
                return position
            position = continued.end()
        return 0

    def _dollar_end(self, here: int, position: int) -> int:
        if here and _IS_IDENTIFIER(self.text, here - 1):
            return position
        tag = _DOLLAR_TAG.match(self.text, here)
        if not tag:
            return position
        closing = self.text.find(tag.group(), tag.end())
        return closing + len(tag.group()) if closing >= 0 else 0


def _follows_begin(text: str, here: int) -> bool:
    """The word before `here`, white space apart, is BEGIN."""
    end = here
    while end and text[end - 1] in " \t\n\r\f\v":
        end -= 1
    start = end - len("begin")
    if end == here or start < 0 or text[start:end].lower() != "begin":
        return False
    return start == 0 or not _IS_IDENTIFIER(text, start - 1)


def _line_comment_end(text: str, position: int) -> int:
    match = _LINE_COMMENT.match(text, position)
    return match.end() if match else position


def _block_comment_end(text: str, position: int) -> int:
    """Behind the `*/` that closes the comment whose `/*` ends at `position`; 0 when nothing closes it."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return 0


_GAP = re.compile(rf"{_SPACE}*+(--[^\n]*+|/\*)?")


def _only_comments(text: str, start: int, end: int) -> bool:
    """Nothing but white space and comments stands between the two offsets."""
    position = start
    while position < end:
        gap = _GAP.match(text, position, end)
        if gap is None or gap.end() == position:
            return False
        position = gap.end()
        if gap.group(1) == "/*":
            position = _block_comment_end(text, position) or end
    return True

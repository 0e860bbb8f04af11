"""What a module imports, as far as its text says so. Nothing of it is run; time is in proportion to the text.

Two readings are laid over each other. One knows comments, texts and templates, and so what is imported in truth. The other
looks for the words alone, wherever they stand, since the CLI takes along what a comment or a text mentions as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

LONGEST_NAME = 2_000
"""What is longer names no file; a text that is data itself may be."""


class Kind(StrEnum):
    """How a module names another one."""

    STATIC = "static"
    """Without it, the module does not start."""
    DYNAMIC = "dynamic"
    """`import("…")`: wanted when it comes to that."""
    TYPES = "types"
    """For its types alone, which nothing runs."""
    MENTIONED = "mentioned"
    """In a comment or a text, or it only looks like an import."""


@dataclass(frozen=True)
class Imported:
    """A name as it is written, and what it is wanted for."""

    name: str
    kind: Kind


def imports_in(text: str, *, is_code: bool = True) -> list[Imported]:
    """What a file imports, in its order. `is_code` False: it is no module, and can only mention others."""
    found = {start: Imported(name, Kind.MENTIONED) for start, name in _Mentions(text).all()}
    if is_code and ("import" in text or "export" in text):
        found |= {start: Imported(name, kind) for start, name, kind in _in_code(text)}
    there = (Imported(one.name.strip(), one.kind) for _, one in sorted(found.items(), key=lambda item: item[0]))
    return [one for one in there if 0 < len(one.name) <= LONGEST_NAME]


# --- code -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"//|/\*|[\"'`/]|(?:[^\W\d]|\$)[\w$]*+|\d[\w.]*+|[^\s\w]")
_TEXT_STOP = {quote: re.compile(rf"[{quote}\\\n]") for quote in "\"'"}
_TEMPLATE_STOP = re.compile(r"[`\\]|\$\{")
_PATTERN_STOP = re.compile(r"[/\\\[\]\n]")
_BEFORE_A_PATTERN = frozenset(
    (
        "return",
        "typeof",
        "case",
        "in",
        "of",
        "delete",
        "void",
        "throw",
        "new",
        "else",
        "do",
        "await",
        "yield",
        "instanceof",
    )
)
_CLAUSE = frozenset("{},*")


def _in_code(text: str) -> Iterator[tuple[int, str, Kind]]:
    """Where a name begins, the name, and what for."""
    reading = _Reading()
    for kind, value, start in _tokens(text):
        found = reading.next(kind, value, start)
        if found is not None:
            yield found


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Texts ("text", what is in it, where that begins), words and signs; comments and what templates say are left out.

    A template without code in it is a text.
    """
    place, before = 0, ""
    braces: list[int] = []  # for each template around: how many braces are open in its code
    while (token := _TOKEN.search(text, place)) is not None:
        value, start, place = token[0], token.start(), token.end()
        if value == "//":
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
            continue
        if value == "/*":
            end = text.find("*/", place)
            place = len(text) if end < 0 else end + 2
            continue
        if value in _TEXT_STOP:
            end = _end_of_text(text, place, value)
            is_whole = text[end : end + 1] == value
            yield "text", text[place:end] if is_whole else "", place
            place, value = end + 1 if is_whole else end, '"'
        elif value == "`" or (value == "}" and braces and braces[-1] == 0):
            if value == "}":
                braces.pop()
            end, is_open = _end_of_template(text, place)
            if is_open:
                braces.append(0)
            yield ("text", text[place:end], place) if value == "`" and not is_open else ("sign", "`", start)
            place, value = end + (2 if is_open else 1), "(" if is_open else '"'
        elif value == "/" and _opens_a_pattern(before):
            place, value = _end_of_pattern(text, place), '"'
        else:
            if braces:
                braces[-1] += {"{": 1, "}": -1}.get(value, 0)
            yield "word" if value[0].isalpha() or value[0] in "_$" else "sign", value, start
        before = value


def _opens_a_pattern(before: str) -> bool:
    """Whether a slash behind this opens a regular expression, and does not divide."""
    is_value = before[-1:].isalnum() or before[-1:] in ("_", "$", ")", "]", "}", '"')
    return not before or before in _BEFORE_A_PATTERN or not is_value


def _end_of_text(text: str, place: int, quote: str) -> int:
    while (stop := _TEXT_STOP[quote].search(text, place)) is not None:
        if stop[0] != "\\":
            return stop.start()
        place = stop.end() + 1
    return len(text)


def _end_of_template(text: str, place: int) -> tuple[int, bool]:
    """Where what it says ends, and whether code follows there."""
    while (stop := _TEMPLATE_STOP.search(text, place)) is not None:
        if stop[0] != "\\":
            return stop.start(), stop[0] == "${"
        place = stop.end() + 1
    return len(text), False


def _end_of_pattern(text: str, place: int) -> int:
    """Behind the slash that ends a regular expression, or the end of its line."""
    in_set = False
    while (stop := _PATTERN_STOP.search(text, place)) is not None:
        if stop[0] == "\n" or (stop[0] == "/" and not in_set):
            return stop.end()
        in_set = stop[0] == "[" or (in_set and stop[0] != "]")
        place = stop.end() + (1 if stop[0] == "\\" else 0)
    return len(text)


class _Reading:
    """Follows the tokens from `import` or `export` to the name."""

    def __init__(self) -> None:
        self._opened = ""
        self._before = ""
        self._is_types = False
        self._words = 0
        self._called: tuple[int, str] | None = None

    def next(self, kind: str, value: str, start: int) -> tuple[int, str, Kind] | None:
        """What is imported, once it is known."""
        before, self._before = self._before, '"' if kind == "text" else value
        if kind == "word" and value in ("import", "export") and before != ".":
            self._opened, self._is_types, self._words, self._called = value, before == "typeof", 0, None
            return None
        if not self._opened:
            return None
        if before == "(" and kind == "text" and self._opened == "import(":
            self._called = (start, value)
            return None
        if self._called is not None:
            called, self._called, self._opened = self._called, None, ""
            return (*called, Kind.TYPES if self._is_types else Kind.DYNAMIC) if value in (",", ")") else None
        return self._clause(kind, value, start, before)

    def _clause(self, kind: str, value: str, start: int, before: str) -> tuple[int, str, Kind] | None:
        self._words += 1
        if kind == "text":
            if before == "from" or (self._words == 1 and self._opened == "import"):
                self._opened = ""
                return start, value, Kind.TYPES if self._is_types else Kind.STATIC
            goes_on = before in ("{", ",", "as")
        elif value == "(" and self._words == 1 and self._opened == "import":
            self._opened = "import("
            return None
        elif kind == "word":
            goes_on = self._opened == "import" or self._words > 1 or value == "type"
            if self._words == 1 and value == "type":
                self._is_types = True
            elif self._words == 2 and value == "from":
                self._is_types = False  # `import type from "…"` names it so
        else:
            goes_on = value in _CLAUSE
        if not goes_on or self._opened == "import(":
            self._opened = ""
        return None


# --- what the words alone say ---------------------------------------------------------------------------------------

_WORD = re.compile(r"import|export", re.IGNORECASE | re.ASCII)
_SPACE = re.compile(r"[\s\ufeff]*+")
_FROM = re.compile(r"from", re.IGNORECASE | re.ASCII)
_LINE_ENDS = "\n\r\u2028\u2029"


class _Next:
    """Where the next of some letters stands. Asked from left to right, it goes through the text once."""

    def __init__(self, text: str, letters: str) -> None:
        self._text = text
        self._letters = re.compile(f"[{letters}]")
        self._asked, self._found = 0, -1

    def at(self, place: int) -> int:
        """The first at or behind this place; the text's length where there is none."""
        if not self._asked <= place <= self._found:
            match = self._letters.search(self._text, place)
            self._found = match.start() if match else len(self._text)
        self._asked = place
        return self._found


class _Mentions:
    """The names behind the words import and export, wherever those stand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._stop = _Next(text, f"'\"{_LINE_ENDS}")
        self._brace = _Next(text, "{}")
        self._end = _Next(text, f"'\"{_LINE_ENDS}")
        self._tail: tuple[int, tuple[int, str] | None] = (-1, None)

    def all(self) -> Iterator[tuple[int, str]]:
        """Where each begins, and the name."""
        behind = 0
        for word in _WORD.finditer(self._text):
            if word.start() < behind:
                continue
            found = self._behind(word)
            if found is not None:
                yield found
                behind = found[0] + len(found[1]) + 1

    def _behind(self, word: re.Match[str]) -> tuple[int, str] | None:
        text, place = self._text, word.end()
        if word[0].lower() == "import" and text[place : place + 1] == "(":
            return self._called(self._space(place + 1))
        begin = self._space(place)
        if begin == place or begin >= len(text):
            return None
        if text[begin] == "{":
            end = self._brace.at(begin + 1)
            found = self._named(end + 1) if text[end : end + 1] == "}" else None
            if found is not None:
                return found
        return self._named(self._stop.at(begin))

    def _space(self, place: int) -> int:
        match = _SPACE.match(self._text, place)
        return match.end() if match else place

    def _named(self, place: int) -> tuple[int, str] | None:
        """The name that stands here, behind spaces and `from`."""
        if self._tail[0] != place:
            start = self._space(place)
            if _FROM.match(self._text, start):
                start = self._space(start + 4)
            self._tail = (place, self._quoted(start))
        return self._tail[1]

    def _quoted(self, place: int) -> tuple[int, str] | None:
        if self._text[place : place + 1] not in ("'", '"'):
            return None
        end = self._end.at(place + 1)
        is_whole = self._text[end : end + 1] in ("'", '"')
        return (place + 1, self._text[place + 1 : end]) if is_whole else None

    def _called(self, place: int) -> tuple[int, str] | None:
        found = self._quoted(place)
        if found is None or self._text[found[0] - 1] != self._text[found[0] + len(found[1])]:
            return None
        end = self._space(found[0] + len(found[1]) + 1)
        return found if self._text[end : end + 1] in (",", ")") else None

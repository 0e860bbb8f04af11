"""Which environment variables an edge function reads, as far as its sources say so. Pure; nothing of them is run.

A JavaScript parser is not needed for that: comments and strings are passed over, and what stands between them is searched.
Text that hides what it reads (a computed name, an alias of `Deno.env`) makes the answer open, which is told.
"""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

GIVEN = frozenset({"SB_REGION", "SB_EXECUTION_ID", "DENO_DEPLOYMENT_ID"})
"""What the platform sets itself, beside all that begins with SUPABASE_
(https://supabase.com/docs/guides/functions/secrets, read 2026-11-23)."""

TEXT_LETTERS = 2_000_000
"""So much of one file is searched; what is longer is taken to read more than was seen."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,255}"
_DOT = r"\s{0,99}\??\.\s{0,99}"
_ENV = rf"(?<![\w.$])(?:globalThis{_DOT})?(?:Deno|process){_DOT}env(?![\w$])"
_TO_OBJECT = rf"{_DOT}toObject\s{{0,9}}\(\s{{0,99}}\)"
# The first that matches at a place wins: comments and strings hide what is written in them. A template does not, for its
# ${…} are code.
_TOKEN = re.compile(
    rf"""//[^\n]*|(?P<comment>/\*)|(?P<quote>["'])"""
    rf"|\b(?:const|let|var)\s{{1,99}}\{{(?P<parts>[^{{}}]{{0,4000}})\}}\s{{0,99}}=\s{{0,99}}{_ENV}(?:{_TO_OBJECT})?"
    rf"|(?P<env>{_ENV})"
)
_STRINGS = {quote: re.compile(rf"{quote}(?:[^{quote}\\\n]|\\.)*+{quote}") for quote in "\"'"}
_GET = re.compile(rf"""{_DOT}(?:get|has)\s{{0,9}}\(\s{{0,99}}(?:(["'`])(?P<name>{_NAME})\1\s{{0,99}},?\s{{0,99}}\))?""")
_WRITE = re.compile(rf"{_DOT}(?:set|delete)\s{{0,9}}\(")
_MEMBER = re.compile(
    rf"""(?:{_TO_OBJECT})?(?:{_DOT}(?!toObject\b)(?P<name>{_NAME})|\s{{0,99}}(?:\?\.)?\[\s{{0,99}}(["'`])(?P<key>{_NAME})\2\s{{0,99}}\])"""
)
_GOES_ON = re.compile(r"\s{0,99}(?:\?\?|\|\|)")
_PART = re.compile(rf"\s*(?P<name>{_NAME})\s*(?::\s*{_NAME}\s*)?(?P<default>=.*)?", re.DOTALL)


@dataclass(frozen=True)
class Reads:
    """What one text reads: the names, each with whether every place that reads it goes on without (`?? "a default"`).

    `is_open`: it may read others too, under names that are made while it runs.
    """

    names: Mapping[str, bool] = field(default_factory=dict)
    is_open: bool = False


@dataclass(frozen=True)
class Read:
    """One name, and the functions that read it, sorted. `is_optional`: each of them goes on without."""

    name: str
    functions: tuple[str, ...]
    is_optional: bool

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "functions": list(self.functions), "optional": self.is_optional}


@dataclass(frozen=True)
class FunctionReads:
    """What several functions read, by name, sorted; what the platform gives itself is not in it. `is_open`: those that may
    read more than is seen."""

    by_name: Mapping[str, Read] = field(default_factory=dict)
    is_open: tuple[str, ...] = ()


def reads_of(texts: Mapping[str, Iterable[str]]) -> FunctionReads:
    """What functions read, from the texts of all files that each of them is made of."""
    functions: dict[str, set[str]] = {}
    required: set[str] = set()
    is_open: set[str] = set()
    for slug, files in texts.items():
        for found in map(reads_in, files):
            is_open |= {slug} if found.is_open else set()
            for name, is_optional in found.names.items():
                functions.setdefault(name, set()).add(slug)
                required |= set() if is_optional else {name}
    wanted = sorted(name for name in functions if not is_given(name))
    by_name = {name: Read(name, tuple(sorted(functions[name])), name not in required) for name in wanted}
    return FunctionReads(by_name, tuple(sorted(is_open)))


def is_given(name: str) -> bool:
    """Whether the platform sets this one itself; such a name can be neither set nor missing."""
    return name.startswith("SUPABASE_") or name in GIVEN


def reads_in(text: str) -> Reads:
    """What one file reads. Reads only; a text in another language reads nothing."""
    names: dict[str, bool] = {}
    is_open = len(text) > TEXT_LETTERS
    for name, goes_on in _found(text[:TEXT_LETTERS]):
        if name is None:
            is_open = True
        else:
            names[name] = names.get(name, True) and goes_on
    return Reads(dict(sorted(names.items())), is_open)


def _found(text: str) -> Iterator[tuple[str | None, bool]]:
    """Each place that reads a name, and whether it goes on without; None for a name that is not to be seen."""
    position = 0
    passed = {'"': 0, "'": 0}  # so far such a quote was seen to open no string, so that no line is searched twice
    while (token := _TOKEN.search(text, position)) is not None:
        position = token.end()
        if token["comment"]:
            end = text.find("*/", position)
            position = len(text) if end < 0 else end + 2
        elif quote := token["quote"]:
            position, passed[quote] = _behind_string(text, token.start(), passed[quote])
        elif token["parts"] is not None:
            yield from _taken_apart(token["parts"])
        elif token["env"]:
            yield from _behind_env(text, position)


def _behind_string(text: str, start: int, passed: int) -> tuple[int, int]:
    """Where it goes on behind a quote, and how far such a quote opens no string: an apostrophe in a template does not."""
    if start < passed:
        return start + 1, passed
    if found := _STRINGS[text[start]].match(text, start):
        return found.end(), passed
    end = text.find("\n", start)
    return start + 1, len(text) if end < 0 else end


def _behind_env(text: str, position: int) -> Iterator[tuple[str | None, bool]]:
    if _WRITE.match(text, position):
        return
    got = _GET.match(text, position) or _MEMBER.match(text, position)
    if got is None:
        yield None, False  # all of it, or under another name
        return
    name = got["name"] or got.groupdict().get("key")
    yield name, name is not None and _GOES_ON.match(text, got.end()) is not None


def _taken_apart(parts: str) -> Iterator[tuple[str | None, bool]]:
    """`const { A, B = "default", C: c } = …`"""
    for part in filter(str.strip, parts.split(",")):
        found = _PART.fullmatch(part)
        yield (found["name"], found["default"] is not None) if found else (None, False)

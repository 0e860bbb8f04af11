"""Covering what may be rows of the target in what a rehearsal with rows tells: nobody has approved that they are read.

A value is told only where it stands literally in the files that people are asked about, or in the schema that was there
before them: everything else may have been put together from rows.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ops.migration import Migration
from ops.schema.lexing import tokens
from ops.schema.model import Entry
from ops.schema.model import Schema
from ops.sql_errors import MASKED

_IN_QUOTES = re.compile(r"""(["'«])((?:(?!\1).)*)(\1|»)""", re.DOTALL)
_PLACE = re.compile(r"PL/pgSQL function (\w+)(?:\([\w, ]*\))? line \S+ at [\w ]+$")
_DIGITS = re.compile(r"\d{4,}")
_LITERALS = frozenset(("SCONST", "USCONST", "BCONST", "XCONST", "FCONST"))
_NUMBER = "ICONST"
_LONG = 4  # digits, from which on a number may be somebody's
_DOLLARS = re.compile(r"\$(\w*)\$(.*)\$\1\$", re.DOTALL)


@dataclass(frozen=True)
class Covering:
    """`known` is the text in which a value may stand to be told: of the pending files, and of the schema before them."""

    known: str

    def error(self, found: Mapping[str, Any], *, is_raised: bool) -> dict[str, Any]:
        """An error of the server's as JSON of an SqlError, without what may be values of rows."""
        detail = MASKED if found["detail"] else ""
        message, hint = self._text(str(found["message"])), self._text(str(found["hint"]))
        if is_raised:
            message = f"An error was raised with SQLSTATE {found['sqlstate']}; its text may hold rows and is not told"
            hint = ""
        context = "\n".join(line for line in str(found["context"]).splitlines() if self._is_place(line))
        return {**found, "message": message, "hint": hint, "detail": detail, "context": context}

    def _is_place(self, line: str) -> bool:
        """Whether a line of the context says where, and not what was run there."""
        place = _PLACE.match(line)
        return place is not None and (place[1] == "inline_code_block" or place[1] in self.known)

    def schema(self, found: Schema) -> Schema:
        """The same with every literal covered that is not known."""
        entries = {key: self._entry(entry) for key, entry in found.entries.items()}
        return replace(found, entries=MappingProxyType(entries))

    def _entry(self, entry: Entry) -> Entry:
        definition = self._sql(entry.definition)
        return entry if definition == entry.definition else replace(entry, definition=definition)

    def _text(self, text: str) -> str:
        """A sentence, with what it quotes covered unless it is known."""
        quoted = _IN_QUOTES.sub(lambda one: one[0] if one[2] in self.known else f"{one[1]}{MASKED}{one[3]}", text)
        return _DIGITS.sub(lambda one: one[0] if one[0] in self.known else MASKED, quoted)

    def _sql(self, text: str) -> str:
        if text in self.known:
            return text
        parts, place = [], 0
        for token in tokens(text):
            covered = self._literal(token.name, token.text)
            if covered != token.text:
                parts += [text[place : token.start], covered]
                place = token.end
        return "".join([*parts, text[place:]])

    def _literal(self, name: str, text: str) -> str:
        if name == _NUMBER and len(text) < _LONG:
            return text
        if name not in _LITERALS and name != _NUMBER:
            return text
        if text in self.known:
            return text
        body = _DOLLARS.fullmatch(text)
        if body:  # what a function does is told, without the values in it
            return f"${body[1]}${self._body(body[2])}${body[1]}$"
        return f"'{MASKED}'" if text.startswith("'") or name == "SCONST" else MASKED

    def _body(self, text: str) -> str:
        """A function's text, word by word; all of it is covered where it is nothing that the lexer takes."""
        if text in self.known or not text.strip():
            return text
        return self._sql(text) if tokens(text) else MASKED


def covering(pending: Iterable[Migration], before: Schema) -> Covering:
    """For these files, on a copy that was like this."""
    return Covering("\0".join([*(one.text for one in pending), *(one.definition for one in before.entries.values())]))

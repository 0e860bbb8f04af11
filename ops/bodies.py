"""What the body of a DO block or a procedure says: its COMMITs, the statements it runs, what it builds at run time.

A body is a string to Postgres' grammar. It is read here token by token, which is enough to find where statements
begin; PL/pgSQL itself is not interpreted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pglast import ast
from pglast import keywords
from pglast import parser

from ops import grammar

_COMMENTS = ("SQL_COMMENT", "C_COMMENT")
# A statement begins at the start, after a semicolon, or after one of these.
_OPENING_KEYWORDS = ("BEGIN_P", "THEN", "ELSE")
_READABLE = {
    *("ALTER", "CALL", "CLUSTER", "COPY", "CREATE", "DELETE_P", "DROP", "GRANT", "IMPORT_P", "INSERT", "LOCK_P"),
    *("MERGE", "REASSIGN", "REFRESH", "REINDEX", "REVOKE", "SECURITY", "SET", "TRUNCATE", "UPDATE", "VACUUM", "WITH"),
}


@dataclass(frozen=True, slots=True)
class Body:
    """`place` is where the body's first character stands, counted as the node's locations are."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Said:
    """One thing a body does: `text` is the SQL it runs, empty where that is built at run time."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class _Token:
    name: str
    text: str
    start: int
    end: int


def body_of(node: ast.Node, source: str, base: int) -> Body | None:
    """The body of a DO block, function or procedure that is written as a string; None for all else.

    `source` is the text in which `base` is where the node's locations count from.
    """
    elements = node.args if isinstance(node, ast.DoStmt) else getattr(node, "options", None)
    if not isinstance(node, ast.DoStmt | ast.CreateFunctionStmt):
        return None
    for element in elements or ():
        if element.defname == "as":
            start = base + (element.arg_location or element.location or 0)
            return Body(grammar.names(element.arg)[0], start + _quote_length(source, start))
    return None


def _quote_length(source: str, start: int) -> int:
    if source.startswith("$", start):
        return source.find("$", start + 1) + 1 - start
    return source.find("'", start) + 1 - start


def commits(body: Body) -> list[int]:
    """Where the body commits or rolls back; its start, when it has the words but cannot be taken apart."""
    words = body.text.lower()
    if "commit" not in words and "rollback" not in words:
        return []
    tokens = _tokens(body.text)
    if tokens is None:
        return [body.place]
    return [
        body.place + token.start
        for before, token, after in _neighbours(tokens)
        if token.name in ("COMMIT", "ROLLBACK")
        and _opens(before)
        and (after is None or after.text.lower() in (";", "and"))
    ]


def said(body: Body) -> Iterator[Said]:
    """The SQL that the body runs, statement by statement, conditions aside; queries and PERFORM are left out."""
    tokens = _tokens(body.text)
    if tokens is None:
        yield Said("", body.place)
        return
    start: _Token | None = None
    depth = 0
    for before, token, after in _neighbours(tokens):
        if start is None and _opens(before) and token.name in ("EXECUTE", *_READABLE):
            start, depth = token, 0
        if start is None:
            continue
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if after is None or (after.text == ";" and depth <= 0):
            yield _one(body, tokens, start, token.end)
            start = None


def named_beside(body: Body) -> Iterator[tuple[str, str, str]]:
    """What the body names outside the statements that `said` tells: ("calls", schema, function) and ("reads", schema,
    relation), the schema empty where there is none. A block inside it, or a body that cannot be taken apart, calls ""."""
    tokens = _tokens(body.text)
    if tokens is None:
        yield "calls", "", ""
        return
    spans = [(one.place - body.place, one.place - body.place + len(one.text)) for one in said(body)]
    beside = [token for token in tokens if not any(start <= token.start < end for start, end in spans)]
    for place, token in enumerate(beside):
        if token.name == "DO":
            yield "calls", "", ""
        elif token.text == "(" and place and _may_be_called(beside[place - 1]):
            has_schema = place > 2 and beside[place - 2].text == "."
            yield "calls", _folded(beside[place - 3]) if has_schema else "", _folded(beside[place - 1])
        elif token.name in ("FROM", "JOIN") and (named := beside[place + 1 : place + 4]) and named[0].text != "(":
            has_schema = len(named) > 2 and named[1].text == "."
            yield "reads", _folded(named[0]) if has_schema else "", _folded(named[2 if has_schema else 0])


def _may_be_called(token: _Token) -> bool:
    word = token.text.lower()
    return (
        token.name in ("IDENT", "UIDENT")
        or word in keywords.UNRESERVED_KEYWORDS
        or word in keywords.TYPE_FUNC_NAME_KEYWORDS
    )


def _folded(token: _Token) -> str:
    text = token.text
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _one(body: Body, tokens: list[_Token], start: _Token, end: int) -> Said:
    if start.name != "EXECUTE":
        return Said(body.text[start.start : end], body.place + start.start)
    inside = [token for token in tokens if start.start < token.start < end]
    literal = inside[0] if inside and inside[0].name == "SCONST" else None
    if literal is None or (len(inside) > 1 and inside[1].name not in ("USING", "INTO")):
        return Said("", body.place + start.start)
    return Said(_unquoted(literal.text), body.place + literal.start)


def _unquoted(literal: str) -> str:
    """What a plain or dollar-quoted literal says; empty when reading it needs more than that."""
    if literal.startswith("$"):
        tag = literal[: literal.find("$", 1) + 1]
        return literal[len(tag) : -len(tag)]
    if literal.startswith("'") and "\n" not in literal:
        return literal[1:-1].replace("''", "'")
    return ""


def _opens(before: _Token | None) -> bool:
    """A statement may begin behind this token."""
    return (
        before is None
        or before.text in (";", ">>")
        or before.name in _OPENING_KEYWORDS
        or before.text.lower() == "loop"
    )


def _neighbours(tokens: list[_Token]) -> Iterator[tuple[_Token | None, _Token, _Token | None]]:
    for index, token in enumerate(tokens):
        yield (
            tokens[index - 1] if index else None,
            token,
            tokens[index + 1] if index + 1 < len(tokens) else None,
        )


def _tokens(text: str) -> list[_Token] | None:
    """The body's tokens without comments; None when Postgres' lexer does not take it."""
    try:
        # Positions are found faster without letters beyond ASCII, and the lexer takes them all as it takes "_".
        scanned = parser.scan(re.sub(r"[^\x00-\x7f]", "_", text))
    except parser.ParseError:
        return None
    return [
        _Token(token.name, text[token.start : token.end + 1], token.start, token.end + 1)
        for token in scanned
        if token.name not in _COMMENTS
    ]

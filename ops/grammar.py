"""Reading SQL with Postgres' own grammar (pglast): trees, walking over them, what cannot run in a transaction.

All places are characters in the text that was given, never bytes: pglast 8 counts so, and slicing bytes would cut
every file with a letter beyond ASCII in the wrong place.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pglast
from pglast import ast
from pglast import enums
from pglast.parser import ParseError

# A chain such as 1+1+1… nests one level per two characters, and turning 15,000 levels into Python objects has
# overflowed the C stack (pglast 8.8, 8 MB stack), which kills the process. Shorter statements cannot get there.
_SAFE_CHARACTERS = 12_000
_SAFE_TOKENS = 12_000
_PROBE_SECONDS = 60
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LETTER_BUDGET = 200_000_000  # characters times letters beyond ASCII; about a tenth of a second
_PROBE = """
import sys, threading
from pglast import parser
threading.stack_size(4 << 20)
def read():
    try:
        parser.parse_sql(sys.stdin.read())
    except parser.ParseError:
        pass
thread = threading.Thread(target=read)
thread.start()
thread.join()
"""


class NotReadError(Exception):
    """The grammar does not take the text. `at_end`: it stops before the statement is complete."""

    def __init__(self, message: str, *, at_end: bool = False, too_deep: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.at_end = at_end
        self.too_deep = too_deep


@dataclass(frozen=True, slots=True)
class Tree:
    """One statement as Postgres reads it, from its first word to before its semicolon.

    The node's own locations count from `base`. Its type is one of pglast's nodes, told apart at run time.
    """

    node: Any
    start: int
    end: int
    base: int


def read(text: str) -> tuple[Tree, ...]:
    """The statements of a text, in order; comments alone give none.

    Raises NotReadError when the grammar refuses the text, or when reading it could bring this process down. The
    message names the fault without quoting the text, which may hold a secret.
    """
    if "\0" in text:
        raise NotReadError("a NUL character")
    try:
        # The lexer takes every letter beyond ASCII as it takes "_".
        plain = _BEYOND_ASCII.sub("_", text)
        if len(text) > _SAFE_CHARACTERS and not _is_shallow(plain) and not _survives(plain):
            raise NotReadError("an expression nested too deep to be read", too_deep=True)
        if _is_cheap(text):
            return tuple(_trees(text))
        return tuple(_with_real_letters(tree, text[tree.start : tree.end]) for tree in _trees(plain))
    except ParseError as error:
        raise _not_read(error) from None


def _trees(text: str) -> Iterator[Tree]:
    for statement in pglast.parse_sql(text):
        start = statement.stmt_location or 0
        end = start + statement.stmt_len if statement.stmt_len else len(text)
        yield Tree(statement.stmt, start, end, 0)


def _is_cheap(text: str) -> bool:
    """pglast turns each byte offset into characters by walking over the letters beyond ASCII: a megabyte of
    INSERTs with one such letter each took 8 seconds. So such files are read without the letters first."""
    return text.isascii() or len(text) * len(_BEYOND_ASCII.findall(text)) <= _LETTER_BUDGET


def _with_real_letters(tree: Tree, text: str) -> Tree:
    """The tree of one statement that was read with "_" for each letter beyond ASCII, read again as written."""
    if text.isascii():
        return tree
    if not _is_cheap(text):  # its places are lost, its names stay apart
        text = _BEYOND_ASCII.sub(lambda letter: f"_u{ord(letter.group()):x}_", text)
    (again,) = _trees(text)
    return Tree(again.node, tree.start, tree.end, tree.start)


def _not_read(error: ParseError) -> NotReadError:
    message = re.sub(r" at or near .*", "", str(error.args[0]), flags=re.DOTALL)
    at_end = message.startswith("unterminated") or message.endswith("at end of input")
    return NotReadError(message, at_end=at_end, too_deep=message.startswith("memory exhausted"))


def _is_shallow(text: str) -> bool:
    """No statement is long enough to nest dangerously. The cutting is done by Postgres' own lexer, which does
    not nest; a chain cannot go on across its semicolons."""
    for part in pglast.split(text, with_parser=False, only_slices=True):
        if part.stop - part.start > _SAFE_CHARACTERS and len(pglast.parser.scan(text[part])) > _SAFE_TOKENS:
            return False
    return True


def _survives(text: str) -> bool:
    """Another process reads the text, with half the stack that a thread has here, and lives."""
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-c", _PROBE],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """The node and all below it. Keeps its own stack: Python's would not hold a long expression."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple):
            stack.extend(reversed(item))
        elif isinstance(item, ast.Node):
            yield item
            stack.extend(value for name in item if isinstance(value := getattr(item, name), tuple | ast.Node))


def names(parts: object) -> list[str]:
    """The parts of an object's name as plain strings, whatever pglast wraps them in; [""] for none."""
    if isinstance(parts, ast.ObjectWithArgs):
        parts = parts.objname
    elif isinstance(parts, ast.TypeName):
        parts = parts.names
    listed = parts if isinstance(parts, tuple | list) else (parts,)
    return [part.sval or "" for part in listed if isinstance(part, ast.String)] or [""]


def options(elements: tuple[ast.DefElem, ...] | None) -> dict[str, object]:
    """Options by name; a bare option is True, the words off, false, no and 0 are False."""
    return {element.defname or "": _option(element.arg) for element in elements or ()}


def _option(value: object) -> object:
    if value is None:
        return True
    if isinstance(value, ast.TypeName):  # the grammar takes a bare word such as off for a type
        value = ast.String(names(value)[-1])
    for attribute in ("boolval", "ival", "sval"):
        if hasattr(value, attribute):
            plain = getattr(value, attribute)
            return False if str(plain).lower() in ("off", "false", "no", "0") else plain
    return value


def must_stand_alone(node: ast.Node) -> bool:
    """Postgres refuses the statement inside a transaction block, as far as its text tells."""
    match node:
        case ast.VacuumStmt():
            return bool(node.is_vacuumcmd)  # the same node stands for ANALYZE, which may
        case ast.IndexStmt():
            return bool(node.concurrent)
        case ast.DropStmt():
            return bool(node.concurrent)
        case ast.ReindexStmt():
            whole = (
                enums.ReindexObjectType.REINDEX_OBJECT_SCHEMA,
                enums.ReindexObjectType.REINDEX_OBJECT_SYSTEM,
                enums.ReindexObjectType.REINDEX_OBJECT_DATABASE,
            )
            return node.kind in whole or bool(options(node.params).get("concurrently"))
        case ast.AlterTableStmt():
            return any(isinstance(c.def_, ast.PartitionCmd) and c.def_.concurrent for c in node.cmds or ())
        case ast.ClusterStmt():
            return node.relation is None
        case ast.AlterDatabaseStmt():
            return "tablespace" in options(node.options)
        case ast.DiscardStmt():
            return bool(node.target == enums.DiscardMode.DISCARD_ALL)
    return isinstance(node, _ALWAYS_ALONE) or _subscription_stands_alone(node)


_ALWAYS_ALONE = (
    ast.CreatedbStmt,
    ast.DropdbStmt,
    ast.CreateTableSpaceStmt,
    ast.DropTableSpaceStmt,
    ast.AlterSystemStmt,
    ast.DropSubscriptionStmt,
)


def _subscription_stands_alone(node: ast.Node) -> bool:
    if isinstance(node, ast.CreateSubscriptionStmt):
        chosen = options(node.options)
        return bool(chosen.get("connect", True) and chosen.get("create_slot", True))
    if not isinstance(node, ast.AlterSubscriptionStmt):
        return False
    kinds, chosen = enums.AlterSubscriptionType, options(node.options)
    if node.kind == kinds.ALTER_SUBSCRIPTION_OPTIONS:
        return "failover" in chosen or "two_phase" in chosen
    refreshes = (
        kinds.ALTER_SUBSCRIPTION_SET_PUBLICATION,
        kinds.ALTER_SUBSCRIPTION_ADD_PUBLICATION,
        kinds.ALTER_SUBSCRIPTION_DROP_PUBLICATION,
    )
    return node.kind == kinds.ALTER_SUBSCRIPTION_REFRESH or (
        node.kind in refreshes and bool(chosen.get("refresh", True))
    )

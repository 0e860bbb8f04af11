"""Checks in a script itself that an earlier type takes every value as it is, whoever wrote it in the meantime.

Postgres rounds and cuts without a word where a column goes back to a type that holds less.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace

from pglast import ast
from pglast.enums import AlterTableType
from pglast.stream import RawStream

from ops import grammar
from ops.schema.deriving import Derived
from ops.undo.proving import NotProvenError


def with_checks(derived: Sequence[Derived]) -> tuple[Derived, ...]:
    """The same, with two more statements before each that gives a column another type: one locks the table, one fails unless
    every value comes out of it as it went in. Raises NotProvenError for a statement that cannot be read."""
    return tuple(
        replace(
            one, statements=tuple(each for statement in one.statements for each in (*_checks(statement), statement))
        )
        for one in derived
    )


def _checks(statement: str) -> Iterator[str]:
    try:
        trees = grammar.read(statement)
    except grammar.NotReadError as error:
        raise NotProvenError(f"A statement that leads back cannot be read: {error.message}.") from None
    for tree in trees:
        node = tree.node
        if not isinstance(node, ast.AlterTableStmt) or node.relation is None:
            continue
        for one in node.cmds or ():
            if one.subtype == AlterTableType.AT_AlterColumnType:
                yield from _check(RawStream()(node.relation), _quoted(one.name), RawStream()(one.def_.typeName))


def _check(table: str, column: str, kind: str) -> Iterator[str]:
    yield f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;"
    words = f"a value of column {column} of {table} does not fit into {kind}".replace("'", "''")
    differs = f"({column})::{kind} IS DISTINCT FROM {column}"
    body = " ".join(
        (
            *("BEGIN IF EXISTS (SELECT FROM", table, "WHERE", differs, ") THEN RAISE EXCEPTION USING MESSAGE ="),
            f"'{words}'; END IF; END",
        )
    )
    yield f"DO {_dollars(body)};"


def _dollars(body: str) -> str:
    """The body as a literal, between marks that are not in it."""
    mark = next(mark for number in range(len(body)) if (mark := f"$fits{number or ''}$") not in body)
    return f"{mark}{body}{mark}"


def _quoted(name: str | None) -> str:
    return '"' + (name or "").replace('"', '""') + '"'

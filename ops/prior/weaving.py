"""Statements that bring an earlier schema back, and those that put its rows back, in one order that works.

As a restore does it: tables and columns first, then the rows, then what looks at rows (constraints, indexes, triggers).
"""

import re
from collections.abc import Collection
from collections.abc import Sequence
from typing import Any

from pglast import ast
from pglast import enums
from pglast.stream import RawStream

from ops import grammar
from ops.schema.deriving import SESSION
from ops.schema.deriving import Derived

_BEHIND_ROWS = frozenset(
    (
        *("index", "constraint", "fk constraint", "check constraint", "trigger", "rule", "policy", "row security"),
        *("statistics", "materialized view", "publication table", "event trigger"),
    )
)
_TAKES_AWAY = re.compile(r"\s*(DROP|REVOKE)\b|.*\bDROP CONSTRAINT\b", re.DOTALL)
_FILLS = (enums.ConstrType.CONSTR_DEFAULT, enums.ConstrType.CONSTR_IDENTITY, enums.ConstrType.CONSTR_GENERATED)


def woven(
    derived: Sequence[Derived],
    rows: Sequence[str],
    filled: Collection[tuple[str, str, str]],
    *,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
) -> str:
    """One text of SQL. `filled` are the columns (schema, table, name) that only the rows fill again; `first` and `last` stand
    around all of it."""
    before: list[str] = []
    behind: list[str] = []
    for one in derived:
        for statement in one.statements:
            is_behind = one.object.kind in _BEHIND_ROWS and not _TAKES_AWAY.match(statement)
            if is_behind:
                behind.append(statement)
                continue
            made, later = _without_not_null(statement, filled)
            before.append(made)
            behind += later
    session = in_one_transaction(SESSION[:3] if derived else SESSION[:1])
    statements = [*session, *first, *before, *rows, *behind, *last]
    return "\n".join(f"{one.strip().rstrip(';')};" for one in statements) + "\n"


def in_one_transaction(session: Sequence[str]) -> list[str]:
    """These settings for a script that is one transaction: they hold in it alone, and the session keeps its own."""
    return [one.replace("SET ", "SET LOCAL ", 1) for one in session]


def _without_not_null(statement: str, filled: Collection[tuple[str, str, str]]) -> tuple[str, list[str]]:
    """A column that is to be filled may be empty at first; what makes it NOT NULL again comes later."""
    try:
        (tree,) = grammar.read(statement)
    except (grammar.NotReadError, ValueError):
        return statement, []
    node: Any = tree.node
    if type(node) is not ast.AlterTableStmt:
        return statement, []
    later = []
    relation: Any = node.relation
    table = (relation.schemaname or "", relation.relname)
    for command in node.cmds or ():
        if command.subtype != enums.AlterTableType.AT_AddColumn or (*table, command.def_.colname) not in filled:
            continue
        constraints = command.def_.constraints or ()
        empty = [one for one in constraints if one.contype == enums.ConstrType.CONSTR_NOTNULL]
        if empty and not any(one.contype in _FILLS for one in constraints):
            command.def_.constraints = tuple(one for one in constraints if one not in empty) or None
            name = _quoted(str(command.def_.colname))
            later.append(f"ALTER TABLE {_quoted(table[0])}.{_quoted(table[1])} ALTER COLUMN {name} SET NOT NULL")
    return (RawStream()(node), later) if later else (statement, [])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""What a migration does, act by act: its statements, those inside CTEs, EXPLAIN and CREATE SCHEMA, those of DO blocks."""

import re
from collections.abc import Iterator
from typing import Any

from pglast import ast

from ops import bodies
from ops import grammar
from ops.hazards.model import Act
from ops.migrations import Migration

_DATA_CHANGES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_RETURNING_INTO = re.compile(r"\breturning\b.*\Z", re.IGNORECASE | re.DOTALL)
# DO blocks can hold EXECUTE of a DO block; nobody writes more of it in earnest.
_DEEPEST = 3


def acts_of(migration: Migration) -> Iterator[Act]:
    """Everything that a migration does, in order; first the act for rules about the whole file."""
    yield Act(migration, None, migration, 1)
    offset, line = 0, 1
    for index, statement in enumerate(migration.statements):
        if statement.tree is None:
            if statement.is_unread:
                yield Act(migration, index, None, statement.line)
            continue
        line += migration.text.count("\n", offset, statement.tree.start)
        offset = statement.tree.start
        yield from _acts(migration, index, statement.tree, line, migration.text)


def _acts(
    migration: Migration, index: int, tree: grammar.Tree, line: int, source: str, depth: int = 0
) -> Iterator[Act]:
    for node in _executed(tree.node):
        yield Act(migration, index, node, line, is_certain=depth == 0)
    body = bodies.body_of(tree.node, source, tree.base) if isinstance(tree.node, ast.DoStmt) else None
    if body is None or depth >= _DEEPEST:
        return
    for said in bodies.said(body):
        here = line + source.count("\n", tree.start, said.place)
        for inner in _read_inside(said.text):
            if inner is None:
                yield Act(migration, index, None, here, is_certain=False)
            else:
                yield from _acts(migration, index, inner, here, said.text, depth + 1)


def _read_inside(text: str) -> Iterator[grammar.Tree | None]:
    """The statements of a text inside a DO block; None when it is built at run time or cannot be read."""
    for attempt in (text, _RETURNING_INTO.sub("", text)):  # PL/pgSQL alone has RETURNING … INTO
        try:
            trees = grammar.read(attempt)
        except grammar.NotReadError:
            continue
        yield from trees or (None,)
        return
    yield None


def _executed(node: ast.Node) -> Iterator[ast.Node]:
    """The statement, and those inside it that run with it."""
    yield node
    clause = getattr(node, "withClause", None)
    for part in (clause.ctes or ()) if isinstance(clause, ast.WithClause) else ():
        if isinstance(part.ctequery, _DATA_CHANGES):
            yield from _executed(part.ctequery)
    if isinstance(node, ast.CreateSchemaStmt):
        for element in node.schemaElts or ():
            relation = created_relation(element) or getattr(element, "relation", None)
            if isinstance(relation, ast.RangeVar) and not relation.schemaname:
                relation.schemaname = node.schemaname  # as Postgres does: names inside mean the new schema
            yield from _executed(element)
    query = getattr(node, "query", None)
    if isinstance(node, ast.ExplainStmt) and not grammar.options(node.options).get("analyze"):
        query = None
    if isinstance(query, ast.Node) and not isinstance(node, ast.ViewStmt):
        yield from _executed(query)


def created_relation(node: Any) -> ast.RangeVar | None:
    """The table, view or materialized view that a statement creates."""
    relation = None
    if isinstance(node, ast.CreateStmt):
        relation = node.relation
    elif isinstance(node, ast.CreateForeignTableStmt):
        relation = node.base.relation if node.base else None
    elif isinstance(node, ast.CreateTableAsStmt):
        relation = node.into.rel if node.into else None
    elif isinstance(node, ast.SelectStmt):
        relation = node.intoClause.rel if node.intoClause else None
    elif isinstance(node, ast.ViewStmt):
        relation = node.view
    return relation


def constant(node: object) -> str | None:
    """The text of a constant, casts taken off; None for anything that is computed."""
    while isinstance(node, ast.TypeCast):
        node = node.arg
    if not isinstance(node, ast.A_Const) or node.isnull:
        return None
    for attribute in ("sval", "fval", "ival", "boolval"):
        if hasattr(node.val, attribute):
            return str(getattr(node.val, attribute))
    return None

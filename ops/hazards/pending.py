"""The pending files as one story: what they do, in order, and what they have made so far."""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast import enums

from ops import bodies
from ops import grammar
from ops.grammar import names
from ops.hazards.model import Act
from ops.masking import printable
from ops.migrations import Migration
from ops.migrations import Statement

_TEMPORARY = "pg_temp"
_ELSEWHERE = "?"  # a schema that the file chose in a way that cannot be read
_DATA_CHANGES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_RETURNING_INTO = re.compile(r"\breturning\b.*\Z", re.IGNORECASE | re.DOTALL)
# DO blocks can hold EXECUTE of a DO block; nobody writes more of it in earnest.
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Name:
    """A relation's name with its schema, as far as that can be known."""

    schema: str
    name: str

    def __str__(self) -> str:
        known = self.schema not in (_ELSEWHERE, _TEMPORARY)
        return printable(f"{self.schema}.{self.name}" if known else self.name)


class Pending:
    """Follows the pending files act by act. What they created earlier is fresh: nobody uses it yet.

    `protected`: tables whose row-level security some pending file switches on. `policies`: table and name of those
    that some pending file makes. `fresh_statements`: version and offset of statements about fresh relations.
    """

    def __init__(self, migrations: Iterable[Migration]) -> None:
        self.acts = [act for migration in migrations for act in acts_of(migration)]
        self.fresh_statements: set[tuple[str, int]] = set()
        self._fresh: set[Name] = set()
        self._temporary: set[str] = set()
        self._schema = "public"
        self.protected = frozenset(self._with_row_security())
        self._fresh.clear()
        self.policies = frozenset(self._made_policies())
        self._fresh.clear()

    def follow(self) -> Iterator[Act]:
        """The acts in order; between them, `is_fresh` and `name` answer for that point of the story."""
        migration: Migration | None = None
        for act in self.acts:
            if act.migration is not migration:
                migration = act.migration
                self._start_file()
            self._note_fresh_statement(act)
            yield act
            self._take(act)

    def name(self, relation: ast.RangeVar | None) -> Name:
        """Which relation is meant, by the search path that the file has set so far."""
        if relation is None:
            return Name(_ELSEWHERE, "")
        return self.name_of_parts([relation.schemaname, relation.relname])

    def name_of_parts(self, parts: Iterable[str | None]) -> Name:
        """As `name`, for a name given as a list: schema (if any) and name."""
        *schema, name = [part for part in parts if part] or [""]
        if schema:
            return Name(schema[-1], name)
        return Name(_TEMPORARY if name in self._temporary else self._schema, name)

    def is_fresh(self, name: Name) -> bool:
        """The pending files created it for certain, so it holds no rows of before and nobody uses it."""
        return name in self._fresh or name.schema == _TEMPORARY

    def _start_file(self) -> None:
        # Every file runs in a session of its own.
        self._temporary.clear()
        self._schema = "public"

    def _with_row_security(self) -> Iterator[Name]:
        for act in self.follow():
            if isinstance(act.node, ast.AlterTableStmt):
                for command in act.node.cmds or ():
                    if command.subtype == enums.AlterTableType.AT_EnableRowSecurity:
                        yield self.name(act.node.relation)

    def _made_policies(self) -> Iterator[tuple[Name, str]]:
        for act in self.follow():
            if isinstance(act.node, ast.CreatePolicyStmt):
                yield self.name(act.node.table), act.node.policy_name or ""

    def _note_fresh_statement(self, act: Act) -> None:
        relation = getattr(act.node, "relation", None)
        if act.statement and isinstance(relation, ast.RangeVar) and self.is_fresh(self.name(relation)):
            self.fresh_statements.add((act.migration.version, act.statement.offset))

    def _take(self, act: Act) -> None:
        node = act.node
        if isinstance(node, ast.VariableSetStmt) and node.name == "search_path":
            self._set_path(node.args, node.kind)
        elif isinstance(node, ast.SelectStmt):
            self._take_set_config(node)
        elif isinstance(node, ast.DropStmt):
            for parts in node.objects or ():
                self._fresh.discard(self.name_of_parts(names(parts)))
        elif isinstance(node, ast.RenameStmt) and node.renameType == enums.ObjectType.OBJECT_TABLE:
            self._take_rename(node)
        created = created_relation(node)
        if created is not None and act.is_certain:
            if created.relpersistence == "t":
                self._temporary.add(created.relname or "")
            elif not getattr(node, "if_not_exists", False) and not getattr(node, "replace", False):
                self._fresh.add(self.name(created))

    def _take_rename(self, node: ast.RenameStmt) -> None:
        old = self.name(node.relation)
        if old in self._fresh and node.newname:
            self._fresh.discard(old)
            self._fresh.add(Name(old.schema, node.newname))

    def _take_set_config(self, node: ast.SelectStmt) -> None:
        for target in node.targetList or ():
            call = target.val
            is_call = isinstance(call, ast.FuncCall) and names(call.funcname)[-1] == "set_config"
            if is_call and call.args and constant(call.args[0]) == "search_path":
                self._set_path(call.args[1:2], enums.VariableSetKind.VAR_SET_VALUE)

    def _set_path(self, values: tuple[ast.Node, ...] | None, kind: int | None) -> None:
        if kind != enums.VariableSetKind.VAR_SET_VALUE:
            self._schema = "public"
            return
        given = [constant(value) for value in values or ()]
        schemas = [part.strip(' "') for value in given if value is not None for part in value.split(",")]
        mine = [schema for schema in schemas if schema not in ("$user", "pg_temp", "pg_catalog", "")]
        self._schema = mine[0] if mine and None not in given else _ELSEWHERE


def acts_of(migration: Migration) -> Iterator[Act]:
    """Everything that a migration does, in order; first the act for rules about the whole file."""
    yield Act(migration, None, migration, 1)
    offset, line = 0, 1
    for statement in migration.statements:
        if statement.tree is None:
            if statement.is_unread:
                yield Act(migration, statement, None, statement.line)
            continue
        line += migration.text.count("\n", offset, statement.tree.start)
        offset = statement.tree.start
        yield from _acts(migration, statement, statement.tree, line, migration.text)


def _acts(
    migration: Migration, statement: Statement, tree: grammar.Tree, line: int, source: str, depth: int = 0
) -> Iterator[Act]:
    for node in _executed(tree.node):
        yield Act(migration, statement, node, line, is_certain=depth == 0)
    body = bodies.body_of(tree.node, source, tree.base) if isinstance(tree.node, ast.DoStmt) else None
    if body is None or depth >= _DEEPEST:
        return
    for said in bodies.said(body):
        here = line + source.count("\n", tree.start, said.place)
        for inner in _read_inside(said.text):
            if inner is None:
                yield Act(migration, statement, None, here, is_certain=False)
            else:
                yield from _acts(migration, statement, inner, here, said.text, depth + 1)


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


def is_always_true(node: object) -> bool:
    """A condition that holds for every row: none at all, true, or two equal constants."""
    if node is None:
        return True
    if isinstance(node, ast.A_Expr) and names(node.name) == ["="]:
        left = constant(node.lexpr)
        return left is not None and left == constant(node.rexpr)
    return (constant(node) or "").lower() in ("true", "t", "on", "yes", "1")

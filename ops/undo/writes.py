"""Whether files did what no definition of a schema brings back: to rows, to roles, to what the platform looks after.

Said statement by statement, and doubt counts as yes.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops import grammar
from ops.bodies import body_of
from ops.masking import printable
from ops.migration import Migration
from ops.migration import Statement
from ops.rehearsal.dump_cache import is_managed
from ops.undo.contents import Columns
from ops.undo.contents import Table
from ops.undo.contents import lost_between
from ops.undo.contents import named

_WIDER = {
    "smallint": ("integer", "bigint", "numeric"),
    "integer": ("bigint", "numeric"),
    "bigint": ("numeric",),
    "real": ("double precision",),
}
"""Types to which a value goes and comes back as it was."""

_ROWS_CHANGE = frozenset(("INSERT", "UPDATE", "DELETE_P", "MERGE", "TRUNCATE", "COPY", "EXECUTE", "PERFORM", "CALL"))
_HARMLESS = frozenset(
    ("set_config", "setval", "nextval", "pg_sleep", "now", "version", "pg_notify", "count", "current_setting")
)


def what_is_not_brought_back(files: Sequence[Migration], before: Columns, after: Columns) -> str:
    """The first thing that these files did to rows of what was there before them, in a sentence; empty: nothing.

    `before` and `after` are the tables without and with the files.
    """
    gone = lost_between(before, after)
    if gone.tables:
        return f"It dropped table {named(gone.tables[0])}, and its rows would not come back."
    if gone.columns:
        return f"It dropped column {named(*gone.columns[0])}, and what that held would not come back."
    changed = next(_narrowed(before, after), "")
    if changed:
        return changed
    made = {name for file in files for statement in file.statements for name in _makes(statement)}
    for file in files:
        for statement in file.statements:
            if statement.tree and (said := _said(statement.tree.node, file.text, statement.tree.base, before, made)):
                return f"{file.filename}, line {statement.word_line}: {said}"
            if statement.is_unread:
                return f"{file.filename}, line {statement.line}: what this does to rows cannot be told."
    return ""


def _makes(statement: Statement) -> Iterator[str]:
    """The names of tables that a statement makes, temporary ones too."""
    node = statement.tree.node if statement.tree else None
    found: Any = None
    match node:
        case ast.CreateStmt(relation=ast.RangeVar(relname=name)):
            found = name
        case ast.CreateTableAsStmt(into=ast.IntoClause(rel=ast.RangeVar(relname=name))):
            found = name
        case ast.SelectStmt(intoClause=ast.IntoClause(rel=ast.RangeVar(relname=name))):
            found = name
        case ast.RenameStmt(relation=ast.RangeVar(), newname=name):
            found = name
    if found:
        yield str(found)


def _narrowed(before: Columns, after: Columns) -> Iterator[str]:
    for table, columns in before.items():
        for name, column in columns.items():
            new = after.get(table, {}).get(name)
            if new is not None and new.type != column.type and not _is_wider(column.type, new.type):
                change = f"from {column.type} to {new.type}"
                yield f"It changed the type of {named(table, name)} {change}, and values as they were would not come back."


def _is_wider(old: str, new: str) -> bool:
    if new in _WIDER.get(old, ()):
        return True
    return old.startswith("character varying") and (
        new in ("text", "character varying") or _length(old) <= _length(new)
    )


def _length(kind: str) -> int:
    digits = kind.removeprefix("character varying(").removesuffix(")")
    return int(digits) if kind.startswith("character varying(") and digits.isdigit() else 0


def _said(node: Any, text: str, base: int, before: Columns, made: Collection[str]) -> str:
    """What one statement did that is not a matter of the project's own definitions; empty for nothing."""
    if isinstance(node, _OF_THE_SERVER):
        return "it is about roles, settings or the server, which are in no definition."
    if schema := next(filter(is_managed, _schemas_changed(node)), ""):
        return f"it changed {printable(schema)}, which the platform looks after."
    for one in _run_by(node):
        if said := _to_rows(one, before, made) or _unseen(one, isinstance(node, ast.SelectStmt), text, base):
            return said
    return ""


def _to_rows(one: Any, before: Columns, made: Collection[str]) -> str:
    """What a statement says it does to rows that were there."""
    stays = "it changed rows of {}, which would stay as they are."
    match one:
        case ast.UpdateStmt() if (table := _kept(one.relation, before, made)) and not _sets_new_columns_alone(
            one, before
        ):
            return stays.format(named(table))
        case ast.InsertStmt() | ast.DeleteStmt() | ast.MergeStmt() if table := _kept(one.relation, before, made):
            return stays.format(named(table))
        case ast.CopyStmt() if one.is_from and one.relation and (table := _kept(one.relation, before, made)):
            return stays.format(named(table))
        case ast.TruncateStmt():
            emptied = (_kept(relation, before, made) for relation in one.relations or ())
            return next(
                (f"it emptied {named(table)}, whose rows would not come back." for table in emptied if table), ""
            )
        case ast.AlterTableStmt() if one.relation and (table := _kept(one.relation, before, made)) and _converts(one):
            return f"it wrote values of {named(table)} anew, and they would not come back as they were."
    return ""


def _unseen(one: Any, is_query: bool, text: str, base: int) -> str:
    """What may have done something to rows that the statement itself does not say."""
    match one:
        case ast.CallStmt() | ast.ExecuteStmt():
            return "what it called may have changed rows."
        case ast.DoStmt() if _may_change_rows(one, text, base):
            return "the block may have changed rows."
        case ast.FuncCall() if is_query and not _is_harmless(one):
            return "the function that it called may have changed rows."
    return ""


_OF_THE_SERVER = (
    *(ast.CreateRoleStmt, ast.AlterRoleStmt, ast.AlterRoleSetStmt, ast.DropRoleStmt, ast.GrantRoleStmt),
    *(ast.AlterDatabaseStmt, ast.AlterDatabaseSetStmt, ast.CreatedbStmt, ast.DropdbStmt, ast.AlterSystemStmt),
    *(ast.AlterExtensionStmt, ast.AlterExtensionContentsStmt, ast.ReassignOwnedStmt, ast.DropOwnedStmt),
)


def _schemas_changed(node: Any) -> Iterator[str]:
    """The schemas whose own objects a statement makes, changes or drops; what a project hangs into them does not count."""
    match node:
        case ast.AlterTableStmt() | ast.IndexStmt() | ast.CreateStmt() | ast.RenameStmt() if node.relation:
            yield node.relation.schemaname or ""
        case ast.ViewStmt():
            yield (node.view.schemaname or "") if node.view else ""
        case ast.CreateFunctionStmt():
            yield _first(grammar.names(node.funcname))
        case ast.DropStmt() if node.removeType not in (ObjectType.OBJECT_POLICY, ObjectType.OBJECT_TRIGGER):
            for one in node.objects or ():
                yield _first(grammar.names(one))
        case ast.GrantStmt():
            for one in node.objects or ():
                yield one.schemaname or "" if isinstance(one, ast.RangeVar) else _first(grammar.names(one))


def _first(parts: Sequence[str]) -> str:
    """The schema of a name, empty where it has none."""
    return parts[0] if len(parts) > 1 else ""


def _run_by(node: Any) -> Iterator[Any]:
    """The statement and all inside it that is carried out: what only defines something is not looked into."""
    if isinstance(node, ast.ViewStmt | ast.RuleStmt | ast.CreateFunctionStmt | ast.PrepareStmt):
        return
    yield from grammar.walk(node)


def _kept(relation: Any, before: Columns, made: Collection[str]) -> Table | None:
    """The table, or view, that is meant, unless the files made it themselves."""
    table = (relation.schemaname or "", relation.relname)
    if table in before:
        return table
    same = next((one for one in before if one[1] == relation.relname), None) if not relation.schemaname else None
    return same or (None if relation.relname in made else table)


def _sets_new_columns_alone(node: Any, before: Columns) -> bool:
    table = _kept(node.relation, before, ())
    columns = before.get(table) if table is not None else None
    return columns is not None and all(one.name not in columns for one in node.targetList or ())


def _converts(node: Any) -> bool:
    """Whether a column's values were computed by an expression."""
    kinds = (AlterTableType.AT_AlterColumnType,)
    return any(one.subtype in kinds and getattr(one.def_, "raw_default", None) is not None for one in node.cmds or ())


def _may_change_rows(node: Any, text: str, base: int) -> bool:
    body = body_of(node, text, base)
    words = body.text.upper() if body is not None else "EXECUTE"
    return any(word.removesuffix("_P") in words for word in _ROWS_CHANGE)


def _is_harmless(call: Any) -> bool:
    parts = grammar.names(call.funcname)
    return parts[-1] in _HARMLESS if len(parts) == 1 else parts[0] == "pg_catalog"

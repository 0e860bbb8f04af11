"""Whether files did what no definition of a schema brings back: to rows, to roles, to what the platform looks after.

Said statement by statement, and doubt counts as yes.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pglast import ast
from pglast.enums import ObjectType

from ops import bodies
from ops import grammar
from ops.masking import printable
from ops.migration import Migration
from ops.migration import Statement
from ops.prior.touching import What
from ops.rehearsal.dump_cache import is_managed
from ops.undo.called import calls_in_body
from ops.undo.called import executed
from ops.undo.called import runs_something
from ops.undo.called import unseen
from ops.undo.contents import Columns
from ops.undo.contents import lost_between
from ops.undo.contents import named
from ops.undo.lasting import Lasting
from ops.undo.made import Made
from ops.undo.met import DELETES
from ops.undo.met import INSERTS
from ops.undo.met import TRUNCATES
from ops.undo.met import UPDATES
from ops.undo.met import Met
from ops.undo.taken import taken_by

_WIDER = {
    "smallint": ("integer", "bigint", "numeric"),
    "integer": ("bigint", "numeric"),
    "bigint": ("numeric",),
    "real": ("double precision",),
}
"""Types to which a value goes and comes back as it was."""

_ROWS_CHANGE = frozenset(("INSERT", "UPDATE", "DELETE_P", "MERGE", "TRUNCATE", "COPY", "EXECUTE", "PERFORM", "CALL"))
_STAYS = "it changed rows of {}, which would stay as they are."
_STIRRED = "writing {} ran more than it says, which may have changed other rows."
_BLOCK = "the block may have changed rows."


def what_is_not_brought_back(
    files: Sequence[Migration], before: Columns, after: Columns, met: Met | None = None
) -> str:
    """The first thing that these files did to rows of what was there before them, in a sentence; empty: nothing.

    `before` and `after` are the tables without and with the files, `met` what else is there without them.
    """
    return next((one.said for one in all_lasting(files, before, after, met or Met())), "")


def all_lasting(files: Sequence[Migration], before: Columns, after: Columns, met: Met) -> Iterator[Lasting]:
    """All of it, what comparing both sides shows first."""
    gone = lost_between(before, after)
    for table in gone.tables:
        yield Lasting(f"It dropped table {named(table)}, and its rows would not come back.", What.TABLE, table)
    for table, column in gone.columns:
        said = f"It dropped column {named(table, column)}, and what that held would not come back."
        yield Lasting(said, What.COLUMN, table, (column,))
    yield from map(Lasting, _narrowed(before, after))
    made = Made(before, after, met)
    for file in files:
        for index, statement in enumerate(file.statements):
            place = (file.version, index)
            if statement.is_unread:
                said = f"{file.filename}, line {statement.line}: what this does to rows cannot be told."
                yield Lasting(said, place=place)
            elif statement.tree:
                for one in _of_statement(statement.tree.node, file.text, statement.tree.base, made):
                    said = f"{file.filename}, line {statement.word_line}: {one.said}"
                    yield replace(one, said=said, place=place)
                made.note(statement.tree.node, runs_something(statement.tree.node, made))


def tables_made(files: Sequence[Migration]) -> frozenset[str]:
    """The names, without their schemas, of the tables that a statement of these files makes."""
    return frozenset(name for file in files for statement in file.statements for name in _makes(statement))


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


def _of_statement(node: Any, text: str, base: int, made: Made) -> Iterator[Lasting]:
    """What one statement did that is not a matter of the project's own definitions."""
    if isinstance(node, _OF_THE_SERVER):
        yield Lasting("it is about roles, settings or the server, which are in no definition.")
    elif schema := next(filter(is_managed, _schemas_changed(node)), ""):
        yield Lasting(f"it changed {printable(schema)}, which the platform looks after.")
    else:
        yield from taken_by(node, made)
        for one in executed(node):
            yield from _to_rows(one, made)
        yield from map(Lasting, unseen(node, made))
        if isinstance(node, ast.DoStmt):
            yield from _in_block(node, text, base, made)


def _to_rows(one: Any, made: Made) -> Iterator[Lasting]:
    """What a statement says it does to rows that were there."""
    match one:
        case ast.UpdateStmt():
            if not _sets_new_columns_alone(one, made):
                yield from _written(one.relation, What.UPDATED, UPDATES, made)
            elif made.stirs(one.relation, UPDATES):
                yield Lasting(_STIRRED.format(_worded(one.relation)), What.UPDATED, made.table(one.relation))
        case ast.InsertStmt():
            events = INSERTS | UPDATES if one.onConflictClause else INSERTS
            yield from _written(one.relation, What.INSERTED, events, made)
        case ast.DeleteStmt():
            yield from _written(one.relation, What.DELETED, DELETES, made)
        case ast.MergeStmt():
            yield from _written(one.relation, None, INSERTS | UPDATES | DELETES, made)
        case ast.CopyStmt(is_from=True, relation=ast.RangeVar()):
            yield from _written(one.relation, None, INSERTS, made)
        case ast.TruncateStmt():
            for relation in one.relations or ():
                said = "it emptied {}, whose rows would not come back."
                yield from _written(relation, What.TABLE, TRUNCATES, made, said)


def _written(relation: Any, what: What | None, events: int, made: Made, said: str = _STAYS) -> Iterator[Lasting]:
    table = made.table(relation)
    if table is not None:
        yield Lasting(said.format(named(table)), what, table)
    if made.stirs(relation, events):  # a copy is only taken where nothing else was written
        yield Lasting(_STIRRED.format(_worded(relation)), what, table)


def _in_block(node: Any, text: str, base: int, made: Made) -> Iterator[Lasting]:
    """What a DO block did, statement by statement; a word that may change rows is enough."""
    body = bodies.body_of(node, text, base)
    words = body.text.upper() if body is not None else ""
    if body is None or any(word.removesuffix("_P") in words for word in _ROWS_CHANGE) or calls_in_body(body, made):
        yield Lasting(_BLOCK)
        return
    for said in bodies.said(body):
        try:
            trees = grammar.read(said.text)
        except grammar.NotReadError:
            trees = ()
        if not trees:
            yield Lasting(_BLOCK)
        for tree in trees:
            yield from _of_statement(tree.node, said.text, tree.base, made)


_OF_THE_SERVER = (
    *(ast.CreateRoleStmt, ast.AlterRoleStmt, ast.AlterRoleSetStmt, ast.DropRoleStmt, ast.GrantRoleStmt),
    *(ast.AlterDatabaseStmt, ast.AlterDatabaseSetStmt, ast.CreatedbStmt, ast.DropdbStmt, ast.AlterSystemStmt),
    *(ast.AlterExtensionStmt, ast.AlterExtensionContentsStmt, ast.ReassignOwnedStmt, ast.DropOwnedStmt),
    *(ast.CreateEventTrigStmt, ast.AlterEventTrigStmt, ast.CreateSubscriptionStmt, ast.AlterSubscriptionStmt),
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


def _sets_new_columns_alone(node: Any, made: Made) -> bool:
    table = made.table(node.relation)
    columns = made.before.get(table) if table is not None else None
    return columns is not None and all(one.name not in columns for one in node.targetList or ())


def _worded(relation: Any) -> str:
    return printable(".".join(part for part in (relation.schemaname, relation.relname) if part))

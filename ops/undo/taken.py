"""What a statement dropped, renamed, converted or counted anew of what was there before the files.

By names alone something older may have been replaced by something newer that is called the same; so whatever goes or is
called otherwise counts, whether or not its name is there again in the end.
"""

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import DropBehavior
from pglast.enums import ObjectType

from ops import grammar
from ops.masking import printable
from ops.prior.touching import What
from ops.undo.contents import Table
from ops.undo.contents import named
from ops.undo.lasting import Lasting
from ops.undo.made import Made

_NO_ROWS = frozenset(
    (
        *(ObjectType.OBJECT_VIEW, ObjectType.OBJECT_MATVIEW, ObjectType.OBJECT_INDEX, ObjectType.OBJECT_FUNCTION),
        *(
            ObjectType.OBJECT_PROCEDURE,
            ObjectType.OBJECT_ROUTINE,
            ObjectType.OBJECT_AGGREGATE,
            ObjectType.OBJECT_TRIGGER,
        ),
        *(ObjectType.OBJECT_POLICY, ObjectType.OBJECT_RULE, ObjectType.OBJECT_FOREIGN_TABLE, ObjectType.OBJECT_TABLE),
    )
)
"""Whatever goes along with these holds no rows of its own; with a type or a collation go the columns that have it."""
_TO_SEQUENCE = "the sequence {}, and how far it had counted would not come back."
_RENAMED = "it renamed or moved {}, so that by its name nobody can tell it from another."


def taken_by(node: Any, made: Made) -> Iterator[Lasting]:
    """What one statement took away, or may have, of what the files did not make themselves."""
    match node:
        case ast.DropStmt():
            yield from _dropped(node, made)
        case ast.RenameStmt():
            yield from _renamed(node, made)
        case ast.AlterObjectSchemaStmt(objectType=ObjectType.OBJECT_TABLE | ObjectType.OBJECT_SEQUENCE):
            if table := made.table(node.relation):
                yield Lasting(_RENAMED.format(named(table)))
        case ast.AlterEnumStmt(oldVal=str()) if not made.is_own_type(grammar.names(node.typeName)):
            yield Lasting(f"it renamed a value of type {_worded(node.typeName)}, so that rows may mean another.")
        case ast.AlterSeqStmt() if made.table(node.sequence) and _restarts(node.options):
            yield Lasting(f"it restarted {_TO_SEQUENCE.format(_relation(node.sequence))}")
        case ast.AlterTableStmt(objtype=ObjectType.OBJECT_TYPE) if not made.is_own_type(_parts(node.relation)):
            yield Lasting(f"it changed what type {_relation(node.relation)} is made of, and with it what rows hold.")
        case ast.AlterTableStmt(objtype=ObjectType.OBJECT_TABLE):
            yield from _altered(node, made)


def _dropped(node: Any, made: Made) -> Iterator[Lasting]:
    kind = node.removeType
    for one in node.objects or ():
        if kind == ObjectType.OBJECT_TABLE and (table := made.named(grammar.names(one))):
            yield Lasting(f"it dropped {named(table)}, whose rows would not come back.", What.TABLE, table)
        elif kind == ObjectType.OBJECT_SEQUENCE and made.named(grammar.names(one)):
            yield Lasting(f"it dropped {_TO_SEQUENCE.format(_worded(one))}")
        elif kind == ObjectType.OBJECT_SCHEMA and not made.is_own_schema(grammar.names(one)[-1]):
            yield Lasting(f"it dropped schema {_worded(one)}, and what that held would not come back.")
        elif kind == ObjectType.OBJECT_EXTENSION:
            yield Lasting(f"it dropped extension {_worded(one)}, and what that held would not come back.")
    if node.behavior == DropBehavior.DROP_CASCADE and kind not in (*_NO_ROWS, ObjectType.OBJECT_SCHEMA):
        yield Lasting("columns may have gone with what it dropped.")


def _renamed(node: Any, made: Made) -> Iterator[Lasting]:
    kind = node.renameType
    if kind in (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_SEQUENCE) and (table := made.table(node.relation)):
        yield Lasting(_RENAMED.format(named(table)))
    elif kind == ObjectType.OBJECT_COLUMN and node.relationType == ObjectType.OBJECT_TABLE:
        old = _old_column(made, made.table(node.relation), node.subname)
        if old is not None:
            yield Lasting(_RENAMED.format(named(old, node.subname)))
    elif kind == ObjectType.OBJECT_ATTRIBUTE and not made.is_own_type(_parts(node.relation)):
        yield Lasting(_RENAMED.format(f"{_relation(node.relation)}.{printable(node.subname)}"))
    elif kind == ObjectType.OBJECT_SCHEMA and not made.is_own_schema(node.subname):
        yield Lasting(_RENAMED.format(f"schema {printable(node.subname)}"))


def _altered(node: Any, made: Made) -> Iterator[Lasting]:
    table = made.table(node.relation)
    for one in node.cmds or ():
        if one.subtype == AlterTableType.AT_AttachPartition and (part := made.table(one.def_.name)):
            yield Lasting(f"it put {named(part)} under another table.")
        if table is None:
            continue
        if one.subtype == AlterTableType.AT_AddInherit:
            yield Lasting(f"it put {named(table)} under another table.")
        if _old_column(made, table, one.name) is None:
            continue
        match one.subtype:
            case AlterTableType.AT_DropColumn:
                said = f"it dropped column {named(table, one.name)}, and what that held would not come back."
                yield Lasting(said, What.COLUMN, table, (one.name,))
            case AlterTableType.AT_DropIdentity:
                yield Lasting(f"it dropped {_TO_SEQUENCE.format(f'of {named(table, one.name)}')}")
            case AlterTableType.AT_SetIdentity if _restarts(one.def_):
                yield Lasting(f"it restarted {_TO_SEQUENCE.format(f'of {named(table, one.name)}')}")
            case AlterTableType.AT_AlterColumnType if getattr(one.def_, "raw_default", None) is not None:
                yield Lasting(f"it wrote values of {named(table)} anew, and they would not come back as they were.")
            case AlterTableType.AT_AlterColumnType if made.converts_again(table, one.name):
                yield Lasting(
                    f"it changed the type of {named(table, one.name)} twice, and values may not be as they were."
                )


def _old_column(made: Made, table: Table | None, name: str | None) -> Table | None:
    """The table, where the column may have held something before the files; what is computed is made again."""
    if table is None or name is None:
        return None
    columns = made.before.get(table)
    if columns is None:
        return table
    return table if name in columns and not columns[name].is_generated else None


def _restarts(options: Any) -> bool:
    return any(one.defname == "restart" for one in options or ())


def _parts(relation: Any) -> list[str]:
    return [part for part in (relation.schemaname, relation.relname) if part]


def _relation(relation: Any) -> str:
    return printable(".".join(_parts(relation)))


def _worded(name: Any) -> str:
    return printable(".".join(grammar.names(name)))

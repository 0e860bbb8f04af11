"""Rules about programs that use the database as it was, and break."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ConstrType
from pglast.enums import DropBehavior
from pglast.enums import ObjectType

from ops.grammar import names
from ops.hazards.locks import commands
from ops.hazards.locks import is_filled
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.hazards.pending import part_of
from ops.masking import printable

_NEW_NAME = "Add the new name beside the old one, move the clients over, then take the old one away."
_LATER = "Move the clients off it first, and take it away some days later."
_CLIENTS = HazardClass.COMPATIBILITY


@rule(
    "adding-required-field",
    _CLIENTS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add column note text not null;",
    left_alone="alter table orders add column note text not null default '';",
    safe_way="Add the column without NOT NULL or with a constant default.",
)
def adding_required_field(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It fails as soon as there is one row, and clients that insert do not know the column."""
    for name, command in commands(act, pending, AlterTableType.AT_AddColumn):
        column = command.def_
        kinds = {constraint.contype for constraint in column.constraints or ()}
        if ConstrType.CONSTR_NOTNULL in kinds and not is_filled(column):
            yield f"Rows and clients of {name} have no value for the new NOT NULL column {printable(column.colname)}."


_TABLE_LIKE = (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_FOREIGN_TABLE)
_UNSEEN = (
    ObjectType.OBJECT_INDEX,
    ObjectType.OBJECT_TABCONSTRAINT,
    ObjectType.OBJECT_POLICY,
    ObjectType.OBJECT_TRIGGER,
)


@rule(
    "renaming-column",
    _CLIENTS,
    Level.DANGER,
    on=(ast.RenameStmt,),
    caught="alter table orders rename column note to remark;",
    left_alone="alter table orders add column remark text;",
    safe_way=_NEW_NAME,
)
def renaming_column(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Of tables, views and composite types."""
    node = act.node
    if node.renameType in (ObjectType.OBJECT_COLUMN, ObjectType.OBJECT_ATTRIBUTE):
        name = pending.name(node.relation)
        if not pending.is_fresh(name):
            old, new = printable(node.subname or ""), printable(node.newname or "")
            yield f"Clients that know column {old} of {name} break; it becomes {new}."


@rule(
    "renaming-table",
    _CLIENTS,
    Level.DANGER,
    on=(ast.RenameStmt,),
    caught="alter table orders rename to purchases;",
    left_alone="comment on table orders is 'purchases';",
    safe_way=_NEW_NAME,
)
def renaming_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The Data API serves it under its new name at once."""
    if act.node.renameType in _TABLE_LIKE:
        name = pending.name(act.node.relation)
        if not pending.is_fresh(name):
            yield f"Clients that know table {name} break; it becomes {printable(act.node.newname or '')}."


@rule(
    "renaming-object",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.RenameStmt, ast.AlterEnumStmt),
    caught="alter view open_orders rename to orders_open;",
    left_alone="alter index orders_note rename to orders_by_note;",
    safe_way=_NEW_NAME,
)
def renaming_object(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Views, functions, types, schemas, roles, values of enums; names that no client uses are left out."""
    node = act.node
    if isinstance(node, ast.AlterEnumStmt):
        if node.oldVal:
            kind, new = pending.name_of_parts(names(node.typeName)), printable(node.newVal or "")
            yield f"Clients that know value {printable(node.oldVal)} of {kind} break; it becomes {new}."
        return
    if node.renameType in (*_TABLE_LIKE, *_UNSEEN, ObjectType.OBJECT_COLUMN, ObjectType.OBJECT_ATTRIBUTE):
        return
    name = pending.name(node.relation) if node.relation else pending.name_of_parts(names(node.object))
    shown = str(name) if name.name else printable(node.subname or "an object")
    if not pending.is_fresh(name) and not any(pending.was_made(kind, name) for kind in ("function", "type", "view")):
        yield Found(f"Clients that know {shown} break; it becomes {printable(node.newname or '')}.", relation=str(name))


@rule(
    "ban-set-schema",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.AlterObjectSchemaStmt,),
    caught="alter table orders set schema archive;",
    left_alone="alter extension citext set schema extensions;",
    safe_way=_NEW_NAME,
)
def ban_set_schema(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Clients that know the object in its old schema break."""
    node = act.node
    if node.objectType == ObjectType.OBJECT_EXTENSION:
        return
    name = pending.name(node.relation) if node.relation else pending.name_of_parts(names(node.object))
    if not pending.is_fresh(name):
        yield Found(
            f"Clients that know {name} break; it moves to schema {printable(node.newschema)}.", relation=str(name)
        )


@rule(
    "ban-drop-not-null",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.AlterTableStmt,),
    caught="alter table orders alter column note drop not null;",
    left_alone="alter table orders alter column note drop default;",
    safe_way="Let the clients cope with NULL first.",
)
def ban_drop_not_null(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Clients that count on a value may meet none."""
    for name, command in commands(act, pending, AlterTableType.AT_DropNotNull):
        yield f"Clients that count on a value in column {printable(command.name or '')} of {name} may meet none."


@rule(
    "ban-drop-constraint",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.AlterTableStmt,),
    caught="alter table orders drop constraint positive;",
    left_alone=(
        "alter table orders drop constraint positive;"
        " alter table orders add constraint positive check (amount >= 0) not valid;"
    ),
    safe_way=_LATER,
)
def ban_drop_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Unless the pending files make one of the same name again."""
    for name, command in commands(act, pending, AlterTableType.AT_DropConstraint):
        made_here = any(
            other.subtype == AlterTableType.AT_AddConstraint and other.def_.conname == command.name
            for other in act.node.cmds or ()
        )
        if not made_here and not pending.is_made_again("constraint", part_of(name, command.name)):
            cascade = _cascade(command.behavior)
            yield f"Clients may count on what constraint {printable(command.name or '')} of {name} guarantees{cascade}."


def _cascade(behavior: DropBehavior | None) -> str:
    return "; all that depends on it goes as well" if behavior == DropBehavior.DROP_CASCADE else ""


def _dropped(act: Act, pending: Pending, words: str, kind: str, *types: ObjectType) -> Iterator[Found]:
    """Objects that a DROP takes away for good: neither made by the pending files nor made again by them."""
    if act.node.removeType not in types:
        return
    for parts in act.node.objects or ():
        name = pending.name_of_parts(names(parts))
        if not pending.was_made(kind, name) and not pending.is_fresh(name) and not pending.is_made_again(kind, name):
            yield Found(f"{words.format(name)}{_cascade(act.node.behavior)}.", relation=str(name))


@rule(
    "ban-drop-view",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop view open_orders;",
    left_alone="drop view open_orders; create view open_orders with (security_invoker = on) as select 1 as id;",
    safe_way=_LATER,
)
def ban_drop_view(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A view that no pending file makes again."""
    yield from _dropped(act, pending, "Clients that read view {} break", "view", ObjectType.OBJECT_VIEW)


@rule(
    "ban-drop-function",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop function total(bigint);",
    left_alone="drop function f(int); create function f(bigint) returns int language sql as 'select 1';",
    safe_way=_LATER,
)
def ban_drop_function(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A function that no pending file makes again, whatever its arguments then are."""
    kinds = (ObjectType.OBJECT_FUNCTION, ObjectType.OBJECT_PROCEDURE, ObjectType.OBJECT_ROUTINE)
    yield from _dropped(act, pending, "Clients that call {} break", "function", *kinds, ObjectType.OBJECT_AGGREGATE)


@rule(
    "ban-drop-type",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop type mood;",
    left_alone="create type mood as enum ('sad'); drop type mood;",
    safe_way=_LATER,
)
def ban_drop_type(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Types and domains; with CASCADE, `drop-type-cascade` says it."""
    if act.node.behavior != DropBehavior.DROP_CASCADE:
        kinds = (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN)
        yield from _dropped(act, pending, "Clients that know type {} break", "type", *kinds)


@rule(
    "dropping-trigger",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.DropStmt, ast.AlterTableStmt),
    caught="drop trigger touch on orders;",
    left_alone=(
        "drop trigger if exists touch on orders;"
        " create trigger touch before update on orders for each row execute function touch();"
    ),
    safe_way="Make its successor in the same file; what it kept up to date is kept no longer.",
)
def dropping_trigger(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Dropped and not made again, or switched off."""
    if isinstance(act.node, ast.AlterTableStmt):
        switched = (AlterTableType.AT_DisableTrig, AlterTableType.AT_DisableTrigAll, AlterTableType.AT_DisableTrigUser)
        for name, command in commands(act, pending, *switched):
            yield f"Switches {f'trigger {printable(command.name)}' if command.name else 'all triggers'} of {name} off."
        return
    if act.node.removeType == ObjectType.OBJECT_TRIGGER:
        for parts in act.node.objects or ():
            *table, trigger = names(parts)
            name = pending.name_of_parts(table)
            part = part_of(name, trigger)
            if not pending.was_made("trigger", part) and not pending.is_made_again("trigger", part):
                yield Found(f"Trigger {printable(trigger)} of {name} acts no longer.", relation=str(name))


@rule(
    "ban-alter-identity",
    _CLIENTS,
    Level.CAUTION,
    on=(ast.AlterTableStmt,),
    caught="alter table orders alter column id add generated always as identity;",
    left_alone="alter table orders alter column id add generated by default as identity;",
    safe_way="Use GENERATED BY DEFAULT, or change the clients first.",
)
def ban_alter_identity(act: Act, pending: Pending) -> Iterator[str | Found]:
    """GENERATED ALWAYS refuses values that clients insert themselves."""
    for name, command in commands(act, pending, AlterTableType.AT_AddIdentity, AlterTableType.AT_SetIdentity):
        if isinstance(command.def_, ast.Constraint):
            is_always = command.def_.generated_when == "a"
        else:
            is_always = any(
                option.defname == "generated" and chr(getattr(option.arg, "ival", 0)) == "a"
                for option in command.def_ or ()
            )
        if is_always:
            column = printable(command.name or "")
            yield f"Clients that insert a value of their own for column {column} of {name} are refused."

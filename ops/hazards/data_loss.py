"""Rules about rows, columns and whole objects that would be gone."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import CmdType
from pglast.enums import DropBehavior
from pglast.enums import MergeMatchKind
from pglast.enums import ObjectType

from ops.grammar import names
from ops.hazards.acts import constant
from ops.hazards.conditions import all_rows
from ops.hazards.conditions import is_always_true
from ops.hazards.conditions import may_name
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable

_FIRST_COPY = "Copy the rows aside first, or rename it now and drop it some days later."


def _dropped(act: Act, pending: Pending, what: str, *kinds: ObjectType) -> Iterator[Found]:
    if act.node.removeType not in kinds:
        return
    for parts in act.node.objects or ():
        name = pending.name_of_parts(names(parts))
        is_computed_anew = ObjectType.OBJECT_MATVIEW in kinds and pending.is_made_again("view", name)
        if not pending.is_fresh(name) and not is_computed_anew:
            yield Found(f"Drops {what.format(name)}{_and_dependents(act.node)}.", relation=str(name))


def _and_dependents(node: ast.DropStmt) -> str:
    return " and all that depends on it" if node.behavior == DropBehavior.DROP_CASCADE else ""


@rule(
    "drop-table",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DropStmt,),
    caught="drop table orders;",
    left_alone="create table draft (id int); alter table draft enable row level security; drop table draft;",
    safe_way=_FIRST_COPY,
)
def drop_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Tables and foreign tables that the pending files did not make themselves."""
    yield from _dropped(
        act, pending, "table {} with its rows", ObjectType.OBJECT_TABLE, ObjectType.OBJECT_FOREIGN_TABLE
    )


@rule(
    "drop-materialized-view",
    HazardClass.DATA_LOSS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop materialized view sales_by_day;",
    left_alone="create materialized view sales_by_day as select 1; drop materialized view sales_by_day;",
    safe_way="Make sure that nobody reads it, or make its successor under another name first.",
)
def drop_materialized_view(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its rows can be computed again only while their sources are there."""
    yield from _dropped(act, pending, "materialized view {}", ObjectType.OBJECT_MATVIEW)


@rule(
    "drop-schema",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DropStmt,),
    caught="drop schema billing cascade;",
    left_alone="create schema billing;",
    safe_way="Drop what is in it one by one, so that each is seen.",
)
def drop_schema(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A schema, most of all with CASCADE."""
    if act.node.removeType == ObjectType.OBJECT_SCHEMA:
        for parts in act.node.objects or ():
            yield f"Drops schema {printable('.'.join(names(parts)))}{_and_dependents(act.node)}."


@rule(
    "drop-extension-cascade",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DropStmt,),
    caught="drop extension citext cascade;",
    left_alone="create extension if not exists citext;",
    safe_way="Move the columns of its types to other types first, then drop it without CASCADE.",
)
def drop_extension_cascade(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The columns of an extension's types go with it."""
    node = act.node
    if node.removeType == ObjectType.OBJECT_EXTENSION and node.behavior == DropBehavior.DROP_CASCADE:
        for parts in node.objects or ():
            yield f"Drops extension {printable('.'.join(names(parts)))}{_and_dependents(node)}."


@rule(
    "drop-type-cascade",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DropStmt,),
    caught="drop type mood cascade;",
    left_alone="drop type mood;",
    safe_way="Move its columns to another type first, then drop it without CASCADE.",
)
def drop_type_cascade(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The columns of a type or domain go with it."""
    node = act.node
    if (
        node.removeType in (ObjectType.OBJECT_TYPE, ObjectType.OBJECT_DOMAIN)
        and node.behavior == DropBehavior.DROP_CASCADE
    ):
        for parts in node.objects or ():
            name = pending.name_of_parts(names(parts))
            if not pending.was_made("type", name):
                yield Found(f"Drops type {name} and every column of it.", relation=str(name))


@rule(
    "drop-column",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders drop column note;",
    left_alone="alter table orders add column note text;",
    safe_way="Stop using the column first, copy its values aside, and drop it some days later.",
)
def drop_column(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Columns of tables, and attributes of composite types."""
    name = pending.name(act.node.relation)
    for command in act.node.cmds or ():
        if command.subtype == AlterTableType.AT_DropColumn and not pending.is_fresh(name):
            yield f"Drops column {printable(command.name or '')} of {name} with its values."


@rule(
    "drop-owned",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DropOwnedStmt,),
    caught="drop owned by reporting;",
    left_alone="reassign owned by reporting to postgres;",
    safe_way="Use REASSIGN OWNED, or drop the objects by name.",
)
def drop_owned(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Everything that a role owns, whatever that is on the day."""
    yield "Drops everything that a role owns in this database."


@rule(
    "drop-database",
    HazardClass.DATA_LOSS,
    Level.FORBIDDEN,
    on=(ast.DropdbStmt,),
    caught="drop database archive;",
    left_alone="create schema archive;",
    safe_way="Drop databases by hand, outside migrations.",
)
def drop_database(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Never part of a migration."""
    yield f"Drops database {printable(act.node.dbname)}."


@rule(
    "truncate",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.TruncateStmt,),
    caught="truncate orders;",
    left_alone="create temp table scratch_rows (id int); truncate scratch_rows;",
    safe_way="Copy the rows aside first; delete only the rows that must go.",
)
def truncate(act: Act, pending: Pending) -> Iterator[str | Found]:
    """With CASCADE, also the rows of the tables that point to it."""
    more = " and of the tables that point to it" if act.node.behavior == DropBehavior.DROP_CASCADE else ""
    for relation in act.node.relations or ():
        name = pending.name(relation)
        if not pending.is_fresh(name):
            yield Found(f"Deletes all rows of {name}{more}.", relation=str(name))


@rule(
    "delete-without-where",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.DeleteStmt, ast.MergeStmt),
    caught="with gone as (delete from orders returning id) select count(*) from gone;",
    left_alone="delete from orders where state = 'draft';",
    safe_way="Say with WHERE which rows must go, and copy them aside first.",
)
def delete_without_where(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Also with a condition that is always true, or that no row of the table has a part in. A caution where it asks for
    no more than a value in what looks like the primary key, and where MERGE deletes all that it meets."""
    name = pending.name(act.node.relation)
    if pending.is_fresh(name):
        return
    if isinstance(act.node, ast.MergeStmt):
        yield from _merged(act.node, CmdType.CMD_DELETE, f"Deletes all rows of {name}")
        return
    level = all_rows(act.node, name)
    if level is not None:
        yield Found(f"Deletes all rows of {name}{_unless(level)}.", level=level)


def _unless(level: Level) -> str:
    return "" if level is Level.DANGER else " that have a value in one column, as all do in a primary key"


def _merged(node: ast.MergeStmt, command: CmdType, words: str) -> Iterator[Found]:
    """What MERGE does without a condition of its own to rows that are there already; what it updates where it meets a row
    is how rows are kept up to date."""
    to_all = is_always_true(node.joinCondition) or not may_name(
        node.joinCondition, node.relation, (node.sourceRelation,)
    )
    for clause in node.mergeWhenClauses or ():
        if clause.commandType != command or not is_always_true(clause.condition):
            continue
        if clause.matchKind == MergeMatchKind.MERGE_WHEN_NOT_MATCHED_BY_SOURCE:
            yield Found(f"{words} that the source does not list.")
        elif to_all:
            yield Found(f"{words}.")
        elif command == CmdType.CMD_DELETE:
            yield Found(f"{words} that the source lists.", level=Level.CAUTION)


@rule(
    "update-without-where",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.UpdateStmt, ast.MergeStmt),
    caught="update orders set state = 'new' where true;",
    left_alone="update orders set state = 'new' where state is null;",
    safe_way="Say with WHERE which rows change; fill a new column in batches (docs/backfills.md).",
)
def update_without_where(act: Act, pending: Pending) -> Iterator[str | Found]:
    """As `delete-without-where`, for values that are overwritten. A caution in a file that runs in batches."""
    name = pending.name(act.node.relation)
    if pending.is_fresh(name):
        return
    if isinstance(act.node, ast.MergeStmt):
        yield from _merged(act.node, CmdType.CMD_UPDATE, f"Overwrites columns in all rows of {name}")
        return
    level = all_rows(act.node, name)
    if level is not None:
        # What goes wrong is seen in the first batches, and a stop keeps the rows behind them as they are.
        level = min(level, Level.CAUTION) if act.migration.batches else level
        columns = ", ".join(printable(target.name or "") for target in (act.node.targetList or ())[:5])
        yield Found(f"Overwrites {columns} in all rows of {name}{_unless(level)}.", level=level)


_NARROW = {
    *("int2", "int4", "float4", "date", "bool", "bpchar", "char"),
    *("numeric", "varchar", "timestamp", "time", "bit", "varbit"),
}
_ONLY_WITH_SIZE = {"numeric", "varchar", "bit", "varbit"}


@rule(
    "narrowing-type",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders alter column note type varchar(20) using left(note, 20);",
    left_alone="alter table orders alter column note type text;",
    safe_way="Check that every value fits; add a new column and move over in steps.",
)
def narrowing_type(act: Act, pending: Pending) -> Iterator[str | Found]:
    """New types that hold less than their wider kin; a danger where USING cuts, else a caution."""
    name = pending.name(act.node.relation)
    for command in act.node.cmds or ():
        if command.subtype != AlterTableType.AT_AlterColumnType or pending.is_fresh(name):
            continue
        kind = command.def_.typeName
        new = names(kind.names)[-1]
        if new in _NARROW and (kind.typmods or new not in _ONLY_WITH_SIZE):
            message = (
                f"Changes column {printable(command.name or '')} of {name} to {new}, which may cut or refuse values."
            )
            cuts = isinstance(command.def_.raw_default, ast.FuncCall)
            yield Found(message, level=None if cuts else Level.CAUTION)


@rule(
    "checks-switched-off",
    HazardClass.DATA_LOSS,
    Level.CAUTION,
    on=(ast.VariableSetStmt,),
    caught="set session_replication_role = replica;",
    left_alone="set session_replication_role = default;",
    safe_way="Write rows in the order that the foreign keys want, or make them DEFERRABLE.",
)
def checks_switched_off(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Rows can then contradict each other for ever, and triggers that keep other rows true do not act."""
    if act.node.name == "session_replication_role" and [constant(each) for each in act.node.args or ()] == ["replica"]:
        yield "Switches foreign keys and triggers off, so that rows may contradict each other."

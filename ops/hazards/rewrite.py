"""Rules about tables that are written anew, row by row, while nobody can use them."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ConstrType

from ops import grammar
from ops.grammar import names
from ops.grammar import options
from ops.hazards.locks import added_constraints
from ops.hazards.locks import commands
from ops.hazards.locks import is_serial
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable

_WHILE = "while nobody can use it"

# The grammar's names for types, as people write them.
_SPOKEN = {"int2": "smallint", "int4": "integer", "int8": "bigint", "bool": "boolean", "float8": "double precision"}
# From another length, or from their kin, these need no rewrite; from a type that is stored differently they do.
_MAYBE_FREE = {"text", "varchar", "numeric", "citext", "timestamptz"}


@rule(
    "changing-column-type",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders alter column id type bigint;",
    left_alone="alter table orders alter column id set statistics 500;",
    safe_way="Add a column of the new type, fill it in batches, and move the clients over.",
)
def changing_column_type(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A caution where it depends on the old type, as from varchar to text. A rehearsal knows."""
    for name, command in commands(act, pending, AlterTableType.AT_AlterColumnType):
        kind = command.def_.typeName
        new = names(kind.names)[-1]
        is_free = new in _MAYBE_FREE and not kind.arrayBounds and command.def_.raw_default is None
        column, shown = printable(command.name or ""), printable(_SPOKEN.get(new, new))
        yield Found(
            f"May write {name} anew for column {column} as {shown}, {_WHILE}.", level=Level.CAUTION if is_free else None
        )


# Functions of Postgres and Supabase whose value is the same for all rows of a statement, so that a default with them
# is computed once. What is not listed may be different for each row.
_STEADY = {
    *("now", "transaction_timestamp", "statement_timestamp", "timezone", "date_trunc", "date_part", "to_timestamp"),
    *("lower", "upper", "md5", "left", "right", "length", "concat", "format", "coalesce", "nullif", "to_char"),
    *("jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "to_jsonb", "to_json"),
    *("array_fill", "make_interval", "make_date", "current_setting", "uid", "jwt", "role", "email", "to_date"),
    *("abs", "round", "ceil", "floor", "greatest", "least", "point", "int4range", "tstzrange", "daterange"),
    *("to_tsvector", "setweight", "st_setsrid", "st_point", "st_makepoint", "encode", "decode", "trim", "btrim"),
}
_CHANGING = {
    *("gen_random_uuid", "uuid_generate_v4", "uuid_generate_v1", "uuidv4", "uuidv7", "random", "random_normal"),
    *("clock_timestamp", "timeofday", "nextval", "gen_random_bytes", "gen_salt", "txid_current"),
}
KNOWN_FUNCTIONS = _STEADY | _CHANGING
"""Functions that compute a value and do nothing else."""


@rule(
    "adding-field-with-default",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add column token uuid default gen_random_uuid();",
    left_alone="alter table orders add column made_at timestamptz not null default now();",
    safe_way="Add the column without a default, set the default, and fill it in batches.",
)
def adding_field_with_default(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A default that is another for each row; a caution where the function is not known here."""
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_DEFAULT):
        called = {
            names(node.funcname)[-1]
            for node in grammar.walk(constraint.raw_expr)
            if column and isinstance(node, ast.FuncCall)
        }
        new = called - _STEADY
        if new:
            level = None if new & _CHANGING else Level.CAUTION
            function = printable(min(new & _CHANGING or new))
            message = f"Writes {name} anew to fill column {printable(column)} from {function}(), {_WHILE}."
            yield Found(message, level=level)


@rule(
    "adding-computed-column",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add column total numeric generated always as (price * amount) stored;",
    left_alone="alter table orders add column total numeric;",
    safe_way="Add a plain column, keep it by a trigger, and fill it in batches; or compute it in a view.",
)
def adding_computed_column(act: Act, pending: Pending) -> Iterator[str | Found]:
    """GENERATED … STORED, identity and serial columns, and another expression for a generated one."""
    kinds = (ConstrType.CONSTR_GENERATED, ConstrType.CONSTR_IDENTITY)
    for name, constraint, column in added_constraints(act, pending, *kinds):
        if column and getattr(constraint, "generated_kind", "s") != "v":
            yield f"Writes {name} anew to fill column {printable(column)}, {_WHILE}."
    for name, command in commands(act, pending, AlterTableType.AT_AddColumn):
        if is_serial(command.def_):
            yield f"Writes {name} anew to number its rows in column {printable(command.def_.colname or '')}, {_WHILE}."
    for name, command in commands(act, pending, AlterTableType.AT_SetExpression):
        yield f"Writes {name} anew to compute column {printable(command.name or '')}, {_WHILE}."


@rule(
    "changing-persistence",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders set unlogged;",
    left_alone="alter table orders set (fillfactor = 90);",
    safe_way="Make a new table as it should be, and copy the rows over in batches.",
)
def changing_persistence(act: Act, pending: Pending) -> Iterator[str | Found]:
    """SET LOGGED, SET UNLOGGED. An unlogged table is empty after a crash, and is in no physical backup."""
    for name, _ in commands(act, pending, AlterTableType.AT_SetUnLogged):
        yield f"Writes {name} anew {_WHILE}, and has it emptied by the next crash of the server."
    for name, _ in commands(act, pending, AlterTableType.AT_SetLogged):
        yield f"Writes {name} anew, into the write-ahead log as well, {_WHILE}."


@rule(
    "moving-a-table",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.AlterTableStmt, ast.AlterTableMoveAllStmt),
    caught="alter table orders set tablespace cold;",
    left_alone="alter table orders set (autovacuum_vacuum_scale_factor = 0.01);",
    safe_way="Make a new table where it should be, and copy the rows over in batches.",
)
def moving_a_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """SET TABLESPACE, SET ACCESS METHOD."""
    if isinstance(act.node, ast.AlterTableMoveAllStmt):
        yield f"Moves all of tablespace {printable(act.node.orig_tablespacename or '')}, while nobody can use it."
        return
    for name, command in commands(act, pending, AlterTableType.AT_SetTableSpace, AlterTableType.AT_SetAccessMethod):
        how = "tablespace" if command.subtype == AlterTableType.AT_SetTableSpace else "access method"
        yield f"Writes {name} anew for {how} {printable(command.name or 'default')}, {_WHILE}."


@rule(
    "vacuum-full",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.VacuumStmt,),
    caught="vacuum full orders;",
    left_alone="vacuum analyze orders;",
    safe_way="Use plain VACUUM, or pg_repack.",
)
def vacuum_full(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It writes every table anew under a lock that stops readers."""
    if not options(act.node.options).get("full"):
        return
    if not act.node.rels:
        yield "Writes every table anew, while nobody can read or write it."
    for each in act.node.rels or ():
        name = pending.name(each.relation)
        yield Found(f"Writes {name} anew, while nobody can read or write it.", relation=str(name))


@rule(
    "cluster",
    HazardClass.REWRITE,
    Level.DANGER,
    on=(ast.ClusterStmt,),
    caught="cluster orders using orders_pkey;",
    left_alone="create table fresh (id int); alter table fresh enable row level security; cluster fresh;",
    safe_way="Use pg_repack.",
)
def cluster(act: Act, pending: Pending) -> Iterator[str | Found]:
    """As VACUUM FULL, in an index's order."""
    name = pending.name(act.node.relation)
    if act.node.relation is None:
        yield "Writes every clustered table anew, while nobody can read or write it."
    elif not pending.is_fresh(name):
        yield f"Writes {name} anew, while nobody can read or write it."

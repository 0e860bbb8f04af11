"""Rules about locks that stop the application while they are held."""

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast import enums
from pglast.enums import AlterTableType
from pglast.enums import ConstrType
from pglast.enums import ObjectType

from ops.grammar import names
from ops.grammar import options
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Name
from ops.hazards.pending import Pending
from ops.masking import printable

SHARE_LOCK = 5
"""In Postgres' lockdefs.h; from here on, writers wait."""

_TWO_STEPS = "Add the constraint NOT VALID, and VALIDATE it in the next migration."


def commands(act: Act, pending: Pending, *kinds: AlterTableType) -> Iterator[tuple[Name, Any]]:
    """The commands of these kinds of an ALTER TABLE, with the table, unless the pending files made it themselves."""
    name = pending.name(act.node.relation)
    if not pending.is_fresh(name):
        yield from ((name, command) for command in act.node.cmds or () if command.subtype in kinds)


def added_constraints(act: Act, pending: Pending, *kinds: ConstrType) -> Iterator[tuple[Name, Any, str]]:
    """Constraints of these kinds that an ALTER TABLE adds to a used table: the table, the constraint, and the column
    where it comes with a new one."""
    for name, command in commands(act, pending, AlterTableType.AT_AddConstraint, AlterTableType.AT_AddColumn):
        if command.subtype == AlterTableType.AT_AddConstraint:
            if command.def_.contype in kinds:
                yield name, command.def_, ""
        else:
            for constraint in command.def_.constraints or ():
                if constraint.contype in kinds:
                    yield name, constraint, command.def_.colname or ""


def _called(constraint: ast.Constraint, column: str) -> str:
    """What a constraint is called in a message."""
    if constraint.conname:
        return f" {printable(constraint.conname)}"
    return f" of column {printable(column)}" if column else ""


_FILLING = {ConstrType.CONSTR_DEFAULT, ConstrType.CONSTR_GENERATED, ConstrType.CONSTR_IDENTITY}


def is_serial(column: ast.ColumnDef) -> bool:
    """Postgres numbers the rows of this column by itself."""
    kind = names(column.typeName.names)[-1] if column.typeName else ""
    return kind in ("serial", "bigserial", "smallserial", "serial4", "serial8", "serial2")


def is_filled(column: ast.ColumnDef) -> bool:
    """The new column has a default, is computed or numbered, so that existing rows get a value."""
    return is_serial(column) or any(one.contype in _FILLING for one in column.constraints or ())


@rule(
    "require-concurrent-index-creation",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.IndexStmt,),
    caught="create index orders_note on orders (note);",
    left_alone="create index concurrently orders_note on orders (note);",
    safe_way="Use CREATE INDEX CONCURRENTLY in a migration of its own.",
)
def require_concurrent_index_creation(act: Act, pending: Pending) -> Iterator[str | Found]:
    """On a used table. ON ONLY makes an index of a partitioned table that is empty at first."""
    name = pending.name(act.node.relation)
    if not act.node.concurrent and act.node.relation.inh and not pending.is_fresh(name):
        index = f"index {printable(act.node.idxname)}" if act.node.idxname else "an index"
        yield f"Nobody can write to {name} while {index} is built."


@rule(
    "require-concurrent-index-deletion",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop index orders_note;",
    left_alone="drop index concurrently orders_note;",
    safe_way="Use DROP INDEX CONCURRENTLY in a migration of its own.",
)
def require_concurrent_index_deletion(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It waits for whoever reads the table, and everybody else waits behind it."""
    if act.node.removeType != ObjectType.OBJECT_INDEX or act.node.concurrent:
        return
    for parts in act.node.objects or ():
        name = pending.name_of_parts(names(parts))
        if not pending.was_made("index", name):
            yield Found(f"Dropping index {name} waits for, and then stops, all who use its table.", relation=str(name))


@rule(
    "constraint-missing-not-valid",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add constraint positive check (amount > 0);",
    left_alone="alter table orders add constraint positive check (amount > 0) not valid;",
    safe_way=_TWO_STEPS,
)
def constraint_missing_not_valid(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Every row is looked at under a lock that stops all; a caution where the column is new as well."""
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_CHECK):
        if not constraint.skip_validation:
            message = f"Nobody can use {name} while every row is checked for constraint{_called(constraint, column)}."
            yield Found(message, level=Level.CAUTION if column else None)


@rule(
    "adding-foreign-key-constraint",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add constraint buyer foreign key (buyer) references people (id);",
    left_alone="alter table orders add column buyer bigint references people (id);",
    safe_way=_TWO_STEPS,
)
def adding_foreign_key_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Postgres looks at no row when the column is new and empty."""
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_FOREIGN):
        if constraint.skip_validation or (column and not _adds_filled(act, column)):
            continue
        other = pending.name(constraint.pktable)
        yield (
            f"Nobody can write to {name} or {other} while every row is checked for foreign key"
            f"{_called(constraint, column)}."
        )


def _adds_filled(act: Act, column: str) -> bool:
    added = (one.def_ for one in act.node.cmds or () if one.subtype == AlterTableType.AT_AddColumn)
    return any(one.colname == column and is_filled(one) for one in added)


@rule(
    "adding-not-nullable-field",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders alter column note set not null;",
    left_alone=(
        "alter table orders add constraint has_note check (note is not null) not valid;"
        " alter table orders validate constraint has_note; alter table orders alter column note set not null;"
    ),
    safe_way="Add CHECK (… IS NOT NULL) NOT VALID, VALIDATE it in the next migration, then SET NOT NULL.",
)
def adding_not_nullable_field(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Every row is looked at, unless a validated CHECK (… IS NOT NULL) says it already."""
    for name, command in commands(act, pending, AlterTableType.AT_SetNotNull):
        if not pending.is_never_null(name, command.name or ""):
            column = printable(command.name or "")
            yield f"Nobody can use {name} while every row is checked for {column} being NOT NULL."
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_NOTNULL):
        if not column and not constraint.skip_validation:
            checked = printable(names(constraint.keys)[0])
            yield f"Nobody can use {name} while every row is checked for {checked} being NOT NULL."


@rule(
    "disallowed-unique-constraint",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add constraint one_note unique (note);",
    left_alone="alter table orders add constraint one_note unique using index orders_note;",
    safe_way="Build a unique index CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX.",
)
def disallowed_unique_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its index is built under a lock that stops all."""
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_UNIQUE):
        if not constraint.indexname:
            yield f"Nobody can use {name} while the unique index of constraint{_called(constraint, column)} is built."


@rule(
    "adding-serial-primary-key-field",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders add primary key (id);",
    left_alone="alter table orders add primary key using index orders_id;",
    safe_way="Build a unique index CONCURRENTLY, then ADD PRIMARY KEY USING INDEX.",
)
def adding_primary_key(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its index is built, and its columns are checked for NULL, under a lock that stops all."""
    for name, constraint, _ in added_constraints(act, pending, ConstrType.CONSTR_PRIMARY):
        if not constraint.indexname:
            yield f"Nobody can use {name} while its primary key is built."


@rule(
    "adding-exclusion-constraint",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table stays add constraint no_overlap exclude using gist (during with &&);",
    left_alone="alter table stays add constraint in_order check (a < b) not valid;",
    safe_way="Make a new table with the constraint and move over; Postgres cannot build one while people write.",
)
def adding_exclusion_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """There is no CONCURRENTLY and no NOT VALID for it."""
    for name, constraint, column in added_constraints(act, pending, ConstrType.CONSTR_EXCLUSION):
        yield f"Nobody can use {name} while the index of constraint{_called(constraint, column)} is built."


@rule(
    "require-concurrent-partition-detach",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.AlterTableStmt,),
    caught="alter table orders detach partition orders_2020;",
    left_alone="alter table orders detach partition orders_2020 concurrently;",
    safe_way="Use DETACH PARTITION … CONCURRENTLY in a migration of its own.",
)
def require_concurrent_partition_detach(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It waits for whoever uses the table, and everybody else waits behind it."""
    for name, command in commands(act, pending, AlterTableType.AT_DetachPartition):
        if not command.def_.concurrent:
            part = pending.name(command.def_.name)
            yield f"Detaching partition {part} waits for, and then stops, all who use {name}."


@rule(
    "attaching-a-used-partition",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.AlterTableStmt,),
    caught="alter table orders attach partition orders_2020 for values in (2020);",
    left_alone="alter table orders add constraint of_2020 check (year = 2020) not valid;",
    safe_way="Have a validated CHECK constraint on the table that says the same as the partition's bounds.",
)
def attaching_a_used_partition(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its rows are looked at, and those of the default partition, unless a constraint says that they fit."""
    for name, command in commands(act, pending, AlterTableType.AT_AttachPartition):
        part = pending.name(command.def_.name)
        if not pending.is_fresh(part):
            yield Found(
                f"Nobody can use {part} while its rows are checked for their place in {name}.", relation=str(part)
            )


@rule(
    "require-concurrent-reindex",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.ReindexStmt,),
    caught="reindex table orders;",
    left_alone="reindex table concurrently orders;",
    safe_way="Use REINDEX … CONCURRENTLY in a migration of its own.",
)
def require_concurrent_reindex(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Writers wait; so do readers that would use the index."""
    if options(act.node.params).get("concurrently"):
        return
    if act.node.relation is None:
        yield f"Nobody can write to the tables of {printable(act.node.name or 'this database')} while indexes are rebuilt."
        return
    name = pending.name(act.node.relation)
    if not pending.is_fresh(name):
        whose = "the table of " if act.node.kind == enums.ReindexObjectType.REINDEX_OBJECT_INDEX else ""
        yield f"Nobody can write to {whose}{name} while it is indexed anew."


@rule(
    "ban-create-domain-with-constraint",
    HazardClass.LOCKS,
    Level.INFO,
    on=(ast.CreateDomainStmt,),
    caught="create domain positive as int check (value > 0);",
    left_alone="create domain positive as int;",
    safe_way="Put the constraint on the table.",
)
def create_domain_with_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Changing it later looks at every table that uses the domain, under locks."""
    if any(constraint.contype == ConstrType.CONSTR_CHECK for constraint in act.node.constraints or ()):
        name = pending.name_of_parts(names(act.node.domainname))
        yield f"The constraint of domain {name} cannot be changed later without long locks."


@rule(
    "ban-alter-domain-with-add-constraint",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.AlterDomainStmt,),
    caught="alter domain positive add constraint small check (value < 9);",
    left_alone="alter domain positive add constraint small check (value < 9) not valid;",
    safe_way="Add the constraint NOT VALID and VALIDATE it later, or put it on the table.",
)
def alter_domain_with_add_constraint(act: Act, pending: Pending) -> Iterator[str | Found]:
    """All tables with a column of the domain are looked at."""
    name = pending.name_of_parts(names(act.node.typeName))
    adds = isinstance(act.node.def_, ast.Constraint) and not act.node.def_.skip_validation
    if adds and not pending.was_made("type", name):
        yield f"Nobody can write to the tables with a column of domain {name} while their rows are checked."


@rule(
    "lock-table",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.LockStmt,),
    caught="lock table orders;",
    left_alone="lock table orders in row exclusive mode;",
    safe_way="Leave the lock to the statement that needs it.",
)
def lock_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A lock that makes writers wait until the file ends."""
    for relation in act.node.relations or ():
        name = pending.name(relation)
        if act.node.mode >= SHARE_LOCK and not pending.is_fresh(name):
            yield Found(f"Locks {name} until the file has run.", relation=str(name))


@rule(
    "refresh-blocks-readers",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.RefreshMatViewStmt,),
    caught="refresh materialized view sales_by_day;",
    left_alone="refresh materialized view concurrently sales_by_day;",
    safe_way="Use REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on it.",
)
def refresh_blocks_readers(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Readers wait for the whole refresh."""
    name = pending.name(act.node.relation)
    if not act.node.concurrent and not pending.is_fresh(name):
        yield f"Nobody can read {name} while it is refreshed."


_TIMEOUTS = {"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"}
_THE_RUN = {"postgres", "authenticator", ""}


@rule(
    "overrides-timeout",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.VariableSetStmt, ast.AlterRoleSetStmt, ast.AlterDatabaseSetStmt),
    caught="set lock_timeout = 0;",
    left_alone="alter role authenticated set statement_timeout = '8s';",
    safe_way="Leave the timeouts to the run, which waits for locks politely.",
)
def overrides_timeout(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A file that sets its own timeouts may wait for ever, with the application behind it. The timeouts of the roles
    that applications use are theirs."""
    setting = act.node if isinstance(act.node, ast.VariableSetStmt) else act.node.setstmt
    if isinstance(act.node, ast.AlterRoleSetStmt) and act.node.role and (act.node.role.rolename or "") not in _THE_RUN:
        return
    if setting.kind != enums.VariableSetKind.VAR_RESET_ALL and setting.name in _TIMEOUTS:
        yield f"Sets {setting.name} itself, over what the run has set."

"""Rules about files that cannot be undone as one, or that fail half-way."""

from collections.abc import Iterator

from pglast import ast
from pglast import enums

from ops import grammar
from ops.grammar import names
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.hazards.pending import constant
from ops.masking import printable
from ops.migrations import Migration


@rule(
    "not-atomic",
    HazardClass.TRANSACTION,
    Level.CAUTION,
    on=(Migration,),
    caught="alter table orders add column note text; create index concurrently orders_note on orders (note);",
    left_alone="create index concurrently orders_note on orders (note);",
    safe_way="Give each statement that cannot be in a transaction a migration of its own.",
)
def not_atomic(act: Act, pending: Pending) -> Iterator[str | Found]:
    """More than one segment: an error in the second leaves the first in place."""
    migration = act.migration
    if len(migration.segments) > 1:
        second = migration.statements[migration.segments[1].statements[0]]
        yield Found(f"Runs in {len(migration.segments)} parts; an error leaves the earlier ones in place.", second.line)


@rule(
    "enum-value-used",
    HazardClass.TRANSACTION,
    Level.DANGER,
    on=(Migration,),
    caught="alter type mood add value 'calm'; update people set mood = 'calm' where mood is null;",
    left_alone="alter type mood add value 'calm'; update people set mood = 'sad' where mood is null;",
    safe_way="Add the value in one migration and use it in the next.",
)
def enum_value_used(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Postgres refuses a new enum value in the transaction that adds it (SQLSTATE 55P04)."""
    for segment in act.migration.segments:
        added: set[str] = set()
        for index in segment.statements if segment.transactional else ():
            statement = act.migration.statements[index]
            if statement.tree is None:
                continue
            node = statement.tree.node
            if isinstance(node, ast.AlterEnumStmt):
                added |= {node.newVal} if node.newVal and not node.oldVal else set()
            elif added:
                used = sorted(added & {constant(each) or "" for each in grammar.walk(node)})
                if used:
                    message = f"Uses the enum value {printable(used[0])} in the transaction that adds it."
                    yield Found(message, statement.line)


@rule(
    "invalid-index-kept",
    HazardClass.TRANSACTION,
    Level.CAUTION,
    on=(ast.IndexStmt,),
    caught="create index concurrently if not exists orders_note on orders (note);",
    left_alone="create index concurrently orders_note on orders (note);",
    safe_way="Leave IF NOT EXISTS out; drop an invalid index before building it again.",
)
def invalid_index_kept(act: Act, pending: Pending) -> Iterator[str | Found]:
    """An index build that failed before leaves an invalid index, which IF NOT EXISTS takes for a good one."""
    if act.node.concurrent and act.node.if_not_exists:
        yield f"Would take an invalid index {printable(act.node.idxname or '')} for a good one."


_LETS_GO = {"pg_advisory_unlock", "pg_advisory_unlock_all", "pg_terminate_backend", "pg_cancel_backend"}


@rule(
    "drops-locks",
    HazardClass.TRANSACTION,
    Level.DANGER,
    on=(ast.DiscardStmt, ast.SelectStmt),
    caught="select pg_advisory_unlock_all();",
    left_alone="select count(*) from orders;",
    safe_way="Leave sessions and advisory locks alone in a migration.",
)
def drops_locks(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The run guards its target by advisory locks; a file that lets go of them lets a second run in."""
    if isinstance(act.node, ast.DiscardStmt):
        if act.node.target == enums.DiscardMode.DISCARD_ALL:
            yield "DISCARD ALL lets go of the session's locks and settings."
        return
    for target in act.node.targetList or ():
        called = names(target.val.funcname)[-1] if isinstance(target.val, ast.FuncCall) else ""
        if called in _LETS_GO:
            yield f"Calls {called}, which ends locks or sessions of the run."


@rule(
    "backfill-with-ddl",
    HazardClass.TRANSACTION,
    Level.CAUTION,
    on=(Migration,),
    caught="alter table orders add column note text; update orders set note = '' where note is null;",
    left_alone="alter table orders add column note text; update people set note = '' where note is null;",
    safe_way="Change the table in one migration and fill it in the next.",
)
def backfill_with_ddl(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The table stays locked for everybody from the ALTER to the end of the UPDATE."""
    for segment in act.migration.segments:
        altered: set[tuple[str | None, str | None]] = set()
        created: set[tuple[str | None, str | None]] = set()
        for index in segment.statements if segment.transactional else ():
            statement = act.migration.statements[index]
            node = statement.tree.node if statement.tree else None
            relation = getattr(node, "relation", None)
            if not isinstance(relation, ast.RangeVar):
                continue
            table = (relation.schemaname, relation.relname)
            if isinstance(node, ast.CreateStmt):
                created.add(table)
            elif isinstance(node, ast.AlterTableStmt):
                altered.add(table)
            elif isinstance(node, ast.UpdateStmt) and table in altered - created:
                name = printable(relation.relname or "")
                yield Found(f"Updates {name} in the transaction that alters it, which keeps it locked.", statement.line)

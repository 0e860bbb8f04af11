"""Rules about whole files: locks that are held while later statements work, and work that is too much for one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops.hazards.acts import created_relation
from ops.hazards.locks import SHARE_LOCK
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Name
from ops.hazards.pending import Pending
from ops.migrations import Migration

# Subtypes of ALTER TABLE under whose lock the application goes on.
_GENTLE = {
    *(AlterTableType.AT_SetStatistics, AlterTableType.AT_ValidateConstraint, AlterTableType.AT_AttachPartition),
    *(AlterTableType.AT_ClusterOn, AlterTableType.AT_SetOptions, AlterTableType.AT_ResetOptions),
    *(AlterTableType.AT_SetRelOptions, AlterTableType.AT_ResetRelOptions, AlterTableType.AT_DropCluster),
    *(AlterTableType.AT_ChangeOwner, AlterTableType.AT_ReplicaIdentity),
}
_MANY_ALTERS = 4


def _locked(node: Any, pending: Pending) -> Iterator[Name]:
    """The used tables that a statement keeps others from writing to, until its transaction ends."""
    relations: tuple[Any, ...] = ()
    if isinstance(node, ast.AlterTableStmt):
        if node.objtype == ObjectType.OBJECT_TABLE and any(c.subtype not in _GENTLE for c in node.cmds or ()):
            relations = (node.relation,)
    elif isinstance(node, ast.IndexStmt):
        relations = () if node.concurrent else (node.relation,)
    elif isinstance(node, ast.CreateTrigStmt | ast.RenameStmt):
        relations = (node.relation,)
    elif isinstance(node, ast.CreatePolicyStmt | ast.AlterPolicyStmt):
        relations = (node.table,)
    elif isinstance(node, ast.TruncateStmt) or (isinstance(node, ast.LockStmt) and (node.mode or 0) >= SHARE_LOCK):
        relations = node.relations or ()
    names = (pending.name(relation) for relation in relations if isinstance(relation, ast.RangeVar))
    yield from (name for name in names if not pending.is_fresh(name))


def _work(node: Any, pending: Pending) -> tuple[str, Name] | None:
    """What a statement does with every row of a used table, in words, and the table."""
    name, words = None, ""
    if isinstance(node, ast.UpdateStmt):
        name, words = pending.name(node.relation), "{} is updated"
    elif isinstance(node, ast.DeleteStmt):
        name, words = pending.name(node.relation), "rows of {} are deleted"
    elif isinstance(node, ast.IndexStmt) and not node.concurrent:
        name, words = pending.name(node.relation), "{} is indexed"
    elif isinstance(node, ast.RefreshMatViewStmt):
        name, words = pending.name(node.relation), "{} is refreshed"
    elif isinstance(node, ast.AlterTableStmt):
        if any(command.subtype == AlterTableType.AT_ValidateConstraint for command in node.cmds or ()):
            name, words = pending.name(node.relation), "a constraint of {} is validated"
    elif isinstance(node, ast.InsertStmt | ast.CreateTableAsStmt):
        name, words = _read_from(node, pending), "{} is read"
    return None if name is None or pending.is_fresh(name) else (words.format(name), name)


def _read_from(node: Any, pending: Pending) -> Name | None:
    """The first used table whose rows are copied; None for VALUES, and for a view that is made."""
    query = node.selectStmt if isinstance(node, ast.InsertStmt) else node.query
    if created_relation(node) is not None and node.into and node.into.skipData:
        return None
    for relation in (query.fromClause or ()) if isinstance(query, ast.SelectStmt) else ():
        if isinstance(relation, ast.RangeVar):
            return pending.name(relation)
    return None


class _Transaction:
    """What one transaction of a file has locked so far, and by which kind of statement."""

    def __init__(self) -> None:
        self.held: dict[Name, type] = {}
        self.said: set[tuple[Name, str]] = set()

    def take(self, act: Act, pending: Pending) -> "_Held | None":
        """The lock under which the act does its work, if it does work and there is one."""
        work = _work(act.node, pending)
        found = None
        if work is not None:
            locked = work[1] if work[1] in self.held else next(iter(self.held), None)
            is_second_index = (
                isinstance(act.node, ast.IndexStmt)
                and locked is not None
                and (self.held[locked] is ast.IndexStmt and locked == work[1])
            )
            if locked is not None and not is_second_index and (locked, work[0]) not in self.said:
                self.said.add((locked, work[0]))
                alters = locked == work[1] and self.held[locked] is not ast.LockStmt
                is_backfill = isinstance(act.node, ast.UpdateStmt) and alters
                found = _Held(locked, *work, is_backfill)
        for mine in _locked(act.node, pending):
            self.held.setdefault(mine, type(act.node))
        return found


@dataclass(frozen=True, slots=True)
class _Held:
    """A locked table, the work done meanwhile in words, the table it is done on, and whether rows are filled in."""

    locked: Name
    work: str
    on: Name
    is_backfill: bool


def transactions_of(migration: Migration) -> dict[int, int]:
    """For each statement of a transactional segment, by index, the number of the segment."""
    return {
        index: number
        for number, segment in enumerate(migration.segments)
        if segment.transactional
        for index in segment.statements
    }


class _HeldLocks:
    """Follows the acts; the two rules below share what it finds."""

    def __init__(self) -> None:
        self._migration: Migration | None = None
        self._numbers: dict[int, int] = {}
        self._number = -1
        self._open = _Transaction()
        self._last: tuple[Act | None, _Held | None] = (None, None)

    def take(self, act: Act, pending: Pending) -> _Held | None:
        """As `_Transaction.take`, in the transaction that the act belongs to; the same again for the same act."""
        if self._last[0] is not act:
            self._last = (act, self._take(act, pending))
        return self._last[1]

    def _take(self, act: Act, pending: Pending) -> _Held | None:
        if act.migration is not self._migration:
            self._migration, self._numbers, self._number = act.migration, transactions_of(act.migration), -1
        number = self._numbers.get(act.index, -1) if act.index is not None else -1
        if number != self._number or number < 0:
            self._number, self._open = number, _Transaction()
        return self._open.take(act, pending) if number >= 0 else None


_WORKING = (
    *(ast.AlterTableStmt, ast.IndexStmt, ast.CreateTrigStmt, ast.RenameStmt, ast.CreatePolicyStmt),
    *(ast.AlterPolicyStmt, ast.TruncateStmt, ast.UpdateStmt, ast.DeleteStmt, ast.RefreshMatViewStmt),
    *(ast.InsertStmt, ast.CreateTableAsStmt, ast.LockStmt),
)


@rule(
    "lock-held-over-work",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=_WORKING,
    caught="alter table orders add column note text; create index people_name on people (name);",
    left_alone="create index concurrently people_name on people (name);",
    safe_way="Give the long work a migration of its own, behind or before the one that locks.",
)
def lock_held_over_work(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A table is locked early in a transaction, and what follows takes long; everybody waits for the end of it."""
    found = pending.remembered(_HeldLocks).take(act, pending)
    if found is not None and not found.is_backfill:
        yield Found(f"Keeps {found.locked} locked while {found.work}.", relation=str(found.on))


@rule(
    "backfill-with-ddl",
    HazardClass.SIZE,
    Level.CAUTION,
    on=_WORKING,
    caught="alter table orders add column note text; update orders set note = '' where note is null;",
    left_alone="alter table orders add column note text; update people set note = '' where note is null;",
    safe_way="Change the table in one migration and fill it in the next.",
)
def backfill_with_ddl(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The table stays locked for everybody from the ALTER to the end of the UPDATE."""
    found = pending.remembered(_HeldLocks).take(act, pending)
    if found is not None and found.is_backfill:
        yield f"Updates {found.on} in the transaction that alters it, which keeps it locked."


@rule(
    "many-alters",
    HazardClass.LOCKS,
    Level.INFO,
    on=(Migration,),
    caught=" ".join(f"alter table orders add column note_{number} text;" for number in range(_MANY_ALTERS)),
    left_alone="alter table orders add column a text, add column b text, add column c text, add column d text;",
    safe_way="Write them as one ALTER TABLE with several commands, which locks and looks at the rows once.",
)
def many_alters(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Each waits for the lock anew when the file is not one transaction, and looks at the rows anew in any case."""
    counts: Counter[Name] = Counter()
    for index, statement in enumerate(act.migration.statements):
        node = statement.tree.node if statement.tree else None
        if isinstance(node, ast.AlterTableStmt) and node.objtype == ObjectType.OBJECT_TABLE:
            if (act.migration.version, statement.offset) in pending.fresh_statements:
                continue
            name = pending.name(node.relation)
            counts[name] += 1
            if counts[name] == _MANY_ALTERS:
                yield Found(
                    f"Alters {name} in {_MANY_ALTERS} statements or more.",
                    statement.line,
                    relation=str(name),
                    index=index,
                )

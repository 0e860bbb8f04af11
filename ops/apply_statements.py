"""What one statement means to the one who runs it: whether it steers transactions, and what its failure may leave."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import Literal

import pglast
from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType
from pglast.enums import ReindexObjectType
from pglast.enums import TransactionStmtKind

from ops.migrations import Statement


@dataclass(frozen=True)
class Index:
    """An index as a statement names it; `name` None: the server chooses, `schema` None: the search path does."""

    schema: str | None
    table: str | None
    name: str | None
    concurrently: bool = False
    unless_exists: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else str(self.name)


@dataclass(frozen=True)
class Detached:
    """A partition that a statement detaches CONCURRENTLY, and the table that has it; `schema`s None: the search path."""

    schema: str | None
    name: str
    parent_schema: str | None
    parent: str


@dataclass(frozen=True)
class Meaning:
    """`commands` counts SQL commands: 0 is only comments, None is text that our parser does not know.

    `steers`: it begins or ends a transaction (savepoints do not). `leaves_nothing`: when it fails, all of it is
    rolled back. `may_repeat`: sent again after it failed, it does what it would have done at first (what `detaches` is
    finished then by another statement). `waits_quietly`: while it waits for locks, nobody who reads or writes queues up
    behind it. `leaves_copies`: what it rebuilds is beside the old index
    until it is done, under a name that the server makes.
    """

    commands: int | None
    steers: Literal["", "begins", "commits", "otherwise"] = ""
    leaves_nothing: bool = True
    may_repeat: bool = True
    waits_quietly: bool = False
    leaves_copies: bool = False
    builds: Index | None = None
    rebuilds: Index | None = None
    drops: tuple[Index, ...] = ()
    detaches: Detached | None = None


def meaning(statement: Statement) -> Meaning:
    """What a statement of a file means, from the tree that it was read into where there is one."""
    if statement.tree is None:
        return meaning_of(statement.text)
    if len(pglast.split(statement.text, only_slices=True)) != 1:  # whatever the tree says, this is what is sent
        return meaning_of(statement.text)
    return _meaning(statement.tree.node)


@lru_cache(maxsize=1024)
def meaning_of(text: str) -> Meaning:
    """What the statement means; never fails. Of text that cannot be parsed, the worst is believed."""
    try:
        parsed = pglast.parse_sql(text)
    except pglast.parser.ParseError:
        return Meaning(commands=None, leaves_nothing=False, may_repeat=False)
    if len(parsed) != 1:
        return Meaning(commands=len(parsed))
    return _meaning(parsed[0].stmt)


_BEGINS = (TransactionStmtKind.TRANS_STMT_BEGIN, TransactionStmtKind.TRANS_STMT_START)
_SAVEPOINTS = (
    TransactionStmtKind.TRANS_STMT_SAVEPOINT,
    TransactionStmtKind.TRANS_STMT_RELEASE,
    TransactionStmtKind.TRANS_STMT_ROLLBACK_TO,
)
_WHOLE_REINDEX = (
    ReindexObjectType.REINDEX_OBJECT_SCHEMA,
    ReindexObjectType.REINDEX_OBJECT_SYSTEM,
    ReindexObjectType.REINDEX_OBJECT_DATABASE,
)


def _meaning(node: Any) -> Meaning:
    match node:
        case ast.TransactionStmt():
            return Meaning(1, steers=_steers(node))
        case ast.IndexStmt():
            return _index(node)
        case ast.DropStmt(removeType=ObjectType.OBJECT_INDEX, concurrent=True):
            dropped = tuple(_named(parts) for parts in node.objects or ())
            return Meaning(1, leaves_nothing=False, may_repeat=False, waits_quietly=True, drops=dropped)
        case ast.ReindexStmt():
            return _reindex(node)
        case ast.VacuumStmt():
            return Meaning(1, leaves_nothing=False, waits_quietly=not _has_option(node.options, "full"))
        case ast.ClusterStmt(relation=None):
            return Meaning(1, leaves_nothing=False)
        case ast.CallStmt() | ast.DoStmt():
            return Meaning(1, leaves_nothing=False, may_repeat=False)
        case ast.AlterTableStmt() if any(_detaches_concurrently(command) for command in node.cmds or ()):
            # Not quietly: in the end it waits for every reader of the partition, and new ones queue up behind it.
            return Meaning(1, leaves_nothing=False, detaches=_detached(node))
    return Meaning(1)


def _index(node: Any) -> Meaning:
    table, concurrently = node.relation, bool(node.concurrent)
    index = Index(table.schemaname, table.relname, node.idxname, concurrently, bool(node.if_not_exists))
    return Meaning(
        1, leaves_nothing=not concurrently, may_repeat=not concurrently, waits_quietly=concurrently, builds=index
    )


def _steers(node: ast.TransactionStmt) -> Literal["", "begins", "commits", "otherwise"]:
    if node.kind in _SAVEPOINTS:
        return ""
    if node.kind in _BEGINS:
        return "begins"
    if node.kind == TransactionStmtKind.TRANS_STMT_COMMIT and not node.chain:
        return "commits"
    return "otherwise"


def _reindex(node: Any) -> Meaning:
    concurrently = _has_option(node.params, "concurrently")
    whole = node.kind in _WHOLE_REINDEX
    rebuilt = None
    if node.kind == ReindexObjectType.REINDEX_OBJECT_INDEX:
        rebuilt = Index(node.relation.schemaname, None, node.relation.relname, concurrently)
    elif node.kind == ReindexObjectType.REINDEX_OBJECT_TABLE:
        rebuilt = Index(node.relation.schemaname, node.relation.relname, None, concurrently)
    return Meaning(
        1,
        leaves_nothing=not (concurrently or whole),
        may_repeat=not concurrently,
        waits_quietly=concurrently,
        leaves_copies=concurrently,
        rebuilds=rebuilt,
    )


def _has_option(options: Any, name: str) -> bool:
    """Whether an option is switched on: `(full)`, `(full true)`, but not `(full false)`."""
    for option in options or ():
        if option.defname == name:
            value = getattr(option.arg, "sval", None) or getattr(option.arg, "ival", None)
            return option.arg is None or str(value).lower() in ("true", "on", "1")
    return False


def _named(parts: Any) -> Index:
    names = [part.sval for part in parts]
    return Index(names[-2] if len(names) > 1 else None, None, names[-1], concurrently=True)


def _detached(node: Any) -> Detached:
    table, partition = node.relation, node.cmds[0].def_.name
    return Detached(partition.schemaname, partition.relname, table.schemaname, table.relname)


def _detaches_concurrently(command: Any) -> bool:
    return command.subtype == AlterTableType.AT_DetachPartition and bool(command.def_.concurrent)

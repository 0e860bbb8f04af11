"""Rules about files that are large for a migration: they hold locks, the history row and the write-ahead log long."""

from collections.abc import Iterator

from pglast import ast

from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.migrations import Migration

_LARGE = 2**20
_MANY_INSERTS = 1000
_MANY_ROWS = 5000
_SEEDS = "Load rows outside migrations, by COPY or a seed file, and keep migrations for the schema."


@rule(
    "large-file",
    HazardClass.SIZE,
    Level.CAUTION,
    on=(Migration,),
    caught="select '" + "x" * _LARGE + "';",
    left_alone="select 'x';",
    safe_way=_SEEDS,
)
def large_file(act: Act, pending: Pending) -> Iterator[str | Found]:
    """More than 1 MB, all of which is kept in the history row as well."""
    size = len(act.migration.content)
    if size > _LARGE:
        longest = max(act.migration.statements, key=lambda statement: len(statement.text), default=None)
        one = (
            f"; the statement on line {longest.line} alone is so long" if longest and len(longest.text) > _LARGE else ""
        )
        yield f"File {act.migration.version} has {size / _LARGE:.1f} MB, which the history keeps as well{one}."


@rule(
    "many-inserts",
    HazardClass.SIZE,
    Level.CAUTION,
    on=(Migration,),
    caught="insert into people (name) values ('a');\n" * (_MANY_INSERTS + 1),
    left_alone="insert into people (name) values ('a'), ('b'), ('c');",
    safe_way=_SEEDS,
)
def many_inserts(act: Act, pending: Pending) -> Iterator[str | Found]:
    """More than 1,000 INSERT statements, or more than 5,000 rows, in one file."""
    statements = rows = 0
    table = None
    for statement in act.migration.statements:
        node = statement.tree.node if statement.tree else None
        if isinstance(node, ast.InsertStmt):
            table = table or pending.name(node.relation)
            statements += 1
            values = node.selectStmt.valuesLists if isinstance(node.selectStmt, ast.SelectStmt) else None
            rows += len(values or ())
    if statements > _MANY_INSERTS or rows > _MANY_ROWS:
        yield f"Inserts {rows:,} rows by {statements:,} statement{'' if statements == 1 else 's'}, into {table} first."

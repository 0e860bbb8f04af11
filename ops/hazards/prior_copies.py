"""Rules about the schema in which we keep what files take away: nobody's file has anything to do there."""

import re
from collections.abc import Iterator

from pglast import ast
from pglast.stream import RawStream

from ops.catalog import UNDO_SCHEMA
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.migrations import Migration
from ops.migrations import Statement

_NAMED = re.compile(rf"\b{UNDO_SCHEMA}\b", re.IGNORECASE)
_ESCAPED = re.compile(r'\bu&\s*"', re.IGNORECASE)
_OPENS = (
    *(ast.GrantStmt, ast.GrantRoleStmt, ast.AlterDefaultPrivilegesStmt, ast.AlterOwnerStmt, ast.CreateSchemaStmt),
    *(ast.ViewStmt, ast.SelectStmt, ast.CopyStmt, ast.InsertStmt, ast.CreateFunctionStmt, ast.CreatePolicyStmt),
    *(ast.CreateTableAsStmt, ast.CreatePublicationStmt, ast.AlterPublicationStmt),
)
_LEAVE_IT = "Leave it alone: `rollback` puts back what is kept there, and what is old goes by itself."


def _naming(act: Act) -> Iterator[tuple[int, Statement]]:
    """The statements of a file of people's that name the schema, outside comments in front of them."""
    migration = act.migration
    if migration.is_ours or not (_NAMED.search(migration.text) or _ESCAPED.search(migration.text)):
        return
    for index, statement in enumerate(migration.statements):
        text = statement.text
        if statement.is_comment:
            continue
        if statement.tree is not None:
            text = text[statement.tree.start - statement.offset :]
            text = RawStream()(statement.tree.node) if _ESCAPED.search(text) else text
        if _NAMED.search(text):
            yield index, statement


def _opens(statement: Statement) -> bool:
    return statement.tree is not None and isinstance(statement.tree.node, _OPENS)


@rule(
    "opens-prior-copies",
    HazardClass.ACCESS,
    Level.FORBIDDEN,
    on=(Migration,),
    caught="grant usage on schema countersign_undo to anon;",
    left_alone="-- countersign_undo is none of our business\nselect 1;",
    safe_way=_LEAVE_IT,
)
def opens_prior_copies(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Reading or opening what was copied aside before it was changed: rows that the project's own rules no longer guard."""
    for index, statement in _naming(act):
        if _opens(statement):
            yield Found(f"Reads or opens the schema {UNDO_SCHEMA}.", statement.word_line, index=index)


@rule(
    "changes-prior-copies",
    HazardClass.DATA_LOSS,
    Level.FORBIDDEN,
    on=(Migration,),
    caught="delete from countersign_undo.r1_20260101000000_s1_0f0f0f;",
    left_alone="delete from public.undo where id = 1;",
    safe_way=_LEAVE_IT,
)
def changes_prior_copies(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Anything else about it, so that an undo would put back something else than what was there, or nothing."""
    for index, statement in _naming(act):
        if not _opens(statement):
            yield Found(f"Touches the schema {UNDO_SCHEMA}.", statement.word_line, index=index)

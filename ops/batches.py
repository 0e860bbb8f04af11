"""Files that ask to be run in batches: what may be, and the statement of one batch. Reads text and trees only.

A file whose first line is `-- countersign: in batches` (or `… in batches of 5000 rows`) holds one UPDATE or DELETE. It
runs as many small transactions, each over the next rows in the order of the table's primary key. For everybody else
the line is a comment: the Supabase CLI runs the file in one go.
"""

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast import parser
from pglast.enums import BoolExprType

from ops import grammar
from ops.migration import IN_BATCHES
from ops.migration import MOST_ROWS
from ops.migration import Migration
from ops.migration import Refusal
from ops.migration import Statement
from ops.migration import batches_of

_ANY_MARK = re.compile(r"^[ \t]*--[ \t]*countersign[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Batched:
    """The statement of such a file. `schema` None: the search path says which. `called` is the table as the statement's
    conditions name it, quoted. `sets`: the columns that it writes; none for a DELETE."""

    text: str
    schema: str | None
    table: str
    only: bool
    called: str
    sets: frozenset[str]
    where: int | None
    """The character behind its own WHERE, None where it has none."""

    def over(self, condition: str) -> str:
        """The statement for those rows only for which a condition holds as well. The condition is SQL of ours.

        Raises ValueError when what comes out is not the statement and that condition, which would be our mistake.
        """
        if self.where is None:
            made = f"{self.text}\nWHERE ({condition})"
        else:
            # In front, so that the grammar does not take the two apart: what stands behind AND in brackets stays whole.
            made = f"{self.text[: self.where]} ({condition}) AND ({self.text[self.where :]}\n)"
        if not _is_narrowed(self.text, made, condition):
            raise ValueError(made)
        return made


def batched(migration: Migration) -> Batched:
    """The statement that a marked file runs in batches. The file has no refusals, and was read with its trees."""
    text, node = next((one.text, one.tree.node) for one in migration.statements if one.tree is not None)
    relation = node.relation
    columns = (target.name for target in _targets(node))
    return Batched(
        text=text,
        schema=relation.schemaname,
        table=relation.relname,
        only=not relation.inh,
        called=quoted(relation.alias.aliasname if relation.alias else relation.relname),
        sets=frozenset(columns),
        where=_behind_where(text) if node.whereClause is not None else None,
    )


def quoted(name: str) -> str:
    """A name as SQL takes it whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def mark_refusals(text: str, statements: Sequence[Statement]) -> Iterator[Refusal]:
    """Why a file cannot be run as a mark in it says."""
    marks = list(_ANY_MARK.finditer(text[: _first_word(text, statements)]))
    if not marks:
        return
    batches = batches_of(text)
    line = text.count("\n", 0, marks[-1].start()) + 1
    if line > 1:
        words = 'A comment that begins "countersign:" counts in the first line alone.'
        yield _refusal("mark_place", line, words, _MARK_HINT)
    elif batches is None:
        yield _refusal("mark", 1, 'The comment that begins "countersign:" is not understood.', _MARK_HINT)
    elif batches.rows is not None and not 1 <= batches.rows <= MOST_ROWS:
        yield _refusal("mark_rows", 1, f"A batch holds 1 to {MOST_ROWS:,} rows, not {batches.rows:,}.", _MARK_HINT)
    else:
        yield from _statement_refusals(statements)


_MARK_HINT = f'Write "{IN_BATCHES}" or "{IN_BATCHES} of 5000 rows" as the first line, or leave it out.'
_ONE_HINT = "Give the UPDATE or DELETE a file of its own, or take the mark out: then the file is one transaction."


def _refusal(code: str, line: int, message: str, hint: str = _ONE_HINT) -> Refusal:
    return Refusal(f"batches_{code}", line, message, hint)


def _statement_refusals(statements: Sequence[Statement]) -> Iterator[Refusal]:
    said = [one for one in statements if not one.is_comment]
    if len(said) != 1:
        line = said[1].word_line if len(said) > 1 else 1
        yield _refusal("one", line, f"A file that runs in batches holds one statement, not {len(said)}.")
        return
    statement = said[0]
    node: Any = statement.tree.node if statement.tree else None
    if not isinstance(node, ast.UpdateStmt | ast.DeleteStmt):
        yield _refusal("kind", statement.word_line, "Only an UPDATE or a DELETE can run in batches.")
        return
    why = _why_not(node)
    if why:
        yield _refusal("whole", statement.word_line, f"This cannot run in batches: {why}.")


def _why_not(node: Any) -> str:
    """What makes a statement over all rows another one than the same over some rows after each other; else empty."""
    if node.withClause is not None:
        return "a WITH in front of it would be computed anew for every batch"
    if node.returningClause is not None:
        return "nobody reads what RETURNING gives back"
    if isinstance(node.whereClause, ast.CurrentOfExpr):
        return "it means the row of a cursor"
    if any(_is_same_table(each, node.relation) for each in grammar.walk(node) if each is not node.relation):
        return f"it reads {node.relation.relname} itself, whose rows earlier batches have changed by then"
    return ""


def _is_same_table(node: Any, table: Any) -> bool:
    if not isinstance(node, ast.RangeVar) or node.relname != table.relname:
        return False
    return node.schemaname is None or table.schemaname is None or node.schemaname == table.schemaname


def _targets(node: Any) -> Iterator[Any]:
    yield from (node.targetList or ()) if isinstance(node, ast.UpdateStmt) else ()


def _first_word(text: str, statements: Sequence[Statement]) -> int:
    """Where the first statement begins behind the comments."""
    return next((one.tree.start for one in statements if one.tree is not None), len(text))


def _behind_where(text: str) -> int:
    """The character behind the WHERE that belongs to the statement itself: the only one in no brackets."""
    depth = 0
    for token in parser.scan(text):
        if token.name in ("ASCII_40", "ASCII_91"):
            depth += 1
        elif token.name in ("ASCII_41", "ASCII_93"):
            depth -= 1
        elif token.name == "WHERE" and not depth:
            return int(token.end) + 1
    raise ValueError(text)


def _is_narrowed(text: str, made: str, condition: str) -> bool:
    """Whether `made` is the statement `text` but for `condition`, which has to hold as well."""
    before, after = _one(text), _one(made)
    wanted = _anded(_one(f"SELECT WHERE ({condition})").whereClause)
    own = () if before.whereClause is None else (before.whereClause,)
    if _anded(after.whereClause) != (*wanted, *own):
        return False
    after.whereClause = before.whereClause
    return bool(after == before)


def _anded(node: Any) -> tuple[Any, ...]:
    is_and = isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR
    return tuple(node.args) if is_and else (node,)


def _one(text: str) -> Any:
    """The one statement in a text. Two trees are equal wherever they stand in their texts."""
    (only,) = grammar.read(text)
    return only.node

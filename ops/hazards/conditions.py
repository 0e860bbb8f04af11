"""Conditions that only look like ones: which hold for every row, whatever is in it."""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind
from pglast.enums import BoolExprType
from pglast.enums import BoolTestType
from pglast.enums import NullTestType

from ops import grammar
from ops.grammar import names
from ops.hazards.acts import constant
from ops.hazards.model import Level
from ops.hazards.pending import Name

# Nobody nests deeper in earnest, and what is deeper counts as a condition.
_DEEPEST = 50
_TRUE = ("true", "t", "on", "yes", "1")
_FALSE = ("false", "f", "off", "no", "0")
_EQUAL = ("=", ">=", "<=")
_UNEQUAL = ("<>", "!=", "<", ">")
# Names of columns that hardly ever are anything but the primary key; with the table's own name before `_id` as well.
_KEYS = ("id", "uuid", "pk")


def is_always_true(node: object) -> bool:
    """A condition that holds for every row: none at all, true, x = x, true among others joined by OR."""
    return node is None or _truth(node, 0) is True


def is_never_true(node: object) -> bool:
    """A condition that holds for no row, as far as constants say it."""
    return node is not None and _truth(node, 0) is False


def all_rows(node: Any, name: Name) -> Level | None:
    """How sure it is that an UPDATE or DELETE is about every row of its table: a danger where its condition holds for
    all, or for all or none by what other tables hold; a caution where it only asks for what looks like the primary key.
    None: it keeps rows back.
    """
    condition = node.whereClause
    others = node.usingClause if isinstance(node, ast.DeleteStmt) else node.fromClause
    if is_always_true(condition) or (others and not may_name(condition, node.relation, others)):
        return Level.DANGER
    return Level.CAUTION if _asks_for_a_key(condition, name.name) else None


def may_name(condition: Any, relation: Any, others: Iterable[Any]) -> bool:
    """A condition may be about columns of this table: one that stands alone, or behind a name that is no other's."""
    mine = relation.alias.aliasname if relation.alias else relation.relname
    theirs = {name for one in others for name in _called(one)} - {mine}
    for node in grammar.walk(condition):
        if isinstance(node, ast.ColumnRef):
            qualifier = [getattr(field, "sval", "*") for field in node.fields or ()][:-1]
            if not qualifier or qualifier[-1] not in theirs:
                return True
    return False


def _called(item: ast.Node) -> Iterable[str]:
    """The names by which the tables of a FROM item go."""
    for node in grammar.walk(item):
        alias = getattr(node, "alias", None)
        if isinstance(alias, ast.Alias) and alias.aliasname:
            yield alias.aliasname
        elif isinstance(node, ast.RangeVar) and node.relname:
            yield node.relname


def _asks_for_a_key(node: object, table: str) -> bool:
    if isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR:
        left = [each for each in node.args or () if not is_always_true(each)]
        return len(left) == 1 and _asks_for_a_key(left[0], table)
    if not isinstance(node, ast.NullTest) or node.nulltesttype != NullTestType.IS_NOT_NULL:
        return False
    column = names(node.arg.fields)[-1] if isinstance(node.arg, ast.ColumnRef) else ""
    return column in (*_KEYS, f"{table}_id", f"{table.removesuffix('s')}_id")


def _truth(node: object, depth: int) -> bool | None:
    """Whether a condition is true or false for every row; None where that depends. NULL counts as a value."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.BoolExpr):
        return _joined(node, depth)
    if isinstance(node, ast.A_Expr):
        return _compared(node)
    if isinstance(node, ast.BooleanTest):
        return _tested(node, depth)
    if isinstance(node, ast.SubLink) and isinstance(node.subselect, ast.SelectStmt):
        query = node.subselect
        is_plain = not (query.fromClause or query.whereClause or query.op or node.testexpr)
        targets = query.targetList or ()
        return _truth(targets[0].val, depth + 1) if is_plain and len(targets) == 1 else None
    word = (constant(node) or "").lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _joined(node: ast.BoolExpr, depth: int) -> bool | None:
    parts = [_truth(each, depth + 1) for each in node.args or ()]
    if node.boolop == BoolExprType.NOT_EXPR:
        return None if parts[0] is None else not parts[0]
    decisive = node.boolop == BoolExprType.OR_EXPR  # one true part makes OR true, one false part makes AND false
    if decisive in parts:
        return decisive
    if None not in parts:
        return not decisive
    return True if decisive and _says_null_or_not(node.args or ()) else None


def _says_null_or_not(parts: Sequence[object]) -> bool:
    """`x IS NULL OR x IS NOT NULL`."""
    tests = [each for each in parts if isinstance(each, ast.NullTest)]
    absent = [each.arg for each in tests if each.nulltesttype == NullTestType.IS_NULL]
    return any(each.nulltesttype == NullTestType.IS_NOT_NULL and each.arg in absent for each in tests)


def _compared(node: ast.A_Expr) -> bool | None:
    if node.kind not in (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_NOT_DISTINCT):
        return None
    operator = names(node.name)[-1]
    if isinstance(node.lexpr, ast.ColumnRef) and node.lexpr == node.rexpr:
        is_same = operator in _EQUAL or node.kind == A_Expr_Kind.AEXPR_NOT_DISTINCT
        return True if is_same else False if operator in _UNEQUAL else None
    left, right = constant(node.lexpr), constant(node.rexpr)
    if left is None or right is None:
        return None
    if operator == "=":
        return left == right
    return left != right if operator in ("<>", "!=") else None


def _tested(node: ast.BooleanTest, depth: int) -> bool | None:
    """`… IS TRUE` and its kin."""
    truth = _truth(node.arg, depth + 1)
    if truth is None:
        return None
    if node.booltesttype in (BoolTestType.IS_TRUE, BoolTestType.IS_NOT_FALSE):
        return truth
    return not truth if node.booltesttype in (BoolTestType.IS_FALSE, BoolTestType.IS_NOT_TRUE) else None

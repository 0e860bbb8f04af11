"""What a statement is about to take away, as far as its tree and its rehearsal say: tables, columns, rows."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pglast import ast
from pglast import enums
from pglast.stream import RawStream

from ops import grammar
from ops.migration import Migration
from ops.migration import Statement

_WRITES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


class What(StrEnum):
    """What becomes of the rows, and so what has to be kept of them."""

    TABLE = "table"
    """The whole table goes, or all of its rows."""
    COLUMN = "column"
    UPDATED = "updated"
    INSERTED = "inserted"
    """Put in by the statement: of these only the key is kept, and a hash, to take them out again."""
    REPLACED = "replaced"
    """Set back to what a backup holds, whoever changed it since; no statement is told by this."""
    DELETED = "deleted"


@dataclass(frozen=True)
class Touch:
    """Something that a statement takes away from one table.

    `relation` is the name as the statement spells it, quoted where it has to be; with `by_name` it is `schema.name`
    without any quotes, as a rehearsal tells it. `columns` are those that are dropped or set; none: all. `alias` is what
    the table is called in `itself` (the table alone), `source` (with those that it is joined to) and `where`, which say
    which rows; `with_clause` comes before.
    `calls` are the names of functions that say which rows. `unread`: why the rows cannot be told, in words; then nothing
    can be copied.
    """

    what: What
    relation: str
    columns: tuple[str, ...] = ()
    alias: str = ""
    itself: str = ""
    source: str = ""
    where: str = ""
    with_clause: str = ""
    joins: bool = False
    by_name: bool = False
    cascades: bool = False
    calls: tuple[str, ...] = ()
    unread: str = ""


def touches(migration: Migration, rehearsed: Mapping[str, Any] | None = None) -> dict[int, tuple[Touch, ...]]:
    """What the statements of a file take away, by their index; those that take nothing are not in it.

    `rehearsed` is what the rehearsal showed of this file, as JSON: it knows of drops inside blocks and functions, and of
    what goes along.
    """
    shown = {one["index"]: one for one in (rehearsed or {}).get("statements", ())}
    found = {}
    made: set[str] = set()
    for segment in migration.segments:
        if not segment.transactional:
            continue
        for index in segment.statements:
            statement = migration.statements[index]
            of_statement = [*_touches(statement, made), *_as_rehearsed(shown.get(index))]
            if of_statement:
                found[index] = _without_repeats(of_statement)
    return found


def _touches(statement: Statement, made: set[str]) -> Iterator[Touch]:
    """`made` are the tables that the file has made itself so far: what is put into them goes with them."""
    node = statement.tree.node if statement.tree else None
    match node:
        case ast.CreateStmt():
            made.add(_name(node.relation))
        case ast.InsertStmt() if _name(node.relation) not in made:
            yield _inserted(node)
        case ast.MergeStmt():
            yield Touch(What.UPDATED, _name(node.relation), unread="what MERGE reaches cannot be told before")
        case ast.DropStmt(removeType=enums.ObjectType.OBJECT_TABLE):
            for name in node.objects or ():
                yield Touch(What.TABLE, _quoted(part.sval for part in name))
        case ast.TruncateStmt():
            cascades = node.behavior == enums.DropBehavior.DROP_CASCADE
            for relation in node.relations or ():
                yield Touch(What.TABLE, _name(relation), cascades=cascades)
        case ast.AlterTableStmt(objtype=enums.ObjectType.OBJECT_TABLE):
            dropped = [one.name for one in node.cmds or () if one.subtype == enums.AlterTableType.AT_DropColumn]
            if dropped:
                yield Touch(What.COLUMN, _name(node.relation), columns=tuple(dropped))
        case ast.UpdateStmt():
            yield _rows(node, What.UPDATED, node.fromClause, tuple(one.name for one in node.targetList or ()))
        case ast.DeleteStmt():
            yield _rows(node, What.DELETED, node.usingClause, ())


def _inserted(node: Any) -> Touch:
    conflict = node.onConflictClause
    unread = ""
    if conflict is not None and conflict.action == enums.OnConflictAction.ONCONFLICT_UPDATE:
        unread = "which rows ON CONFLICT DO UPDATE changes cannot be told before"
    elif any(isinstance(part, _WRITES) for part in _below(node)):
        unread = "a WITH of it writes too"
    return Touch(What.INSERTED, _name(node.relation), unread=unread)


def _rows(node: Any, what: What, others: Sequence[Any] | None, columns: tuple[str, ...]) -> Touch:
    """The rows that an UPDATE or DELETE is about to reach."""
    relation = _name(node.relation)
    alias = _quoted([node.relation.alias.aliasname if node.relation.alias else node.relation.relname])
    if isinstance(node.whereClause, ast.CurrentOfExpr):
        return Touch(what, relation, columns, unread="it goes by a cursor")
    if any(isinstance(part, _WRITES) for part in _below(node)):
        return Touch(what, relation, columns, unread="a WITH of it writes too")
    return Touch(
        what,
        relation,
        columns,
        alias=alias,
        itself=RawStream()(node.relation),
        source=", ".join([RawStream()(node.relation), *(RawStream()(one) for one in others or ())]),
        where=RawStream()(node.whereClause) if node.whereClause is not None else "",
        with_clause=f"WITH {RawStream()(node.withClause)} " if node.withClause is not None else "",
        joins=bool(others),
        calls=tuple(sorted(_called((node.whereClause, node.withClause, *(others or ()))))),
    )


def _called(parts: Iterable[Any]) -> set[str]:
    found = (one for part in parts if part is not None for one in grammar.walk(part))
    return {grammar.names(one.funcname)[-1] for one in found if isinstance(one, ast.FuncCall)}


def _below(node: Any) -> Iterator[ast.Node]:
    return (part for part in grammar.walk(node) if part is not node)


def _as_rehearsed(shown: Mapping[str, Any] | None) -> Iterator[Touch]:
    """Drops that the rehearsal saw, however the statement came to them."""
    for drop in (shown or {}).get("drops", ()):
        if drop["kind"] == "table":
            yield Touch(What.TABLE, drop["name"], by_name=True)
        elif drop["kind"] == "table column":
            table, _, column = str(drop["name"]).rpartition(".")
            yield Touch(What.COLUMN, table, columns=(column,), by_name=True)


def _without_repeats(found: Iterable[Touch]) -> tuple[Touch, ...]:
    """Those that the tree tells stand for what the rehearsal tells again; which that is shows when names are looked up."""
    return tuple(dict.fromkeys(found))


def _name(relation: Any) -> str:
    return _quoted([part for part in (relation.schemaname, relation.relname) if part])


def _quoted(parts: Iterable[str]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)

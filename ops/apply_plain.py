"""Which migrations leave a session as they found it, and touch nothing but relations that they name.

After such a file its session is like new but for what sequences gave out, so the next file may have it, and the
schema's hash is told again from what the file touched. Everything not known here is not plain, which costs only time.
"""

from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast import enums

from ops import grammar
from ops.migrations import Migration

_PERMANENT = "p"
_COMMANDS = (
    enums.AlterTableType.AT_AddColumn,
    enums.AlterTableType.AT_EnableRowSecurity,
    enums.AlterTableType.AT_ForceRowSecurity,
)
# A type or function of the project may run code of its own, which may leave anything behind; these are the server's.
_TYPES = frozenset(
    (
        *("bigint", "bigserial", "bool", "boolean", "bpchar", "bytea", "char", "date", "float4", "float8", "inet"),
        *("int2", "int4", "int8", "interval", "json", "jsonb", "numeric", "serial", "serial4", "serial8", "smallint"),
        *("text", "time", "timestamp", "timestamptz", "timetz", "uuid", "varchar"),
    )
)
_FUNCTIONS = frozenset(("clock_timestamp", "gen_random_uuid", "now"))
_SERVERS_OWN = "pg_catalog"


@dataclass(frozen=True)
class Relation:
    """A relation as a statement names it; `schema` None: the search path says which."""

    schema: str | None
    name: str


def touched_relations(migration: Migration) -> tuple[Relation, ...] | None:
    """The relations that a plain file changes without having made them; None for a file that is not plain."""
    made: set[Relation] = set()
    touched: dict[Relation, None] = {}
    for statement in migration.statements:
        if statement.is_comment:
            continue
        node: Any = statement.tree.node if statement.tree else None
        if node is None or not all(_is_the_servers(part) for part in grammar.walk(node)):
            return None
        if not _is_an_ordinary_name(getattr(node, "relation", None)):
            return None
        match node:
            case ast.CreateStmt() if _is_plain_table(node):
                made.add(_relation(node.relation))
            case ast.InsertStmt() if _relation(node.relation) in made:
                pass  # no trigger can be on it
            case ast.IndexStmt(concurrent=False) | ast.AlterTableStmt() if _alters_plainly(node):
                if _relation(node.relation) not in made:
                    touched[_relation(node.relation)] = None
            case _:
                return None
    return tuple(touched)


def _is_an_ordinary_name(relation: Any) -> bool:
    """Not in pg_temp, where a table is temporary whatever the statement says, nor anywhere else of the server's own."""
    return relation is not None and not relation.catalogname and not (relation.schemaname or "").startswith("pg_")


def _is_plain_table(node: Any) -> bool:
    inherits = node.inhRelations or node.partbound or node.partspec or node.ofTypename
    likes = any(isinstance(element, ast.TableLikeClause) for element in node.tableElts or ())
    return node.relation.relpersistence == _PERMANENT and not inherits and not likes and not node.if_not_exists


def _alters_plainly(node: Any) -> bool:
    if isinstance(node, ast.IndexStmt):
        return True
    is_table = node.objtype == enums.ObjectType.OBJECT_TABLE
    return is_table and all(command.subtype in _COMMANDS for command in node.cmds or ())


def _is_the_servers(part: ast.Node) -> bool:
    """A type, function or operator that the server itself brings; everything that is none of these."""
    match part:
        case ast.TypeName():
            return _own_name(part.names) in _TYPES
        case ast.FuncCall():
            return _own_name(part.funcname) in _FUNCTIONS and not part.args
        case ast.A_Expr():
            return _own_name(part.name) in {"=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/"}
        case ast.SelectStmt():
            return bool(part.valuesLists)
        case ast.SubLink() | ast.CollateClause() | ast.WithClause():
            return False
    return True


def _own_name(parts: object) -> str:
    """A name of the server's own schema, which every search path begins with; empty for names of other schemas."""
    *schema, name = grammar.names(parts)
    return name if schema in ([], [_SERVERS_OWN]) else ""


def _relation(node: Any) -> Relation:
    return Relation(node.schemaname, node.relname)

"""What files have made themselves so far, statement by statement: all else was there before them, or may have been."""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops import grammar
from ops.rehearsal.dump_cache import is_managed
from ops.undo.contents import Columns
from ops.undo.contents import Table
from ops.undo.met import ALL
from ops.undo.met import DELETES
from ops.undo.met import TRUNCATES
from ops.undo.met import UPDATES
from ops.undo.met import Met

_NEAR = ("", "public", "pg_temp")
"""Where a name without a schema is looked for, as far as files say."""
_PLAIN_NAME = re.compile(r"(?:([a-z_][a-z0-9_]*)\.)?([a-z_][a-z0-9_]*)")
_SERVERS = ("pg_catalog", "information_schema")


class Made:
    """`before` and `after` are the tables without and with the files, `met` what else is there."""

    def __init__(self, before: Columns, after: Columns, met: Met) -> None:
        self.before = before
        self._new = after.keys() - before.keys()
        self._relations: set[Table] = set()
        self._types: set[Table] = set()
        self._schemas: set[str] = set()
        self._functions = set(met.functions)
        self._converted: set[tuple[Table, str]] = set()
        self._stirred: dict[str, int] = {}
        for (_, name), events in met.stirred.items():
            self._stir(name, events)

    def table(self, relation: Any) -> Table | None:
        """The table, or view, that is meant, unless the files made it themselves."""
        return self._one(_table_of(relation), temporary=relation.relpersistence == "t")

    def named(self, parts: Iterable[str]) -> Table | None:
        """The same of a name in parts."""
        *schema, name = parts
        return self._one((schema[-1] if schema else "", name))

    def _one(self, table: Table, *, temporary: bool = False) -> Table | None:
        schema, name = table
        if schema:
            mine = table in self._relations or (("", name) in self._relations and table in self._new)
            return None if table not in self.before and (mine or schema == "pg_temp") else table
        same = sorted((one for one in self.before if one[1] == name), key=lambda one: one[0] != "public")
        if same:
            return same[0]
        return None if temporary or any((near, name) in self._relations for near in _NEAR) else table

    def is_table(self, relation: Any) -> bool:
        """Whether reading it can run nothing: a table of the project, one that the files made, or the platform's own."""
        schema = relation.schemaname or ""
        table = self.table(relation)
        is_servers = schema in _SERVERS or (not schema and relation.relname.startswith("pg_"))
        return table is None or table in self.before or is_servers or bool(schema and is_managed(schema))

    def is_own_type(self, parts: Iterable[str]) -> bool:
        return self._has(self._types, tuple(parts))

    def is_own_schema(self, name: str) -> bool:
        return name in self._schemas

    def is_own_sequence(self, name: str) -> bool:
        """Whether this, as in nextval('name'), is a sequence that the files made."""
        plain = _PLAIN_NAME.fullmatch(name)
        return plain is not None and self._has(self._relations, [part for part in plain.groups() if part])

    def has_function(self, name: str) -> bool:
        """Whether a function that is not the server's own has this name, in whichever schema."""
        return name in self._functions

    def converts_again(self, table: Table, column: str) -> bool:
        """Whether an earlier statement gave the column another type too: then both ends do not tell what it went through."""
        return (table, column) in self._converted

    def stirs(self, relation: Any, events: int) -> bool:
        """Whether writing a table may run something that the statement does not say: a trigger, a rule, a default."""
        return bool(self._stirred.get(relation.relname, 0) & events)

    def note(self, node: Any, runs: bool) -> None:
        """Take in what a statement made; `runs` says that something in it calls what is not known to be harmless."""
        match node:
            case ast.CreateStmt():
                self._table(node.relation, is_sure=not node.if_not_exists)
                if runs or self._takes_over(node):
                    self._stir(_table_of(node.relation)[1], ALL)
            case ast.CreateTableAsStmt(into=ast.IntoClause(rel=relation)):
                self._table(relation, is_sure=not node.if_not_exists)
            case ast.SelectStmt(intoClause=ast.IntoClause(rel=relation)):
                self._table(relation, is_sure=True)
            case ast.RenameStmt() if node.renameType in _RELATIONS and self.table(node.relation) is None:
                self._renamed(node)
            case ast.AlterTableStmt():
                self._altered(node, runs)
        self._note_others(node)

    def _note_others(self, node: Any) -> None:
        if isinstance(node, ast.CreateFunctionStmt):
            self._functions.add(grammar.names(node.funcname)[-1])
        elif isinstance(node, ast.CreateSchemaStmt) and not node.if_not_exists:
            self._schemas.add(node.schemaname or "")
        elif isinstance(node, ast.CreateEnumStmt | ast.CreateRangeStmt):
            self._types.add(_last_two(grammar.names(node.typeName)))
        elif isinstance(node, ast.CompositeTypeStmt):
            self._types.add(_table_of(node.typevar))
        elif isinstance(node, ast.CreateSeqStmt) and not node.if_not_exists:
            self._relations.add(_table_of(node.sequence))
        elif isinstance(node, ast.CreateTrigStmt | ast.RuleStmt):
            events = int(node.events or 0) if isinstance(node, ast.CreateTrigStmt) else ALL
            self._stir(_table_of(node.relation)[1], events)

    def _renamed(self, node: Any) -> None:
        self._relations.add((node.relation.schemaname or "", node.newname))
        self._stir(node.newname, self._stirred.get(node.relation.relname, 0))

    def _altered(self, node: Any, runs: bool) -> None:
        table = self.table(node.relation)
        for one in node.cmds or ():
            if one.subtype == AlterTableType.AT_ColumnDefault and one.def_ is not None and runs:
                self._stir(node.relation.relname, ALL)
            elif one.subtype == AlterTableType.AT_AlterColumnType and table is not None:
                self._converted.add((table, one.name))
        if table is not None:  # its rows may go, or change, with those of a new table that it refers to now
            for one in _of_kind(grammar.walk(node), ast.Constraint):
                if one.pktable is not None:
                    self._stir(one.pktable.relname, DELETES | UPDATES | TRUNCATES)

    def _table(self, relation: Any, *, is_sure: bool) -> None:
        table = _table_of(relation)
        same = {one for one in self._new if one[1] == table[1]} if not table[0] else {table} & self._new
        stood = any(one[1] == table[1] for one in self.before) if not table[0] else table in self.before
        if is_sure or relation.relpersistence == "t" or (same and not stood):
            self._relations.add(table)

    def _takes_over(self, node: Any) -> bool:
        """Whether a new table has defaults, checks or triggers of another that was there."""
        likes = [one for one in node.tableElts or () if isinstance(one, ast.TableLikeClause)]
        parents = [*(node.inhRelations or ()), *(one.relation for one in likes if one.options)]
        return any(self.table(one) is not None or self.stirs(one, ALL) for one in parents)

    def _stir(self, name: str, events: int) -> None:
        self._stirred[name] = self._stirred.get(name, 0) | events

    def _has(self, known: set[Table], parts: Iterable[str]) -> bool:
        schema, name = _last_two(list(parts))
        return (schema, name) in known if schema else any((near, name) in known for near in _NEAR)


_RELATIONS = (ObjectType.OBJECT_TABLE, ObjectType.OBJECT_SEQUENCE, ObjectType.OBJECT_MATVIEW)


def _table_of(relation: Any) -> Table:
    return (relation.schemaname or "", relation.relname)


def _last_two(parts: list[str]) -> Table:
    return (parts[-2] if len(parts) > 1 else "", parts[-1])


def _of_kind(nodes: Iterable[Any], kind: type[Any]) -> Iterator[Any]:
    return (one for one in nodes if isinstance(one, kind))

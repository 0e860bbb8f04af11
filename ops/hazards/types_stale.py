"""Committed TypeScript types that do not know what the migrations beside them make: the application is built on old ones.

What is looked for are names: a table, view, column or enum that a file makes has to be in the types, and one that it drops
must not. Whether every type is right, only the database knows: `types dev --check` asks it.
"""

import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from pglast import ast
from pglast.enums.parsenodes import AlterTableType
from pglast.enums.parsenodes import ObjectType

from ops.hazards.acts import acts_of
from ops.hazards.acts import created_relation
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule
from ops.migrations import Migration
from ops.migrations import read_migration

TYPES_STALE = Rule(
    "types-stale",
    HazardClass.COMPATIBILITY,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Make them anew where the migration is applied, `types dev --write`, and commit both together.",
)

Name = tuple[str, str]
"""Schema and name of a relation or an enum."""


def stale_types(
    migrations: Sequence[Migration], types: str | None, path: str, schemas: Collection[str] = ("public",)
) -> tuple[Hazard, ...]:
    """What of these files the types of the same commit do not know, one hazard for each file. `types` None: there is no such
    file. Only what is in `schemas`, which clients see; only what a file does for certain."""
    last: dict[tuple[Name, str], tuple[bool, Act]] = {}
    for migration in migrations:
        again = read_migration(migration.filename, migration.version, migration.name, migration.content)
        for act in acts_of(again):
            for name, column, is_there in _named(act) if act.is_certain else ():
                if name[0] in schemas:
                    if not column and not is_there:  # with a table its columns are gone
                        last = {key: said for key, said in last.items() if key[0] != name}
                    last[name, column] = (is_there, act)
    found: dict[str, list[tuple[str, Act]]] = {}
    for (name, column), (is_there, act) in last.items():
        if _is_known(types or "", name, column) != is_there:
            words = f"{name[0]}.{name[1]}{f'.{column}' if column else ''}"
            found.setdefault(act.migration.version, []).append(
                (words if is_there else f"{words}, which is dropped", act)
            )
    return tuple(_hazard(said, path, has_file=types is not None) for _, said in sorted(found.items()))


def _hazard(said: Sequence[tuple[str, Act]], path: str, *, has_file: bool) -> Hazard:
    first = min((act for _, act in said), key=lambda act: act.line)
    names = [words for words, _ in said]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    fault = f"{path} is not as this file leaves the schema" if has_file else f"{path} is not in the commit"
    message = f"{fault}: {'; '.join(names[:3])}{more}."
    one, found = TYPES_STALE, Found(message)
    return Hazard(
        *(one.id, one.hazard_class, one.level, first.migration.version, first.line),
        *(found.message, one.safe_way, first.index),
    )


def _named(act: Act) -> Iterator[tuple[Name, str, bool]]:
    """What an act makes or takes away: the relation or enum, its column or nothing, and whether it is there afterwards."""
    node: Any = act.node
    created = created_relation(node)
    if created is not None and created.relpersistence != "t":
        yield _name(created), "", True
    if isinstance(act.node, ast.CreateStmt):
        columns = [one for one in node.tableElts or () if isinstance(one, ast.ColumnDef)]
        yield from ((_name(node.relation), str(one.colname), True) for one in columns)
    elif isinstance(act.node, ast.CreateEnumStmt):
        yield _parts(node.typeName), "", True
    elif isinstance(act.node, ast.AlterTableStmt) and node.objtype == ObjectType.OBJECT_TABLE:
        for command in node.cmds or ():
            if command.subtype == AlterTableType.AT_AddColumn:
                yield _name(node.relation), command.def_.colname, True
            elif command.subtype == AlterTableType.AT_DropColumn:
                yield _name(node.relation), command.name, False
    elif isinstance(act.node, ast.DropStmt) and node.removeType in {ObjectType.OBJECT_TABLE, ObjectType.OBJECT_VIEW}:
        yield from ((_parts(one), "", False) for one in node.objects or ())
    elif isinstance(act.node, ast.RenameStmt):
        yield from _renamed(node)


def _renamed(node: Any) -> Iterator[tuple[Name, str, bool]]:
    if node.renameType == ObjectType.OBJECT_TABLE:
        yield _name(node.relation), "", False
        yield (_name(node.relation)[0], node.newname), "", True
    elif node.renameType == ObjectType.OBJECT_COLUMN and node.relation is not None:
        yield _name(node.relation), node.subname, False
        yield _name(node.relation), node.newname, True


def _name(relation: Any) -> Name:
    return relation.schemaname or "public", relation.relname


def _parts(names: Sequence[Any]) -> Name:
    said = [str(one.sval) for one in names]
    return (said[-2] if len(said) > 1 else "public"), said[-1]


def _is_known(types: str, name: Name, column: str) -> bool:
    """Whether the types have the schema's relation or enum, and its column."""
    schema = _block(types, name[0])
    if not column:
        return _block(schema, name[1]) != "" or re.search(_key(name[1]) + r"\s*(?:\|\s*)?['\"]", schema) is not None
    return re.search(_key(column), _block(_block(schema, name[1]), "Row")) is not None


def _key(name: str) -> str:
    return rf"(?<![\w$])['\"]?{re.escape(name)}['\"]?\??\s*:"


def _block(text: str, name: str) -> str:
    """What stands between the braces of the first `name: { … }`; nothing where there is none."""
    found = re.search(_key(name) + r"\s*\{", text)
    if found is None:
        return ""
    depth = 1
    for place in range(found.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[found.end() : place] or " "
    return text[found.end() :]

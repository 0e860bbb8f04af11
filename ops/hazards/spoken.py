"""What a statement says that it does, as against what it was seen to do: the objects that it drops or locks by name."""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops import grammar
from ops.grammar import names
from ops.hazards.model import Act
from ops.hazards.pending import Pending
from ops.hazards.rehearsed_words import HOLDS_DATA
from ops.hazards.rewrite import KNOWN_FUNCTIONS
from ops.masking import printable
from ops.migrations import Migration
from ops.rehearsal.report import Dropped

Place = tuple[str, int]
"""A statement: the version of its file and its index there."""

# These run functions, triggers of tables, or SQL that nobody has read; what they lock is not theirs alone.
_RUNS_OTHERS = (
    *(ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.CopyStmt, ast.CallStmt),
    *(ast.DoStmt, ast.ExecuteStmt, ast.ExplainStmt, ast.CreateTableAsStmt, ast.RefreshMatViewStmt, ast.FetchStmt),
)
# Locks of these are as strong as what they run wants them; the others name what they lock.
_LOCKS_LITTLE = (*_RUNS_OTHERS[:-2], ast.FetchStmt)
# These drop other things than tables by their own grammar, each in its own way.
_DROPS_OTHERS = (
    *(ast.AlterPublicationStmt, ast.AlterDefaultPrivilegesStmt, ast.AlterDomainStmt, ast.AlterExtensionStmt),
    *(ast.AlterExtensionContentsStmt, ast.AlterOpFamilyStmt, ast.DropOwnedStmt, ast.DropUserMappingStmt),
    *(ast.DropSubscriptionStmt, ast.AlterTypeStmt),
)
_CALLED = ("function", "procedure", "aggregate")
_KINDS = {
    ObjectType.OBJECT_TABLE: ("table",),
    ObjectType.OBJECT_FOREIGN_TABLE: ("foreign table",),
    ObjectType.OBJECT_MATVIEW: ("materialized view",),
    ObjectType.OBJECT_SEQUENCE: ("sequence",),
    ObjectType.OBJECT_SCHEMA: ("schema",),
    ObjectType.OBJECT_VIEW: ("view",),
    ObjectType.OBJECT_INDEX: ("index",),
    ObjectType.OBJECT_TYPE: ("type",),
    ObjectType.OBJECT_DOMAIN: ("type",),
    ObjectType.OBJECT_FUNCTION: _CALLED,
    ObjectType.OBJECT_PROCEDURE: _CALLED,
    ObjectType.OBJECT_ROUTINE: _CALLED,
    ObjectType.OBJECT_AGGREGATE: _CALLED,
    ObjectType.OBJECT_POLICY: ("policy",),
    ObjectType.OBJECT_TRIGGER: ("trigger",),
    ObjectType.OBJECT_RULE: ("rule",),
}
_OF_TABLE = (ObjectType.OBJECT_POLICY, ObjectType.OBJECT_TRIGGER, ObjectType.OBJECT_RULE)
_BY_NAME = {*(kind for kinds in _KINDS.values() for kind in kinds), "table column", "table constraint"}


@dataclass
class Spoken:
    """What one statement says. `drops`: kind and name, as a report has them; `relations`: those that it names and may
    lock. `remade`: materialized views that it drops and the plan makes again. `drops_others`: it drops things whose names
    are not read here. `runs_others`: it runs what it does not say.
    """

    drops: set[tuple[str, str]] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)
    remade: set[str] = field(default_factory=set)
    drops_others: bool = False
    runs_others: bool = False

    def names(self, drop: Dropped) -> bool:
        """The statement itself says that it drops this object, which did not merely go along."""
        if drop.cascaded:
            return False
        if drop.kind in _BY_NAME or drop.kind in HOLDS_DATA:
            name = _plain(drop.name)
            return (drop.kind, name.partition("(")[0] if drop.kind in _CALLED else name) in self.drops
        return self.drops_others


NOTHING = Spoken(runs_others=True)
"""Of a statement that no file holds."""


def spoken(pending: Sequence[Migration], places: Collection[Place]) -> Mapping[Place, Spoken]:
    """What the statements at these places say."""
    found = {place: Spoken() for place in places}
    if not found:
        return found
    story = Pending(pending)
    for act in story.follow():
        said = found.get((act.migration.version, act.index)) if act.index is not None else None
        if said is not None:
            _take(said, act, story)
    return found


def _take(said: Spoken, act: Act, story: Pending) -> None:
    node = act.node
    if node is None or isinstance(node, _RUNS_OTHERS) or _computes(node):
        said.runs_others = True
    if isinstance(node, ast.DropStmt):
        _take_drop(said, node, story)
    elif isinstance(node, ast.AlterTableStmt):
        said.drops.update(_dropped_parts(node, story))
        said.drops_others |= node.objtype != ObjectType.OBJECT_TABLE
    said.drops_others |= isinstance(node, _DROPS_OTHERS)
    if isinstance(node, ast.Node) and not isinstance(node, _LOCKS_LITTLE):
        relations = (each for each in grammar.walk(node) if isinstance(each, ast.RangeVar))
        said.relations.update(str(story.name(each)) for each in relations)


def _computes(node: Any) -> bool:
    """A change of a table that computes values by functions which may do more than compute."""
    return isinstance(node, ast.AlterTableStmt | ast.IndexStmt) and any(
        isinstance(each, ast.FuncCall) and names(each.funcname)[-1] not in KNOWN_FUNCTIONS
        for each in grammar.walk(node)
    )


def _take_drop(said: Spoken, node: ast.DropStmt, story: Pending) -> None:
    kinds = _KINDS.get(node.removeType, ()) if node.removeType is not None else ()
    said.drops_others |= not kinds
    for parts in node.objects or () if kinds else ():
        listed = names(parts)
        if node.removeType in _OF_TABLE:
            table = str(story.name_of_parts(listed[:-1]))
            said.relations.add(table)
            name = f"{printable(listed[-1])} on {table}"
        elif node.removeType == ObjectType.OBJECT_SCHEMA:
            name = printable(listed[-1])
        else:
            whole = story.name_of_parts(listed)
            name = str(whole)
            said.relations.add(name)
            if node.removeType == ObjectType.OBJECT_MATVIEW and story.is_made_again("view", whole):
                said.remade.add(name)
        said.drops.update((kind, _plain(name)) for kind in kinds)


def _dropped_parts(node: ast.AlterTableStmt, story: Pending) -> Iterator[tuple[str, str]]:
    table = str(story.name(node.relation))
    for command in node.cmds or ():
        name = printable(command.name or "")
        if command.subtype == AlterTableType.AT_DropColumn:
            yield "table column", _plain(f"{table}.{name}")
        elif command.subtype == AlterTableType.AT_DropConstraint:
            yield "table constraint", _plain(f"{name} on {table}")


def _plain(name: str) -> str:
    """Without the quotes that the server puts where a name needs them."""
    return name.replace('"', "")

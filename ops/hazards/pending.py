"""The pending files as one story: what they have made so far, and what they make and mend later."""

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from typing import TypeVar

from pglast import ast
from pglast import enums
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops import grammar
from ops.grammar import names
from ops.hazards.acts import acts_of
from ops.hazards.acts import constant
from ops.hazards.acts import created_relation
from ops.hazards.model import Act
from ops.masking import Secret
from ops.masking import find_sql_secrets
from ops.masking import printable
from ops.migrations import Migration

_Memory = TypeVar("_Memory")

_TEMPORARY = "pg_temp"
_ELSEWHERE = "?"  # a schema that the file chose in a way that cannot be read
_OF_TABLE = (ObjectType.OBJECT_POLICY, ObjectType.OBJECT_TRIGGER, ObjectType.OBJECT_RULE)
_KINDS = ("view", "function", "type", "sequence", "index", "trigger", "policy", "constraint")
_MAKES_OTHERS = (
    *(ast.ViewStmt, ast.CreateTableAsStmt, ast.CreateFunctionStmt, ast.CreateEnumStmt, ast.CompositeTypeStmt),
    *(ast.CreateRangeStmt, ast.CreateDomainStmt, ast.CreateSeqStmt, ast.CreateTrigStmt, ast.CreatePolicyStmt),
    *(ast.IndexStmt, ast.DefineStmt),
)


@dataclass(frozen=True, slots=True)
class Name:
    """A relation's name with its schema, as far as that can be known."""

    schema: str
    name: str

    def __str__(self) -> str:
        known = self.schema not in (_ELSEWHERE, _TEMPORARY)
        return printable(f"{self.schema}.{self.name}" if known else self.name)


class Pending:
    """Follows the pending files act by act. What they created earlier is fresh: nobody uses it yet. What a file's first
    statements created that are on the target already (`Migration.done`) is not.

    Of the whole story, whatever the order: `protected` are tables whose row-level security some file switches on,
    `policies` those that some file makes (table, name), `fixed_paths` functions that get a search_path by ALTER,
    `invoker_views` views that become security_invoker by ALTER, `revoked` objects on which rights are taken from anon
    or PUBLIC. `fresh_statements`: version and offset of statements about fresh relations.
    """

    def __init__(self, migrations: Iterable[Migration], project_ref: str = "") -> None:
        self.migrations = tuple(migrations)
        self.project_ref = project_ref
        self.acts = [act for migration in self.migrations for act in acts_of(migration)]
        self.fresh_statements: set[tuple[str, int]] = set()
        self.protected: set[Name] = set()
        self.policies: set[tuple[Name, str]] = set()
        self.fixed_paths: set[Name] = set()
        self.invoker_views: set[Name] = set()
        self.revoked: set[Name] = set()
        self._made_last: dict[tuple[str, Name], int] = {}
        self._secrets: tuple[str, tuple[Secret, ...]] = ("", ())
        self._memories: dict[type, Any] = {}
        self._begin()
        for act in self.follow():
            self._note(act)
        self._begin()

    def follow(self) -> Iterator[Act]:
        """The acts in order; between them, `is_fresh` and `name` answer for that point of the story."""
        migration: Migration | None = None
        for position, act in enumerate(self.acts):
            self._position = position
            if act.migration is not migration:
                migration = act.migration
                self._start_file()
            self._note_fresh_statement(act)
            yield act
            self._take(act)

    def remembered(self, kind: type[_Memory]) -> _Memory:
        """What rules remember along the story; made when it is first asked for."""
        if kind not in self._memories:
            self._memories[kind] = kind()
        memory: _Memory = self._memories[kind]
        return memory

    def secrets(self, migration: Migration) -> tuple[Secret, ...]:
        """The secrets in a file's text; those of the last file that was asked for are kept."""
        if self._secrets[0] != migration.filename:
            self._secrets = (migration.filename, find_sql_secrets(migration.text))
        return self._secrets[1]

    def name(self, relation: ast.RangeVar | None) -> Name:
        """Which relation is meant, by the search path that the file has set so far."""
        if relation is None:
            return Name(_ELSEWHERE, "")
        return self.name_of_parts([relation.schemaname, relation.relname])

    def name_of_parts(self, parts: Iterable[str | None]) -> Name:
        """As `name`, for a name given as a list: schema (if any) and name."""
        *schema, name = [part for part in parts if part] or [""]
        if schema:
            return Name(schema[-1], name)
        return Name(_TEMPORARY if name in self._temporary else self._schema, name)

    def is_fresh(self, name: Name) -> bool:
        """The pending files created it for certain, so it holds no rows of before and nobody uses it."""
        return name in self._fresh or name.schema == _TEMPORARY

    def is_perhaps_fresh(self, name: str) -> bool:
        """CREATE … IF NOT EXISTS or OR REPLACE of the pending files made it, or found it there."""
        return name in self._perhaps

    def was_made(self, kind: str, name: Name) -> bool:
        """As `is_fresh`, for functions, types and other objects beside relations. `kind` as in `kinds_made`."""
        return (kind, name) in self._made

    def is_made_again(self, kind: str, name: Name) -> bool:
        """The pending files make an object of this kind and name at this point of the story or later."""
        return self._made_last.get((kind, name), -1) > self._position

    def is_never_null(self, name: Name, column: str) -> bool:
        """A constraint of the pending files has proven it, so that SET NOT NULL looks at no row."""
        return (name, column) in self._proven

    # --- the whole story

    def _note(self, act: Act) -> None:
        """What later or earlier acts are judged by."""
        node = act.node
        if isinstance(node, ast.AlterTableStmt):
            self._note_alter(node)
        elif isinstance(node, ast.CreatePolicyStmt):
            self.policies.add((self.name(node.table), node.policy_name or ""))
        elif isinstance(node, ast.AlterFunctionStmt) and fixes_search_path(node.actions):
            self.fixed_paths.add(self.name_of_parts(names(node.func)))
        elif isinstance(node, ast.GrantStmt) and not node.is_grant:
            self.revoked |= set(self.granted(node))
        if isinstance(node, _MAKES_OTHERS):
            for made in self.kinds_made(node):
                self._made_last[made] = self._position

    def _note_alter(self, node: ast.AlterTableStmt) -> None:
        name = self.name(node.relation)
        for command in node.cmds or ():
            if command.subtype == AlterTableType.AT_EnableRowSecurity:
                self.protected.add(name)
            elif command.subtype == AlterTableType.AT_AddConstraint:
                self._made_last["constraint", part_of(name, command.def_.conname)] = self._position
            elif _makes_invoker(command):
                self.invoker_views.add(name)

    def granted(self, node: ast.GrantStmt) -> Iterator[Name]:
        """The objects by name that a GRANT or REVOKE is about; a schema is `Name(schema, "")`."""
        is_whole_schema = node.targtype == enums.GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA
        for each in node.objects or ():
            if isinstance(each, ast.RangeVar):
                yield self.name(each)
            elif node.objtype == ObjectType.OBJECT_SCHEMA or is_whole_schema:
                yield Name(names(each)[-1], "")
            else:
                yield self.name_of_parts(names(each))

    def kinds_made(self, node: ast.Node) -> Iterator[tuple[str, Name]]:
        """What a statement makes beside tables, as (kind, name): view, function, type, sequence, index, and trigger
        and policy, whose name is `table.name` in the table's schema."""
        relation = created_relation(node)
        if isinstance(node, ast.ViewStmt | ast.CreateTableAsStmt):
            if relation is not None:
                yield "view", self.name(relation)
        elif isinstance(node, ast.CreateFunctionStmt):
            yield "function", self.name_of_parts(names(node.funcname))
        elif isinstance(node, ast.CreateEnumStmt | ast.CreateRangeStmt):
            yield "type", self.name_of_parts(names(node.typeName))
        elif isinstance(node, ast.CompositeTypeStmt):
            yield "type", self.name(node.typevar)
        elif isinstance(node, ast.CreateDomainStmt):
            yield "type", self.name_of_parts(names(node.domainname))
        elif isinstance(node, ast.DefineStmt):
            kind = "type" if node.kind == ObjectType.OBJECT_TYPE else "function"
            yield kind, self.name_of_parts(names(node.defnames))
        elif isinstance(node, ast.CreateSeqStmt):
            yield "sequence", self.name(node.sequence)
        elif isinstance(node, ast.IndexStmt):
            yield "index", Name(self.name(node.relation).schema, node.idxname or "")
        elif isinstance(node, ast.CreateTrigStmt):
            yield "trigger", part_of(self.name(node.relation), node.trigname)
        elif isinstance(node, ast.CreatePolicyStmt):
            yield "policy", part_of(self.name(node.table), node.policy_name)

    # --- so far

    def _begin(self) -> None:
        self._position = -1
        self._fresh: set[Name] = set()
        self._made: set[tuple[str, Name]] = set()
        self._perhaps: set[str] = set()
        self._checks: dict[tuple[Name, str], str] = {}
        self._proven: set[tuple[Name, str]] = set()
        self._temporary: set[str] = set()
        self._schema = "public"

    def _start_file(self) -> None:
        # Every file runs in a session of its own.
        self._temporary.clear()
        self._schema = "public"

    def _note_fresh_statement(self, act: Act) -> None:
        relation = getattr(act.node, "relation", None)
        if act.statement and isinstance(relation, ast.RangeVar) and self.is_fresh(self.name(relation)):
            self.fresh_statements.add((act.migration.version, act.statement.offset))

    def _take(self, act: Act) -> None:
        node = act.node
        if isinstance(node, ast.VariableSetStmt) and node.name == "search_path":
            self._set_path(node.args, node.kind)
        elif isinstance(node, ast.SelectStmt):
            self._take_set_config(node)
        elif isinstance(node, ast.DropStmt):
            self._take_drop(node)
        elif isinstance(node, ast.RenameStmt) and node.renameType == ObjectType.OBJECT_TABLE:
            self._take_rename(node)
        elif isinstance(node, ast.AlterTableStmt) and act.is_certain:
            self._take_constraints(node)
        if not act.is_certain or act.is_done:
            return
        created = created_relation(node)
        is_new = not getattr(node, "if_not_exists", False) and not getattr(node, "replace", False)
        if created is not None:
            if created.relpersistence == "t":
                self._temporary.add(created.relname or "")
            elif is_new:
                self._fresh.add(self.name(created))
            else:
                self._perhaps.add(str(self.name(created)))
        if isinstance(node, _MAKES_OTHERS) and is_new:
            self._made.update(self.kinds_made(node))
        elif isinstance(node, _MAKES_OTHERS):
            self._perhaps.update(str(name) for _, name in self.kinds_made(node))

    def _take_drop(self, node: ast.DropStmt) -> None:
        for parts in node.objects or ():
            listed = names(parts)
            name = self.name_of_parts(listed)
            if node.removeType in _OF_TABLE:
                name = part_of(self.name_of_parts(listed[:-1]), listed[-1])
            self._fresh.discard(name)
            self._perhaps.discard(str(name))
            self._made.difference_update((kind, name) for kind in _KINDS)

    def _take_rename(self, node: ast.RenameStmt) -> None:
        old = self.name(node.relation)
        if old in self._fresh and node.newname:
            self._fresh.discard(old)
            self._fresh.add(Name(old.schema, node.newname))

    def _take_constraints(self, node: ast.AlterTableStmt) -> None:
        """Follows CHECK (column IS NOT NULL), added and validated, which SET NOT NULL then trusts."""
        name = self.name(node.relation)
        for command in node.cmds or ():
            if command.subtype == AlterTableType.AT_AddConstraint:
                column = _checked_column(command.def_)
                if column:
                    self._checks[name, command.def_.conname or ""] = column
                    if not command.def_.skip_validation:
                        self._proven.add((name, column))
            elif command.subtype == AlterTableType.AT_ValidateConstraint:
                proven = self._checks.get((name, command.name or ""))
                self._proven |= {(name, proven)} if proven else set()

    def _take_set_config(self, node: ast.SelectStmt) -> None:
        for target in node.targetList or ():
            call = target.val
            is_call = isinstance(call, ast.FuncCall) and names(call.funcname)[-1] == "set_config"
            if is_call and call.args and constant(call.args[0]) == "search_path":
                self._set_path(call.args[1:2], enums.VariableSetKind.VAR_SET_VALUE)

    def _set_path(self, values: tuple[ast.Node, ...] | None, kind: int | None) -> None:
        if kind != enums.VariableSetKind.VAR_SET_VALUE:
            self._schema = "public"
            return
        given = [constant(value) for value in values or ()]
        schemas = [part.strip(' "') for value in given if value is not None for part in value.split(",")]
        mine = [schema for schema in schemas if schema not in ("$user", "pg_temp", "pg_catalog", "")]
        self._schema = mine[0] if mine and None not in given else _ELSEWHERE


def part_of(table: Name, name: str | None) -> Name:
    """The name of a trigger or policy of a table."""
    return Name(table.schema, f"{table.name}.{name or ''}")


def fixes_search_path(elements: Iterable[ast.DefElem] | None) -> bool:
    """A function's options give it a search_path of its own."""
    return any(
        isinstance(element.arg, ast.VariableSetStmt) and element.arg.name == "search_path" for element in elements or ()
    )


def _makes_invoker(command: Any) -> bool:
    """ALTER VIEW … SET (security_invoker)."""
    is_option = command.subtype == AlterTableType.AT_SetRelOptions
    return is_option and bool(grammar.options(command.def_).get("security_invoker"))


def _checked_column(constraint: Any) -> str:
    """The column that a constraint says is never null; empty when it says anything else."""
    if constraint.contype == enums.ConstrType.CONSTR_NOTNULL:
        return names(constraint.keys)[0]
    test = constraint.raw_expr
    is_null_test = isinstance(test, ast.NullTest) and test.nulltesttype == enums.NullTestType.IS_NOT_NULL
    if constraint.contype != enums.ConstrType.CONSTR_CHECK or not is_null_test:
        return ""
    return names(test.arg.fields)[-1] if isinstance(test.arg, ast.ColumnRef) else ""

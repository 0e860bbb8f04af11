"""What a rehearsal could not see and what matters for this plan, one sentence each. Everything else is in the docs."""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast import enums

from ops.masking import printable
from ops.migration import Migration
from ops.migration import Statement
from ops.rehearsal.report import FileFacts
from ops.rehearsal.sizes import TargetFacts
from ops.rehearsal.trace import LOCK_MODES

_NAMED = 3
_SHUTS_OUT_WRITERS = LOCK_MODES[LOCK_MODES.index("ShareLock") :]
_CHANGES = ((ast.UpdateStmt, "UPDATE"), (ast.DeleteStmt, "DELETE"))
_CHECKED_CONSTRAINTS = {
    enums.ConstrType.CONSTR_CHECK: "a CHECK",
    enums.ConstrType.CONSTR_FOREIGN: "a foreign key",
    enums.ConstrType.CONSTR_UNIQUE: "UNIQUE",
    enums.ConstrType.CONSTR_PRIMARY: "a primary key",
    enums.ConstrType.CONSTR_EXCLUSION: "an exclusion constraint",
    enums.ConstrType.CONSTR_NOTNULL: "NOT NULL",
}
# What tells in a file that an extension is used, where its name alone does not.
_SIGNS = {
    "pgcrypto": r"crypt|digest|hmac|gen_salt|gen_random_bytes|pgp_\w+",
    "uuid-ossp": r"uuid_generate_\w+",
    "postgis": r"geometry|geography|st_\w+",
    "pg_trgm": r"gin_trgm_ops|gist_trgm_ops|similarity",
}


@dataclass(frozen=True)
class Circumstances:
    """How the copy differed from the target."""

    with_data: bool
    server: str
    target_server: str
    stand_ins: Sequence[str]
    has_api: bool
    target: TargetFacts


def unseen(pending: Sequence[Migration], files: Sequence[FileFacts], how: Circumstances) -> tuple[str, ...]:
    """The sentences, those first that most often matter; empty for a plan without anything of the kind."""
    found = [
        _rows(pending, how),
        _locks(files),
        _disk(files, how),
        _blocks(pending, how),
        _stand_ins(pending, how),
        _version(how),
        _api(files, how),
    ]
    return tuple(sentence for sentence in found if sentence)


def _rows(pending: Sequence[Migration], how: Circumstances) -> str:
    if how.with_data:
        return ""
    made = {name for one in pending for statement in one.statements for name in _made(statement)}
    found = [
        f"{what} ({printable(one.filename, 60)}, line {statement.word_line})"
        for one in pending
        for statement in one.statements
        for table, what in _depends_on_rows(statement)
        if table not in made
    ]
    if not found:
        return ""
    return f"The copy has no rows, so whether those on the target let this pass was not seen: {_list(found)}."


def _made(statement: Statement) -> Iterator[str]:
    node: Any = statement.tree.node if statement.tree else None
    if isinstance(node, ast.CreateStmt):
        yield str(_any(node).relation.relname)
    elif isinstance(node, ast.CreateTableAsStmt):
        yield str(_any(node).into.rel.relname)


def _depends_on_rows(statement: Statement) -> Iterator[tuple[str, str]]:
    """The table's name, and in words what a statement demands of rows that are there, or does with them."""
    node: Any = statement.tree.node if statement.tree else None
    if isinstance(node, ast.AlterTableStmt):
        demands = [what for command in node.cmds or () if (what := _demanded(command))]
    elif isinstance(node, ast.IndexStmt):
        demands = ["a unique index"] if node.unique else []
    else:
        demands = [words for kind, words in _CHANGES if isinstance(node, kind)]
    for what in demands:
        table = str(_any(node).relation.relname)
        yield table, f"{what} on {printable(table, 60)}"


def _any(node: Any) -> Any:
    """The grammar's types allow for nothing where a statement that was parsed always has something."""
    return node


def _demanded(command: Any) -> str:
    kind = command.subtype
    if kind == enums.AlterTableType.AT_SetNotNull:
        return "NOT NULL"
    if kind == enums.AlterTableType.AT_ValidateConstraint:
        return "a constraint to be validated"
    if kind == enums.AlterTableType.AT_AlterColumnType:
        return "another type of a column"
    if kind == enums.AlterTableType.AT_AddConstraint and not command.def_.skip_validation:
        return _CHECKED_CONSTRAINTS.get(command.def_.contype, "")
    if kind == enums.AlterTableType.AT_AddColumn:
        kinds = {constraint.contype for constraint in command.def_.constraints or ()}
        filled = {enums.ConstrType.CONSTR_DEFAULT, enums.ConstrType.CONSTR_IDENTITY, enums.ConstrType.CONSTR_GENERATED}
        if enums.ConstrType.CONSTR_NOTNULL in kinds and not kinds & filled and not _is_serial(command.def_):
            return "a new NOT NULL column without a default"
    return ""


def _is_serial(column: Any) -> bool:
    return bool(column.typeName) and column.typeName.names[-1].sval.endswith("serial")


def _locks(files: Iterable[FileFacts]) -> str:
    locked = {
        lock.relation: None
        for one in files
        for facts in one.statements
        for lock in facts.locks
        if lock.mode in _SHUTS_OUT_WRITERS
    }
    if not locked:
        return ""
    return f"Nobody else used the copy, so how long locks on {_list(locked)} are waited for under real traffic was not seen."


def _disk(files: Iterable[FileFacts], how: Circumstances) -> str:
    written = {
        rewrite.relation: None
        for one in files
        for facts in one.statements
        for rewrite in facts.rewrites
        if rewrite.kind != "truncated"
    }
    if not written:
        return ""
    standby = ", and how far its replicas fall behind," if how.target.has_standby else ""
    return f"How long the target's disk takes to write {_list(written)} anew{standby} was not seen."


def _blocks(pending: Sequence[Migration], how: Circumstances) -> str:
    if how.with_data:
        return ""
    found = [
        f"{printable(one.filename, 60)}, line {statement.word_line}"
        for one in pending
        for statement in one.statements
        if statement.tree and isinstance(statement.tree.node, ast.DoStmt | ast.CallStmt)
    ]
    return f"What these blocks do may depend on rows, which the copy does not have: {_list(found)}." if found else ""


def _stand_ins(pending: Sequence[Migration], how: Circumstances) -> str:
    text = "\n".join(one.text for one in pending)
    used = [name for name in how.stand_ins if is_used(name, text)]
    if not used:
        return ""
    names = _list(printable(name, 60) for name in used)
    them = "it" if len(used) == 1 else "them"
    return f"Only the outside of {names} was there, so what the plan does with {them} was not seen."


def is_used(extension: str, text: str) -> bool:
    """Whether SQL seems to use an extension, by its name or by one of its own; a guess, for what people are told."""
    names = {extension, extension.removeprefix("pg_"), extension.removeprefix("supabase_")}
    words = [re.escape(name) for name in names if name]
    if extension in _SIGNS:
        words.append(_SIGNS[extension])
    return re.search(rf"\b(?:{'|'.join(words)})\b", text, re.IGNORECASE) is not None


def _version(how: Circumstances) -> str:
    if how.server.partition(".")[0] == how.target_server.partition(".")[0]:
        return ""
    return f"The copy ran on {how.server}, the target is {how.target_server}: where the two differ was not seen."


def _api(files: Iterable[FileFacts], how: Circumstances) -> str:
    if not how.has_api or not any(one.ran for one in files):
        return ""
    return "The API reads the schema anew after this; requests that come in meanwhile were not seen."


def _list(names: Iterable[str]) -> str:
    """At most three by name, and how many more there are."""
    every = list(names)
    shown, more = every[:_NAMED], len(every) - _NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"

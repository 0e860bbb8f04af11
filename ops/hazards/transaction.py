"""Rules about files that cannot be undone as one, that fail half-way, or that leave their session changed."""

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast import enums
from pglast.enums import VariableSetKind

from ops import grammar
from ops.grammar import names
from ops.hazards.acts import constant
from ops.hazards.acts import created_relation
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable
from ops.migrations import Migration
from ops.migrations import Statement

_CLASS = HazardClass.TRANSACTION


@rule(
    "not-atomic",
    _CLASS,
    Level.CAUTION,
    on=(Migration,),
    caught="alter table orders add column note text; create index concurrently orders_note on orders (note);",
    left_alone="create index concurrently orders_note on orders (note);",
    safe_way="Give each statement that cannot be in a transaction a migration of its own.",
)
def not_atomic(act: Act, pending: Pending) -> Iterator[str | Found]:
    """More than one segment: an error in the second leaves the first in place."""
    migration = act.migration
    if len(migration.segments) < 2:
        return
    index = migration.segments[1].statements[0]
    alone = [_words(statement, pending) for statement in migration.statements if statement.stands_alone]
    because = f" because of {alone[0]}" if alone else ""
    message = f"Runs in {len(migration.segments)} parts{because}; an error leaves the earlier ones in place."
    yield Found(message, migration.statements[index].line, index=index)


def _words(statement: Statement, pending: Pending) -> str:
    """A statement that stands alone, in a few words."""
    node = statement.tree.node if statement.tree else None
    if isinstance(node, ast.IndexStmt):
        return f"CREATE INDEX CONCURRENTLY on {pending.name(node.relation)}"
    if isinstance(node, ast.DropStmt):
        dropped = [str(pending.name_of_parts(names(parts))) for parts in node.objects or ()]
        return f"DROP INDEX CONCURRENTLY {', '.join(dropped[:3])}"
    if isinstance(node, ast.ReindexStmt):
        return f"REINDEX of {pending.name(node.relation) if node.relation else printable(node.name or 'the database')}"
    if isinstance(node, ast.AlterTableStmt):
        return f"DETACH PARTITION CONCURRENTLY of {pending.name(node.relation)}"
    return printable(" ".join(statement.text.split(None, 2)[:2]).upper(), 40)


@rule(
    "ends-transaction",
    _CLASS,
    Level.DANGER,
    on=(Migration,),
    caught="insert into orders (id) values (1); commit; insert into orders (id) values (2);",
    left_alone="begin; insert into orders (id) values (1); commit;",
    safe_way="Leave BEGIN, COMMIT and ROLLBACK out; every file runs in one transaction by itself.",
)
def ends_transaction(act: Act, pending: Pending) -> Iterator[str | Found]:
    """COMMIT, ROLLBACK and BEGIN that do not belong together, in statements, DO blocks and called procedures. Such a
    file is refused as well."""
    for refusal in act.migration.refusals:
        if refusal.code in _TRANSACTION_REFUSALS:
            yield Found(refusal.message, refusal.line)


_TRANSACTION_REFUSALS = {
    *("begin_without_commit", "begin_again", "transaction_options", "commit_without_begin", "rollback"),
    *("prepare_transaction", "not_in_block", "commit_in_do", "call_commits"),
}


@rule(
    "in-batches",
    _CLASS,
    Level.INFO,
    on=(Migration,),
    caught="-- countersign: in batches\nupdate orders set state = 'new' where state is null;",
    left_alone="update orders set state = 'new' where state is null;",
    safe_way="Have the application cope with rows of both kinds, and make new rows right before the old ones are filled.",
)
def in_batches(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Others see some rows changed and some not, and an error or a stop leaves it so."""
    if act.migration.batches is None or act.migration.refusals:
        return
    index, statement = next((at, one) for at, one in enumerate(act.migration.statements) if one.tree is not None)
    node: Any = statement.tree.node if statement.tree else None
    name = pending.name(node.relation)
    rows = f" of {act.migration.batches.rows:,} rows" if act.migration.batches.rows else ""
    message = (
        f"Changes {name} in batches{rows}, each a transaction; an error or a stop leaves the earlier ones in place."
    )
    yield Found(message, statement.word_line, relation=str(name), index=index)


@rule(
    "batches-refused",
    _CLASS,
    Level.DANGER,
    on=(Migration,),
    caught="-- countersign: in batches\nupdate orders set state = 'new'; update people set mood = 'calm';",
    left_alone="-- countersign: in batches\nupdate orders set state = 'new' where state is null;",
    safe_way="Give one UPDATE or DELETE a file of its own, or take the mark out of its first line.",
)
def batches_refused(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A mark that cannot be kept. Such a file is refused as well."""
    for refusal in act.migration.refusals:
        if refusal.code.startswith("batches_"):
            yield Found(refusal.message, refusal.line)


@rule(
    "enum-value-used",
    _CLASS,
    Level.DANGER,
    on=(Migration,),
    caught="alter type mood add value 'calm'; update people set mood = 'calm' where mood is null;",
    left_alone="alter type mood add value 'calm'; update people set mood = 'sad' where mood is null;",
    safe_way="Add the value in one migration and use it in the next.",
)
def enum_value_used(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Postgres refuses a new enum value in the transaction that adds it (SQLSTATE 55P04)."""
    for segment in act.migration.segments:
        added: dict[str, str] = {}
        for index in segment.statements if segment.transactional else ():
            statement = act.migration.statements[index]
            if statement.tree is None:
                continue
            node = statement.tree.node
            if isinstance(node, ast.AlterEnumStmt):
                if node.newVal and not node.oldVal:
                    added[node.newVal] = str(pending.name_of_parts(names(node.typeName)))
            elif added:
                used = sorted(added.keys() & _values_used(node))
                if used:
                    message = f"Uses value {printable(used[0])} of {added[used[0]]} in the transaction that adds it."
                    yield Found(message, statement.line, index=index)


def _values_used(node: ast.Node) -> set[str]:
    """The constants that a statement computes with; the bodies of DO blocks count, since they run at once."""
    if isinstance(node, ast.CommentStmt | ast.CreateFunctionStmt):
        return set()
    if isinstance(node, ast.DoStmt):
        bodies = [names(element.arg)[0] for element in node.args or () if element.defname == "as"]
        return {literal for body in bodies for literal in body.split("'")[1::2]}
    return {constant(each) or "" for each in grammar.walk(node)}


@rule(
    "invalid-index-kept",
    _CLASS,
    Level.CAUTION,
    on=(ast.IndexStmt,),
    caught="create index concurrently if not exists orders_note on orders (note);",
    left_alone="create index concurrently orders_note on orders (note);",
    safe_way="Leave IF NOT EXISTS out; drop an invalid index before building it again.",
)
def invalid_index_kept(act: Act, pending: Pending) -> Iterator[str | Found]:
    """An index build that failed before leaves an invalid index, which IF NOT EXISTS takes for a good one."""
    if act.node.concurrent and act.node.if_not_exists:
        index, name = printable(act.node.idxname or ""), pending.name(act.node.relation)
        yield f"Would take an invalid index {index} of {name} for a good one."


_LETS_GO = {"pg_advisory_unlock", "pg_advisory_unlock_all", "pg_terminate_backend", "pg_cancel_backend"}


@rule(
    "drops-locks",
    _CLASS,
    Level.DANGER,
    on=(ast.DiscardStmt, ast.SelectStmt),
    caught="select pg_advisory_unlock_all();",
    left_alone="select count(*) from orders;",
    safe_way="Leave sessions and advisory locks alone in a migration.",
)
def drops_locks(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The run guards its target by advisory locks; a file that lets go of them lets a second run in."""
    if isinstance(act.node, ast.DiscardStmt):
        if act.node.target == enums.DiscardMode.DISCARD_ALL:
            yield "DISCARD ALL lets go of the session's locks and settings."
        return
    for target in act.node.targetList or ():
        called = names(target.val.funcname)[-1] if isinstance(target.val, ast.FuncCall) else ""
        if called in _LETS_GO:
            yield f"Calls {called}, which ends locks or sessions of the run."


# Settings that change what the statements behind them mean or may do.
_MEANING = {"search_path", "role", "session_authorization", "default_transaction_read_only", "timezone"} | {
    *("transform_null_equals", "standard_conforming_strings", "datestyle", "intervalstyle"),
    *("session_replication_role", "default_transaction_isolation"),
}
_AS_USUAL = {("standard_conforming_strings", "on"), ("session_replication_role", "origin")}


@rule(
    "setting-leaks",
    _CLASS,
    Level.CAUTION,
    on=(Migration,),
    caught="set search_path = billing; create view totals with (security_invoker = on) as select 1 as id;",
    left_alone="set local search_path = billing; select 1;",
    safe_way="Use SET LOCAL, or write every name with its schema.",
)
def setting_leaks(act: Act, pending: Pending) -> Iterator[str | Found]:
    """SET and set_config(…, false) of what names, roles and dates mean, and not set back in the same file. Run by
    another tool in one session with others, later files would mean something else."""
    changed: dict[str, tuple[Statement, int]] = {}
    for index, statement in enumerate(act.migration.statements):
        if statement.tree is not None:
            for setting, is_set in _session_settings(statement.tree.node):
                if is_set:
                    changed.setdefault(setting, (statement, index))
                elif setting == "":
                    changed.clear()
                else:
                    changed.pop(setting, None)
    for setting, (statement, index) in changed.items():
        if setting in _MEANING:
            yield Found(f"Sets {printable(setting)} for the session, beyond this file.", statement.line, index=index)


def _session_settings(node: ast.Node) -> Iterator[tuple[str, bool]]:
    """The settings that a statement changes beyond its transaction, and whether it sets them or sets them back; an
    empty name for all of them."""
    if isinstance(node, ast.VariableSetStmt):
        if node.kind == VariableSetKind.VAR_RESET_ALL:
            yield "", False
        elif not node.is_local and node.name:
            is_none = node.name in ("role", "session_authorization") and [
                str(constant(each)).lower() for each in node.args or ()
            ] == ["none"]
            value = str(constant(node.args[0])).lower() if node.args else ""
            is_set = node.kind == VariableSetKind.VAR_SET_VALUE and not is_none
            yield node.name.lower(), is_set and (node.name.lower(), value) not in _AS_USUAL
    elif isinstance(node, ast.DiscardStmt):
        yield "", False
    elif isinstance(node, ast.SelectStmt):
        for target in node.targetList or ():
            call = target.val
            if isinstance(call, ast.FuncCall) and names(call.funcname)[-1] == "set_config":
                setting, _, is_local = ([constant(each) for each in call.args or ()] + [None] * 3)[:3]
                if setting and str(is_local).lower() not in ("true", "t"):
                    yield setting.lower(), True


@rule(
    "temporary-table",
    _CLASS,
    Level.INFO,
    on=(ast.CreateStmt, ast.CreateTableAsStmt, ast.SelectStmt),
    caught="create temp table scratch_rows (id int);",
    left_alone="create temp table scratch_rows (id int) on commit drop;",
    safe_way="Add ON COMMIT DROP, or use a CTE.",
)
def temporary_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It stays in the session; where files share one, a later file meets it, and its name hides a table's."""
    relation = created_relation(act.node)
    if relation is None or relation.relpersistence != "t":
        return
    if isinstance(act.node, ast.CreateStmt):
        at_commit = act.node.oncommit
    else:
        into: Any = act.node.into if isinstance(act.node, ast.CreateTableAsStmt) else act.node.intoClause
        at_commit = into.onCommit
    if at_commit != enums.OnCommitAction.ONCOMMIT_DROP:
        yield f"Temporary table {printable(relation.relname or '')} outlives its transaction, in the same session."

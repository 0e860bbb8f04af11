"""Rules about locks that stop the application while they are held. The linter (`linter.py`) knows more of them."""

from collections.abc import Iterator

from pglast import ast
from pglast import enums

from ops.grammar import options
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending

_SHARE_LOCK = 5  # in Postgres' lockdefs.h; from here on, writers wait


@rule(
    "vacuum-full",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.VacuumStmt,),
    caught="vacuum full orders;",
    left_alone="vacuum analyze orders;",
    safe_way="Use plain VACUUM, or pg_repack.",
)
def vacuum_full(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It writes every table anew under a lock that stops readers."""
    if options(act.node.options).get("full"):
        tables = [str(pending.name(each.relation)) for each in act.node.rels or ()]
        yield f"Rewrites {', '.join(tables[:5]) or 'every table'} while nobody can read or write."


@rule(
    "cluster",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.ClusterStmt,),
    caught="cluster orders using orders_pkey;",
    left_alone="create table fresh (id int); alter table fresh enable row level security; cluster fresh;",
    safe_way="Use pg_repack.",
)
def cluster(act: Act, pending: Pending) -> Iterator[str | Found]:
    """As VACUUM FULL, in an index's order."""
    name = pending.name(act.node.relation)
    if act.node.relation is None:
        yield "Rewrites every clustered table while nobody can read or write it."
    elif not pending.is_fresh(name):
        yield f"Rewrites {name} while nobody can read or write."


@rule(
    "lock-table",
    HazardClass.LOCKS,
    Level.DANGER,
    on=(ast.LockStmt,),
    caught="lock table orders;",
    left_alone="lock table orders in row exclusive mode;",
    safe_way="Leave the lock to the statement that needs it.",
)
def lock_table(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A lock that makes writers wait until the file ends."""
    for relation in act.node.relations or ():
        name = pending.name(relation)
        if act.node.mode >= _SHARE_LOCK and not pending.is_fresh(name):
            yield f"Locks {name} until the file has run."


@rule(
    "refresh-blocks-readers",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.RefreshMatViewStmt,),
    caught="refresh materialized view sales_by_day;",
    left_alone="refresh materialized view concurrently sales_by_day;",
    safe_way="Use REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on it.",
)
def refresh_blocks_readers(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Readers wait for the whole refresh."""
    name = pending.name(act.node.relation)
    if not act.node.concurrent and not pending.is_fresh(name):
        yield f"Nobody can read {name} while it is refreshed."


@rule(
    "overrides-timeout",
    HazardClass.LOCKS,
    Level.CAUTION,
    on=(ast.VariableSetStmt, ast.AlterRoleSetStmt, ast.AlterDatabaseSetStmt),
    caught="set lock_timeout = 0;",
    left_alone="set work_mem = '64MB';",
    safe_way="Leave the timeouts to the run, which waits for locks politely.",
)
def overrides_timeout(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A file that sets its own timeouts may wait for ever, with the application behind it."""
    setting = act.node if isinstance(act.node, ast.VariableSetStmt) else act.node.setstmt
    if setting.kind != enums.VariableSetKind.VAR_RESET_ALL and setting.name in (
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
    ):
        yield f"Sets {setting.name} itself, over what the run has set."

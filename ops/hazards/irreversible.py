"""Rules about what no later migration can bring back, although no row of a table is lost by it."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import CmdType
from pglast.enums import DropBehavior
from pglast.enums import ObjectType

from ops import grammar
from ops.grammar import names
from ops.hazards.conditions import all_rows
from ops.hazards.conditions import is_always_true
from ops.hazards.conditions import is_never_true
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable

_CLASS = HazardClass.IRREVERSIBLE


@rule(
    "enum-value-added",
    _CLASS,
    Level.INFO,
    on=(ast.AlterEnumStmt,),
    caught="alter type mood add value 'calm';",
    left_alone="create type mood as enum ('calm');",
    safe_way="Be sure of the value; only a new type and a rewrite of its columns take it away again.",
)
def enum_value_added(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Postgres cannot remove a value of an enum."""
    name = pending.name_of_parts(names(act.node.typeName))
    if act.node.newVal and not act.node.oldVal and not pending.was_made("type", name):
        yield f"Value {printable(act.node.newVal)} cannot be taken out of type {name} again."


@rule(
    "drop-sequence",
    _CLASS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop sequence orders_number;",
    left_alone="comment on sequence orders_number is 'old';",
    safe_way="Write its place down first, and START WITH it when it is made again.",
)
def drop_sequence(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its place is lost; a new one starts over."""
    if act.node.removeType == ObjectType.OBJECT_SEQUENCE:
        for parts in act.node.objects or ():
            name = pending.name_of_parts(names(parts))
            if not pending.was_made("sequence", name):
                yield Found(f"The place of sequence {name} is lost; a new one would start over.", relation=str(name))


@rule(
    "sequence-restarted",
    _CLASS,
    Level.CAUTION,
    on=(ast.AlterSeqStmt,),
    caught="alter sequence orders_number restart with 1;",
    left_alone="alter sequence orders_number owned by orders.number;",
    safe_way="Set it by setval to what the table holds: select setval('…', (select max(id) from …)).",
)
def sequence_restarted(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Numbers that were given already may be given again."""
    name = pending.name(act.node.sequence)
    chosen = grammar.options(act.node.options)
    if "restart" in chosen and not pending.was_made("sequence", name):
        yield Found(f"Sequence {name} may give numbers again that it has given already.", relation=str(name))


@rule(
    "drop-extension",
    _CLASS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught="drop extension pg_cron;",
    left_alone="create extension if not exists citext with schema extensions;",
    safe_way="See first what it keeps (jobs, queues, settings), and copy that aside.",
)
def drop_extension(act: Act, pending: Pending) -> Iterator[str | Found]:
    """What it kept in tables of its own is gone; with CASCADE, `drop-extension-cascade` says more."""
    node = act.node
    if node.removeType == ObjectType.OBJECT_EXTENSION and node.behavior != DropBehavior.DROP_CASCADE:
        for parts in node.objects or ():
            yield f"Drops extension {printable('.'.join(names(parts)))} with what it kept."


@rule(
    "extension-updated",
    _CLASS,
    Level.CAUTION,
    on=(ast.AlterExtensionStmt,),
    caught="alter extension vector update to '0.8.0';",
    left_alone="alter extension vector set schema extensions;",
    safe_way="Try the version on a copy first; most extensions have no way back.",
)
def extension_updated(act: Act, pending: Pending) -> Iterator[str | Found]:
    """There is no downgrade."""
    version = grammar.options(act.node.options).get("new_version")
    to = f" to {printable(str(version))}" if version else ""
    yield f"Extension {printable(act.node.extname or '')} is updated{to}, and cannot be put back."


@rule(
    "drop-role",
    _CLASS,
    Level.CAUTION,
    on=(ast.DropRoleStmt,),
    caught="drop role reporting;",
    left_alone="alter role reporting nologin;",
    safe_way="Take LOGIN away first, and drop the role some days later.",
)
def drop_role(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Its password and memberships are written down nowhere else."""
    for role in act.node.roles or ():
        yield f"Role {printable(role.rolename or '')} is gone with its password and memberships."


@rule(
    "reassign-owned",
    _CLASS,
    Level.CAUTION,
    on=(ast.ReassignOwnedStmt,),
    caught="reassign owned by reporting to postgres;",
    left_alone="alter table orders owner to postgres;",
    safe_way="Name the objects one by one, so that they can be given back.",
)
def reassign_owned(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Afterwards nobody can tell what was whose."""
    roles = ", ".join(printable(role.rolename or "") for role in act.node.roles or ())
    yield f"All that {roles} owns goes to {printable(act.node.newrole.rolename or '')}; nothing says later what it was."


@rule(
    "replication-stopped",
    _CLASS,
    Level.CAUTION,
    on=(ast.DropStmt, ast.DropSubscriptionStmt, ast.AlterPublicationStmt),
    caught="drop publication supabase_realtime;",
    left_alone="alter publication supabase_realtime add table orders;",
    safe_way="Make sure that nobody subscribes; who does must copy everything anew.",
)
def replication_stopped(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Publications and subscriptions that are dropped; tables that are taken out of one are told as info."""
    node = act.node
    if isinstance(node, ast.DropSubscriptionStmt):
        yield f"Subscription {printable(node.subname or '')} ends; a new one must copy everything anew."
    elif isinstance(node, ast.AlterPublicationStmt):
        if node.action is not None and node.action.name == "AP_DropObjects":
            message = f"Subscribers of {printable(node.pubname or '')} no longer hear of some tables."
            yield Found(message, level=Level.INFO)
    elif node.removeType == ObjectType.OBJECT_PUBLICATION:
        for part in node.objects or ():
            name = names(part)[-1]
            if not _is_made_again(pending, name):
                yield f"Subscribers of publication {printable(name)} hear nothing any more."


def _is_made_again(pending: Pending, publication: str) -> bool:
    return any(
        isinstance(act.node, ast.CreatePublicationStmt) and act.node.pubname == publication for act in pending.acts
    )


@rule(
    "vault-secret-replaced",
    _CLASS,
    Level.CAUTION,
    on=(ast.SelectStmt,),
    caught="select vault.update_secret(id, current_setting('app.new_key')) from vault.secrets where name = 'key';",
    left_alone="select decrypted_secret from vault.decrypted_secrets where name = 'key';",
    safe_way="Have the old value elsewhere, until everything works with the new one.",
)
def vault_secret_replaced(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The old value of a secret in the vault is overwritten."""
    for target in act.node.targetList or ():
        call = target.val
        if isinstance(call, ast.FuncCall) and names(call.funcname)[-2:] == ["vault", "update_secret"]:
            yield "A secret in the vault is replaced; its old value is gone."


@rule(
    "rows-deleted",
    _CLASS,
    Level.INFO,
    on=(ast.DeleteStmt, ast.MergeStmt),
    caught="delete from orders where state = 'draft';",
    left_alone="delete from scratch.rows_of_today where false;",
    safe_way="Copy the rows aside first.",
)
def rows_deleted(act: Act, pending: Pending) -> Iterator[str | Found]:
    """With a condition; without one, `delete-without-where` says it."""
    name = pending.name(act.node.relation)
    if isinstance(act.node, ast.MergeStmt):
        deletes = (each for each in act.node.mergeWhenClauses or () if each.commandType == CmdType.CMD_DELETE)
        is_some = any(not is_always_true(each.condition) for each in deletes)
    else:
        is_some = all_rows(act.node, name) is None and not is_never_true(act.node.whereClause)
    if is_some and not pending.is_fresh(name):
        yield f"Deletes rows of {name}; a later migration cannot bring them back."

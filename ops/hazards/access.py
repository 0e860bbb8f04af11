"""Rules about who may read and write: row-level security, policies, grants, roles."""

from collections.abc import Iterable
from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import GrantTargetType
from pglast.enums import ObjectType
from pglast.enums import RoleSpecType

from ops import grammar
from ops.grammar import names
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.hazards.pending import created_relation
from ops.hazards.pending import is_always_true
from ops.masking import printable

# Schemas that the Data API serves to everybody who has the anon key.
_EXPOSED = {"public", "graphql_public"}
_READS = {"select", "usage", "execute", "references", "connect"}


def _everybody(roles: Iterable[ast.RoleSpec] | None) -> list[str]:
    """Which of the roles mean everybody: anon and PUBLIC."""
    found = []
    for role in roles or ():
        if role.roletype == RoleSpecType.ROLESPEC_PUBLIC:
            found.append("PUBLIC")
        elif role.rolename == "anon":
            found.append("anon")
    return found


@rule(
    "rls-disabled",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.AlterTableStmt,),
    caught="alter table orders disable row level security;",
    left_alone="alter table orders enable row level security;",
    safe_way="Keep row-level security on and write a policy for what must be allowed.",
)
def rls_disabled(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Without it, whoever has a grant sees and changes every row."""
    name = pending.name(act.node.relation)
    for command in act.node.cmds or ():
        if command.subtype == AlterTableType.AT_DisableRowSecurity:
            yield f"Switches row-level security of {name} off."
        elif command.subtype == AlterTableType.AT_NoForceRowSecurity:
            yield Found(f"Lets the owner of {name} pass its row-level security.", level=Level.CAUTION)


@rule(
    "table-without-rls",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.CreateStmt, ast.CreateTableAsStmt, ast.SelectStmt),
    caught="create table orders (id bigint primary key);",
    left_alone="create table orders (id bigint primary key); alter table orders enable row level security;",
    safe_way="Add ALTER TABLE … ENABLE ROW LEVEL SECURITY, and policies for what must be allowed.",
)
def table_without_rls(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A new table in a schema that the Data API serves, and no pending file switches row-level security on."""
    relation = created_relation(act.node)
    if relation is None or relation.relpersistence == "t":
        return
    is_view = isinstance(act.node, ast.CreateTableAsStmt) and act.node.objtype == ObjectType.OBJECT_MATVIEW
    name = pending.name(relation)
    if not is_view and name.schema in _EXPOSED and name not in pending.protected:
        yield f"New table {name} has no row-level security, so the anon key reads and writes it."


@rule(
    "policy-always-true",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.CreatePolicyStmt, ast.AlterPolicyStmt),
    caught="create policy all_may on orders for update using (true) with check (true);",
    left_alone="create policy own on orders for update using (owner = auth.uid()) with check (owner = auth.uid());",
    safe_way="Say in USING and WITH CHECK whose rows may be touched, and in TO which role.",
)
def policy_always_true(act: Act, pending: Pending) -> Iterator[str | Found]:
    """For everybody, or for all who are signed in. Reading alone may be meant: a caution."""
    node, name = act.node, pending.name(act.node.table)
    is_new = isinstance(node, ast.CreatePolicyStmt)
    if is_new and not node.permissive:
        return
    if not any(check is not None and is_always_true(check) for check in (node.qual, node.with_check)):
        return
    who = _everybody(node.roles) or [role.rolename for role in node.roles or () if role.rolename == "authenticated"]
    if node.roles and not who:
        return
    may = "read" if is_new and node.cmd_name == "select" else "change"
    level = Level.CAUTION if may == "read" or who == ["authenticated"] else None
    policy = printable(node.policy_name or "")
    yield Found(f"Policy {policy} lets {' and '.join(who) or 'everybody'} {may} every row of {name}.", level=level)


@rule(
    "policy-dropped",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.DropStmt,),
    caught='drop policy "own rows" on orders;',
    left_alone="drop policy own on orders; create policy own on orders using (owner = auth.uid());",
    safe_way="Make its successor in the same file; a restrictive policy that is gone opens rows.",
)
def policy_dropped(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A policy that no pending file makes again."""
    if act.node.removeType != ObjectType.OBJECT_POLICY:
        return
    for parts in act.node.objects or ():
        *table, policy = names(parts)
        name = pending.name_of_parts(table)
        if (name, policy) not in pending.policies:
            yield f"Drops policy {printable(policy)} of {name}."


@rule(
    "grant-to-everybody",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.GrantStmt,),
    caught="grant all on orders to anon;",
    left_alone="grant select on orders to authenticated;",
    safe_way="Grant to authenticated or to a role of its own, and only what is needed.",
)
def grant_to_everybody(act: Act, pending: Pending) -> Iterator[str | Found]:
    """To anon or PUBLIC. Reading alone is a caution."""
    node, who = act.node, _everybody(act.node.grantees)
    if not node.is_grant or not who:
        return
    rights = [(right.priv_name or "all").lower() for right in node.privileges or ()] or ["all"]
    level = Level.CAUTION if set(rights) <= _READS else None
    yield Found(f"Grants {', '.join(rights)} on {_objects(node, pending)} to {' and '.join(who)}.", level=level)


def _objects(node: ast.GrantStmt, pending: Pending) -> str:
    if node.targtype == GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA:
        return f"everything of its kind in schema {printable(', '.join(names(node.objects or ())))}"
    listed = []
    for each in (node.objects or ())[:5]:
        if isinstance(each, ast.RangeVar):
            listed.append(str(pending.name(each)))
        else:
            listed.append(printable(".".join(names(each))))
    return ", ".join(listed)


@rule(
    "default-privileges-to-everybody",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.AlterDefaultPrivilegesStmt,),
    caught="alter default privileges in schema public grant all on tables to anon;",
    left_alone="alter default privileges in schema public revoke all on tables from anon;",
    safe_way="Grant table by table.",
)
def default_privileges_to_everybody(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It opens every table that anybody makes later."""
    who = _everybody(act.node.action.grantees)
    if act.node.action.is_grant and who:
        yield f"Opens all objects made later to {' and '.join(who)}."


_POWERFUL = {"postgres", "service_role", "supabase_admin", "authenticator", "supabase_auth_admin"} | {
    *("supabase_storage_admin", "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"),
    *("pg_read_all_data", "pg_write_all_data"),
}
_POWERS = {"bypassrls": "BYPASSRLS", "superuser": "SUPERUSER", "createrole": "CREATEROLE"}


@rule(
    "powerful-role",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.GrantRoleStmt, ast.CreateRoleStmt, ast.AlterRoleStmt),
    caught="grant service_role to reporting;",
    left_alone="create role reporting nologin;",
    safe_way="Grant the rights that are needed, not a role that passes row-level security.",
)
def powerful_role(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Roles that pass row-level security or reach the server, given to others."""
    node = act.node
    if isinstance(node, ast.GrantRoleStmt):
        given = sorted({role.priv_name for role in node.granted_roles or ()} & _POWERFUL)
        if node.is_grant and given:
            to = ", ".join(printable(role.rolename or "PUBLIC") for role in node.grantee_roles or ())
            yield f"Gives the powers of {', '.join(given)} to {to}."
        return
    chosen = grammar.options(node.options)
    powers = [word for option, word in _POWERS.items() if chosen.get(option)]
    if powers:
        role = node.role if isinstance(node, ast.CreateRoleStmt) else node.role.rolename
        yield f"Gives role {printable(role or '')} {', '.join(powers)}."

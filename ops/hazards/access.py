"""Rules about who may read and write: row-level security, policies, grants, roles."""

from collections.abc import Iterable
from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import GrantTargetType
from pglast.enums import NullTestType
from pglast.enums import ObjectType
from pglast.enums import RoleSpecType

from ops import grammar
from ops.grammar import names
from ops.hazards.acts import constant
from ops.hazards.acts import created_relation
from ops.hazards.conditions import is_always_true
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Name
from ops.hazards.pending import Pending
from ops.masking import printable

# Schemas that the Data API serves to everybody who has the anon key.
EXPOSED = {"public", "graphql_public"}
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
    on=(ast.CreateStmt, ast.CreateTableAsStmt, ast.SelectStmt, ast.AlterObjectSchemaStmt),
    caught="create table orders (id bigint primary key);",
    left_alone="create table orders (id bigint primary key); alter table orders enable row level security;",
    safe_way="Add ALTER TABLE … ENABLE ROW LEVEL SECURITY, and policies for what must be allowed.",
)
def table_without_rls(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A new table in a schema that the Data API serves, or one that is moved there, and no pending file switches
    row-level security on."""
    if isinstance(act.node, ast.AlterObjectSchemaStmt):
        moved = Name(act.node.newschema or "", pending.name(act.node.relation).name)
        is_table = act.node.objectType == ObjectType.OBJECT_TABLE
        if is_table and moved.schema in EXPOSED and moved not in pending.protected:
            message = f"Table {pending.name(act.node.relation)} moves to {moved.schema}, which the Data API serves."
            yield Found(message, level=Level.CAUTION, relation=str(moved))
        return
    relation = created_relation(act.node)
    if relation is None or relation.relpersistence == "t":
        return
    is_view = isinstance(act.node, ast.CreateTableAsStmt) and act.node.objtype == ObjectType.OBJECT_MATVIEW
    name = pending.name(relation)
    if not is_view and name.schema in EXPOSED and name not in pending.protected:
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
    checks = [check for check in (node.qual, node.with_check) if check is not None]
    is_open = any(is_always_true(check) for check in checks)
    if not is_open and not any(_asks_only_for_a_session(check) for check in checks):
        return
    who = _everybody(node.roles) or [role.rolename for role in node.roles or () if role.rolename == "authenticated"]
    if node.roles and not who:
        return
    if not is_open:
        who = ["authenticated"]
    may = "read" if is_new and node.cmd_name == "select" else "change"
    level = Level.CAUTION if may == "read" or who == ["authenticated"] else None
    if may == "read" and who == ["authenticated"]:
        level = Level.INFO
    policy = printable(node.policy_name or "")
    yield Found(f"Policy {policy} lets {' and '.join(who) or 'everybody'} {may} every row of {name}.", level=level)


def _asks_only_for_a_session(check: ast.Node) -> bool:
    """The condition is auth.uid() IS NOT NULL or auth.role() = 'authenticated', also in a subquery of its own."""
    if isinstance(check, ast.NullTest) and check.nulltesttype == NullTestType.IS_NOT_NULL:
        return _called(check.arg) == ["auth", "uid"]
    if isinstance(check, ast.A_Expr) and grammar.names(check.name) == ["="]:
        return _called(check.lexpr) == ["auth", "role"] and constant(check.rexpr) == "authenticated"
    return False


def _called(node: ast.Node | None) -> list[str]:
    """The name of the function that a node calls, `(select f())` included."""
    if isinstance(node, ast.SubLink) and isinstance(node.subselect, ast.SelectStmt) and node.subselect.targetList:
        node = node.subselect.targetList[0].val
    return names(node.funcname) if isinstance(node, ast.FuncCall) else []


@rule(
    "policy-trusts-user-metadata",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.CreatePolicyStmt, ast.AlterPolicyStmt),
    caught="create policy admins on orders using ((auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');",
    left_alone="create policy admins on orders using ((auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');",
    safe_way="Use app_metadata, which users cannot change, or a table of your own.",
)
def policy_trusts_user_metadata(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Users write user_metadata themselves."""
    for check in (act.node.qual, act.node.with_check):
        words = {constant(each) for each in grammar.walk(check)} if check is not None else set()
        if words & {"user_metadata", "raw_user_meta_data"}:
            name, policy = pending.name(act.node.table), printable(act.node.policy_name or "")
            yield f"Policy {policy} of {name} trusts user_metadata, which users change themselves."
            return


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
            yield Found(f"Drops policy {printable(policy)} of {name}.", relation=str(name))


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
    """To anon or PUBLIC. Reading alone is a caution. USAGE on schema public is theirs already; so is all on what the
    pending files make in it, whose rows row-level security then guards: info."""
    node, who = act.node, _everybody(act.node.grantees)
    if not node.is_grant or not who or _is_usage_of_public(node):
        return
    rights = [(right.priv_name or "all").lower() for right in node.privileges or ()] or ["all"]
    is_call = node.objtype in (ObjectType.OBJECT_FUNCTION, ObjectType.OBJECT_PROCEDURE, ObjectType.OBJECT_ROUTINE)
    level = Level.CAUTION if is_call or set(rights) <= _READS else None
    if _is_as_made(node, pending):
        level = Level.INFO
    yield Found(f"Grants {', '.join(rights)} on {_objects(node, pending)} to {' and '.join(who)}.", level=level)


def _is_as_made(node: ast.GrantStmt, pending: Pending) -> bool:
    """Only what the default privileges of a Supabase project give anyway: on tables of schema public with row-level
    security switched on, and on functions, both made by the pending files."""
    granted = list(pending.granted(node))
    is_table = node.objtype == ObjectType.OBJECT_TABLE
    return bool(granted) and all(
        name.schema == "public"
        and (name in pending.protected if is_table else True)
        and (pending.is_fresh(name) or pending.was_made("function", name) or pending.is_perhaps_fresh(str(name)))
        for name in granted
    )


def _is_usage_of_public(node: ast.GrantStmt) -> bool:
    rights = {(right.priv_name or "all").lower() for right in node.privileges or ()}
    schemas = {names(each)[-1] for each in node.objects or ()} if node.objtype == ObjectType.OBJECT_SCHEMA else set()
    return rights == {"usage"} and schemas == {"public"}


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
        schemas = [", ".join(names(option.arg)) for option in act.node.options or () if option.defname == "schemas"]
        where = f" in schema {printable(schemas[0])}" if schemas else ""
        yield f"Opens all objects made later{where} to {' and '.join(who)}."


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


@rule(
    "exposes-schema",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.AlterRoleSetStmt,),
    caught="alter role authenticator set pgrst.db_schemas = 'public, internal';",
    left_alone="alter role authenticator set pgrst.db_max_rows = '1000';",
    safe_way="Put what must be served into a schema of its own, with row-level security, and expose that alone.",
)
def exposes_schema(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Which schemas the Data API serves to everybody who has the anon key."""
    setting = act.node.setstmt
    if setting.name in ("pgrst.db_schemas", "pgrst.db_schema"):
        served = ", ".join(str(constant(each)) for each in setting.args or ())
        yield f"Has the Data API serve the schemas {printable(served)}."


@rule(
    "owner-changed",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.AlterOwnerStmt, ast.AlterTableStmt),
    caught="alter table orders owner to reporting;",
    left_alone="alter table orders owner to postgres;",
    safe_way="Leave it with postgres, and grant the rights that are needed.",
)
def owner_changed(act: Act, pending: Pending) -> Iterator[str | Found]:
    """An owner passes row-level security, and may change and drop the object."""
    if isinstance(act.node, ast.AlterOwnerStmt):
        parts = act.node.object
        name = pending.name_of_parts(names(parts)) if parts is not None else pending.name(act.node.relation)
        owners = [(name, act.node.newowner)]
    else:
        changes = (each for each in act.node.cmds or () if each.subtype == AlterTableType.AT_ChangeOwner)
        owners = [(pending.name(act.node.relation), each.newowner) for each in changes]
    for name, owner in owners:
        if owner is not None and (owner.rolename or "") not in ("postgres", ""):
            yield Found(f"Gives {name} to role {printable(owner.rolename or '')}, who may then do anything with it.")

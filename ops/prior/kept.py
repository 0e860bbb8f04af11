"""The prior copies that a request left: what the log tells of them, what of them is there, and their end."""

import json
import tempfile
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.catalog import UNDO_SCHEMA
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.freezing import freezes_of
from ops.guard import try_guard
from ops.layer import Ops
from ops.locking import lock_of
from ops.masking import printable
from ops.occupying import occupant_of
from ops.people import Actor
from ops.prior.private import contents_sha256
from ops.prior.private import place_of
from ops.prior.put_back import place
from ops.prior.tables import Kept
from ops.prior.tables import kept_from_json
from ops.requests import Request
from ops.requests import open_requests
from ops.schema.archive import read_archive
from ops.schema.model import Schema
from ops.targets import Target

KEEPER = Actor("system:keeper")

_LOCK = "SET lock_timeout = '2s'; SET statement_timeout = '60s'"


@dataclass(frozen=True)
class Told:
    """What the log tells of a request's copies. `covered` are the statements (version, index) that everything was copied of,
    `left_out` why something was not: sentences."""

    copies: tuple[Kept, ...]
    covered: frozenset[tuple[str, int]]
    left_out: tuple[str, ...]


def told_of(ops: Ops, requests: Sequence[Request], versions: Collection[str]) -> Told:
    """The copies that these requests took for these files. A try that was rolled back left none; the last one counts."""
    last: dict[tuple[str, int], Event] = {}
    for request in sorted(requests, key=lambda one: one.requested_at):
        for event in ops.view.events(stream=request.stream):
            if event.kind == "prior_copied" and event.data and event.data["version"] in versions:
                last[event.data["version"], event.data["statement"]] = event
    copies: list[Kept] = []
    left_out: list[str] = []
    for event in last.values():
        data = event.data or {}
        copies += (kept_from_json(one) for one in data["copies"])
        left_out += (f"Line {data['line']} of {data['version']}: {said}" for said in data["left_out"])
    covered = frozenset(which for which, event in last.items() if event.data and not event.data["left_out"])
    return Told(tuple(copies), covered, tuple(left_out))


def missing(connection: Connection, copies: Sequence[Kept]) -> list[Kept]:
    """Those that are not on the target any more."""
    there = {name for (name,) in connection.execute(_THERE).fetchall()}
    return [one for one in copies if one.table not in there]


def altered(connection: Connection, hashes: Mapping[str, str]) -> list[str]:
    """The copies (tables, with the hash of each when it was taken) that hold something else by now. Raises psycopg.Error,
    so where one is gone."""
    return [table for table, sha256 in hashes.items() if contents_sha256(connection, table) != sha256]


def altered_on(target: Target, hashes: Mapping[str, str]) -> list[str]:
    """The same in a session of its own. Raises OpsError where they cannot be read."""
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        try:
            return altered(connection, hashes)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error


def schema_before(connection: Connection, copies: Sequence[Kept], version: str) -> Schema | None:
    """The definitions of everything before the file of this version, where they were kept. Raises psycopg.Error."""
    kept = next((one for one in copies if one.what == "schema" and one.version == version), None)
    if kept is None:
        return None
    row = connection.execute(sql.SQL("SELECT archive FROM {}").format(place(kept))).fetchone()
    if row is None:
        return None
    with tempfile.TemporaryDirectory(prefix="countersign-schema-") as private:
        archive = Path(private, "schema.dump")
        archive.write_bytes(row[0])
        return read_archive(archive)


def remove_old(ops: Ops, target: Target) -> tuple[str, ...]:
    """Drop the copies on a target that were kept long enough, and write it down; the names of their tables.

    Those that an open request would put back from stay, and so do copies that no log of ours tells of. Nothing is touched
    on a target where something runs, that waits for a person or that somebody locked. Raises OpsError where it cannot be
    reached.
    """
    if not _may_be_tidied(ops.view, target, ops.now()) or not _old_tables(ops.view, target, ops.now()):
        return ()
    with closing(connect(target.database_url(), purpose=f"keep {target.name}")) as connection:
        try:
            there = {name for (name,) in connection.execute(_THERE).fetchall()}
            if not there or not try_guard(connection):
                return ()

            def decide(view: View) -> list[Draft]:
                now = ops.now()
                names = [name for name in _old_tables(view, target, now) if name in there]
                return [_removed(target, names)] if names and _may_be_tidied(view, target, now) else []

            names = tuple(name for event in ops.log.transact(decide) for name in (event.data or {})["tables"])
            connection.execute(_LOCK)
            for name in names:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place_of(name)))
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return names


def _may_be_tidied(view: View, target: Target, now: datetime) -> bool:
    is_locked = lock_of(view, target.project, target.environment, now) is not None
    is_locked = is_locked or bool(freezes_of(view, target.name, now))
    return not is_locked and occupant_of(view, target.stream) is None


def held(connection: Connection) -> tuple[int, int]:
    """How many tables of copies a target holds, whoever's, and their bytes."""
    row = connection.execute(_HELD).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def strange_in(view: View, target: Target, connection: Connection) -> Iterator[str]:
    """What is in the schema of copies and no table that our log tells of, and who else may get at it: sentences."""
    ours = _taken(view, target)
    for what, name in connection.execute(_OTHERS, (ours,)).fetchall():
        yield f"{what} {printable(name)} is in the schema {UNDO_SCHEMA}, and no log of ours tells of it"
    for what, who, may in connection.execute(_GRANTED).fetchall():
        yield f"{printable(who)} may {may} on {what}, where only the role that migrates may do anything"


def _old_tables(view: View, target: Target, now: datetime) -> list[str]:
    """The tables of copies that were taken long enough ago; also those that were to be dropped once and may not be gone."""
    before = now - target.settings.prior_copy_keep
    taken = _taken(view, target, until=before)
    plans = json.dumps([dict(request.plan) for request in open_requests(view)], default=str) if taken else ""
    return [name for name in taken if name not in plans]


def _taken(view: View, target: Target, until: datetime | None = None) -> list[str]:
    """The tables of all copies that our log tells of, oldest first."""
    query = Query(project=target.project, environment=target.environment, kinds=("prior_copied",))
    events = (event for event in view.find(query) if until is None or event.at < until)
    return [str(one["table"]) for event in events for one in (event.data or {"copies": ()})["copies"]]


def _removed(target: Target, names: Sequence[str]) -> Draft:
    return Draft(
        kind="prior_copies_removed",
        actor=KEEPER.id,
        stream=target.stream,
        project=target.project,
        environment=target.environment,
        data={"tables": list(names)},
    )


_OTHERS = """
WITH its AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'countersign_undo')
SELECT CASE c.relkind WHEN 'r' THEN 'the table' WHEN 'v' THEN 'the view' WHEN 'S' THEN 'the sequence'
         WHEN 'i' THEN 'the index' ELSE 'the relation' END, c.relname::text
FROM pg_catalog.pg_class AS c JOIN its ON c.relnamespace = its.oid
WHERE NOT (c.relkind = 'r' AND c.relname = ANY (%s))
UNION ALL SELECT 'the function', p.proname::text FROM pg_catalog.pg_proc AS p JOIN its ON p.pronamespace = its.oid
UNION ALL SELECT 'the type', t.typname::text FROM pg_catalog.pg_type AS t JOIN its ON t.typnamespace = its.oid
  WHERE t.typrelid = 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = t.oid AND e.typrelid <> 0)
UNION ALL SELECT 'the trigger', t.tgname || ' on ' || c.relname
  FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid JOIN its ON c.relnamespace = its.oid
UNION ALL SELECT 'the rule', r.rulename || ' on ' || c.relname
  FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'r'
  JOIN its ON c.relnamespace = its.oid
UNION ALL SELECT 'the policy', p.polname || ' on ' || c.relname
  FROM pg_catalog.pg_policy AS p JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid JOIN its ON c.relnamespace = its.oid
ORDER BY 1, 2
"""

_GRANTED = """
WITH its AS (SELECT oid, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = 'countersign_undo'),
rights AS (
  SELECT 'the schema countersign_undo' AS what, nspowner AS owner, nspacl AS acl FROM its
  UNION ALL SELECT 'countersign_undo.' || c.relname, c.relowner, c.relacl
    FROM pg_catalog.pg_class AS c JOIN its ON c.relnamespace = its.oid
  UNION ALL SELECT 'countersign_undo.' || c.relname || '.' || a.attname, c.relowner, a.attacl
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN its ON c.relnamespace = its.oid
  UNION ALL SELECT 'what is made in countersign_undo', d.defaclrole, d.defaclacl
    FROM pg_catalog.pg_default_acl AS d JOIN its ON d.defaclnamespace = its.oid
)
SELECT what, CASE a.grantee WHEN 0 THEN 'everybody' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END,
       pg_catalog.string_agg(lower(a.privilege_type), ', ' ORDER BY a.privilege_type)
FROM rights CROSS JOIN LATERAL pg_catalog.aclexplode(acl) AS a
WHERE a.grantee <> rights.owner GROUP BY 1, 2 ORDER BY 1, 2
"""

_HELD = """
SELECT count(*), coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'countersign_undo' AND c.relkind = 'r'
"""

_THERE = """
SELECT c.relname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'countersign_undo' AND c.relkind = 'r'
"""

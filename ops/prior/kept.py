"""The prior copies that a request left: what the log tells of them, what of them is there, and their end."""

import json
import tempfile
from collections.abc import Collection
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from audit import Draft
from audit import Event
from audit import Query
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.layer import Ops
from ops.people import Actor
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

    Those that an open request would put back from stay, and so do copies that no log of ours tells of. Raises OpsError
    where the target cannot be reached.
    """
    old = _old_tables(ops, target)
    if not old:
        return ()
    with closing(connect(target.database_url(), purpose=f"keep {target.name}")) as connection:
        try:
            there = {name for (name,) in connection.execute(_THERE).fetchall()}
            names = tuple(name for name in old if name in there)
            if not names:
                return ()
            ops.log.append([_removed(target, names)])
            connection.execute(_LOCK)
            for name in names:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place_of(name)))
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return names


def held(connection: Connection) -> tuple[int, int]:
    """How many tables of copies a target holds, whoever's, and their bytes."""
    row = connection.execute(_HELD).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _old_tables(ops: Ops, target: Target) -> list[str]:
    before = ops.now() - target.settings.prior_copy_keep
    query = Query(
        project=target.project, environment=target.environment, kinds=("prior_copied", "prior_copies_removed")
    )
    taken: dict[str, None] = {}
    for event in ops.view.find(query):
        data = event.data or {}
        if event.kind == "prior_copies_removed":
            for name in data["tables"]:
                taken.pop(name, None)
        elif event.at < before:
            taken |= dict.fromkeys(str(one["table"]) for one in data["copies"])
    plans = json.dumps([dict(request.plan) for request in open_requests(ops.view)], default=str) if taken else ""
    return [name for name in taken if name not in plans]


def _removed(target: Target, names: Sequence[str]) -> Draft:
    return Draft(
        kind="prior_copies_removed",
        actor=KEEPER.id,
        stream=target.stream,
        project=target.project,
        environment=target.environment,
        data={"tables": list(names)},
    )


_HELD = """
SELECT count(*), coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'countersign_undo' AND c.relkind = 'r'
"""

_THERE = """
SELECT c.relname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'countersign_undo' AND c.relkind = 'r'
"""

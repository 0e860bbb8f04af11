"""Cleaning up: INVALID indexes that a failed statement left behind are dropped. They cost writes and help nobody."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase

import psycopg

from audit import Event
from ops.amounts import bytes_text
from ops.apply_statements import Index
from ops.apply_statements import meaning
from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Effect
from ops.migration import Migration
from ops.partial import NOT_SENT
from ops.partial import statements_of
from ops.people import Actor
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.proposing import what_changed_since
from ops.requests import Request
from ops.scripts import Script
from ops.scripts import scripts_of
from ops.targets import Target

NO_VERSION = "0"
"""The version of a script that is about no file; no history has it."""


@dataclass(frozen=True)
class Invalid:
    """An index that is INVALID. `full_name` is quoted and with its schema, `definition` is the server's.

    `built_by` is the session that builds an index of its table at this moment, None where none does: one that is being
    built is INVALID too. `constraint` is the one that it belongs to, empty for none.
    """

    oid: int
    schema: str
    name: str
    table: str
    full_name: str
    definition: str
    bytes: int
    built_by: int | None
    constraint: str


def request_cleanup(ops: Ops, target: Target, actor: Actor, act: str, of: Request | None = None) -> Request:
    """Ask to drop the INVALID indexes that request `of` left behind; without one, all that the target has.

    Raises OpsError: NOT_ALLOWED where there is nothing to clean up, or something builds one of them just now; what reading
    and `propose` raise.
    """
    with closing(connect(target.database_url(), purpose=f"clean up {of.id if of else target.name}")) as connection:
        try:
            found = invalid_of(connection)
            fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    if of is not None:
        tables, names = _touched(ops, of)
        found = [one for one in found if one.table in tables or one.name in names]
    _check(found, target, of)
    return propose(ops, _proposal(ops, target, of, found, fingerprint), actor, act)


def invalid_of(connection: Connection) -> list[Invalid]:
    """The INVALID indexes of a target outside the platform's schemas, by name. Reads only. Raises psycopg.Error.

    Those of partitioned tables themselves are left out: they are INVALID until every partition has its part.
    """
    found = [Invalid(*row) for row in connection.execute(_INVALID).fetchall()]
    return [one for one in found if not any(fnmatchcase(one.schema, managed) for managed in MANAGED_SCHEMAS)]


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for other scripts; and an index that somebody builds by now, or another one of that name."""
    changed = what_changed_since(ops, request, progress)
    target = ops.target_of(request)
    with closing(connect(target.database_url(), purpose=f"look at {request.id}")) as connection:
        try:
            now = {one.oid: one for one in invalid_of(connection)}
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    for one in request.plan["facts"]["indexes"]:
        there = now.get(one["oid"])
        if there is None or there.full_name != one["name"]:
            changed.append(f"index {one['name']}, which is no longer there, or no longer INVALID")
        elif there.built_by is not None:
            changed.append(f"index {one['name']}: pid {there.built_by} builds an index of its table")
    return changed


def _proposal(
    ops: Ops, target: Target, of: Request | None, found: Sequence[Invalid], fingerprint: Fingerprint
) -> Proposal:
    version = str(of.ending.get("within") or NO_VERSION) if of is not None else NO_VERSION
    sql = "".join(f"DROP INDEX CONCURRENTLY {one.full_name};\n" for one in found)
    script = Script(version, "clean_up", "clean_up.sql", Effect.KEEPS, sql=sql)
    commit = of.commit if of is not None else ""
    count = f"{len(found)} INVALID index{'es' if len(found) != 1 else ''}"
    return Proposal(
        kind="cleanup",
        target=target,
        title=f"clean up behind {of.id} on" if of is not None else "clean up",
        commit=commit,
        fingerprint=fingerprint,
        of=of.id if of is not None else None,
        scripts=(script,),
        migrations=read_scripts_of(ops, target, commit, (script,)),
        does=(
            f"Drops {count}, without keeping anybody from reading or writing.",
            *(f"{one.full_name}, {bytes_text(one.bytes)}: {one.definition}" for one in found),
        ),
        loses=("No rows. No query uses an INVALID index; whoever needs the index builds it again.",),
        facts={"indexes": [{"oid": one.oid, "name": one.full_name} for one in found]},
    )


def _check(found: Sequence[Invalid], target: Target, of: Request | None) -> None:
    """Raise OpsError(NOT_ALLOWED) unless these may be dropped."""
    if not found:
        where = f"{of.id} left no INVALID index on {target.name}" if of else f"{target.name} has no INVALID index"
        refused(Reason.NOT_ALLOWED, f"{where}: there is nothing to clean up.", _what_then(of)).or_raise()
    for one in found:
        if one.built_by is not None:
            raise OpsError(
                Reason.TARGET_BUSY,
                f"Index {one.full_name} is INVALID, and pid {one.built_by} builds an index of its table at this moment.",
                "It may be this very one; ask again when that has ended, well or not.",
                exit_code=5,
            )
        if one.constraint:
            refused(
                Reason.NOT_ALLOWED,
                f"Index {one.full_name} is INVALID and belongs to the constraint {one.constraint}: it cannot go alone.",
                f"Drop the constraint in a migration, or build the index anew: REINDEX INDEX CONCURRENTLY {one.full_name}.",
            ).or_raise()


def _what_then(of: Request | None) -> str:
    return f"See what of it ran with `show {of.id}`." if of is not None else ""


def _touched(ops: Ops, of: Request) -> tuple[set[str], set[str]]:
    """The bare names of tables on which a request's statements build indexes, and of indexes that they touch, as far as
    one of them went to the target and did not succeed."""
    events = ops.view.events(stream=of.stream)
    tables: set[str] = set()
    names: set[str] = set()
    for migration in scripts_of(ops, of):
        for index in _failed_indexes(events, migration):
            tables |= {index.table} if index.table else set()
            names |= {index.name} if index.name else set()
    return tables, names


def _failed_indexes(events: Sequence[Event], migration: Migration) -> list[Index]:
    found: list[Index] = []
    for ran in statements_of(events, migration):
        if ran.is_done or ran.outcome == NOT_SENT:
            continue
        means = meaning(migration.statements[ran.index])
        found += [index for index in (means.builds, means.rebuilds, *means.drops) if index and index.concurrently]
    return found


_INVALID = """
    SELECT c.oid::bigint, n.nspname, c.relname, t.relname, format('%I.%I', n.nspname, c.relname),
           pg_catalog.pg_get_indexdef(c.oid), pg_catalog.pg_relation_size(c.oid),
           (SELECT min(p.pid) FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.relid = t.oid),
           coalesce((SELECT min(k.conname) FROM pg_catalog.pg_constraint AS k WHERE k.conindid = c.oid), '')
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
    WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind = 'i'
    ORDER BY n.nspname, c.relname
"""


KIND = Kind(what_changed=what_changed)

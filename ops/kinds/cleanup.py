"""Cleaning up what a failed statement left behind: INVALID indexes, which cost writes and help nobody, are dropped, and
partitions that are neither attached nor detached are detached."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase

import psycopg

from audit import Event
from ops.amounts import bytes_text
from ops.apply_partitions import Attached
from ops.apply_partitions import find_pending
from ops.apply_statements import Meaning
from ops.apply_statements import meaning
from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
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
from ops.scripts import NO_VERSION
from ops.scripts import Script
from ops.scripts import scripts_of
from ops.targets import Target


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
    """Ask to drop the INVALID indexes and to finish the detaching that request `of` left behind; without one, all that
    the target has.

    Raises NothingToDoError where there is none; OpsError: TARGET_BUSY where something builds one of them just now,
    NOT_ALLOWED for one of a constraint; what reading and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    with closing(connect(target.database_url(), purpose=f"clean up {of.id if of else target.name}")) as connection:
        try:
            found, pending = invalid_of(connection), find_pending(connection)
            fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    if of is not None:
        touched = _touched(ops, of)
        found = [one for one in found if one.table in touched.tables or one.name in touched.indexes]
        pending = tuple(one for one in pending if one.bare in touched.partitions)
    _check(found, pending, target, of)
    return propose(ops, _proposal(ops, target, of, found, pending, fingerprint), actor, act)


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
            names_pending = {one.name for one in find_pending(connection)}
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    for one in request.plan["facts"]["indexes"]:
        there = now.get(one["oid"])
        if there is None or there.full_name != one["name"]:
            changed.append(f"index {one['name']}, which is no longer there, or no longer INVALID")
        elif there.built_by is not None:
            changed.append(f"index {one['name']}: pid {there.built_by} builds an index of its table")
    detached = [name for name in request.plan["facts"].get("partitions", ()) if name not in names_pending]
    return changed + [f"partition {name}, which is no longer half detached" for name in detached]


def _proposal(
    ops: Ops,
    target: Target,
    of: Request | None,
    found: Sequence[Invalid],
    pending: Sequence[Attached],
    fingerprint: Fingerprint,
) -> Proposal:
    statements = [*(f"DROP INDEX CONCURRENTLY {one.full_name}" for one in found), *(one.finalize for one in pending)]
    sql = "".join(f"{one};\n" for one in statements)
    script = Script(NO_VERSION, "clean_up", "clean_up.sql", Effect.KEEPS, sql=sql)
    commit = of.commit if of is not None else ""
    count = f"{len(found)} INVALID index{'es' if len(found) != 1 else ''}"
    drops = (f"Drops {count}, without keeping anybody from reading or writing.",) if found else ()
    unused = " No query uses an INVALID index; whoever needs the index builds it again." if found else ""
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
            *drops,
            *(f"{one.full_name}, {bytes_text(one.bytes)}: {one.definition}" for one in found),
            *(f"Finishes to detach {one.name} from {one.parent}, which no longer sees its rows." for one in pending),
        ),
        loses=(f"No rows.{unused}",),
        facts={
            "indexes": [{"oid": one.oid, "name": one.full_name} for one in found],
            "partitions": [one.name for one in pending],
        },
    )


def _check(found: Sequence[Invalid], pending: Sequence[Attached], target: Target, of: Request | None) -> None:
    """Raise NothingToDoError where there are none, OpsError unless these may be dropped."""
    if not found and not pending:
        where = f"{of.id} left no INVALID index on {target.name}" if of else f"{target.name} has no INVALID index"
        raise NothingToDoError(f"{where}: there is nothing to clean up.", _what_then(of))
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


@dataclass(frozen=True)
class _Touched:
    """The bare names of what a request's statements worked on, as far as they went to the target and did not succeed."""

    tables: frozenset[str]
    indexes: frozenset[str]
    partitions: frozenset[str]


def _touched(ops: Ops, of: Request) -> _Touched:
    events = ops.view.events(stream=of.stream)
    failed = [means for migration in scripts_of(ops, of) for means in _failed(events, migration)]
    touched = [index for means in failed for index in (means.builds, means.rebuilds, *means.drops) if index]
    indexes = [index for index in touched if index.concurrently]
    return _Touched(
        tables=frozenset(index.table for index in indexes if index.table),
        indexes=frozenset(index.name for index in indexes if index.name),
        partitions=frozenset(means.detaches.name for means in failed if means.detaches),
    )


def _failed(events: Sequence[Event], migration: Migration) -> list[Meaning]:
    ran = statements_of(events, migration)
    return [meaning(migration.statements[one.index]) for one in ran if not one.is_done and one.outcome != NOT_SENT]


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

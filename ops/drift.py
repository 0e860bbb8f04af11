"""Drift: how a target differs from what its history makes, or from another target, and what would even it out."""

import hashlib
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import psycopg

from ops.catalog import MANAGED_SCHEMAS
from ops.database import Connection
from ops.drift_replay import read_applied
from ops.drift_replay import replay
from ops.drift_replay import schema_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import may_request_now
from ops.masking import mask_sql
from ops.people import Actor
from ops.progress import Told
from ops.rehearsal.copy import open_copy
from ops.rehearsal.report import ChangedObject
from ops.schema.comparing import LEFT_OUT_KINDS
from ops.schema.comparing import Pair
from ops.schema.comparing import change_of
from ops.schema.comparing import compare
from ops.schema.comparing import different
from ops.schema.deriving import SESSION
from ops.schema.deriving import Derived
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.targets import Target
from ops.tools import find_tools

Progress = Callable[[str], None]

NOT_COMPARED = LEFT_OUT_KINDS - {"invalid index"} | {"database properties"}
"""What belongs to a server, and not to a project's schema."""

_STATEMENT_SECONDS = 120

Name = tuple[str, str, str]
"""Kind, schema and name of an object: what it is called in both schemas."""


@dataclass(frozen=True)
class Difference:
    """One object that differs. `statements` make it as it should be; `is_proven`: on a copy they did just that.

    Without statements: `reason` says why there are none, or another object's do it as well. `sha256` is of the definition
    that is there, so that what was adopted as it is can be told from what has changed since (`adopted_by`: the request).
    """

    object: ChangedObject
    statements: tuple[str, ...]
    is_proven: bool
    reason: str
    sha256: str = ""
    adopted_by: str | None = None


@dataclass(frozen=True)
class Drift:
    """How `target` differs from `wanted` (words: the other target, or what its history makes). Secrets are cut.

    The objects say what the target has otherwise; `statements` are all that are proven to bring it to what is wanted, in
    the order in which they ran. `diff_text` goes from what is wanted to what is there. `notes` are sentences about what
    the comparison rests on.
    """

    target: str
    wanted: str
    commit: str | None
    migrations: int
    differences: tuple[Difference, ...]
    statements: tuple[str, ...]
    diff_text: str
    notes: tuple[str, ...]
    seconds: float


def drift_of(ops: Ops, target: Target, actor: Actor, progress: Progress = lambda _: None) -> Drift:
    """The target beside what its history makes when it is replayed on a copy. Reads the target, writes nothing there.

    Raises OpsError: NOT_ALLOWED for who may not plan there, PLAN_BLOCKED or SQL_FAILED when the history cannot be
    replayed, and what reading and copying raise.
    """
    may_request_now(ops, target, actor).or_raise()
    began = time.monotonic()
    tell = _teller(progress)
    with _turn(ops, tell):
        tell(f"reading the history of {target.name}")
        history = read_applied(target, ops.repository(target))
        made = replay(target, history, cache=_cache(ops), progress=tell, stop=ops.rehearsals.is_over)
        found = _compared(ops, target, made.schema, tell)
    adopted = _adopted(ops, target)
    count = len(history.migrations)
    words = f"what its {count} migration{'s' if count != 1 else ''} make{'s' if count == 1 else ''}"
    return Drift(
        target.name,
        words,
        history.commit,
        count,
        tuple(replace(one, adopted_by=adopted.get((_name(one.object), one.sha256))) for one in found.differences),
        found.statements,
        found.diff_text,
        (*history.notes, *made.unlike, *found.notes),
        round(time.monotonic() - began, 3),
    )


def drift_between(ops: Ops, wanted: Target, target: Target, actor: Actor, progress: Progress = lambda _: None) -> Drift:
    """A target beside another one, which is as it should be. Reads both, writes nothing. Raises OpsError as `drift_of`."""
    may_request_now(ops, wanted, actor).or_raise()
    may_request_now(ops, target, actor).or_raise()
    began = time.monotonic()
    tell = _teller(progress)
    with _turn(ops, tell):
        tell(f"reading the schema of {wanted.name}")
        found = _compared(ops, target, _schema(wanted), tell)
    seconds = round(time.monotonic() - began, 3)
    return Drift(
        target.name, wanted.name, None, 0, found.differences, found.statements, found.diff_text, found.notes, seconds
    )


@dataclass(frozen=True)
class _Found:
    differences: tuple[Difference, ...]
    statements: tuple[str, ...]
    diff_text: str
    notes: tuple[str, ...]


def _compared(ops: Ops, target: Target, wanted: Schema, tell: Progress) -> _Found:
    tell(f"reading the schema of {target.name}")
    there = _schema(target)
    difference = compare(wanted, there, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=NOT_COMPARED)
    unread = sorted({*wanted.not_read, *there.not_read})
    notes = [f"Not compared, since they may not be read: {', '.join(unread[:10])}."] if unread else []
    if not difference:
        return _Found((), (), "", tuple(notes))
    tell("looking for statements that even it out")
    derived = derive(there, wanted, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=NOT_COMPARED)
    try:
        proof = _prove(ops, target, there, wanted, derived, tell)
    except OpsError as error:
        if error.reason is Reason.STOPPED:
            raise
        proof = _Proof(frozenset(), {}, f"Nothing is proven: {error.message}")
    if proof.note:
        notes.append(proof.note)
    told = {_name(one.object): one for one in _told(difference.changes, derived, proof)}
    statements = [
        mask_sql(statement) for one in derived if told[_name(one.object)].is_proven for statement in one.statements
    ]
    marks = {_name(change_of(pair)): _sha256(pair) for pair in _pairs(wanted, there)}
    differences = tuple(replace(told[_name(one)], sha256=marks.get(_name(one), "")) for one in difference.changes)
    return _Found(differences, tuple(statements), difference.text, tuple(notes))


@dataclass(frozen=True)
class _Proof:
    """What was still not as wanted after all statements had run on a copy; `failed`: those that did not run, by place.

    With a `note`, which says why, nothing is proven.
    """

    left: frozenset[Name]
    failed: Mapping[int, str]
    note: str = ""


def _prove(
    ops: Ops, target: Target, there: Schema, wanted: Schema, derived: Sequence[Derived], tell: Progress
) -> _Proof:
    """Run the statements on a copy of the target, and compare again."""
    with open_copy(
        target.database_url(),
        tools_bin=target.all_settings.postgres.bin,
        cache=_cache(ops),
        demand=target.settings.isolation,
        progress=tell,
        stop=ops.rehearsals.is_over,
    ) as copy:
        unlike = _names(there, schema_of(copy))  # says nothing about the statements
        tell("proving the statements on a copy")
        with closing(copy.connect()) as connection:
            failed = dict(_run(connection, derived))
        left = _names(wanted, schema_of(copy)) - unlike
    broken = left - _names(wanted, there)
    if broken:
        names = ", ".join(sorted(".".join(part for part in name[1:] if part) for name in broken)[:5])
        return _Proof(left, failed, f"Nothing is proven: on a copy the statements also changed {names}.")
    return _Proof(left, failed)


def _run(connection: Connection, derived: Sequence[Derived]) -> Iterator[tuple[int, str]]:
    """Run what was derived; which of it fails, and why."""
    connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
    for statement in SESSION:
        connection.execute(statement.encode())
    for number, one in enumerate(derived):
        try:
            for statement in one.statements:
                connection.execute(statement.encode())
        except psycopg.Error as error:
            yield number, f"on a copy it failed (SQLSTATE {error.sqlstate or 'unknown'})"


def _told(changes: Sequence[ChangedObject], derived: Sequence[Derived], proof: _Proof) -> tuple[Difference, ...]:
    """Every object that differs or is made anew, with its statements."""
    objects = {_name(one): one for one in changes}
    told: dict[Name, Difference] = {}
    for number, one in enumerate(derived):
        name = _name(one.object)
        earlier = told.get(name) or Difference(objects.get(name, one.object), (), False, "")
        statements = (*earlier.statements, *map(mask_sql, one.statements))
        reason = one.reason or proof.failed.get(number, "") or earlier.reason
        told[name] = replace(earlier, statements=statements, reason=reason)
    for name, change in objects.items():
        told.setdefault(name, Difference(change, (), False, "" if name not in proof.left else "nothing was derived"))
    return tuple(_judged(one, proof) for one in told.values())


def _judged(found: Difference, proof: _Proof) -> Difference:
    if found.reason:
        return found
    if proof.note:
        return replace(found, reason="not proven")
    if _name(found.object) in proof.left:
        return replace(found, reason="on a copy it did not even the difference out")
    return replace(found, is_proven=True)


def _name(one: ChangedObject) -> Name:
    return (one.kind, one.schema, one.name)


def _pairs(before: Schema, after: Schema) -> list[Pair]:
    return different(before, after, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=NOT_COMPARED)


def _names(before: Schema, after: Schema) -> frozenset[Name]:
    return frozenset(_name(change_of(pair)) for pair in _pairs(before, after))


def _sha256(pair: Pair) -> str:
    """Of what is there, owner included; of nothing where the object is missing."""
    there = pair.after
    return hashlib.sha256(f"{there.owner}\n{there.definition}".encode() if there else b"").hexdigest()


def _adopted(ops: Ops, target: Target) -> dict[tuple[Name, str], str]:
    """What of a target was adopted as it was, by name and definition, and by which request."""
    event = ops.view.last(kind="adopted", project=target.project, environment=target.environment)
    found = (event.data or {}).get("differences", []) if event else []
    return {
        ((one["kind"], one["schema"], one["name"]), one["sha256"]): (event and event.request) or "" for one in found
    }


def _schema(target: Target) -> Schema:
    folder = target.all_settings.postgres.bin
    return read_schema(target.database_url(), tools=find_tools(None, folder) if folder else None)


def _cache(ops: Ops) -> Path:
    return ops.settings.path(ops.settings.state.path).parent / "schemas"


def _teller(progress: Progress) -> Progress:
    def tell(words: str) -> None:
        share = words.share if isinstance(words, Told) else None
        progress(Told(f"drift: {words.removeprefix('rehearsal: ')}", step="drift", share=share))

    return tell


def _turn(ops: Ops, tell: Progress) -> AbstractContextManager[None]:
    return ops.rehearsals.turn(f"drift {uuid.uuid4()}", lambda: tell("waits for another one"))

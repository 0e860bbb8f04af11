"""Drift: how a target differs from what its history makes, or from another target, and what would even it out."""

import hashlib
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from ops.catalog import MANAGED_SCHEMAS
from ops.drift_proof import NOT_COMPARED
from ops.drift_proof import Name
from ops.drift_proof import Proof
from ops.drift_proof import Sides
from ops.drift_proof import name_of
from ops.drift_proof import pairs
from ops.drift_proof import prove
from ops.drift_replay import read_applied
from ops.drift_replay import replay
from ops.layer import Ops
from ops.layer import may_request_now
from ops.masking import mask_sql
from ops.people import Actor
from ops.progress import Told
from ops.rehearsal.report import ChangedObject
from ops.schema.comparing import Pair
from ops.schema.comparing import change_of
from ops.schema.comparing import compare
from ops.schema.deriving import Derived
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.targets import Target
from ops.tools import find_tools

Progress = Callable[[str], None]

_WITHOUT_ROWS = (
    "The copy on which the statements were proven has no rows: what rows forbid (NOT NULL, UNIQUE, CHECK, another type) was "
    "not seen, and what a dropped column or table holds is lost."
)


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
        tuple(replace(one, adopted_by=adopted.get((name_of(one.object), one.sha256))) for one in found.differences),
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
    proof = prove(Sides(target, there, wanted), derived, cache=_cache(ops), tell=tell, stop=ops.rehearsals.is_over)
    notes += [proof.note] if proof.note else []
    if proof.statements:
        notes.append(_WITHOUT_ROWS)
    marks = {name_of(change_of(pair)): _sha256(pair) for pair in pairs(wanted, there)}
    told = _told(difference.changes, derived, proof)
    differences = tuple(replace(one, sha256=marks.get(name_of(one.object), "")) for one in told)
    return _Found(differences, proof.statements, difference.text, tuple(notes))


def _told(changes: Sequence[ChangedObject], derived: Sequence[Derived], proof: Proof) -> Iterator[Difference]:
    """Every object that differs, with its statements and whether they are proven."""
    statements: dict[Name, tuple[str, ...]] = {}
    for one in derived:
        statements[name_of(one.object)] = (*statements.get(name_of(one.object), ()), *map(mask_sql, one.statements))
    for change in changes:
        name = name_of(change)
        reason = proof.reasons.get(name, "")
        yield Difference(change, statements.get(name, ()), not reason, reason)


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

"""Drift: how a target differs from what its history makes, or from another target, and what would even it out."""

import hashlib
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import psycopg

from ops.catalog import MANAGED_SCHEMAS
from ops.database import connect
from ops.database import target_failed
from ops.drift_proof import BESIDE_HISTORY
from ops.drift_proof import BETWEEN_TARGETS
from ops.drift_proof import Name
from ops.drift_proof import Proof
from ops.drift_proof import Sides
from ops.drift_proof import name_of
from ops.drift_proof import prove
from ops.drift_replay import read_past
from ops.drift_replay import replay
from ops.history import read_history
from ops.layer import Ops
from ops.layer import may_request_now
from ops.masking import mask_sql
from ops.people import Actor
from ops.progress import Told
from ops.rehearsal.report import ChangedObject
from ops.rehearsing import note_start
from ops.schema.comparing import Pair
from ops.schema.comparing import change_of
from ops.schema.comparing import compare
from ops.schema.deriving import Derived
from ops.schema.deriving import derive
from ops.schema.model import Schema
from ops.schema.of_project import of_project
from ops.schema.reading import read_schema
from ops.targets import Target
from ops.tools import Tools
from ops.tools import find_tools

Progress = Callable[[str], None]

VERSIONS_NAMED = 10

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

    Raises OpsError: NOT_ALLOWED for who may not plan there, HISTORY_NOT_REPLAYED with the place where it fails, and what
    reading and copying raise.
    """
    may_request_now(ops, target, actor).or_raise()
    tell = _teller(progress)

    def work() -> Drift:
        began = time.monotonic()
        tell(f"reading the history of {target.name}")
        history = read_past(target, ops.repository(target))
        note_start(ops, target, actor, history.commit, history.migrations)
        made = replay(target, history, cache=_cache(ops), progress=tell, stop=ops.rehearsals.is_over)
        there = _schema(target, made.tools, tell)
        found = _compared(ops, Sides(target, there, made.schema, BESIDE_HISTORY), tell, _adopted(ops, target))
        count = len(history.migrations)
        words = f"what its {count} migration{'s' if count != 1 else ''} make{'s' if count == 1 else ''}"
        notes = (*history.notes, *made.unlike)
        return _drift(found, target, words, began, notes, commit=history.commit, migrations=count)

    return ops.rehearsals.shared(f"drift {target.name}", lambda: tell("waits for another one"), work)


def drift_between(ops: Ops, wanted: Target, target: Target, actor: Actor, progress: Progress = lambda _: None) -> Drift:
    """A target beside another one, which is as it should be. Reads both, writes nothing. Raises OpsError as `drift_of`."""
    may_request_now(ops, wanted, actor).or_raise()
    may_request_now(ops, target, actor).or_raise()
    tell = _teller(progress)

    def work() -> Drift:
        began = time.monotonic()
        tools = _tools(wanted, target)
        as_wanted, there = (of_project(_schema(one, tools, tell)) for one in (wanted, target))
        found = _compared(ops, Sides(target, there, as_wanted, BETWEEN_TARGETS), tell, {})
        return _drift(found, target, wanted.name, began, _not_pushed(wanted, target))

    return ops.rehearsals.shared(f"drift {wanted.name} {target.name}", lambda: tell("waits for another one"), work)


def _drift(
    found: "_Found",
    target: Target,
    wanted: str,
    began: float,
    notes: Sequence[str],
    *,
    commit: str | None = None,
    migrations: int = 0,
) -> Drift:
    return Drift(
        target=target.name,
        wanted=wanted,
        commit=commit,
        migrations=migrations,
        differences=found.differences,
        statements=found.statements,
        diff_text=found.diff_text,
        notes=(*notes, *found.notes),
        seconds=round(time.monotonic() - began, 3),
    )


@dataclass(frozen=True)
class _Found:
    differences: tuple[Difference, ...]
    statements: tuple[str, ...]
    diff_text: str
    notes: tuple[str, ...]


Adopted = Mapping[tuple[Name, str], str]
"""By name and definition what was adopted as it is, and by which request."""


def _compared(ops: Ops, sides: Sides, tell: Progress, adopted: Adopted) -> _Found:
    wanted, there, left_out = sides.wanted, sides.there, sides.left_out
    difference = compare(wanted, there, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=left_out)
    unread = sorted({*wanted.not_read, *there.not_read})
    notes = [f"Not compared, since they may not be read: {', '.join(unread[:10])}."] if unread else []
    if not difference:
        return _Found((), (), "", tuple(notes))
    tell("looking for statements that even it out")
    marks = {name_of(change_of(pair)): _sha256(pair) for pair in sides.pairs()}
    kept = {name: adopted[name, sha256] for name, sha256 in marks.items() if (name, sha256) in adopted}
    every = derive(there, wanted, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=left_out)
    derived = [one for one in every if name_of(one.object) not in kept]
    proof = prove(sides, derived, cache=_cache(ops), tell=tell, stop=ops.rehearsals.is_over)
    notes += [proof.note] if proof.note else []
    if proof.statements:
        notes.append(_WITHOUT_ROWS)
    differences = tuple(
        replace(one, sha256=marks.get(name_of(one.object), ""), adopted_by=kept.get(name_of(one.object)))
        for one in _told(difference.changes, derived, proof, kept)
    )
    return _Found(differences, proof.statements, difference.text, tuple(notes))


def _told(
    changes: Sequence[ChangedObject], derived: Sequence[Derived], proof: Proof, kept: Mapping[Name, str]
) -> Iterator[Difference]:
    """Every object that differs, with its statements and whether they are proven."""
    statements: dict[Name, tuple[str, ...]] = {}
    for one in derived:
        statements[name_of(one.object)] = (*statements.get(name_of(one.object), ()), *map(mask_sql, one.statements))
    for change in changes:
        name = name_of(change)
        reason = f"adopted as it is by {kept[name]}" if name in kept else proof.reasons.get(name, "")
        yield Difference(change, statements.get(name, ()), not reason, reason)


def _sha256(pair: Pair) -> str:
    """Of what is there, owner included; of nothing where the object is missing."""
    there = pair.after
    return hashlib.sha256(f"{there.owner}\n{there.definition}".encode() if there else b"").hexdigest()


def _not_pushed(wanted: Target, target: Target) -> list[str]:
    """What is applied on one and not on the other, in sentences: most differences are that."""
    first, second = (_versions(one) for one in (wanted, target))
    found = []
    for missing, here, there in ((first - second, wanted, target), (second - first, target, wanted)):
        if missing:
            more = f" and {len(missing) - VERSIONS_NAMED} more" if len(missing) > VERSIONS_NAMED else ""
            names = ", ".join(sorted(missing)[:VERSIONS_NAMED])
            found.append(f"Applied on {here.name} and not on {there.name}: {names}{more}.")
    return found


def _versions(target: Target) -> set[str]:
    with closing(connect(target.database_url(), purpose=f"drift {target.name}")) as connection:
        try:
            return {row.version for row in read_history(connection)}
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error


def _adopted(ops: Ops, target: Target) -> Adopted:
    event = ops.view.last(kind="adopted", project=target.project, environment=target.environment)
    found = (event.data or {}).get("differences", []) if event else []
    return {
        ((one["kind"], one["schema"], one["name"]), one["sha256"]): (event and event.request) or "" for one in found
    }


def _schema(target: Target, tools: Tools, tell: Progress) -> Schema:
    tell(f"reading the schema of {target.name}")
    return read_schema(target.database_url(), tools=tools)


def _tools(*targets: Target) -> Tools:
    """Programs for all of these: two pg_dumps word the same thing in two ways."""
    newest = 0
    for target in targets:
        with closing(connect(target.database_url(), purpose=f"drift {target.name}")) as connection:
            newest = max(newest, connection.info.server_version // 10_000)
    return find_tools(newest, targets[0].all_settings.postgres.bin)


def _cache(ops: Ops) -> Path:
    return ops.settings.path(ops.settings.state.path).parent / "schemas"


def _teller(progress: Progress) -> Progress:
    def tell(words: str) -> None:
        share = words.share if isinstance(words, Told) else None
        progress(Told(f"drift: {words.removeprefix('rehearsal: ')}", step="drift", share=share))

    return tell

"""Recording: what somebody ran by hand is entered afterwards, with who and why, once a replay shows it on the target."""

import re
from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import Query
from ops.applied_files import Applied
from ops.applied_files import read_applied
from ops.catalog import MANAGED_SCHEMAS
from ops.drift_proof import BESIDE_HISTORY
from ops.drift_replay import History
from ops.drift_replay import read_past
from ops.drift_replay import replay
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryRow
from ops.history import file_sha256
from ops.kinds.kind import Kind
from ops.kinds.repair import authors_of
from ops.kinds.repair import file_of
from ops.kinds.repair import files_at
from ops.kinds.repair import row_script
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.migration import Effect
from ops.migration import Migration
from ops.people import Actor
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import people_of
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.rehearsing import note_start
from ops.repository import Author
from ops.requests import Request
from ops.schema.comparing import change_of
from ops.schema.comparing import different
from ops.schema.model import Schema
from ops.schema.naming import words_of
from ops.schema.reading import read_schema
from ops.targets import Target

_MENTION = re.compile(r"@([UW][A-Z0-9]+)\b")

NAMED = 10
"""So many objects are named in one sentence."""


@dataclass(frozen=True)
class ByHand:
    """What somebody says was run: the files of these versions, by whom, and why."""

    versions: tuple[str, ...]
    by: str
    because: str


@dataclass(frozen=True)
class _Evidence:
    """What a replay shows: the objects that the files make, and those that differ on the target all the same."""

    made: tuple[str, ...]
    other: tuple[str, ...]


def request_record(
    ops: Ops, target: Target, said: ByHand, actor: Actor, act: str, progress: Progress = lambda _: None
) -> Request:
    """Ask to enter what was run by hand. The same act asked again finds its request.

    What this log saw run is left out. Raises NothingToDoError where that is all of it; OpsError: UNKNOWN_VERSION for a
    version without a file; PLAN_BLOCKED where its row says something else; DRIFT_FOUND where the target is not what these
    files make; what replaying and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    progress(f"reading the repository and {target.name}")
    repository = ops.repository(target)
    applied = read_applied(target, repository)
    files = files_at(ops, target, applied.commit)
    wanted = [file_of(files, version, target) for version in sorted(set(said.versions))]
    known = {one.version: _recorded_by(ops, target, applied, one) for one in wanted}
    if all(known.values()):
        by = ", ".join(dict.fromkeys(filter(None, known.values())))
        names = ", ".join(one.filename for one in wanted)
        raise NothingToDoError(f"{target.name}: nothing to do, the log has {names} already, by {by}")
    wanted = [one for one in wanted if not known[one.version]]
    scripts = [row_script(one, _effect(target, applied, one)) for one in wanted]
    evidence = _evidence(ops, target, wanted, actor, progress)
    wrote = authors_of(ops, target, applied.commit, files, said.versions)
    authors, unknown = people_of(ops, wrote)
    names = ", ".join(one.filename for one in wanted)
    added = [one.filename for one in scripts if one.effect is Effect.ADDS]
    proposal = Proposal(
        kind="record",
        target=target,
        title="record what was done by hand on",
        commit=applied.commit,
        fingerprint=applied.fingerprint,
        scripts=tuple(scripts),
        migrations=read_scripts_of(ops, target, applied.commit, scripts),
        does=(
            f"Enters that {said.by} ran {names} by hand, because: {said.because}",
            f"Adds the history row of {', '.join(added)}." if added else "The history has every row of it already.",
            "Nothing else is changed: the SQL of no file is run.",
        ),
        proven=tuple(_proof(target, evidence)),
        facts={"by": said.by, "because": said.because, "versions": [one.version for one in wanted]},
        authors=tuple(sorted({*authors, *_ran_by(ops, said.by, wrote)})),
        unknown_authors=unknown,
    )
    return propose(ops, proposal, actor, act)


def _ran_by(ops: Ops, by: str, wrote: Sequence[Author]) -> set[str]:
    """The Slack ids of who is said to have run it: mentioned, known under [people], or named as a commit names them."""
    addresses = [by, *by.split(), *(word.strip("<>(),;") for word in by.split())]
    addresses += [one.email for one in wrote if one.name and one.name.casefold() in by.casefold()]
    known = (ops.settings.known_author(one) for one in addresses)
    return {*_MENTION.findall(by), *(who for who in known if who)}


def _recorded_by(ops: Ops, target: Target, applied: Applied, migration: Migration) -> str | None:
    """The request of ours that wrote the row that the history has of this file; None where none did."""
    row = _row_of(applied, migration)
    return _applied_by(ops, target, migration.version) if row and row.sha256 == file_sha256(migration) else None


def _row_of(applied: Applied, migration: Migration) -> HistoryRow | None:
    return next((one for one in applied.rows if one.version == migration.version), None)


def _effect(target: Target, applied: Applied, migration: Migration) -> Effect:
    """Whether the history's row is still to be added. Raises OpsError where it says something else."""
    row = _row_of(applied, migration)
    if row is None:
        return Effect.ADDS
    if row.sha256 != file_sha256(migration):
        refused(
            Reason.PLAN_BLOCKED,
            f"The history has {migration.version} already, but with other statements than {migration.filename} has.",
            f"Commit the file as it was run, or ask for `repair {target.environment} applied {migration.version}`.",
        ).or_raise()
    return Effect.KEEPS


def _applied_by(ops: Ops, target: Target, version: str) -> str | None:
    """The request of ours that applied this version and was not undone since; None where none did."""
    kinds = ("migration_applied", "migration_undone")
    query = Query(project=target.project, environment=target.environment, kinds=kinds, text=version)
    last = next((one for one in reversed(ops.view.find(query)) if one.data and one.data["version"] == version), None)
    return last.request if last is not None and last.kind == kinds[0] else None


def _evidence(ops: Ops, target: Target, wanted: Sequence[Migration], actor: Actor, progress: Progress) -> _Evidence:
    """The target beside what its history makes without and with these files. Raises OpsError(DRIFT_FOUND) unless every
    object that the files make, change or drop is on the target as they leave it."""
    versions = {one.version for one in wanted}

    def work() -> _Evidence:
        past = read_past(target, ops.repository(target))
        before = tuple(one for one in past.migrations if one.version not in versions)
        after = tuple(sorted((*before, *wanted), key=lambda one: one.version))
        note_start(ops, target, actor, past.commit, after)
        without = _replayed(ops, target, History(past.commit, before, past.notes), progress)
        made = replay(
            target,
            History(past.commit, after, past.notes),
            cache=_cache(ops),
            progress=progress,
            stop=ops.rehearsals.is_over,
        )
        progress(f"reading the schema of {target.name}")
        there = read_schema(target.database_url(), tools=made.tools)
        touched = _names(without, made.schema)
        now, then = _names(made.schema, there), _names(without, there)
        _check(target, wanted, [words for words in now if words in touched or words not in then])
        return _Evidence(tuple(touched), tuple(now))

    return ops.rehearsals.shared(
        f"record {target.name} {sorted(versions)}", lambda: progress("waits for another one"), work
    )


def _replayed(ops: Ops, target: Target, history: History, progress: Progress) -> Schema:
    return replay(target, history, cache=_cache(ops), progress=progress, stop=ops.rehearsals.is_over).schema


def _check(target: Target, wanted: Sequence[Migration], odd: Sequence[str]) -> None:
    if not odd:
        return
    files = "that file" if len(wanted) == 1 else "those files"
    raise OpsError(
        Reason.DRIFT_FOUND,
        f"{target.name} is not what its history and {files} make together: {_some(odd)}. Nothing was asked for.",
        f"See both with `drift {target.environment}`. If it was not run as it stands, commit what was run; what is to be "
        f"entered without proof takes `repair {target.environment} applied …`.",
        exit_code=1,
    )


def _proof(target: Target, evidence: _Evidence) -> list[str]:
    count = len(evidence.made)
    if not count:
        return [
            "Nothing of it shows in the schema (rows only, say), so no replay can prove it: it rests on what people say."
        ]
    objects = "1 object" if count == 1 else f"{count} objects"
    said = [
        f"Replayed on an empty copy, it makes or changes {objects}, and {target.name} has them so: {_some(evidence.made)}."
    ]
    if evidence.other:
        said.append(f"What differs there all the same, did so without it: {_some(evidence.other)}.")
    said.append("What it did to rows, no replay can prove.")
    return said


def _names(before: Schema, after: Schema) -> list[str]:
    """The objects that differ, in words."""
    pairs = different(before, after, schemas_left_out=MANAGED_SCHEMAS, kinds_left_out=BESIDE_HISTORY)
    return [words_of(change_of(pair)) for pair in pairs]


def _some(names: Collection[str]) -> str:
    shown = list(names)[:NAMED]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(shown)}{more}"


def _cache(ops: Ops) -> Path:
    return ops.settings.path(ops.settings.state.path).parent / "schemas"


KIND = Kind()

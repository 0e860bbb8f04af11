"""After a runner died: what is on the target, from the log's intents and the target's own word. Guesses nothing."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit import Event
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.apply_recovery import Found
from ops.apply_recovery import inspect_after_crash
from ops.catalog import catalog_hash
from ops.database import Connection
from ops.database import connect
from ops.fingerprint import identity_of
from ops.guard import wait_until_gone
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.history import read_history
from ops.journal import APPLIED
from ops.journal import applied_data
from ops.layer import Ops
from ops.migration import Effect
from ops.migrations import Migration
from ops.requests import Request
from ops.requests import stream_of
from ops.scripts import removed_rows
from ops.scripts import scripts_of
from ops.targets import Target

BACKEND_SECONDS = 60.0
"""So long a dead runner's backend may go on with its statement before a person is asked."""


@dataclass(frozen=True)
class Standing:
    """Where a target stands after its runner died.

    `found`: data of the event, of kind `found_kind`, that the dead runner could not write any more. `settled`: data of the
    `statement_finished` events likewise. `row_missing`: the version of a file whose every statement is there, but not
    its history row. `problem` says why the run may not go on by itself; it is empty when the target is exactly the base
    and a prefix of the plan.
    """

    found: dict[str, object] | None = None
    found_kind: str = "migration_applied"
    settled: tuple[dict[str, object], ...] = ()
    row_missing: str | None = None
    problem: str = ""


def where_it_stands(ops: Ops, request: Request, target: Target) -> Standing:
    """Wait until the dead runner's backend is gone, then compare the target with the base plus a prefix of the plan.

    Reads only. A `problem` with nothing settled means that what became of a statement cannot be known.
    """
    events = ops.view.events(stream=stream_of(request.id))
    repository = ops.repository(target)
    if request.files and not repository.has_commit(request.commit):
        repository.update()
    pending = scripts_of(ops, request)
    with closing(connect(target.database_url(), purpose=f"recovery {request.id}")) as connection:
        other = _identity_problem(connection, request, target)
        if other:
            return Standing(problem=other)
        standing = Standing()
        for one in _open_intents(events):
            migration = next(file for file in pending if file.version == one.intent.version)
            standing = _both(standing, _settle(connection, migration, one))
            if standing.problem:
                return standing
        applied = [*request.applied, *([str(standing.found["version"])] if standing.found else [])]
        problem = _history_problem(connection, request, pending, applied)
        if not problem and standing.row_missing is None:
            # What runs in batches goes on behind the last one, and does no row twice.
            whole = [migration for migration in pending if migration.batches is None]
            left = [migration.version for migration in whole if migration.version not in applied]
            problem = _half_file_problem(events, left) or _schema_problem(connection, events, request, standing)
        if not problem:
            problem = _rehearsal_problem(connection, request, standing.row_missing or next(iter(applied[-1:]), None))
        return replace(standing, problem=problem)


def remains_of(events: Sequence[Event], left: Sequence[str]) -> str:
    """What is on the target of a file that is not applied: "" nothing, "some" of its statements, or "unknown"."""
    outcomes: dict[tuple[str, int, str], str] = {}
    for event in events:
        data = event.data or {}
        if event.kind in {"statement_sent", "statement_finished"} and data["version"] in left:
            key = (data["version"], data["segment"], ",".join(map(str, data["statements"])))
            outcomes[key] = data["outcome"] if event.kind == "statement_finished" else "unknown"
    if "unknown" in outcomes.values():
        return "unknown"
    return "some" if outcomes.keys() and {"done", "failed"} & set(outcomes.values()) else ""


def _both(earlier: Standing, later: Standing) -> Standing:
    """Where two open intents leave the target together: at most one of them was at its COMMIT."""
    return Standing(
        found=earlier.found or later.found,
        found_kind=earlier.found_kind if earlier.found else later.found_kind,
        settled=(*earlier.settled, *later.settled),
        row_missing=later.row_missing,
        problem=later.problem,
    )


@dataclass(frozen=True)
class _OpenIntent:
    """The last thing that went to the target of a file: whether it is known to be done, and its COMMIT if one was sent."""

    intent: Intent
    is_done: bool = False
    commit: Mapping[str, Any] | None = None
    batch: Mapping[str, Any] | None = None
    """The newest batch whose COMMIT was sent."""

    @property
    def xid(self) -> str | None:
        """The transaction whose COMMIT was sent last."""
        sent = self.commit or self.batch
        return str(sent["xid"]) if sent else None


def _open_intents(events: Sequence[Event]) -> list[_OpenIntent]:
    """The last intents of files that are not known to be applied or rolled back, in their order.

    Two at most: what the file before was at, and a plain file's, which is written down while that one runs.
    """
    found: dict[str, _OpenIntent] = {}
    for event in events:
        data = event.data or {}
        version = str(data.get("version"))
        match event.kind:
            case "statement_sent":
                found[version] = _OpenIntent(_intent(data))
            case "commit_sent" if version in found:
                found[version] = replace(found[version], commit=data)
            case "batch_sent" if version in found:
                found[version] = replace(found[version], batch=data)
            case "statement_finished" if version in found and data["outcome"] == "done":
                found[version] = replace(found[version], is_done=True)
            case "statement_finished" if data["outcome"] in {"rolled_back", "failed"}:
                found.pop(version, None)
            case kind if kind in APPLIED.values():
                found.pop(version, None)
    return [found[version] for version in sorted(found)]


def _intent(data: dict[str, Any]) -> Intent:
    return Intent(
        version=data["version"],
        segment=data["segment"],
        statements=tuple(data["statements"]),
        sha256=data["sha256"],
        backend_pid=data["backend_pid"],
        backend_start=data["backend_start"],
        batches=data.get("batches", 0),
    )


def _settle(connection: Connection, migration: Migration, last: _OpenIntent) -> Standing:
    """What the target says of an intent, once its backend is gone."""
    intent, commit = last.intent, last.commit
    gone = wait_until_gone(connection, intent.backend_pid, intent.backend_start, timeout_seconds=BACKEND_SECONDS)
    found = inspect_after_crash(connection, migration, intent, commit_xid=last.xid)
    if last.is_done and (found.of == "segment" or found.outcome is Outcome.ROLLED_BACK):
        found = replace(found, outcome=Outcome.DONE, why="its end was written down")
    if not gone or found.outcome is Outcome.UNKNOWN:
        return Standing(problem=f"{migration.filename}: it cannot be known what became of a statement: {found.why}")

    settled: dict[str, object] = {
        "version": intent.version,
        "segment": intent.segment,
        "statements": list(intent.statements),
        "outcome": found.outcome.value,
        "seconds": 0.0,
        "detail": f"found after a crash: {found.why}",
    }
    if found.outcome is Outcome.DONE and found.of == "file":
        if commit is None:
            return _applied_by_others(migration, last, settled)
        data = applied_data(migration, str(commit["catalog_sha256"]), 0.0)
        return Standing(found=data, found_kind=APPLIED[migration.effect], settled=(settled,))
    if migration.batches is not None and intent.segment < len(migration.segments):
        return _settle_batches(migration, last, found, settled)
    if _is_all_done(migration, intent, found):
        return Standing(settled=(settled,), row_missing=migration.version)
    if found.outcome is Outcome.ROLLED_BACK and _is_first(migration, intent):
        return Standing(settled=(settled,))
    return Standing(settled=(settled,), problem=f"{migration.filename} was interrupted in the middle: {found.why}")


def _settle_batches(migration: Migration, last: _OpenIntent, found: Found, settled: Mapping[str, object]) -> Standing:
    """So many batches are there, and a run may go on behind them; `found` is what became of the newest."""
    batch, batches = last.batch, last.intent.batches
    if batch is not None:
        batches = int(batch["number"]) - (0 if found.outcome is Outcome.DONE else 1)
    if last.is_done or (batch is not None and batch["is_last"] and found.outcome is Outcome.DONE):
        done = {**settled, "outcome": Outcome.DONE.value, "batches": batches}
        return Standing(settled=(done,), row_missing=migration.version)
    outcome = Outcome.FAILED if batches else Outcome.ROLLED_BACK
    words = f"found after a crash: {batches} {'batch is' if batches == 1 else 'batches are'} committed"
    return Standing(settled=({**settled, "outcome": outcome.value, "detail": words, "batches": batches},))


def _applied_by_others(migration: Migration, last: _OpenIntent, settled: Mapping[str, object]) -> Standing:
    """The history has the file, but the COMMIT that the row comes with was never ours: what we began was rolled back,
    or, outside a transaction, is unknown."""
    problem = f"{migration.filename} was applied by somebody else meanwhile"
    segment = last.intent.segment
    in_transaction = segment >= len(migration.segments) or migration.segments[segment].transactional
    if last.is_done or not in_transaction:
        return Standing(problem=problem)
    rolled_back = {**settled, "outcome": Outcome.ROLLED_BACK.value, "detail": problem}
    return Standing(settled=(rolled_back,), problem=problem)


def _identity_problem(connection: Connection, request: Request, target: Target) -> str:
    """The configuration may name another database by now; nothing that this one says is about the run then."""
    planned = request.plan["fingerprint"]
    now = identity_of(connection, project_ref=target.settings.project_ref)
    different = [name for name, value in now.items() if planned[name] != value]
    return f"the configured database is not the one of the plan ({', '.join(different)})" if different else ""


def _half_file_problem(events: Sequence[Event], left: Sequence[str]) -> str:
    """A part that is done of a file that is not must not run again, whatever the schema looks like: it may be rows."""
    half = [version for version in left if remains_of(events, [version]) == "some"]
    return f"version {half[0]} was interrupted in the middle, and its first statements stay" if half else ""


def _is_first(migration: Migration, intent: Intent) -> bool:
    """Whether nothing of the file was sent before this intent."""
    return intent.segment == 0 and intent.statements[:1] == migration.segments[0].statements[:1]


def _is_all_done(migration: Migration, intent: Intent, found: Found) -> bool:
    """Whether every statement of a file that is not one transaction is on the target, and only its row is missing."""
    if intent.segment >= len(migration.segments):
        return found.outcome is Outcome.ROLLED_BACK
    is_last = intent.segment == len(migration.segments) - 1
    ends = intent.statements[-1:] == migration.segments[-1].statements[-1:]
    return found.outcome is Outcome.DONE and is_last and ends


def _history_problem(
    connection: Connection, request: Request, pending: Sequence[Migration], applied: Sequence[str]
) -> str:
    planned = [migration.version for migration in pending]
    if list(applied) != planned[: len(applied)]:
        return "what was applied is not the beginning of the plan"
    rows = read_history(connection)
    there = {row.version for row in rows}
    odd = [one.version for one in pending if not _is_as_told(one, there, one.version in applied)]
    if odd:
        return f"the target's history and the log differ in {', '.join(sorted(odd))}"
    if history_sha256(_base_of(rows, request, pending, applied)) != request.plan["fingerprint"]["history_sha256"]:
        return "somebody else changed the target's history meanwhile"
    return ""


def _is_as_told(migration: Migration, there: Collection[str], is_applied: bool) -> bool:
    """Whether the history holds a file's row as it should where the file was run, or was not."""
    match migration.effect:
        case Effect.ADDS:
            return (migration.version in there) == is_applied
        case Effect.REMOVES:
            return (migration.version in there) != is_applied
        case Effect.WRITES:
            return migration.version in there or not is_applied
        case Effect.KEEPS:
            return True


def _base_of(
    rows: Sequence[HistoryRow], request: Request, pending: Sequence[Migration], applied: Sequence[str]
) -> list[HistoryRow]:
    """The history as it was before the run, from what it is now and what the run did to it."""
    added = {one.version for one in pending if one.effect in {Effect.ADDS, Effect.WRITES}} & set(applied)
    base = [row for row in rows if row.version not in added]
    base += [row for row in removed_rows(request.plan) if row.version in applied]
    return sorted(base, key=lambda row: row.version)


def _schema_problem(connection: Connection, events: Sequence[Event], request: Request, standing: Standing) -> str:
    """The schema must be what the last applied file left, by the hash of its own transaction; else the base."""
    left = [event.data["catalog_sha256"] for event in events if event.kind in APPLIED.values() and event.data]
    expected = left[-1] if left else request.plan["fingerprint"]["schema_sha256"]
    if standing.found:
        expected = standing.found["catalog_sha256"]
    return "" if catalog_hash(connection) == expected else "the target's schema is not what the plan left"


def _rehearsal_problem(connection: Connection, request: Request, last: str | None) -> str:
    """Behind the last file that is there, also one that lacks only its history row, the target must be as the copy was,
    where the policy requires that."""
    expected = request.expected.get(last or "")
    if expected is None or request.plan["policy"].get("rehearsal") != "required":
        return ""
    return "" if catalog_hash(connection) == expected else "the target's schema is not what the rehearsal showed"

"""After a runner died: what is on the target, from the log's intents and the target's own word. Guesses nothing."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from audit import Event
from ops.apply_journal import Intent
from ops.apply_journal import Outcome
from ops.apply_recovery import Found
from ops.apply_recovery import inspect_after_crash
from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import catalog_hash
from ops.guard import wait_until_gone
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.history import read_history
from ops.journal import applied_data
from ops.layer import Ops
from ops.migrations import Migration
from ops.plan import pending_of
from ops.requests import Request
from ops.requests import stream_of
from ops.targets import Target

BACKEND_SECONDS = 60.0
"""So long a dead runner's backend may go on with its statement before a person is asked."""


@dataclass(frozen=True)
class Standing:
    """Where a target stands. `found`: data of `migration_applied` events that the dead runner could not write any more.

    `problem` says why the run may not go on by itself, empty when the target is exactly the base and a prefix of the plan.
    """

    found: tuple[dict[str, object], ...]
    problem: str


def where_it_stands(ops: Ops, request: Request, target: Target) -> Standing:
    """Wait until the dead runner's backend is gone, then compare the target with the base plus a prefix of the plan.

    Reads only. Raises OpsError(OUTCOME_UNKNOWN) when it cannot be known what became of a statement.
    """
    events = ops.view.events(stream=stream_of(request.id))
    pending = pending_of(ops.repository(target), request.commit, request.files)
    with closing(connect(target.database_url(), purpose=f"recovery {request.id}")) as connection:
        intent, commit = _last_intent(events)
        found: tuple[dict[str, object], ...] = ()
        if intent is not None:
            migration = next(one for one in pending if one.version == intent.version)
            found = _settle(connection, migration, intent, commit)
        applied = [*request.applied, *(str(one["version"]) for one in found)]
        catalog = _expected_catalog(events, request, found)
        return Standing(found, _compare(connection, request, pending, applied, catalog))


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


def _last_intent(events: Sequence[Event]) -> tuple[Intent | None, dict[str, Any] | None]:
    """The last intent that has no outcome, and the COMMIT that was sent after it, if one was."""
    intent: Intent | None = None
    commit: dict[str, Any] | None = None
    for event in events:
        data = event.data or {}
        if event.kind == "statement_sent":
            intent, commit = _intent(data), None
        elif event.kind == "commit_sent":
            commit = data
        elif event.kind == "migration_applied" or (event.kind == "statement_finished" and data["outcome"] in {"rolled_back", "failed"}):
            intent, commit = None, None
    return intent, commit


def _intent(data: dict[str, Any]) -> Intent:
    return Intent(
        version=data["version"],
        segment=data["segment"],
        statements=tuple(data["statements"]),
        sha256=data["sha256"],
        backend_pid=data["backend_pid"],
        backend_start=data["backend_start"],
    )


def _settle(
    connection: Connection, migration: Migration, intent: Intent, commit: dict[str, Any] | None
) -> tuple[dict[str, object], ...]:
    """What the target says of the last intent: the file's `migration_applied` if it is there, nothing if it is not."""
    gone = wait_until_gone(connection, intent.backend_pid, intent.backend_start, timeout_seconds=BACKEND_SECONDS)
    xid = str(commit["xid"]) if commit else None
    found = inspect_after_crash(connection, migration, intent, commit_xid=xid)
    if not gone or found.outcome is Outcome.UNKNOWN:
        raise _unknown(migration, found)
    if found.outcome is Outcome.DONE and found.of == "file":
        catalog = str(commit["catalog_sha256"]) if commit else catalog_hash(connection)
        return (applied_data(migration, catalog, 0.0),)
    one_transaction = len(migration.segments) == 1 and migration.segments[0].transactional
    if found.outcome is Outcome.ROLLED_BACK and (found.of == "file" or one_transaction or intent.segment == 0):
        return ()
    raise _unknown(migration, found)  # some of its statements are on the target: a person decides how to go on


def _unknown(migration: Migration, found: Found) -> OpsError:
    return OpsError(
        Reason.OUTCOME_UNKNOWN,
        f"{migration.filename} was interrupted in the middle: {found.why}.",
        "Compare the target with the file, settle it by hand, then say what you found.",
        exit_code=1,
    )


def _expected_catalog(events: Sequence[Event], request: Request, found: Sequence[dict[str, object]]) -> str:
    """The schema that the target must have: what the last applied file left, else the base."""
    if found:
        return str(found[-1]["catalog_sha256"])
    left = [event.data["catalog_sha256"] for event in events if event.kind == "migration_applied" and event.data]
    return str(left[-1] if left else request.plan["fingerprint"]["schema_sha256"])


def _compare(
    connection: Connection, request: Request, pending: Sequence[Migration], applied: Sequence[str], catalog: str
) -> str:
    planned = [migration.version for migration in pending]
    if list(applied) != planned[: len(applied)]:
        return "what was applied is not the beginning of the plan"
    rows = read_history(connection)
    mine = {row.version for row in rows} & set(planned)
    if mine != set(applied):
        return f"the target's history has {', '.join(sorted(mine ^ set(applied)))} otherwise than the log"
    base: list[HistoryRow] = [row for row in rows if row.version not in mine]
    if history_sha256(base) != request.plan["fingerprint"]["history_sha256"]:
        return "somebody else changed the target's history meanwhile"
    if catalog_hash(connection) != catalog:
        return "the target's schema is not what the plan left"
    return ""

"""The functions of a project as they run, beside what the branch has and what is kept; and their logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.masking import mask
from ops.supabase.client import need_api
from ops.supabase.function_changes import Change
from ops.supabase.function_changes import asks_for_token
from ops.supabase.function_plan import function_changes
from ops.supabase.function_standing import AS_WE_LEFT_IT
from ops.supabase.function_standing import standing_of
from ops.supabase.kept_functions import KeptFunctions
from ops.targets import Target

MOST_LOGS = 100
LONGEST_LOGS = timedelta(hours=24)
"""Supabase searches no longer span at once."""
MESSAGE_LETTERS = 1_000


@dataclass(frozen=True)
class Listed:
    """One function. `change` is what a push would do about it; `version` None: it is not deployed. `kept`: the versions
    that can be put back, the newest first."""

    slug: str
    change: Change
    version: int | None
    verify_jwt: bool
    updated_at: datetime | None
    kept: tuple[int, ...]
    standing: str = ""
    """What else is to be said of it: changed outside, or rolled back; empty for nothing."""

    def to_json(self) -> dict[str, Any]:
        return {
            "slug": self.slug,
            "change": self.change.value,
            "version": self.version,
            "verify_jwt": self.verify_jwt,
            "updated_at": self.updated_at.isoformat() if self.updated_at else None,
            "kept": list(self.kept),
            "standing": self.standing,
        }


def list_functions(ops: Ops, target: Target) -> tuple[str, tuple[Listed, ...]]:
    """The commit that they are compared with (the head of the branch, as our mirror has it), and all functions by name."""
    repository = ops.repository(target)
    repository.update()
    commit = repository.resolve(target.settings.branch)
    with need_api(target) as api:
        changes = function_changes(target, repository, commit, api)
    standing = standing_of(ops.view, target, changes)
    kept = KeptFunctions.of(target)
    found = []
    for one in sorted(changes, key=lambda change: change.slug):
        running = one.running
        versions = [each.version for each in kept.all_of(one.slug) if running is None or each.version < running.version]
        updated = running.updated_at if running is not None else None
        found.append(
            Listed(
                one.slug,
                one.change,
                running.version if running is not None else None,
                asks_for_token(running) if running is not None else one.verify_jwt,
                datetime.fromtimestamp(updated / 1000, UTC) if updated else None,
                tuple(dict.fromkeys(versions)),
                standing.get(one.slug, AS_WE_LEFT_IT).words,
            )
        )
    return commit, tuple(found)


def logs_of(target: Target, slug: str, now: datetime, since: timedelta) -> tuple[Mapping[str, str], ...]:
    """The newest lines of a function's log, newest first, without secrets: `at`, `level`, `message`. Raises OpsError."""
    if since > LONGEST_LOGS:
        raise OpsError(Reason.BAD_USAGE, "Supabase searches at most 24 hours of logs at once.", "Say `--since 24h`.")
    with need_api(target) as api:
        function = api.function(slug)
        if function is None:
            there = ", ".join(sorted(one.slug for one in api.functions())) or "none"
            raise OpsError(
                Reason.BAD_USAGE, f"{target.name} has no function {slug[:60]!r}.", f"It has {there}.", exit_code=2
            )
        rows = api.logs(_LOGS.format(id=_literal(function.id), most=MOST_LOGS), now - since, now)
    return tuple(_row(row) for row in rows)


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    at = row.get("ts_ms")
    when = datetime.fromtimestamp(at / 1000, UTC).isoformat() if isinstance(at, int | float) else ""
    level = row.get("level") or row.get("severity_text") or ""
    return {"at": when, "level": str(level)[:20], "message": mask(str(row.get("event_message", "")))[:MESSAGE_LETTERS]}


def _literal(text: str) -> str:
    """An id in ClickHouse's SQL. What is none of Supabase's ids is refused, for nothing else belongs into the query."""
    if not text or not all(letter.isalnum() or letter == "-" for letter in text):
        raise OpsError(Reason.API_FAILED, "Supabase gave an id for the function that is none.", exit_code=1)
    return f"'{text}'"


_LOGS = (
    "select id, toUnixTimestamp64Milli(timestamp) as ts_ms, source, severity_text, log_attributes['level'] as level, "
    "event_message from logs where source in ('function_logs', 'function_edge_logs') "
    "and log_attributes['function_id'] = {id} order by ts_ms desc, id desc limit {most}"
)

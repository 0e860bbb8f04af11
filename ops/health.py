"""Health checks of a target: a query that answers one true, or a URL that answers a status. Read only."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from audit import Event
from ops.database import connect
from ops.environment import Health
from ops.errors import OpsError
from ops.load import SILENCE_SECONDS
from ops.load import given_up_after
from ops.settings import resolve_secret
from ops.targets import Target


@dataclass(frozen=True)
class Checked:
    """What one check found; `detail` says in a few words what was expected and what came."""

    name: str
    ok: bool
    seconds: float
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 3), "detail": self.detail}


def check_health(target: Target) -> tuple[Checked, ...]:
    """Every configured check of this target, run once, in order. A check that cannot run has not held."""
    return tuple(_check(target, check) for check in target.settings.health)


def baseline_of(events: Sequence[Event]) -> tuple[Checked, ...]:
    """What the checks found before the first statement of a run, however often it was taken up since; empty: unknown."""
    for event in events:
        if event.kind == "step_finished" and event.data and event.data["step"] == "preflight":
            return tuple(Checked(**found) for found in event.data["result"]["health"])
    return ()


def worse_than(before: Sequence[Checked], after: Sequence[Checked]) -> tuple[Checked, ...]:
    """The checks that held before and do not hold now."""
    held = {check.name for check in before if check.ok}
    return tuple(check for check in after if not check.ok and check.name in held)


def _check(target: Target, check: Health) -> Checked:
    began = time.monotonic()
    try:
        ok, detail = _query(target, check) if check.sql else _ask(target, check)
    except OpsError as error:
        ok, detail = False, error.message
    except psycopg.Error as error:
        ok, detail = False, f"SQLSTATE {error.sqlstate or 'unknown'}"
    return Checked(check.name, ok, time.monotonic() - began, detail)


def _query(target: Target, check: Health) -> tuple[bool, str]:
    """One row, one true, in a read-only transaction that is rolled back."""
    with (
        closing(connect(target.database_url(), purpose=f"health {target.name}")) as connection,
        given_up_after(connection, check.timeout_seconds + SILENCE_SECONDS),
    ):
        connection.execute("BEGIN READ ONLY")
        milliseconds = int(check.timeout_seconds * 1000)
        connection.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        rows = connection.execute((check.sql or "").encode()).fetchmany(2)
        connection.execute("ROLLBACK")
    if len(rows) == 1 and len(rows[0]) == 1 and rows[0][0] is True:
        return True, "true"
    return False, f"expected one row with one true, got {len(rows)} row{'s' if len(rows) != 1 else ''}"


def _ask(target: Target, check: Health) -> tuple[bool, str]:
    headers = {
        name: resolve_secret(reference, folder=target.all_settings.folder) for name, reference in check.headers.items()
    }
    import httpx  # here, for it is slow to load and few words check a URL

    try:
        # The status is all that is asked for: a body without end is not waited for.
        with httpx.stream("GET", check.url or "", headers=headers, timeout=check.timeout_seconds) as response:
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return False, type(error).__name__  # the words may quote a header, which is a secret
    return status == check.status, f"expected {check.status}, got {status}"

"""Health checks of a target: those of the configuration, its tables, and the parts of its Supabase project. Each reads only,
or takes back what it wrote."""

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg

from audit import Event
from ops.database import connect
from ops.environment import Environment
from ops.errors import OpsError
from ops.health_checked import Checked
from ops.health_settings import Health
from ops.health_tables import EXPOSED_ON_SUPABASE
from ops.health_tables import check_insert
from ops.health_tables import check_tables
from ops.load import SILENCE_SECONDS
from ops.load import given_up_after
from ops.settings import resolve_secret
from ops.supabase.health import check_project
from ops.targets import Target


def check_health(target: Target) -> tuple[Checked, ...]:
    """What a run must leave as it was, checked once: the checks of the configuration in its order, its tables and schemas,
    then the project's parts where a token for them is set. A check that cannot run has not held."""
    return _checked(target, target.settings.exposed_schemas or ())


def check_all(target: Target) -> tuple[Checked, ...]:
    """The same, and row level security in `public` of a Supabase project that says nothing of its schemas: what is open
    there is told, but people may have approved it, so no run ends badly over it."""
    said = target.settings.exposed_schemas
    return _checked(target, said if said is not None else EXPOSED_ON_SUPABASE if target.settings.project_ref else ())


def _checked(target: Target, schemas: tuple[str, ...]) -> tuple[Checked, ...]:
    own = tuple(_check(target, check) for check in target.settings.health)
    return (*own, *check_tables(target, schemas), *check_project(target))


def rollbacks_of(settings: Environment) -> int:
    """How many transactions the server counts as rolled back each time these checks run."""
    return sum(1 for check in settings.health if check.sql or check.insert)


def baseline_of(events: Sequence[Event]) -> tuple[Checked, ...]:
    """What the checks found before the first statement of a run, however often it was taken up since; empty: unknown."""
    for event in events:
        if event.kind == "step_finished" and event.data and event.data["step"] == "preflight":
            return checked_from_json(event.data["result"]["health"])
    return ()


def checked_from_json(found: Sequence[dict[str, Any]]) -> tuple[Checked, ...]:
    """The checks as `to_json` wrote them."""
    return tuple(Checked(**one) for one in found)


def worse_than(before: Sequence[Checked], after: Sequence[Checked]) -> tuple[Checked, ...]:
    """The checks that held before and do not hold now. One that could not be asked now is not known to be worse."""
    held = {check.name for check in before if check.ok}
    return tuple(check for check in after if check.state == "fails" and check.name in held)


def _check(target: Target, check: Health) -> Checked:
    began = time.monotonic()
    try:
        ok, detail = _carry_out(target, check)
    except OpsError as error:
        ok, detail = False, error.message
    except psycopg.Error as error:
        ok, detail = False, f"SQLSTATE {error.sqlstate or 'unknown'}"
    return Checked(check.name, ok, time.monotonic() - began, detail)


def _carry_out(target: Target, check: Health) -> tuple[bool, str]:
    if check.sql:
        return _query(target, check)
    return check_insert(target, check) if check.insert else _ask(target, check)


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

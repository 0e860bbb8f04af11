"""Supabase's own backups of a project: what it can go back to, and a restore point before a run."""

import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from typing import TYPE_CHECKING
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.history import HistoryProblem
from ops.progress import Told
from ops.supabase.client import api_for
from ops.supabase.client import need_api
from ops.supabase.client import unmanaged_because
from ops.targets import Target

if TYPE_CHECKING:
    from ops.plan import Plan
    from ops.steps import Recorder
    from ops.supabase.client import ManagementApi
    from ops.supabase.models import RestorePoint

POINT_SECONDS = 180.0
"""So long a restore point has to become one that can be gone back to, before the first statement."""

PAUSE_SECONDS = 0.5
LOOKED_SECONDS = 10.0
USABLE = "COMPLETED"


@dataclass(frozen=True)
class Managed:
    """A backup that Supabase keeps. `id` None: it can be gone back to by its moment only."""

    id: int | None
    at: datetime
    status: str
    is_physical: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "taken_at": self.at.isoformat(),
            "status": self.status,
            "physical": self.is_physical,
        }


@dataclass(frozen=True)
class Kept:
    """What Supabase keeps of a project, newest first; `earliest` and `latest` are the ends of the time span that any moment
    of which can be gone back to, None where there is none."""

    backups: tuple[Managed, ...]
    earliest: datetime | None = None
    latest: datetime | None = None
    has_pitr: bool = False

    def covers(self, moment: datetime) -> bool:
        return self.earliest is not None and self.latest is not None and self.earliest <= moment <= self.latest

    def find(self, number: int) -> Managed | None:
        return next((one for one in self.backups if one.id == number), None)

    @property
    def newest(self) -> Managed | None:
        return next((one for one in self.backups if one.status == USABLE), None)

    def words(self) -> str:
        """What can be gone back to, in few words."""
        if self.earliest is not None and self.latest is not None:
            return f"Supabase can go back to any moment from {shown(self.earliest)} to {shown(self.latest)}"
        if self.newest is not None:
            return f"Supabase's newest backup is of {shown(self.newest.at)}"
        return "Supabase keeps no backup of it"

    def to_json(self) -> dict[str, Any]:
        return {
            "backups": [one.to_json() for one in self.backups],
            "earliest": self.earliest.isoformat() if self.earliest else None,
            "latest": self.latest.isoformat() if self.latest else None,
        }


def shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def read_kept(api: "ManagementApi") -> Kept:
    """What Supabase keeps. Raises OpsError as every call does."""
    found = api.backups()
    span = found.physical_backup_data
    backups = [Managed(one.id, _moment(one.inserted_at), one.status, one.is_physical_backup) for one in found.backups]
    return Kept(
        tuple(sorted(backups, key=lambda one: one.at, reverse=True)),
        _unix(span.earliest_physical_backup_date_unix) if found.pitr_enabled else None,
        _unix(span.latest_physical_backup_date_unix) if found.pitr_enabled else None,
        found.pitr_enabled,
    )


def look_at_kept(target: Target) -> tuple[Kept | None, str]:
    """The same, asked briefly for somebody who only looks; or None and why it is not known."""
    because = unmanaged_because(target)
    if because:
        return None, f"Supabase's own backups are not listed: {because}."
    try:
        with need_api(target, timeout_seconds=LOOKED_SECONDS, patience_seconds=1.0) as api:
            return read_kept(api), ""
    except OpsError as error:
        return None, f"Supabase's own backups are not known: {error.message}"


def with_cover(plan: "Plan") -> "Plan":
    """The plan with what Supabase could put back behind it, as `backups` says it; and, where the policy wants a restore
    point that cannot come about, blocked by that before anybody is asked."""
    kept, why = look_at_kept(plan.target)
    plan = replace(plan, at_supabase=kept.words() if kept is not None else "")
    problem = _point_problem(plan.target, kept, why)
    return replace(plan, problems=(problem, *plan.problems)) if problem is not None else plan


def check_point_possible(target: Target) -> None:
    """Raise OpsError(PLAN_BLOCKED) where the policy wants a restore point, and Supabase keeps none for the project."""
    if target.settings.restore_point:
        problem = _point_problem(target, *look_at_kept(target))
        if problem is not None and problem.blocks:
            raise OpsError(Reason.PLAN_BLOCKED, problem.message, problem.repair, exit_code=3)


def _point_problem(target: Target, kept: Kept | None, why: str) -> HistoryProblem | None:
    if not target.settings.restore_point or (kept is not None and kept.has_pitr):
        return None
    where = f"[projects.{target.project}.environments.{target.environment}]"
    repair = f"Switch it on in Supabase, or leave restore_point out of {where}."
    if kept is not None:
        message = (
            "`restore_point = true`, but the project has no point-in-time recovery, without which Supabase makes none."
        )
        return HistoryProblem("restore_point", "", message, repair, blocks=True)
    because = unmanaged_because(target)
    if because:
        message = f"`restore_point = true`, but Supabase cannot be asked for one: {because}."
        return HistoryProblem(
            "restore_point", "", message, f"Set that, or leave restore_point out of {where}.", blocks=True
        )
    message = f"Whether Supabase can make the restore point of `restore_point = true` is not known. {why}"
    return HistoryProblem("restore_point", "", message, repair, blocks=False)


@contextmanager
def covered(recorder: "Recorder", target: Target, result: dict[str, Any]) -> Iterator[None]:
    """Behind a run's own backup: what Supabase could put back is told with it, and a restore point made where that is
    configured. Raises OpsError(BACKUP_NOT_PROVEN) where none came about; then no statement is run."""
    yield
    if not recorder.request.files:
        return
    said = [str(result.get("said", ""))]
    if (api := api_for(target, timeout_seconds=LOOKED_SECONDS, patience_seconds=1.0)) is not None:
        with api:
            said.append(_words_of(api))
    if target.settings.restore_point:
        name = make_restore_point(recorder, target)
        result["restore_point"] = name
        said.append(f"restore point {name} is there")
    result["said"] = "; ".join(one for one in said if one)


def _words_of(api: "ManagementApi") -> str:
    try:
        return read_kept(api).words()
    except OpsError as error:
        return f"Supabase's own backups are not known ({error.message.rstrip('.')})"


def make_restore_point(recorder: "Recorder", target: Target, sleep: Callable[[float], None] = time.sleep) -> str:
    """The name of this run's restore point, once it can be gone back to. One that a dead runner began is found by its name.

    Raises OpsError(BACKUP_NOT_PROVEN) where it does not come about, OpsError(STOPPED).
    """
    request = recorder.request
    name = f"cs-{request.id}-{request.digest[:4]}"[:20]
    events = recorder.ops.view.events(stream=request.stream)
    if any(event.kind == "restore_point_made" for event in events):
        return name
    deadline = time.monotonic() + POINT_SECONDS
    try:
        with need_api(target) as api:
            found = api.restore_point(name) if any(one.kind == "restore_point_sent" for one in events) else None
            if found is None:
                recorder.record("restore_point_sent", {"point": name})
                found = _begun(api, name)
            while found is not None and found.status == "PENDING" and time.monotonic() < deadline:
                if recorder.stop():
                    message = f"{request.id} was stopped before the first statement. Nothing was run."
                    raise OpsError(Reason.STOPPED, message, exit_code=1)
                recorder.progress(Told(f"backup: waiting for restore point {name}", step="backup"))
                sleep(PAUSE_SECONDS)
                found = api.restore_point(name)
    except OpsError as error:
        if error.reason is Reason.STOPPED:
            raise
        raise _no_point(request.id, error.message, error.hint) from error
    if found is None or found.status != "AVAILABLE":
        raise _no_point(request.id, f"it is {found.status if found else 'not there'}.", "Look at it in Supabase.")
    recorder.record("restore_point_made", {"point": name, "completed_on": found.completed_on or ""})
    return name


def _begun(api: "ManagementApi", name: str) -> "RestorePoint | None":
    """What Supabase says of the point that it was asked to make; where its answer was lost, what it has by that name."""
    try:
        return api.create_restore_point(name)
    except OpsError as error:
        if error.details.get("outcome") != "unknown":
            raise
        return api.restore_point(name)


def _no_point(request: str, why: str, hint: str) -> OpsError:
    return OpsError(
        Reason.BACKUP_NOT_PROVEN,
        f"The restore point that `restore_point = true` asks for did not come about: {why} Nothing was run for {request}.",
        hint or "Leave restore_point out where the project's plan has none.",
        exit_code=1,
    )


def _moment(text: str) -> datetime:
    """A moment as the API writes it. One that cannot be read counts as long ago, so that nobody rests on it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _unix(seconds: int | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None

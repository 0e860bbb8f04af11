"""Having Supabase put the whole database back: to a moment, to a backup that it keeps, or to a restore point.

It takes everything back that was written since, whoever wrote it. Supabase is asked once; what became of that is looked at,
never guessed, and never asked for again.
"""

import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from typing import Any
from typing import Literal

import psycopg

from audit import Query
from ops.asking_again import hint_after_change
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import read_fingerprint
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.people import Actor
from ops.progress import Told
from ops.proposing import Proposal
from ops.proposing import fingerprint_now
from ops.proposing import propose
from ops.proposing import what_changed_since
from ops.recovery import Standing
from ops.requests import Request
from ops.requests import find_request
from ops.steps import Recorder
from ops.supabase.client import ManagementApi
from ops.supabase.client import need_api
from ops.supabase.managed_backups import USABLE
from ops.supabase.managed_backups import Kept
from ops.supabase.managed_backups import read_kept
from ops.supabase.managed_backups import shown
from ops.targets import Target

STEPS = ("preflight", "restore")
HEALTHY = "ACTIVE_HEALTHY"
WAIT_SECONDS = 4 * 3600.0
"""So long a restore may take before a person is asked to look."""

BEGIN_SECONDS = 120.0
"""So soon Supabase must be seen at work, or the database must have been started anew."""

LONGEST_PAUSE_SECONDS = 10.0
_RUNS_NAMED = 10
_CHANGING = ("migration_applied", "migration_undone", "history_repaired", "script_run")


@dataclass(frozen=True)
class Back:
    """What to go back to: `to` is a moment (ISO 8601), the number of a backup, or the name of a restore point."""

    way: Literal["pitr", "backup", "point"]
    to: str

    def words(self) -> str:
        if self.way == "pitr":
            return shown(datetime.fromisoformat(self.to))
        return f"Supabase's backup {self.to}" if self.way == "backup" else f"the restore point {self.to}"


def request_managed_restore(ops: Ops, target: Target, back: Back, actor: Actor, act: str) -> Request:
    """Ask to have the target put back.

    Raises OpsError: NOT_ALLOWED for what Supabase cannot go back to, BAD_CONFIG where the project or its token is not
    configured; what the API and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    with need_api(target) as api:
        moment = _moment_of(api, target, back)
    proposal = Proposal(
        kind="restore_managed",
        target=target,
        title=f"put back to {back.words()} the whole database of",
        commit="",
        fingerprint=fingerprint_now(target),
        does=(
            f"Has Supabase put the whole database of {target.name} back to {back.words()}: every schema, users of auth and "
            "the lists of stored objects among them.",
            "Ends every session. The project cannot be reached until it is done, which takes minutes to hours.",
            "Functions, secrets and the contents of stored objects stay as they are.",
        ),
        loses=(
            f"Everything that anybody wrote since {shown(moment)}. How many rows that is, Supabase does not say.",
            *_runs_since(ops, target, moment),
        ),
        proven=("Nothing: nobody has tried this backup. `restore BACKUP --to scratch` tries one of ours.",),
        facts={"way": back.way, "to": back.to, "moment": moment.isoformat()},
        steps=STEPS,
    )
    return propose(ops, proposal, actor, act)


def back_to(said_moment: str, number: str, point: str) -> Back:
    """What of the three was said. Raises OpsError(BAD_USAGE) unless it is exactly one, and a moment that can be read."""
    said = [one for one in (said_moment, number, point) if one]
    if len(said) != 1:
        message = "Say one thing to go back to: a moment, a backup, or a restore point."
        raise OpsError(
            Reason.BAD_USAGE, message, "Such as --to 2026-11-23T10:00Z, --managed 12, or --point cs-R-7-3f2a."
        )
    if number:
        return Back("backup", str(int(number)))
    if point:
        return Back("point", point)
    try:
        moment = datetime.fromisoformat(said_moment)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"{said_moment!r} is no moment that everybody reads alike."
        raise OpsError(
            Reason.BAD_USAGE, message, "Write it with its zone: 2026-11-23T10:00Z, or 2026-11-23T11:00+01:00."
        )
    return Back("pitr", moment.astimezone(UTC).replace(microsecond=0).isoformat())


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for all; and that Supabase can still go back there."""
    changed = what_changed_since(ops, request, progress)
    target = ops.target_of(request)
    try:
        with need_api(target) as api:
            _moment_of(api, target, _back(request))
    except OpsError as error:
        if error.reason is not Reason.NOT_ALLOWED:
            raise
        changed.append("what Supabase can go back to")
    return changed


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """Ask Supabase once, and wait until it is done."""
    request = recorder.request
    kinds = {event.kind for event in recorder.ops.view.events(stream=request.stream)}
    if "managed_restore_sent" not in kinds:
        _preflight(recorder)
    if recorder.stop() and "managed_restore_sent" not in kinds:
        raise OpsError(Reason.STOPPED, f"{request.id} was stopped. Nothing was put back.", exit_code=1)
    back = _back(request)
    with recorder.step("restore", {"way": back.way, "to": back.to}) as result, need_api(target) as api:
        if "managed_restore_sent" not in kinds:
            _send(recorder, api, back)
        elif "managed_restore_begun" not in kinds:
            raise _unknown(request, "its runner died when it had just asked Supabase to begin")
        _wait(recorder, api, target)
        _note(recorder, target, back)
        result["said"] = f"{target.name} is put back to {back.words()}"


def _preflight(recorder: Recorder) -> None:
    request = recorder.request
    with recorder.step("preflight", {"digest": request.digest, "makes": []}) as result:
        changed = what_changed(recorder.ops, request, recorder.progress)
        if changed:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was put back.",
                hint_after_change(request, changed),
                exit_code=3,
                details={"changed": changed},
            )
        result["health"] = []
        result["said"] = "Supabase can go back there, and the target is as it was asked for"


def _send(recorder: Recorder, api: ManagementApi, back: Back) -> None:
    data = {"way": back.way, "to": back.to}
    recorder.record("managed_restore_sent", data)
    try:
        if back.way == "pitr":
            api.restore_pitr(int(datetime.fromisoformat(back.to).timestamp()))
        elif back.way == "backup":
            api.restore_backup(int(back.to))
        else:
            api.undo(back.to)
    except OpsError as error:
        if error.details.get("outcome") == "unknown":
            raise _unknown(recorder.request, f"its answer was lost ({error.message.rstrip('.')})") from error
        raise
    recorder.record("managed_restore_begun", data)


def _wait(
    recorder: Recorder,
    api: ManagementApi,
    target: Target,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Until Supabase was seen at work and is done, or the database was started anew since it was asked."""
    began, was_seen, status, pause = clock(), False, "", 0.5
    asked_at = _asked_at(recorder)
    while clock() - began < WAIT_SECONDS:
        try:
            status = api.project().status
        except OpsError as error:
            if error.reason not in {Reason.API_FAILED, Reason.API_BUSY}:
                raise _unknown(recorder.request, error.message.rstrip(".")) from error
            status = "it cannot be asked just now"
        was_seen = was_seen or status not in {HEALTHY, "it cannot be asked just now"}
        if status == HEALTHY and (was_seen or _was_restarted(target, asked_at)):
            return
        if not was_seen and clock() - began > BEGIN_SECONDS:
            raise _unknown(recorder.request, "it took the order, and was not seen to begin")
        recorder.progress(Told(f"restore: Supabase says {status}", step="restore"))
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise _unknown(recorder.request, f"it was not done after {WAIT_SECONDS / 3600:.0f} hours; its word is {status}")


def _asked_at(recorder: Recorder) -> datetime:
    events = recorder.ops.view.events(stream=recorder.request.stream)
    return next(event.at for event in reversed(events) if event.kind == "managed_restore_begun")


def _was_restarted(target: Target, since: datetime) -> bool:
    """Whether the database server was started after this moment; no, where it does not answer."""
    try:
        with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
            row = connection.execute("SELECT pg_catalog.pg_postmaster_start_time()").fetchone()
    except (OpsError, psycopg.Error):
        return False
    return bool(row and row[0] > since)


def _note(recorder: Recorder, target: Target, back: Back) -> None:
    """The state that it left is what the log accounts for from now on."""
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref).to_json()
    noted = {"because": f"{recorder.request.id} had Supabase put it back to {back.words()}", "fingerprint": fingerprint}
    recorder.ops.log.append(recorder.drafts("managed_restored", {"way": back.way, "to": back.to}, target.stream))
    recorder.ops.log.append([recorder.drafts("state_noted", noted, target.stream)[-1]])


def _unknown(request: Request, why: str) -> OpsError:
    return OpsError(
        Reason.OUTCOME_UNKNOWN,
        f"What became of {request.id} is not known: Supabase was asked to put {request.target} back, and {why}.",
        "Look at the project in Supabase, and do not ask it again before that is clear.",
        exit_code=1,
    )


def _moment_of(api: ManagementApi, target: Target, back: Back) -> datetime:
    """The moment that this goes back to. Raises OpsError(NOT_ALLOWED) where Supabase cannot."""
    if back.way == "point":
        point = api.restore_point(back.to)
        if point is None or point.status != "AVAILABLE":
            word = point.status if point else "not there"
            raise _cannot(target, f"the restore point {back.to} is {word}", None)
        return _made(point.completed_on)
    kept = read_kept(api)
    if back.way == "backup":
        found = kept.find(int(back.to))
        if found is None or found.status != USABLE:
            raise _cannot(target, f"its backup {back.to} is {found.status if found else 'not there'}", kept)
        return found.at
    moment = datetime.fromisoformat(back.to)
    if not kept.covers(moment):
        raise _cannot(target, f"{shown(moment)} is not in the time that it keeps", kept)
    return moment


def _made(text: str | None) -> datetime:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _cannot(target: Target, why: str, kept: Kept | None) -> OpsError:
    return OpsError(
        Reason.NOT_ALLOWED,
        f"Supabase cannot put {target.name} back there: {why}.{f' {kept.words()}.' if kept else ''}",
        f"`backups {target.environment}` lists what it can go back to.",
        exit_code=3,
    )


def _runs_since(ops: Ops, target: Target, moment: datetime) -> list[str]:
    """Our runs that changed the target since then, which are undone without their migrations being told."""
    query = Query(project=target.project, environment=target.environment, kinds=_CHANGING, since=moment)
    numbers = dict.fromkeys(str(event.request) for event in ops.view.find(query) if event.request)
    if not numbers:
        return ["No run of ours: none has changed it since then."]
    named = [find_request(ops.view, one) for one in list(numbers)[:_RUNS_NAMED]]
    more = f" and {len(numbers) - _RUNS_NAMED} more" if len(numbers) > _RUNS_NAMED else ""
    said = "; ".join(f"{one.id} ({one.kind} of {', '.join(one.applied[:3])})" for one in named)
    return [f"What {len(numbers)} run{'s' if len(numbers) > 1 else ''} of ours did since then: {said}{more}."]


def _back(request: Request) -> Back:
    facts: Mapping[str, Any] = request.plan["facts"]
    return Back(facts["way"], str(facts["to"]))


KIND = Kind(what_changed=what_changed, carry_out=carry_out, stands=lambda *_: Standing(), ending="txt")

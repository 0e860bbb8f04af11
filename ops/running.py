"""Carrying a request out: claim it, then preflight, backup, migrate, health, under the guard; end it truthfully."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from datetime import datetime

import psycopg

from audit import AuditError
from audit import Draft
from audit import View
from ops.catalog import catalog_hash
from ops.clearance import Clearance
from ops.clearance import clearance
from ops.database import connect
from ops.database import target_failed
from ops.debts import debt_drafts
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import check_not_frozen
from ops.gates import facts_of
from ops.gates import judge
from ops.gates.asked import live_directory
from ops.gates.asked import needs_people
from ops.guard import Guard
from ops.half_done import supersede_waiting
from ops.hotfixing import passes_people
from ops.kinds import kind_of
from ops.layer import Ops
from ops.layer import Progress
from ops.locking import check_unlocked
from ops.occupying import in_use
from ops.occupying import occupant_of
from ops.partial import told_at_end
from ops.policy import Directory
from ops.policy import may_decide_now
from ops.push_steps import connector
from ops.recovery import Standing
from ops.recovery import remains_of
from ops.requests import UNDOING
from ops.requests import Request
from ops.requests import find_request
from ops.requests import fold
from ops.requests import open_requests
from ops.status import Status
from ops.steps import RUNNER
from ops.steps import Recorder
from ops.steps import told_to_stop
from ops.supabase.function_log import DONE
from ops.supabase.function_log import UNKNOWN
from ops.supabase.function_log import grouped
from ops.supabase.function_log import outcomes_of
from ops.supabase.function_log import planned_functions
from ops.supabase.function_log import was_sent
from ops.targets import Target

ATTEMPTS = 3
"""So often a run is taken up again by itself after its runner died; then a person decides."""


def _silent(_: str) -> None:
    return


def is_cleared(ops: Ops, request: Request) -> bool:
    """Whether enough people who may said yes, asked live. A process without Slack clears nothing that needs people."""
    if not request.needed:
        return False  # runs where it was asked for, in the asker's process
    return request.may_be_cleared and _clearance(ops, request).cleared


def carry_out(ops: Ops, number: str, progress: Progress = _silent) -> Request:
    """Run a waiting request to its end and return it as it then stands.

    Raises OpsError when it may not start: not cleared, over, or the target is somebody else's just now; then nothing
    was done, and a request that needs nobody is taken back.
    """
    request = find_request(ops.view, number)
    target = ops.target_of(request)
    with ops.at_work(number):
        try:
            _check_free(ops.view, target, ops.now(), request)
            with _guard(request, target) as guard:
                _claim(ops, request, target)
                with _left_as_it_is(number):
                    _attempt(ops, number, target, guard, 1, progress)
        except OpsError as error:
            if not request.needed:
                _take_back(ops, number, error)
            raise
    return find_request(ops.view, number)


def take_up(ops: Ops, number: str, progress: Progress = _silent) -> Request:
    """Take up a run whose runner died: find out what is on the target, then go on, or leave it to a person.

    A run that turns out to be over, or at work in this process, is left alone. Raises OpsError when the target is
    locked, or it or the log cannot be reached; then the run stays as it is, to be taken up later.
    """
    request = find_request(ops.view, number)
    if number in ops.active:
        return request
    if request.stop_asked is None:
        _check_may_go_on(ops, request, ops.target_of(request))
    try:
        return _take_up(ops, request, progress)
    except OpsError as error:
        if ops.now() < request.expires_at or error.reason in {Reason.TARGET_BUSY, Reason.LOG_UNAVAILABLE}:
            raise
        _give_up(ops, request, error)
        return find_request(ops.view, number)


def _give_up(ops: Ops, request: Request, error: OpsError) -> None:
    """A run that nobody could look at until its time ran out is a person's to settle; it does not stay open for ever."""
    recorder = Recorder(ops, request, request.attempts, _silent)
    left = [str(one["version"]) for one in request.files if one["version"] not in request.applied]
    data = {
        "reason": error.reason.value,
        "message": f"{request.id} lost its runner, and the target could not be looked at since: {error.message}",
        "step": "preflight",
        "applied": list(request.applied),
        "unknown": left,
        **(told_at_end(ops, request, ops.view.events(stream=request.stream), left[0]) if left else {}),
    }
    supersede_waiting(ops, request, ops.log.append(recorder.drafts("interrupted", data, f"target:{request.target}"))[0])


def _take_up(ops: Ops, request: Request, progress: Progress) -> Request:
    number = request.id
    target = ops.target_of(request)
    with ops.at_work(number), _guard(request, target, patience_seconds=60) as guard:
        request = find_request(ops.view, number)
        if request.status is not Status.RUNNING:
            return request  # its runner was still at work, and ended it while we waited for the target
        with _left_as_it_is(number):
            _go_on(ops, request, target, guard, progress)
    return find_request(ops.view, number)


def _go_on(ops: Ops, request: Request, target: Target, guard: Guard | None, progress: Progress) -> None:
    recorder = Recorder(ops, request, request.attempts + 1, progress)
    try:
        standing = kind_of(request.kind).stands(ops, request, target)
    except psycopg.Error as error:
        raise target_failed(target.name, error) from error
    for settled in standing.settled:
        recorder.record("statement_finished", settled)
    if standing.found:
        recorder.record(standing.found_kind, standing.found)
    why = standing.problem or _why_not_again(ops, request) or _no_longer_allowed(ops, request, target)
    if not why and request.attempts >= ATTEMPTS:
        _end(ops, recorder, target, _died_too_often(request))
        return
    if why:
        message = f"{request.id} is not taken up again by itself: {why}."
        _end(ops, recorder, target, OpsError(Reason.STOPPED, message, exit_code=1))
        return
    _check_may_go_on(ops, request, target)  # a run that was to stop, and has nothing left to be stopped, goes on
    _resume(ops, request)
    # As long as nothing reached the target, everything is asked again as if the run began now.
    is_untouched = not request.applied and standing.found is None and standing.row_missing is None
    is_untouched = is_untouched and not was_sent(ops.view.events(stream=request.stream))
    _attempt(ops, request.id, target, guard, request.attempts + 1, progress, None if is_untouched else standing)


def _check_may_go_on(ops: Ops, request: Request, target: Target) -> None:
    """Raise OpsError while somebody has locked or frozen the target, perhaps because the runner died. Windows and freezes of
    the configuration do not hold what began."""
    check_unlocked(ops.view, target, ops.now())
    if not passes_people(request, target.settings):
        check_not_frozen(ops.view, target.name, ops.now())


def _died_too_often(request: Request) -> OpsError:
    """What is on the target is known, but not what ends the runner: a person looks before anything runs there again."""
    return OpsError(
        Reason.RUNNER_DIED,
        f"{request.id} is not taken up again by itself: its runner died {request.attempts} times, and what ended it is not "
        f"known. On {request.target} is exactly what the log says.",
        "Find out what ended it (memory, disk, the supervisor's log).",
        exit_code=1,
    )


def _no_longer_allowed(ops: Ops, request: Request, target: Target) -> str:
    """Why a run may not go on although it was allowed to start: the policy, or the people who approved. Asked live."""
    if target.settings.policy() != request.plan["policy"]:
        return "the policy changed meanwhile"
    if request.needed and not _clearance(ops, request).cleared:
        return "its approvals no longer count"
    return ""


@contextmanager
def _left_as_it_is(number: str) -> Iterator[None]:
    """A log that takes nothing more stops a run where it is: what was intended is in it, so it can be taken up."""
    try:
        yield
    except AuditError as error:
        raise OpsError(
            Reason.LOG_UNAVAILABLE,
            f"The log could not be written while {number} ran ({error.message.rstrip('.')}), so nothing more was sent to "
            "the target.",
            f"When the log can be written again, the run is taken up by itself; see `show {number}`.",
            exit_code=1,
        ) from error


def take_up_orphans(ops: Ops, progress: Progress = _silent) -> None:
    """Take up what a dead process left running, where it needs nobody from Slack; a terminal does it before its word."""
    for request in open_requests(ops.view):
        if request.status is Status.RUNNING and not request.needed:
            try:
                take_up(ops, request.id, progress)
            except OpsError as error:
                progress(f"{request.id} is left as it is: {error.message}")


def _why_not_again(ops: Ops, request: Request) -> str:
    now = find_request(ops.view, request.id)  # finding out where it stands took its time
    if now.stop_asked is not None and not _is_all_done(ops, now):
        return "somebody asked it to stop"
    return "its time ran out meanwhile" if ops.now() >= request.expires_at else ""


def _is_all_done(ops: Ops, request: Request) -> bool:
    """Whether nothing is left to be stopped: every file is applied, or what has no files has written its entry."""
    if planned_functions(request.plan):
        events = ops.view.events(stream=request.stream)
        is_deployed = {*outcomes_of(events, request.plan).values()} == {DONE}
        return is_deployed and len(request.applied) == len(request.files)
    if request.files:
        return len(request.applied) == len(request.files)
    ends = {"adopted", "secret_set", "secret_unset"}
    return any(event.kind in ends for event in ops.view.events(stream=request.stream))


def _clearance(ops: Ops, request: Request) -> Clearance:
    return clearance(request, live_directory(ops, request), ops.requester_is(request.by))


def _claim(ops: Ops, request: Request, target: Target) -> None:
    """Append `started` to the request's stream and the target's in one transaction: of several, one run wins.

    People are asked live first; every gate is judged inside the transaction, with what the log holds at that moment.
    """
    directory = live_directory(ops, request) if needs_people(request) else Directory({}, {})

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, request.id)
        may_decide_now(fresh, ops.now()).or_raise(exit_code=5 if fresh.status is Status.RUNNING else 3)
        _check_free(view, target, ops.now(), fresh)
        verdict = judge(facts_of(ops, fresh, view, directory)).or_raise()
        data = {"digest": fresh.digest, "attempt": 1, "runner": ops.runner, "facts": verdict.facts()}
        owed = debt_drafts(ops, fresh, clearance(fresh, directory, ops.requester_is(fresh.by)))
        return [*Recorder(ops, fresh, 1, _silent).drafts("started", data, target.stream), *owed]

    ops.log.transact(decide)


@contextmanager
def _guard(request: Request, target: Target, patience_seconds: float = 5.0) -> Iterator[Guard | None]:
    """The target's guard for as long as this lasts; None for a run that does not occupy its target."""
    if not request.occupies:
        yield None
        return
    connect = connector(target, f"guard {request.id}")
    with Guard(connect, target.name, patience_seconds=patience_seconds) as guard:
        yield guard


def _check_free(view: View, target: Target, now: datetime, request: Request) -> None:
    """Raise OpsError unless a run may begin here as far as others are concerned: TARGET_LOCKED, _BLOCKED, _BUSY."""
    check_unlocked(view, target, now)
    if not request.occupies:
        return
    occupant = occupant_of(view, target.stream)
    if occupant is not None:
        reason, message, hint = in_use(occupant, target.name)
        raise OpsError(reason, message, hint, exit_code=5)


def _take_back(ops: Ops, number: str, error: OpsError) -> None:
    """A request that needs nobody does not wait for a free target: it is as if it had not been asked."""

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, number)
        if fresh.is_over or fresh.attempts:
            return []
        return [ops.draft("cancelled", RUNNER, fresh, {"because": error.message})]

    with suppress(AuditError):
        ops.log.transact(decide)


def _resume(ops: Ops, request: Request) -> None:
    data = {
        "digest": request.digest,
        "attempt": request.attempts + 1,
        "runner": ops.runner,
        "because": "its runner died; the target is exactly the base and a prefix of the plan",
    }
    ops.log.append([ops.draft("resumed", RUNNER, request, data)])


def _attempt(
    ops: Ops,
    number: str,
    target: Target,
    guard: Guard | None,
    attempt: int,
    progress: Progress,
    standing: Standing | None = None,
) -> None:
    """The steps in order. However it goes, the request's last event says what is true."""
    request = find_request(ops.view, number)
    with told_to_stop(ops, request) as stop:
        recorder = Recorder(ops, request, attempt, progress, stop)
        try:
            kind_of(request.kind).carry_out(recorder, target, guard, standing)
        except OpsError as error:
            _end(ops, recorder, target, error, just_now=True)
            return
    request = find_request(ops.view, number)
    applied = list(request.applied)
    seconds = (ops.now() - (request.started_at or ops.now())).total_seconds()
    data = {"applied": applied, "seconds": round(seconds, 3)}
    drafts = recorder.drafts("succeeded", data, target.stream)
    ops.log.transact(lambda view: [*drafts, *_superseded_by(ops, view, request)])


def _superseded_by(ops: Ops, view: View, undone: Request) -> list[Draft]:
    """The ends of what waits to do something about the request that this one has just taken back."""
    if undone.kind not in UNDOING or undone.of is None:
        return []
    changed = f"the target; {undone.id} has taken back {undone.of}"
    data = {"changed": [changed], "message": f"Since it was asked for, this changed: {changed}.", "by": None}
    waiting = (one for one in open_requests(view, but={undone.id}) if one.status is Status.WAITING)
    return [
        ops.draft("superseded", RUNNER, one, data)
        for one in waiting
        if (one.target, one.of) == (undone.target, undone.of)
    ]


def _catalog_at_end(target: Target) -> str | None:
    """The hash of the schema that a run leaves where it ends; None where the target does not say."""
    try:
        with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
            return catalog_hash(connection)
    except (OpsError, psycopg.Error):
        return None


def _end(ops: Ops, recorder: Recorder, target: Target, error: OpsError, *, just_now: bool = False) -> None:
    """The last event of a run that did not succeed: superseded, failed, half-way, or a person's to settle.

    `just_now`: this runner sent its last statement itself, so what the schema is like now is what the run left.
    """
    events = ops.view.events(stream=recorder.request.stream)
    request = fold(events)
    step = next((one.name for one in reversed(request.steps) if one.outcome != "done"), "preflight")
    left = [str(one["version"]) for one in request.files if one["version"] not in request.applied]
    remains = remains_of(events, left)
    told = {"reason": error.reason.value, "message": error.message, "step": step}
    applied = list(request.applied)
    functions = outcomes_of(events, request.plan)
    may_run = bool({DONE, UNKNOWN} & {*functions.values()})
    asked = request.stop_asked if error.reason is Reason.STOPPED else None
    by = asked.by.id if asked else None
    if asked is not None:
        why = f": {asked.because.rstrip('.')}" if asked.because else ""
        told["message"] = f"Stopped by {by}{why}. {error.message}"
    data: Mapping[str, object]
    if error.reason is Reason.PLAN_CHANGED and not applied and not remains and not may_run:
        kind, data = "superseded", {"changed": error.details["changed"], "message": error.message, "by": None}
    elif error.reason in {Reason.OUTCOME_UNKNOWN, Reason.RUNNER_DIED} or remains == "unknown":
        unknown = left[:1] if error.reason is not Reason.RUNNER_DIED or remains == "unknown" else []
        part = told_at_end(ops, request, events, unknown[0]) if unknown else {}
        kind, data = "interrupted", {**told, "applied": applied, "unknown": unknown, **part}
    elif applied or remains or may_run:
        within = left[0] if remains else None
        part = told_at_end(ops, request, events, within) if within else {}
        found = {"applied": applied, "not_applied": left, "within": within, **part, "functions": grouped(functions)}
        if within and just_now:
            found["catalog_sha256"] = _catalog_at_end(target)
        kind, data = "partially_applied", {**told, **found, "stopped_by": by}
    else:
        kind, data = "failed", {**told, "stopped_by": by}
    supersede_waiting(ops, request, ops.log.append(recorder.drafts(kind, data, target.stream))[0])

"""Having a plan rehearsed: written down before and after, in turn, and not again while what it rests on is the same."""

import logging
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import Draft
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.isolation import demand_isolation
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Migration
from ops.people import Actor
from ops.plan import Plan
from ops.plan import pending_of
from ops.progress import Told
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import bounded
from ops.rehearsal.report import from_json
from ops.rehearsal_basis import basis_of
from ops.rehearsal_basis import sizes_of
from ops.rehearsal_basis import still_as_large
from ops.requests import Request
from ops.targets import Target

logger = logging.getLogger("countersign.rehearsing")

STAYS_TRUE = timedelta(hours=24)
STAYS_TRUE_WITH_DATA = timedelta(hours=1)
"""So long a rehearsal stands for another one of the same plan; rows of the target are in no fingerprint."""

_STATEMENTS_IN_A_REQUEST = 100


@dataclass(frozen=True)
class Trial:
    """What is to be run on a copy of a target, and its `hazards` as it reads.

    `basis` names the same trial, so that only one at a time is at it; `digest` is of the plan that rests on what was shown.
    """

    target: Target
    commit: str
    migrations: Sequence[Migration]
    hazards: tuple[Hazard, ...]
    with_data: bool
    basis: str
    digest: Callable[["Tried"], str]


@dataclass(frozen=True)
class Tried:
    """What a trial showed, within bounds, and the hazards as the whole of it has them judged. `event`: of the `rehearsed`
    that holds all of it, None where nothing could even be begun."""

    shown: Rehearsal
    hazards: tuple[Hazard, ...]
    event: str | None = None


Show = Callable[[], Rehearsal]
"""Runs the files on a copy, and tells what that showed."""


def rehearse_plan(ops: Ops, plan: Plan, actor: Actor, *, rehearse: bool, with_data: bool, progress: Progress) -> Plan:
    """The plan with its rehearsal, and with its hazards as that showed them.

    It is rehearsed where the environment says so, and elsewhere where `rehearse` or `with_data` ask for it; the latter
    adds the target's rows. A plan that is refused as it reads, or has nothing pending, comes back as it is. Raises
    OpsError(STOPPED) when this process ends meanwhile; a rehearsal that was not possible is a result.
    """
    wanted = rehearse or with_data or plan.target.settings.rehearsal_level != "off"
    if not wanted or not plan.pending or plan.cannot_run() is not None:
        return plan
    # As it runs: what is known of earlier plans has no trees, and a statement without one would count as a comment.
    pending = pending_of(ops.repository(plan.target), plan.commit.sha, plan.canonical["files"])
    plan = replace(plan, pending=pending)
    with_data = with_data or plan.target.settings.with_data
    unmet = isolation_unmet(plan.target)
    if unmet:
        return replace(plan, rehearsal=Rehearsal(Outcome.IMPOSSIBLE, because=unmet, with_data=with_data))

    # What is dangerous about functions and secrets stands in no migration, and no copy of a database shows it.
    beside = tuple(one for one in plan.hazards if not one.version.isdecimal())
    plan = replace(plan, hazards=tuple(one for one in plan.hazards if one.version.isdecimal()))
    basis = basis_of(plan, with_data=with_data)

    def shown_in(tried: Tried) -> Plan:
        return replace(plan, rehearsal=tried.shown, hazards=tried.hazards, rehearsed=tried.event)

    trial = Trial(
        plan.target,
        plan.commit.sha,
        pending,
        plan.hazards,
        with_data,
        basis,
        digest=lambda tried: shown_in(tried).digest,
    )
    with ops.rehearsals.turn(basis, _waiting(progress)):
        known = _as_known(ops, plan, basis, STAYS_TRUE_WITH_DATA if with_data else STAYS_TRUE)
        plan = known or shown_in(noted(ops, trial, actor, _rehearsal_of(ops, trial, progress)))
    return replace(plan, hazards=(*plan.hazards, *beside))


def try_files(ops: Ops, trial: Trial, actor: Actor, progress: Progress) -> Tried:
    """The files of a trial run on a copy of its target as it is now, in turn, and written down before and after.

    Raises OpsError as `rehearse_plan` does.
    """
    unmet = isolation_unmet(trial.target)
    if unmet:
        return Tried(Rehearsal(Outcome.IMPOSSIBLE, because=unmet, with_data=trial.with_data), trial.hazards)
    with ops.rehearsals.turn(trial.basis, _waiting(progress)):
        return noted(ops, trial, actor, _rehearsal_of(ops, trial, progress))


def _waiting(progress: Progress) -> Callable[[], None]:
    return lambda: progress(Told("rehearsal: waits for another one", step="rehearsal"))


def isolation_unmet(target: Target) -> str:
    """Why a throw-away server of this machine does not do for a target; empty where it does."""
    try:
        demand_isolation(target.settings.isolation)
    except OpsError as error:
        return error.message
    return ""


def summary(rehearsal: Rehearsal | None, event: str | None) -> dict[str, Any] | None:
    """What a request keeps of its plan's rehearsal, so that its card can be drawn, and as `event` where the log has all
    of it; without that `from_json` reads it. None: nothing was rehearsed."""
    if rehearsal is None:
        return None
    kept = bounded(rehearsal)
    left = _STATEMENTS_IN_A_REQUEST
    files = []
    for one in kept.files:
        statements = one.statements[:left]
        left -= len(statements)
        files.append(one.keeping(statements))
    return {**replace(kept, files=tuple(files)).to_json(), "event": event}


def report_of(view: View, request: Request) -> Rehearsal | None:
    """All that the rehearsal of a request's plan showed, from the log; None where there was none."""
    kept_as = request.rehearsal.get("event") if request.rehearsal is not None else None
    event = next((one for one in view.act(kept_as) if one.id == kept_as), None) if kept_as else None
    if event is None or event.kind != "rehearsed" or not event.data:
        return None
    is_of_it = (event.project, event.environment, event.data["digest"]) == (
        request.project,
        request.environment,
        request.digest,
    )
    return _read(event.data) if is_of_it else None


def diff_text_of(view: View, request: Request) -> str:
    """The difference of the schema that the rehearsal of a request's plan showed; empty where none is known."""
    report = report_of(view, request)
    return report.diff_text if report is not None else ""


def noted(ops: Ops, trial: Trial, actor: Actor, show: Show) -> Tried:
    """What running a trial shows, with the intent in the log before and all of it behind.

    Raises OpsError(STOPPED) where that ended it, AuditError; whatever else ends it is a result.
    """
    note_start(ops, trial.target, actor, trial.commit, trial.migrations, basis=trial.basis, with_data=trial.with_data)
    stopped: OpsError | None = None
    try:
        shown = show()
    except AuditError:
        raise
    except OpsError as error:
        stopped = error if error.reason is Reason.STOPPED else None
        shown = Rehearsal(Outcome.IMPOSSIBLE, because=error.message, with_data=trial.with_data)
    except Exception as error:
        reference = uuid.uuid4().hex[:8]
        logger.error(
            "rehearsal_failed_unexpectedly target=%s reference=%s", trial.target.name, reference, exc_info=error
        )
        because = f"something went wrong that nobody foresaw (reference {reference})"
        shown = Rehearsal(Outcome.IMPOSSIBLE, because=because, with_data=trial.with_data)
    tried = _judged(trial, shown)
    kept = tried.shown
    ended = {
        "basis": trial.basis,
        "digest": trial.digest(tried),
        "report": kept.to_json(),
        "diff": kept.diff_text,
        "hazards": [_hazard_json(one) for one in tried.hazards],
        "sizes": sizes_of(shown),
    }
    (event,) = ops.log.append([_draft("rehearsed", trial.target, actor, ended)])
    if stopped is not None:
        raise stopped
    return replace(tried, event=event.id)


def note_start(
    ops: Ops,
    target: Target,
    actor: Actor,
    commit: str,
    migrations: Sequence[Migration],
    *,
    basis: str = "",
    with_data: bool = False,
) -> None:
    """Write down that these files are about to run on a copy of a target. Raises AuditError: then nothing may run."""
    files = [one.filename for one in migrations]
    data = {"basis": basis, "commit": commit, "files": files, "with_data": with_data}
    ops.log.append([_draft("rehearsal_started", target, actor, data)])


def _rehearsal_of(ops: Ops, trial: Trial, progress: Progress) -> Show:
    def show() -> Rehearsal:
        # Here because it takes a third of a second that no word should cost which rehearses nothing.
        from ops.rehearsal.rehearse import rehearse_files

        progress(Told("rehearsal", step="rehearsal"))
        settings = ops.settings
        folder = settings.postgres.encrypted_folder
        return rehearse_files(
            trial.target.database_url,
            trial.migrations,
            tools_bin=settings.postgres.bin,
            cache=settings.path(settings.state.path).parent / "schemas",
            with_data=trial.with_data,
            data_folder=settings.path(Path(folder)) if folder else None,
            progress=progress,
            stop=ops.rehearsals.is_over,
        )

    return show


def _judged(trial: Trial, shown: Rehearsal) -> Tried:
    """What was shown, within bounds; the hazards are judged by the whole of it."""
    # Here for the same reason as above.
    from ops.hazards.rehearsed import hazards_after

    return Tried(bounded(shown), hazards_after(trial.hazards, trial.migrations, shown))


def _as_known(ops: Ops, plan: Plan, basis: str, stays_true: timedelta) -> Plan | None:
    """The plan with the newest rehearsal of this very basis that the log holds, and the hazards as they were judged by the
    whole of that. None: there is none, it is too old, could not be done, or the target's tables have grown since."""
    target = plan.target
    query = Query(
        project=target.project,
        environment=target.environment,
        kinds=("rehearsed",),
        since=ops.now() - stays_true,
        text=basis,  # finds it sooner; others may quote it
        newest_first=True,
    )
    event = next((one for one in ops.view.find(query) if one.data and one.data["basis"] == basis), None)
    if event is None or not event.data:
        return None
    found, hazards, sizes = _read(event.data), _hazards_in(event.data), event.data["sizes"]
    if found is None or hazards is None or found.outcome is Outcome.IMPOSSIBLE:
        return None
    if sizes is None or not still_as_large(target, sizes):
        return None
    return replace(plan, rehearsal=found, hazards=hazards, rehearsed=event.id)


def _read(data: Mapping[str, Any]) -> Rehearsal | None:
    """None for what another version of this program wrote in another form."""
    try:
        return from_json(data["report"], data["diff"])
    except (KeyError, TypeError, ValueError):
        return None


def _hazard_json(hazard: Hazard) -> dict[str, Any]:
    return {**asdict(hazard), "hazard_class": hazard.hazard_class.value, "level": hazard.level.value}


def _hazards_in(data: Mapping[str, Any]) -> tuple[Hazard, ...] | None:
    """The hazards as they were judged; None as above."""
    try:
        return tuple(
            Hazard(**{**one, "hazard_class": HazardClass(one["hazard_class"]), "level": Level(one["level"])})
            for one in data["hazards"]
        )
    except (KeyError, TypeError, ValueError):
        return None


def _draft(kind: str, target: Target, actor: Actor, data: Mapping[str, Any]) -> Draft:
    return Draft(
        kind=kind,
        actor=actor.id,
        stream="people",
        project=target.project,
        environment=target.environment,
        data=data,
    )

"""Having a plan rehearsed: written down before and after, in turn, and not again while what it rests on is the same."""

import hashlib
import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import Draft
from audit import Event
from audit import Query
from audit import View
from audit.event import canonical
from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import demand_isolation
from ops.layer import Ops
from ops.layer import Progress
from ops.people import Actor
from ops.plan import Plan
from ops.plan import pending_of
from ops.progress import Told
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import bounded
from ops.rehearsal.report import from_json
from ops.requests import Request
from ops.scratch_removal import reap_scratches
from ops.targets import Target

logger = logging.getLogger("countersign.rehearsing")

STAYS_TRUE = timedelta(hours=24)
STAYS_TRUE_WITH_DATA = timedelta(hours=1)
"""So long a rehearsal stands for another one of the same plan; rows of the target are in no fingerprint."""

_CODE = ("rehearsal/*.py", "schema/*.py", "scratch*.py", "standins.py", "access_state.py", "catalog*.py")
_STATEMENTS_IN_A_REQUEST = 100


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
        return _with(plan, Rehearsal(Outcome.IMPOSSIBLE, because=unmet, with_data=with_data))

    basis = basis_of(plan, with_data=with_data)

    def waiting() -> None:
        progress(Told("rehearsal: waits for another one", step="rehearsal"))

    with ops.rehearsals.turn(basis, waiting):
        known = _known(ops, plan.target, basis, STAYS_TRUE_WITH_DATA if with_data else STAYS_TRUE)
        return _with(plan, known) if known is not None else _run(ops, plan, actor, basis, with_data, progress)


def isolation_unmet(target: Target) -> str:
    """Why a throw-away server of this machine does not do for a target; empty where it does."""
    try:
        demand_isolation(target.settings.isolation)
    except OpsError as error:
        return error.message
    return ""


def basis_of(plan: Plan, *, with_data: bool) -> str:
    """A hash of all that a rehearsal rests on: what would run and on what, our code, and the programs it uses."""
    rests_on = {key: value for key, value in plan.canonical.items() if key != "expected"}
    tools = plan.target.all_settings.postgres.bin
    found = {"plan": rests_on, "with_data": with_data, "code": _code_sha256(), "tools": tools}
    return hashlib.sha256(canonical(found)).hexdigest()


def summary(rehearsal: Rehearsal) -> dict[str, Any]:
    """What a request keeps of its rehearsal, so that its card can be drawn: `from_json` reads it, too."""
    kept = bounded(rehearsal)
    left = _STATEMENTS_IN_A_REQUEST
    files = []
    for one in kept.files:
        statements = one.statements[:left]
        left -= len(statements)
        files.append(replace(one, statements=statements, left_out=one.left_out + len(one.statements) - len(statements)))
    return replace(kept, files=tuple(files)).to_json()


def report_of(view: View, request: Request) -> Rehearsal | None:
    """All that the rehearsal of a request's plan showed, from the log; None where there was none."""
    if request.rehearsal is None:
        return None
    event = _newest(view, Query(project=request.project, environment=request.environment, text=request.digest))
    return _read(event.data) if event is not None and event.data else None


def diff_text_of(view: View, request: Request) -> str:
    """The difference of the schema that the rehearsal of a request's plan showed; empty where none is known."""
    report = report_of(view, request)
    return report.diff_text if report is not None else ""


def _run(ops: Ops, plan: Plan, actor: Actor, basis: str, with_data: bool, progress: Progress) -> Plan:
    # Here because it takes a third of a second that no word should cost which rehearses nothing.
    from ops.rehearsal.rehearse import rehearse

    settings = ops.settings
    started = {
        "basis": basis,
        "commit": plan.commit.sha,
        "files": [one.filename for one in plan.pending],
        "with_data": with_data,
    }
    ops.log.append([_draft("rehearsal_started", plan.target, actor, started)])
    progress(Told("rehearsal", step="rehearsal"))
    stopped: OpsError | None = None
    try:
        reap_scratches()
        shown = rehearse(
            plan.target,
            plan,
            tools_bin=settings.postgres.bin,
            cache=settings.path(settings.state.path).parent / "schemas",
            with_data=with_data,
            progress=progress,
            stop=ops.rehearsals.is_over,
        )
    except AuditError:
        raise
    except OpsError as error:
        stopped = error if error.reason is Reason.STOPPED else None
        shown = Rehearsal(Outcome.IMPOSSIBLE, because=error.message, with_data=with_data)
    except Exception as error:
        reference = uuid.uuid4().hex[:8]
        logger.error(
            "rehearsal_failed_unexpectedly target=%s reference=%s", plan.target.name, reference, exc_info=error
        )
        because = f"something went wrong that nobody foresaw (reference {reference})"
        shown = Rehearsal(Outcome.IMPOSSIBLE, because=because, with_data=with_data)
    rehearsed = _with(plan, bounded(shown))
    report = rehearsed.rehearsal or shown
    ended = {"basis": basis, "digest": rehearsed.digest, "report": report.to_json(), "diff": report.diff_text}
    ops.log.append([_draft("rehearsed", plan.target, actor, ended)])
    if stopped is not None:
        raise stopped
    return rehearsed


def _with(plan: Plan, rehearsal: Rehearsal) -> Plan:
    """The plan with what was shown, and its hazards as they are after that."""
    # Here for the same reason as above.
    from ops.hazards.rehearsed import hazards_after

    return replace(plan, rehearsal=rehearsal, hazards=hazards_after(plan.hazards, plan.pending, rehearsal))


def _known(ops: Ops, target: Target, basis: str, stays_true: timedelta) -> Rehearsal | None:
    """A rehearsal of the same basis that the log holds, unless it could not be done or is too old."""
    since = ops.now() - stays_true
    query = Query(project=target.project, environment=target.environment, since=since, text=basis)
    event = _newest(ops.view, query)
    found = _read(event.data) if event is not None and event.data and event.data["basis"] == basis else None
    return found if found is not None and found.outcome is not Outcome.IMPOSSIBLE else None


def _newest(view: View, query: Query) -> Event | None:
    return next(iter(view.find(replace(query, kinds=("rehearsed",), newest_first=True, limit=1))), None)


def _read(data: Mapping[str, Any]) -> Rehearsal | None:
    """None for what another version of this program wrote in another form."""
    try:
        return from_json(data["report"], data["diff"])
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


@cache
def _code_sha256() -> str:
    """Of the code that rehearses: what another version of it showed does not stand for this one's."""
    found = hashlib.sha256(b"rehearsal 1")
    here = Path(__file__).parent
    for pattern in _CODE:
        for path in sorted(here.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()

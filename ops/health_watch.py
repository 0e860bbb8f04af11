"""Looks at a target's health now and then, and writes down what changed: from the log on it is told."""

from collections.abc import Mapping

from audit import Draft
from audit import Event
from audit import Query
from ops.health import check_all
from ops.health_changes import HOUR
from ops.health_changes import Pending
from ops.health_changes import Told
from ops.health_changes import judge
from ops.health_changes import told_of
from ops.layer import Ops
from ops.occupying import occupant_of
from ops.outside import WATCH
from ops.targets import Target

KIND = "health_changed"


def look_at_health(
    ops: Ops, target: Target, pending: Mapping[str, Pending]
) -> tuple[Mapping[str, Pending], Event | None]:
    """One look: what is seen otherwise but not for certain yet, for the next one, and the event of what changed, if any.

    While a run is at work there nothing is looked at: its own checks tell. Raises AuditError.
    """
    if occupant_of(ops.view, target.stream) is not None:
        return {}, None
    found = check_all(target)
    judged = judge(told_now(ops, target), pending, found, ops.now())
    if not judged.changes or occupant_of(ops.view, target.stream) is not None:
        return judged.pending, None
    checks = [check.to_json() for check in found]
    data = {"changes": list(judged.changes), "standing": dict(judged.standing), "checks": checks}
    draft = Draft(
        kind=KIND,
        actor=WATCH.id,
        stream=target.stream,
        data=data,
        project=target.project,
        environment=target.environment,
    )
    return judged.pending, ops.log.append([draft])[0]


def told_now(ops: Ops, target: Target) -> Told:
    """What was told of this target's health, as the log has it."""
    project, environment = target.project, target.environment
    last = ops.view.last(kind=KIND, project=project, environment=environment)
    hour = Query(project=project, environment=environment, kinds=(KIND,), since=ops.now() - HOUR)
    return told_of(last, ops.view.find(hour))

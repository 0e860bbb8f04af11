"""Undoing what another request applied: its scripts run as files do, and take their rows out of the history.

What people approved rests on the target's state, so nothing runs when that is another one by then, or when more would be
lost than they were told of.
"""

from functools import partial

from ops.catalog import UNDO_SCHEMA
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.prior.kept import altered_on
from ops.proposing import what_changed_since
from ops.push_steps import run_scripts
from ops.recovery import Standing
from ops.requests import Request
from ops.steps import Recorder
from ops.targets import Target


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """The steps of a push, with the losses counted once more before the first statement."""
    from ops.undo.losses import more_lost  # with the grammar, which whoever reads such a request does not need

    run_scripts(recorder, target, guard, standing, partial(more_lost, recorder.request))


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for other scripts; and the prior copies that rows are put back from, which any owner may write."""
    changed = what_changed_since(ops, request, progress)
    copies: dict[str, str] = request.plan["facts"].get("copies") or {}
    if changed or not copies:
        return changed
    others = altered_on(ops.target_of(request), copies)
    return [f"what was kept to be put back ({UNDO_SCHEMA}.{others[0]})"] if others else []


KIND = Kind(what_changed=what_changed, carry_out=carry_out)

"""An adoption: what a target has becomes the baseline. It looks and writes down, and changes nothing."""

from ops.adopting import adopt
from ops.adopting import document_of
from ops.adopting import what_changed_since
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.recovery import Standing
from ops.steps import Recorder
from ops.targets import Target


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """The whole run, which is the same however often it is taken up."""
    adopt(recorder, target)


KIND = Kind(
    what_changed=what_changed_since,
    carry_out=carry_out,
    document=lambda _, request: document_of(request),
    ending="txt",
)

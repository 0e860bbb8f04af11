"""What a kind of request is made of. What a kind does not say for itself is as for a push that runs scripts."""

from collections.abc import Callable
from dataclasses import dataclass

from ops.guard import Guard
from ops.layer import Ops
from ops.layer import Progress
from ops.proposing import document_of
from ops.proposing import what_changed_since
from ops.push_steps import run_scripts
from ops.recovery import Standing
from ops.recovery import where_it_stands
from ops.requests import Request
from ops.steps import Recorder
from ops.targets import Target


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    `what_changed`: the parts of its plan that are no longer as they were asked for, in words. `carry_out`: its steps, under
    the guard; the standing is that of a run that is taken up again. `stands`: where its target stands after its runner
    died. `document`: all that a yes stands for, as text; `ending` is its file name's. A kind that does not occupy its
    target (`Request.occupies`) gets no guard.
    """

    what_changed: Callable[[Ops, Request, Progress], list[str]] = what_changed_since
    carry_out: Callable[[Recorder, Target, Guard | None, Standing | None], None] = run_scripts
    stands: Callable[[Ops, Request, Target], Standing] = where_it_stands
    document: Callable[[Ops, Request], str] = document_of
    ending: str = "sql"

"""A way back tried on a copy, as a plan is rehearsed: in the log before and behind, with all that each statement did."""

import hashlib
import json
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from typing import TypeVar

from ops.access_state import changes as access_changes
from ops.access_state import read_access
from ops.layer import Ops
from ops.migration import Migration
from ops.people import Actor
from ops.proposing import hazards_of
from ops.rehearsal.copy import Copy
from ops.rehearsal.files import Looking
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.sizes import read_target
from ops.rehearsal.sizes import touched
from ops.rehearsal.sizes import with_sizes
from ops.rehearsal.trace import Tracer
from ops.rehearsing import Trial
from ops.rehearsing import Tried
from ops.rehearsing import noted
from ops.targets import Target

T = TypeVar("T")


class NotShownError(Exception):
    """The copy did not show what it should; the sentence says why, and holds no row."""


@dataclass(frozen=True)
class Trying:
    """Who tries which scripts on a copy of which target. `shown_by` are those that run there, where they are others."""

    ops: Ops
    target: Target
    actor: Actor
    commit: str
    scripts: Sequence[Migration]
    shown_by: Sequence[Migration]
    with_rows: bool

    def do(self, work: Callable[[], tuple[T, Rehearsal]]) -> tuple[T, Tried]:
        """What `work` returns, and that the log holds it. Raises whatever `work` raises."""
        found: list[T] = []
        raised: list[Exception] = []

        def show() -> Rehearsal:
            try:
                one, rehearsal = work()
            except NotShownError as error:
                raised.append(error)
                return Rehearsal(Outcome.FAILED, because=str(error), with_data=self.with_rows)
            except Exception as error:
                raised.append(error)
                raise
            found.append(one)
            return rehearsal

        tried = noted(self.ops, self._trial(), self.actor, show)
        if raised:
            raise raised[0]
        if self.shown_by is not self.scripts:  # what is only read is judged as it reads
            read = set(hazards_of(self.target, self.scripts))
            tried = replace(tried, hazards=(*tried.hazards, *(one for one in read if one not in tried.hazards)))
        return found[0], tried

    def _trial(self) -> Trial:
        about = [self.target.name, self.commit, [one.sha256 for one in self.shown_by], self.with_rows]
        basis = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        return Trial(
            self.target,
            self.commit,
            self.shown_by,
            hazards_of(self.target, self.shown_by),
            self.with_rows,
            basis,
            digest=lambda _: basis,  # no plan yet: who asks for it may take another way
        )


def watched(
    copy: Copy, target: Target, *, with_rows: bool, run: Callable[[Looking], tuple[FileFacts, ...]]
) -> tuple[tuple[FileFacts, ...], Rehearsal]:
    """What running files on a copy showed, all of which ended well or `run` raises."""
    with closing(copy.ask()) as ask:
        before = read_access(ask)
        tracer = Tracer(ask)
        ran = run(tracer)
        tracer.remove()
        opened, mended = access_changes(before, read_access(ask))
    told = read_target(target.database_url(), touched(ran))
    return ran, Rehearsal(
        outcome=Outcome.PASSED,
        server=copy.server,
        target_server=copy.target_server,
        isolation=copy.isolation.level,
        with_data=with_rows,
        is_exact=copy.is_exact,
        inexact_because=copy.inexact_because,
        stand_ins=tuple(copy.stand_ins),
        unseen=copy.notes,
        files=with_sizes(ran, told.sizes),
        access_opened=opened,
        access_mended=mended,
    )

"""Putting rows back out of a backup: they are laid beside the target's own tables first, and merged in one transaction.

What people approved rests on the target's state, so nothing runs when that is another one by then, or when more would be
lost than they were told of.
"""

from contextlib import closing
from functools import partial

from ops.backups import find_backup
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.prior.private import NotOursError
from ops.prior.tables import kept_from_json
from ops.progress import Told
from ops.push_steps import backup
from ops.push_steps import health
from ops.push_steps import migrate
from ops.push_steps import preflight
from ops.recovery import Standing
from ops.requests import find_request
from ops.steps import Recorder
from ops.targets import Target
from ops.undo.losses import more_lost
from ops.undo.source import restored
from ops.watch import begin_watch


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """The steps of a push, with the rows laid beside before the scripts run."""
    if guard is None:
        raise ValueError(recorder.request.kind)
    ready = preflight(recorder, target, standing)
    backup(recorder, target, guard)
    load(recorder, target, guard)
    migrate(recorder, target, guard, ready, partial(more_lost, recorder.request))
    health(recorder, target, ready.before)
    begin_watch(recorder, target)


def load(recorder: Recorder, target: Target, guard: Guard) -> None:
    """Fill the tables that the scripts put back from. Done again as often as it takes: nobody looks at them before."""
    request = find_request(recorder.ops.view, recorder.request.id)
    if request.applied:
        return
    facts = request.plan["facts"]
    sides = [kept_from_json(one) for one in facts["sides"]]
    found = find_backup(recorder.ops.view, facts["backup"]["sha256"])
    with recorder.step("load", {"backup": found.id, "tables": [one.name for one in sides]}) as result:
        data = {
            "version": request.files[0]["version"],
            "statement": 0,
            "line": 0,
            "copies": [one.to_json() for one in sides],
            "left_out": [],
        }
        recorder.record(
            "prior_copied", data
        )  # before they are there, so that whatever ends this, they are removed one day

        def tell(words: str) -> None:
            recorder.progress(Told(f"load: {words}", step="load"))

        rows = 0
        with restored(recorder.ops, found, tell, recorder.stop) as source:
            for number, side in enumerate(sides):
                _check_stop(recorder)
                guard.check()
                recorder.progress(Told(f"load: {side.name}", step="load", share=number / len(sides)))
                try:
                    with closing(connect(target.database_url(), purpose=f"load {request.id}")) as there:
                        there.execute("SET lock_timeout = '2s'")
                        rows += source.pour(there, side)
                except NotOursError as error:
                    raise OpsError(
                        Reason.TARGET_REFUSED,
                        f"Nothing can be laid beside: {error}.",
                        "Drop it, or give it back.",
                        exit_code=1,
                    ) from None
        result["said"] = f"{rows:,} rows of {len(sides)} {'table' if len(sides) == 1 else 'tables'} laid beside"


def _check_stop(recorder: Recorder) -> None:
    if recorder.stop():
        message = f"{recorder.request.id} was stopped while rows were laid beside. Nothing was changed."
        raise OpsError(Reason.STOPPED, message, exit_code=1)


KIND = Kind(carry_out=carry_out)

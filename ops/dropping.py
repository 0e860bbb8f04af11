"""Taking old months out of the log: what is needed on stays with its proof, the rest verifies as before, and anchors hold.

The log says it first; then a file without them takes the log's place; then the sealed files go. Whatever stops that, saying
it again goes on.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence
from dataclasses import dataclass

from audit import Base
from audit import Draft
from audit import Log
from audit import Reader
from audit import View
from audit import trim
from audit import unwatched
from audit import verify
from ops.checkpoints import Notary
from ops.errors import OpsError
from ops.errors import Reason
from ops.holds import ALL
from ops.holds import holds_in
from ops.kept_events import needed_seqs
from ops.layer import Ops
from ops.layer import utc_now
from ops.people import Actor
from ops.segments import Segment
from ops.segments import finish_drop
from ops.segments import folder_of
from ops.segments import seal_due
from ops.segments import segment_problem
from ops.segments import segments_in
from ops.settings import Settings


@dataclass(frozen=True)
class Drop:
    """What went: the months, the last event of them, and how many events before it stay."""

    months: tuple[str, ...]
    last_seq: int
    carried: int


def month_before(settings: Settings) -> str:
    """The first month that is kept by `keep_months`. Raises OpsError(BAD_USAGE) where nothing is configured."""
    keep = settings.audit.keep_months
    if keep is None:
        raise OpsError(Reason.BAD_USAGE, "Before which month?", "Say --before 2024-01, or configure keep_months.")
    now = utc_now()
    months = now.year * 12 + now.month - 1 - keep
    return f"{months // 12:04d}-{months % 12 + 1:02d}"


def drop(
    settings: Settings, before: str, because: str, actor: Actor, *, crashpoint: Callable[[str], None] = unwatched
) -> Drop:
    """Take the months before this one out of the log. The log must be closed. Raises OpsError, AuditError."""
    path = settings.log_path
    with Log.open(path) as log:
        ops = Ops(settings, log)
        seal_due(ops)
        going = _going(ops, before)
        cut = going[-1].end
        months = {one.month: one.sha256 for one in going}
        data = {
            "before": before,
            "last_seq": cut.seq,
            "root": cut.tree.root().hex(),
            "months": months,
            "because": because,
        }
        log.append([Draft(kind="drop_began", actor=actor.id, stream="bot", data=data)])
        crashpoint("began")
        if settings.audit.key is not None:
            Notary(ops).make("drop")  # what was signed last must not lie before where the log begins
    crashpoint("signed")
    carried = trim(path, cut, _needed(cut, tuple(months)), crashpoint=crashpoint)
    crashpoint("trimmed")
    with Log.open(path) as log:
        finish_drop(Ops(settings, log))
    return Drop(tuple(months), cut.seq, carried)


def _needed(cut: Base, months: Sequence[str]) -> Callable[[View], Collection[int]]:
    def needed(view: View) -> Collection[int]:
        _refuse_held(view, months)  # the log was open to others for a moment
        return needed_seqs(view, cut.seq)

    return needed


def _refuse_held(view: View, months: Sequence[str]) -> None:
    if held := sorted({ALL, *months} & holds_in(view)):
        raise OpsError(Reason.NOT_ALLOWED, f"{held[0]} is held.", "`audit release` ends a hold.", exit_code=3)


def _going(ops: Ops, before: str) -> list[Segment]:
    """The months that can go. Raises OpsError: none, held, or something does not verify."""
    known = segments_in(ops.view)
    going = [one for one in known if one.month < before]
    if not going:
        raise OpsError(
            Reason.BAD_USAGE, f"The log holds no sealed month before {before}.", "`audit segments` lists them."
        )
    _refuse_held(ops.view, [one.month for one in going])
    for one in going:
        if problem := segment_problem(one, folder_of(ops.settings) / one.name):
            raise OpsError(Reason.LOG_DAMAGED, f"Nothing was dropped: {problem}", "Find out why first.", exit_code=1)
    found = verify(ops.log.path)
    if not found.ok:
        message = f"Nothing was dropped, since the log does not hold: {found.problems[0].message}"
        raise OpsError(Reason.LOG_DAMAGED, message, "Look with `audit verify`.", exit_code=1)
    tree = Reader(ops.log.path).hashes(going[-1].last_seq - 1, 1)
    if tree != [going[-1].end.hash]:
        raise OpsError(Reason.LOG_DAMAGED, "The log is not what was sealed.", "Look with `audit verify`.", exit_code=1)
    return going

"""The ways to undo that bring rows back: from prior copies, single tables from the backup, the whole backup."""

from collections.abc import Callable

from ops.layer import Ops
from ops.layer import Progress
from ops.undo.from_tables import tables_offer
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.prior_copy import prior_copy_offer
from ops.undo.whole import restore_proposal
from ops.undo.whole import whole_offer

__all__ = ["data_ways", "restore_proposal"]


def data_ways(ops: Ops, past: Past, tell: Progress) -> dict[Way, Callable[[], Offer]]:
    """What looks for each of these ways, in the order in which they are offered. Raises OpsError as reading does."""
    return {
        Way.PRIOR_COPY: lambda: prior_copy_offer(ops, past, tell),
        Way.TABLES: lambda: tables_offer(ops, past, tell),
        Way.RESTORE: lambda: whole_offer(ops, past, tell),
    }

"""What a rehearsal did, in the words of a hazard."""

from collections.abc import Sequence

from ops.amounts import size_text
from ops.masking import printable
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Rewrite

HOLDS_DATA = {"table", "table column", "foreign table", "materialized view", "sequence", "schema"}
"""The server's words for what holds rows, values or a place."""

_TOLD = 5  # names in a message


def locked(lock: HeldLock) -> str:
    """`public.orders (AccessExclusiveLock): 41 GB, about 1.2 million rows on the target`."""
    size = size_text(lock.bytes, lock.rows)
    return f"{lock.relation} ({lock.mode}){f': {size} on the target' if size else ''}"


def listed(rewrites: Sequence[Rewrite]) -> str:
    """`public.orders (41 GB, about 1.2 million rows on the target)`, several joined, the largest first."""
    ranked = sorted(rewrites, key=lambda one: -(one.bytes or 0))
    words = []
    for one in ranked[:_TOLD]:
        size = size_text(one.bytes, one.rows)
        words.append(f"{printable(one.relation)}{f' ({size} on the target)' if size else ''}")
    return _joined(words, len(rewrites))


def dropped(drops: Sequence[Dropped]) -> str:
    """`table public.orders (41 GB on the target), policy own on public.people`, the worst first."""
    ranked = sorted(drops, key=lambda one: (one.kind not in HOLDS_DATA, -(one.bytes or 0), one.kind, one.name))
    words = []
    for one in ranked[:_TOLD]:
        size = size_text(one.bytes, one.rows)
        kind = one.kind.removeprefix("table ")
        words.append(f"{printable(kind)} {printable(one.name)}{f' ({size} on the target)' if size else ''}")
    return _joined(words, len(drops))


def _joined(words: Sequence[str], count: int) -> str:
    more = f" and {count - len(words)} more" if count > len(words) else ""
    return ", ".join(words) + more

"""Who holds a target: the run that is under way there, or the one that was interrupted. From the target's own events."""

from dataclasses import dataclass
from datetime import datetime

from audit import Query
from audit import View
from ops.errors import Reason
from ops.status import ENDINGS

_HOLDS = ("started", "interrupted")
_FREES = (*sorted(ENDINGS - {"interrupted"}), "recorded")


@dataclass(frozen=True)
class Occupant:
    """The request that holds a target: it runs there, or it was interrupted and a person must decide."""

    request: str
    since: datetime
    blocked: bool


def occupant_of(view: View, stream: str) -> Occupant | None:
    """Who holds this target (`target:shop/prod`), from the target's own stream; None when it is free.

    Asked kind by kind, by the index: the stream of a target that is looked at every few minutes is long.
    """
    held = [event for kind in _HOLDS if (event := view.last(kind=kind, stream=stream)) is not None]
    if not held:
        return None
    event = max(held, key=lambda one: one.seq)
    since = (Query(kinds=(kind,), stream=stream, after_seq=event.seq, limit=1) for kind in _FREES)
    if any(view.find(query) for query in since):
        return None
    return Occupant(event.request or "", event.at, event.kind == "interrupted")


def in_use(occupant: Occupant, target: str) -> tuple[Reason, str, str]:
    """Why nothing else may run there: the code, the sentence, and what to do."""
    if occupant.blocked:
        return (
            Reason.TARGET_BLOCKED,
            f"{target} is blocked since {occupant.since:%Y-%m-%d %H:%M} UTC: {occupant.request} was interrupted "
            "there, and nobody has said yet what became of it.",
            f"Look at the target, then `cancel {occupant.request} <what you found>`.",
        )
    return (
        Reason.TARGET_BUSY,
        f"{occupant.request} runs on {target} since {occupant.since:%H:%M:%S} UTC.",
        f"Watch it with `show {occupant.request}`.",
    )

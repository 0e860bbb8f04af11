"""Who holds a target: the run that is under way there, or the one that was interrupted. From the target's own events."""

from dataclasses import dataclass
from datetime import datetime

from audit import View
from ops.status import ENDINGS


@dataclass(frozen=True)
class Occupant:
    """The request that holds a target: it runs there, or it was interrupted and a person must decide."""

    request: str
    since: datetime
    blocked: bool


def occupant_of(view: View, stream: str) -> Occupant | None:
    """Who holds this target (`target:shop/prod`), from the target's own stream; None when it is free."""
    for event in reversed(view.events(stream=stream)):
        if event.kind in {"started", "interrupted"}:
            return Occupant(event.request or "", event.at, event.kind == "interrupted")
        if event.kind in ENDINGS or event.kind == "recorded":
            return None
    return None

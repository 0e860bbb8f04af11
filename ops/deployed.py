"""What was deployed to a target last, and whether somebody changed it since: from the log alone."""

from dataclasses import dataclass
from datetime import datetime

from audit import Event
from audit import Query
from audit import View
from ops.afterwards import CAN_BE_UNDONE
from ops.requests import find_request
from ops.targets import Target

_LOOKED_AT = 20
"""So many of a target's last runs are looked at for one that deployed a commit."""


_STATES = ("state_noted", "changed_outside", "adopted")
"""The kinds of events that say what state a target is in."""


@dataclass(frozen=True)
class Deployed:
    """The commit whose files ran last and whole, by which request, and when it ended."""

    commit: str
    request: str
    at: datetime


def last_deployed(view: View, target: Target) -> Deployed | None:
    """The last push, or resumed push, that succeeded on a target; None where none is known."""
    query = Query(stream=target.stream, kinds=("succeeded",), newest_first=True, limit=_LOOKED_AT)
    for event in view.find(query):
        request = find_request(view, event.request or "")
        if request.kind in CAN_BE_UNDONE and request.commit:
            return Deployed(request.commit, request.id, event.at)
    return None


def newest_state(view: View, target: Target) -> Event | None:
    """The newest event that says what state a target is in; None where none does."""
    found = [view.last(kind=kind, project=target.project, environment=target.environment) for kind in _STATES]
    return max((event for event in found if event), key=lambda event: event.seq, default=None)


def changed_since(view: View, target: Target) -> Event | None:
    """The `changed_outside` event that nothing has accounted for since; None where nobody noticed any."""
    event = newest_state(view, target)
    return event if event is not None and event.kind == "changed_outside" else None

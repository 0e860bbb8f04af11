"""What ran to its end on a target since a request was planned: then its plan is of a target that is no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit import Query
from audit import View
from ops.requests import PUSH
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status
from ops.targets import Target

LANDED = ("succeeded", "partially_applied", "recorded")
"""The kinds of events in a target's stream behind which it may be another one. Of a run that failed nothing remains; one
that was interrupted keeps the target blocked until it is `recorded` what became of it."""

_PLANNED = frozenset({"requested", "replanned"})


@dataclass(frozen=True)
class Landing:
    """A run that ended on a target. `schema_sha256`: of the schema behind its last file; None where nobody said so."""

    request: Request
    ended: str
    schema_sha256: str | None

    @property
    def is_certain(self) -> bool:
        """Whether what it did to the target is exactly its files, whole, and the log knows what they left."""
        succeeded = self.ended == Status.SUCCEEDED.value and self.request.kind == PUSH
        return succeeded and self.schema_sha256 is not None

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """The files that it applied, by version."""
        return {str(one["version"]): one for one in self.request.files if one["version"] in self.request.applied}


def last_landing(view: View, target: Target) -> int:
    """The number of the last event that says that a run ended on a target; 0 where none did."""
    found = (view.last(kind=kind, project=target.project, environment=target.environment) for kind in LANDED)
    return max((one.seq for one in found if one is not None), default=0)


def has_landed(view: View, target: Target, after_seq: int) -> bool:
    """Whether a run ended on a target behind that event."""
    return bool(_endings(view, target.project, target.environment, after_seq))


def landed_since(view: View, request: Request) -> tuple[str, ...]:
    """The requests that ran on a push's target since it was planned; it is to be planned again then. Empty for what is
    not planned again: other kinds, and what needs nobody, which runs where it was asked for."""
    if request.kind != PUSH or not request.needed:
        return ()
    with view.together() as one:
        endings = _endings(one, request.project, request.environment, planned_seq(one, request))
    return tuple(dict.fromkeys(number for number, _ in endings))


def landings_since(view: View, request: Request) -> tuple[Landing, ...]:
    """The same with what they did, whatever the request is."""
    endings = _endings(view, request.project, request.environment, planned_seq(view, request))
    return tuple(_landing(view, number, ended) for number, ended in endings)


def planned_seq(view: View, request: Request) -> int:
    """The number of the event that says what a request would run on its target as that is. No run ended between the
    look behind it and this event: it is written only then."""
    return max((one.seq for one in view.events(stream=request.stream) if one.kind in _PLANNED), default=0)


def _endings(view: View, project: str, environment: str, after_seq: int) -> list[tuple[str, str]]:
    stream = f"target:{project}/{environment}"
    # Kind by kind, by the index: together they would be looked for among all that was written since.
    queries = (Query(stream=stream, kinds=(kind,), after_seq=after_seq) for kind in LANDED)
    found = sorted((one for query in queries for one in view.find(query)), key=lambda one: one.seq)
    return [(one.request or "", one.kind) for one in found]


def _landing(view: View, number: str, ended: str) -> Landing:
    request = find_request(view, number)
    applied = [one for one in view.events(stream=request.stream) if one.kind == "migration_applied"]
    left = (applied[-1].data or {}).get("catalog_sha256") if applied else None
    return Landing(request, ended, left)

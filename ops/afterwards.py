"""What later requests made of what one left on its target: gone on with, or taken back. From the log alone."""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from audit import Event
from audit import Query
from audit import View
from ops.errors import Reason
from ops.requests import PUSH
from ops.requests import UNDOING
from ops.requests import Request
from ops.requests import find_request
from ops.requests import requests_about
from ops.status import Status
from ops.supabase.function_log import LEFT
from ops.supabase.function_log import UNKNOWN
from ops.targets import Target

RESUME = "resume"
CAN_BE_RESUMED = frozenset({PUSH, RESUME, "rollback"})
"""The kinds of requests that run SQL of files, and so can be gone on with where they ended half-way."""
CAN_BE_UNDONE = frozenset({PUSH, RESUME})
"""The kinds of requests that run migration files: what others did is taken back by asking for the opposite."""

_CAN_BE_HALF = CAN_BE_RESUMED | UNDOING
_FILE_DONE = ("migration_applied", "migration_undone", "history_repaired", "script_run")
_LOOKED_AT = 20
"""So many of a target's runs that ended half-way are looked at, newest first."""


@dataclass(frozen=True)
class Afterwards:
    """What became of what a request left. `went_on`: the last of the requests that went on with it; `took_back`: the one
    that undoes it, whole, in part or just now. Neither is one that left nothing. None: there is no such request."""

    went_on: Request | None = None
    took_back: Request | None = None

    @property
    def last(self) -> Request | None:
        """The request whose card tells what is on the target now; None: its own."""
        return self.took_back or self.went_on

    @property
    def is_undone(self) -> bool:
        """Whether all of it was taken back."""
        return self.took_back is not None and self.took_back.status is Status.SUCCEEDED


NOTHING_SINCE = Afterwards()

About = Callable[[Request], Sequence[Request]]
"""The requests about one, oldest first."""


def afterwards_of(view: View, request: Request) -> Afterwards:
    """What later requests made of this one."""
    return _afterwards(request, lambda one: requests_about(view, one))


def afterwards_among(request: Request, found: Sequence[Request]) -> Afterwards:
    """The same where every later request of its target is among those `found`, newest first; nothing is read."""
    return _afterwards(request, lambda one: [other for other in reversed(found) if other.of == one.id])


def half_way(view: View, target: Target) -> list[Request]:
    """The requests that left the target half-way, newest first: nobody went on with them, took them back or made up for
    them since."""
    query = Query(
        project=target.project,
        environment=target.environment,
        kinds=("partially_applied", "interrupted"),
        newest_first=True,
        limit=_LOOKED_AT,
    )
    ended = [event for event in view.find(query) if event.stream.startswith("request:") and event.request]
    found = ((event, find_request(view, event.request or "")) for event in ended)
    return [request for event, request in found if _is_half(request) and not _is_made_up_for(view, event, request)]


def found_failing(view: View, target: Target) -> Request | None:
    """The newest run of a target that deployed what it was to, and ended because something did not hold then; None where a
    run behind it succeeded that looked at the same."""
    query = Query(
        project=target.project,
        environment=target.environment,
        kinds=("succeeded", "partially_applied"),
        newest_first=True,
        limit=_LOOKED_AT,
    )
    mended: set[str] = set()
    for event in view.find(query):
        if not event.stream.startswith("request:") or not event.request:
            continue
        request = find_request(view, event.request)
        if event.kind == "partially_applied" and (event.data or {}).get("reason") == Reason.HEALTH_FAILED.value:
            failing = {slug for step in request.steps for slug in step.detail.get("failing") or ()}
            return None if failing and failing <= mended else request
        if event.kind == "succeeded" and request.kind == "functions":
            mended.add(str(request.plan["facts"]["function"]))  # it called no other one
        elif request.kind in CAN_BE_RESUMED:
            return None
    return None


def versions_left(request: Request) -> list[str]:
    """The versions of its files that are not on the target: as the run ended, or as a person found it."""
    there = set(request.settlement.versions) if request.settlement is not None else set(request.applied)
    return [str(one["version"]) for one in request.files if one["version"] not in there]


def is_on_target(request: Request) -> bool:
    """Whether anything of a run that is over, and did not do all of it, is on the target."""
    if request.settlement is not None:
        done = any(one["outcome"] == "done" for one in request.ending.get("statements") or ())
        return bool(request.settlement.versions) or done
    return bool(request.applied or request.ending.get("within"))


def _afterwards(request: Request, about: About) -> Afterwards:
    if not request.is_over or request.started_at is None:
        return NOTHING_SINCE
    later = [one for one in about(request) if _has_done_something(one)]
    took_back = _last_of(later, UNDOING)
    if took_back is not None:
        return Afterwards(took_back=_afterwards(took_back, about).went_on or took_back)
    went_on = _last_of(later, {RESUME})
    if went_on is None:
        return NOTHING_SINCE
    further = _afterwards(went_on, about)
    return Afterwards(further.went_on or went_on, further.took_back)


def _has_done_something(request: Request) -> bool:
    return request.started_at is not None and request.status not in {Status.FAILED, Status.SUPERSEDED}


def _last_of(found: Sequence[Request], kinds: Container[str]) -> Request | None:
    return next((one for one in reversed(found) if one.kind in kinds), None)


def is_left_half(view: View, request: Request) -> bool:
    """Whether it ended half-way, and nobody went on with it, took it back or made up for it since."""
    if not _is_half(request):
        return False
    ended = [
        event for event in view.events(stream=request.stream) if event.kind in {"partially_applied", "interrupted"}
    ]
    return bool(ended) and not _is_made_up_for(view, ended[-1], request)


def slugs_left(request: Request) -> list[str]:
    """The functions that are not known to be as it wanted them, as the run ended."""
    found: Mapping[str, Sequence[str]] = request.ending.get("functions") or {}
    return [*found.get(LEFT, ()), *found.get(UNKNOWN, ())]


def _is_half(request: Request) -> bool:
    if request.kind not in _CAN_BE_HALF:
        return False
    if request.status is not Status.PARTIALLY_APPLIED and request.settlement is None:
        return False
    return bool(slugs_left(request)) or (is_on_target(request) and bool(versions_left(request)))


def _is_made_up_for(view: View, ended: Event, request: Request) -> bool:
    """Whether somebody went on with it or took it back, or what was left came to the target in another way."""
    if afterwards_of(view, request).last is not None:
        return True
    kinds = (*_FILE_DONE, "function_deployed", "succeeded")
    later = view.find(Query(project=request.project, environment=request.environment, kinds=kinds, after_seq=ended.seq))
    since = {str(one.data["version"]) for one in later if one.data and one.kind in _FILE_DONE}
    deployed = {str(one.data["slug"]) for one in later if one.data and one.kind == "function_deployed"}
    if not set(versions_left(request)) - since and not set(slugs_left(request)) - deployed:
        return True
    if request.ending.get("within") or request.settlement is not None:
        return False  # part of a file stays there, whatever is pushed behind it
    pushed = {one.request for one in later if one.kind == "succeeded" and one.request}
    return any(find_request(view, one).kind == PUSH for one in pushed)

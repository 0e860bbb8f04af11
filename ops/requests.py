"""A request as the fold of its events. There is no second copy of a status anywhere."""

from collections.abc import Container
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Any

from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.people import Actor
from ops.reading_on import read_on
from ops.rules import OWN
from ops.rules import Filled
from ops.rules import Rule
from ops.rules import accepted_classes
from ops.rules import class_rules
from ops.rules import fill
from ops.rules import has_more_rules
from ops.rules import own_approvers
from ops.rules import rules_of
from ops.rules import says_nothing
from ops.rules import uncovered_classes
from ops.run_steps import Step
from ops.run_steps import steps_after
from ops.said import ERASED_REQUEST
from ops.said import Approval
from ops.said import Override
from ops.said import Settlement
from ops.said import StopAsked
from ops.said import Voided
from ops.said import approval_of
from ops.said import voided_of
from ops.status import ENDED
from ops.status import FINAL
from ops.status import TRANSITIONS
from ops.status import Status
from ops.targets import nearest

ADOPT, PUSH, RESUME, SECRETS = "adopt", "push", "resume", "secrets"
"""Kinds of requests that others ask about by name."""
UNDOING = frozenset({"rollback", "restore"})
"""The kinds that take back what another request did."""
BESIDE = frozenset({"terminate"})
"""The kinds that run beside what runs on their target: they are there to help it on. All others have it to themselves."""


@dataclass(frozen=True)
class Request:
    """Someone asks to run a plan. `place` is the last place of its stream that this value has seen."""

    id: str
    kind: str
    project: str
    environment: str
    by: Actor
    digest: str
    commit: str
    plan: Mapping[str, Any]
    hazards: tuple[Mapping[str, Any], ...]
    authors: tuple[str, ...]
    unknown_authors: tuple[str, ...]
    requested_at: datetime
    expires_at: datetime
    place: int
    status: Status = Status.WAITING
    approvals: tuple[Approval, ...] = ()
    voided: tuple[Voided, ...] = ()
    """What people had said yes to before, which does not count here."""
    replaces: str | None = None
    """The waiting request that this one was planned in place of."""
    queued_at: datetime | None = None
    """When it was first asked for, where it was planned again by itself; None: when it was requested."""
    pinned: Mapping[str, str] | None = None
    eligible: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    """The people who started the CI job that asked for it, as far as they are known; they decide nothing on it."""
    may_fill: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of the eligible, who may fill a place of each rule, by its name."""
    rehearsal: Mapping[str, Any] | None = None
    """What the rehearsal showed, as JSON within bounds (`ops.rehearsing.summary`); None where there was none."""
    at_supabase: str = ""  # what Supabase itself could put back then, in words; empty where nobody looked
    shown: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()
    applied: tuple[str, ...] = ()
    attempts: int = 0
    proof: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    override: Override | None = None
    stop_asked: StopAsked | None = None
    ended_at: datetime | None = None
    ended_by: Actor | None = None
    ending: Mapping[str, Any] = field(default_factory=dict)
    settlement: Settlement | None = None
    watch: Mapping[str, Any] | None = None
    """How its target is watched behind it: `until`, what is `worse`, and the `outcome` once that is over; None: it is not."""

    @property
    def target(self) -> str:
        return f"{self.project}/{self.environment}"

    @property
    def occupies(self) -> bool:
        """Whether its run has the target to itself."""
        return self.kind not in BESIDE

    @property
    def of(self) -> str | None:
        """The request that this one is about: which it resumes, undoes or cleans up behind. None: it stands by itself."""
        found: str | None = self.plan.get("of")
        return found

    @property
    def stream(self) -> str:
        return stream_of(self.id)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that people must meet, each place by a person of its own (see `rules_of`); none: nobody is asked."""
        return rules_of(self.plan.get("policy") or {}, self.hazards, self.unknown_authors)

    @property
    def needed(self) -> int:
        """How many people must say yes: as many as all rules together have places.

        The environment's own rule grows with a class of its hazards, and by one where the policy wants that for unknown
        authors; what certain people must agree to takes one at least.
        """
        return sum(rule.approvals for rule in self.rules)

    @property
    def has_no_policy(self) -> bool:
        """Whether no rule says that it may run: there is no policy, an empty one, or all its rules were skipped."""
        return says_nothing(self.plan.get("policy") or {}, self.rules)

    @property
    def needs_code(self) -> bool:
        """Whether an approval takes a one-time code: the policy says so for all plans, or for a class of its hazards."""
        policy = self.plan.get("policy") or {}
        return bool(policy.get("second_factor")) or any(rule.get("second_factor") for rule in self.class_rules.values())

    @property
    def emergency(self) -> str:
        """Why it was asked for as an emergency, which an overrider may let run without approvals; empty: it was not."""
        return str((self.plan.get("emergency") or {}).get("because", ""))

    @property
    def overriders(self) -> tuple[str, ...]:
        """Handles and people who may let it run without approvals; none unless it is an emergency."""
        return tuple((self.plan.get("policy") or {}).get("overriders", ())) if self.emergency else ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its hazards at the level caution or worse, which a yes accepts by name, sorted."""
        return accepted_classes(self.hazards)

    @property
    def class_rules(self) -> Mapping[str, Mapping[str, Any]]:
        """What the policy asks for because of those hazards: class, then `approvals` (0: no more) and `approvers`."""
        return class_rules(self.plan.get("policy") or {}, self.hazards)

    @property
    def deciders(self) -> tuple[str, ...]:
        """Handles and people who may approve: of the environment, of a class of its hazards, then of the other rules."""
        if not self.rules:
            return own_approvers(self.plan.get("policy") or {}, self.class_rules)
        return tuple(dict.fromkeys(who for rule in self.rules for who in rule.approvers))

    @property
    def expected(self) -> Mapping[str, str]:
        """The catalog hash that the rehearsal saw after each file, by version; empty where it is not known."""
        return {one["version"]: one["catalog_sha256"] for one in self.plan.get("expected") or ()}

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The classes that nobody has said yes to of those people that the policy asks for, as far as the log knows."""
        covered = {name for one in self.approvals if one.stands for name in one.covers}
        return tuple(uncovered_classes(self.class_rules, covered))

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """The files of the plan in order: `version`, `name`, `filename`, `sha256`."""
        found: Sequence[Mapping[str, Any]] = self.plan["files"]
        return found

    def status_at(self, now: datetime) -> Status:
        """The status with expiry computed from the clock, whether or not an event says so yet."""
        if self.status is Status.WAITING and now >= self.expires_at:
            return Status.EXPIRED
        return self.status

    @property
    def is_over(self) -> bool:
        return self.status in FINAL

    @property
    def missing(self) -> int:
        """How many more people must say yes, as far as the log knows; who counts is asked live before a run."""
        return max(self.filled.unfilled, int(bool(self.uncovered)))

    @property
    def waits_for_people(self) -> bool:
        """Whether it takes somebody's yes yet, as far as the log knows; what was overridden as an emergency takes none."""
        return self.override is None and self.missing > 0

    @property
    def filled(self) -> Filled:
        """Who fills a place of which rule, as far as the log knows."""
        return fill(self.rules, {one.person: one.fills for one in self.approvals if one.stands})

    def lacks(self, person: str) -> bool:
        """Whether the yes of this eligible person would fill a place that is free, or be what a class of hazards lacks."""
        said = {one.person: one.fills for one in self.approvals if one.stands}
        mine = [name for name, people in self.may_fill.items() if person in people]
        if self.uncovered or not has_more_rules(self.rules):
            return True
        return fill(self.rules, {**said, person: mine}).unfilled < self.filled.unfilled

    @property
    def given(self) -> int:
        """How many people have said yes, as far as the log knows. With those that are `missing` it is all it takes,
        which are more than `needed` where those who said yes are not the people that a class of hazards is asked of."""
        return len({one.person for one in self.approvals if one.stands})

    @property
    def may_be_cleared(self) -> bool:
        """Whether there are as many approvals as it takes, and by whom it takes; if they still count is asked live."""
        covered = {name for one in self.approvals for name in one.covers}
        if self.override is not None:
            return True
        return 0 < self.needed <= len(self.approvals) and not uncovered_classes(self.class_rules, covered)

    def approved_by(self, person: str) -> Approval | None:
        """This person's approval of this digest, or None."""
        return next((one for one in self.approvals if one.person == person and one.digest == self.digest), None)


def stream_of(request: str) -> str:
    """The stream of a request's events."""
    return f"request:{request}"


def fold(events: Sequence[Event]) -> Request:
    """The request that these events of its stream tell of, in the order of their places. The first is `requested`."""
    return reduce(_apply, events[1:], _from_requested(events[0]))


def _from_requested(event: Event) -> Request:
    data = {**ERASED_REQUEST, "expires_at": event.at.isoformat()} if event.data is None else event.data
    return Request(
        id=event.request or "",
        kind=data["kind"],
        project=event.project or "",
        environment=event.environment or "",
        by=Actor(event.actor),
        digest=data["digest"],
        commit=data["commit"],
        plan=data["plan"],
        hazards=tuple(data["hazards"]),
        authors=tuple(data["authors"]),
        unknown_authors=tuple(data["unknown_authors"]),
        behind=tuple(data.get("behind", ())),
        requested_at=event.at,
        expires_at=datetime.fromisoformat(data["expires_at"]),
        place=event.place,
        rehearsal=data.get("rehearsal"),
        at_supabase=data.get("at_supabase", ""),
        replaces=data.get("replaces"),
        queued_at=datetime.fromisoformat(data["queued_since"]) if data.get("queued_since") else None,
    )


def _apply(request: Request, event: Event) -> Request:
    data = event.data or {}
    to = TRANSITIONS.get((request.status, event.kind), request.status)
    request = replace(request, status=to, place=event.place)
    if event.data is None and event.kind not in ENDED:
        return request  # what was erased of a request that is over tells only that it was
    request = replace(request, steps=steps_after(request.steps, event))
    match event.kind:
        case "pinned":
            return _pin(request, data)
        case "shown":
            return replace(request, shown=data)
        case "approved" | "approval_carried" | "approval_voided" | "overridden" | "stop_asked" | "recorded":
            return _as_said(request, event, data)
        case "started" | "resumed":
            return replace(request, attempts=data["attempt"], started_at=request.started_at or event.at)
        case "migration_applied" | "migration_undone" | "history_repaired" | "script_run":
            return replace(request, applied=(*request.applied, data["version"]))
        case "backup_proven":
            return replace(request, proof=data["proof"])
        case "watch_began":
            return replace(request, watch=data)
        case "watch_worsened" | "watched":
            return replace(request, watch={**(request.watch or {}), **data})
        case kind if kind in ENDED:
            ending = {**request.ending, **data}
            return replace(request, ended_at=event.at, ended_by=Actor(event.actor), ending=ending)
        case _:
            return request


def _as_said(request: Request, event: Event, data: Mapping[str, Any]) -> Request:
    """What a person said of it, beside a yes or no to all of it: one yes of several, stop, what they found."""
    by = Actor(event.actor)
    match event.kind:
        case "approved" | "approval_carried":
            return replace(request, approvals=(*request.approvals, approval_of(event)))
        case "approval_voided":
            return replace(request, voided=(*request.voided, voided_of(event)))
        case "overridden":
            groups = data["facts"].get("groups", {})
            return replace(request, override=Override(by, event.at, data["digest"], data["because"], groups))
        case "stop_asked":
            return replace(request, stop_asked=request.stop_asked or StopAsked(by, event.at, data["because"]))
        case _:
            return replace(request, settlement=Settlement(by, event.at, data["because"], tuple(data["versions"])))


def _pin(request: Request, data: Mapping[str, Any]) -> Request:
    """Who may approve, as Slack said at this event; earlier approvals by others no longer stand, or cover a class."""
    eligible = tuple(data["eligible"])
    classes = data.get("classes", {})
    rules = data.get("rules") or {OWN: eligible}
    approvals = tuple(
        replace(
            one,
            stands=is_one_of(one.by, eligible),
            covers=tuple(name for name, people in classes.items() if is_one_of(one.by, people)),
            fills=tuple(name for name, people in rules.items() if is_one_of(one.by, people)),
        )
        for one in request.approvals
    )
    return replace(request, pinned=data["groups"], eligible=eligible, may_fill=rules, approvals=approvals)


def is_one_of(actor: Actor, people: Container[str | None]) -> bool:
    """Whether an actor is among Slack ids and terminal users."""
    return actor.id in people or (actor.user is not None and actor.user in people)


def find_request(view: View, request: str) -> Request:
    """The request of this number, read from the log. Raises OpsError(UNKNOWN_REQUEST) with the nearest number."""
    number = request.strip().upper()[:40]
    found = read_on(view, stream_of(number), _from_requested, _apply, view)
    if found is None:
        last = view.next_number("R-")
        highest = int(last.removeprefix("R-")) - 1
        near = _meant(number, highest)
        newest = f"The newest is R-{highest}." if highest else "Nobody has requested anything yet; try `push`."
        raise OpsError(
            Reason.UNKNOWN_REQUEST,
            f"There is no request {number!r}." + (f" Did you mean {near}?" if near else ""),
            f"Look at it with `show {near}`." if near else newest,
        )
    return found


def _meant(number: str, highest: int) -> str | None:
    """The request that was probably meant by `7`, `R7` or `#7`, else the one that is spelt most alike."""
    digits = "".join(letter for letter in number if letter in "0123456789")
    if digits and 1 <= int(digits) <= highest:
        return f"R-{int(digits)}"
    near = nearest(number, [f"r-{n}" for n in range(max(1, highest - 50), highest + 1)])
    return near.upper() if near else None


def requests_about(view: View, request: Request) -> list[Request]:
    """The requests that are about this one (see `Request.of`), oldest first."""
    query = Query(project=request.project, environment=request.environment, kinds=("requested",), text=request.id)
    found = [one for one in view.find(query) if one.data and one.data["plan"].get("of") == request.id]
    return [fold(view.events(stream=one.stream)) for one in found]


def undone_by(view: View, request: Request) -> Request | None:
    """The last request that took all of this one back, if one did; where one did in part, what went on with that."""
    undoing = (one for one in reversed(requests_about(view, request)) if one.kind in UNDOING)
    return next((last for one in undoing if (last := _gone_on(view, one)).status is Status.SUCCEEDED), None)


def _gone_on(view: View, request: Request) -> Request:
    """The last of the requests that went on with this one; itself where none did."""
    later = [one for one in requests_about(view, request) if one.kind == RESUME and one.started_at]
    return _gone_on(view, later[-1]) if later else request


def open_requests(view: View, *, but: Container[str] = ()) -> list[Request]:
    """The requests that wait, run or keep a target blocked, oldest first; those in `but` are not even read."""
    with view.together() as one:
        streams = [stream_of(request) for request in one.open_requests() if request not in but]
        found = [read_on(one, stream, _from_requested, _apply, view) for stream in streams]
    return [request for request in found if request is not None]

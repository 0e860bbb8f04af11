"""What is owed after a run without approvals: that other people look at it, as many as its policy asks for, within a time."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.clearance import Clearance
from ops.clearance import clearance
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.masking import mask_intake
from ops.people import Actor
from ops.policy import Decision
from ops.policy import entitled
from ops.policy import person_of
from ops.policy import refused
from ops.requests import Request
from ops.requests import find_request
from ops.said import Approval
from ops.satisfying import eligible_people

REMIND_EVERY = timedelta(days=1)
_LATER = ("reviewed", "debt_reminded")
USUAL = timedelta(days=3)


@dataclass(frozen=True)
class Debt:
    """A review that is owed for a run, by as many as it `needed`, or the rules did that were last asked. `reviews` are those
    given so far; `reminded_at`: when others were last told."""

    request: str
    project: str
    environment: str
    by: Actor
    at: datetime
    due_at: datetime
    needed: int
    reviews: tuple[Approval, ...] = ()
    reminded_at: datetime | None = None

    def is_overdue(self, now: datetime) -> bool:
        return now >= self.due_at

    @property
    def missing(self) -> int:
        """How many more people have to look at it, as far as the log knows; one at least while it is owed."""
        return max(self.needed - len({one.person for one in self.reviews}), 1)

    def sentence(self, now: datetime) -> str:
        """What is owed by whom, and until when, for people."""
        when = f"due {self.due_at:%Y-%m-%d %H:%M} UTC{', overdue' if self.is_overdue(now) else ''}"
        who = "person" if self.missing == 1 else "people"
        return (
            f"{self.request} ran on {self.project}/{self.environment} without approvals, as {self.by.id} said; "
            f"{self.missing} other {who} must review it ({when})."
        )


def open_debts(view: View) -> tuple[Debt, ...]:
    """All reviews that are owed, oldest first, from the log alone.

    Each kind is asked for by the index, and those that follow only where something was ever owed: emergencies are rare.
    """
    owed = view.find(Query(kinds=("debt_owed",)))
    later = [event for kind in _LATER for event in view.find(Query(kinds=(kind,)))] if owed else []
    found: dict[str, Debt] = {}
    for event in sorted([*owed, *later], key=lambda one: one.seq):
        number, data = event.request or "", event.data
        if event.kind == "debt_owed":
            found[number] = _owed(event)
        elif number in found and data is not None:
            if event.kind == "debt_reminded":
                found[number] = replace(found[number], reminded_at=event.at)
            elif data["cleared"]:
                del found[number]
            else:
                reviews = (*found[number].reviews, _review(event))
                found[number] = replace(found[number], needed=int(data["needed"]), reviews=reviews)
    return tuple(found.values())


def review_owed(view: View, request: Request) -> Debt | None:
    """The review that is owed for this request's run; None where nobody overrode its approvals, or enough reviewed it."""
    return None if request.override is None else _debt_of(view, request.id)


def in_debt(debts: Sequence[Debt], project: str, person: str, person_of_debtor: Sequence[str]) -> Debt | None:
    """The first debt that lets this person override nothing on this project: theirs, anywhere, or anybody's, there.

    `person_of_debtor` names who each of the debts is of, one for one.
    """
    owed = zip(debts, person_of_debtor, strict=True)
    return next((debt for debt, who in owed if debt.project == project or who == person), None)


def debt_in_the_way(ops: Ops, view: View, project: str, actor: Actor, *, but: str = "") -> Debt | None:
    """The debt that keeps this actor from an emergency on this project now; None: nothing is owed. `but`: of which not."""
    debts = [debt for debt in open_debts(view) if debt.request != but]
    return in_debt(debts, project, _person(ops, actor), [_person(ops, debt.by) for debt in debts])


def debt_of_override(ops: Ops, view: View, request: Request) -> Debt | None:
    """The debt that keeps whoever overrode this request from doing so; None where nobody did, or nothing is owed."""
    override = request.override
    return None if override is None else debt_in_the_way(ops, view, request.project, override.by, but=request.id)


def check_no_debt(ops: Ops, view: View, project: str, actor: Actor) -> None:
    """Raise OpsError(REVIEW_OWED) while this person owes a review anywhere, or somebody does on this project."""
    debt = debt_in_the_way(ops, view, project, actor)
    if debt is not None:
        no_emergency(debt, ops.now()).or_raise()


def no_emergency(debt: Debt, now: datetime) -> Decision:
    """Why nothing is overridden while this is owed."""
    return refused(
        Reason.REVIEW_OWED,
        f"No emergency until this is done: {debt.sentence(now)}",
        f"Somebody else who may approve types `review {debt.request}`; or have this approved as usual.",
    )


def debt_drafts(ops: Ops, request: Request, found: Clearance) -> list[Draft]:
    """What a run owes that begins now: nothing where people agreed to it as the rules ask."""
    if request.override is None or found.is_met:
        return []
    within = ops.target_of(request).settings.review_within
    due_at = (ops.now() + within).isoformat()
    data = {"by": request.override.by.id, "needed": request.needed, "due_at": due_at}
    return [ops.draft("debt_owed", request.override.by, request, data)]


def review(ops: Ops, number: str, actor: Actor, act: str, note: str) -> tuple[Request, Debt | None]:
    """One person looked at what ran without approvals. What is still owed, None when this cleared it.

    Raises OpsError for whoever could not have approved it: the overrider, authors, people whom the policy does not name.
    """
    request = find_request(ops.view, number)
    if not ops.view.act(f"{act}:reviewed"):
        _write_review(ops, request, actor, act, note)
    return request, _debt_of(ops.view, request.id)


def _write_review(ops: Ops, request: Request, actor: Actor, act: str, note: str) -> None:
    owed, request = _debt_of(ops.view, request.id), _by_present_rules(ops, request)
    users = (actor.user, *(one.by.user for one in (owed.reviews if owed else ())))
    directory = ops.directory(request.deciders, users=users, members=False)
    requester_is, actor_is = ops.requester_is(request.by), ops.requester_is(actor)

    def decide(view: View) -> Sequence[Draft]:
        debt = _debt_of(view, request.id)
        if debt is None:
            refused(
                Reason.NOT_WAITING, f"No review of {request.id} is owed.", "See `status` for those that are."
            ).or_raise()
            return []
        decision = entitled(request, actor, directory, requester_is, actor_is).or_raise()
        person = person_of(actor, actor_is)
        if any(one.person == person for one in debt.reviews):
            refused(Reason.ALREADY_APPROVED, f"You reviewed {request.id} before; it counts once.").or_raise()
        mine = Approval(actor, ops.now(), request.digest, person, proved=True)
        # The rules that approvals of it would have to meet, met by those who looked at it.
        found = clearance(replace(request, approvals=(*debt.reviews, mine), override=None), directory, requester_is)
        data = {
            "digest": request.digest,
            "number": len(found.counting),
            "needed": found.needed,
            "cleared": found.is_met,
            "note": mask_intake(note),
            "facts": {**decision.facts, "person": person},
        }
        return [ops.draft("reviewed", actor, request, data)]

    ops.log.transact(decide, id=f"{act}:reviewed")


def _by_present_rules(ops: Ops, request: Request) -> Request:
    """The request under the rules that its environment has now, and the groups as they are now: what is owed can be cleared
    also when those of then are gone. Where the environment asks nobody any more, or is gone, by the rules of then."""
    policy = request.plan["policy"]
    with suppress(OpsError):  # it is gone
        settings = ops.target_of(request).settings
        policy = settings.policy() if settings.asks_people else policy
    return replace(request, plan={**request.plan, "policy": policy}, pinned=None)


def remind_of_debts(ops: Ops) -> None:
    """Tell those who can clear a debt that it is owed, once a day, until it is cleared."""
    now = ops.now()
    for debt in open_debts(ops.view):
        if now >= (debt.reminded_at or debt.at) + REMIND_EVERY:
            _remind(ops, debt, now)


def _remind(ops: Ops, debt: Debt, now: datetime) -> None:
    request = find_request(ops.view, debt.request)
    done = {one.person for one in debt.reviews}
    to = [who for who in _who_may_review(ops, request) if who not in done and not who.startswith("os:")]
    data = {"due_at": debt.due_at.isoformat(), "overdue": debt.is_overdue(now), "to": to}
    draft = ops.draft("debt_reminded", Actor("system:debts"), request, data)
    # Not where it was cleared, or somebody else told of it, while it was looked at.
    ops.log.transact(lambda view: [draft] if _debt_of(view, request.id) == debt else [])


def _who_may_review(ops: Ops, request: Request) -> Sequence[str]:
    """Who may review it now; while Slack does not say, who might have approved it."""
    present = _by_present_rules(ops, request)
    try:
        directory = ops.directory(present.deciders, members=True)
    except OpsError:
        return request.eligible
    return eligible_people(present, directory, ops.requester_is(request.by), ops.requester_is)


def _debt_of(view: View, number: str) -> Debt | None:
    return next((debt for debt in open_debts(view) if debt.request == number), None)


def _owed(event: Event) -> Debt:
    """What was erased of it is owed as the event's own columns tell, by one person at least."""
    data = event.data or {"by": event.actor, "needed": 1, "due_at": (event.at + USUAL).isoformat()}
    return Debt(
        request=event.request or "",
        project=event.project or "",
        environment=event.environment or "",
        by=Actor(data["by"]),
        at=event.at,
        due_at=datetime.fromisoformat(data["due_at"]),
        needed=int(data["needed"]),
    )


def _review(event: Event) -> Approval:
    data = event.data or {}
    return Approval(Actor(event.actor), event.at, data["digest"], data["facts"]["person"], proved=True)


def _person(ops: Ops, actor: Actor) -> str:
    return person_of(actor, ops.requester_is(actor))

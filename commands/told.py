"""Who is told what directly, beside the cards: one line of `TOLD` for each kind of event that somebody has to hear of.

Pure. The bot follows the log and sends what is said here, once each; an event that nobody has to hear of is not in it.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from audit import Event
from commands.emergency_parts import overridden_page
from commands.emergency_parts import owed_page
from commands.emergency_parts import owing_page
from commands.emergency_parts import reviewed_page
from commands.kind_parts import subject_on_target
from commands.next_parts import next_line
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Tone
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.page_words import sentence_line
from commands.request_page import state_words
from commands.request_parts import TAKEN_BACK
from commands.when_parts import starts_at_best
from commands.when_parts import waits_next
from commands.when_told import taken_page
from commands.when_told import warned_page
from ops.gates import NOTHING_WAITS
from ops.gates import Verdict
from ops.people import Actor
from ops.request_queue import goes_on_as
from ops.requests import Request
from ops.status import Status


@dataclass(frozen=True)
class Letter:
    """What one person is told directly. `to`: their Slack id."""

    to: str
    page: Page


@dataclass(frozen=True)
class About:
    """What letters about an event rest on, beside it: its request as it is now, None where it is of none; and the Slack
    ids of who requested it and of who acted, None where that is nobody whom Slack knows. `waits`: what the gates of time
    say of the request."""

    request: Request | None
    requester_is: str | None
    actor_is: str | None
    waits: Verdict = NOTHING_WAITS


_FOLLOWS = frozenset({"debt_owed"})
"""Kinds of events that stand under somebody's name, but are what follows for them of what they did."""


def letters_of(event: Event, about: About) -> list[Letter]:
    """The letters that an event asks for: none where its data was erased. Nobody is told what they did themselves."""
    letters = TOLD[event.kind](event, about) if event.kind in TOLD and event.data is not None else []
    return [one for one in letters if one.to != about.actor_is or event.kind in _FOLLOWS]


def _to_requester(say: Callable[[Event, Request], Page]) -> Callable[[Event, About], list[Letter]]:
    """What happened to a request that people are asked about, told to who asked for it."""

    def tell(event: Event, about: About) -> list[Letter]:
        request = about.request
        if request is None or event.stream != request.stream or not request.needed or about.requester_is is None:
            return []
        return [Letter(about.requester_is, say(event, request))]

    return tell


def _approved_letters(event: Event, about: About) -> list[Letter]:
    """To the requester: who said yes, how many more must, and when it can start by what is so now."""
    return _to_requester(lambda event, request: _approved_page(event, request, about.waits))(event, about)


def _approved_page(event: Event, request: Request, waits: Verdict) -> Page:
    data = event.data or {}
    number, needed = int(data["number"]), int(data["needed"])
    following: Line = ("it starts as soon as nothing is in its way.",)
    if number < needed:
        following = (f"{plural(needed - number, 'approval')} more; ", *starts_at_best(request, waits))
    elif waits.closed:
        following = waits_next(request, waits)
    said: Line = (Who(event.actor), " approved ", Code(request.id), ".")
    return _page(request, f"approved, {number} of {needed}", said, next=following, tone="good")


def _rejected_page(event: Event, request: Request) -> Page:
    said: Line = (Who(event.actor), " rejected ", Code(request.id), f": {(event.data or {})['because']}")
    return _page(request, "rejected", said, tone="bad")


def _cancelled_page(event: Event, request: Request) -> Page:
    because = str((event.data or {})["because"])
    why: Line = (".",) if because == TAKEN_BACK else (": ", *sentence_line(because))
    return _page(request, "cancelled", (Who(event.actor), " cancelled ", Code(request.id), *why), tone="bad")


def _expired_page(event: Event, request: Request) -> Page:
    given = f"{request.given} of {plural(request.given + request.missing, 'approval')}"
    said: Line = (Code(request.id), " expired ", When(request.expires_at), f" with {given}. Nothing was run.")
    return _page(request, "expired", said, next=("to run it after all, ask again.",), tone="bad")


def _superseded_letters(event: Event, about: About) -> list[Letter]:
    """What was planned again by itself goes on as another request: whom that costs an approval is told of that."""
    goes_on = about.request is not None and goes_on_as(about.request) is not None
    return [] if goes_on else _to_requester(_superseded_page)(event, about)


def _voided_letters(event: Event, about: About) -> list[Letter]:
    """To whose yes no longer counts; and to the requester, unless they asked for the new plan themselves."""
    request, data = about.request, event.data or {}
    if request is None:
        return []
    yes: Line = ("The yes of ", Who(data["approver"]), " to ", Code(data["from_request"]), " does not count for it: ")
    page = _page(request, "an approval no longer counts", (*yes, f"{data['because']}."), tone="warning")
    mine: Line = (f"You approved {data['from_request']}, in whose place it is. That does not count here: ",)
    asks = _page(request, "your approval no longer counts", (*mine, f"{data['because']}."), tone="warning")
    letters = [] if data["person"].startswith("os:") else [Letter(data["person"], asks)]
    tell_requester = request.queued_at is not None and about.requester_is is not None
    return [*letters, *([Letter(str(about.requester_is), page)] if tell_requester else [])]


def _superseded_page(event: Event, request: Request) -> Page:
    said = (Code(request.id), ": ", *sentence_line(str((event.data or {})["message"])))
    return _page(request, "no longer holds", said, tone="bad")


def _succeeded_page(_: Event, request: Request) -> Page:
    return _page(request, "done", (Code(request.id), f" is done: {subject_on_target(request)}."), tone="good")


def _ended_badly_page(event: Event, request: Request) -> Page:
    said = (Code(request.id), ": ", *sentence_line(str((event.data or {})["message"])))
    is_half = event.kind == "partially_applied"
    following = next_line(request, Status.PARTIALLY_APPLIED, None) if is_half else ()
    return _page(request, state_words(request, Status(event.kind)), said, next=following, tone="bad")


def _page(request: Request, state: str, said: Line, *, next: Line = (), tone: Tone = "plain") -> Page:
    shows: Line = (Command(f"show {request.id}"), " shows all of it.")
    return Page(f"{request.id} for {request.target}: {state}", body=[Paragraph(said)], next=next or shows, tone=tone)


def _reminded_letters(event: Event, about: About) -> list[Letter]:
    """To each of those who can still act. One that was decided since, or who said yes since, is not asked again."""
    request, data = about.request, event.data or {}
    if request is None or request.status is not Status.WAITING:
        return []
    page = Page(
        f"{request.id} for {request.target} waits for your yes or no",
        facts=[
            ("Plan", (subject_on_target(request),)),
            ("Requested by", (Who(request.by.id),)),
            ("Approvals", (f"{request.given} of {request.given + request.missing}",)),
            ("Expires", (When(request.expires_at),)),
        ],
        next=("read ", Code(request.id), " and decide on its card."),
    )
    return [Letter(user, page) for user in data["to"] if request.approved_by(user) is None]


def _to_named(say: Callable[[Event, Request], Page]) -> Callable[[Event, About], list[Letter]]:
    """What happened to a request, told to those whom the event names."""

    def tell(event: Event, about: About) -> list[Letter]:
        if about.request is None:
            return []
        page = say(event, about.request)
        return [Letter(user, page) for user in (event.data or {})["to"]]

    return tell


def _owing_letters(event: Event, about: About) -> list[Letter]:
    """To whoever overrode the approvals: that others must review it, and until when."""
    user = Actor(str((event.data or {})["by"])).user
    return [] if about.request is None or user is None else [Letter(user, owing_page(event, about.request))]


def _to_those_in(say: Callable[[Event], Page]) -> Callable[[Event, About], list[Letter]]:
    """What happened to a target or to all of them, told to those whom the event names; mostly it names nobody."""

    def tell(event: Event, _: About) -> list[Letter]:
        people = (event.data or {}).get("to", ())
        return [Letter(user, say(event)) for user in people]

    return tell


def _enrolment_asked_letters(event: Event, _: About) -> list[Letter]:
    """To those who can agree, and to the person: perhaps it is not they who want it."""
    user = str((event.data or {})["user"])
    said: Line = (Who(event.actor), " wants a new second factor for ", Who(f"slack:T0/{user}"), ".")
    page = Page(
        "A new second factor is asked for",
        body=[Paragraph(said)],
        next=("ask them whether they want it; only then type ", Command(f"enrol {user} --agree"), "."),
        tone="warning",
    )
    return [Letter(one, page) for one in dict.fromkeys([*(event.data or {})["to"], user])]


def _factor_letters(event: Event, _: About) -> list[Letter]:
    """To the person themself: whoever has their second factor can act as them, with their Slack account."""
    done = "agreed to a new second factor for you" if event.kind == "enrolment_agreed" else "made your second factor"
    page = Page(
        "Your second factor",
        body=[Paragraph((Who(event.actor), f" {done}."))],
        next=("if you do not know of it, tell whoever runs Countersign at once.",),
        tone="warning",
    )
    return [Letter(str((event.data or {})["user"]), page)]


TOLD: Mapping[str, Callable[[Event, About], Sequence[Letter]]] = {
    "approved": _approved_letters,
    "rejected": _to_requester(_rejected_page),
    "cancelled": _to_requester(_cancelled_page),
    "expired": _to_requester(_expired_page),
    "superseded": _superseded_letters,
    "approval_voided": _voided_letters,
    "succeeded": _to_requester(_succeeded_page),
    "failed": _to_requester(_ended_badly_page),
    "partially_applied": _to_requester(_ended_badly_page),
    "interrupted": _to_requester(_ended_badly_page),
    "reminded": _reminded_letters,
    "unlocked": _to_those_in(taken_page),
    "unfrozen": _to_those_in(taken_page),
    "warned": _to_those_in(warned_page),
    "overridden": _to_named(overridden_page),
    "debt_owed": _owing_letters,
    "reviewed": _to_requester(reviewed_page),
    "debt_reminded": _to_named(owed_page),
    "enrolment_asked": _enrolment_asked_letters,
    "enrolment_agreed": _factor_letters,
    "enrolled": _factor_letters,
}
"""The kind of an event, and who has to hear of it. A new kind is one function and one line here."""

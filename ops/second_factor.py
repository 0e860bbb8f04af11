"""Proving who acts by a one-time code, beside their Slack account. What the log tells decides; each code works once."""

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.factor_store import read_secret
from ops.layer import Ops
from ops.one_time_code import AROUND
from ops.one_time_code import TRIES
from ops.one_time_code import Tries
from ops.one_time_code import is_before_the_log
from ops.one_time_code import is_used
from ops.one_time_code import locked_until
from ops.one_time_code import step_at
from ops.one_time_code import step_of
from ops.people import Actor
from ops.requests import Request

CLOCK_TOLERANCE = timedelta(seconds=5)
"""Clocks that are set by time servers step back a little now and then."""

CODE = "code"
"""What an approval says of how its person proved to be the one."""


@dataclass(frozen=True)
class Proof:
    """A code that was right. `step` is used up."""

    user: str
    step: int


def factor_stream(user: str) -> str:
    """The stream that a person's second factor is the fold of."""
    return f"factor:{user}"


def enrolment_of(events: Sequence[Event]) -> Event | None:
    """The `enrolled` event that holds now, of a person's second factor; None: they have none."""
    return next((event for event in reversed(events) if event.kind == "enrolled"), None)


def check_enrolled(ops: Ops, actor: Actor, at: datetime | None = None) -> None:
    """Raise OpsError unless this actor has a second factor that can be read, and is not locked out just now, or then.

    To be asked before a form is opened or a long work is begun; a code is looked at by `prove` alone.
    """
    user = _user(actor)
    _secret(ops, user, ops.view)
    _check_open(_tries(ops.view, user), at or ops.now(), user)


def prove(ops: Ops, actor: Actor, act: str, code: str | None, purpose: str, request: Request) -> Proof:
    """Whether this is the actor's code, now, for the first time; it is used up by that, whatever comes of the purpose.

    Raises OpsError: CODE_NEEDED, NOT_ENROLLED, FACTOR_UNAVAILABLE (no key, unreadable, the clock went back),
    FACTOR_LOCKED, CODE_WRONG. A redelivered act finds its first answer.
    """
    user = _user(actor)
    if code is None or not code.strip():
        raise code_needed(request)
    _secret(ops, user, ops.view)  # what cannot be read is told before anything is tried

    def decide(view: View) -> Sequence[Draft]:
        secret = _secret(ops, user, view)
        tries = _tries(view, user)
        _check_open(tries, ops.now(), user)
        step = step_of(secret, code, ops.now())
        if step is not None and not is_used(tries, step):
            data: dict[str, object] = {"step": step, "digest": request.digest}
            return [_draft("code_used", actor, user, {**data, "user": user, "purpose": purpose})]
        why = "wrong" if step is None else "used"
        return [_draft("code_failed", actor, user, {"user": user, "why": why, "purpose": purpose})]

    event = ops.log.transact(decide, id=f"{act}:code")[0]
    data = event.data or {}
    if event.kind == "code_used" and (data["user"], data["purpose"], data["digest"]) == (user, purpose, request.digest):
        return Proof(user, int(data["step"]))
    raise _not_accepted(ops, user, str(data.get("why", "used")))


def check_code(ops: Ops, actor: Actor, act: str, code: str, purpose: str, request: Request) -> None:
    """Raise OpsError where `prove` would, so that it is told while the form is open.

    What is wrong is recorded by that, as the try that it is; what is right is not used up: the decision does that, and with
    the same act finds the same answer.
    """
    user = _user(actor)
    secret, tries = _secret(ops, user, ops.view), _tries(ops.view, user)
    is_known = bool(ops.view.act(f"{act}:code"))
    if not is_known:
        _check_open(tries, ops.now(), user)
    step = step_of(secret, code, ops.now())
    if is_known or step is None or is_used(tries, step):
        prove(ops, actor, act, code, purpose, request)


@contextmanager
def spent(proof: Proof | None) -> Iterator[None]:
    """What is refused in here, behind a proof, says that its code is used up: each works once, whatever came of it."""
    try:
        yield
    except OpsError as error:
        if proof is None:
            raise
        hint = f"{error.hint} Your code is used up: next time give the next one of your app.".strip()
        raise OpsError(error.reason, error.message, hint, exit_code=error.exit_code, details=error.details) from error


def code_needed(request: Request) -> OpsError:
    return OpsError(
        Reason.CODE_NEEDED,
        f"A decision on {request.id} that lets it run takes a one-time code of your second factor.",
        "Press the button on its card: a form asks for the code. What is typed in a message is no place for it.",
        exit_code=3,
    )


def _user(actor: Actor) -> str:
    """Who is to prove it: somebody in Slack. A terminal has no form, and its arguments stand in the process list."""
    if actor.user is None:
        raise OpsError(
            Reason.CODE_NEEDED,
            f"{actor.id} cannot give a one-time code here.",
            "Decide in Slack: the button on the card opens a form for the code.",
            exit_code=3,
        )
    return actor.user


def _secret(ops: Ops, user: str, view: View) -> bytes:
    enrolled = enrolment_of(view.events(stream=factor_stream(user)))
    if enrolled is None:
        raise OpsError(
            Reason.NOT_ENROLLED,
            "You have no second factor, and this takes one.",
            f"Whoever runs Countersign types `countersign enrol {user}` at the terminal, with you beside them.",
            exit_code=3,
        )
    if enrolled.data is None:
        raise OpsError(
            Reason.FACTOR_UNAVAILABLE,
            f"What the log knew of the second factor of {user} was erased.",
            f"Enrol again: `countersign enrol {user}`.",
            exit_code=3,
        )
    return read_secret(ops.settings, user, str(enrolled.data["sealed_sha256"]))


def _tries(view: View, user: str) -> Tries:
    """What was tried since this person enrolled, from the log. What was erased of it counts as the worst it can have been."""
    last_step: int | None = None
    wrong: list[Event] = []
    for event in view.events(stream=factor_stream(user)):
        data = event.data or {}
        match event.kind:
            case "enrolled":
                last_step, wrong = None, []
            case "code_used":
                newest = int(data.get("step", step_at(event.at) + AROUND))
                last_step, wrong = max(last_step or 0, newest), []
            case "code_failed" if data.get("why", "wrong") == "wrong":
                wrong.append(event)
    [head] = view.find(Query(limit=1, newest_first=True))
    return Tries(last_step, [event.at for event in wrong], head.at - CLOCK_TOLERANCE)


def _check_open(tries: Tries, now: datetime, user: str) -> None:
    if is_before_the_log(tries, now):
        raise OpsError(
            Reason.FACTOR_UNAVAILABLE,
            f"The clock says {now:%Y-%m-%d %H:%M:%S} UTC, which is before what the log tells of, so no code can be judged.",
            "Whoever runs Countersign sets the clock right.",
            exit_code=3,
        )
    until = locked_until(tries)
    if until is not None and now < until:
        raise OpsError(
            Reason.FACTOR_LOCKED,
            f"{len(tries.wrong)} codes of {user} were wrong, one after the other, so none is looked at until "
            f"{until:%Y-%m-%d %H:%M} UTC.",
            "If that was not you, tell whoever runs Countersign: somebody else has your Slack account.",
            exit_code=3,
        )


def _not_accepted(ops: Ops, user: str, why: str) -> OpsError:
    if why == "used":
        message = "That code, or a newer one, was used before; each works once."
        return OpsError(Reason.CODE_WRONG, message, "Wait for the next code of your app.", exit_code=3)
    left = TRIES - len(_tries(ops.view, user).wrong) % TRIES
    then = (
        "no code is looked at for a while now" if left == TRIES else f"{left} more before none is looked at for a while"
    )
    return OpsError(
        Reason.CODE_WRONG,
        f"That is not the code of your second factor at this moment ({then}).",
        "Give the code that your app shows now; if it is, the telephone's clock may be wrong.",
        exit_code=3,
    )


def _draft(kind: str, actor: Actor, user: str, data: dict[str, object]) -> Draft:
    return Draft(kind=kind, actor=actor.id, stream=factor_stream(user), data=data)

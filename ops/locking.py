"""Locking a target: nobody may run on it until a time. The lock is the fold of the target's own events and the clock."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from typing import Any

from audit import Draft
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import may_request_now
from ops.masking import mask_intake
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import person_of
from ops.policy import refused
from ops.targets import Target

LONGEST = timedelta(days=7)
"""A lock that nobody thinks of any more ends by itself."""

USUAL = timedelta(hours=4)
"""How long a lock is held where nobody said how long."""


@dataclass(frozen=True)
class Lock:
    """Who locked a target, since when, until when (it no longer holds at that moment), and why (empty: no reason given)."""

    by: Actor
    at: datetime
    until: datetime
    because: str


def lock_of(view: View, project: str, environment: str, now: datetime) -> Lock | None:
    """The lock that holds on a target at this moment, from the log alone; None when nothing locks it."""
    locked = view.last(kind="locked", project=project, environment=environment)
    if locked is None:
        return None
    unlocked = view.last(kind="unlocked", project=project, environment=environment)
    # What was erased may have been the longest of all.
    told = locked.data or {"until": (locked.at + LONGEST).isoformat(), "because": ""}
    until = datetime.fromisoformat(told["until"])
    if now >= until or (unlocked is not None and unlocked.seq > locked.seq):
        return None
    return Lock(Actor(locked.actor), locked.at, until, told["because"])


def check_unlocked(view: View, target: Target, now: datetime) -> None:
    """Raise OpsError(TARGET_LOCKED) that says who locked the target, until when and why, while somebody has."""
    held = lock_of(view, target.project, target.environment, now)
    if held is not None:
        _is_locked(held, target).or_raise(exit_code=5)


def lock(ops: Ops, target: Target, actor: Actor, act: str, length: timedelta, because: str) -> Lock:
    """Let nobody start a run on a target for so long; a run that is under way goes on. One's own lock is replaced.

    Raises OpsError: BAD_USAGE for a length that no lock has, TARGET_LOCKED while somebody else holds it, refusals.
    """
    if not timedelta() < length <= LONGEST:
        raise OpsError(
            Reason.BAD_USAGE,
            f"A lock holds for {LONGEST.days} days at most.",
            f"For example: lock {target.environment} for 2h the importer is running",
        )
    may_request_now(ops, target, actor).or_raise()

    def decide(view: View) -> Sequence[Draft]:
        now = ops.now()
        held = lock_of(view, target.project, target.environment, now)
        may_lock(held, target, is_own=held is not None and _is_one_person(ops, held.by, actor)).or_raise(exit_code=5)
        return [_draft("locked", target, actor, {"because": mask_intake(because), "until": (now + length).isoformat()})]

    event = ops.log.transact(decide, id=f"{act}:locked")[0]
    data = event.data or {}
    return Lock(Actor(event.actor), event.at, datetime.fromisoformat(data["until"]), data["because"])


def unlock(ops: Ops, target: Target, actor: Actor, act: str, because: str) -> bool:
    """Take one's own lock away. False where nothing was locked; then nothing is recorded.

    Raises OpsError(NOT_ALLOWED) when somebody else holds it, and refusals.
    """
    may_request_now(ops, target, actor).or_raise()

    def decide(view: View) -> Sequence[Draft]:
        held = lock_of(view, target.project, target.environment, ops.now())
        if held is None:
            return []
        may_unlock(held, target, is_own=_is_one_person(ops, held.by, actor)).or_raise()
        return [_draft("unlocked", target, actor, {"because": mask_intake(because)})]

    return bool(ops.log.transact(decide, id=f"{act}:unlocked"))


def steal(ops: Ops, target: Target, actor: Actor, act: str, because: str) -> Lock | None:
    """Take somebody else's lock away, which only the target's overriders may, with a reason; the owner is told. None where
    nothing was locked; then nothing is recorded.

    Raises OpsError: BAD_USAGE without a reason, NOT_ALLOWED for whoever is no overrider.
    """
    if not because.strip():
        raise OpsError(
            Reason.BAD_USAGE,
            "Taking a lock away needs a reason: its owner is told.",
            f"For example: unlock {target.environment} --steal the import hangs since noon",
        )
    entries = target.settings.overriders
    directory = ops.directory(entries, users=(actor.user,), members=False)
    may_steal(entries, actor, directory, target.name).or_raise()
    taken = lock_of(ops.view, target.project, target.environment, ops.now())

    def decide(view: View) -> Sequence[Draft]:
        held = lock_of(view, target.project, target.environment, ops.now())
        if held is None:
            return []
        user = ops.requester_is(held.by)
        data = {"because": mask_intake(because), "owner": held.by.id, "to": [user] if user else []}
        return [_draft("unlocked", target, actor, data)]

    return taken if ops.log.transact(decide, id=f"{act}:unlocked") else None


def may_steal(entries: Sequence[str], actor: Actor, directory: Directory, target: str) -> Decision:
    """Whether this actor is one of a target's overriders, as the configuration names them and Slack has them now."""
    problem = directory.problem_of(actor.user) if actor.user else None
    if entries and problem is None and is_named(entries, actor, directory.groups):
        return Decision(True)
    nobody = "It names no overriders: only who locked it can unlock it."
    who = f"Its overriders may: {names_of(entries)}." if entries else nobody
    return refused(
        Reason.NOT_ALLOWED, f"You may not take a lock of {target} away{f': {problem}' if problem else ''}.", who
    )


def may_lock(held: Lock | None, target: Target, *, is_own: bool) -> Decision:
    """Whether a requester may lock a target on which this lock holds, or none: nobody takes another's lock over."""
    return Decision(True) if held is None or is_own else _is_locked(held, target)


def may_unlock(held: Lock, target: Target, *, is_own: bool) -> Decision:
    """Whether a requester may take this lock away: their own only."""
    if is_own:
        return Decision(True)
    return refused(
        Reason.NOT_ALLOWED,
        f"{lock_sentence(held, target.name)} Only who locked it may unlock it before.",
        f"Ask {_to_unlock(held, target.environment)}, or wait.",
    )


def _is_locked(held: Lock, target: Target) -> Decision:
    return refused(
        Reason.TARGET_LOCKED,
        lock_sentence(held, target.name),
        unlock_hint(held, target.environment),
    )


def lock_sentence(held: Lock, target: str) -> str:
    """Who locked this target, until when and why."""
    why = f": {held.because.rstrip('.')}" if held.because else ""
    return f"{target} is locked by {held.by.id} until {held.until:%Y-%m-%d %H:%M} UTC{why}."


def unlock_hint(held: Lock, environment: str) -> str:
    """What to do about a lock."""
    return f"Wait until then, or ask {_to_unlock(held, environment)}."


def _to_unlock(held: Lock, environment: str) -> str:
    """Whom to ask, and for what. Who locked it at a terminal unlocks it there, wherever this is read."""
    return f"{held.by.id} to type `{'countersign ' * held.by.is_terminal}unlock {environment}`"


def _is_one_person(ops: Ops, one: Actor, other: Actor) -> bool:
    """Whether both are the same person, at whichever front."""
    return person_of(one, ops.requester_is(one)) == person_of(other, ops.requester_is(other))


def _draft(kind: str, target: Target, actor: Actor, data: Mapping[str, Any]) -> Draft:
    return Draft(
        kind=kind,
        actor=actor.id,
        stream=target.stream,
        data=data,
        project=target.project,
        environment=target.environment,
    )

"""Freezing a target, or everything: nobody begins a run there until somebody unfreezes it, or until a time.

A freeze is the fold of the events of its own stream and the clock: `target:shop/prod`, or `all` for everything at once.
A lock is one person's, for their own work; a freeze is a decision of those who approve. Freezes of several people stand
beside each other, so nobody's makes another's shorter. Those of a target any of its approvers can take back; that of
everything, who made it and whoever has a say in every environment: a stop of everything does not end by a part of it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.masking import mask_intake
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import Directory
from ops.policy import is_named
from ops.policy import may_request
from ops.policy import person_of
from ops.policy import refused
from ops.targets import Target
from ops.targets import all_targets
from ops.windows import Period
from ops.windows import frozen_by
from ops.windows import is_open
from ops.windows import next_free

ALL = "all"
"""What is frozen where everything is; the name of its stream, too."""


@dataclass(frozen=True)
class Freeze:
    """`what` is frozen (`shop/prod`, or `all`), by whom, since when, until when (None: until somebody unfreezes it), why."""

    what: str
    by: Actor
    at: datetime
    until: datetime | None
    because: str


@dataclass(frozen=True)
class Unfrozen:
    """The freezes that were taken back, those that stay because only others may end them, and whose of the first were
    somebody else's."""

    ended: tuple[Freeze, ...]
    left: tuple[Freeze, ...]
    anothers: tuple[Actor, ...]


def freezes_on(view: View, stream: str, now: datetime) -> tuple[Freeze, ...]:
    """The freezes that one stream tells of at this moment, a target's or those of `all`: each person's last, the first
    first."""
    if view.last(kind="frozen", stream=stream) is None:  # as nearly always
        return ()
    held: dict[str, Freeze] = {}
    # Each kind by itself, for which there is an index: a target's stream is long.
    events = [one for kind in ("frozen", "unfrozen") for one in view.find(Query(kinds=(kind,), stream=stream))]
    for event in sorted(events, key=lambda one: one.seq):
        owners = [event.actor]  # of what was erased it is known only that whoever did it ended their own
        if event.kind == "unfrozen" and event.data:
            owners = event.data["owners"]
        for owner in owners:
            held.pop(owner, None)
        if event.kind == "frozen":
            held[event.actor] = _of(event)
    return tuple(one for one in held.values() if one.until is None or now < one.until)


def _of(event: Event) -> Freeze:
    told = event.data or {}  # of what was erased nobody knows the end: it holds until somebody unfreezes
    until = datetime.fromisoformat(told["until"]) if told.get("until") else None
    what = event.stream.removeprefix("target:")
    return Freeze(what, Actor(event.actor), event.at, until, str(told.get("because", "")))


def freezes_of(view: View, target: str, now: datetime) -> tuple[Freeze, ...]:
    """What freezes a target (`shop/prod`) at this moment: everything first, then itself."""
    return (*freezes_on(view, ALL, now), *freezes_on(view, f"target:{target}", now))


def check_not_frozen(view: View, target: str, now: datetime) -> None:
    """Raise OpsError(TARGET_FROZEN) that says who froze the target, until when and why, while somebody has."""
    for freeze in freezes_of(view, target, now):
        raise OpsError(Reason.TARGET_FROZEN, freeze_sentence(freeze), unfreeze_hint([freeze]), exit_code=5)


def check_begins_at_once(view: View, target: Target, now: datetime, *, passes: bool) -> None:
    """Raise OpsError(TARGET_FROZEN, OUTSIDE_WINDOW) where what needs nobody could not begin now, before it is planned.

    What needs people may be asked for: it waits. `passes`: it is a hotfix, of which its own gate judges.
    """
    settings = target.settings
    if settings.asks_people or passes:
        return
    check_not_frozen(view, target.name, now)
    periods = tuple(one.between for one in settings.freezes)
    period = frozen_by(periods, now)
    if period is not None:
        message = period_sentence(target.name, period)
        raise OpsError(Reason.TARGET_FROZEN, message, "Ask again when that is over.", exit_code=5)
    if not is_open(settings.windows, now):
        message = window_sentence(target.name, settings.windows, next_free(settings.windows, periods, now))
        raise OpsError(Reason.OUTSIDE_WINDOW, message, "Ask again when the window is open.", exit_code=5)


def period_sentence(target: str, period: Period) -> str:
    """That the configuration freezes a target, until when and why."""
    return f"{target} is frozen until {period.to:%Y-%m-%d %H:%M} UTC: {period.because.rstrip('.')}."


def window_sentence(target: str, windows: Sequence[str], opens_at: datetime | None) -> str:
    """That no window of a target is open, and when the next is."""
    opens = f"The next opens {opens_at:%Y-%m-%d %H:%M} UTC." if opens_at else "None opens within five years."
    return f"{target} changes only in its windows: {'; '.join(windows)}. {opens}"


def freeze_sentence(freeze: Freeze) -> str:
    """What is frozen, by whom, until when and why."""
    what = "Everything" if freeze.what == ALL else freeze.what
    why = f": {freeze.because.rstrip('.')}" if freeze.because else ""
    return f"{what} is frozen by {freeze.by.id} {_until(freeze.until)}{why}."


def _until(until: datetime | None) -> str:
    return f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until somebody unfreezes it"


def unfreeze_hint(freezes: Sequence[Freeze]) -> str:
    """What to do about the freezes that hold a target, in the full name of what each froze."""
    wait = "Wait until then, or: " if all(one.until for one in freezes) else ""
    owners = " and ".join(dict.fromkeys(one.by.id for one in freezes if one.what == ALL))
    who = {one.what: f"{owners}, or who approves everywhere," if one.what == ALL else "an approver" for one in freezes}
    return f"{wait}{' and '.join(f'{may} can end it with `unfreeze {what}`' for what, may in who.items())}."


def freeze(
    ops: Ops, target: Target | None, actor: Actor, act: str, until: datetime | None, because: str
) -> tuple[Freeze, tuple[Freeze, ...]]:
    """Let nobody begin a run on a target, on none at all where `target` is None; and the freezes of others that hold beside
    it. One's own is replaced.

    Raises OpsError: BAD_USAGE without a reason or for a time that is over, refusals.
    """
    stream = target.stream if target else ALL
    if not because.strip():
        raise OpsError(
            Reason.BAD_USAGE, "A freeze needs its reason, which everybody reads who waits for its end.", "Say why."
        )
    if until is not None and until <= ops.now():
        raise OpsError(Reason.BAD_USAGE, f"{until:%Y-%m-%d %H:%M} UTC is over.", "Say a time to come.")
    may_freeze_now(ops, target, actor).or_raise()
    data = {"because": mask_intake(because), "until": until.isoformat() if until else None}
    event = ops.log.append([_draft("frozen", target, actor, data)], id=f"{act}:frozen")[0]
    return _of(event), tuple(one for one in freezes_on(ops.view, stream, ops.now()) if one.by != actor)


def unfreeze(ops: Ops, target: Target | None, actor: Actor, act: str, because: str) -> Unfrozen | None:
    """End what this actor may end of what froze a target, or everything, before its time; None where nothing was frozen,
    then nothing is recorded. Raises OpsError: refusals, also where all of it is somebody else's to end."""
    stream = target.stream if target else ALL
    targets = [target] if target else all_targets(ops.settings)
    owners = [one.by for one in freezes_on(ops.view, stream, ops.now())]
    overriders = () if target else tuple(who for one in targets for who in one.settings.overriders)
    directory = _freezers_directory(ops, targets, [actor, *(owners if ops.people.are_known else ())], overriders)
    has_say = target is None and _has_say_everywhere(targets, actor, directory)
    if not has_say:
        may_freeze(targets, actor, directory, target.name if target else ALL).or_raise()

    def may_end(held: Freeze) -> bool:
        return has_say or target is not None or _is_own(ops, held, actor) or _is_nobodys(held, targets, directory)

    def decide(view: View) -> Sequence[Draft]:
        fresh = freezes_on(view, stream, ops.now())
        ended = [one for one in fresh if may_end(one)]
        if fresh and not ended:
            _not_theirs_to_end(fresh[0], targets).or_raise()
        users = [user for one in ended if (user := ops.requester_is(one.by))]
        data = {
            "because": mask_intake(because),
            "owners": [one.by.id for one in ended],
            "to": list(dict.fromkeys(users)),
        }
        return [_draft("unfrozen", target, actor, data)] if ended else []

    held = freezes_on(ops.view, stream, ops.now())
    events = ops.log.transact(decide, id=f"{act}:unfrozen")
    if not events:
        return None
    named = (events[0].data or {}).get("owners", ())
    ended = tuple(one for one in held if one.by.id in named)
    anothers = tuple(one.by for one in ended if not _is_own(ops, one, actor))
    return Unfrozen(ended, freezes_on(ops.view, stream, ops.now()), anothers)


def may_freeze_now(ops: Ops, target: Target | None, actor: Actor) -> Decision:
    """Whether this actor is one of those who may freeze a target, or everything where it is None.

    Raises OpsError(IDENTITY_UNPROVEN) when Slack's answer is uncertain.
    """
    targets = [target] if target else all_targets(ops.settings)
    return may_freeze(targets, actor, _freezers_directory(ops, targets, [actor]), target.name if target else ALL)


def _freezers_directory(
    ops: Ops, targets: Sequence[Target], actors: Sequence[Actor], overriders: Sequence[str] = ()
) -> Directory:
    entries = tuple(dict.fromkeys([*(who for one in targets for who in freezers(one)), *overriders]))
    users = tuple(one.user for one in actors)
    return ops.directory(entries if any(users) else (), users=users, members=False)


def freezers(target: Target) -> tuple[str, ...]:
    """Who may freeze a target: whoever approves there; where nobody approves, the requesters (none: everybody)."""
    settings = target.settings
    named = [
        *settings.approvers,
        *(who for rule in settings.rules for who in rule.approvers),
        *(who for rule in settings.hazards.values() for who in rule.approvers),
    ]
    return tuple(dict.fromkeys(named)) if settings.asks_people else settings.requesters


def may_freeze(targets: Sequence[Target], actor: Actor, directory: Directory, what: str) -> Decision:
    """Whether an actor is one of those who may freeze one of these targets. Everything may be stopped by whoever may stop
    a part that people approve; an environment that asks nobody gives no such right."""
    asking = [one for one in targets if one.settings.asks_people] or list(targets)
    for target in asking:
        entries = freezers(target)
        if not target.settings.asks_people and may_request(entries, actor, directory, target.name).allowed:
            return Decision(True)
        if target.settings.asks_people and _is_approver(entries, actor, directory):
            return Decision(True)
    if actor.user is not None and (problem := directory.problem_of(actor.user)) is not None:
        return refused(Reason.NOT_A_MEMBER, f"You cannot freeze {what}: {problem}.")
    who = names_of(dict.fromkeys(entry for target in asking for entry in freezers(target)))
    return refused(Reason.NOT_AN_APPROVER, f"You may not freeze or unfreeze {what}.", f"These may: {who}.")


def _is_approver(entries: Sequence[str], actor: Actor, directory: Directory) -> bool:
    known = actor.is_terminal or (actor.user is not None and directory.problem_of(actor.user) is None)
    return known and is_named(entries, actor, directory.groups)


def _has_say_everywhere(targets: Sequence[Target], actor: Actor, directory: Directory) -> bool:
    """Whether an actor may freeze, or is an overrider, in each environment that people approve (in each, where none is)."""
    asking = [one for one in targets if one.settings.asks_people] or list(targets)
    return all(
        may_freeze([one], actor, directory, one.name).allowed or _is_approver(one.settings.overriders, actor, directory)
        for one in asking
    )


def _is_own(ops: Ops, held: Freeze, actor: Actor) -> bool:
    """Whether it is this person's, at whichever front they made it."""
    return person_of(held.by, ops.requester_is(held.by)) == person_of(actor, ops.requester_is(actor))


def _is_nobodys(held: Freeze, targets: Sequence[Target], directory: Directory) -> bool:
    """Whether who made it may freeze nothing any more; of whom nobody was asked about it is not known."""
    is_known = held.by.user is None or held.by.user in directory.people
    return is_known and not may_freeze(targets, held.by, directory, held.what).allowed


def _not_theirs_to_end(held: Freeze, targets: Sequence[Target]) -> Decision:
    asking = [one.name for one in targets if one.settings.asks_people]
    where = f" on each of {', '.join(asking)}" if asking else ""
    return refused(
        Reason.NOT_ALLOWED,
        f"{freeze_sentence(held)} It is not yours to end.",
        f"{held.by.id} can, and whoever approves or overrides{where}.",
    )


def _draft(kind: str, target: Target | None, actor: Actor, data: Mapping[str, Any]) -> Draft:
    return Draft(
        kind=kind,
        actor=actor.id,
        stream=target.stream if target else ALL,
        data=data,
        project=target.project if target else None,
        environment=target.environment if target else None,
    )

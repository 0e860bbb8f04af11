"""Who hears of a lock or freeze before it matters to them: that it is about to end, or that an approved request waits for it.

What is due is a pure function of values; each warning is one event, written once. Whoever follows the log tells the people.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from audit import Draft
from ops.freezing import ALL
from ops.freezing import Freeze
from ops.freezing import freeze_sentence
from ops.freezing import freezes_on
from ops.gates import Verdict
from ops.gates import waits_of
from ops.layer import Ops
from ops.locking import Lock
from ops.locking import lock_of
from ops.locking import lock_sentence
from ops.people import Actor
from ops.requests import Request
from ops.requests import open_requests
from ops.status import Status
from ops.targets import Target
from ops.targets import all_targets

BEFORE = timedelta(minutes=15)
"""So long before its end at most people hear that a lock or freeze ends: of a short one, in its last quarter."""


@dataclass(frozen=True)
class Warning:
    """One warning: `id` is the same whenever it is due again, `about` what for, `to` the Slack ids of those who hear it."""

    id: str
    about: str
    message: str
    to: tuple[str, ...]
    until: datetime | None


def warn(ops: Ops) -> None:
    """Write down every warning that is due and was not written yet."""
    waiting = [one for one in open_requests(ops.view) if one.status_at(ops.now()) is Status.WAITING]

    def look(
        what: str, lock: Lock | None, freezes: Sequence[Freeze], mine: Sequence[Request], of: Target | None
    ) -> None:
        held = {one.id: waits_of(ops, one) for one in mine if _is_agreed(one)} if lock or freezes else {}
        for due in warnings_due(what, lock, freezes, mine, held, ops.now(), ops.requester_is):
            if due.to and not ops.view.act(due.id):
                ops.log.append([_draft(of, due)], id=due.id)

    look(ALL, None, freezes_on(ops.view, ALL, ops.now()), waiting, None)  # once, not for each target that it holds
    for target in all_targets(ops.settings):
        lock = lock_of(ops.view, target.project, target.environment, ops.now())
        freezes = freezes_on(ops.view, target.stream, ops.now())
        look(target.name, lock, freezes, [one for one in waiting if one.target == target.name], target)


def _is_agreed(request: Request) -> bool:
    return bool(request.needed) and not request.waits_for_people


def warnings_due(
    what: str,
    lock: Lock | None,
    freezes: Sequence[Freeze],
    waiting: Sequence[Request],
    held: Mapping[str, Verdict],
    now: datetime,
    slack_id_of: Callable[[Actor], str | None],
) -> Iterator[Warning]:
    """What is due at this moment about what somebody locked or froze: a target (`shop/prod`), or `all`. `waiting`: the
    requests there; `held`: what the gates of time say of those that are approved, by number. Pure."""
    found: list[tuple[str, Lock | Freeze, str]] = [("lock", lock, lock_sentence(lock, what))] if lock else []
    found += [("freeze", one, freeze_sentence(one)) for one in freezes]
    for kind, one, sentence in found:
        key = f"warned:{what}:{kind}:{one.at.isoformat()}"
        approved = [request for request in waiting if request.id in held and _is_held(held[request.id], kind)]
        if one.until is not None and one.until - now <= min(BEFORE, (one.until - one.at) / 4):
            can = [request.id for request in approved if held[request.id].opens_at == one.until]
            starts = f" Then {', '.join(can)} can start." if can else ""
            to = _people([one.by, *(request.by for request in waiting)], slack_id_of)
            yield Warning(f"{key}:ends", f"{kind}_ends", f"{sentence} That is about to end.{starts}", to, one.until)
        for request in approved:
            message = f"{request.id} is approved, and waits: {sentence}"
            to = _people([one.by, request.by], slack_id_of)
            yield Warning(f"{key}:{request.id}", f"{kind}_delays", message, to, one.until)


def _is_held(waits: Verdict, kind: str) -> bool:
    """Whether a lock, or a freeze by people, is in the way: a hotfix may pass one."""
    return any(gate.name == kind and gate.facts.get("held_by") for gate in waits.closed)


def _people(actors: Sequence[Actor], slack_id_of: Callable[[Actor], str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(user for actor in actors if (user := slack_id_of(actor))))


def _draft(target: Target | None, due: Warning) -> Draft:
    return Draft(
        kind="warned",
        actor="system:clock",
        stream="people",
        project=target.project if target else None,
        environment=target.environment if target else None,
        data={
            "about": due.about,
            "message": due.message,
            "to": list(due.to),
            "until": due.until.isoformat() if due.until else None,
        },
    )

"""Whether a request's run may begin: every gate judged by the same facts, for a click, `why`, `simulate` and the run itself.

A gate is one module: a pure function of `Facts` that returns a `Gate`. All of them must be open; none is skipped.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from typing import Any

from audit import View
from ops.debts import debt_of_override
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import freezes_of
from ops.gates.approvals import approvals_gate
from ops.gates.debt import debt_gate
from ops.gates.freeze import freeze_gate
from ops.gates.gate import Facts
from ops.gates.gate import Gate
from ops.gates.hotfix import hotfix_gate
from ops.gates.landed import landed_gate
from ops.gates.lock import lock_gate
from ops.gates.shown import shown_gate
from ops.gates.target import target_gate
from ops.gates.value import value_gate
from ops.gates.waiting import waiting_gate
from ops.gates.window import window_gate
from ops.landing import landed_since
from ops.layer import Ops
from ops.locking import lock_of
from ops.occupying import occupant_of
from ops.policy import Directory
from ops.requests import BESIDE
from ops.requests import SECRETS
from ops.requests import Request
from ops.status import Status
from ops.windows import Period
from ops.windows import next_free

__all__ = [
    "GATES",
    "NOTHING_WAITS",
    "Facts",
    "Gate",
    "Verdict",
    "facts_of",
    "has_clock",
    "in_the_way",
    "judge",
    "waits_of",
]

BESIDE_PEOPLE: tuple[Callable[[Facts], Gate], ...] = (
    landed_gate,
    shown_gate,
    lock_gate,
    freeze_gate,
    window_gate,
)
"""Those for which nobody is asked live: the log, the configuration and the clock say it all."""

GATES: tuple[Callable[[Facts], Gate], ...] = (
    waiting_gate,
    approvals_gate,
    debt_gate,
    target_gate,
    hotfix_gate,
    *BESIDE_PEOPLE,
)
"""In the order in which people are told of them."""


OF_KIND: Mapping[str, tuple[Callable[[Facts], Gate], ...]] = {SECRETS: (value_gate,)}
"""Those that only requests of a kind have, behind all others."""

BUSY = frozenset(
    {
        Reason.TARGET_BUSY,
        Reason.TARGET_BLOCKED,
        Reason.TARGET_LOCKED,
        Reason.TARGET_FROZEN,
        Reason.OUTSIDE_WINDOW,
    }
)
"""The reasons of gates that somebody's act or the clock opens again: exit 5, not a refusal."""


@dataclass(frozen=True)
class Verdict:
    """What all gates say of one request at one moment.

    `windows` and `periods` (configured freezes) are the clock that holds the request; none where it passes that.
    """

    gates: tuple[Gate, ...]
    windows: tuple[str, ...] = ()
    periods: tuple[Period, ...] = ()

    @property
    def may_start(self) -> bool:
        return bool(self.gates) and all(gate.is_open for gate in self.gates)

    @property
    def closed(self) -> tuple[Gate, ...]:
        """What is in the way, in the order in which people are told."""
        return tuple(gate for gate in self.gates if not gate.is_open)

    @property
    def opens_at(self) -> datetime | None:
        """When time alone lets it start; None where somebody has to act first, or where nothing is in the way."""
        times = [gate.opens_at for gate in self.closed]
        known = [one for one in times if one is not None]
        if not known or len(known) < len(times):
            return None
        return next_free(self.windows, self.periods, max(known))  # what is open now may be closed by then

    @property
    def not_before(self) -> datetime | None:
        """Until when time alone keeps it from starting, whatever people do; None where it does not, as far as is known."""
        times = [gate.opens_at for gate in self.closed if gate.opens_at is not None]
        return self.opens_at or max(times, default=None)

    def or_raise(self) -> "Verdict":
        """This verdict where the run may start; otherwise the OpsError of the first gate that is closed."""
        if self.may_start:
            return self
        first = self.closed[0] if self.closed else Gate("policy", False, "No rule says that this may run.")
        reason = first.reason or Reason.NOT_ALLOWED
        raise OpsError(reason, first.sentence, first.next, exit_code=5 if reason in BUSY else 3)

    def facts(self) -> dict[str, Any]:
        """For the event that rests on this verdict: what each gate found."""
        found: dict[str, Any] = {}
        for gate in self.gates:
            found |= gate.facts
        return found


NOTHING_WAITS = Verdict(())
"""Of a request that no gate of time holds, or that does not wait."""


def facts_of(ops: Ops, request: Request, view: View, directory: Directory, now: datetime | None = None) -> Facts:
    """The facts at this moment: people as `directory` has them, all else from this view of the log and the configuration."""
    return replace(
        _facts_beside_people(ops, request, view, now or ops.now()),
        directory=directory,
        are_asked=True,
        occupant=occupant_of(view, f"target:{request.target}"),
        debt=debt_of_override(ops, view, request),
    )


def _facts_beside_people(ops: Ops, request: Request, view: View, at: datetime) -> Facts:
    """What the gates of `BESIDE_PEOPLE` look at, and no more: it is asked every second for all that waits."""
    return Facts(
        request=request,
        settings=ops.target_of(request).settings,
        directory=Directory({}, {}),
        are_asked=False,
        requester_is=ops.requester_is(request.by),
        now=at,
        lock=lock_of(view, request.project, request.environment, at),
        freezes=freezes_of(view, request.target, at),
        landed=landed_since(view, request),
        has_value=ops.values.held(request.id) is not None,
    )


def judge(facts: Facts) -> Verdict:
    """Every gate, judged. Pure."""
    return _verdict(facts, GATES)


def _verdict(facts: Facts, gates: Sequence[Callable[[Facts], Gate]]) -> Verdict:
    found = tuple(gate(facts) for gate in (*gates, *OF_KIND.get(facts.request.kind, ())))
    if facts.request.kind in BESIDE or facts.passes_clock:
        return Verdict(found)
    return Verdict(found, tuple(facts.settings.windows), tuple(one.between for one in facts.settings.freezes))


def waits_of(ops: Ops, request: Request) -> Verdict:
    """What the gates of time say: locks, what somebody or the configuration froze, windows. Nothing of what does not wait."""
    if request.status_at(ops.now()) is not Status.WAITING:
        return NOTHING_WAITS
    with ops.view.together() as view:
        facts = _facts_beside_people(ops, request, view, ops.now())
    return _verdict(facts, (lock_gate, freeze_gate, window_gate))


def has_clock(ops: Ops, request: Request) -> bool:
    """Whether such a gate of a request opens or closes at some time, as the configuration has it."""
    settings = ops.target_of(request).settings
    return bool(settings.windows or settings.freezes)


def in_the_way(ops: Ops, request: Request) -> tuple[Gate, ...]:
    """What keeps this request from starting whoever says yes, so that Slack need not be asked about people in vain."""
    with ops.view.together() as view:
        facts = _facts_beside_people(ops, request, view, ops.now())
    gates = (*BESIDE_PEOPLE, *OF_KIND.get(request.kind, ()))
    return tuple(found for gate in gates if not (found := gate(facts)).is_open)

"""One thing that must be so before a request's run may begin, and the facts that all of them are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from typing import Any

from ops.clearance import may_still_override
from ops.debts import Debt
from ops.environment import Environment
from ops.errors import Reason
from ops.freezing import Freeze
from ops.hotfixing import hotfix_of
from ops.locking import Lock
from ops.occupying import Occupant
from ops.policy import Directory
from ops.requests import Request


@dataclass(frozen=True)
class Facts:
    """All that a request is judged by, gathered first, so that judging is a pure function of values.

    `directory` is what Slack just said about everybody concerned, `requester_is` the requester's Slack id (also of a
    terminal login that [people] knows), `settings` the environment's configuration as it is now, `now` the moment that is
    judged: a simulation may say another one.
    """

    request: Request
    settings: Environment
    directory: Directory
    requester_is: str | None
    now: datetime
    lock: Lock | None = None
    freezes: tuple[Freeze, ...] = ()
    occupant: Occupant | None = None
    landed: tuple[str, ...] = ()
    """The requests that ran on the target since this one was planned."""
    debt: Debt | None = None
    has_value: bool = False
    """Whether the value that it sets was just entered, for this very run."""
    are_asked: bool = True
    """False where nobody was asked about people, so that `directory` is empty and `debt` is not known: what hangs on them is
    judged when somebody was."""

    @property
    def passes_clock(self) -> bool:
        """Whether windows and configured freezes do not hold the request: a hotfix, of which its own gate judges, or an
        emergency while its overrider still may, and owes nothing. While nobody was asked an emergency is taken to pass."""
        if hotfix_of(self.request) is not None:
            return True
        if self.request.override is None or not self.are_asked:
            return self.request.override is not None
        return self.debt is None and may_still_override(self.request, self.directory).allowed


@dataclass(frozen=True)
class Gate:
    """What one rule says. `name` is stable: programs rely on it.

    `sentence` says what is so, for people; `next` what opens a closed gate, and who does it. `reason` is the code with which
    a run is refused while the gate is closed. `opens_at` is when time alone opens it, None: time does not. `parts` are the
    rules that this one is made of. `facts` go into the log with the decision; `held_by` among them are the people who closed
    it, where it is they and not the configuration.
    """

    name: str
    is_open: bool
    sentence: str
    next: str = ""
    reason: Reason | None = None
    opens_at: datetime | None = None
    parts: tuple["Gate", ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `why --json` and the log hold it."""
        return {
            "name": self.name,
            "open": self.is_open,
            "sentence": self.sentence,
            "next": self.next,
            "reason": self.reason.value if self.reason else None,
            "opens_at": self.opens_at.isoformat() if self.opens_at else None,
            "parts": [part.to_json() for part in self.parts],
            "facts": dict(self.facts),
        }

"""What people proved beside their Slack account, and what was done without approvals: the data of those events."""

from typing import Any
from typing import Literal

from audit.data import Data


class Enrolled(Data):
    """A person got a secret for one-time codes. `sealed_sha256` is of the file that holds it encrypted: only a file with
    these bytes is ever believed. `agreed_by` is the other person who agreed to a new one in place of an old one."""

    user: str
    sealed_sha256: str
    agreed_by: str | None = None


class EnrolmentAsked(Data):
    """Somebody at the terminal wants a new secret for a person who has one: another person has to agree. `to` are those who
    are told; others may agree too."""

    user: str
    to: list[str]


class EnrolmentAgreed(Data):
    """Another person agreed to a new secret for this one, until a moment, to be made by who asked for it (an actor)."""

    user: str
    asked_by: str
    until: str
    facts: dict[str, Any]


class CodeUsed(Data):
    """A one-time code was right. `step` is the time step that it belongs to: it is used up, and all before it."""

    user: str
    step: int
    purpose: str
    digest: str


class CodeFailed(Data):
    """A one-time code was not accepted; the code is not kept. Only a `wrong` one counts as a try."""

    user: str
    why: Literal["wrong", "used"]
    purpose: str


class Overridden(Data):
    """An overrider proved who they are and lets a request run without approvals: an emergency. `to`: who is told;
    `review_within`: how long the others then have to review it, in seconds from its start on."""

    digest: str
    because: str
    to: list[str]
    facts: dict[str, Any]
    review_within: float | None = None


class DebtOwed(Data):
    """A run began without the approvals that its policy asks for: other people have to look at it until `due_at`."""

    by: str
    needed: int
    due_at: str


class Reviewed(Data):
    """One person looked at what ran without approvals. `cleared`: with this one enough have, and nothing is owed any more."""

    digest: str
    number: int
    needed: int
    cleared: bool
    note: str
    facts: dict[str, Any]


class DebtReminded(Data):
    """Those who can clear a debt are told again that it is owed, once a day."""

    due_at: str
    overdue: bool
    to: list[str]

"""What people said of a request, as its events tell it: a yes, an override, stop, what they found on its target."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from typing import Any

from audit import Event
from ops.people import Actor
from ops.rules import OWN


@dataclass(frozen=True)
class Approval:
    """One person's yes to one digest. `person` is the Slack id of who it was, also where a terminal login is known.

    `stands` turns false when the bot notes that it no longer counts: the person left the group, say. `accepts` are the
    classes of hazards that this yes accepted by name, `covers` those of them for which the policy asks for such a person.
    `fills` are the names of the rules of which this person may fill a place; which one they do is for `fill` to say.
    """

    by: Actor
    at: datetime
    digest: str
    person: str
    stands: bool = True
    accepts: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    fills: tuple[str, ...] = (OWN,)
    proved: bool = False
    """Whether a one-time code came with it."""
    carried_from: str = ""
    """The request that it was given to, where it was carried over from there; `at` is when it was given."""
    carried_digest: str = ""
    """What that person really said yes to, then."""
    carried_because: str = ""
    """Why it counts on here, and what is not as that person saw it, in sentences."""


@dataclass(frozen=True)
class Override:
    """An overrider who proved to be the one lets a request run without approvals, for a reason: an emergency."""

    by: Actor
    at: datetime
    digest: str
    because: str
    groups: Mapping[str, str] = field(default_factory=dict)
    """The handles that named this person, with the ids that they had then."""


@dataclass(frozen=True)
class StopAsked:
    """Who asked a run to stop first, when, and why (empty where no reason was given)."""

    by: Actor
    at: datetime
    because: str


@dataclass(frozen=True)
class Settlement:
    """What a person found on the target of an interrupted run; it frees the target. `versions`: those applied there."""

    by: Actor
    at: datetime
    because: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Voided:
    """A yes that was given to the request that this one replaces, and does not count here. `differs`: what that person
    has not seen, as the event has it."""

    by: Actor
    at: datetime
    person: str
    from_request: str
    because: str
    differs: Mapping[str, Any]


def approval_of(event: Event) -> Approval:
    """The yes of an `approved` event, or of an `approval_carried`, which counts as if it had been given here."""
    data = event.data or {}
    by, at, digest = Actor(event.actor), event.at, data.get("digest", "")
    if event.kind == "approval_carried":
        by, at, digest = Actor(data["approver"]), datetime.fromisoformat(data["approved_at"]), data["to_digest"]
    facts = data["facts"]
    return Approval(
        by=by,
        at=at,
        digest=digest,
        person=facts.get("person") or by.user or by.id,
        accepts=tuple(facts.get("accepts", ())),
        covers=tuple(facts.get("covers", ())),
        fills=tuple(facts.get("fills", (OWN,))),
        proved=facts.get("proved") == "code",
        carried_from=data.get("from_request", ""),
        carried_digest=data.get("from_digest", ""),
        carried_because=data.get("because", ""),
    )


def voided_of(event: Event) -> Voided:
    """What an `approval_voided` event tells."""
    data = event.data or {}
    at = datetime.fromisoformat(data["approved_at"])
    return Voided(Actor(data["approver"]), at, data["person"], data["from_request"], data["because"], data["differs"])


ERASED_REQUEST: Mapping[str, Any] = {
    "kind": "push",
    "digest": "",
    "commit": "",
    "plan": {
        "files": [],
        "history": [],
        "diff": "",
        "policy": {"approvals": 0, "backup": "none", "unknown_authors": "show"},
    },
    "hazards": [],
    "authors": [],
    "unknown_authors": [],
}
"""What is known of a request whose text was erased; only requests that are over are."""

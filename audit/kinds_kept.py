"""What is kept about targets, the log itself and the bot: the data of all other events."""

from typing import Any

from pydantic import Field

from audit.data import Data


class Locked(Data):
    """Nobody may run on one target, until a time, with a reason (empty where none was given)."""

    because: str
    until: str


class Unlocked(Data):
    """A lock was taken away; `owner` had it, where an overrider took it from somebody else, and `to` (Slack ids) hear it."""

    because: str = ""
    owner: str = ""
    to: list[str] = Field(default_factory=list)


class Claimed(Data):
    """Somebody said that they are looking at a request, until then."""

    until: str


class Warned(Data):
    """These people (`to`, Slack ids) were to hear of a lock or freeze: that it is about to end, or that it delays an approved
    request. `message` is the sentence; `until` when it ends, None: nobody has said."""

    about: str
    message: str
    to: list[str]
    until: str | None = None


class Frozen(Data):
    """Nobody may begin a run on the target of this stream (of `all`: anywhere), until a time (None: until it is unfrozen),
    with a reason. It takes the place of a freeze of the same actor there; those of others hold beside it."""

    because: str
    until: str | None = None


class Unfrozen(Data):
    """The freezes that `owners` (actors) had put there were taken away; `to` (Slack ids) hear it."""

    because: str = ""
    owners: list[str] = Field(default_factory=list)
    to: list[str] = Field(default_factory=list)


class ApprovalCarried(Data):
    """An approval of one digest counts for another, because all it covered is unchanged; `because` says why in words.

    `approver` is who gave it at `approved_at`, to the request `from_request`; `facts` are those of that approval, as they
    hold for the new plan. `differs` says how the two plans differ in what nobody has to agree to again.
    """

    from_digest: str
    to_digest: str
    approver: str
    from_request: str = ""
    approved_at: str = ""
    because: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)
    differs: dict[str, Any] = Field(default_factory=dict)


class ApprovalVoided(Data):
    """An approval of one digest does not count for the plan that came in its place; `because` says why, in words.

    `person` is the Slack id of who gave it, also of a terminal login that is known. `differs` is what that person has not
    seen, or would miss: files, hazards, rules.
    """

    from_digest: str
    to_digest: str
    approver: str
    from_request: str
    approved_at: str
    person: str
    because: str
    differs: dict[str, Any] = Field(default_factory=dict)


class Replanned(Data):
    """A waiting request was planned again because the requests in `after` ran on its target; nothing has changed for it."""

    digest: str
    after: list[str]


class Adopted(Data):
    """An existing target's history and schema became the approved baseline. `versions`: those whose file is known,
    with its SHA-256; `unknown`: sentences about what nobody can say; `differences`: objects that are not what the history
    makes, with the SHA-256 of their definition; `rows`: all versions of the history."""

    digest: str
    unknown: list[str]
    versions: list[dict[str, str]]
    differences: list[dict[str, str]]
    rows: list[str]
    fingerprint: dict[str, Any]


class Recorded(Data):
    """What was done by hand, entered afterwards."""

    because: str
    by: str
    versions: list[str]


class Erased(Data):
    """The payloads of these events were deleted; their commitments stay in the chain."""

    seqs: list[int]
    because: str


class Queried(Data):
    """Somebody read the log. `rows`: so many events were shown; None: a page of `audit serve` was, to `reader`."""

    query: str
    rows: int | None
    reader: str = ""


class Exported(Data):
    """Somebody took a copy of events out of the log. `sha256` is of the list of its files, where it is evidence; empty else.
    `reader`: who was logged in at `audit serve`, where they took it there."""

    format: str
    query: str
    rows: int
    sha256: str = ""
    reader: str = ""


class StateNoted(Data):
    """The state of a target from which on it is watched: nothing accounts for how it came about, `because` says why."""

    because: str
    fingerprint: dict[str, Any]


class ChangedOutside(Data):
    """The target was changed without us: from the state that the log accounts for to the one in `fingerprint`.

    `what` holds sentences; `objects` the changed objects of the schema, where an earlier copy of it was at hand.
    """

    what: list[str]
    objects: list[dict[str, str]]
    before: dict[str, Any]
    fingerprint: dict[str, Any]


class Configured(Data):
    """A process read its configuration: its hash, and the policy of each target.

    `rules` are the policies whole, `changed` what differs from the event before (`rule`, `old`, `new`; target by target),
    `by` who is behind it as far as known: `process` started it, `owner` has the file, `commit` was the last to touch it.
    `secrets`: by what names it has its secrets, never what they hold.
    """

    sha256: str
    policies: dict[str, str]
    rules: dict[str, dict[str, Any]] = Field(default_factory=dict)
    changed: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    by: dict[str, Any] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)


class BotStarted(Data):
    """The bot is up."""

    version: str
    mode: str
    host: str
    pid: int


class BotStopped(Data):
    """The bot ends in an orderly way."""

    because: str

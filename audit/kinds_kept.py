"""What is kept about targets, the log itself and the bot: the data of all other events."""

from typing import Any

from audit.data import Data


class Locked(Data):
    """Nobody may run on one target, until a time, with a reason (empty where none was given)."""

    because: str
    until: str


class Unlocked(Data):
    """A lock was taken away."""

    because: str = ""


class Frozen(Data):
    """Nobody may run anywhere, until a time, with a reason."""

    because: str
    until: str | None = None


class Unfrozen(Data):
    """The freeze was taken away."""

    because: str = ""


class ApprovalCarried(Data):
    """An approval of one digest counts for another, because all it covered is unchanged."""

    from_digest: str
    to_digest: str
    approver: str


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
    """Somebody read the log."""

    query: str
    rows: int


class Exported(Data):
    """Somebody took a copy of events out of the log."""

    format: str
    query: str
    rows: int


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
    """A process read its configuration: its hash, and the policy of each target."""

    sha256: str
    policies: dict[str, str]


class BotStarted(Data):
    """The bot is up."""

    version: str
    mode: str
    host: str
    pid: int


class BotStopped(Data):
    """The bot ends in an orderly way."""

    because: str

"""What is kept about targets, the log itself and the bot: the data of all other events."""

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
    """An existing target's history and schema became the approved baseline."""

    digest: str
    unknown: list[str]


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


class ChangedOutside(Data):
    """The target was changed without us."""

    what: list[str]


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

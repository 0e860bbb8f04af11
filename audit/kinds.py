"""Every kind of event there is, with a model of its `data`. A new kind is one class here and nothing else.

Kinds are past tense. A model forbids what it does not name, so that nothing unexamined reaches the log.
"""

from collections.abc import Mapping
from typing import Any
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict


class Data(BaseModel):
    """What every event's data has in common: frozen, and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Commanded(Data):
    """Somebody typed a word. `text` is masked; `arguments` are those that were recognised, masked too."""

    word: str
    arguments: list[str]
    text: str
    front: Literal["slack", "terminal"]
    channel: str | None = None


class Clicked(Data):
    """Somebody pressed a button or sent a form. `value` is what the button carried, whoever made it."""

    verb: str
    value: str
    channel: str | None = None
    message: str | None = None
    inputs: dict[str, str] = {}


class Answered(Data):
    """An act was answered; `to` is the id of its event. What is acked but not answered is answered after a restart."""

    to: str
    ok: bool
    reason: str | None = None
    message: str


class Refused(Data):
    """Something was not allowed: the stable reason, the sentence that the person read, the facts it rests on."""

    to: str | None = None
    word: str
    reason: str
    message: str
    facts: dict[str, Any] = {}


class Planned(Data):
    """What would run on a target was computed and shown to somebody."""

    commit: str | None
    digest: str
    pending: list[dict[str, str]]
    hazards: list[dict[str, Any]]
    fingerprint: dict[str, Any]
    problems: list[str]


class Requested(Data):
    """Somebody asks to run a plan. `plan` is the canonical plan whose SHA-256 is `digest`."""

    kind: str
    digest: str
    commit: str
    plan: dict[str, Any]
    hazards: list[dict[str, Any]]
    authors: list[str]
    unknown_authors: list[str]
    expires_at: str


class Pinned(Data):
    """Group handles of the policy and the Slack ids that they meant when the request was picked up."""

    groups: dict[str, str]
    eligible: list[str]


class Shown(Data):
    """The full SQL of a digest (or only its hash, where the configuration says so) reached the people who decide."""

    digest: str
    how: Literal["file", "hash", "terminal"]
    channel: str | None = None
    message: str | None = None
    file: str | None = None
    sha256: str


class Approved(Data):
    """One person's yes to one digest, with the rule that let it count."""

    digest: str
    number: int
    needed: int
    facts: dict[str, Any]


class Rejected(Data):
    """One approver's no; it ends the request."""

    digest: str
    because: str
    facts: dict[str, Any]


class Cancelled(Data):
    """The requester, or somebody who may, took the request back before it ran."""

    because: str


class Expired(Data):
    """The time for deciding ran out. Expiry is computed from the clock; this event only says that it was noticed."""

    expires_at: str


class Superseded(Data):
    """What would run is no longer what was asked for. `changed` names the parts."""

    changed: list[str]
    message: str
    by: str | None = None


class Started(Data):
    """A run was claimed: the request and its target belong to this runner from here on."""

    digest: str
    attempt: int
    runner: str
    facts: dict[str, Any]


class Resumed(Data):
    """A run whose runner died was taken up again."""

    digest: str
    attempt: int
    runner: str
    because: str


class StepStarted(Data):
    """A step of a run begins; nothing of it was done before this event."""

    step: str
    attempt: int
    about: dict[str, Any] = {}


class StepFinished(Data):
    """A step of a run was done."""

    step: str
    attempt: int
    seconds: float
    result: dict[str, Any] = {}


class StepFailed(Data):
    """A step of a run failed; `error` is what the person reads, with the SQLSTATE and the excerpt where there is one."""

    step: str
    attempt: int
    seconds: float
    reason: str
    message: str
    error: dict[str, Any] = {}


class StatementSent(Data):
    """The intent: these statements go to the target now, by this backend. Recovery looks for it."""

    version: str
    segment: int
    statements: list[int]
    sha256: str
    backend_pid: int
    backend_start: str


class CommitSent(Data):
    """Everything of a segment ran; its COMMIT goes out now. The server knows it by `xid`; `catalog_sha256` is what it leaves."""

    version: str
    segment: int
    xid: str
    catalog_sha256: str


class StatementFinished(Data):
    """What became of a `statement_sent`."""

    version: str
    segment: int
    statements: list[int]
    outcome: Literal["done", "rolled_back", "failed", "unknown"]
    seconds: float
    detail: str = ""


class LockWaited(Data):
    """A lock was not to be had; everything was rolled back, and it is tried again after a pause. `blockers` hold it."""

    version: str
    blockers: list[dict[str, Any]]


class MigrationApplied(Data):
    """A file and its history row are committed on the target; `catalog_sha256` is the schema it left."""

    version: str
    name: str
    sha256: str
    catalog_sha256: str
    statements: int
    seconds: float


class HistoryPrepared(Data):
    """The history schema and table were made on the target, as the CLI makes them. Nothing was applied by that."""

    schema_name: str


class BackupProven(Data):
    """A backup was taken and proven before any statement ran."""

    proof: dict[str, Any]


class Succeeded(Data):
    """Everything of the plan is on the target."""

    applied: list[str]
    seconds: float


class Failed(Data):
    """The run ended and nothing of it remains on the target."""

    reason: str
    message: str
    step: str


class PartiallyApplied(Data):
    """The run ended in the middle: what of it is on the target and what is not."""

    reason: str
    message: str
    step: str
    applied: list[str]
    not_applied: list[str]
    within: str | None = None


class Interrupted(Data):
    """It is unknown what became of a statement; a person decides, and the target stays blocked until then."""

    reason: str
    message: str
    step: str
    applied: list[str]
    unknown: list[str]


class Locked(Data):
    """Nobody may run on one target, until a time, with a reason."""

    because: str
    until: str | None = None


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


KINDS: Mapping[str, type[Data]] = {
    "commanded": Commanded,
    "clicked": Clicked,
    "answered": Answered,
    "refused": Refused,
    "planned": Planned,
    "requested": Requested,
    "pinned": Pinned,
    "shown": Shown,
    "approved": Approved,
    "rejected": Rejected,
    "cancelled": Cancelled,
    "expired": Expired,
    "superseded": Superseded,
    "started": Started,
    "resumed": Resumed,
    "step_started": StepStarted,
    "step_finished": StepFinished,
    "step_failed": StepFailed,
    "statement_sent": StatementSent,
    "commit_sent": CommitSent,
    "statement_finished": StatementFinished,
    "lock_waited": LockWaited,
    "migration_applied": MigrationApplied,
    "history_prepared": HistoryPrepared,
    "backup_proven": BackupProven,
    "succeeded": Succeeded,
    "failed": Failed,
    "partially_applied": PartiallyApplied,
    "interrupted": Interrupted,
    "locked": Locked,
    "unlocked": Unlocked,
    "frozen": Frozen,
    "unfrozen": Unfrozen,
    "approval_carried": ApprovalCarried,
    "adopted": Adopted,
    "recorded": Recorded,
    "erased": Erased,
    "queried": Queried,
    "exported": Exported,
    "changed_outside": ChangedOutside,
    "configured": Configured,
    "bot_started": BotStarted,
    "bot_stopped": BotStopped,
}

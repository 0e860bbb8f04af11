"""What a run did: the data of events from its start to its end."""

from typing import Any
from typing import Literal

from pydantic import Field

from audit.data import Data


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


class StopAsked(Data):
    """Somebody asked a run to stop. The runner sees it before the next statement, file or step, and ends the run."""

    because: str


class StepStarted(Data):
    """A step of a run begins; nothing of it was done before this event."""

    step: str
    attempt: int
    about: dict[str, Any]


class StepFinished(Data):
    """A step of a run was done."""

    step: str
    attempt: int
    seconds: float
    result: dict[str, Any]


class StepFailed(Data):
    """A step of a run failed; `error` has the hint, and for SQL the SQLSTATE and the excerpt."""

    step: str
    attempt: int
    seconds: float
    reason: str
    message: str
    error: dict[str, Any]


class StatementSent(Data):
    """The intent: these statements go to the target now, by this backend. Recovery looks for it."""

    version: str
    segment: int
    statements: list[int]
    sha256: str
    backend_pid: int
    backend_start: str
    batches: int = 0


class CommitSent(Data):
    """A segment ran; its COMMIT goes out now. The server knows it by `xid`; `catalog_sha256` is what it leaves."""

    version: str
    segment: int
    xid: str
    catalog_sha256: str


class BatchSent(Data):
    """A batch of a file ran; its COMMIT goes out now. What the server says of `xid` is whether the next one begins behind
    `through` or `after`: the last row's key, or a keyed hash of it (`hmac`) where the log may not hold it, and which
    `secret` that was made with; neither is the beginning.

    `number` counts over all attempts, `total` and `seen` are of all batches up to here: rows written, rows gone through.
    """

    version: str
    number: int
    sha256: str
    table: str
    xid: str
    backend_pid: int
    backend_start: str
    rows: int
    total: int
    seen: int
    after: dict[str, Any]
    through: dict[str, Any]
    is_last: bool


class StatementFinished(Data):
    """What became of a `statement_sent`. `each_seconds`: of the statements that ended, in their order, where measured.
    `batches`: so many are committed of a file that runs in batches."""

    version: str
    segment: int
    statements: list[int]
    outcome: Literal["done", "rolled_back", "failed", "unknown"]
    seconds: float
    detail: str = ""
    each_seconds: list[float] = Field(default_factory=list)
    batches: int = 0


class LockWaited(Data):
    """A lock was not to be had; everything was rolled back, and it is tried again after a pause. `blockers` hold it."""

    version: str
    blockers: list[dict[str, Any]]


class Progressed(Data):
    """How far what runs is: as the server counts a statement, or as batches are done. For people; nothing rests on it."""

    version: str
    said: str
    share: float | None = None


class CleanupSent(Data):
    """The intent: these indexes, which a statement that failed just now left INVALID, are dropped by the same backend."""

    version: str
    segment: int
    statements: list[int]
    indexes: list[str]


class MigrationApplied(Data):
    """A file and its history row are committed on the target; `catalog_sha256` is the schema it left."""

    version: str
    name: str
    sha256: str
    catalog_sha256: str
    statements: int
    seconds: float


class MigrationUndone(MigrationApplied):
    """What undoes a file is committed on the target, and the file's history row is gone. The file is that of the undoing."""


class HistoryRepaired(MigrationApplied):
    """The history row of a file was made as the file stands; nothing of the file was run."""


class ScriptRun(MigrationApplied):
    """SQL that changes nothing in the history is committed on the target."""


class HistoryPrepared(Data):
    """The history schema and table were made on the target, as the CLI makes them. Nothing was applied by that."""

    schema_name: str


class PriorCopied(Data):
    """What a statement was about to drop, change or delete was copied beside it, in the statement's own transaction: it is
    there if that was committed. `copies` say what and where, `left_out` why something was not copied."""

    version: str
    statement: int
    line: int
    copies: list[dict[str, Any]]
    left_out: list[str]


class PriorCopiesRemoved(Data):
    """Such copies were dropped, since they were kept long enough: the tables' names."""

    tables: list[str]


class BackupProven(Data):
    """A backup was taken and proven: in a run before any statement, or because somebody asked for it."""

    proof: dict[str, Any]


class BackupStarted(Data):
    """Somebody has a backup taken, outside a run. What is copied meanwhile is removed if it does not come to be proven."""

    level: str


class BackupRemoved(Data):
    """A backup is removed now: the file at `path`, with what is beside it."""

    sha256: str
    path: str
    because: str


class Succeeded(Data):
    """Everything of the plan is on the target."""

    applied: list[str]
    seconds: float


class Failed(Data):
    """The run ended and nothing of it remains on the target. `stopped_by`: who asked for that, where somebody did."""

    reason: str
    message: str
    step: str
    stopped_by: str | None = None


class PartiallyApplied(Data):
    """The run ended in the middle: what of it is on the target and what is not. `stopped_by` as in `failed`.

    `statements`: what became of each of the file `within` which it ended, as far as they were kept. `catalog_sha256`: the
    hash of the schema then, where the target said it. `functions`: names by what became of them: done, left, unknown.
    """

    reason: str
    message: str
    step: str
    applied: list[str]
    not_applied: list[str]
    within: str | None = None
    catalog_sha256: str | None = None
    stopped_by: str | None = None
    statements: list[dict[str, Any]] = Field(default_factory=list)
    questions: list[dict[str, str]] = Field(default_factory=list)
    functions: dict[str, list[str]] = Field(default_factory=dict)


class Interrupted(Data):
    """It is unknown what became of a statement; a person decides, and the target stays blocked until then.

    `statements` as in `partially_applied`; `questions`: what to ask the target by hand, in order (asks, sql, means).
    """

    reason: str
    message: str
    step: str
    applied: list[str]
    unknown: list[str]
    statements: list[dict[str, Any]] = Field(default_factory=list)
    questions: list[dict[str, str]] = Field(default_factory=list)


class LoadNoted(Data):
    """How much the target had to do before the first statement: what it is compared with afterwards. `unseen` names what
    our role may not see."""

    usual: dict[str, Any]
    unseen: list[str] = Field(default_factory=list)


class WatchBegan(Data):
    """Every statement of the run is done; from here on its target is watched for so long."""

    seconds: float
    interval_seconds: float
    until: str
    unseen: list[str] = Field(default_factory=list)


class WatchSampled(Data):
    """What some looks at the watched target saw together, within bounds."""

    sample: dict[str, Any]


class WatchWorsened(Data):
    """Something is worse than it was before the run, told as soon as it is certain: all that is by now."""

    worse: list[dict[str, Any]]


class Watched(Data):
    """The watching is over. `seconds` were to be watched, `watched_seconds` were; `because` says why it was less."""

    outcome: Literal["nothing_worse", "worse", "cut_short"]
    seconds: float
    watched_seconds: float
    because: str
    worse: list[dict[str, Any]]
    unseen: list[str] = Field(default_factory=list)

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


class CommitSent(Data):
    """A segment ran; its COMMIT goes out now. The server knows it by `xid`; `catalog_sha256` is what it leaves."""

    version: str
    segment: int
    xid: str
    catalog_sha256: str


class StatementFinished(Data):
    """What became of a `statement_sent`. `each_seconds`: of the statements that ended, in their order, where measured."""

    version: str
    segment: int
    statements: list[int]
    outcome: Literal["done", "rolled_back", "failed", "unknown"]
    seconds: float
    detail: str = ""
    each_seconds: list[float] = Field(default_factory=list)


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
    """The run ended and nothing of it remains on the target. `stopped_by`: who asked for that, where somebody did."""

    reason: str
    message: str
    step: str
    stopped_by: str | None = None


class PartiallyApplied(Data):
    """The run ended in the middle: what of it is on the target and what is not. `stopped_by` as in `failed`."""

    reason: str
    message: str
    step: str
    applied: list[str]
    not_applied: list[str]
    within: str | None = None
    stopped_by: str | None = None


class Interrupted(Data):
    """It is unknown what became of a statement; a person decides, and the target stays blocked until then."""

    reason: str
    message: str
    step: str
    applied: list[str]
    unknown: list[str]
